//! Constants.

use datafusion_common::ScalarValue;
use datafusion_expr::Expr;
use sqlparser::ast::{self, DateTimeField, Interval, Value};

use super::Bound;
use crate::{
    error::{Place, SqlError},
    time,
    types::{Kind, MAX_PRECISION, Type},
};

/// The constant with its type.
pub(super) fn constant(value: ScalarValue, kind: Kind) -> Bound {
    Bound { expr: Expr::Literal(value, None), data_type: Type::required(kind) }
}

/// A literal of sqlparser.
pub(super) fn literal(value: &Value, part: &impl Place) -> Result<Bound, SqlError> {
    match value {
        Value::Number(text, _) => number(text, part),
        Value::SingleQuotedString(text) => Ok(text_constant(text)),
        Value::Boolean(value) => Ok(constant(ScalarValue::Boolean(Some(*value)), Kind::Boolean)),
        Value::HexStringLiteral(digits) => bytes(digits, part),
        Value::Null => Ok(super::coerce::null()),
        other => Err(SqlError::at(part, format!("`{other}` is no constant of Flink's SQL"))),
    }
}

/// `X'0a1b'`
fn bytes(digits: &str, part: &impl Place) -> Result<Bound, SqlError> {
    let wrong = || {
        let message = format!(
            "`X'{digits}'` is no constant of bytes: each is two digits of 0 to 9 and A to F"
        );
        SqlError::at(part, message)
    };
    let digit = |digit: char| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let digits: Option<Vec<u8>> = digits.chars().map(digit).collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2)).ok_or_else(wrong)?;
    let bytes: Vec<u8> =
        digits.as_chunks::<2>().0.iter().map(|[high, low]| high << 4 | low).collect();
    let length = u32::try_from(bytes.len()).map_err(|_| wrong())?;
    Ok(constant(ScalarValue::BinaryView(Some(bytes)), Kind::Binary(length)))
}

pub(super) fn text_constant(text: &str) -> Bound {
    let length = u32::try_from(text.chars().count()).unwrap_or(u32::MAX).max(1);
    constant(ScalarValue::Utf8View(Some(text.to_owned())), Kind::Char(length))
}

