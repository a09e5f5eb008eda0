//! The formats of this crate as a plugin: `csv`, `json`, `raw`, `text`, `changelog-json` and
//! `debezium-json`.

mod changes;
mod raw;

use millstream_sdk::{prelude::*, source};

pub use self::{
    changes::{ChangeDecoder, ChangeEncoder, ChangelogJson, DebeziumJson},
    raw::{Raw, RawDecoder, RawEncoder},
};
use crate::{Columns, csv, json, lines};

millstream_sdk::plugin! {
    name: "formats",
    summary: "Rows as text: CSV, JSON lines, lines of text or bytes, and changelogs as JSON lines",
    formats: [Csv, Json, Raw, Text, ChangelogJson, DebeziumJson],
}

/// Between fields.
const DELIMITER: &str = "field-delimiter";
/// Around fields that need it.
const QUOTE: &str = "quote-character";
/// Between the elements of a list.
const ELEMENT_DELIMITER: &str = "array-element-delimiter";

/// What stands for NULL.
const NULL: &str = "null-literal";
/// Whether nothing does, too.
const EMPTY: &str = "empty-is-null";

/// What a header line would say of files that have none.
const COLUMNS: &str = "columns";

/// CSV with a header line, or without one.
#[derive(Debug)]
pub struct Csv {
    dialect: csv::Dialect,
    /// The header line of files that have none.
    header: Option<String>,
    columns: Columns,
    multiline: bool,
    /// What stands for NULL.
    null: Option<String>,
    empty_is_null: bool,
}

impl Format for Csv {
    const NAME: &'static str = "csv";
    const SUMMARY: &'static str = "CSV (RFC 4180), columns matched by name";
    const OPTIONS: &'static [OptionDoc] = &[
        OptionDoc::string(DELIMITER, "The character between fields").default(","),
        OptionDoc::string(QUOTE, "The character around fields that need it").default("\""),
        OptionDoc::string(ELEMENT_DELIMITER, "The character between the elements of an array")
            .default(";"),
        OptionDoc::string(
            NULL,
            "What stands for NULL, beside an empty field without quotes",
        ),
        OptionDoc::boolean(
            EMPTY,
            "Whether an empty field without quotes is NULL in a column of texts, too, as it is written; scripts in \
             SQL read it as the empty text",
        )
        .default("true"),
        OptionDoc::string(
            COLUMNS,
            "The columns of files without a header line, in order, written as that line would be",
        ),
        OptionDoc::boolean(
            "multiline",
            "Whether quoted fields may contain line ends in files of any size; each file is then \
             read by one reader",
        )
        .default("false"),
    ];
    type Decoder = CsvDecoder;
    type Encoder = CsvEncoder;

    fn open(options: &Options, schema: &Schema) -> Result<Self, Error> {
        let columns = Columns::new(schema)?;
        csv::check(&columns)?;
        let (dialect, multiline) = (dialect(options)?, options.boolean("multiline")?);
        let header = options.value(COLUMNS).map(str::to_owned);
        let null = options.value(NULL).map(str::to_owned);
        let empty_is_null = options.boolean(EMPTY)?;
        Ok(Self { dialect, header, columns, multiline, null, empty_is_null })
    }

    fn properties(&self) -> Properties {
        let header = self.header.is_none();
        Properties { header, splits: !self.multiline, ..Properties::BOTH }
    }

    fn decoder(&self, input: &InputInfo<'_>) -> Result<CsvDecoder, Error> {
        let header = self.header.as_ref().map_or(input.header, String::as_bytes);
        if header.is_empty() {
            let message = "the file is empty: a header line with the columns was expected";
            return Err(Error::new(message));
        }
        let header = csv::header_columns(header, self.dialect)?;
        let decoder = csv::Decoder::new(self.dialect, &header, &self.columns)?;
        let decoder = decoder.null_literal(self.null.as_deref(), self.empty_is_null);
        let decoder = decoder.multiline(input.whole);
        Ok(CsvDecoder { decoder, whole: input.whole })
    }

    fn encoder(&self) -> Result<CsvEncoder, Error> {
        let (dialect, columns) = (self.dialect, self.columns.clone());
        let null = self.null.clone().unwrap_or_default();
        Ok(CsvEncoder { dialect, header: self.header.is_none(), columns, null, cell: Vec::new() })
    }
}

fn dialect(options: &Options) -> Result<csv::Dialect, Error> {
    let character = |name: &str| match options.string(name)?.as_bytes() {
        [byte] if !matches!(byte, b'\n' | b'\r') => Ok(*byte),
        _ => Err(Error::new(format!("the option `csv.{name}` must be one ASCII character"))),
    };
    let dialect = csv::Dialect {
        delimiter: character(DELIMITER)?,
        quote: character(QUOTE)?,
        element_delimiter: character(ELEMENT_DELIMITER)?,
    };
    let csv::Dialect { delimiter, quote, element_delimiter } = dialect;
    if delimiter == quote || element_delimiter == quote {
        return Err(Error::new(
            "the option `csv.quote-character` is the same character as `csv.field-delimiter` or \
             `csv.array-element-delimiter`",
        ));
    }
    Ok(dialect)
}

/// Reads the records of a CSV file.
#[derive(Debug)]
pub struct CsvDecoder {
    decoder: csv::Decoder,
    whole: bool,
}

impl Decode for CsvDecoder {
    #[inline]
    fn seek(&mut self, bytes: &[u8], start: usize) {
        self.decoder.seek(bytes, start);
    }

    #[inline]
    fn record(
        &mut self,
        bytes: &[u8],
        start: usize,
        last: bool,
        rows: &mut source::Rows<'_>,
    ) -> Result<Step, RecordError> {
        let step = self.decoder.record(bytes, start, last, rows);
        step.map_err(|error| self.explain(error))
    }

