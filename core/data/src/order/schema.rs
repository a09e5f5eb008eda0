//! The order of rows whose schema is known at run time.

use alloc::{string::String, vec::Vec};
use core::{cmp::Ordering, fmt};

use super::{Direction, Inverted, KeySink, KeyValue, Nulls, Prefix, SortField, VALUE};
use crate::{
    row::{PageRow, Row, RowLayout},
    types::{DataType, Schema},
};

/// How rows of a schema are ordered: by some fields, one after another.
///
/// Works on rows in the row format ([`Row`]) and on those of pages ([`PageRow`]), mixed if need be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowOrder {
    columns: Vec<OrderColumn>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct OrderColumn {
    column: usize,
    plain: Plain,
    nullable: bool,
    direction: Direction,
    nulls: Nulls,
}

/// The types that have an order, by how their cells are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plain {
    Boolean,
    Signed(u8),
    Unsigned(u8),
    Float32,
    Float64,
    Decimal,
    Bytes,
}

/// Why rows cannot be ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OrderError {
    /// The schema has fewer fields.
    NoSuchField {
        /// The position that was asked for.
        field: usize,
        /// How many fields there are.
        fields: usize,
    },
    /// Values of this type have no order.
    Unordered {
        /// The field.
        field: String,
        /// Its type.
        data_type: DataType,
    },
}

impl fmt::Display for OrderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchField { field, fields } => {
                write!(f, "cannot sort by field {field}: the row has {fields}, counted from 0")
            }
            Self::Unordered { field, data_type } => write!(
                f,
                "cannot sort by `{field}`: {data_type} has no order; sort by a field within it, or \
                 by another one"
            ),
        }
    }
}

impl core::error::Error for OrderError {}

/// A row whose cells can be compared.
pub trait Cells {
    /// Whether a physical column is NULL.
    fn is_null(&self, column: usize) -> bool;

    /// The cell of a physical column of `W` bytes, little-endian; a boolean has one byte.
    fn fixed<const W: usize>(&self, column: usize) -> [u8; W];

    /// The cell of a physical column of text or bytes.
    fn variable(&self, column: usize) -> &[u8];
}

impl RowOrder {
    /// The order of rows of `schema` by `fields`.
    ///
    /// # Errors
    ///
    /// [`OrderError`] if a field is not there, or its type has no order.
    pub fn new(
        schema: &Schema,
        layout: &RowLayout,
        fields: &[SortField],
    ) -> Result<Self, OrderError> {
        let columns = fields.iter().map(|sort| {
            let found = schema.fields.get(sort.field).zip(layout.column_of(sort.field));
            let (field, column) = found.ok_or(OrderError::NoSuchField {
                field: sort.field,
                fields: schema.fields.len(),
            })?;
            let plain = Plain::of(&field.data_type).ok_or_else(|| OrderError::Unordered {
                field: field.name.clone(),
                data_type: field.data_type.clone(),
            })?;
            let SortField { direction, nulls, .. } = *sort;
            Ok(OrderColumn { column, plain, nullable: field.nullable, direction, nulls })
        });
        Ok(Self { columns: columns.collect::<Result<_, _>>()? })
    }

    /// Appends the normalized key of a row.
    pub fn put_key(&self, row: &impl Cells, sink: &mut impl KeySink) {
        for column in &self.columns {
            if sink.is_full() {
                return;
            }
            let null = column.nullable && row.is_null(column.column);
            if column.nullable {
                sink.put(&[if null { column.nulls.byte() } else { VALUE }]);
            }
            if null {
                continue;
            }
            let value = column.plain.value(row, column.column);
            match (column.direction, value.word()) {
                (Direction::Ascending, _) => value.put(sink),
                (Direction::Descending, Some((word, width))) => {
                    sink.put(&(!word).to_be_bytes()[..width]);
                }
                (Direction::Descending, None) => value.put(&mut Inverted(sink)),
            }
        }
    }

    /// The first eight bytes of a row's key, as a number of the same order.
    pub fn prefix(&self, row: &impl Cells) -> u64 {
        let mut prefix = Prefix::<8>::new();
        self.put_key(row, &mut prefix);
        prefix.word()
    }

    /// Whether the first `bytes` of two keys are equal only if the rows are equal in this order.
    pub fn prefix_decides(&self, bytes: usize) -> bool {
        let width = |column: &OrderColumn| {
            column.plain.width().map(|width| width + usize::from(column.nullable))
        };
        self.columns.iter().map(width).sum::<Option<usize>>().is_some_and(|key| key <= bytes)
    }

