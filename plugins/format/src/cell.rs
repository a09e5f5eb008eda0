//! Text to the cell of a column.

use std::{fmt, str};

use millstream_sdk::{
    data::{calendar::days_of_date, types::DataType},
    prelude::Field,
};

use crate::{Rows, base64};

/// How the text of a column becomes its cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    kind: Kind,
    /// Whether the column may hold NULL.
    pub nullable: bool,
    /// Whether an empty field without quotes is NULL.
    empty_is_null: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Boolean,
    Int8,
    Int16,
    Int32,
    Int64,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
    Float32,
    Float64,
    Decimal { precision: u8, scale: u8 },
    Date,
    Time,
    Timestamp,
    String,
    Bytes,
}

/// Whether a cell was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It was.
    Done,
    /// The page has no room for it.
    Full,
}

/// Text that is not a value of its column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellError {
    value: String,
    expected: &'static str,
}

impl fmt::Display for CellError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not {}", self.value, self.expected)
    }
}

impl Cell {
    /// How the text of `field` becomes its cell; `None` for nested types.
    pub fn of(field: &Field) -> Option<Self> {
        let kind = match &field.data_type {
            DataType::Boolean => Kind::Boolean,
            DataType::Int8 => Kind::Int8,
            DataType::Int16 => Kind::Int16,
            DataType::Int32 => Kind::Int32,
            DataType::Int64 => Kind::Int64,
            DataType::UInt8 => Kind::UInt8,
            DataType::UInt16 => Kind::UInt16,
            DataType::UInt32 => Kind::UInt32,
            DataType::UInt64 => Kind::UInt64,
            DataType::Float32 => Kind::Float32,
            DataType::Float64 => Kind::Float64,
            DataType::Decimal { precision, scale } => {
                Kind::Decimal { precision: *precision, scale: *scale }
            }
            DataType::Date => Kind::Date,
            DataType::Time => Kind::Time,
            DataType::Timestamp { .. } | DataType::TimestampLtz { .. } => Kind::Timestamp,
            DataType::String => Kind::String,
            DataType::Bytes => Kind::Bytes,
            _ => return None,
        };
        Some(Self { kind, nullable: field.nullable, empty_is_null: field.nullable })
    }

    /// Has an empty text be one, where the column is of texts.
    pub fn keep_empty_text(&mut self) {
        self.empty_is_null &= self.kind != Kind::String;
    }

    /// Writes the cell of `column` for this text. An empty text that is not `quoted` is NULL if the
    /// column may hold it.
    ///
    /// # Errors
    /// If the text is not a value of the column's type.
    #[inline]
    pub fn put(
        &self,
        rows: &mut Rows<'_>,
        column: usize,
        text: &[u8],
        quoted: bool,
    ) -> Result<Put, CellError> {
        if text.is_empty() && self.empty_is_null && !quoted {
            rows.put_null(column);
            return Ok(Put::Done);
        }
        let stored = match self.kind {
            Kind::String => {
                let given = text;
                let text = str::from_utf8(text).ok();
                return match text.map(|text| rows.put_str(column, text)) {
                    Some(Ok(())) => Ok(Put::Done),
                    Some(Err(_)) => Ok(Put::Full),
                    None => Err(self.wrong(given)),
                };
            }
            Kind::Bytes => return self.put_bytes(rows, column, text),
            Kind::Int32 => narrow::<i32>(text).map(|v| rows.put_fixed(column, v.to_le_bytes())),
            Kind::Int64 => integer(text).map(|v| rows.put_fixed(column, v.to_le_bytes())),
            Kind::Int8 => narrow::<i8>(text).map(|v| rows.put_fixed(column, v.to_le_bytes())),
            Kind::Int16 => narrow::<i16>(text).map(|v| rows.put_fixed(column, v.to_le_bytes())),
            Kind::UInt8 => narrow::<u8>(text).map(|v| rows.put_fixed(column, v.to_le_bytes())),
            Kind::UInt16 => narrow::<u16>(text).map(|v| rows.put_fixed(column, v.to_le_bytes())),
            Kind::UInt32 => narrow::<u32>(text).map(|v| rows.put_fixed(column, v.to_le_bytes())),
            Kind::UInt64 => parsed::<u64>(text).map(|v| rows.put_fixed(column, v.to_le_bytes())),
            Kind::Float32 => parsed::<f32>(text).map(|v| rows.put_fixed(column, v.to_le_bytes())),
            Kind::Float64 => parsed::<f64>(text).map(|v| rows.put_fixed(column, v.to_le_bytes())),
            Kind::Boolean => boolean(text).map(|v| rows.put_bool(column, v)),
            Kind::Decimal { precision, scale } => {
                decimal(text, precision, scale).map(|v| rows.put_fixed(column, v.to_le_bytes()))
            }
            Kind::Date => date(text).map(|v| rows.put_fixed(column, v.to_le_bytes())),
            Kind::Time => time_of_day(text)
                .map(|micros| rows.put_fixed(column, ((micros / 1000) as i32).to_le_bytes())),
            Kind::Timestamp => timestamp(text).map(|v| rows.put_fixed(column, v.to_le_bytes())),
        };
        stored.map(|()| Put::Done).ok_or_else(|| self.wrong(text))
    }

