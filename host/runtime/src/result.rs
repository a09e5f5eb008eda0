//! What becomes of a job's result.

mod changelog;
mod csv;
mod json;
mod last;
mod live;
mod table;
mod text;

use std::{
    fmt,
    io::Write,
    sync::{Arc, Mutex, PoisonError},
};

use millstream_data::{Value, page::ValidPage, types::Schema, value::Record};
use millstream_dataflow::TaskError;

pub use changelog::Changelog;
pub use csv::Csv;
pub use json::Json;
pub use live::Live;
pub use table::Table;
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

    /// Whether it is to see the changes of a result whose rows have kinds
    /// ([`Schema::row_kinds`]), as they come. Else it is given the rows that are left when all changes are
    /// made, without kinds, just before [`finish`](Self::finish); until then they are kept for it, and in
    /// checkpoints, too.
    fn takes_changes(&self) -> bool {
        false
    }

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

/// A result that is given the rows of a changelog in the way that it takes them.
pub(crate) fn shared(result: Box<dyn ResultSink>) -> SharedResult {
    Arc::new(Mutex::new(Box::new(last::LastRows::new(result))))
}

/// What was taken so far, for a checkpoint: whoever goes on from it must keep it in the same way.
fn kept_as(name: &str, taken: &[u8]) -> Vec<u8> {
    [name.as_bytes(), b"\n", taken].concat()
}

/// What was taken until a checkpoint, as [`kept_as`] has it.
fn kept<'a>(name: &str, state: &'a [u8]) -> Result<&'a [u8], TaskError> {
    let taken = state.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"\n"));
    taken.ok_or_else(|| {
        TaskError::new(format!(
            "the checkpoint does not have the result as {name}: go on with the output that the job \
             began with"
        ))
    })
}

/// Writes text of the result, and whatever was written before.
fn print(out: &mut impl Write, text: &[u8]) -> Result<(), TaskError> {
    let printed = out.write_all(text).and_then(|()| out.flush());
    printed.map_err(|error| TaskError::new(format!("the result cannot be printed: {error}")))
}

/// Drops the result.
#[derive(Clone, Copy, Debug, Default)]
pub struct Discard;

impl ResultSink for Discard {
    fn open(&mut self, _schema: &Schema) -> Result<(), TaskError> {
        Ok(())
    }

    fn takes_changes(&self) -> bool {
        true
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

/// Collects the result as values of a type. Of a changelog those are the rows that are left in the end.
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

#[cfg(test)]
mod tests {
    use millstream_data::{
        Record, Value,
        page::{Layout, PageBuilder, Shape},
    };

    use super::*;

    /// One row, `(7)`, was taken.
    fn taken(mut result: Box<dyn ResultSink>) -> Box<dyn ResultSink> {
        result.open(&u64::schema()).unwrap();
        let shape = Shape::new(&u64::schema());
        let layout = Layout::fitted(&shape, 4096, 0).unwrap().into();
        let mut page = PageBuilder::<u64, _>::new(vec![0; 4096], &shape, &layout);
        page.append(7u64.view()).unwrap();
        let sealed = page.seal(&shape, false);
        result.write(&ValidPage::trusted(&sealed.buffer).unwrap()).unwrap();
        result
    }

    #[test]
    fn a_result_goes_on_in_the_form_in_which_it_began() {
        let sinks: [fn() -> Box<dyn ResultSink>; 4] = [
            || Box::new(Csv::new(Vec::new())),
            || Box::new(Json::new(Vec::new())),
            || Box::new(Table::new(Vec::new())),
            || Box::new(Changelog::new(Vec::new())),
        ];
        for (from, begun) in sinks.iter().enumerate() {
            let state = taken(begun()).snapshot().unwrap();
            for (to, goes_on) in sinks.iter().enumerate() {
                let mut result = goes_on();
                result.open(&u64::schema()).unwrap();
                let restored = result.restore(&state);
                assert_eq!(restored.is_ok(), from == to, "{from} to {to}");
                if let Err(error) = restored {
                    let said = error.to_string();
                    assert!(said.contains("with the output that the job began with"), "{said}");
                    continue;
                }
                assert_eq!(result.snapshot().unwrap(), state);
            }
        }
    }
}
