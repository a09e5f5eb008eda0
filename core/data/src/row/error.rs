//! What is wrong with a row.

use alloc::boxed::Box;
use core::fmt;

/// What is wrong with a row from outside.
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
    /// An element of a list or map is wrong.
    Element {
        /// The physical column of the list, from 0.
        column: usize,
        /// The element, from 0.
        element: usize,
        /// What is wrong with it, a row of its own.
        error: Box<Self>,
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
            Self::Element { column, element, error } => {
                write!(f, "element {element} in column {column} of the row: {error}")
            }
        }
    }
}

impl core::error::Error for RowError {}
