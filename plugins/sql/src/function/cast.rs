//! CAST and TRY_CAST, as Flink does them.

use std::{
    fmt::{Display, LowerExp, Write},
    sync::Arc,
};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, PrimitiveArray, StringViewArray,
        StringViewBuilder, new_null_array,
    },
    compute::{CastOptions, cast_with_options},
    datatypes::{
        ArrowPrimitiveType, DataType as Arrow, Date32Type, Decimal128Type, Float32Type,
        Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType,
        TimestampMicrosecondType,
    },
};
use datafusion_common::{DataFusionError, ScalarValue};
use datafusion_expr::Expr;

use super::{arithmetic::decimal_rescaled, nested, prepared, zoned::cast_in_zone};
use crate::{
    bind::Bound,
    time,
    types::{BYTES, Kind, Type},
};

/// A value as one of another type; the caller knows that there is such a cast.
pub(crate) fn cast(bound: Bound, to: &Kind, try_cast: bool) -> Bound {
    if let Some(cast) = cast_in_zone(&bound, to, try_cast) {
        return cast;
    }
    let Bound { expr, data_type } = bound;
    let from = data_type.kind.clone();
    if from.same_values(to) {
        return Bound { expr, data_type: Type { kind: to.clone(), ..data_type } };
    }
    if from == Kind::Null {
        let null = ScalarValue::try_from(&to.arrow()).unwrap_or(ScalarValue::Null);
        return Bound { expr: Expr::Literal(null, None), data_type: Type::nullable(to.clone()) };
    }
    // A decimal that does not fit is NULL, not an error.
    let may_fail = try_cast || matches!(to, Kind::Decimal(..));
    let result = Type { kind: to.clone(), nullable: data_type.nullable || may_fail };
    // A text that is long enough for any is not looked at.
    let keeps = match (&from, to) {
        (Kind::Char(a) | Kind::Varchar(a), Kind::Varchar(b)) => a <= b,
        (Kind::Timestamp(a), Kind::Timestamp(b))
        | (Kind::TimestampLtz(a), Kind::TimestampLtz(b)) => a <= b,
        _ => false,
    };
    if keeps {
        return Bound { expr, data_type: Type { nullable: data_type.nullable, ..result } };
    }
    let name = if try_cast { "TRY_CAST" } else { "CAST" };
    let key = format!("{from} AS {to}");
    let (source, target) = (from, to.clone());
    prepared(name, key, vec![Bound { expr, data_type }], result, move |arrays, _| {
        convert(&arrays[0], &source, &target, try_cast)
    })
}

/// [`cast`], if there is such a cast.
///
/// # Errors
/// If there is none.
pub(crate) fn checked_cast(bound: Bound, to: &Kind, try_cast: bool) -> Result<Bound, String> {
    let from = &bound.data_type.kind;
    match is_cast(from, to) {
        true => Ok(cast(bound, to, try_cast)),
        false => Err(format!("there is no CAST of {from} to {to}")),
    }
}

/// Whether there is a cast.
fn is_cast(from: &Kind, to: &Kind) -> bool {
    let times = |kind: &Kind| kind.is_timestamp() || matches!(kind, Kind::Date | Kind::Time(_));
    let bytes = |kind: &Kind| *kind == BYTES;
    match (from, to) {
        (Kind::Null, to) => to.data_type().is_some(),
        (a, b) if a.is_nested() || b.is_nested() => nested::is_cast(a, b, is_cast),
        (a, b) if a == b => true,
        (a, b) if a.is_text() => {
            b.is_text() || b.is_numeric() || *b == Kind::Boolean || times(b) || bytes(b)
        }
        (a, b) if b.is_text() => a.is_numeric() || *a == Kind::Boolean || times(a) || bytes(a),
        (a, b) if a.is_numeric() => b.is_numeric() || *b == Kind::Boolean && a.is_integer(),
        (Kind::Boolean, b) => b.is_numeric(),
        (a, Kind::Date | Kind::Time(_)) if a.is_timestamp() => true,
        (a, b) if times(a) && b.is_timestamp() => true,
        _ => false,
    }
}

