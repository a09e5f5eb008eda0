//! Rows with kinds as text, as Flink's `print` connector writes them: `+I[1, Ada, null]`.
//!
//! Values are written as Java shows them, which is not how CSV and JSON have them: a timestamp is
//! `2013-01-31T05:15`, without seconds if they are zero; a double is `1.0E7`; bytes are numbers, a
//! nested row is `+I[...]`, whatever the kind of the row around it.

use std::{
    fmt::{Display, LowerExp},
    io::{self, Write},
};

use millstream_sdk::{
    data::{
        calendar::date_of_days,
        decimal::write_decimal,
        page::{Column as Cells, RowKind},
        types::DataType,
    },
    prelude::ValidPage,
};

use crate::{
    Columns,
    columns::{Column, Kind},
    text::push_cell,
};

/// What stands for a kind of row: `+I`, `-U`, `+U` or `-D`.
pub fn sign(kind: RowKind) -> &'static str {
    match kind {
        RowKind::Insert => "+I",
        RowKind::UpdateBefore => "-U",
        RowKind::UpdateAfter => "+U",
        RowKind::Delete => "-D",
    }
}

/// Adds a row of a page, without a line's end. A page without kinds has rows that are inserted.
pub fn push_row(out: &mut Vec<u8>, columns: &Columns, page: &ValidPage<'_>, row: usize) {
    push_fields(out, page.row_kind(row), columns, page, row);
}

/// Adds the only column of a row of a page, without brackets around it; `false` if it is NULL.
pub fn push_only(out: &mut Vec<u8>, column: &Columns, page: &ValidPage<'_>, row: usize) -> bool {
    let Some(column) = column.fields.first() else { return false };
    let is_null = column.nullable && !page.column(column.index).validity().is_valid(row);
    if !is_null {
        push_value(out, column, page, row);
    }
    !is_null
}

fn push_fields(
    out: &mut Vec<u8>,
    kind: RowKind,
    columns: &Columns,
    page: &ValidPage<'_>,
    row: usize,
) {
    out.extend_from_slice(sign(kind).as_bytes());
    push_list(out, b"[]", &columns.fields, |out, column| push_value(out, column, page, row));
}

fn push_value(out: &mut Vec<u8>, column: &Column, page: &ValidPage<'_>, row: usize) {
    if column.nullable && !page.column(column.index).validity().is_valid(row) {
        return out.extend_from_slice(b"null");
    }
    match &column.kind {
        Kind::Cell(_) => {
            // Writing to a vector does not fail.
            let _ = write_cell(out, &column.data_type, &page.column(column.index), row);
        }
        Kind::Row(columns) => push_fields(out, RowKind::Insert, columns, page, row),
        Kind::List(element) => {
            let places = page.column(column.index).lists().at(row);
            push_list(out, b"[]", places, |out, place| push_value(out, element, page, place));
        }
        Kind::Map(_, columns) => {
            let [key, value] = &**columns;
            let places = page.column(column.index).lists().at(row);
            push_list(out, b"{}", places, |out, place| {
                push_value(out, key, page, place);
                out.push(b'=');
                push_value(out, value, page, place);
            });
        }
    }
}

/// Adds items between two characters, with commas.
fn push_list<I>(
    out: &mut Vec<u8>,
    around: &[u8; 2],
    items: impl IntoIterator<Item = I>,
    mut push: impl FnMut(&mut Vec<u8>, I),
) {
    out.push(around[0]);
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            out.extend_from_slice(b", ");
        }
        push(out, item);
    }
    out.push(around[1]);
}

fn write_cell(
    out: &mut Vec<u8>,
    data_type: &DataType,
    column: &Cells<'_>,
    row: usize,
) -> io::Result<()> {
    match data_type {
        DataType::Float32 => {
            let value = column.fixed::<f32>()[row];
            write_float(out, value, f64::from(value))
        }
        DataType::Float64 => {
            let value = column.fixed::<f64>()[row];
            write_float(out, value, value)
        }
        DataType::Decimal { scale, .. } => {
            let [low, high] = column.fixed::<[u64; 2]>()[row];
            let value = (u128::from(high) << 64 | u128::from(low)) as i128;
            write_number(out, value, *scale)
        }
        DataType::Date => write_date(out, column.fixed::<i32>()[row]),
        DataType::Time => {
            write_time(out, i64::from(column.fixed::<i32>()[row]) * 1000, Seconds::IfAny)
        }
        DataType::Timestamp { .. } => {
            write_timestamp(out, column.fixed::<i64>()[row], Seconds::IfAny)
        }
        DataType::TimestampLtz { .. } => {
            write_timestamp(out, column.fixed::<i64>()[row], Seconds::Always)?;
            out.write_all(b"Z")
        }
        DataType::Bytes => {
            let bytes = column.views().at(row);
            push_list(out, b"[]", bytes, |out, byte| {
                let _ = write!(out, "{}", byte.cast_signed());
            });
            Ok(())
        }
        other => {
            push_cell(out, other, column, row);
            Ok(())
        }
    }
}

