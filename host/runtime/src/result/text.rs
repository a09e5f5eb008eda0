//! Cells as text.

use std::fmt::{self, Write};

use millstream_data::{
    decimal::write_decimal,
    page::{Column, ValidPage},
    types::{DataType, Field, Schema},
};

/// A column of a schema, as text.
#[derive(Clone, Debug)]
pub struct TextColumn {
    field: Field,
    /// The physical column.
    index: usize,
}

impl TextColumn {
    /// The columns of a schema.
    ///
    /// # Errors
    /// The first field that has no text: nested ones.
    pub fn of(schema: &Schema) -> Result<Vec<Self>, Field> {
        let nested = |field: &&Field| {
            matches!(field.data_type, DataType::Array(_) | DataType::Map(..) | DataType::Row(_))
        };
        if let Some(field) = schema.fields.iter().find(nested) {
            return Err(field.clone());
        }
        let column = |(index, field): (usize, &Field)| Self { field: field.clone(), index };
        Ok(schema.fields.iter().enumerate().map(column).collect())
    }

    /// The column's name.
    pub fn name(&self) -> &str {
        &self.field.name
    }

    /// Writes the cell of a row; `false` if it is NULL.
    ///
    /// # Errors
    /// If `out` has one.
    pub fn write(
        &self,
        page: &ValidPage<'_>,
        row: usize,
        out: &mut String,
    ) -> Result<bool, fmt::Error> {
        let column = page.column(self.index);
        if self.field.nullable && !column.validity().is_valid(row) {
            return Ok(false);
        }
        write_cell(&self.field.data_type, &column, row, out)?;
        Ok(true)
    }
}

fn write_cell(
    data_type: &DataType,
    column: &Column<'_>,
    row: usize,
    out: &mut String,
) -> fmt::Result {
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
            write_decimal(out, (u128::from(high) << 64 | u128::from(low)) as i128, *scale)
        }
        DataType::Date => write_date(out, i64::from(column.fixed::<i32>()[row])),
        DataType::Time => write_time(out, i64::from(column.fixed::<i32>()[row]) * 1000, 3),
        DataType::Timestamp { precision } | DataType::TimestampLtz { precision } => {
            write_timestamp(out, column.fixed::<i64>()[row], *precision)?;
            if matches!(data_type, DataType::TimestampLtz { .. }) {
                out.write_char('Z')?;
            }
            Ok(())
        }
        DataType::String => out.write_str(&String::from_utf8_lossy(column.views().at(row))),
        DataType::Bytes => {
            column.views().at(row).iter().try_for_each(|byte| write!(out, "{byte:02x}"))
        }
        _ => Ok(()),
    }
}

const DAY_MICROS: i64 = 86_400_000_000;

/// `yyyy-MM-dd HH:mm:ss` and as many decimals as the precision says.
fn write_timestamp(out: &mut String, micros: i64, precision: u8) -> fmt::Result {
    write_date(out, micros.div_euclid(DAY_MICROS))?;
    out.write_char(' ')?;
    write_time(out, micros.rem_euclid(DAY_MICROS), precision)
}

fn write_time(out: &mut String, micros: i64, precision: u8) -> fmt::Result {
    let seconds = micros / 1_000_000;
    write!(out, "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)?;
    if precision > 0 {
        let width = usize::from(precision.min(6));
        let fraction = micros % 1_000_000 / 10i64.pow(6 - width as u32);
        write!(out, ".{fraction:0width$}")?;
    }
    Ok(())
}

/// The civil date of a day since 1970-01-01: years that begin in March, in eras of 400 years.
fn write_date(out: &mut String, days: i64) -> fmt::Result {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    write!(out, "{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps() {
        let shown = |micros, precision| {
            let mut out = String::new();
            write_timestamp(&mut out, micros, precision).unwrap();
            out
        };
        assert_eq!(shown(0, 0), "1970-01-01 00:00:00");
        assert_eq!(shown(-1, 3), "1969-12-31 23:59:59.999");
        assert_eq!(shown(951_782_400_000_000 + 3_723_004_000, 3), "2000-02-29 01:02:03.004");
    }
}
