//! A job's result as the changes that lead to it.

use std::{fmt, io::Write};

use millstream_data::{page::ValidPage, types::Schema};
use millstream_dataflow::TaskError;
use millstream_format::{Columns, change};

use super::{ResultSink, print};

/// Writes each change as it comes, a line for each: `+I[1, Ada]`, as the connector `print` does. Rows
/// without kinds are inserted.
///
/// What was shown cannot be taken back: if a job begins anew after a failure, changes since its last
/// checkpoint come again.
pub struct Changelog<W> {
    out: W,
    columns: Columns,
    text: Vec<u8>,
}

impl<W: Write + Send> Changelog<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> Self {
        Self { out, columns: Columns::default(), text: Vec::new() }
    }
}

impl<W> fmt::Debug for Changelog<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Changelog")
    }
}

impl<W: Write + Send> ResultSink for Changelog<W> {
    fn open(&mut self, schema: &Schema) -> Result<(), TaskError> {
        self.columns = Columns::new(schema).map_err(|error| TaskError::new(error.to_string()))?;
        Ok(())
    }

    fn takes_changes(&self) -> bool {
        true
    }

    fn write(&mut self, page: &ValidPage<'_>) -> Result<(), TaskError> {
        self.text.clear();
        for row in 0..page.rows() {
            change::push_row(&mut self.text, &self.columns, page, row);
            self.text.push(b'\n');
        }
        print(&mut self.out, &self.text)
    }

    fn finish(&mut self) -> Result<(), TaskError> {
        Ok(())
    }

    /// Nothing is held back.
    fn snapshot(&mut self) -> Result<Vec<u8>, TaskError> {
        Ok(Vec::new())
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), TaskError> {
        match state {
            [] => Ok(()),
            _ => Err(TaskError::new(
                "the checkpoint has rows of the result that were not printed yet: go on with the \
                 output that the job began with",
            )),
        }
    }
}
