//! Interval joins over rows whose columns are known only at run time.
//!
//! As [the typed one](crate::operator::interval_join), with what SQL asks for beside: rows without a match may
//! be emitted, when no row can come any more that would match them, and a row that comes too late still meets
//! those that are there.

use alloc::{sync::Arc, vec, vec::Vec};

use millstream_data::{
    page::{RowKind, ValidPage},
    row::{PageRows, RowLayout},
    types::Schema,
};
use millstream_state::Key as StateKey;

use super::{
    Changes, RowFunction, RowKeys, RowStates,
    timed::{Found, FoundRow, RowPairs, Timed, matching, rows_of, time_in},
};
use crate::{
    chain::TaskError,
    operator::timers::{Timer, Timers},
    state::{KeyedState, damaged},
};

/// Rows that are taken at once, so that what they find is compared together.
const BATCH: usize = 256;
/// Bytes of rows that are found from which on no more are looked for.
const LARGE: usize = 1 << 20;
/// Bytes of the namespace of a timer: the side that it is for.
const SIDE: usize = 1;

/// Which rows of two inputs an interval join pairs.
#[derive(Clone, Debug)]
pub struct RowInterval {
    /// The columns of both; those of a side that may be without a match may be NULL.
    pub inputs: [Schema; 2],
    /// Columns of each, of the same types: they are equal, and not NULL.
    pub keys: [Vec<usize>; 2],
    /// The physical columns with the event times, in microseconds.
    pub times: [usize; 2],
    /// The time of the right row, less that of the left one, at least and at most, in milliseconds.
    pub bounds: [i64; 2],
    /// Whether rows of each side are emitted without a match, beside NULLs.
    pub keeps: [bool; 2],
}

/// An interval join.
pub struct RowIntervalJoin<P> {
    pairs: Option<P>,
    bounds: [i64; 2],
    sides: [Side; 2],
    timers: Timers,
    timer: Timer,
    found: Found,
    times: Vec<i64>,
}

struct Side {
    number: u8,
    keys: RowKeys,
    /// The key of a timer.
    due: RowKeys,
    layout: Arc<RowLayout>,
    column: usize,
    /// How long a row may have to wait for one of the other side, in milliseconds; less than 0 if these are
    /// always earlier.
    waits: i64,
    keeps: bool,
    rows: Timed,
    /// What stands in place of a row of this side where the other's has no match.
    blank: Vec<u8>,
}

impl<P: RowPairs> RowIntervalJoin<P> {
    /// The join, which has got no rows yet; `pairs` says what must be true beside.
    ///
    /// # Errors
    /// If there is no memory for the state.
    pub fn open(
        plan: &RowInterval,
        pairs: Option<P>,
        states: &mut RowStates,
    ) -> Result<Self, TaskError> {
        let timers = Timers::open(&mut states.state, "event-timers", SIDE)?;
        let [lower, upper] = plan.bounds;
        let mut side = |at: usize, name: &str, waits: i64| {
            let schema = &plan.inputs[at];
            // NULL is equal to nothing.
            let keys = states.keys(schema, &plan.keys[at], false);
            let layout = RowLayout::new(schema);
            let mut blank = Vec::new();
            layout.write(&mut blank, |row| (0..layout.columns()).for_each(|_| row.leave_empty()));
            Ok::<_, TaskError>(Side {
                number: at as u8,
                rows: Timed::open(states, name, &keys, schema)?,
                due: keys.clone(),
                keys,
                layout: Arc::new(layout),
                column: plan.times[at],
                waits,
                keeps: plan.keeps[at],
                blank,
            })
        };
        let sides = [side(0, "left", upper)?, side(1, "right", lower.saturating_neg())?];
        Ok(Self {
            pairs,
            bounds: plan.bounds,
            sides,
            timers,
            timer: Timer::default(),
            found: Found::default(),
            times: vec![],
        })
    }

    /// Keeps those that were found which match the rows at hand.
    fn compare(&mut self, rows: &PageRows<'_>, is_left: bool) -> Result<(), TaskError> {
        let Self { pairs, sides, found, .. } = self;
        if pairs.is_none() {
            return Ok(());
        }
        let keys = &sides[usize::from(!is_left)].keys;
        let (mut bytes, mut ends) = (Vec::new(), Vec::with_capacity(keys.len()));
        for row in keys.rows() {
            rows.gather(*row as usize, &mut bytes);
            ends.push(bytes.len());
        }
        let own = |index: usize| {
            let begin = index.checked_sub(1).and_then(|before| ends.get(before)).copied();
            bytes.get(begin.unwrap_or(0)..ends[index]).unwrap_or(&[])
        };
        let pair = |row: &FoundRow| match is_left {
            true => [own(row.index), found.bytes(row)],
            false => [found.bytes(row), own(row.index)],
        };
        let both: Vec<_> = found.rows().iter().map(pair).collect();
        let holds = matching(pairs.as_mut(), &both)?;
        found.retain(holds.into_iter());
        Ok(())
    }
}