/// INT or BIGINT if it fits, a decimal if it has a point, DOUBLE if it has an exponent.
fn number(text: &str, part: &impl Place) -> Result<Bound, SqlError> {
    let wrong = || SqlError::at(part, format!("`{text}` is no number that fits a type"));
    if text.contains(['e', 'E']) {
        let value: f64 = text.parse().map_err(|_| wrong())?;
        return Ok(constant(ScalarValue::Float64(Some(value)), Kind::Double));
    }
    if let Ok(value) = text.parse::<i32>() {
        return Ok(constant(ScalarValue::Int32(Some(value)), Kind::Int));
    }
    if let Ok(value) = text.parse::<i64>() {
        return Ok(constant(ScalarValue::Int64(Some(value)), Kind::BigInt));
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{whole}{fraction}");
    let value: i128 = digits.parse().map_err(|_| wrong())?;
    let scale = u8::try_from(fraction.len()).map_err(|_| wrong())?;
    let significant = digits.trim_start_matches('0').len().max(1);
    let precision = u8::try_from(significant).map_err(|_| wrong())?.max(scale);
    if precision > MAX_PRECISION {
        return Err(wrong());
    }
    let kind = Kind::Decimal(precision, scale);
    Ok(constant(ScalarValue::Decimal128(Some(value), precision, scale as i8), kind))
}

/// `DATE '…'`, `TIME '…'`, `TIMESTAMP '…'`.
pub(super) fn typed(
    data_type: &ast::DataType,
    text: &str,
    part: &impl Place,
) -> Result<Bound, SqlError> {
    let wrong = |example: &str| {
        let message = format!("`{text}` is no {data_type}: write it as '{example}'");
        SqlError::at(part, message)
    };
    match data_type {
        ast::DataType::Date => {
            let days = time::parse_date(text).ok_or_else(|| wrong("2026-01-31"))?;
            Ok(constant(ScalarValue::Date32(Some(days)), Kind::Date))
        }
        ast::DataType::Time(..) => {
            let micros = time::parse_time(text).ok_or_else(|| wrong("23:59:59"))?;
            let millis = ScalarValue::Time32Millisecond(Some((micros / 1000) as i32));
            Ok(constant(millis, Kind::Time(fraction_digits(text))))
        }
        ast::DataType::Timestamp(..) => {
            let micros =
                time::parse_timestamp(text).ok_or_else(|| wrong("2026-01-31 23:59:59.999"))?;
            let value = ScalarValue::TimestampMicrosecond(Some(micros), None);
            Ok(constant(value, Kind::Timestamp(fraction_digits(text))))
        }
        _ => Err(SqlError::at(part, format!("there are no constants of the type {data_type}"))),
    }
}

fn fraction_digits(text: &str) -> u8 {
    text.rsplit_once('.').map_or(0, |(_, fraction)| fraction.len().min(6) as u8)
}

/// `INTERVAL '…' UNIT [TO UNIT]`.
pub(super) fn interval(interval: &Interval, part: &impl Place) -> Result<Bound, SqlError> {
    let text = match &*interval.value {
        ast::Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::Number(text, _) => text.as_str(),
            _ => return Err(SqlError::at(part, "an interval is a text: INTERVAL '1' DAY")),
        },
        _ => return Err(SqlError::at(part, "an interval is a constant: INTERVAL '1' DAY")),
    };
    let Some(first) = &interval.leading_field else {
        return Err(SqlError::at(part, "an interval has a unit: INTERVAL '1' DAY"));
    };
    let last = interval.last_field.as_ref().unwrap_or(first);
    let wrong = || {
        let units = match &interval.last_field {
            Some(last) => format!("{first} TO {last}"),
            None => first.to_string(),
        };
        SqlError::at(part, format!("`{text}` is no interval of {units}"))
    };
    let (negative, digits) = match text.trim().strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.trim()),
    };
    if matches!(first, DateTimeField::Year | DateTimeField::Month) {
        let numbers: Vec<i32> =
            digits.split('-').map(str::parse).collect::<Result<_, _>>().map_err(|_| wrong())?;
        let months = match (first, last, &numbers[..]) {
            (DateTimeField::Year, DateTimeField::Year, [years]) => years.checked_mul(12),
            (DateTimeField::Month, DateTimeField::Month, [months]) => Some(*months),
            (DateTimeField::Year, DateTimeField::Month, [years, months]) => {
                years.checked_mul(12).and_then(|years| years.checked_add(*months))
            }
            _ => None,
        };
        let months = months.ok_or_else(wrong)?;
        let months = if negative { -months } else { months };
        return Ok(constant(ScalarValue::IntervalYearMonth(Some(months)), Kind::YearMonth));
    }
    let micros = day_time(digits, first, last).ok_or_else(wrong)?;
    let micros = if negative { -micros } else { micros };
    Ok(constant(ScalarValue::DurationMicrosecond(Some(micros)), Kind::DayTime))
}

/// `3 12:30:05.250` in the units from `first` to `last`.
fn day_time(text: &str, first: &DateTimeField, last: &DateTimeField) -> Option<i64> {
    const UNITS: [(DateTimeField, i64); 4] = [
        (DateTimeField::Day, 24 * 3600),
        (DateTimeField::Hour, 3600),
        (DateTimeField::Minute, 60),
        (DateTimeField::Second, 1),
    ];
    let place = |field: &DateTimeField| UNITS.iter().position(|(unit, _)| unit == field);
    let units = UNITS.get(place(first)?..=place(last)?)?;
    let mut parts = text.split([' ', ':']);
    let mut micros = 0i64;
    for (unit, seconds) in units {
        let part = parts.next()?;
        let (whole, fraction) = match part.split_once('.') {
            Some((whole, fraction)) if *unit == DateTimeField::Second => (whole, fraction),
            Some(_) => return None,
            None => (part, ""),
        };
        let whole: i64 = whole.parse().ok().filter(|whole| *whole >= 0)?;
        micros = micros.checked_add(whole.checked_mul(seconds * 1_000_000)?)?;
        micros = micros.checked_add(time::parse_fraction(fraction)?)?;
    }
    parts.next().is_none().then_some(micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_microseconds() {
        use DateTimeField::{Day, Hour, Minute, Second};
        for (text, first, last, expected) in [
            ("4", Second, Second, Some(4_000_000)),
            ("0.25", Second, Second, Some(250_000)),
            ("1 02:03:04.5", Day, Second, Some(93_784_500_000)),
            ("90", Minute, Minute, Some(5_400_000_000)),
            ("1:30", Hour, Minute, Some(5_400_000_000)),
            ("1:30", Hour, Hour, None),
            ("1.5", Hour, Hour, None),
            ("x", Second, Second, None),
        ] {
            assert_eq!(day_time(text, &first, &last), expected, "{text}");
        }
    }
}
