//! What is kept of sessions: for each key its windows, for each window an accumulator and its timers.
//!
//! An accumulator stays under the begin of the window that it was first kept for while the session
//! around it grows; only when two sessions become one is an accumulator merged into another.

use alloc::{vec, vec::Vec};

use millstream_data::{row::RowValue, value::Record};
use millstream_state::{
    Key as StateKey, Keys,
    description::Part,
    keyed::{Descriptor, ListState, ValueState},
    window::{Lateness, Merged, Sessions, Window},
};

use crate::{
    chain::TaskError,
    operator::timers::{Timer, Timers},
    state::{Contents, KeyedState, damaged},
};

/// Bytes of the namespace of an accumulator: the begin of a window.
const BEGIN: usize = 8;

/// The namespaces of timers: a session has ended, and the time for rows that are late has. Each session has a timer of
/// each kind that is due then, or before: it does not move while the session grows.
const ENDED: [u8; 1] = [0];
const CLEANED: [u8; 1] = [1];

/// The sessions of all keys of a subtask.
pub(in crate::operator) struct Kept<V> {
    /// Begin and end of each session of a key, by begin, and under which begin its accumulator is.
    windows: ListState<(i64, i64, i64)>,
    accumulators: ValueState<V>,
    timers: Timers,
    lateness: Lateness,
    /// Those of the key at hand, as [`Sessions`] has them.
    known: Vec<(Window, Window)>,
}

/// A session that has ended, where its accumulator is, and whether it stays for rows that are late.
pub(in crate::operator) struct Ended {
    pub(in crate::operator) window: Window,
    pub(in crate::operator) state: Window,
    pub(in crate::operator) keep: bool,
}

impl<V: RowValue + Record> Kept<V> {
    /// Nothing yet, for keys of `key` bytes, if all have the same.
    pub(in crate::operator) fn open(
        state: &mut KeyedState,
        key: Option<usize>,
        lateness: Lateness,
    ) -> Result<Self, TaskError> {
        let timers = Timers::open(state, "event-timers", ENDED.len())?;
        let sessions = Descriptor { key, ..Descriptor::new("sessions") };
        let windows = state.handle(|store| ListState::register(store, &sessions), ListState::id)?;
        let values =
            Descriptor { key, namespace: Some(BEGIN), ..Descriptor::new("session-accumulators") };
        let accumulators =
            state.handle(|store| ValueState::register(store, &values), ValueState::id)?;
        state.describe(windows.id(), Contents::rows::<(i64, i64, i64)>());
        let namespace = vec![Part::Time];
        let accumulated = Contents { namespace, ..Contents::rows::<V>() };
        state.describe(accumulators.id(), accumulated);
        Ok(Self { windows, accumulators, timers, lateness, known: Vec::new() })
    }

    /// Asks for the sessions of keys of which rows will [enter](Self::enter).
    pub(in crate::operator) fn read_ahead(&self, state: &KeyedState, keys: &Keys<'_>) {
        state.read_ahead(self.windows.id(), keys);
    }

    /// Adds the window of a row to the sessions of its key; `None` if the session that it would be part
    /// of is late, and then nothing has changed.
    pub(in crate::operator) fn enter(
        &mut self,
        state: &mut KeyedState,
        key: &StateKey<'_>,
        own: Window,
        watermark: i64,
    ) -> Result<Option<Merged>, TaskError> {
        self.load(state, key)?;
        // The usual case costs no more than this: a session that is there already does not grow.
        let around = |(known, _): &&(Window, Window)| known.cover(&own) == *known;
        if let Some((window, at)) = self.known.iter().find(around).copied() {
            let (gone, states) = (Vec::new(), Vec::new());
            return Ok(Some(Merged { window, state: at, gone, states }));
        }
        let sessions = Sessions::restore(core::mem::take(&mut self.known));
        let mut sessions = sessions
            .ok_or_else(|| damaged("list of sessions", &"they overlap or are not in order"))?;
        let merged = sessions.add(own);
        if self.lateness.is_late(&merged.window, watermark) {
            return Ok(None);
        }
        self.known.extend_from_slice(sessions.windows());
        self.store(state, key)?;
        // A session that grew has a timer of before, which asks for the next one when it is due: a row costs
        // none.
        let has_timer = |gone: &Window| gone.max_time() > watermark;
        if !merged.gone.iter().any(has_timer) {
            self.register_end(state, key, &merged.window, watermark)?;
        }
        if merged.gone.is_empty() {
            self.register_cleaning(state, key, &merged.window)?;
        }
        Ok(Some(merged))
    }

    /// Sets the accumulator of a session to what `fold` makes of the one that it had, if it had one, and of
    /// those of sessions that became part of it.
    pub(in crate::operator) fn fold(
        &mut self,
        state: &mut KeyedState,
        key: &StateKey<'_>,
        session: &Merged,
        fold: impl FnOnce(Option<V>, Vec<V>) -> Result<V, TaskError>,
    ) -> Result<(), TaskError> {
        let accumulators = &mut self.accumulators;
        let begin = namespace(&session.state);
        let at = StateKey { namespace: &begin, ..*key };
        let own = state.access(at, |access| accumulators.get(access))?;
        let mut others = Vec::new();
        for other in &session.states {
            let begin = namespace(other);
            let other = StateKey { namespace: &begin, ..*key };
            if let Some(found) = state.access(other, |access| accumulators.get(access))? {
                others.push(found);
                state.access(other, |access| accumulators.clear(access))?;
            }
        }
        let accumulator = fold(own, others)?;
        state.access(at, |access| accumulators.set(access, accumulator.view()))
    }