    /// How two rows are ordered: as their keys are.
    pub fn compare(&self, a: &impl Cells, b: &impl Cells) -> Ordering {
        for column in &self.columns {
            let nulls = match column.nullable {
                true => (a.is_null(column.column), b.is_null(column.column)),
                false => (false, false),
            };
            let ordering = match nulls {
                (true, true) => Ordering::Equal,
                (true, false) => column.nulls.byte().cmp(&VALUE),
                (false, true) => VALUE.cmp(&column.nulls.byte()),
                (false, false) => {
                    let value_a = column.plain.value(a, column.column);
                    let ordering = value_a.compare(column.plain.value(b, column.column));
                    match column.direction {
                        Direction::Ascending => ordering,
                        Direction::Descending => ordering.reverse(),
                    }
                }
            };
            if ordering.is_ne() {
                return ordering;
            }
        }
        Ordering::Equal
    }
}

impl Plain {
    fn of(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Boolean => Self::Boolean,
            DataType::Int8 => Self::Signed(1),
            DataType::Int16 => Self::Signed(2),
            DataType::Int32 | DataType::Date | DataType::Time => Self::Signed(4),
            DataType::Int64 | DataType::Timestamp { .. } | DataType::TimestampLtz { .. } => {
                Self::Signed(8)
            }
            DataType::UInt8 => Self::Unsigned(1),
            DataType::UInt16 => Self::Unsigned(2),
            DataType::UInt32 => Self::Unsigned(4),
            DataType::UInt64 => Self::Unsigned(8),
            DataType::Float32 => Self::Float32,
            DataType::Float64 => Self::Float64,
            DataType::Decimal { .. } => Self::Decimal,
            DataType::String | DataType::Bytes => Self::Bytes,
            DataType::Array(_) | DataType::Map(..) | DataType::Row(_) => return None,
        })
    }

    /// Bytes of every key; `None` where they depend on the value.
    fn width(self) -> Option<usize> {
        match self {
            Self::Boolean => Some(1),
            Self::Signed(width) | Self::Unsigned(width) => Some(usize::from(width)),
            Self::Float32 => Some(4),
            Self::Float64 => Some(8),
            Self::Decimal => Some(16),
            Self::Bytes => None,
        }
    }

    #[inline]
    fn value<'a>(self, row: &'a impl Cells, column: usize) -> KeyValue<'a> {
        match self {
            Self::Boolean => KeyValue::Boolean(row.fixed(column) != [0u8]),
            Self::Signed(1) => KeyValue::Signed(i8::from_le_bytes(row.fixed(column)).into(), 1),
            Self::Signed(2) => KeyValue::Signed(i16::from_le_bytes(row.fixed(column)).into(), 2),
            Self::Signed(4) => KeyValue::Signed(i32::from_le_bytes(row.fixed(column)).into(), 4),
            Self::Signed(_) => KeyValue::Signed(i64::from_le_bytes(row.fixed(column)), 8),
            Self::Unsigned(1) => KeyValue::Unsigned(u8::from_le_bytes(row.fixed(column)).into(), 1),
            Self::Unsigned(2) => {
                KeyValue::Unsigned(u16::from_le_bytes(row.fixed(column)).into(), 2)
            }
            Self::Unsigned(4) => {
                KeyValue::Unsigned(u32::from_le_bytes(row.fixed(column)).into(), 4)
            }
            Self::Unsigned(_) => KeyValue::Unsigned(u64::from_le_bytes(row.fixed(column)), 8),
            Self::Float32 => KeyValue::Float32(f32::from_le_bytes(row.fixed(column))),
            Self::Float64 => KeyValue::Float64(f64::from_le_bytes(row.fixed(column))),
            Self::Decimal => KeyValue::Decimal(i128::from_le_bytes(row.fixed(column))),
            Self::Bytes => KeyValue::Bytes(row.variable(column)),
        }
    }
}

macro_rules! cells {
    ($($row:ty;)*) => {$(
        impl Cells for $row {
            #[inline]
            fn is_null(&self, column: usize) -> bool {
                <$row>::is_null(self, column)
            }

            #[inline]
            fn fixed<const W: usize>(&self, column: usize) -> [u8; W] {
                <$row>::fixed(self, column)
            }

            #[inline]
            fn variable(&self, column: usize) -> &[u8] {
                <$row>::variable(self, column)
            }
        }
    )*};
}

cells! {
    Row<'_>;
    PageRow<'_>;
}