    fn too_large(&self, record: &[u8], record_bytes_max: usize) -> RecordError {
        self.decoder.too_large(record, record_bytes_max)
    }
}

impl CsvDecoder {
    /// A part that begins within a quoted field reads it as records.
    #[cold]
    fn explain(&self, error: RecordError) -> RecordError {
        if self.whole || error.message.contains("csv.multiline") {
            return error;
        }
        let hint = "; if quoted fields contain line ends, set `csv.multiline` to true";
        RecordError { message: error.message + hint, ..error }
    }
}

/// Writes CSV.
#[derive(Debug)]
pub struct CsvEncoder {
    dialect: csv::Dialect,
    /// Whether files begin with a header line.
    header: bool,
    columns: Columns,
    /// What NULL is written as.
    null: String,
    cell: Vec<u8>,
}

impl Encode for CsvEncoder {
    fn begin(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        if self.header {
            csv::push_header(out, &self.columns, self.dialect);
        }
        Ok(())
    }

    fn encode(&mut self, page: &ValidPage<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
        for row in 0..page.rows() {
            csv::push_row(
                out,
                &self.columns,
                page,
                row,
                (self.dialect, &self.null),
                &mut self.cell,
            );
        }
        Ok(())
    }
}

/// How times are written.
const TIMESTAMPS: &str = "timestamp-format.standard";

/// Whether a format of this name has times as they are written here, and not as ISO-8601.
fn is_sql(options: &Options, format: &str) -> Result<bool, Error> {
    match options.string(TIMESTAMPS)? {
        "SQL" => Ok(true),
        "ISO-8601" => Ok(false),
        other => Err(Error::new(format!(
            "the option `{format}.{TIMESTAMPS}` is SQL or ISO-8601, not {other}"
        ))),
    }
}

fn not_sql(format: &str) -> Error {
    Error::new(format!("times are not written as ISO-8601 yet: set `{format}.{TIMESTAMPS}` to SQL"))
}

/// JSON lines.
#[derive(Debug)]
pub struct Json {
    columns: Columns,
    /// Whether times are as they are written here.
    writes: bool,
}

impl Format for Json {
    const NAME: &'static str = "json";
    const SUMMARY: &'static str = "JSON lines: an object on each, members matched by name";
    const OPTIONS: &'static [OptionDoc] = &[OptionDoc::string(
        TIMESTAMPS,
        "How times are written: SQL (2013-01-31 05:15:00.5); both are read, SQL and ISO-8601",
    )
    .default("SQL")];
    type Decoder = JsonDecoder;
    type Encoder = JsonEncoder;

    fn open(options: &Options, schema: &Schema) -> Result<Self, Error> {
        let writes = is_sql(options, Self::NAME)?;
        Ok(Self { columns: Columns::new(schema)?, writes })
    }

    fn properties(&self) -> Properties {
        Properties { splits: true, ..Properties::BOTH }
    }

    fn decoder(&self, _input: &InputInfo<'_>) -> Result<JsonDecoder, Error> {
        Ok(JsonDecoder(json::Decoder::new(&self.columns)))
    }

    fn encoder(&self) -> Result<JsonEncoder, Error> {
        if !self.writes {
            return Err(not_sql(Self::NAME));
        }
        Ok(JsonEncoder { columns: self.columns.clone(), cell: Vec::new() })
    }
}

/// Reads JSON lines.
#[derive(Debug)]
pub struct JsonDecoder(json::Decoder);

impl Decode for JsonDecoder {
    fn record(
        &mut self,
        bytes: &[u8],
        start: usize,
        last: bool,
        rows: &mut source::Rows<'_>,
    ) -> Result<Step, RecordError> {
        self.0.record(bytes, start, last, rows)
    }

    fn too_large(&self, record: &[u8], record_bytes_max: usize) -> RecordError {
        self.0.too_large(record, record_bytes_max)
    }
}

/// Writes JSON lines.
#[derive(Debug)]
pub struct JsonEncoder {
    columns: Columns,
    cell: Vec<u8>,
}

impl Encode for JsonEncoder {
    fn encode(&mut self, page: &ValidPage<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
        for row in 0..page.rows() {
            json::push_row(out, &self.columns, page, row, &mut self.cell);
        }
        Ok(())
    }
}

/// Lines of text, which are only read.
#[derive(Debug)]
pub struct Text;

impl Format for Text {
    const NAME: &'static str = "text";
    const SUMMARY: &'static str = "Lines of text, each a row of one column; only read";
    const OPTIONS: &'static [OptionDoc] = &[];
    type Decoder = TextDecoder;
    type Encoder = Unsupported;

    fn open(_options: &Options, schema: &Schema) -> Result<Self, Error> {
        lines::check_schema(schema)?;
        Ok(Self)
    }

    fn properties(&self) -> Properties {
        Properties { splits: true, ..Properties::READS }
    }

    fn decoder(&self, _input: &InputInfo<'_>) -> Result<TextDecoder, Error> {
        Ok(TextDecoder)
    }

    fn encoder(&self) -> Result<Unsupported, Error> {
        Err(Error::new("lines of text are only read"))
    }
}

/// Reads lines of text.
#[derive(Debug)]
pub struct TextDecoder;

impl Decode for TextDecoder {
    fn record(
        &mut self,
        bytes: &[u8],
        start: usize,
        last: bool,
        rows: &mut source::Rows<'_>,
    ) -> Result<Step, RecordError> {
        lines::record(bytes, start, last, rows)
    }

    fn too_large(&self, line: &[u8], record_bytes_max: usize) -> RecordError {
        lines::too_large(line, record_bytes_max)
    }
}