/// Values of one type as those of another; the caller knows that there is such a cast.
pub(super) fn convert(
    array: &ArrayRef,
    from: &Kind,
    to: &Kind,
    try_cast: bool,
) -> Result<ArrayRef, DataFusionError> {
    Ok(match (from, to) {
        (a, b) if a.same_values(b) => Arc::clone(array),
        (Kind::Null, b) => new_null_array(&b.arrow(), array.len()),
        (a, b) if a.is_nested() && b.is_text() => {
            from_text(&nested::texts(array, a)?, b, try_cast)?
        }
        (a, b) if a.is_nested() => nested::converted(array, a, b, try_cast)?,
        (a, b) if a.is_text() => from_text(array, b, try_cast)?,
        (a, b) if *a == BYTES && b.is_text() => {
            let bytes = array.as_binary_view();
            let texts = bytes.iter().map(|bytes| bytes.map(String::from_utf8_lossy));
            let texts: ArrayRef = Arc::new(texts.collect::<StringViewArray>());
            from_text(&texts, b, try_cast)?
        }
        (a, b) if b.is_text() => to_text(array, a, b)?,
        (a, Kind::Decimal(precision, scale)) if a.digits().is_some() => {
            let (_, from_scale) = a.digits().unwrap_or_default();
            let wide = native(array, &Arrow::Decimal128(38, from_scale as i8))?;
            rescaled(wide.as_primitive(), from_scale, *precision, *scale)?
        }
        (Kind::Decimal(_, scale), b) if b.is_integer() => {
            // Toward zero, then as a whole number that wraps.
            let unit = 10i128.pow((*scale).into());
            let whole = array.as_primitive::<Decimal128Type>();
            narrowed(&whole.unary::<_, Decimal128Type>(|value| value / unit), b, |value| value)
        }
        (a, b) if a.is_integer() && b.is_integer() => {
            let wide = native(array, &Arrow::Int64)?;
            narrowed(wide.as_primitive::<Int64Type>(), b, i128::from)
        }
        (a, b) if a.is_approximate() && b.is_integer() => {
            let wide = native(array, &Arrow::Float64)?;
            saturated(wide.as_primitive::<Float64Type>(), b)
        }
        (
            Kind::Timestamp(_) | Kind::TimestampLtz(_),
            Kind::Timestamp(p) | Kind::TimestampLtz(p),
        ) => {
            let unit = 10i64.pow(6 - u32::from((*p).min(6)));
            let times = array.as_primitive::<TimestampMicrosecondType>();
            let cut = |micros: i64| micros.div_euclid(unit) * unit;
            let made = times.unary::<_, TimestampMicrosecondType>(cut);
            Arc::new(made.with_data_type(to.arrow()))
        }
        // Instants of another time zone than UTC are local times here.
        (Kind::TimestampLtz(_), Kind::Date) => {
            let times = array.as_primitive::<TimestampMicrosecondType>();
            let day = |micros: i64| micros.div_euclid(time::DAY) as i32;
            Arc::new(times.unary::<_, Date32Type>(day))
        }
        (Kind::Timestamp(_) | Kind::TimestampLtz(_), Kind::Time(precision)) => {
            let unit = 10i64.pow(6 - u32::from((*precision).min(3)));
            let times = array.as_primitive::<TimestampMicrosecondType>();
            let clock = |micros: i64| (micros.rem_euclid(time::DAY) / unit * unit / 1000) as i32;
            Arc::new(times.unary::<_, Time32MillisecondType>(clock))
        }
        (Kind::Date, b) if b.is_timestamp() => {
            let days = array.as_primitive::<Date32Type>();
            let midnight = |day: i32| i64::from(day) * time::DAY;
            let made = days.unary::<_, TimestampMicrosecondType>(midnight);
            Arc::new(made.with_data_type(to.arrow()))
        }
        (Kind::Time(_), b) if b.is_timestamp() => {
            let clocks = array.as_primitive::<Time32MillisecondType>();
            let first_day = |millis: i32| i64::from(millis) * 1000;
            let made = clocks.unary::<_, TimestampMicrosecondType>(first_day);
            Arc::new(made.with_data_type(to.arrow()))
        }
        _ => native(array, &to.arrow())?,
    })
}

/// What Arrow's kernel does.
fn native(array: &ArrayRef, to: &Arrow) -> Result<ArrayRef, DataFusionError> {
    Ok(cast_with_options(array, to, &CastOptions { safe: true, ..CastOptions::default() })?)
}

fn rescaled(
    array: &Decimal128Array,
    from: u8,
    precision: u8,
    to: u8,
) -> Result<ArrayRef, DataFusionError> {
    let made: Decimal128Array =
        array.unary_opt(|value| decimal_rescaled(value, from, precision, to));
    Ok(Arc::new(made.with_precision_and_scale(precision, to as i8)?))
}

/// Whole numbers in fewer bits: the lowest count, as in Java.
fn narrowed<T: ArrowPrimitiveType>(
    array: &PrimitiveArray<T>,
    to: &Kind,
    wide: impl Fn(T::Native) -> i128,
) -> ArrayRef {
    match to {
        Kind::TinyInt => Arc::new(array.unary::<_, Int8Type>(|value| wide(value) as i8)),
        Kind::SmallInt => Arc::new(array.unary::<_, Int16Type>(|value| wide(value) as i16)),
        Kind::Int => Arc::new(array.unary::<_, Int32Type>(|value| wide(value) as i32)),
        _ => Arc::new(array.unary::<_, Int64Type>(|value| wide(value) as i64)),
    }
}

