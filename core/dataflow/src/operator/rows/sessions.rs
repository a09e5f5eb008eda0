//! Sessions of rows whose columns are known only at run time.

use alloc::{format, sync::Arc, vec::Vec};

use millstream_data::{
    page::ValidPage,
    row::{PageRows, RowLayout},
    types::Schema,
    value::Bytes,
};
use millstream_state::window::{Lateness, Window};

use super::{Changes, RowFold, RowFunction, RowKeys, RowStates, RowTime};
use crate::{
    chain::TaskError,
    operator::{
        timers::Timer,
        window::sessions::kept::{Ended, Kept},
    },
    state::damaged,
};

/// Rows that are taken at once.
const BATCH: usize = 256;

/// Folds rows into the sessions of their keys, and emits each when the watermark has reached its last time,
/// or the clock its end.
/// A row is dropped where the session that it would be part of has ended.
pub struct RowSessions<F> {
    fold: F,
    time: RowTime,
    /// Milliseconds between a row and the end of a session that it is the last one of.
    gap: i64,
    keys: RowKeys,
    kept: Kept<Bytes>,
    /// The key of a session that has ended.
    batch: RowKeys,
    timer: Timer,
}

impl<F: RowFold> RowSessions<F> {
    /// The sessions of rows of `input`, by these columns.
    ///
    /// # Errors
    /// If the gap is below a millisecond, or there is no memory for the state.
    pub fn open(
        input: &Schema,
        keys: &[usize],
        (time, gap): (RowTime, i64),
        fold: F,
        states: &mut RowStates,
    ) -> Result<Self, TaskError> {
        if gap < 1 {
            return Err(TaskError::new(format!(
                "the gap of a session window is {gap} ms: give it at least 1"
            )));
        }
        let keys = states.keys(input, keys, true);
        let kept = Kept::open(&mut states.state, keys.width(), Lateness::default())?;
        let batch = keys.clone();
        Ok(Self { fold, time, gap, keys, kept, batch, timer: Timer::default() })
    }
}

impl<F: RowFold> RowFunction for RowSessions<F> {
    fn parts(&self) -> [Arc<RowLayout>; 2] {
        self.fold.parts()
    }

    fn take(
        &mut self,
        _input: u16,
        page: &ValidPage<'_>,
        start: usize,
        states: &mut RowStates,
        _out: &mut Changes,
    ) -> Result<usize, TaskError> {
        let Self { fold, time: of, gap, keys, kept, .. } = self;
        let RowStates { state, clock, .. } = states;
        let end = keys.take(page, start, BATCH)?;
        let layout = Arc::clone(fold.layout());
        let rows = PageRows::new(&layout, page).map_err(|error| damaged("page", &error))?;
        for (index, row) in keys.rows().iter().enumerate() {
            let row = *row as usize;
            let time = of.of_row(&rows, row, (state.time, clock))?;
            let own = Window { start: time, end: time.saturating_add(*gap) };
            let (key, passed) = (keys.keys().at(index), of.passed(state));
            let Some(session) = kept.enter(state, &key, own, passed)? else { continue };
            kept.fold(state, &key, &session, |own, others| {
                let mut all = own.into_iter().chain(others).map(|kept| kept.0);
                let mut kept = all.next();
                for other in all {
                    let mut merged = Vec::new();
                    fold.merge(kept.as_deref().unwrap_or(&[]), &other, &mut merged)?;
                    kept = Some(merged);
                }
                let mut new = Vec::new();
                fold.fold(&rows, row, kept.as_deref(), &mut new)?;
                Ok(Bytes(new))
            })?;
        }
        Ok(end)
    }

    fn advance(&mut self, states: &mut RowStates, out: &mut Changes) -> Result<bool, TaskError> {
        let Self { fold, time, kept, batch, timer, .. } = self;
        let state = &mut states.state;
        loop {
            let passed = time.passed(state);
            if !kept.next_due(state, passed, timer)? {
                return Ok(true);
            }
            batch.clear();
            batch.push(timer.key(), 0);
            // It comes from the state, which may have been damaged; what follows trusts it.
            batch.check()?;
            let key = batch.keys().at(0);
            if let Some(Ended { window, state: at, .. }) = kept.ended(state, &key, timer)? {
                let mut finished = Ok(());
                kept.read(state, &key, at, |found| {
                    finished = fold.finish(batch.row(0), window, found, out);
                })?;
                finished?;
                kept.remove(state, &key, window)?;
            }
            if out.is_large() {
                return Ok(false);
            }
        }
    }

    fn due(&self) -> Option<i64> {
        let first = (self.time == RowTime::Processing).then(|| self.kept.first_end())?;
        first.map(|time| time.saturating_add(1))
    }

    fn restored(&mut self, states: &mut RowStates) -> Result<(), TaskError> {
        self.kept.restored(&mut states.state)
    }
}
