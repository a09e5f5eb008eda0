//! The watermarks of a source's rows, a batch at a time.

use alloc::vec::Vec;

use millstream_state::time::{WATERMARK_MAX, WATERMARK_MIN};

use crate::chain::Signal;

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
}

impl Default for Marks {
    fn default() -> Self {
        Self { current: WATERMARK_MIN, held: false, rows: Vec::new() }
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

    /// If a row of the batch is late: the watermark that it is behind.
    pub fn late(&self, row: usize) -> Option<i64> {
        self.rows.get(row).filter(|(_, is_late)| *is_late).map(|(before, _)| *before)
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
            Signal::Time(_) | Signal::Idle | Signal::Active | Signal::Barrier => Some(signal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observe(marks: &mut Marks, times: &[i64]) {
        marks.observe(times.iter().map(|time| (Some(*time), Some(time - 3))));
    }

    #[test]
    fn rows_behind_the_watermark_of_those_before_are_late() {
        let mut marks = Marks::default();
        observe(&mut marks, &[10, 7, 8, 20, 17]);
        let late: Vec<_> = (0..6).map(|row| marks.late(row)).collect();
        assert_eq!(late, [None, Some(7), None, None, Some(17), None]);
        assert_eq!(marks.watermark(), Some(17));
        marks.go_back(3);
        assert_eq!(marks.watermark(), Some(7));
        observe(&mut marks, &[20, 17]);
        assert_eq!(marks.late(1), Some(17));
        marks.observe([(None, None), (Some(18), None)].into_iter());
        assert_eq!((marks.late(0), marks.late(1), marks.watermark()), (None, None, Some(17)));
    }

    #[test]
    fn nobody_says_a_watermark_while_splits_are_left() {
        let mut marks = Marks::default();
        assert_eq!(marks.signal(Signal::SplitBegins), None);
        observe(&mut marks, &[10, 1]);
        assert_eq!((marks.late(1), marks.watermark()), (None, None));
        assert_eq!(marks.signal(Signal::SplitBegins), None);
        observe(&mut marks, &[4]);
        assert_eq!(marks.signal(Signal::LastSplit), Some(Signal::Watermark(1)));
        observe(&mut marks, &[1]);
        assert_eq!(marks.late(0), Some(1));
        let end = Signal::Watermark(WATERMARK_MAX);
        assert_eq!((marks.signal(end), marks.signal(Signal::Watermark(3))), (Some(end), None));
    }
}
