//! Rows that do not wait: each is replayed as it comes.

use alloc::{sync::Arc, vec::Vec};
use core::iter;

use millstream_data::{page::ValidPage, row::RowLayout, types::Schema};

use super::{Changes, RowFunction, RowKeys, RowReplay, RowStates, timed::rows_of};
use crate::chain::TaskError;

/// Rows that are taken at once.
const BATCH: usize = 256;

/// Gives the rows of each key to a function in the order in which they come, one by one, each with the processing
/// time.
pub struct RowsAtOnce<F> {
    function: F,
    keys: RowKeys,
    row: Vec<u8>,
}

impl<F: RowReplay> RowsAtOnce<F> {
    /// For rows of `input` by these columns. `open` makes the function, which may add states of its own.
    ///
    /// # Errors
    /// If there is no memory for the state.
    pub fn open(
        input: &Schema,
        keys: &[usize],
        states: &mut RowStates,
        open: impl FnOnce(&RowKeys, &mut RowStates) -> Result<F, TaskError>,
    ) -> Result<Self, TaskError> {
        let keys = states.keys(input, keys, true);
        Ok(Self { function: open(&keys, states)?, keys, row: Vec::new() })
    }
}

impl<F: RowReplay> RowFunction for RowsAtOnce<F> {
    fn parts(&self) -> [Arc<RowLayout>; 2] {
        self.function.parts()
    }

    fn take(
        &mut self,
        _input: u16,
        page: &ValidPage<'_>,
        start: usize,
        states: &mut RowStates,
        out: &mut Changes,
    ) -> Result<usize, TaskError> {
        let Self { function, keys, row: bytes } = self;
        let end = keys.take(page, start, BATCH)?;
        let layout = Arc::clone(function.layout());
        let rows = rows_of(&layout, page)?;
        let time = states.state.time;
        for (index, row) in keys.rows().iter().enumerate() {
            let row = *row as usize;
            if out.is_large() {
                return Ok(row);
            }
            bytes.clear();
            rows.gather(row, bytes);
            let mut one = iter::once(bytes.as_slice());
            function.replay((keys, index), time, &mut one, states, out)?;
        }
        Ok(end)
    }
}