/// Adds two rows, one of each side, to what is emitted.
fn emit(out: &mut Changes, own_is_left: bool, own: &[u8], other: &[u8]) {
    let (own, other) = (out.keep(own), out.keep(other));
    match own_is_left {
        true => out.emit(RowKind::Insert, own, other),
        false => out.emit(RowKind::Insert, other, own),
    }
}

impl Side {
    /// Keeps a row as long as the other side may have one for it; `false` if that has passed.
    fn keep(
        &self,
        state: &mut KeyedState,
        timers: &mut Timers,
        (index, time): (usize, i64),
        row: (u8, &[u8]),
    ) -> Result<bool, TaskError> {
        let until = time.saturating_add(self.waits);
        let watermark = state.watermark_of(|| self.keys.hash(index));
        if watermark >= until {
            return Ok(false);
        }
        let key = self.keys.keys().at(index);
        self.rows.add(state, &key, time, row)?;
        timers.register(state, &StateKey { namespace: &[self.number], ..key }, until)?;
        Ok(true)
    }
}

impl<P: RowPairs> RowFunction for RowIntervalJoin<P> {
    fn parts(&self) -> [Arc<RowLayout>; 2] {
        self.sides.each_ref().map(|side| Arc::clone(&side.layout))
    }

    fn take(
        &mut self,
        input: u16,
        page: &ValidPage<'_>,
        start: usize,
        states: &mut RowStates,
        out: &mut Changes,
    ) -> Result<usize, TaskError> {
        let is_left = input == 0;
        let state = &mut states.state;
        let Self { bounds: [lower, upper], sides: [left, right], found, times, .. } = self;
        let (own, other) = if is_left { (left, right) } else { (right, left) };
        let mut end = own.keys.take(page, start, BATCH)?;
        let layout = Arc::clone(&own.layout);
        let rows = rows_of(&layout, page)?;
        found.clear();
        times.clear();
        for index in 0..own.keys.len() {
            let time = time_in(&rows, own.keys.rows()[index] as usize, own.column)?;
            times.push(time);
            let near = match is_left {
                true => (time.saturating_add(*lower), time.saturating_add(*upper)),
                false => (time.saturating_sub(*upper), time.saturating_sub(*lower)),
            };
            other.rows.find(state, &own.keys.keys().at(index), near, (index, found))?;
            if let (true, Some(next)) = (found.size() >= LARGE, own.keys.rows().get(index + 1)) {
                end = *next as usize;
                own.keys.truncate(index + 1);
                break;
            }
        }
        self.compare(&rows, is_left)?;
        let Self { sides: [left, right], found, times, timers, .. } = self;
        let (own, other) = if is_left { (left, right) } else { (right, left) };
        let mut matches = found.rows().iter().peekable();
        let mut with_keys = own.keys.rows().iter().enumerate().peekable();
        let mut row = Vec::new();
        for number in start..end {
            row.clear();
            rows.gather(number, &mut row);
            let index = with_keys.next_if(|(_, with)| **with as usize == number);
            let Some((index, _)) = index else {
                // A row with NULL in its key has no match, now and later.
                if own.keeps {
                    emit(out, is_left, &row, &other.blank);
                }
                continue;
            };
            let mut matched = false;
            while let Some(match_) = matches.next_if(|found| found.index == index) {
                matched = true;
                let bytes = found.bytes(match_);
                emit(out, is_left, &row, bytes);
                if other.keeps && match_.mark == 0 {
                    let key = own.keys.keys().at(index);
                    other.rows.put(state, &key, &match_.place, (1, bytes))?;
                }
            }
            let kept = (u8::from(matched), &row[..]);
            if !own.keep(state, timers, (index, times[index]), kept)? && !matched && own.keeps {
                emit(out, is_left, &row, &other.blank);
            }
        }
        Ok(end)
    }

    fn advance(&mut self, states: &mut RowStates, out: &mut Changes) -> Result<bool, TaskError> {
        let Self { sides: [left, right], timers, timer, found, .. } = self;
        let state = &mut states.state;
        let watermark = state.watermark;
        while timers.next_due(state, watermark, timer)? {
            let (own, other) = match timer.namespace() {
                [0] => (&mut *left, &*right),
                [1] => (&mut *right, &*left),
                _ => return Err(damaged("timer", &"it is for neither side of the join")),
            };
            own.due.clear();
            own.due.push(timer.key(), 0);
            let key = own.due.keys().at(0);
            found.clear();
            let gone = (i64::MIN, watermark.saturating_sub(own.waits));
            let whole = own.rows.find(state, &key, gone, (0, found))?;
            for row in found.rows() {
                if own.keeps && row.mark == 0 {
                    emit(out, own.number == 0, found.bytes(row), &other.blank);
                }
                if !whole {
                    own.rows.remove(state, &key, &row.place)?;
                }
            }
            if whole {
                own.rows.forget(state, &key)?;
            }
            if out.is_large() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The earlier of the two times of a pair is so far behind the later one.
    fn holds_back(&self) -> i64 {
        self.sides.iter().map(|side| side.waits).max().unwrap_or(0).max(0)
    }

    fn restored(&mut self, states: &mut RowStates) -> Result<(), TaskError> {
        self.timers.restored(&mut states.state)
    }
}

#[cfg(test)]
mod tests;
