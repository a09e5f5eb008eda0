//! A job's result as CSV.

use std::{fmt, io::Write};

use millstream_data::{page::ValidPage, types::Schema};
use millstream_dataflow::TaskError;
use millstream_format::csv::{Dialect, push_field};

use super::{ResultSink, TextColumn, kept, kept_as, print};

/// Commas and double quotes.
const DIALECT: Dialect = Dialect::DEFAULT;
/// What snapshots are kept as.
const KEPT_AS: &str = "csv";

/// Writes the result as CSV (RFC 4180): a header line, fields quoted only where they must be, NULL
/// an empty field and the empty text `""`.
///
/// Nothing is written before the result is complete: a job that fails prints no part of it.
pub struct Csv<W> {
    out: W,
    columns: Vec<TextColumn>,
    text: Vec<u8>,
}

impl<W: Write + Send> Csv<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> Self {
        Self { out, columns: Vec::new(), text: Vec::new() }
    }
}

impl<W> fmt::Debug for Csv<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Csv({} columns)", self.columns.len())
    }
}

impl<W: Write + Send> ResultSink for Csv<W> {
    fn open(&mut self, schema: &Schema) -> Result<(), TaskError> {
        self.columns = TextColumn::of(schema)?;
        self.text.clear();
        for (i, column) in self.columns.iter().enumerate() {
            if i > 0 {
                self.text.push(DIALECT.delimiter);
            }
            push_field(&mut self.text, column.name().as_bytes(), DIALECT);
        }
        self.text.push(b'\n');
        Ok(())
    }

    fn write(&mut self, page: &ValidPage<'_>) -> Result<(), TaskError> {
        let mut cell = Vec::new();
        for row in 0..page.rows() {
            for (i, column) in self.columns.iter().enumerate() {
                if i > 0 {
                    self.text.push(DIALECT.delimiter);
                }
                cell.clear();
                if column.push(page, row, &mut cell) {
                    push_field(&mut self.text, &cell, DIALECT);
                }
            }
            self.text.push(b'\n');
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), TaskError> {
        print(&mut self.out, &self.text)
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, TaskError> {
        Ok(kept_as(KEPT_AS, &self.text))
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), TaskError> {
        let text = kept(KEPT_AS, state)?;
        self.text.clear();
        self.text.extend_from_slice(text);
        Ok(())
    }
}
