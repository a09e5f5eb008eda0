//! Data types, fields and schemas.

use alloc::{boxed::Box, string::String, vec::Vec};
use core::fmt;

use crate::hash;

/// The type of a column, as SQL and Rust agree on it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DataType {
    /// True or false, one bit.
    Boolean,
    /// Signed 8-bit integer (SQL `TINYINT`).
    Int8,
    /// Signed 16-bit integer (SQL `SMALLINT`).
    Int16,
    /// Signed 32-bit integer (SQL `INT`).
    Int32,
    /// Signed 64-bit integer (SQL `BIGINT`).
    Int64,
    /// Unsigned 8-bit integer; the typed API only.
    UInt8,
    /// Unsigned 16-bit integer; the typed API only.
    UInt16,
    /// Unsigned 32-bit integer; the typed API only.
    UInt32,
    /// Unsigned 64-bit integer; the typed API only.
    UInt64,
    /// IEEE 754 single precision (SQL `FLOAT`).
    Float32,
    /// IEEE 754 double precision (SQL `DOUBLE`).
    Float64,
    /// Exact number of `precision` digits (1 to 38), `scale` of them after the point.
    Decimal {
        /// Digits in all.
        precision: u8,
        /// Digits after the point, at most `precision`.
        scale: u8,
    },
    /// Days since 1970-01-01, 32 bits.
    Date,
    /// Milliseconds since midnight, 32 bits.
    Time,
    /// Date and time of day without zone, microseconds since 1970-01-01T00:00, 64 bits.
    Timestamp {
        /// Fractional digits that are shown, 0 to 6.
        precision: u8,
    },
    /// An instant, microseconds since 1970-01-01T00:00Z, 64 bits.
    TimestampLtz {
        /// Fractional digits that are shown, 0 to 6.
        precision: u8,
    },
    /// UTF-8 text.
    String,
    /// Uninterpreted bytes.
    Bytes,
    /// A list of values of one type.
    Array(Box<Field>),
    /// A list of key and value pairs.
    Map(Box<Field>, Box<Field>),
    /// A nested row.
    Row(Vec<Field>),
}

/// A named column.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Field {
    /// The column's name, unique within its row.
    pub name: String,
    /// The column's type.
    pub data_type: DataType,
    /// Whether the column may hold NULL.
    pub nullable: bool,
}

impl Field {
    /// A field that never holds NULL.
    pub fn new(name: impl Into<String>, data_type: DataType) -> Self {
        Self { name: name.into(), data_type, nullable: false }
    }

    /// The same field, NULL allowed.
    pub fn nullable(self) -> Self {
        Self { nullable: true, ..self }
    }
}

/// The columns of a record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Schema {
    /// The columns, in order.
    pub fields: Vec<Field>,
    /// Whether each row says what it does to a table, see [`RowKind`](crate::page::RowKind): the rows are a
    /// changelog. Without, all of them are inserted.
    pub row_kinds: bool,
}

impl Schema {
    /// A schema of these columns.
    pub fn new(fields: Vec<Field>) -> Self {
        Self { fields, row_kinds: false }
    }

    /// The same columns, of rows that have kinds.
    pub fn with_row_kinds(self) -> Self {
        Self { row_kinds: true, ..self }
    }

    /// The position of the column called `name`.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| field.name == name)
    }

    /// A number that two schemas share only if their columns have the same names, types and
    /// nullability in the same order. Stable across machines and versions; every page carries it, beside a
    /// flag for row kinds.
    pub fn fingerprint(&self) -> u64 {
        self.fields.iter().fold(hash::SEED, mix_field)
    }
}

fn mix_field(state: u64, field: &Field) -> u64 {
    let state = hash::bytes(state, field.name.as_bytes());
    mix_type(hash::word(state, u64::from(field.nullable)), &field.data_type)
}

fn mix_type(state: u64, data_type: &DataType) -> u64 {
    let state = hash::word(state, data_type.code());
    match data_type {
        DataType::Decimal { precision, scale } => {
            hash::word(hash::word(state, u64::from(*precision)), u64::from(*scale))
        }
        DataType::Timestamp { precision } | DataType::TimestampLtz { precision } => {
            hash::word(state, u64::from(*precision))
        }
        DataType::Array(element) => mix_field(state, element),
        DataType::Map(key, value) => mix_field(mix_field(state, key), value),
        DataType::Row(fields) => {
            fields.iter().fold(hash::word(state, fields.len() as u64), mix_field)
        }
        _ => state,
    }
}