/// As `Double.toString` and `Float.toString`: with an exponent below a thousandth and from ten
/// million on.
fn write_float(out: &mut Vec<u8>, value: impl Display + LowerExp, wide: f64) -> io::Result<()> {
    let size = wide.abs();
    if wide.is_nan() {
        return out.write_all(b"NaN");
    }
    if wide.is_infinite() {
        return write!(out, "{}Infinity", if wide < 0.0 { "-" } else { "" });
    }
    if size == 0.0 || (1e-3..1e7).contains(&size) {
        let start = out.len();
        write!(out, "{value}")?;
        if !out[start..].contains(&b'.') {
            out.extend_from_slice(b".0");
        }
        return Ok(());
    }
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let point = if digits.contains('.') { "" } else { ".0" };
    write!(out, "{digits}{point}E{exponent}")
}

/// As `BigDecimal.toString`: with an exponent below a millionth.
fn write_number(out: &mut Vec<u8>, value: i128, scale: u8) -> io::Result<()> {
    let digits = value.unsigned_abs().to_string();
    let exponent = digits.len() as i32 - 1 - i32::from(scale);
    if exponent >= -6 {
        let mut text = String::new();
        let _ = write_decimal(&mut text, value, scale);
        return out.write_all(text.as_bytes());
    }
    let (first, rest) = digits.split_at(1);
    let sign = if value < 0 { "-" } else { "" };
    let point = if rest.is_empty() { "" } else { "." };
    write!(out, "{sign}{first}{point}{rest}E{exponent}")
}

/// Whether a time shows its seconds when they are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seconds {
    Always,
    IfAny,
}

const DAY_MICROS: i64 = 86_400_000_000;

fn write_timestamp(out: &mut Vec<u8>, micros: i64, seconds: Seconds) -> io::Result<()> {
    write_date(out, micros.div_euclid(DAY_MICROS) as i32)?;
    out.write_all(b"T")?;
    write_time(out, micros.rem_euclid(DAY_MICROS), seconds)
}

/// As `LocalTime.toString`: three or six decimals, if they are not zero.
fn write_time(out: &mut Vec<u8>, micros: i64, shown: Seconds) -> io::Result<()> {
    let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
    write!(out, "{:02}:{:02}", seconds / 3600, seconds / 60 % 60)?;
    if shown == Seconds::Always || seconds % 60 != 0 || micros != 0 {
        write!(out, ":{:02}", seconds % 60)?;
    }
    match micros {
        0 => Ok(()),
        micros if micros % 1000 == 0 => write!(out, ".{:03}", micros / 1000),
        micros => write!(out, ".{micros:06}"),
    }
}

/// As `LocalDate.toString`: years of four digits, later ones with a sign.
fn write_date(out: &mut Vec<u8>, days: i32) -> io::Result<()> {
    let (year, month, day) = date_of_days(days);
    let sign = if year > 9999 {
        "+"
    } else if year < 0 {
        "-"
    } else {
        ""
    };
    write!(out, "{sign}{:04}-{month:02}-{day:02}", year.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_are_as_java_shows_them() {
        for (value, expected) in [
            (1.0, "1.0"),
            (-0.0, "-0.0"),
            (0.001, "0.001"),
            (9_999_999.5, "9999999.5"),
            (1e7, "1.0E7"),
            (1.25e-4, "1.25E-4"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(shown(|out| write_float(out, value, value)), expected);
        }
        assert_eq!(shown(|out| write_float(out, 0.1f32, f64::from(0.1f32))), "0.1");
        for (value, scale, expected) in [
            (123, 2, "1.23"),
            (-5, 0, "-5"),
            (0, 2, "0.00"),
            (1, 6, "0.000001"),
            (0, 7, "0E-7"),
            (-12, 8, "-1.2E-7"),
            (100, 9, "1.00E-7"),
        ] {
            assert_eq!(shown(|out| write_number(out, value, scale)), expected);
        }
    }

    #[test]
    fn times_are_as_java_shows_them() {
        let timestamp = |micros, seconds| shown(|out| write_timestamp(out, micros, seconds));
        assert_eq!(timestamp(0, Seconds::IfAny), "1970-01-01T00:00");
        assert_eq!(timestamp(0, Seconds::Always), "1970-01-01T00:00:00");
        assert_eq!(timestamp(-1, Seconds::IfAny), "1969-12-31T23:59:59.999999");
        assert_eq!(timestamp(1_500_000, Seconds::IfAny), "1970-01-01T00:00:01.500");
        assert_eq!(timestamp(60_000_001, Seconds::IfAny), "1970-01-01T00:01:00.000001");
        assert_eq!(shown(|out| write_date(out, 2_932_897)), "+10000-01-01");
        assert_eq!(shown(|out| write_date(out, -719_529)), "-0001-12-31");
    }
}
