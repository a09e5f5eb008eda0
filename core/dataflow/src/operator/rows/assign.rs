//! Rows with the windows that they are in, as columns.

use core::fmt;

use alloc::{sync::Arc, vec, vec::Vec};

use millstream_data::{
    page::{RowKind, ValidPage},
    row::RowLayout,
    types::{DataType, Field, Schema},
};

use super::{Changes, RowWindow, timed::rows_of};
use crate::{
    chain::{Chain, Context, Signal, TaskError},
    writer::run::RunWriter,
};

/// Rows that are taken at once.
const BATCH: usize = 256;

/// Adds to each row when its window begins and when it ends, and the last millisecond before that, as three
/// timestamps; a row of several windows is there several times.
pub struct RowAssignment {
    windows: RowWindow,
    layout: Arc<RowLayout>,
    bounds: Arc<RowLayout>,
    /// What was made, and how much of it is written.
    out: Changes,
    written: usize,
    writer: RunWriter,
}

impl RowAssignment {
    /// The windows of rows of `input`.
    pub fn new(input: &Schema, windows: RowWindow, writer: RunWriter) -> Self {
        let bound = |name| Field::new(name, DataType::Timestamp { precision: 3 });
        let bounds = Schema::new(vec![bound("start"), bound("end"), bound("time")]);
        let [layout, bounds] = [input, &bounds].map(|schema| Arc::new(RowLayout::new(schema)));
        let out = Changes::new([Arc::clone(&layout), Arc::clone(&bounds)]);
        Self { windows, layout, bounds, out, written: 0, writer }
    }

    /// Takes rows of a page from `start` on; gives the row to go on with.
    fn take(&mut self, page: &ValidPage<'_>, start: usize, now: i64) -> Result<usize, TaskError> {
        let Self { windows, layout, bounds, out, .. } = self;
        let rows = rows_of(layout, page)?;
        let end = page.rows().min(start + BATCH);
        let (mut row, mut times) = (Vec::new(), Vec::new());
        for number in start..end {
            row.clear();
            rows.gather(number, &mut row);
            let kept = out.keep(&row);
            windows.each(&rows, number, now, |window| {
                times.clear();
                bounds.write(&mut times, |row| {
                    for time in [window.start, window.end, window.max_time()] {
                        row.put_fixed(time.saturating_mul(1000).to_le_bytes());
                    }
                });
                let times = out.keep(&times);
                out.emit(RowKind::Insert, kept, times);
            })?;
        }
        Ok(end)
    }

    /// Writes what was made; `false` if the context is blocked before all of it is.
    fn write(&mut self, context: &mut Context<'_>) -> bool {
        if self.written < self.out.len() {
            self.written = self.writer.write(&self.out, self.written..self.out.len(), context);
        }
        if self.written < self.out.len() {
            return false;
        }
        self.out.clear();
        self.written = 0;
        true
    }
}

impl Chain for RowAssignment {
    fn process(
        &mut self,
        _input: u16,
        page: &ValidPage<'_>,
        start: usize,
        context: &mut Context<'_>,
    ) -> usize {
        let mut row = start;
        while self.write(context) && !context.is_blocked() && row < page.rows() {
            match self.take(page, row, context.time()) {
                Ok(next) => row = next,
                Err(error) => context.fail(error),
            }
        }
        row
    }

    fn finish(&mut self, context: &mut Context<'_>) -> bool {
        self.write(context) && !context.is_blocked()
    }

    fn signal(&mut self, signal: Signal, context: &mut Context<'_>) -> bool {
        if !self.write(context) {
            return false;
        }
        self.writer.signal(signal, context);
        true
    }

    fn flush(&mut self, force: bool, context: &mut Context<'_>) {
        self.writer.flush(force, context);
    }
}

impl fmt::Debug for RowAssignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RowAssignment({} rows wait)", self.out.len() - self.written)
    }
}
