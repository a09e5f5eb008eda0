//! What is wrong with a row.

use alloc::string::String;
use core::fmt;

use crate::types::DataType;

/// What is wrong with a row from outside, or with the schema of one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RowError {
    /// There are fewer bytes than the row needs.
    Short {
        /// Bytes that the row needs at least.
        needed: usize,
        /// Bytes that there are.
        found: usize,
    },
    /// There are bytes behind the row's end.
    Long {
        /// Bytes of the row.
        needed: usize,
        /// Bytes that there are.
        found: usize,
    },
    /// A column is wrong.
    Column {
        /// The physical column, from 0.
        column: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// Rows do not hold fields of this type.
    Unsupported {
        /// The field.
        field: String,
        /// Its type.
        data_type: DataType,
    },
}

impl fmt::Display for RowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { needed, found } => {
                write!(f, "the row needs {needed} bytes, but there are {found}")
            }
            Self::Long { needed, found } => {
                write!(f, "the row has {needed} bytes, but there are {found}")
            }
            Self::Column { column, what } => write!(f, "column {column} of the row {what}"),
            Self::Unsupported { field, data_type } => write!(
                f,
                "the field `{field}` is {data_type}, which state and sorting cannot hold yet; leave \
                 it out, or keep it as text"
            ),
        }
    }
}

impl core::error::Error for RowError {}
