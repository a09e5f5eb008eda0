//! Rows with the windows that they are in, as columns.

use core::fmt;

use alloc::{sync::Arc, vec, vec::Vec};

use millstream_data::{
    page::{RowKind, ValidPage},
    row::RowLayout,
    types::{DataType, Field, Schema},
};

use millstream_state::time::WATERMARK_MIN;

use super::{
    Changes, RowWindow, WindowClock,
    timed::{rows_of, time_in},
};
use crate::{
    chain::{Chain, Context, Signal, TaskError},
    writer::run::RunWriter,
};

/// Rows that are taken at once.
const BATCH: usize = 256;

/// Adds to each row when its window begins and when it ends, and the last millisecond before that, as three
/// timestamps, the last of which is an instant, of windows of processing time that at which the row came; a row of
/// several windows is there several times.
pub struct RowAssignment {
    windows: RowWindow,
    /// The physical column with the event time, if it goes by one, and the watermark: a row that is late comes behind
    /// it.
    time: Option<usize>,
    clock: WindowClock,
    watermark: i64,
    layout: Arc<RowLayout>,
    bounds: Arc<RowLayout>,
    /// What was made, and how much of it is written.
    out: Changes,
    written: usize,
    writer: RunWriter,
}

impl RowAssignment {
    /// The windows of rows of `input`, whose event time is in this physical column, or that are of processing time, by
    /// a clock.
    pub fn new(
        input: &Schema,
        (time, clock): (Option<usize>, WindowClock),
        windows: RowWindow,
        writer: RunWriter,
    ) -> Self {
        let bound = |name| Field::new(name, DataType::Timestamp { precision: 3 });
        let bounds = Schema::new(vec![bound("start"), bound("end"), bound("time")]);
        let [layout, bounds] = [input, &bounds].map(|schema| Arc::new(RowLayout::new(schema)));
        let out = Changes::new([Arc::clone(&layout), Arc::clone(&bounds)]);
        let watermark = WATERMARK_MIN;
        Self { windows, time, clock, watermark, layout, bounds, out, written: 0, writer }
    }

    /// Takes rows of a page from `start` on, up to the next late one; gives the row to go on with.
    fn take(
        &mut self,
        page: &ValidPage<'_>,
        start: usize,
        context: &mut Context<'_>,
    ) -> Result<usize, TaskError> {
        let Self { windows, clock, layout, bounds, out, .. } = self;
        let rows = rows_of(layout, page)?;
        let end = page.rows().min(start + BATCH);
        let (mut row, mut times) = (Vec::new(), Vec::new());
        for number in start..end {
            if let Some(time) = self.time
                && time_in(&rows, number, time)? <= self.watermark
            {
                if number > start {
                    return Ok(number);
                }
                self.writer.signal(Signal::Late, context);
            }
            row.clear();
            rows.gather(number, &mut row);
            let kept = out.keep(&row);
            let now = context.time();
            let came = self.time.is_none().then_some(now);
            windows.each(&rows, number, (clock.at(now), clock), |window| {
                times.clear();
                let moment = came.unwrap_or_else(|| clock.instant(window.max_time()));
                bounds.write(&mut times, |row| {
                    for time in [window.start, window.end, moment] {
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
        self.out.write(&mut self.written, &mut self.writer, context)
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
            match self.take(page, row, context) {
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
        if let Signal::Watermark(time) = signal {
            self.watermark = self.watermark.max(time);
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

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;

    use millstream_data::value::Record;
    use millstream_state::window::Sliding;

    use super::*;
    use crate::operator::{
        bench::{Bench, Out},
        rows::RowTime,
    };

    /// A number, and a time in microseconds.
    type Row = (u64, i64);
    type InWindow = (u64, i64, i64, i64, i64);

    /// Rows of several windows are there several times; a late one is behind the watermark that it missed.
    #[test]
    fn rows_come_with_their_windows() {
        let windows = Sliding::of(10, 5).unwrap();
        let windows = RowWindow::Sliding(RowTime::Column(1), windows);
        let mut bench = Bench::<Row, InWindow>::of_chain(0, 1, |_, writer| {
            Box::new(RowAssignment::new(
                &Row::schema(),
                (Some(1), WindowClock::default()),
                windows,
                writer,
            ))
        });
        bench.push(&[(1, 12_000)]);
        bench.watermark_waits(12);
        bench.push(&[(2, 13_000), (3, 12_000)]);
        let row =
            |number, time, start| Out::Row((number, time, start, start + 10_000, start + 9_000));
        bench.watermark(20);
        let found = bench.take();
        let rows = [(1, 12_000), (2, 13_000), (3, 12_000)];
        let expected =
            rows.map(|(number, time)| [row(number, time, 10_000), row(number, time, 5000)]);
        let is_row = |out: &&Out<InWindow>| matches!(out, Out::Row(_));
        let of_rows: Vec<_> = found.iter().filter(is_row).copied().collect();
        assert_eq!(of_rows, expected.concat());
        let at = |wanted: Out<InWindow>| found.iter().position(|out| *out == wanted);
        assert!(at(Out::Watermark(12)).unwrap() < at(row(3, 12_000, 5000)).unwrap(), "{found:?}");
    }

    /// Whatever the watermark is, no row is late.
    #[test]
    fn rows_come_with_the_windows_of_the_clock() {
        let windows = Sliding::of(100, 50).unwrap();
        let windows = RowWindow::Sliding(RowTime::Processing, windows);
        let mut bench = Bench::<Row, InWindow>::of_chain(0, 1, |_, writer| {
            let clock = WindowClock::default();
            Box::new(RowAssignment::new(&Row::schema(), (None, clock), windows, writer))
        });
        bench.pass(130);
        bench.watermark_waits(500);
        bench.push(&[(1, 7)]);
        bench.pass(150);
        bench.push(&[(2, 7)]);
        let row = |number, start: i64, now: i64| {
            Out::Row((number, 7, start * 1000, (start + 100) * 1000, now * 1000))
        };
        bench.watermark(600);
        let found = bench.take();
        let is_row = |out: &&Out<InWindow>| matches!(out, Out::Row(_));
        let of_rows: Vec<_> = found.iter().filter(is_row).copied().collect();
        assert_eq!(
            of_rows,
            [row(1, 100, 130), row(1, 50, 130), row(2, 150, 150), row(2, 100, 150)]
        );
    }
}
