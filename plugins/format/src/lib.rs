//! Rows as text, for connectors: CSV and JSON lines, both ways; and changelogs, rows with kinds, as
//! JSON lines that say what becomes of each row.
//!
//! Reading is directed by a schema: a decoder is made for the columns that a job asks for, matched
//! by name, and skips the others. It writes cells straight into the page that is being filled; a
//! record that does not fit the page any more is refused with [`Step::Full`] and read again for the
//! next one. Lists are arrays, maps and nested rows objects in JSON; CSV has lists of plain values,
//! their elements between semicolons. Byte strings are base64, as Flink writes them. Writing goes
//! the other way, from the cells of a page to a buffer of text.
//!
//! Connectors find them as the formats `csv`, `json`, `raw`, `text`, `changelog-json` and
//! `debezium-json` of this [`plugin`].
#![deny(unsafe_code)]

mod base64;
pub mod cell;
pub mod change;
mod columns;
pub mod csv;
pub mod json;
pub mod lines;
mod plugin;
pub mod text;

use millstream_sdk::data::page::RowBuilder;

pub use columns::Columns;
pub use millstream_sdk::format::{RecordError, Step};
pub use plugin::{
    ChangeDecoder, ChangeEncoder, ChangelogJson, Csv, CsvDecoder, CsvEncoder, DebeziumJson, Json,
    JsonDecoder, JsonEncoder, Raw, RawDecoder, RawEncoder, Text, TextDecoder, plugin,
};

/// The page that a decoder fills.
type Rows<'a> = RowBuilder<&'a mut [u8]>;

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
