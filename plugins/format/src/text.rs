//! Cells as text, the inverse of [`cell`](crate::cell).

use std::io::Write;

use millstream_sdk::data::{
    calendar::date_of_days, decimal::write_decimal, page::Column, types::DataType,
};

use crate::base64;

/// Adds the text of a cell that is not NULL. Nested types have none.
pub fn push_cell(out: &mut Vec<u8>, data_type: &DataType, column: &Column<'_>, row: usize) {
    // Writing to a vector does not fail.
    let _ = write_cell(out, data_type, column, row);
}

fn write_cell(
    out: &mut Vec<u8>,
    data_type: &DataType,
    column: &Column<'_>,
    row: usize,
) -> std::io::Result<()> {
    match data_type {
        DataType::Boolean => write!(out, "{}", column.bits().at(row)),
        DataType::Int8 => write!(out, "{}", column.fixed::<i8>()[row]),
        DataType::Int16 => write!(out, "{}", column.fixed::<i16>()[row]),
        DataType::Int32 => write!(out, "{}", column.fixed::<i32>()[row]),
        DataType::Int64 => write!(out, "{}", column.fixed::<i64>()[row]),
        DataType::UInt8 => write!(out, "{}", column.fixed::<u8>()[row]),
        DataType::UInt16 => write!(out, "{}", column.fixed::<u16>()[row]),
        DataType::UInt32 => write!(out, "{}", column.fixed::<u32>()[row]),
        DataType::UInt64 => write!(out, "{}", column.fixed::<u64>()[row]),
        DataType::Float32 => write!(out, "{:?}", column.fixed::<f32>()[row]),
        DataType::Float64 => write!(out, "{:?}", column.fixed::<f64>()[row]),
        DataType::Decimal { scale, .. } => {
            let [low, high] = column.fixed::<[u64; 2]>()[row];
            let mut text = String::new();
            let _ = write_decimal(
                &mut text,
                (u128::from(high) << 64 | u128::from(low)) as i128,
                *scale,
            );
            out.write_all(text.as_bytes())
        }
        DataType::Date => write_date(out, column.fixed::<i32>()[row]),
        DataType::Time => write_time(out, i64::from(column.fixed::<i32>()[row]) * 1000, 3),
        DataType::Timestamp { precision } => {
            write_timestamp(out, column.fixed::<i64>()[row], *precision)
        }
        DataType::TimestampLtz { precision } => {
            write_timestamp(out, column.fixed::<i64>()[row], *precision)?;
            out.write_all(b"Z")
        }
        DataType::String => out.write_all(column.views().at(row)),
        DataType::Bytes => {
            base64::encode(out, column.views().at(row));
            Ok(())
        }
        _ => Ok(()),
    }
}

const DAY_MICROS: i64 = 86_400_000_000;

/// `yyyy-MM-dd HH:mm:ss` and as many decimals as the precision says.
fn write_timestamp(out: &mut Vec<u8>, micros: i64, precision: u8) -> std::io::Result<()> {
    write_date(out, micros.div_euclid(DAY_MICROS) as i32)?;
    out.write_all(b" ")?;
    write_time(out, micros.rem_euclid(DAY_MICROS), precision)
}

fn write_time(out: &mut Vec<u8>, micros: i64, precision: u8) -> std::io::Result<()> {
    let seconds = micros / 1_000_000;
    write!(out, "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)?;
    if precision > 0 {
        let width = usize::from(precision.min(6));
        let fraction = micros % 1_000_000 / 10i64.pow(6 - width as u32);
        write!(out, ".{fraction:0width$}")?;
    }
    Ok(())
}

fn write_date(out: &mut Vec<u8>, days: i32) -> std::io::Result<()> {
    let (year, month, day) = date_of_days(days);
    write!(out, "{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps() {
        let shown = |micros, precision| {
            let mut out = Vec::new();
            write_timestamp(&mut out, micros, precision).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(shown(0, 0), "1970-01-01 00:00:00");
        assert_eq!(shown(-1, 3), "1969-12-31 23:59:59.999");
        assert_eq!(shown(951_782_400_000_000 + 3_723_004_000, 3), "2000-02-29 01:02:03.004");
    }
}
