//! What is wrong with pages from outside.

use core::fmt;

use super::valid::DOMAINS_MAX;

/// What is wrong with a page from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PageError {
    /// There are fewer bytes than the page needs.
    Short {
        /// Bytes that the page needs.
        needed: usize,
        /// Bytes that there are.
        found: usize,
    },
    /// A field of the header is wrong.
    Header {
        /// The field.
        field: &'static str,
        /// Its value.
        found: u64,
    },
    /// The page holds rows of another schema.
    Schema {
        /// Fingerprint of the schema that the reader expects.
        expected: u64,
        /// Fingerprint in the page.
        found: u64,
    },
    /// A line of the directory is wrong.
    Column {
        /// The physical column, from 0.
        column: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// A cell is wrong.
    Cell {
        /// The physical column, from 0.
        column: usize,
        /// The row or element, from 0.
        row: usize,
        /// What it is.
        what: &'static str,
    },
    /// The schema has more list columns than a page from outside may have.
    TooManyLists {
        /// How many it has.
        found: usize,
    },
}

impl fmt::Display for PageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { needed, found } => {
                write!(f, "the page needs {needed} bytes, but there are {found}")
            }
            Self::Header { field, found } => {
                write!(f, "the page's {field} is wrong: {found:#x}")
            }
            Self::Schema { expected, found } => write!(
                f,
                "the page holds rows of another schema: fingerprint {found:#018x}, expected \
                 {expected:#018x}; rebuild the part that wrote it with the same record type"
            ),
            Self::Column { column, what } => write!(f, "column {column} of the page: {what}"),
            Self::Cell { column, row, what } => {
                write!(f, "row {row} of column {column} of the page is {what}")
            }
            Self::TooManyLists { found } => {
                write!(f, "the schema has {found} list columns, the limit is {}", DOMAINS_MAX - 1)
            }
        }
    }
}

impl core::error::Error for PageError {}