    /// Reads the accumulator that is kept under a window.
    pub(in crate::operator) fn read(
        &mut self,
        state: &mut KeyedState,
        key: &StateKey<'_>,
        at: Window,
        mut read: impl FnMut(V::View<'_>),
    ) -> Result<(), TaskError> {
        let begin = namespace(&at);
        let at = StateKey { namespace: &begin, ..*key };
        let found = state.access(at, |access| self.accumulators.read(access, &mut read))?;
        found.ok_or_else(|| damaged("session", &"it has no accumulator"))
    }

    /// See [`Timers::next_due`].
    pub(in crate::operator) fn next_due(
        &mut self,
        state: &mut KeyedState,
        watermark: i64,
        timer: &mut Timer,
    ) -> Result<bool, TaskError> {
        self.timers.next_due(state, watermark, timer)
    }

    /// The last millisecond of the session that ends first, as far as it is known.
    pub(in crate::operator) fn first_end(&self) -> Option<i64> {
        self.timers.first()
    }

    /// What a timer of a key says: the session that has ended, if one has. Those whose time for rows that
    /// are late has ended, too, are removed.
    pub(in crate::operator) fn ended(
        &mut self,
        state: &mut KeyedState,
        key: &StateKey<'_>,
        timer: &Timer,
    ) -> Result<Option<Ended>, TaskError> {
        self.load(state, key)?;
        if timer.namespace() == ENDED {
            let mut ended = None;
            for index in 0..self.known.len() {
                let (window, at) = self.known[index];
                if window.max_time() == timer.time {
                    ended = Some(Ended { window, state: at, keep: self.keeps() });
                }
                self.register_end(state, key, &window, timer.time)?;
            }
            return Ok(ended);
        }
        let lateness = self.lateness;
        let mut cleaned = Vec::new();
        for index in 0..self.known.len() {
            let window = self.known[index].0;
            match lateness.is_late(&window, timer.time) {
                true => cleaned.push(window),
                false => self.register_cleaning(state, key, &window)?,
            }
        }
        cleaned.into_iter().try_for_each(|window| self.remove(state, key, window))?;
        Ok(None)
    }

    /// Forgets a session of the key whose sessions were asked for last.
    pub(in crate::operator) fn remove(
        &mut self,
        state: &mut KeyedState,
        key: &StateKey<'_>,
        window: Window,
    ) -> Result<(), TaskError> {
        let Some(index) = self.known.iter().position(|(known, _)| *known == window) else {
            return Ok(());
        };
        let begin = namespace(&self.known.remove(index).1);
        let at = StateKey { namespace: &begin, ..*key };
        state.access(at, |access| self.accumulators.clear(access))?;
        self.store(state, key)
    }

    /// Finds out what is due, after state was put back.
    pub(in crate::operator) fn restored(
        &mut self,
        state: &mut KeyedState,
    ) -> Result<(), TaskError> {
        self.timers.restored(state)
    }

    /// Whether sessions stay after their end.
    fn keeps(&self) -> bool {
        self.lateness != Lateness::default()
    }

    fn load(&mut self, state: &mut KeyedState, key: &StateKey<'_>) -> Result<(), TaskError> {
        let Self { windows, known, .. } = self;
        state.access(*key, |access| {
            known.clear();
            windows.read(access, |(start, end, at)| {
                known.push((Window { start, end }, Window { start: at, end: at }));
            })
        })?;
        Ok(())
    }

    fn store(&mut self, state: &mut KeyedState, key: &StateKey<'_>) -> Result<(), TaskError> {
        let Self { windows, known, .. } = self;
        state.access(*key, |access| {
            let each = known.iter().map(|(window, at)| (window.start, window.end, at.start));
            windows.set(access, each)
        })
    }

    /// Asks for the end of a session, if it has not ended by `time`.
    fn register_end(
        &mut self,
        state: &mut KeyedState,
        key: &StateKey<'_>,
        window: &Window,
        time: i64,
    ) -> Result<(), TaskError> {
        if window.max_time() <= time {
            return Ok(());
        }
        let ended = StateKey { namespace: &ENDED, ..*key };
        self.timers.register(state, &ended, window.max_time())
    }

    /// Asks for the time at which a session that has ended is removed, if it stays until then.
    fn register_cleaning(
        &mut self,
        state: &mut KeyedState,
        key: &StateKey<'_>,
        window: &Window,
    ) -> Result<(), TaskError> {
        if !self.keeps() {
            return Ok(());
        }
        let cleaned = StateKey { namespace: &CLEANED, ..*key };
        self.timers.register(state, &cleaned, self.lateness.cleanup_time(window))
    }
}

/// The begin of a window as a namespace: its bytes are in the order of time.
fn namespace(window: &Window) -> [u8; BEGIN] {
    (window.start ^ i64::MIN).to_be_bytes()
}
