//! What becomes of a job's result.

mod csv;
mod text;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use millstream_data::{Value, page::ValidPage, types::Schema, value::Record};
use millstream_dataflow::TaskError;

pub use csv::Csv;
pub use text::TextColumn;

/// Takes the pages of a job's result, in the order they arrive.
///
/// It is made for the whole job and has a thread of its own, so it may block.
pub trait ResultSink: Send {
    /// The result has these columns. Called before the first page; and again if the job begins anew
    /// after a failure: what there was is void then.
    ///
    /// # Errors
    /// If it cannot take such rows.
    fn open(&mut self, schema: &Schema) -> Result<(), TaskError>;

    /// Takes a page.
    ///
    /// # Errors
    /// If it cannot be taken.
    fn write(&mut self, page: &ValidPage<'_>) -> Result<(), TaskError>;

    /// The result is complete, and every part of the job is done.
    ///
    /// # Errors
    /// If it cannot be completed.
    fn finish(&mut self) -> Result<(), TaskError>;

    /// What was taken so far, for a checkpoint.
    ///
    /// # Errors
    /// If it cannot be kept, as what was shown already cannot be taken back.
    fn snapshot(&mut self) -> Result<Vec<u8>, TaskError> {
        Err(TaskError::new("this kind of result takes no checkpoints"))
    }

    /// Puts back what was taken until a checkpoint. Called between `open` and the first page.
    ///
    /// # Errors
    /// If the bytes are not what [`snapshot`](Self::snapshot) gave.
    fn restore(&mut self, state: &[u8]) -> Result<(), TaskError> {
        let _ = state;
        Err(TaskError::new("this kind of result takes no checkpoints"))
    }
}

/// A result that outlives the attempts to run its job.
pub(crate) type SharedResult = Arc<Mutex<Box<dyn ResultSink>>>;

/// Drops the result.
#[derive(Clone, Copy, Debug, Default)]
pub struct Discard;

impl ResultSink for Discard {
    fn open(&mut self, _schema: &Schema) -> Result<(), TaskError> {
        Ok(())
    }

    fn write(&mut self, _page: &ValidPage<'_>) -> Result<(), TaskError> {
        Ok(())
    }

    fn finish(&mut self) -> Result<(), TaskError> {
        Ok(())
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, TaskError> {
        Ok(Vec::new())
    }

    fn restore(&mut self, _state: &[u8]) -> Result<(), TaskError> {
        Ok(())
    }
}

/// Collects the result as values of a type.
pub struct Collected<T> {
    rows: Arc<Mutex<Vec<T>>>,
}

impl<T: Value> Collected<T> {
    /// An empty collection.
    pub fn new() -> Self {
        Self::default()
    }

    /// A sink that adds to this collection.
    pub fn sink(&self) -> Box<dyn ResultSink> {
        Box::new(Collector { rows: Arc::clone(&self.rows) })
    }

    /// The rows so far, taken, in the order they arrived.
    pub fn take(&self) -> Vec<T> {
        std::mem::take(&mut *self.rows.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<T> Default for Collected<T> {
    fn default() -> Self {
        Self { rows: Arc::default() }
    }
}

impl<T> fmt::Debug for Collected<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Collected")
    }
}

struct Collector<T> {
    rows: Arc<Mutex<Vec<T>>>,
}

impl<T: Value> ResultSink for Collector<T> {
    fn open(&mut self, schema: &Schema) -> Result<(), TaskError> {
        let own = T::schema();
        if own.fingerprint() != schema.fingerprint() {
            return Err(TaskError::new(format!(
                "the job's result has the columns ({schema}), the collection ({own})"
            )));
        }
        Ok(())
    }

    fn write(&mut self, page: &ValidPage<'_>) -> Result<(), TaskError> {
        let columns = T::bind(page);
        let rows = (0..page.rows()).map(|row| T::own(T::at(&columns, row)));
        self.rows.lock().unwrap_or_else(PoisonError::into_inner).extend(rows);
        Ok(())
    }

    fn finish(&mut self) -> Result<(), TaskError> {
        Ok(())
    }
}