impl DataType {
    /// The number that stands for this kind of type in fingerprints and encodings; never reused.
    pub(crate) fn code(&self) -> u64 {
        match self {
            Self::Boolean => 1,
            Self::Int8 => 2,
            Self::Int16 => 3,
            Self::Int32 => 4,
            Self::Int64 => 5,
            Self::UInt8 => 6,
            Self::UInt16 => 7,
            Self::UInt32 => 8,
            Self::UInt64 => 9,
            Self::Float32 => 10,
            Self::Float64 => 11,
            Self::Decimal { .. } => 12,
            Self::Date => 13,
            Self::Time => 14,
            Self::Timestamp { .. } => 15,
            Self::TimestampLtz { .. } => 16,
            Self::String => 17,
            Self::Bytes => 18,
            Self::Array(_) => 19,
            Self::Map(..) => 20,
            Self::Row(_) => 21,
        }
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean => f.write_str("BOOLEAN"),
            Self::Int8 => f.write_str("TINYINT"),
            Self::Int16 => f.write_str("SMALLINT"),
            Self::Int32 => f.write_str("INT"),
            Self::Int64 => f.write_str("BIGINT"),
            Self::UInt8 => f.write_str("UNSIGNED TINYINT"),
            Self::UInt16 => f.write_str("UNSIGNED SMALLINT"),
            Self::UInt32 => f.write_str("UNSIGNED INT"),
            Self::UInt64 => f.write_str("UNSIGNED BIGINT"),
            Self::Float32 => f.write_str("FLOAT"),
            Self::Float64 => f.write_str("DOUBLE"),
            Self::Decimal { precision, scale } => write!(f, "DECIMAL({precision}, {scale})"),
            Self::Date => f.write_str("DATE"),
            Self::Time => f.write_str("TIME"),
            Self::Timestamp { precision } => write!(f, "TIMESTAMP({precision})"),
            Self::TimestampLtz { precision } => write!(f, "TIMESTAMP_LTZ({precision})"),
            Self::String => f.write_str("STRING"),
            Self::Bytes => f.write_str("BYTES"),
            Self::Array(element) => write!(f, "ARRAY<{}>", element.data_type),
            Self::Map(key, value) => write!(f, "MAP<{}, {}>", key.data_type, value.data_type),
            Self::Row(fields) => {
                f.write_str("ROW<")?;
                for (i, field) in fields.iter().enumerate() {
                    write!(f, "{}{field}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str(">")
            }
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let null = if self.nullable { "" } else { " NOT NULL" };
        write!(f, "{} {}{null}", self.name, self.data_type)
    }
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, field) in self.fields.iter().enumerate() {
            write!(f, "{}{field}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{string::ToString, vec};

    #[test]
    fn fingerprints_tell_names_types_order_and_nullability_apart() {
        let a = || Field::new("a", DataType::Int64);
        let b = || Field::new("b", DataType::String);
        let schemas = [
            Schema::new(vec![a(), b()]),
            Schema::new(vec![b(), a()]),
            Schema::new(vec![a(), b().nullable()]),
            Schema::new(vec![a()]),
            Schema::new(vec![Field::new("a", DataType::Int32), b()]),
            Schema::new(vec![Field::new("r", DataType::Row(vec![a(), b()]))]),
        ];
        for (i, x) in schemas.iter().enumerate() {
            for (j, y) in schemas.iter().enumerate() {
                assert_eq!(x.fingerprint() == y.fingerprint(), i == j, "{x} against {y}");
            }
        }
    }

    #[test]
    fn the_fingerprint_never_changes() {
        // Stored in pages and checkpoints: a change here breaks both.
        let schema = Schema::new(vec![Field::new("word", DataType::String)]);
        assert_eq!(schema.fingerprint(), schema.clone().fingerprint());
        assert_eq!(schema.to_string(), "word STRING NOT NULL");
    }
}
