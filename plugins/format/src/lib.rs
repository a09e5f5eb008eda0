//! Rows as text, for connectors: CSV and JSON lines, both ways.
//!
//! Reading is directed by a schema: a decoder is made for the columns that a job asks for, matched
//! by name, and skips the others. It writes cells straight into the page that is being filled; a
//! record that does not fit the page any more is refused with [`Step::Full`] and read again for the
//! next one. Writing goes the other way, from the cells of a page to a buffer of text.
#![deny(unsafe_code)]

pub mod cell;
mod columns;
pub mod csv;
pub mod json;
pub mod lines;
pub mod text;

pub use columns::Columns;

/// What a decoder has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A record, which ends before this byte; it is a row of the page.
    Row(usize),
    /// An empty line, which ends before this byte.
    Blank(usize),
    /// The data end within a record.
    Incomplete,
    /// The page has no room for the record; nothing of it was added.
    Full,
}

/// What is wrong with a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordError {
    /// What, and in which column.
    pub message: String,
    /// Line ends within the record before the error, all in quoted fields.
    pub lines: usize,
}
