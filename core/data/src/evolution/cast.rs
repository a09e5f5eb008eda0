//! Cells of one type as cells of another that holds all its values.

use crate::{
    page::{Column, Full, RowBuilder},
    types::DataType,
};
use core::ops::DerefMut;

/// How the cell of a plain value becomes that of another type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cast {
    Bit,
    /// So many bytes, as they are.
    Bytes1,
    Bytes2,
    Bytes4,
    Bytes8,
    Bytes16,
    Text,
    ByteString,
    TextToBytes,
    /// A number, times ten to this power.
    Number {
        from: Number,
        to: Number,
        shift: u8,
    },
}

/// The numbers that have a cell of their own form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    F32,
    F64,
    Decimal,
}

impl Cast {
    /// How `old` becomes `new`; `None` if `new` does not hold all its values. Not for nested types.
    pub(super) fn new(old: &DataType, new: &DataType) -> Option<Self> {
        match (old, new) {
            _ if old == new => Self::copy(old),
            (DataType::Timestamp { precision: a }, DataType::Timestamp { precision: b })
            | (DataType::TimestampLtz { precision: a }, DataType::TimestampLtz { precision: b }) => {
                (a <= b).then_some(Self::Bytes8)
            }
            (DataType::String, DataType::Bytes) => Some(Self::TextToBytes),
            _ => {
                let shift = shift(old, new)?;
                Some(Self::Number { from: Number::of(old)?, to: Number::of(new)?, shift })
            }
        }
    }

    fn copy(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Boolean => Self::Bit,
            DataType::Int8 | DataType::UInt8 => Self::Bytes1,
            DataType::Int16 | DataType::UInt16 => Self::Bytes2,
            DataType::Int32
            | DataType::UInt32
            | DataType::Float32
            | DataType::Date
            | DataType::Time => Self::Bytes4,
            DataType::Int64
            | DataType::UInt64
            | DataType::Float64
            | DataType::Timestamp { .. }
            | DataType::TimestampLtz { .. } => Self::Bytes8,
            DataType::Decimal { .. } => Self::Bytes16,
            DataType::String => Self::Text,
            DataType::Bytes => Self::ByteString,
            DataType::Array(_) | DataType::Map(..) | DataType::Row(_) => return None,
        })
    }

    /// Writes the cell `from` of a column as the cell of column `to`.
    pub(super) fn write<B: DerefMut<Target = [u8]>>(
        self,
        cells: &Column<'_>,
        from: usize,
        rows: &mut RowBuilder<B>,
        to: usize,
    ) -> Result<(), Full> {
        match self {
            Self::Bit => rows.put_bool(to, cells.bits().at(from)),
            Self::Bytes1 => rows.put_fixed(to, cells.fixed::<[u8; 1]>()[from]),
            Self::Bytes2 => rows.put_fixed(to, cells.fixed::<[u8; 2]>()[from]),
            Self::Bytes4 => rows.put_fixed(to, cells.fixed::<[u8; 4]>()[from]),
            Self::Bytes8 => rows.put_fixed(to, cells.fixed::<[u8; 8]>()[from]),
            Self::Bytes16 => rows.put_fixed(to, cells.fixed::<[u8; 16]>()[from]),
            // Text of a valid page is UTF-8.
            Self::Text => {
                let text = core::str::from_utf8(cells.views().at(from)).unwrap_or("\u{FFFD}");
                return rows.put_str(to, text);
            }
            Self::ByteString | Self::TextToBytes => {
                return rows.put_bytes(to, cells.views().at(from));
            }
            Self::Number { from: number, to: target, shift } => match target {
                Number::F32 => rows.put_fixed(to, (number.float(cells, from) as f32).to_le_bytes()),
                Number::F64 => rows.put_fixed(to, number.float(cells, from).to_le_bytes()),
                target => {
                    let value =
                        number.integer(cells, from).wrapping_mul(10i128.wrapping_pow(shift.into()));
                    target.put(rows, to, value);
                }
            },
        }
        Ok(())
    }
}

