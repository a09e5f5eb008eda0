//! The watermarks of a source's rows, a batch at a time.

use alloc::vec::Vec;

use millstream_state::time::{WATERMARK_MAX, WATERMARK_MIN};

use crate::{
    chain::{Context, Signal},
    operator::time::Watch,
};

/// Finds the watermark behind each row of the splits that a subtask reads, one after another, as
/// [`AssignWatermarks`](crate::operator::AssignWatermarks) does: there is none while splits are left that
/// somebody has yet to begin, since nobody knows their times.
#[derive(Debug)]
pub struct Marks {
    /// The watermark of the split's rows so far.
    current: i64,
    held: bool,
    /// For each row at hand the watermark in front of it, and whether it is behind that.
    rows: Vec<(i64, bool)>,
    /// If a subtask without rows becomes idle: nobody waits for its watermark.
    watch: Option<Watch>,
}

impl Default for Marks {
    fn default() -> Self {
        Self { current: WATERMARK_MIN, held: false, rows: Vec::new(), watch: None }
    }
}

impl Marks {
    /// Takes a batch of rows, for each its time and the watermark that it carries, in milliseconds; a row
    /// without a time is never late, one without a watermark changes nothing.
    pub fn observe(&mut self, rows: impl Iterator<Item = (Option<i64>, Option<i64>)>) {
        self.rows.clear();
        for (time, mark) in rows {
            let before = self.current;
            let is_late = !self.held && time.is_some_and(|time| time <= before);
            self.rows.push((before, is_late));
            self.current = before.max(mark.unwrap_or(WATERMARK_MIN));
        }
    }

    /// The same of a subtask that is idle when no row has come for so many milliseconds.
    #[must_use]
    pub fn idle_after(self, millis: u64) -> Self {
        Self { watch: Some(Watch::new(millis)), ..self }
    }

    /// The chain is called, and may take rows.
    pub fn called(&mut self, context: &mut Context<'_>) {
        if let Some(watch) = &mut self.watch {
            watch.called(context);
        }
    }

    /// There are rows; gives the signal to be passed on before them, if the subtask was idle.
    pub fn came(&mut self, context: &mut Context<'_>) -> Option<Signal> {
        let watch = self.watch.as_mut()?;
        watch.row(context).then_some(Signal::Active)
    }

    /// The rows were taken, as far as there was room for what was made of them.
    pub fn taken(&mut self, context: &mut Context<'_>) {
        if let Some(watch) = &mut self.watch
            && context.is_blocked()
        {
            watch.blocked(context);
        }
    }

    /// The signal to be passed on before this one: whether the subtask has become idle, or is no longer.
    pub fn before(&mut self, signal: Signal, context: &mut Context<'_>) -> Option<Signal> {
        let watch = self.watch.as_mut()?;
        match signal {
            Signal::Watermark(WATERMARK_MAX) => {
                core::mem::take(&mut watch.is_idle).then_some(Signal::Active)
            }
            // Nobody knows the times of splits that are left.
            Signal::Time(_) => watch.check(self.held, context).then_some(Signal::Idle),
            _ => None,
        }
    }

    /// If a row of the batch is late: the watermark that it is behind.
    pub fn late(&self, row: usize) -> Option<i64> {
        self.rows.get(row).filter(|(_, is_late)| *is_late).map(|(before, _)| *before)
    }

    /// The watermark in front of a row of the batch, if there is one.
    pub fn in_front(&self, row: usize) -> Option<i64> {
        let (before, _) = self.rows.get(row).filter(|_| !self.held)?;
        (*before > WATERMARK_MIN).then_some(*before)
    }

    /// The rows from this one of the batch on will come again.
    pub fn go_back(&mut self, row: usize) {
        if let Some((before, _)) = self.rows.get(row) {
            self.current = *before;
        }
    }

    /// The watermark to be said behind the rows so far, if there is one.
    pub fn watermark(&self) -> Option<i64> {
        (!self.held && self.current > WATERMARK_MIN).then_some(self.current)
    }

