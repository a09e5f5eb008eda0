//! How the cells of a column are made.

use std::ops::RangeInclusive;

use millstream_sdk::{data::page::Full, generated::Random, prelude::*};

/// A column.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    value: Value,
    null_rate: f64,
}

/// What its values are.
#[derive(Clone, Debug)]
enum Value {
    Boolean,
    /// From a range, in so many bytes.
    Random(RangeInclusive<i128>, Width),
    /// One after the other.
    Sequence(RangeInclusive<i64>, Width),
    Float32(RangeInclusive<f64>),
    Float64(RangeInclusive<f64>),
    /// So many hexadecimal digits.
    Text(usize),
    /// The numbers of a sequence as text.
    TextSequence(RangeInclusive<i64>),
}

/// Bytes of a cell.
#[derive(Clone, Copy, Debug)]
enum Width {
    One,
    Two,
    Four,
    Eight,
    Sixteen,
}

/// 2020-01-01 to 2030-01-01, in microseconds: random timestamps if no range is given.
const TIMESTAMPS: RangeInclusive<i128> = 1_577_836_800_000_000..=1_893_456_000_000_000;
/// The same in days.
const DATES: RangeInclusive<i128> = 18_262..=21_915;

impl Column {
    /// How the options want a column to be made.
    pub(crate) fn new(field: &Field, options: &Options) -> Result<Self, Error> {
        let name = |option: &str| format!("fields.{}.{option}", field.name);
        let null_rate = options.float(&name("null-rate"))?;
        if !(0.0..=1.0).contains(&null_rate) || (null_rate > 0.0 && !field.nullable) {
            return Err(Error::new(format!(
                "the option `{}` is {null_rate}: it is 0 to 1, and 0 for a column that is NOT NULL",
                name("null-rate")
            )));
        }
        let (width, default) = match &field.data_type {
            DataType::Int8 => (Width::One, i128::from(i8::MIN)..=i8::MAX.into()),
            DataType::Int16 => (Width::Two, i128::from(i16::MIN)..=i16::MAX.into()),
            DataType::Int32 => (Width::Four, i128::from(i32::MIN)..=i32::MAX.into()),
            DataType::Int64 => (Width::Eight, i128::from(i64::MIN)..=i64::MAX.into()),
            DataType::UInt8 => (Width::One, 0..=u8::MAX.into()),
            DataType::UInt16 => (Width::Two, 0..=u16::MAX.into()),
            DataType::UInt32 => (Width::Four, 0..=u32::MAX.into()),
            DataType::UInt64 => (Width::Eight, 0..=u64::MAX.into()),
            DataType::Decimal { precision, .. } => {
                let digits = u32::from(*precision).min(18);
                (Width::Sixteen, 0..=10i128.pow(digits) - 1)
            }
            DataType::Date => (Width::Four, DATES),
            DataType::Time => (Width::Four, 0..=86_399_999),
            DataType::Timestamp { .. } | DataType::TimestampLtz { .. } => {
                (Width::Eight, TIMESTAMPS)
            }
            _ => return Ok(Self { value: Self::other(field, options)?, null_rate }),
        };
        let value = match is_sequence(field, options)? {
            true => {
                let range = sequence(field, options)?;
                let fits =
                    |value: i64| default.contains(&value.into()) || is_time(&field.data_type);
                let end = match *range.end() {
                    // One without an end goes as far as the type.
                    i64::MAX => i64::try_from(*default.end()).unwrap_or(i64::MAX),
                    end => end,
                };
                if !fits(*range.start()) || !fits(end) {
                    return Err(empty(field, range.start(), &end));
                }
                Value::Sequence(*range.start()..=end, width)
            }
            false => {
                let bound = |option, default: i128| match options.value(&name(option)) {
                    None => Ok(default),
                    Some(_) => options.integer(&name(option)).map(i128::from),
                };
                let range = bound("min", *default.start())?..=bound("max", *default.end())?;
                let inside = default.contains(range.start()) && default.contains(range.end());
                let bounded = matches!(field.data_type, DataType::Decimal { .. }) || inside;
                if range.is_empty() || !bounded && !is_time(&field.data_type) {
                    return Err(empty(field, range.start(), range.end()));
                }
                Value::Random(range, width)
            }
        };
        Ok(Self { value, null_rate })
    }

    fn other(field: &Field, options: &Options) -> Result<Value, Error> {
        let name = |option: &str| format!("fields.{}.{option}", field.name);
        let float = |option: &str, default| match options.value(&name(option)) {
            None => Ok(default),
            Some(_) => options.float(&name(option)),
        };
        match &field.data_type {
            DataType::Boolean => Ok(Value::Boolean),
            DataType::Float32 | DataType::Float64 => {
                let range = float("min", 0.0)?..=float("max", 1.0)?;
                if range.is_empty() {
                    return Err(empty(field, range.start(), range.end()));
                }
                Ok(match field.data_type {
                    DataType::Float32 => Value::Float32(range),
                    _ => Value::Float64(range),
                })
            }
            DataType::String if is_sequence(field, options)? => {
                Ok(Value::TextSequence(sequence(field, options)?))
            }
            DataType::String => {
                let length = options.integer(&name("length"))?;
                let length = usize::try_from(length).ok().filter(|length| *length <= TEXT_MAX);
                Ok(Value::Text(length.ok_or_else(|| {
                    Error::new(format!("the option `{}` is 0 to {TEXT_MAX}", name("length")))
                })?))
            }
            _ => Err(Error::new(format!("datagen cannot make the column `{field}`"))),
        }
    }

