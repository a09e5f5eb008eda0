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
//! * **Lists and maps** have a slot like that of bytes. What it names is empty if the list is; else the
//!   number of elements, 32 bits; where each element ends, counted from the first one's begin, 32 bits
//!   each, unless all have the same size; and the elements, each a row of one column, or of key and
//!   value.
//! * **NULL bits**, one a nullable column, least significant first: 1 is NULL. The slot of a NULL is
//!   zero. If a nested row is NULL, everything in it is zero or NULL.
//!
//! So equal rows have equal bytes. A row does not say how long it is: who keeps it knows.
//!
//! ```
//! use millstream_data::{row::RowLayout, value::Record};
//!
//! type Flight = (u64, Option<String>);
//! let layout = RowLayout::new(&Flight::schema());
//! let mut bytes = Vec::new();
//! layout.encode::<Flight>((7, Some("delayed")), &mut bytes);
//! let row = layout.validate(&bytes)?;
//! assert_eq!(layout.decode::<Flight>(row), (7, Some("delayed")));
//! # Ok::<(), millstream_data::row::RowError>(())
//! ```

mod cells;
mod error;
mod list;
mod page;
mod run;
#[cfg(test)]
mod tests;
mod typed;
mod validate;

use alloc::vec::Vec;

pub use cells::{Row, RowMut};
pub use error::RowError;
pub use list::RowList;
pub use page::{PageRow, PageRows, put_cells, scatter};
pub use run::put_rows_run;
pub use typed::{RowReader, RowValue, RowWriter};

use crate::{
    page::ColumnKind,
    types::{DataType, Field, Schema},
};

/// Bytes of the slot of text, bytes, a list or a map.
const VARIABLE_SLOT_BYTES: usize = 8;

/// Where the columns of a schema lie in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowLayout {
    columns: Vec<RowColumn>,
    /// How the elements of lists and maps lie in rows of their own.
    lists: Vec<Self>,
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
    /// Its number among the columns of a page, where those of elements follow that of their list.
    page: usize,
    /// If it is one of lists: which of them.
    list: usize,
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
            ColumnKind::String | ColumnKind::Bytes | ColumnKind::Offsets => VARIABLE_SLOT_BYTES,
            ColumnKind::Group => 0,
        }
    }

    /// Whether its slot says where bytes lie.
    fn is_variable(&self) -> bool {
        self.is_bytes() || self.is_list()
    }

    fn is_bytes(&self) -> bool {
        matches!(self.kind, ColumnKind::String | ColumnKind::Bytes)
    }

    fn is_list(&self) -> bool {
        self.kind == ColumnKind::Offsets
    }
}

impl RowLayout {
    /// The layout of rows of `schema`.
    pub fn new(schema: &Schema) -> Self {
        Self::of(&schema.fields, &mut 0, schema.fingerprint())
    }

    /// The layout of rows of these fields, whose columns of a page begin with number `page`, which
    /// becomes that of the column behind them.
    fn of(all: &[Field], page: &mut usize, fingerprint: u64) -> Self {
        let (mut columns, mut lists, mut fields) = (Vec::new(), Vec::new(), Vec::new());
        for field in all {
            fields.push(columns.len());
            flatten(field, None, page, &mut columns, &mut lists);
        }
        fields.push(columns.len());
        Self::arranged(columns, lists, fields, fingerprint)
    }

    /// The layout of rows of some fields of `schema`, in this order, to be gathered from its pages. Without
    /// `nulls` none of them may be NULL: what is under a NULL is zero then.
    ///
    /// # Panics
    /// If there is no such field.
    pub fn projected(schema: &Schema, picked: &[usize], nulls: bool) -> Self {
        let mut page = 0;
        let begins = schema.fields.iter().map(|field| {
            let begin = page;
            flatten(field, None, &mut page, &mut Vec::new(), &mut Vec::new());
            begin
        });
        let begins: Vec<usize> = begins.collect();
        let (mut columns, mut lists, mut fields) = (Vec::new(), Vec::new(), Vec::new());
        for index in picked {
            fields.push(columns.len());
            let first = columns.len();
            let mut page = begins[*index];
            flatten(&schema.fields[*index], None, &mut page, &mut columns, &mut lists);
            if !nulls {
                columns[first..]
                    .iter_mut()
                    .for_each(|column: &mut RowColumn| column.null_bit = None);
            }
        }
        fields.push(columns.len());
        Self::arranged(columns, lists, fields, schema.fingerprint())
    }

    /// The layout of a row of one field, whose columns in pages with this fingerprint begin with number `first`.
    pub fn of_field(field: &Field, first: usize, fingerprint: u64) -> Self {
        Self::of(core::slice::from_ref(field), &mut { first }, fingerprint)
    }

    /// Gives columns their places.
    fn arranged(
        mut columns: Vec<RowColumn>,
        lists: Vec<Self>,
        fields: Vec<usize>,
        fingerprint: u64,
    ) -> Self {
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
        Self {
            fields,
            fingerprint,
            nulls: end,
            null_bits,
            fixed_bytes: end + null_bits.div_ceil(8),
            variable: columns.iter().any(RowColumn::is_variable),
            columns,
            lists,
        }
    }

    /// Bytes of the fixed part: the shortest row.
    pub fn fixed_bytes(&self) -> usize {
        self.fixed_bytes
    }

    /// Whether every row has [`fixed_bytes`](Self::fixed_bytes).
    pub fn is_fixed(&self) -> bool {
        !self.variable
    }

    /// Physical columns, without those of the elements of lists.
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
    #[inline]
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
    page: &mut usize,
    columns: &mut Vec<RowColumn>,
    lists: &mut Vec<RowLayout>,
) {
    let null_bit = field.nullable.then_some(0);
    let column = RowColumn {
        kind: ColumnKind::Group,
        page: *page,
        list: lists.len(),
        offset: 0,
        null_bit,
        parent,
    };
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
        DataType::Array(_) | DataType::Map(..) => ColumnKind::Offsets,
        DataType::Row(fields) => {
            let mut parent = parent;
            if field.nullable {
                parent = Some(columns.len());
                columns.push(column);
                *page += 1;
            }
            for field in fields {
                flatten(field, parent, page, columns, lists);
            }
            return;
        }
    };
    columns.push(RowColumn { kind, ..column });
    *page += 1;
    // Rows of elements are found through their list: they need no fingerprint.
    match &field.data_type {
        DataType::Array(element) => {
            lists.push(RowLayout::of(core::slice::from_ref(element), page, 0));
        }
        DataType::Map(key, value) => {
            let entry = [Field::clone(key), Field::clone(value)];
            lists.push(RowLayout::of(&entry, page, 0));
        }
        _ => {}
    }
}
