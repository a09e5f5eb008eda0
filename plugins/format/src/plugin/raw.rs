//! The format `raw`: each line is the bytes of the only column, as Flink has them.

use std::str;

use millstream_sdk::{data::types::DataType, prelude::*, source};

use crate::lines;

const CHARSET: &str = "charset";
const ENDIANNESS: &str = "endianness";

/// The bytes of one column.
#[derive(Debug)]
pub struct Raw {
    nullable: bool,
    kind: Kind,
    big: bool,
}

/// How a value is its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Bytes,
    /// 0 or 1.
    Bool,
    /// A number of so many bytes.
    Number(usize),
}

impl Format for Raw {
    const NAME: &'static str = "raw";
    const SUMMARY: &'static str = "The bytes of one column, a line each";
    const OPTIONS: &'static [OptionDoc] = &[
        OptionDoc::string(CHARSET, "How texts are written: UTF-8").default("UTF-8"),
        OptionDoc::string(
            ENDIANNESS,
            "Which byte of a number comes first: that of big-endian or of little-endian",
        )
        .default("big-endian"),
    ];
    type Decoder = RawDecoder;
    type Encoder = RawEncoder;

    fn open(options: &Options, schema: &Schema) -> Result<Self, Error> {
        let charset = options.string(CHARSET)?;
        if !charset.eq_ignore_ascii_case("UTF-8") {
            let message =
                format!("the option `raw.{CHARSET}` is {charset}: only UTF-8 is read and written");
            return Err(Error::new(message));
        }
        let endianness = options.string(ENDIANNESS)?;
        let big = match endianness {
            "big-endian" => true,
            "little-endian" => false,
            other => {
                return Err(Error::new(format!(
                    "the option `raw.{ENDIANNESS}` is big-endian or little-endian, not {other}"
                )));
            }
        };
        let [field] = schema.fields.as_slice() else {
            return Err(Error::new(format!(
                "the format raw is one column, but the columns are {schema}: use csv or json"
            )));
        };
        let kind = Kind::of(&field.data_type).ok_or_else(|| {
            Error::new(format!(
                "the format raw has no column of {}: it has texts, bytes, BOOLEAN and numbers but DECIMAL",
                field.data_type
            ))
        })?;
        Ok(Self { nullable: field.nullable, kind, big })
    }

    fn properties(&self) -> Properties {
        Properties { splits: true, ..Properties::BOTH }
    }

    fn decoder(&self, _input: &InputInfo<'_>) -> Result<RawDecoder, Error> {
        Ok(RawDecoder { kind: self.kind, big: self.big })
    }

    fn encoder(&self) -> Result<RawEncoder, Error> {
        Ok(RawEncoder { nullable: self.nullable, kind: self.kind, big: self.big })
    }
}

impl Kind {
    fn of(data_type: &DataType) -> Option<Self> {
        match data_type {
            DataType::String => Some(Self::Text),
            DataType::Bytes => Some(Self::Bytes),
            DataType::Boolean => Some(Self::Bool),
            DataType::Int8 => Some(Self::Number(1)),
            DataType::Int16 => Some(Self::Number(2)),
            DataType::Int32 | DataType::Float32 => Some(Self::Number(4)),
            DataType::Int64 | DataType::Float64 => Some(Self::Number(8)),
            _ => None,
        }
    }
}

/// Reads lines.
#[derive(Debug)]
pub struct RawDecoder {
    kind: Kind,
    big: bool,
}

impl Decode for RawDecoder {
    fn record(
        &mut self,
        bytes: &[u8],
        start: usize,
        last: bool,
        rows: &mut source::Rows<'_>,
    ) -> Result<Step, RecordError> {
        if self.kind == Kind::Text {
            return lines::record(bytes, start, last, rows);
        }
        let Some((line, end)) = lines::line(bytes, start, last) else {
            return Ok(Step::Incomplete);
        };
        match self.kind {
            Kind::Text | Kind::Bytes => {
                if rows.put_bytes(0, line).is_err() {
                    return Ok(Step::Full);
                }
            }
            Kind::Bool => {
                let [byte] = self.number(line)?;
                rows.put_bool(0, byte != 0);
            }
            Kind::Number(1) => rows.put_fixed(0, self.number::<1>(line)?),
            Kind::Number(2) => rows.put_fixed(0, self.number::<2>(line)?),
            Kind::Number(4) => rows.put_fixed(0, self.number::<4>(line)?),
            Kind::Number(_) => rows.put_fixed(0, self.number::<8>(line)?),
        }
        rows.commit();
        Ok(Step::Row(end))
    }

    fn too_large(&self, line: &[u8], record_bytes_max: usize) -> RecordError {
        lines::too_large(line, record_bytes_max)
    }
}

impl RawDecoder {
    /// The bytes of a number, the lowest first.
    fn number<const W: usize>(&self, line: &[u8]) -> Result<[u8; W], RecordError> {
        let number: Result<[u8; W], _> = line.try_into();
        let mut number = number.map_err(|_| RecordError {
            message: format!("the line has {} bytes, but the column has {W}", line.len()),
            lines: 0,
        })?;
        if self.big {
            number.reverse();
        }
        Ok(number)
    }
}

/// Writes lines.
#[derive(Debug)]
pub struct RawEncoder {
    nullable: bool,
    kind: Kind,
    big: bool,
}

impl Encode for RawEncoder {
    fn encode(&mut self, page: &ValidPage<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
        let column = page.column(0);
        for row in 0..page.rows() {
            if self.nullable && !column.validity().is_valid(row) {
                return Err(Error::new(
                    "a value is NULL, which the format raw has no bytes for: write COALESCE, or leave such rows out",
                ));
            }
            match self.kind {
                Kind::Text | Kind::Bytes => out.extend_from_slice(column.views().at(row)),
                Kind::Bool => out.push(u8::from(column.bits().at(row))),
                Kind::Number(_) => {
                    let begin = out.len();
                    out.extend_from_slice(column.cells(row..row + 1).unwrap_or(&[]));
                    if self.big {
                        out[begin..].reverse();
                    }
                }
            }
            out.push(b'\n');
        }
        Ok(())
    }
}