    /// Writes a byte string, which is text in base64.
    fn put_bytes(&self, rows: &mut Rows<'_>, column: usize, text: &[u8]) -> Result<Put, CellError> {
        let mut bytes = Vec::new();
        if !base64::decode(&mut bytes, text) {
            return Err(self.wrong(text));
        }
        Ok(rows.put_bytes(column, &bytes).map_or(Put::Full, |()| Put::Done))
    }

    /// As [`Cell::put`], of text that is not NULL.
    #[inline]
    pub(crate) fn put_text(
        &self,
        rows: &mut Rows<'_>,
        column: usize,
        text: &str,
    ) -> Result<Put, CellError> {
        match self.kind {
            Kind::String => Ok(rows.put_str(column, text).map_or(Put::Full, |()| Put::Done)),
            _ => self.put(rows, column, text.as_bytes(), true),
        }
    }

    /// Whether any text is a value.
    pub(crate) fn is_text(&self) -> bool {
        self.kind == Kind::String
    }

    /// Whether values are whole numbers.
    pub(crate) fn is_integer(&self) -> bool {
        use Kind::{Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64};
        matches!(self.kind, Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | UInt64)
    }

    /// Writes the cell of a column of integers; `false` if it is none, or the number is not one of
    /// its type.
    #[inline]
    pub(crate) fn put_integer(&self, rows: &mut Rows<'_>, column: usize, number: i64) -> bool {
        macro_rules! narrow {
            ($type:ty) => {
                <$type>::try_from(number).map(|n| rows.put_fixed(column, n.to_le_bytes())).is_ok()
            };
        }
        match self.kind {
            Kind::Int64 => {
                rows.put_fixed(column, number.to_le_bytes());
                true
            }
            Kind::Int32 => narrow!(i32),
            Kind::Int16 => narrow!(i16),
            Kind::Int8 => narrow!(i8),
            Kind::UInt64 => narrow!(u64),
            Kind::UInt32 => narrow!(u32),
            Kind::UInt16 => narrow!(u16),
            Kind::UInt8 => narrow!(u8),
            _ => false,
        }
    }

    #[cold]
    fn wrong(&self, text: &[u8]) -> CellError {
        const SHOWN_MAX: usize = 40;
        let mut value = String::from_utf8_lossy(&text[..text.len().min(SHOWN_MAX)]).into_owned();
        if text.len() > SHOWN_MAX {
            value.push('…');
        }
        let expected = match self.kind {
            Kind::Boolean => "true or false",
            Kind::Int8 => "a TINYINT",
            Kind::Int16 => "a SMALLINT",
            Kind::Int32 => "an INT",
            Kind::Int64 => "a BIGINT",
            Kind::UInt8 | Kind::UInt16 | Kind::UInt32 | Kind::UInt64 => {
                "an unsigned integer of the column's width"
            }
            Kind::Float32 | Kind::Float64 => "a number",
            Kind::Decimal { .. } => "a DECIMAL of the column's precision and scale",
            Kind::Date => "a date such as 2013-01-31",
            Kind::Time => "a time such as 05:15:00",
            Kind::Timestamp => "a timestamp such as 2013-01-31 05:15:00",
            Kind::String => "UTF-8 text",
            Kind::Bytes => "base64 (A-Z a-z 0-9 + /, padded with =)",
        };
        CellError { value, expected }
    }
}

/// A decimal integer with an optional sign.
#[inline]
fn integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || digits.len() > 18 {
        return parsed(text);
    }
    let mut value = 0i64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        // Eighteen digits cannot overflow.
        value = value * 10 + i64::from(digit);
    }
    Some(if negative { -value } else { value })
}

#[inline]
fn narrow<T: TryFrom<i64>>(text: &[u8]) -> Option<T> {
    T::try_from(integer(text)?).ok()
}

fn parsed<T: str::FromStr>(text: &[u8]) -> Option<T> {
    str::from_utf8(text).ok()?.trim().parse().ok()
}

fn boolean(text: &[u8]) -> Option<bool> {
    if text.eq_ignore_ascii_case(b"true") {
        Some(true)
    } else if text.eq_ignore_ascii_case(b"false") {
        Some(false)
    } else {
        None
    }
}

