//! Where the rows around a row begin and end.

use std::ops::Range;

use millstream_data::row::Row;

use super::Overing;
use crate::relation::{Edge, Frame};

/// What distances between rows are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measure {
    Rows,
    /// The time in a column, in microseconds; whether rows without one are first.
    Time(usize, bool),
    /// The processing time at which they came.
    Clock,
}

/// Which rows are around each of some rows, which are in order.
pub(super) struct Frames<'a> {
    pub(super) plan: &'a Overing,
    pub(super) rows: &'a [Row<'a>],
    /// When each came, in milliseconds, if that is the order.
    pub(super) times: &'a [i64],
}

impl Frames<'_> {
    /// The rows that are equal to one, from it on.
    pub(super) fn peers(&self, at: usize) -> Range<usize> {
        if let Some(time) = self.times.get(at) {
            return at..self.times.partition_point(|other| other <= time);
        }
        let rest = &self.rows[at..];
        let same = |row: &&Row<'_>| self.plan.order.compare(*row, &self.rows[at]).is_eq();
        at..at + rest.iter().take_while(same).count()
    }

    /// The rows around one whose equals are `peers`.
    pub(super) fn of(&self, at: usize, peers: &Range<usize>) -> Range<usize> {
        let Frame { rows, start, end } = self.plan.frame;
        let (first, last) = if rows { (at, at + 1) } else { (peers.start, peers.end) };
        // A row without a time is only around others without.
        let time = self.time(at);
        let away = |by: i64| time.map(|time| time.saturating_add(by));
        let begin = match start {
            Edge::Start => 0,
            Edge::End => self.rows.len(),
            Edge::By(0) => first,
            Edge::By(by) if rows => moved(first, by),
            Edge::By(by) => away(by).map_or(first, |from| self.first_from(from)),
        };
        let end = match end {
            Edge::Start => 0,
            Edge::End => self.rows.len(),
            Edge::By(0) => last,
            Edge::By(by) if rows => moved(last, by).min(self.rows.len()),
            Edge::By(by) => away(by.saturating_add(1)).map_or(last, |from| self.first_from(from)),
        };
        begin.min(end)..end
    }

    /// The first row whose time is not before this one, in microseconds.
    fn first_from(&self, from: i64) -> usize {
        match self.plan.measure {
            Measure::Clock => self.times.partition_point(|time| micros(*time) < from),
            Measure::Time(column, nulls_first) => self.rows.partition_point(|row| {
                time_of(row, column).map_or(nulls_first, |time| time < from)
            }),
            Measure::Rows => 0,
        }
    }

    /// When a row is, in microseconds.
    fn time(&self, at: usize) -> Option<i64> {
        match self.plan.measure {
            Measure::Clock => self.times.get(at).copied().map(micros),
            Measure::Time(column, _) => self.rows.get(at).and_then(|row| time_of(row, column)),
            Measure::Rows => None,
        }
    }

    /// The first of the rows that may be around one of a later millisecond than `time`.
    pub(super) fn needed(&self, time: i64) -> usize {
        match (self.plan.frame.start, self.plan.frame.rows) {
            (Edge::By(by), true) => moved(self.rows.len(), by),
            (Edge::By(by), false) if self.plan.measure != Measure::Rows => {
                self.first_from(micros(time.saturating_add(1)).saturating_add(by))
            }
            _ => self.rows.len(),
        }
    }
}

/// A time of milliseconds.
fn micros(millis: i64) -> i64 {
    millis.saturating_mul(1000)
}

fn time_of(row: &Row<'_>, column: usize) -> Option<i64> {
    (!row.is_null(column)).then(|| i64::from_le_bytes(row.fixed(column)))
}

fn moved(at: usize, by: i64) -> usize {
    usize::try_from(i64::try_from(at).unwrap_or(i64::MAX).saturating_add(by)).unwrap_or(0)
}