/// The power of ten by which the cell of a number grows that becomes another; `None` if some
/// numbers would not fit.
fn shift(old: &DataType, new: &DataType) -> Option<u8> {
    let (bits, signed) = match (integer(old), float_bits(old)) {
        (Some(integer), _) => integer,
        // Single precision numbers are double precision numbers.
        (None, Some(_)) => return (*new == DataType::Float64).then_some(0),
        (None, None) => {
            let (
                DataType::Decimal { precision: p, scale: s },
                DataType::Decimal { precision, scale },
            ) = (old, new)
            else {
                return None;
            };
            let shift = scale.checked_sub(*s)?;
            return (precision.saturating_sub(*scale) >= p.saturating_sub(*s)).then_some(shift);
        }
    };
    if let Some((wider, wider_signed)) = integer(new) {
        let holds = match (signed, wider_signed) {
            (true, false) => false,
            (false, true) => wider > bits,
            _ => wider >= bits,
        };
        return holds.then_some(0);
    }
    if let Some(mantissa) = float_bits(new) {
        return (bits - u32::from(signed) <= mantissa).then_some(0);
    }
    let DataType::Decimal { precision, scale } = new else { return None };
    // The most digits that so many bits have.
    let digits = match (bits, signed) {
        (8, _) => 3,
        (16, _) => 5,
        (32, _) => 10,
        (_, true) => 19,
        (_, false) => 20,
    };
    (precision.saturating_sub(*scale) >= digits).then_some(*scale)
}

/// Bits of an integer, and whether it is signed.
fn integer(data_type: &DataType) -> Option<(u32, bool)> {
    Some(match data_type {
        DataType::Int8 => (8, true),
        DataType::Int16 => (16, true),
        DataType::Int32 => (32, true),
        DataType::Int64 => (64, true),
        DataType::UInt8 => (8, false),
        DataType::UInt16 => (16, false),
        DataType::UInt32 => (32, false),
        DataType::UInt64 => (64, false),
        _ => return None,
    })
}

/// Bits of the mantissa of a floating-point number.
fn float_bits(data_type: &DataType) -> Option<u32> {
    match data_type {
        DataType::Float32 => Some(f32::MANTISSA_DIGITS),
        DataType::Float64 => Some(f64::MANTISSA_DIGITS),
        _ => None,
    }
}

impl Number {
    pub(super) fn of(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Int8 => Self::I8,
            DataType::Int16 => Self::I16,
            DataType::Int32 => Self::I32,
            DataType::Int64 => Self::I64,
            DataType::UInt8 => Self::U8,
            DataType::UInt16 => Self::U16,
            DataType::UInt32 => Self::U32,
            DataType::UInt64 => Self::U64,
            DataType::Float32 => Self::F32,
            DataType::Float64 => Self::F64,
            DataType::Decimal { .. } => Self::Decimal,
            // Days, milliseconds and microseconds, where a default is written as a number.
            DataType::Date | DataType::Time => Self::I32,
            DataType::Timestamp { .. } | DataType::TimestampLtz { .. } => Self::I64,
            _ => return None,
        })
    }

    fn integer(self, cells: &Column<'_>, at: usize) -> i128 {
        match self {
            Self::I8 => cells.fixed::<i8>()[at].into(),
            Self::I16 => cells.fixed::<i16>()[at].into(),
            Self::I32 => cells.fixed::<i32>()[at].into(),
            Self::I64 => cells.fixed::<i64>()[at].into(),
            Self::U8 => cells.fixed::<u8>()[at].into(),
            Self::U16 => cells.fixed::<u16>()[at].into(),
            Self::U32 => cells.fixed::<u32>()[at].into(),
            Self::U64 => cells.fixed::<u64>()[at].into(),
            Self::Decimal => i128::from_le_bytes(cells.fixed::<[u8; 16]>()[at]),
            Self::F32 | Self::F64 => self.float(cells, at) as i128,
        }
    }

    fn float(self, cells: &Column<'_>, at: usize) -> f64 {
        match self {
            Self::F32 => cells.fixed::<f32>()[at].into(),
            Self::F64 => cells.fixed::<f64>()[at],
            _ => self.integer(cells, at) as f64,
        }
    }

    /// Writes a number that the type of column `to` holds.
    pub(super) fn put<B: DerefMut<Target = [u8]>>(
        self,
        rows: &mut RowBuilder<B>,
        to: usize,
        value: i128,
    ) {
        match self {
            Self::I8 | Self::U8 => rows.put_fixed(to, (value as u8).to_le_bytes()),
            Self::I16 | Self::U16 => rows.put_fixed(to, (value as u16).to_le_bytes()),
            Self::I32 | Self::U32 => rows.put_fixed(to, (value as u32).to_le_bytes()),
            Self::I64 | Self::U64 => rows.put_fixed(to, (value as u64).to_le_bytes()),
            Self::Decimal => rows.put_fixed(to, value.to_le_bytes()),
            Self::F32 => rows.put_fixed(to, (value as f32).to_le_bytes()),
            Self::F64 => rows.put_fixed(to, (value as f64).to_le_bytes()),
        }
    }
}
