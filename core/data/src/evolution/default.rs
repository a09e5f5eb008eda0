//! The values of fields that old rows do not have.

use alloc::{string::String, vec::Vec};

use crate::types::DataType;

/// The value of a field in rows that were written without it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Literal {
    /// Zero, false, the empty text, the empty list; of a row, that for each of its fields that is
    /// NOT NULL.
    Zero,
    /// A truth value.
    Boolean(bool),
    /// An integer of any width; of `DATE`, days since 1970-01-01; of `TIME`, milliseconds since
    /// midnight; of timestamps, microseconds since 1970-01-01T00:00; of `DECIMAL`, the number times
    /// ten to the power of the scale.
    Integer(i128),
    /// A floating-point number.
    Float(f64),
    /// Text.
    Text(String),
    /// A byte string.
    Bytes(Vec<u8>),
}

impl Literal {
    /// Whether it is a value of this type.
    pub(super) fn fits(&self, data_type: &DataType) -> bool {
        let within = |low: i128, high: i128| match self {
            Self::Integer(value) => (low..=high).contains(value),
            _ => false,
        };
        if *self == Self::Zero {
            return true;
        }
        match data_type {
            DataType::Boolean => matches!(self, Self::Boolean(_)),
            DataType::Int8 => within(i8::MIN.into(), i8::MAX.into()),
            DataType::Int16 => within(i16::MIN.into(), i16::MAX.into()),
            DataType::Int32 | DataType::Date => within(i32::MIN.into(), i32::MAX.into()),
            DataType::Int64 | DataType::Timestamp { .. } | DataType::TimestampLtz { .. } => {
                within(i64::MIN.into(), i64::MAX.into())
            }
            DataType::UInt8 => within(0, u8::MAX.into()),
            DataType::UInt16 => within(0, u16::MAX.into()),
            DataType::UInt32 => within(0, u32::MAX.into()),
            DataType::UInt64 => within(0, u64::MAX.into()),
            DataType::Time => within(0, 86_399_999),
            DataType::Decimal { precision, .. } => {
                let end = 10i128.checked_pow(u32::from(*precision)).unwrap_or(i128::MAX);
                within(1 - end, end - 1)
            }
            DataType::Float32 | DataType::Float64 => matches!(self, Self::Float(_)),
            DataType::String => matches!(self, Self::Text(_)),
            DataType::Bytes => matches!(self, Self::Bytes(_)),
            DataType::Array(_) | DataType::Map(..) | DataType::Row(_) => false,
        }
    }
}

/// Values for fields that were added, by path: `place.city` is the field `city` of the nested row
/// `place`, `places[].city` that of the elements of an array, and `{}` stands for the values of a
/// map.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Defaults(Vec<(String, Literal)>);

impl Defaults {
    /// None: a field that is added must be nullable.
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// The same with a value for the field at `path`; the last one counts.
    pub fn with(mut self, path: impl Into<String>, value: Literal) -> Self {
        self.0.push((path.into(), value));
        self
    }

    pub(super) fn of(&self, path: &str) -> Option<&Literal> {
        self.0.iter().rev().find(|(found, _)| found == path).map(|(_, value)| value)
    }
}