/// Toward zero, and the nearest there is beyond the range, as in Java: TINYINT and SMALLINT by way of INT.
fn saturated(array: &PrimitiveArray<Float64Type>, to: &Kind) -> ArrayRef {
    match to {
        Kind::TinyInt => Arc::new(array.unary::<_, Int8Type>(|value| value as i32 as i8)),
        Kind::SmallInt => Arc::new(array.unary::<_, Int16Type>(|value| value as i32 as i16)),
        Kind::Int => Arc::new(array.unary::<_, Int32Type>(|value| value as i32)),
        _ => Arc::new(array.unary::<_, Int64Type>(|value| value as i64)),
    }
}

fn from_text(array: &ArrayRef, to: &Kind, try_cast: bool) -> Result<ArrayRef, DataFusionError> {
    let texts = array.as_string_view();
    macro_rules! parse {
        ($arrow:ty, $parse:expr) => {{
            let mut made = PrimitiveArray::<$arrow>::builder(texts.len());
            for text in texts {
                let value = text.and_then($parse);
                if let (None, Some(text), false) = (value, text, try_cast) {
                    return Err(no_value(text, to));
                }
                made.append_option(value);
            }
            made.finish()
        }};
    }
    Ok(match to {
        Kind::Char(length) | Kind::Varchar(length) => {
            let pads = matches!(to, Kind::Char(_));
            let mut made = StringViewBuilder::with_capacity(texts.len());
            for text in texts {
                made.append_option(text.map(|text| sized(text, *length, pads)));
            }
            Arc::new(made.finish())
        }
        Kind::Boolean => {
            let mut made = BooleanArray::builder(texts.len());
            for text in texts {
                let value = text.and_then(|text| match text.trim().to_lowercase().as_str() {
                    "true" | "t" | "yes" | "y" | "1" => Some(true),
                    "false" | "f" | "no" | "n" | "0" => Some(false),
                    _ => None,
                });
                if let (None, Some(text), false) = (value, text, try_cast) {
                    return Err(no_value(text, to));
                }
                made.append_option(value);
            }
            Arc::new(made.finish())
        }
        Kind::TinyInt => Arc::new(parse!(Int8Type, |text| whole(text)?.parse().ok())),
        Kind::SmallInt => Arc::new(parse!(Int16Type, |text| whole(text)?.parse().ok())),
        Kind::Int => Arc::new(parse!(Int32Type, |text| whole(text)?.parse().ok())),
        Kind::BigInt => Arc::new(parse!(Int64Type, |text| whole(text)?.parse().ok())),
        Kind::Float => Arc::new(parse!(Float32Type, |text| text.trim().parse().ok())),
        Kind::Double => Arc::new(parse!(Float64Type, |text| text.trim().parse().ok())),
        Kind::Date => Arc::new(parse!(Date32Type, |text| time::parse_date(text.trim()))),
        Kind::Time(_) => Arc::new(parse!(Time32MillisecondType, |text| {
            time::parse_time(text.trim()).map(|micros| (micros / 1000) as i32)
        })),
        Kind::Timestamp(precision) | Kind::TimestampLtz(precision) => {
            let unit = 10i64.pow(6 - u32::from((*precision).min(6)));
            let made = parse!(TimestampMicrosecondType, |text| {
                time::parse_timestamp(text.trim()).map(|micros| micros.div_euclid(unit) * unit)
            });
            Arc::new(made.with_data_type(to.arrow()))
        }
        Kind::Decimal(precision, scale) => {
            let made = parse!(Decimal128Type, |text| decimal(text.trim(), *precision, *scale));
            Arc::new(made.with_precision_and_scale(*precision, *scale as i8)?)
        }
        _ => native(array, &to.arrow())?,
    })
}

/// The digits of a whole number; those behind a point do not count.
fn whole(text: &str) -> Option<&str> {
    let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let whole = if whole.is_empty() && !fraction.is_empty() { "0" } else { whole };
    fraction.bytes().all(|byte| byte.is_ascii_digit()).then_some(whole)
}

fn no_value(text: &str, to: &Kind) -> DataFusionError {
    let shown: String = text.chars().take(40).collect();
    DataFusionError::Execution(format!(
        "the text '{shown}' is no {to}: TRY_CAST gives NULL instead"
    ))
}

