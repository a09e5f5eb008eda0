//! The physical columns that a schema needs.

use alloc::vec::Vec;

use super::{ENTRY_BYTES, HEADER_BYTES, VIEW_BYTES, sizing::Means};
use crate::types::{DataType, Field, Schema};

/// How the cells of a physical column are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    /// One bit a cell, least significant first.
    Bit,
    /// This many bytes a cell: 1, 2, 4, 8 or 16.
    Fixed(u16),
    /// 16-byte views of UTF-8 text.
    String,
    /// 16-byte views of bytes.
    Bytes,
    /// The bounds of lists: `i32` offsets into the columns that follow, one more than there are
    /// lists.
    Offsets,
    /// No cells, only the validity of a nested row.
    Group,
}

impl ColumnKind {
    /// Whether cells are views of text or bytes.
    pub fn is_view(self) -> bool {
        matches!(self, Self::String | Self::Bytes)
    }

    /// Whether cells are single bits.
    pub fn is_bit(self) -> bool {
        self == Self::Bit
    }

    /// The number of this kind in a directory entry.
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Bit => 1,
            Self::Fixed(_) => 2,
            Self::String => 3,
            Self::Bytes => 4,
            Self::Offsets => 5,
            Self::Group => 6,
        }
    }

    /// Bytes a cell, 0 where cells are not whole bytes.
    pub(super) fn width(self) -> usize {
        match self {
            Self::Bit | Self::Group => 0,
            Self::Fixed(width) => usize::from(width),
            Self::String | Self::Bytes => VIEW_BYTES,
            Self::Offsets => 4,
        }
    }

    /// Alignment of the column's data within the segment.
    pub(super) fn alignment(self) -> usize {
        self.width().max(8)
    }

    /// Bytes that `length` elements take.
    pub(super) fn data_bytes(self, length: usize) -> usize {
        match self {
            Self::Bit => length.div_ceil(8),
            _ => self.width() * length,
        }
    }
}

/// One physical column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Physical {
    /// How cells are stored.
    pub kind: ColumnKind,
    /// Whether the column has a validity bitmap.
    pub nullable: bool,
    /// Which lengths the column follows: 0 the rows, `n` the elements of the `n`th list column.
    pub domain: u16,
}

/// The physical columns of a schema, nested rows flattened, in the order of the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    pub(super) fingerprint: u64,
    pub(super) columns: Vec<Physical>,
    pub(super) domains: u16,
    pub(super) row_kinds: bool,
}

impl Shape {
    /// The shape of pages that hold rows of `schema`.
    pub fn new(schema: &Schema) -> Self {
        let mut shape = Self {
            fingerprint: schema.fingerprint(),
            columns: Vec::new(),
            domains: 1,
            row_kinds: false,
        };
        for field in &schema.fields {
            shape.flatten(field, 0);
        }
        if schema.row_kinds { shape.with_row_kinds() } else { shape }
    }

    /// The same shape with a column for the kind of each row.
    pub fn with_row_kinds(mut self) -> Self {
        if !self.row_kinds {
            self.columns.push(Physical { kind: ColumnKind::Fixed(1), nullable: false, domain: 0 });
            self.row_kinds = true;
        }
        self
    }

    /// The physical columns, in the order of the directory.
    pub fn columns(&self) -> &[Physical] {
        &self.columns
    }

    /// Whether pages carry the kind of each row.
    pub fn has_row_kinds(&self) -> bool {
        self.row_kinds
    }

    /// The fingerprint of the schema.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// How many rows a page of `size` bytes can hold when a row takes this on average; at least
    /// one, at most what the columns alone allow.
    pub(super) fn capacity(&self, size: usize, means: &Means) -> usize {
        let mut fixed = HEADER_BYTES + ENTRY_BYTES * self.columns.len();
        for column in &self.columns {
            // Alignment in front of the data, and of the bitmap.
            fixed += column.kind.alignment() - 8 + 8 * usize::from(column.nullable);
            fixed += if column.kind.width() % 8 == 0 && column.kind.width() > 0 { 0 } else { 8 };
        }
        let bits = (size.saturating_sub(fixed) as u64).saturating_mul(8);
        usize::try_from(bits / self.row_bits(means).max(1)).unwrap_or(usize::MAX).max(1)
    }

    /// Bits that a row takes of a page on average: its cells, those of its elements, and its heap.
    pub(super) fn row_bits(&self, means: &Means) -> u64 {
        let mut sixteenths = (means.heap as u64).saturating_mul(8);
        for column in &self.columns {
            let bits = match column.kind {
                ColumnKind::Bit => 1,
                kind => kind.width() as u64 * 8,
            };
            let bits = bits + u64::from(column.nullable);
            let mean = means.elements[usize::from(column.domain)] as u64;
            sixteenths = sixteenths.saturating_add(bits.saturating_mul(mean));
        }
        sixteenths.div_ceil(16)
    }

    /// Whether there are lists or maps.
    pub fn has_lists(&self) -> bool {
        self.domains > 1
    }

    /// Element counts for the list domains of an empty page; empty for a shape without lists.
    pub fn list_lengths(&self) -> Vec<u32> {
        if self.domains > 1 { alloc::vec![0; usize::from(self.domains)] } else { Vec::new() }
    }

    fn flatten(&mut self, field: &Field, domain: u16) {
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
            DataType::Array(element) => return self.flatten_list(field, domain, &[element]),
            DataType::Map(key, value) => return self.flatten_list(field, domain, &[key, value]),
            DataType::Row(fields) => {
                if field.nullable {
                    self.push(ColumnKind::Group, true, domain);
                }
                for field in fields {
                    self.flatten(field, domain);
                }
                return;
            }
        };
        self.push(kind, field.nullable, domain);
    }

    fn flatten_list(&mut self, field: &Field, domain: u16, children: &[&Field]) {
        self.push(ColumnKind::Offsets, field.nullable, domain);
        let elements = self.domains;
        // More lists than that are no page's; validation says so.
        self.domains = self.domains.saturating_add(1);
        for child in children {
            self.flatten(child, elements);
        }
    }

    fn push(&mut self, kind: ColumnKind, nullable: bool, domain: u16) {
        self.columns.push(Physical { kind, nullable, domain });
    }
}
