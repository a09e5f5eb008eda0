//! Rows as bytes: the one format of state, timers, sorted records and savepoints.
//!
//! A page holds many rows as columns; here a row stands alone. Its schema describes it, and nested
//! rows are flattened into the same physical columns, in the same order, as in a page
//! ([`Shape`](crate::page::Shape)); so bringing a row over is one move a column.
//!
//! ```text
//!  0                                 nulls      fixed                    length
//!  +------+------+------+-----+-----+----------+------------------------+
//!  | 16 B | 8 B  | 4 B  | 2 B | 1 B | NULL bits| variable part          |
//!  +------+------+------+-----+-----+----------+------------------------+
//! ```
//!
//! * **The fixed part** has a slot for each column, the widest first, so that none needs padding.
//!   Within one width they are in the order of the columns. Numbers are little-endian, a boolean is
//!   a byte of 0 or 1. It can be updated in place.
//! * **Text and bytes** have a slot of eight bytes: where they begin in the row and how long they
//!   are, as 32-bit numbers. The bytes themselves are in the variable part, one column after
//!   another, without gaps.
//! * **NULL bits**, one a nullable column, least significant first: 1 is NULL. The slot of a NULL is
//!   zero. If a nested row is NULL, everything in it is zero or NULL.
//!
//! So equal rows have equal bytes. A row does not say how long it is: who keeps it knows.
//!
//! ```
//! use millstream_data::{row::RowLayout, value::Record};
//!
//! type Flight = (u64, Option<String>);
//! let layout = RowLayout::new(&Flight::schema())?;
//! let mut bytes = Vec::new();
//! layout.encode::<Flight>((7, Some("delayed")), &mut bytes);
//! let row = layout.validate(&bytes)?;
//! assert_eq!(layout.decode::<Flight>(row), (7, Some("delayed")));
//! # Ok::<(), millstream_data::row::RowError>(())
//! ```

mod cells;
mod error;
mod page;
#[cfg(test)]
mod tests;
mod typed;
mod validate;

use alloc::vec::Vec;

pub use cells::{Row, RowMut};
pub use error::RowError;
pub use page::{PageRow, PageRows, scatter};
pub use typed::{RowReader, RowValue, RowWriter};

use crate::{
    page::ColumnKind,
    types::{DataType, Field, Schema},
};

/// Bytes of the slot of text or bytes.
const VARIABLE_SLOT_BYTES: usize = 8;

/// Where the columns of a schema lie in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowLayout {
    columns: Vec<RowColumn>,
    /// The first column of each field, and one more.
    fields: Vec<usize>,
    fingerprint: u64,
    /// Where the NULL bits begin.
    nulls: usize,
    null_bits: usize,
    /// Bytes of the fixed part, NULL bits included.
    fixed_bytes: usize,
    variable: bool,
}

/// One physical column of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowColumn {
    kind: ColumnKind,
    /// Where its slot begins.
    offset: usize,
    /// Its NULL bit, if it may be NULL.
    null_bit: Option<usize>,
    /// The nested row that it is in, if that may be NULL.
    parent: Option<usize>,
}

impl RowColumn {
    /// Bytes of its slot.
    fn width(&self) -> usize {
        match self.kind {
            ColumnKind::Bit => 1,
            ColumnKind::Fixed(width) => usize::from(width),
            ColumnKind::String | ColumnKind::Bytes => VARIABLE_SLOT_BYTES,
            ColumnKind::Offsets | ColumnKind::Group => 0,
        }
    }

    fn is_variable(&self) -> bool {
        matches!(self.kind, ColumnKind::String | ColumnKind::Bytes)
    }
}

