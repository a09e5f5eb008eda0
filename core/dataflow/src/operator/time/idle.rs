//! Sources without rows: others do not wait for them.

use millstream_data::Value;
use millstream_state::time::Idleness;

use super::WatermarkStrategy;
use crate::{chain::Context, graph::alignment::SourceAlignment};

/// Watermarks of a strategy, with a time after which a subtask without rows counts as idle: nobody who
/// reads from it and from others waits for its watermark until it has rows again, and those rows may
/// be late then. Time in which it could not go on for want of room downstream does not count.
///
/// ```
/// use millstream_dataflow::{Environment, operator::WithIdleness};
/// use millstream_state::time::Bounded;
///
/// let env = Environment::new("idle");
/// env.generate(|_, _| (0..100u64).map(|number| (number, number as i64)))
///     .assign_watermarks(WithIdleness::new(Bounded::new(1000), 60_000), |row| row.1)
///     .result();
/// ```
#[derive(Clone, Copy, Debug)]
pub struct WithIdleness<W> {
    strategy: W,
    millis: u64,
}

impl<W> WithIdleness<W> {
    /// The watermarks of `strategy`, of subtasks that are idle after so many milliseconds without a row.
    pub fn new(strategy: W, millis: u64) -> Self {
        Self { strategy, millis }
    }
}

impl<T: Value, W: WatermarkStrategy<T>> WatermarkStrategy<T> for WithIdleness<W> {
    #[inline(always)]
    fn observe(&mut self, row: T::View<'_>, time: i64) -> bool {
        self.strategy.observe(row, time)
    }

    #[inline(always)]
    fn watermark(&self) -> i64 {
        self.strategy.watermark()
    }

    fn idle_after(&self) -> Option<u64> {
        Some(self.millis)
    }

    fn alignment(&self) -> Option<&SourceAlignment> {
        self.strategy.alignment()
    }
}

/// Watches for rows.
#[derive(Debug)]
pub(in crate::operator) struct Watch {
    timeout: u64,
    /// `None` before the first call.
    idleness: Option<Idleness>,
    /// When the last call began, and whether there was a row in it.
    called: u64,
    saw: bool,
    pub(in crate::operator) is_idle: bool,
}

impl Watch {
    pub(in crate::operator) fn new(millis: u64) -> Self {
        let timeout = millis.saturating_mul(1000);
        Self { timeout, idleness: None, called: 0, saw: false, is_idle: false }
    }

    /// There is a row; `true` if the subtask was idle.
    #[inline(always)]
    pub(in crate::operator) fn row(&mut self, context: &mut Context<'_>) -> bool {
        self.saw = true;
        self.is_idle && self.begin_anew(context)
    }

    #[cold]
    fn begin_anew(&mut self, context: &mut Context<'_>) -> bool {
        if let Some(idleness) = &mut self.idleness {
            idleness.row(context.now());
        }
        self.is_idle = false;
        self.ask(context);
        true
    }

    /// Asks to be told when the subtask may be idle. One that is idle waits for a row alone.
    fn ask(&self, context: &mut Context<'_>) {
        if let Some(at) = self.idleness.as_ref().and_then(Idleness::deadline) {
            let millis = at.saturating_sub(context.now()).div_ceil(1000).max(1);
            let millis = i64::try_from(millis).unwrap_or(i64::MAX);
            context.wake_at(context.time().saturating_add(millis));
        }
    }

    /// No further row can be taken for now.
    pub(in crate::operator) fn blocked(&mut self, context: &Context<'_>) {
        if let Some(idleness) = &mut self.idleness {
            idleness.blocked(context.now());
        }
    }

    /// A call begins, and rows can be taken.
    pub(in crate::operator) fn called(&mut self, context: &mut Context<'_>) {
        let now = context.now();
        let timeout = self.timeout;
        let idleness = self.idleness.get_or_insert_with(|| Idleness::new(timeout, now));
        if core::mem::take(&mut self.saw) {
            idleness.row(self.called);
        }
        idleness.unblocked(now);
        self.called = now;
    }

    /// Time went by; `true` if the subtask is idle from now on, which it is not while it has `more`. Asks to
    /// be told again.
    pub(in crate::operator) fn check(&mut self, more: bool, context: &mut Context<'_>) -> bool {
        let Some(idleness) = &mut self.idleness else { return false };
        let now = context.now();
        if more {
            idleness.row(now);
        }
        let has_become = idleness.check(now);
        self.is_idle |= has_become;
        self.ask(context);
        has_become
    }
}

#[cfg(test)]
mod tests {
    use alloc::{vec, vec::Vec};

    use millstream_state::time::Bounded;

    use super::*;
    use crate::{
        operator::{
            AssignWatermarks,
            bench::{Bench, Out},
        },
        stream::{Pages, Then},
    };

    type Row = (u64, i64);

    fn bench() -> Bench<Row, Row> {
        let strategy = WithIdleness::new(Bounded::new(0), 100);
        let operator = AssignWatermarks::new(strategy, |row: crate::operator::Row<'_, Row>| row.1);
        Bench::open(&Then::new(Pages::<Row>::new(), operator), 0, 1, 1)
    }

    /// What came out but rows and watermarks.
    fn said(bench: &mut Bench<Row, Row>) -> Vec<Out<Row>> {
        let all = bench.take().into_iter();
        all.filter(|out| matches!(out, Out::Idle | Out::Active)).collect()
    }

    #[test]
    fn a_subtask_without_rows_is_idle_until_there_is_one() {
        let mut bench = bench();
        bench.pass(99);
        assert_eq!(said(&mut bench), []);
        bench.pass(100);
        assert_eq!(said(&mut bench), [Out::Idle]);
        bench.pass(1000);
        bench.push(&[(1, 5)]);
        let active = [Out::Active, Out::Row((1, 5)), Out::Watermark(4)];
        let all = bench.take();
        assert_eq!(all[0], active[0], "before the row");
        assert!(active.iter().all(|out| all.contains(out)), "{all:?}");
        bench.pass(1099);
        bench.push(&[(1, 6)]);
        bench.pass(1198);
        assert_eq!(said(&mut bench), []);
        bench.pass(1199);
        assert_eq!(said(&mut bench), [Out::Idle]);
    }

    #[test]
    fn a_subtask_that_is_held_back_is_not_idle() {
        let mut bench = bench();
        bench.pass(10);
        // Its page is full, and there is no room for the next.
        let rows: Vec<Row> = (0..2000).map(|number| (number, number as i64)).collect();
        let stops = bench.stops;
        bench.push_until_held_back(&rows);
        assert!(bench.stops > stops, "it was held back");
        bench.stand_still_until(5000);
        bench.pass(5000);
        assert_eq!(said(&mut bench), vec![]);
        bench.pass(5099);
        assert_eq!(said(&mut bench), vec![]);
        bench.pass(5200);
        assert_eq!(said(&mut bench), vec![Out::Idle]);
    }
}
