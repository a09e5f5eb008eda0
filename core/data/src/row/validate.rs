//! Checking rows from outside.

use core::str;

use super::{Row, RowColumn, RowError, RowLayout, RowList, cells, list::ListError};
use crate::page::ColumnKind;

impl RowLayout {
    /// Checks a row from outside completely: its length, NULL bits, booleans, places and text. What
    /// passes can be read without a further check, and is the only row of its values.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, with the column where it is.
    pub fn validate<'a>(&'a self, bytes: &'a [u8]) -> Result<Row<'a>, RowError> {
        let row = self.trusted(bytes)?;
        let used = self.null_bits % 8;
        if used > 0 && bytes[self.fixed_bytes - 1] >> used != 0 {
            return Err(RowError::Column {
                column: self.columns.len(),
                what: "does not exist, but has a NULL bit",
            });
        }
        let mut end = self.fixed_bytes;
        for (index, column) in self.columns.iter().enumerate() {
            let wrong = |what| Err(RowError::Column { column: index, what });
            let absent = column.parent.is_some_and(|parent| row.is_null(parent));
            let null = row.is_null(index);
            if absent && column.null_bit.is_some() && !null {
                return wrong("is a value within a nested row that is NULL");
            }
            let slot = &bytes[column.offset..column.offset + column.width()];
            let empty = slot.iter().all(|byte| *byte == 0);
            if null && !empty {
                return wrong("is NULL, but its slot is not zero");
            }
            if column.is_variable() && !null {
                end = check_variable(&row, index, column, end)?;
                if absent && cells::place(bytes, column).1 > 0 {
                    return wrong("is a value within a nested row that is NULL");
                }
            } else if absent && !empty {
                return wrong("is a value within a nested row that is NULL");
            }
            if column.kind == ColumnKind::Bit && slot.iter().any(|byte| *byte > 1) {
                return wrong("is a boolean that is neither 0 nor 1");
            }
        }
        if end < bytes.len() {
            return Err(RowError::Long { needed: end, found: bytes.len() });
        }
        Ok(row)
    }
}

/// Gives where the column's bytes end, which must begin where the last ones ended.
fn check_variable(
    row: &Row<'_>,
    index: usize,
    column: &RowColumn,
    end: usize,
) -> Result<usize, RowError> {
    let wrong = |what| Err(RowError::Column { column: index, what });
    let (start, length) = cells::place(row.bytes, column);
    if start != end {
        return wrong("does not begin where the one before it ends");
    }
    let Some(bytes) = row.bytes.get(start..).and_then(|rest| rest.get(..length)) else {
        return Err(RowError::Short { needed: start + length, found: row.bytes.len() });
    };
    if column.kind == ColumnKind::String && !bytes.is_ascii() && str::from_utf8(bytes).is_err() {
        return wrong("is text that is not UTF-8");
    }
    if column.is_list() {
        RowList::check(&row.layout.lists[column.list], bytes).map_err(|error| match error {
            ListError::All(what) => RowError::Column { column: index, what },
            ListError::Element(element, error) => {
                RowError::Element { column: index, element, error }
            }
        })?;
    }
    Ok(start + length)
}