/// The value of a text as a decimal of this scale, rounded half up.
fn decimal(text: &str, precision: u8, scale: u8) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = format!("{whole}{fraction}");
    if all.is_empty() || !all.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: i128 = all.parse().ok()?;
    let value = decimal_rescaled(value, u8::try_from(fraction.len()).ok()?, precision, scale)?;
    Some(if negative { -value } else { value })
}

/// The text cut to a number of characters, and filled with spaces if it is to be that long.
pub(super) fn sized(text: &str, length: u32, pads: bool) -> String {
    let length = length as usize;
    let mut made: String = text.chars().take(length).collect();
    if pads {
        let there = made.chars().count();
        made.extend(std::iter::repeat_n(' ', length.saturating_sub(there)));
    }
    made
}

fn to_text(array: &ArrayRef, from: &Kind, to: &Kind) -> Result<ArrayRef, DataFusionError> {
    let (length, pads) = match to {
        Kind::Char(length) => (*length, true),
        Kind::Varchar(length) => (*length, false),
        _ => (u32::MAX, false),
    };
    let mut made = StringViewBuilder::with_capacity(array.len());
    let mut text = String::new();
    for row in 0..array.len() {
        if array.is_null(row) {
            made.append_null();
            continue;
        }
        text.clear();
        push_value(array, from, row, &mut text);
        // Numbers and times are short: nothing to cut, mostly.
        match pads || text.len() > length as usize {
            true => made.append_value(sized(&text, length, pads)),
            false => made.append_value(&text),
        }
    }
    Ok(Arc::new(made.finish()))
}

/// Adds a value as Flink casts it to text.
fn push_value(array: &ArrayRef, kind: &Kind, row: usize, out: &mut String) {
    // Writing to a String never fails.
    macro_rules! number {
        ($arrow:ty) => {{
            let _ = write!(out, "{}", array.as_primitive::<$arrow>().value(row));
        }};
    }
    match kind {
        Kind::Boolean => {
            let value = array.as_boolean().value(row);
            out.push_str(if value { "TRUE" } else { "FALSE" });
        }
        Kind::TinyInt => number!(Int8Type),
        Kind::SmallInt => number!(Int16Type),
        Kind::Int => number!(Int32Type),
        Kind::BigInt => number!(Int64Type),
        Kind::Float => push_double(array.as_primitive::<Float32Type>().value(row), out),
        Kind::Double => push_double(array.as_primitive::<Float64Type>().value(row), out),
        Kind::Decimal(..) => {
            let text = array.as_primitive::<Decimal128Type>().value_as_string(row);
            out.push_str(&text);
        }
        Kind::Date => time::push_date(array.as_primitive::<Date32Type>().value(row), out),
        Kind::Time(precision) => {
            let millis = array.as_primitive::<Time32MillisecondType>().value(row);
            time::push_time(i64::from(millis) * 1000, *precision, out);
        }
        Kind::Timestamp(precision) | Kind::TimestampLtz(precision) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            time::push_timestamp(micros, *precision, out);
        }
        _ => {}
    }
}

/// As Java prints it, but for very large and very small numbers.
fn push_double(value: impl Into<f64> + Display + LowerExp + Copy, out: &mut String) {
    let wide: f64 = value.into();
    if wide.is_nan() {
        out.push_str("NaN");
    } else if wide.is_infinite() {
        out.push_str(if wide > 0.0 { "Infinity" } else { "-Infinity" });
    } else {
        let size = wide.abs();
        if size != 0.0 && !(1e-3..1e7).contains(&size) {
            return push_exponent(&format!("{value:e}"), out);
        }
        let start = out.len();
        let _ = write!(out, "{value}");
        if !out[start..].contains('.') {
            out.push_str(".0");
        }
    }
}

fn push_exponent(text: &str, out: &mut String) {
    let (digits, exponent) = text.split_once('e').unwrap_or((text, "0"));
    out.push_str(digits);
    if !digits.contains('.') {
        out.push_str(".0");
    }
    out.push('E');
    out.push_str(exponent);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_decimals_rounded_half_up() {
        assert_eq!(decimal("1.005", 10, 2), Some(101));
        assert_eq!(decimal("-1.005", 10, 2), Some(-101));
        assert_eq!(decimal("7", 10, 2), Some(700));
        assert_eq!(decimal("123.4", 4, 2), None);
        assert_eq!(decimal("1.2.3", 4, 2), None);
        assert_eq!(decimal("", 4, 2), None);
    }

    #[test]
    fn doubles_are_printed_as_in_java() {
        for (value, expected) in [
            (1.0, "1.0"),
            (0.1, "0.1"),
            (-2.5, "-2.5"),
            (1e7, "1.0E7"),
            (1.25e-4, "1.25E-4"),
            (0.0, "0.0"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            let mut out = String::new();
            push_double(value, &mut out);
            assert_eq!(out, expected);
        }
    }
}