    /// What becomes of a signal: it is passed on, swallowed, or there is a watermark now.
    pub fn signal(&mut self, signal: Signal) -> Option<Signal> {
        match signal {
            // Time begins here: that of streams before counts only when they end.
            Signal::Watermark(WATERMARK_MAX) => Some(signal),
            Signal::Watermark(_) | Signal::Late => None,
            Signal::SplitBegins => {
                (self.current, self.held) = (WATERMARK_MIN, true);
                None
            }
            Signal::LastSplit => {
                self.held = false;
                self.watermark().map(Signal::Watermark)
            }
            // Who has a time of its own for it decides that here.
            Signal::Idle | Signal::Active if self.watch.is_some() => None,
            Signal::Time(_) | Signal::Idle | Signal::Active | Signal::Barrier => Some(signal),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;

    use millstream_data::page::ValidPage;

    use super::*;
    use crate::{
        chain::Chain,
        operator::bench::{Bench, Out},
        writer::run::RunWriter,
    };

    type Row = (u64, i64);

    fn observe(marks: &mut Marks, times: &[i64]) {
        marks.observe(times.iter().map(|time| (Some(*time), Some(time - 3))));
    }

    #[test]
    fn rows_behind_the_watermark_of_those_before_are_late() {
        let mut marks = Marks::default();
        observe(&mut marks, &[10, 7, 8, 20, 17]);
        let late: Vec<_> = (0..6).map(|row| marks.late(row)).collect();
        assert_eq!(late, [None, Some(7), None, None, Some(17), None]);
        let in_front: Vec<_> = (0..6).map(|row| marks.in_front(row)).collect();
        assert_eq!(in_front, [None, Some(7), Some(7), Some(7), Some(17), None]);
        assert_eq!(marks.watermark(), Some(17));
        marks.go_back(3);
        assert_eq!(marks.watermark(), Some(7));
        observe(&mut marks, &[20, 17]);
        assert_eq!(marks.late(1), Some(17));
        marks.observe([(None, None), (Some(18), None)].into_iter());
        assert_eq!((marks.late(0), marks.late(1), marks.watermark()), (None, None, Some(17)));
    }

    /// Passes on what [`Marks`] say.
    struct Marked(Marks, RunWriter);

    impl Chain for Marked {
        fn process(
            &mut self,
            _input: u16,
            page: &ValidPage<'_>,
            _start: usize,
            context: &mut Context<'_>,
        ) -> usize {
            self.0.called(context);
            if let Some(signal) = self.0.came(context) {
                self.1.signal(signal, context);
            }
            self.0.taken(context);
            page.rows()
        }

        fn finish(&mut self, _context: &mut Context<'_>) -> bool {
            true
        }

        fn signal(&mut self, signal: Signal, context: &mut Context<'_>) -> bool {
            self.0.called(context);
            let before = self.0.before(signal, context);
            for signal in before.into_iter().chain(self.0.signal(signal)) {
                self.1.signal(signal, context);
            }
            true
        }

        fn flush(&mut self, force: bool, context: &mut Context<'_>) {
            self.1.flush(force, context);
        }
    }

    #[test]
    fn a_subtask_without_rows_is_idle_until_one_comes() {
        let mut bench = Bench::<Row, Row>::of_chain(0, 1, |_, writer| {
            Box::new(Marked(Marks::default().idle_after(100), writer))
        });
        bench.pass(99);
        assert_eq!(bench.take(), []);
        bench.pass(100);
        assert_eq!(bench.take(), [Out::Idle]);
        bench.pass(150);
        bench.push(&[(1, 5)]);
        assert_eq!(bench.take(), [Out::Active]);
        bench.pass(249);
        assert_eq!(bench.take(), []);
        bench.pass(250);
        assert_eq!(bench.take(), [Out::Idle]);
        // The end is for all.
        bench.watermark(WATERMARK_MAX);
        assert_eq!(bench.take(), [Out::Active, Out::Watermark(WATERMARK_MAX)]);
    }

    #[test]
    fn nobody_says_a_watermark_while_splits_are_left() {
        let mut marks = Marks::default();
        assert_eq!(marks.signal(Signal::SplitBegins), None);
        observe(&mut marks, &[10, 1]);
        assert_eq!((marks.late(1), marks.watermark(), marks.in_front(1)), (None, None, None));
        assert_eq!(marks.signal(Signal::SplitBegins), None);
        observe(&mut marks, &[4]);
        assert_eq!(marks.signal(Signal::LastSplit), Some(Signal::Watermark(1)));
        observe(&mut marks, &[1]);
        assert_eq!(marks.late(0), Some(1));
        let end = Signal::Watermark(WATERMARK_MAX);
        assert_eq!((marks.signal(end), marks.signal(Signal::Watermark(3))), (Some(end), None));
    }
}