impl RowLayout {
    /// The layout of rows of `schema`.
    ///
    /// # Errors
    ///
    /// [`RowError::Unsupported`] for a schema with lists, which rows do not hold yet.
    pub fn new(schema: &Schema) -> Result<Self, RowError> {
        let mut columns = Vec::new();
        let mut fields = Vec::new();
        for field in &schema.fields {
            fields.push(columns.len());
            flatten(field, None, &mut columns)?;
        }
        fields.push(columns.len());
        let mut end = 0;
        for width in [16, 8, 4, 2, 1] {
            for column in columns.iter_mut().filter(|column| column.width() == width) {
                column.offset = end;
                end += width;
            }
        }
        let mut null_bits = 0;
        for bit in columns.iter_mut().filter_map(|column| column.null_bit.as_mut()) {
            *bit = null_bits;
            null_bits += 1;
        }
        Ok(Self {
            fields,
            fingerprint: schema.fingerprint(),
            nulls: end,
            null_bits,
            fixed_bytes: end + null_bits.div_ceil(8),
            variable: columns.iter().any(RowColumn::is_variable),
            columns,
        })
    }

    /// Bytes of the fixed part: the shortest row.
    pub fn fixed_bytes(&self) -> usize {
        self.fixed_bytes
    }

    /// Whether every row has [`fixed_bytes`](Self::fixed_bytes).
    pub fn is_fixed(&self) -> bool {
        !self.variable
    }

    /// Physical columns.
    pub fn columns(&self) -> usize {
        self.columns.len()
    }

    /// The physical column of a field of the schema, the first if it is a nested row. `None` if
    /// there is no such field.
    pub fn column_of(&self, field: usize) -> Option<usize> {
        let column = *self.fields.get(field)?;
        (field + 1 < self.fields.len()).then_some(column)
    }

    /// The fingerprint of the schema.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// A row of this layout that was made in this process. Nothing is checked: reading a row that
    /// was vouched for wrongly gives wrong values or panics.
    ///
    /// # Errors
    ///
    /// [`RowError::Short`] if the bytes are shorter than the fixed part.
    pub fn trusted<'a>(&'a self, bytes: &'a [u8]) -> Result<Row<'a>, RowError> {
        if bytes.len() < self.fixed_bytes {
            return Err(RowError::Short { needed: self.fixed_bytes, found: bytes.len() });
        }
        Ok(Row { layout: self, bytes })
    }
}

fn flatten(
    field: &Field,
    parent: Option<usize>,
    columns: &mut Vec<RowColumn>,
) -> Result<(), RowError> {
    let kind = match &field.data_type {
        DataType::Boolean => ColumnKind::Bit,
        DataType::Int8 | DataType::UInt8 => ColumnKind::Fixed(1),
        DataType::Int16 | DataType::UInt16 => ColumnKind::Fixed(2),
        DataType::Int32
        | DataType::UInt32
        | DataType::Float32
        | DataType::Date
        | DataType::Time => ColumnKind::Fixed(4),
        DataType::Int64
        | DataType::UInt64
        | DataType::Float64
        | DataType::Timestamp { .. }
        | DataType::TimestampLtz { .. } => ColumnKind::Fixed(8),
        DataType::Decimal { .. } => ColumnKind::Fixed(16),
        DataType::String => ColumnKind::String,
        DataType::Bytes => ColumnKind::Bytes,
        // The place of lists: a variable slot whose bytes are the count of elements and then, for
        // each child column, what a row's columns are here. `PageRows`, `scatter`, `validate` and
        // `RowValue` have to follow, which all match on the kind.
        DataType::Array(_) | DataType::Map(..) => {
            return Err(RowError::Unsupported {
                field: field.name.clone(),
                data_type: field.data_type.clone(),
            });
        }
        DataType::Row(fields) => {
            let mut parent = parent;
            if field.nullable {
                let group =
                    RowColumn { kind: ColumnKind::Group, offset: 0, null_bit: Some(0), parent };
                parent = Some(columns.len());
                columns.push(group);
            }
            return fields.iter().try_for_each(|field| flatten(field, parent, columns));
        }
    };
    let null_bit = field.nullable.then_some(0);
    columns.push(RowColumn { kind, offset: 0, null_bit, parent });
    Ok(())
}
