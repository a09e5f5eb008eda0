//! Rows as text, for connectors: CSV and JSON lines, both ways.
//!
//! Reading is directed by a schema: a decoder is made for the columns that a job asks for, matched
//! by name, and skips the others. It writes cells straight into the page that is being filled; a
//! record that does not fit the page any more is refused with [`Step::Full`] and read again for the
//! next one. Lists are arrays, maps and nested rows objects in JSON; CSV has lists of plain values,
//! their elements between semicolons. Byte strings are base64, as Flink writes them. Writing goes the other way, from the cells of a page to a buffer of text.
#![deny(unsafe_code)]

mod base64;
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

/// The largest field of a record that is too large.
#[derive(Clone, Debug, Default)]
struct Largest {
    name: String,
    bytes: usize,
    /// The data end within it.
    cut: bool,
}

impl Largest {
    /// Takes another field into account.
    fn consider(&mut self, bytes: usize, cut: bool, name: impl FnOnce() -> String) {
        if bytes > self.bytes {
            *self = Self { name: name(), bytes, cut };
        }
    }

    /// What is wrong with a record of more than `limit` bytes.
    fn error(self, limit: usize) -> RecordError {
        let Self { name, bytes, cut } = self;
        let least = if cut { "at least " } else { "" };
        let message = format!(
            "the record is larger than `max-record-size`, {limit} bytes; its largest field is \
             `{name}` with {least}{bytes} bytes: raise the option or shorten the field"
        );
        RecordError { message, lines: 0 }
    }
}