    /// With how many rows its sequence ends.
    pub(crate) fn rows(&self) -> Option<u64> {
        match &self.value {
            Value::Sequence(range, _) | Value::TextSequence(range) if *range.end() < i64::MAX => {
                u64::try_from(i128::from(*range.end()) - i128::from(*range.start()) + 1).ok()
            }
            _ => None,
        }
    }

    /// Writes the cell of a row. `text` is scratch.
    pub(crate) fn put(
        &self,
        rows: &mut Rows<'_>,
        column: usize,
        seed: u64,
        number: u64,
        text: &mut String,
    ) -> Result<(), Full> {
        let mut random = Random::new(seed.wrapping_add(column as u64), number);
        if self.null_rate > 0.0 && random.unit() < self.null_rate {
            rows.put_null(column);
            return Ok(());
        }
        match &self.value {
            Value::Boolean => rows.put_bool(column, random.below(2) == 1),
            Value::Random(range, width) => {
                let values = (range.end() - range.start()) as u128 + 1;
                let value = match u64::try_from(values) {
                    Ok(values) => range.start() + i128::from(random.below(values)),
                    // All values of 64 bits.
                    Err(_) => range.start() + i128::from(random.bits()),
                };
                put_number(rows, column, value, *width);
            }
            Value::Sequence(range, width) => {
                put_number(rows, column, i128::from(*range.start()) + i128::from(number), *width);
            }
            Value::Float32(range) => {
                rows.put_fixed(column, (float(range, random) as f32).to_le_bytes());
            }
            Value::Float64(range) => rows.put_fixed(column, float(range, random).to_le_bytes()),
            Value::Text(length) => {
                text.clear();
                while text.len() < *length {
                    push_hex(text, random.bits(), (*length - text.len()).min(16));
                }
                return rows.put_str(column, text);
            }
            Value::TextSequence(range) => {
                use std::fmt::Write;
                text.clear();
                let _ = write!(text, "{}", i128::from(*range.start()) + i128::from(number));
                return rows.put_str(column, text);
            }
        }
        Ok(())
    }
}

/// The longest random text, in characters.
const TEXT_MAX: usize = 1 << 20;

fn is_sequence(field: &Field, options: &Options) -> Result<bool, Error> {
    let name = format!("fields.{}.kind", field.name);
    match options.string(&name)? {
        "random" => Ok(false),
        "sequence" => Ok(true),
        other => {
            Err(Error::new(format!("the option `{name}` is `{other}`: it is random or sequence")))
        }
    }
}

fn sequence(field: &Field, options: &Options) -> Result<RangeInclusive<i64>, Error> {
    let name = |option: &str| format!("fields.{}.{option}", field.name);
    let start = options.integer(&name("start"))?;
    let end = match options.value(&name("end")) {
        None => i64::MAX,
        Some(_) => options.integer(&name("end"))?,
    };
    if end < start {
        return Err(empty(field, &start, &end));
    }
    Ok(start..=end)
}

fn is_time(data_type: &DataType) -> bool {
    use DataType::{Date, Timestamp, TimestampLtz};
    matches!(data_type, Date | Timestamp { .. } | TimestampLtz { .. })
}

fn empty(field: &Field, start: &dyn std::fmt::Display, end: &dyn std::fmt::Display) -> Error {
    Error::new(format!("the column `{field}` cannot hold the values from {start} to {end}"))
}

fn float(range: &RangeInclusive<f64>, mut random: Random) -> f64 {
    range.start() + random.unit() * (range.end() - range.start())
}

/// Two's complement: the low bytes are the value in every width that holds it.
fn put_number(rows: &mut Rows<'_>, column: usize, value: i128, width: Width) {
    match width {
        Width::One => rows.put_fixed(column, (value as i8).to_le_bytes()),
        Width::Two => rows.put_fixed(column, (value as i16).to_le_bytes()),
        Width::Four => rows.put_fixed(column, (value as i32).to_le_bytes()),
        Width::Eight => rows.put_fixed(column, (value as i64).to_le_bytes()),
        Width::Sixteen => rows.put_fixed(column, value.to_le_bytes()),
    }
}

fn push_hex(text: &mut String, bits: u64, digits: usize) {
    for digit in 0..digits {
        let digit = ((bits >> (4 * digit)) & 15) as u32;
        text.push(char::from_digit(digit, 16).unwrap_or('0'));
    }
}
