//! Joins with the version that a row of the other side had at a time.
//!
//! Rows of the right are versions of their key, each from its time on. A row of the left waits until the watermark
//! has reached its time: then it is known which version there was. Of the versions that have begun only the
//! last one is kept.

use alloc::{sync::Arc, vec::Vec};

use millstream_data::{
    page::{RowKind, ValidPage},
    row::RowLayout,
    types::Schema,
};

use super::{
    Changes, RowFunction, RowKeys, RowStates,
    timed::{Found, FoundRow, RowPairs, Timed, matching, rows_of, time_in},
};
use crate::{
    chain::TaskError,
    operator::timers::{Timer, Timers},
};

/// Rows that are taken at once.
const BATCH: usize = 256;
/// What is kept with a version: whether there is a row from its time on, or none any more.
const THERE: u8 = 0;
const GONE: u8 = 1;

/// Which rows a temporal join pairs.
#[derive(Clone, Debug)]
pub struct RowVersions {
    /// The columns of the left, whose rows are only added, and of the right, which is a changelog if it has row
    /// kinds: a row that is as it was before an update says nothing.
    pub inputs: [Schema; 2],
    /// Columns of each, of the same types and nullability: they are equal, where NULL is equal to NULL.
    pub keys: [Vec<usize>; 2],
    /// The physical columns with the event times, in microseconds.
    pub times: [usize; 2],
    /// Whether rows of the left are emitted without a version, beside NULLs.
    pub keeps: bool,
}

/// A temporal join.
pub struct RowTemporalJoin<P> {
    pairs: Option<P>,
    keeps: bool,
    sides: [Side; 2],
    /// The key of a timer.
    due: RowKeys,
    timers: Timers,
    timer: Timer,
    /// Rows of the left whose time has come, and versions that have begun.
    found: [Found; 2],
    /// What stands in place of a version.
    blank: Vec<u8>,
}

struct Side {
    keys: RowKeys,
    layout: Arc<RowLayout>,
    column: usize,
    rows: Timed,
}

impl<P: RowPairs> RowTemporalJoin<P> {
    /// The join, which has got no rows yet; `pairs` says what must be true beside.
    ///
    /// # Errors
    /// If there is no memory for the state.
    pub fn open(
        plan: &RowVersions,
        pairs: Option<P>,
        states: &mut RowStates,
    ) -> Result<Self, TaskError> {
        let timers = Timers::open(&mut states.state, "event-timers", 0)?;
        let mut side = |at: usize, name: &str| {
            let schema = &plan.inputs[at];
            let keys = states.keys(schema, &plan.keys[at], true);
            let rows = Timed::open(states, name, &keys, schema)?;
            let layout = Arc::new(RowLayout::new(schema));
            Ok::<_, TaskError>(Side { keys, layout, column: plan.times[at], rows })
        };
        let sides = [side(0, "left")?, side(1, "versions")?];
        let (mut blank, right) = (Vec::new(), &sides[1].layout);
        right.write(&mut blank, |row| (0..right.columns()).for_each(|_| row.leave_empty()));
        Ok(Self {
            pairs,
            keeps: plan.keeps,
            due: sides[0].keys.clone(),
            sides,
            timers,
            timer: Timer::default(),
            found: Default::default(),
            blank,
        })
    }

    /// Emits the rows of the left that were found, each with the last version that has begun at its time.
    fn emit(&mut self, out: &mut Changes) -> Result<(), TaskError> {
        let Self { pairs, keeps, found: [left, right], blank, .. } = self;
        let mut versions = right.rows().iter().peekable();
        let (mut current, mut with): (Option<&FoundRow>, Vec<_>) = (None, Vec::new());
        for row in left.rows() {
            while let Some(next) = versions.next_if(|next| next.time <= row.time) {
                current = Some(next);
            }
            with.push(current.filter(|version| version.mark == THERE));
        }
        let pair = |(row, version): (&FoundRow, &Option<&FoundRow>)| {
            version.map(|version| [left.bytes(row), right.bytes(version)])
        };
        let found: Vec<_> = left.rows().iter().zip(&with).filter_map(pair).collect();
        let mut holds = matching(pairs.as_mut(), &found)?.into_iter();
        for (row, version) in left.rows().iter().zip(with) {
            let version = version.filter(|_| holds.next() == Some(true));
            let other = match version {
                Some(version) => right.bytes(version),
                None if *keeps => blank,
                None => continue,
            };
            let (row, other) = (out.keep(left.bytes(row)), out.keep(other));
            out.emit(RowKind::Insert, row, other);
        }
        Ok(())
    }
}

impl<P: RowPairs> RowFunction for RowTemporalJoin<P> {
    fn parts(&self) -> [Arc<RowLayout>; 2] {
        self.sides.each_ref().map(|side| Arc::clone(&side.layout))
    }

    fn take(
        &mut self,
        input: u16,
        page: &ValidPage<'_>,
        start: usize,
        states: &mut RowStates,
        _out: &mut Changes,
    ) -> Result<usize, TaskError> {
        let is_left = input == 0;
        let state = &mut states.state;
        let Self { sides: [left, right], timers, .. } = self;
        let own = if is_left { left } else { right };
        let end = own.keys.take(page, start, BATCH)?;
        let rows = rows_of(&own.layout, page)?;
        let mut row = Vec::new();
        for (index, number) in own.keys.rows().iter().enumerate() {
            let number = *number as usize;
            row.clear();
            rows.gather(number, &mut row);
            let kind = page.row_kind(number);
            if kind == RowKind::UpdateBefore {
                continue;
            }
            let time = time_in(&rows, number, own.column)?;
            let key = own.keys.keys().at(index);
            match is_left {
                true => own.rows.add(state, &key, time, (THERE, &row))?,
                false => {
                    let mark = if kind == RowKind::Delete { GONE } else { THERE };
                    own.rows.set(state, &key, time, (mark, &row))?;
                }
            }
            timers.register(state, &key, time)?;
        }
        Ok(end)
    }

    fn advance(&mut self, states: &mut RowStates, out: &mut Changes) -> Result<bool, TaskError> {
        let state = &mut states.state;
        let begun = (i64::MIN, state.watermark);
        while self.timers.next_due(state, state.watermark, &mut self.timer)? {
            let Self { sides: [left, right], due, timer, found, .. } = self;
            due.clear();
            due.push(timer.key(), 0);
            found.iter_mut().for_each(Found::clear);
            let [rows, versions] = found;
            let key = due.keys().at(0);
            let whole = left.rows.find(state, &key, begun, (0, rows))?;
            right.rows.find(state, &key, begun, (0, versions))?;
            if whole && !rows.rows().is_empty() {
                left.rows.forget(state, &key)?;
            } else {
                for row in rows.rows() {
                    left.rows.remove(state, &key, &row.place)?;
                }
            }
            // What is not there any more is as good as what never was.
            let last = versions.rows().last().filter(|last| last.mark == THERE);
            for version in
                versions.rows().iter().filter(|row| last.is_none_or(|l| l.place != row.place))
            {
                right.rows.remove(state, &key, &version.place)?;
            }
            self.emit(out)?;
            if out.is_large() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn restored(&mut self, states: &mut RowStates) -> Result<(), TaskError> {
        self.timers.restored(&mut states.state)
    }
}

#[cfg(test)]
mod tests;
