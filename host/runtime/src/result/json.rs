//! A job's result as JSON lines.

use std::{fmt, io::Write};

use millstream_data::{page::ValidPage, types::Schema};
use millstream_dataflow::TaskError;
use millstream_format::{Columns, json};

use super::{ResultSink, kept, kept_as, print};

/// What snapshots are kept as.
const KEPT_AS: &str = "json";

/// Writes the result as JSON lines, an object for each row.
///
/// Nothing is written before the result is complete: a job that fails prints no part of it.
pub struct Json<W> {
    out: W,
    columns: Columns,
    text: Vec<u8>,
    cell: Vec<u8>,
}

impl<W: Write + Send> Json<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> Self {
        Self { out, columns: Columns::default(), text: Vec::new(), cell: Vec::new() }
    }
}

impl<W> fmt::Debug for Json<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Json")
    }
}

impl<W: Write + Send> ResultSink for Json<W> {
    fn open(&mut self, schema: &Schema) -> Result<(), TaskError> {
        self.text.clear();
        self.columns = Columns::new(schema).map_err(|error| TaskError::new(error.to_string()))?;
        Ok(())
    }

    fn write(&mut self, page: &ValidPage<'_>) -> Result<(), TaskError> {
        for row in 0..page.rows() {
            json::push_row(&mut self.text, &self.columns, page, row, &mut self.cell);
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