/// A decimal number, scaled; digits beyond the scale are rounded half up.
fn decimal(text: &[u8], precision: u8, scale: u8) -> Option<i128> {
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let point = text.iter().position(|byte| *byte == b'.');
    let (whole, fraction) = match point {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, &[][..]),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let scale = usize::from(scale);
    let mut value = 0i128;
    let kept = fraction.iter().take(scale);
    for byte in whole.iter().chain(kept) {
        value = value.checked_mul(10)?.checked_add(i128::from(digit(*byte)?))?;
    }
    for _ in fraction.len().min(scale)..scale {
        value = value.checked_mul(10)?;
    }
    let mut rest = fraction.get(scale..).unwrap_or(&[]).iter();
    if let Some(first) = rest.next() {
        value += i128::from(digit(*first)? >= 5);
        rest.try_for_each(|byte| digit(*byte).map(drop))?;
    }
    let limit = 10i128.checked_pow(u32::from(precision))?;
    (value < limit).then_some(if negative { -value } else { value })
}

fn digit(byte: u8) -> Option<u8> {
    byte.is_ascii_digit().then(|| byte - b'0')
}

/// `yyyy-MM-dd` as days since 1970-01-01.
fn date(text: &[u8]) -> Option<i32> {
    let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1] = *text else { return None };
    let number = |digits: &[u8]| {
        digits.iter().try_fold(0i32, |value, byte| Some(value * 10 + i32::from(digit(*byte)?)))
    };
    let (year, month, day) = (number(&[y0, y1, y2, y3])?, number(&[m0, m1])?, number(&[d0, d1])?);
    days_of_date(year, month, day)
}

/// `HH:mm[:ss[.ffffff]]` as microseconds since midnight.
fn time_of_day(text: &[u8]) -> Option<i64> {
    let two = |a: u8, b: u8| Some(i64::from(digit(a)?) * 10 + i64::from(digit(b)?));
    let (&[h0, h1, b':', m0, m1], rest) = text.split_first_chunk::<5>()? else { return None };
    let (hour, minute) = (two(h0, h1)?, two(m0, m1)?);
    let (second, fraction) = match rest {
        [] => (0, &[][..]),
        [b':', s0, s1] => (two(*s0, *s1)?, &[][..]),
        [b':', s0, s1, b'.', fraction @ ..] => (two(*s0, *s1)?, fraction),
        _ => return None,
    };
    if hour > 23 || minute > 59 || second > 59 || fraction.len() > 9 {
        return None;
    }
    let mut micros = 0;
    for place in 0..6 {
        let digit = fraction.get(place).map_or(Some(0), |byte| digit(*byte))?;
        micros = micros * 10 + i64::from(digit);
    }
    Some(((hour * 60 + minute) * 60 + second) * 1_000_000 + micros)
}

/// `yyyy-MM-dd[( |T)HH:mm[:ss[.ffffff]]][Z]` as microseconds since 1970-01-01T00:00.
fn timestamp(text: &[u8]) -> Option<i64> {
    let text = text.strip_suffix(b"Z").unwrap_or(text);
    let (day, rest) = text.split_at_checked(10)?;
    let micros = match rest {
        [] => 0,
        [b' ' | b'T', time @ ..] => time_of_day(time)?,
        _ => return None,
    };
    Some(i64::from(date(day)?) * 86_400_000_000 + micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers() {
        assert_eq!(integer(b"-12"), Some(-12));
        assert_eq!(integer(b"+7"), Some(7));
        assert_eq!(integer(b"9223372036854775807"), Some(i64::MAX));
        assert_eq!(integer(b"-9223372036854775808"), Some(i64::MIN));
        for wrong in [&b""[..], b"-", b"1a", b"9223372036854775808", b"1.0"] {
            assert_eq!(integer(wrong), None, "{wrong:?}");
        }
        assert_eq!(narrow::<i8>(b"128"), None);
        assert_eq!(narrow::<u8>(b"-1"), None);
    }

    #[test]
    fn decimals() {
        assert_eq!(decimal(b"12.345", 10, 2), Some(1235));
        assert_eq!(decimal(b"-0.5", 10, 2), Some(-50));
        assert_eq!(decimal(b".5", 3, 1), Some(5));
        assert_eq!(decimal(b"1000", 3, 0), None);
        assert_eq!(decimal(b"1.2.3", 10, 2), None);
        assert_eq!(decimal(b"", 10, 2), None);
    }

    #[test]
    fn dates_and_times() {
        assert_eq!(date(b"1970-01-01"), Some(0));
        assert_eq!(date(b"1969-12-31"), Some(-1));
        assert_eq!(date(b"2000-02-29"), Some(11_016));
        assert_eq!(date(b"1900-02-29"), None);
        assert_eq!(date(b"2013-13-01"), None);
        assert_eq!(timestamp(b"1970-01-02 00:00:01.5"), Some(86_401_500_000));
        assert_eq!(timestamp(b"1970-01-01T00:01Z"), Some(60_000_000));
        assert_eq!(timestamp(b"1970-01-01 24:00"), None);
        assert_eq!(time_of_day(b"05:15:00"), Some(18_900_000_000));
    }
}
