//! What is kept of sessions: for each key the one that began last, with what its rows were folded into, as one
//! value that a row finds once; those that began before and have not ended, if there are any, beside it.
//!
//! Few keys have several sessions that have not ended: the watermark follows closely. A page of rows is folded
//! at once; rows whose keys have several sessions, or get a second one, come behind the others, in their order.

use alloc::{vec, vec::Vec};

use millstream_state::{
    Backend, Column, Key as StateKey, Keys, Kind, StateId, StateSpec,
    description::Part,
    window::{Lateness, Sessions, Window},
};

use super::entry::{Entered, HEAD, Head};
use crate::{
    chain::TaskError,
    operator::timers::{Timer, Timers},
    state::{Contents, KeyedState, TIME, damaged, namespace, time_of},
};

/// The namespaces of timers: a session has ended, and the time for rows that are late has. Each session has a timer of
/// each kind that is due then, or before: it does not move while the session grows.
const ENDED: [u8; 1] = [0];
const CLEANED: [u8; 1] = [1];
/// Bytes of what rows are folded into, at most, if it changes in place.
const IN_PLACE: usize = 256;

/// Rows that enter sessions, each with the number of its key.
pub(in crate::operator) trait SessionRows {
    /// The session that a row would be by itself.
    fn window(&self, row: usize) -> Window;

    /// Appends to `new` what is kept with one row more; `kept` is what was kept before.
    fn fold(&mut self, row: usize, kept: Option<&[u8]>, new: &mut Vec<u8>)
    -> Result<(), TaskError>;

    /// Appends to `new` what is kept of two sessions that have become one.
    fn merge(&mut self, kept: &[u8], other: &[u8], new: &mut Vec<u8>) -> Result<(), TaskError>;
}

/// The sessions of all keys of a subtask.
#[derive(Debug)]
pub(in crate::operator) struct Kept {
    /// The one that began last.
    latest: StateId,
    /// Those that began before, by their begin: the end, when they began at first, and what rows were folded into.
    earlier: StateId,
    /// The value of a key without sessions, if all values have one size and change in place.
    initial: Option<Vec<u8>>,
    timers: Timers,
    lateness: Lateness,
    /// Those of the key at hand, by begin.
    known: Vec<Session>,
    scratch: Scratch,
}

/// A session of the key at hand, and what its rows were folded into.
#[derive(Clone, Debug)]
struct Session {
    window: Window,
    /// When it began at first.
    at: i64,
    folded: Vec<u8>,
    is_changed: bool,
}

/// What became of a row.
#[derive(Debug)]
pub(in crate::operator) struct Added {
    /// The session that it is part of now.
    pub(in crate::operator) window: Window,
    /// When that began at first: what else is kept of it is kept under this time.
    pub(in crate::operator) at: i64,
    /// The same of sessions that have become part of it.
    pub(in crate::operator) others: Vec<i64>,
}

/// Space that is used again in each call.
#[derive(Debug, Default)]
struct Scratch {
    old: Vec<u8>,
    new: Vec<u8>,
    /// Rows of which there is more to do, and what.
    left: Vec<(usize, Entered)>,
}

/// A session that has ended, and whether it stays for rows that are late.
pub(in crate::operator) struct Ended {
    pub(in crate::operator) window: Window,
    /// See [`Added::at`].
    pub(in crate::operator) at: i64,
    pub(in crate::operator) keep: bool,
}

impl Kept {
    /// Nothing yet, for keys of `key` bytes, if all have the same; rows are folded into `folded`.
    pub(in crate::operator) fn open(
        state: &mut KeyedState,
        key: Option<usize>,
        folded: Part,
        lateness: Lateness,
    ) -> Result<Self, TaskError> {
        let timers = Timers::open(state, "event-timers", ENDED.len())?;
        let width = folded.width();
        let spec = |name: &str, kind, head| StateSpec {
            name: name.into(),
            kind,
            key,
            namespace: Some(0),
            value: width.map(|width| head + width),
        };
        let latest = state.register(&spec("sessions", Kind::Value, HEAD))?;
        let [begin, end, at] = [Part::Time, Part::Time, Part::Time];
        let value = vec![Part::Flag, begin, end, at, Part::Opaque(Some(1)), folded.clone()];
        state.describe(latest, Contents { value, ..Contents::default() });
        let earlier = state.register(&spec("earlier-sessions", Kind::Map, 2 * TIME))?;
        let (map_key, value) = (vec![Part::Time], vec![Part::Time, Part::Time, folded]);
        state.describe(earlier, Contents { map_key, value, ..Contents::default() });
        let in_place = width.filter(|width| *width <= IN_PLACE);
        let initial = in_place.map(|width| vec![0; HEAD + width]);
        let (known, scratch) = (Vec::new(), Scratch::default());
        Ok(Self { latest, earlier, initial, timers, lateness, known, scratch })
    }

    /// Folds rows into the sessions of their keys; a row is dropped if the session that it would be part of is
    /// late. Gives what became of the last row, if it was not dropped.
    pub(in crate::operator) fn add(
        &mut self,
        state: &mut KeyedState,
        keys: &Keys<'_>,
        watermark: i64,
        rows: &mut impl SessionRows,
    ) -> Result<Option<Added>, TaskError> {
        let Self { latest, initial, lateness, scratch: Scratch { old, new, left }, .. } = self;
        let (mut last, mut failed) = (None, Ok(()));
        left.clear();
        // The new value of a row's key, in `new`, or nothing there if it stays.
        let mut enter = |row: usize, value: Option<&[u8]>, new: &mut Vec<u8>| {
            let head = value.and_then(Head::read);
            let entered = Entered::of(head, rows.window(row), *lateness, watermark);
            last = None;
            match entered {
                Entered::Into { window, is_new, wants_timer } => {
                    let at = head.map_or(window.start, |head| head.at);
                    new.extend(Head { window, at, others: false }.bytes());
                    let folded = head.and(value).and_then(|value| value.get(HEAD..));
                    if let Err(error) = rows.fold(row, folded, new) {
                        failed = Err(error);
                    }
                    last = Some((window, at));
                    if is_new || wants_timer {
                        left.push((row, entered));
                    }
                }
                Entered::Elsewhere => {
                    left.push((row, entered));
                    // Rows of this key that follow wait for it.
                    if let (Some(head @ Head { others: false, .. }), Some(value)) = (head, value) {
                        new.extend(Head { others: true, ..head }.bytes());
                        new.extend_from_slice(value.get(HEAD..).unwrap_or(&[]));
                    }
                }
                // There may be a value by now that says that there is no session.
                Entered::Late if head.is_none() => left.push((row, entered)),
                Entered::Late => {}
            }
        };
        match initial {
            Some(initial) => state.update(*latest, keys, initial, |row, value| {
                new.clear();
                enter(row, Some(value), new);
                // The layout says that all are of this size.
                if new.len() == value.len() {
                    value.copy_from_slice(new);
                }
            })?,
            None => {
                for row in 0..keys.len() {
                    let key = keys.at(row);
                    new.clear();
                    let there = state.read(*latest, &key, old)?;
                    enter(row, there.then_some(old), new);
                    if !new.is_empty() {
                        state.set(*latest, &key, new)?;
                    }
                }
            }
        }
        failed?;
        let mut last = last.map(|(window, at)| Added { window, at, others: Vec::new() });
        let left = core::mem::take(&mut self.scratch.left);
        for (row, entered) in left.iter().copied() {
            let key = keys.at(row);
            match entered {
                Entered::Into { window, is_new, .. } => {
                    self.register_end(state, &key, &window, watermark)?;
                    if is_new {
                        self.register_cleaning(state, &key, &window)?;
                    }
                }
                Entered::Elsewhere => {
                    let added = self.add_among(state, &key, watermark, row, rows)?;
                    if row + 1 == keys.len() {
                        last = added;
                    }
                }
                Entered::Late => {
                    self.load(state, &key)?;
                    if self.known.is_empty() {
                        state.change(|store, _| store.remove(self.latest, &key.batch()))?;
                    }
                }
            }
        }
        self.scratch.left = left;
        Ok(last)
    }

    /// Folds a row into the sessions of a key, whichever they are.
    fn add_among(
        &mut self,
        state: &mut KeyedState,
        key: &StateKey<'_>,
        watermark: i64,
        row: usize,
        rows: &mut impl SessionRows,
    ) -> Result<Option<Added>, TaskError> {
        self.load(state, key)?;
        let before: Vec<Window> = self.known.iter().map(|session| session.window).collect();
        let own = rows.window(row);
        let around = self.known.iter().position(|known| known.window.cover(&own) == known.window);
        if let Some(known) = around.and_then(|index| self.known.get_mut(index)) {
            let mut new = Vec::new();
            rows.fold(row, Some(&known.folded), &mut new)?;
            (known.folded, known.is_changed) = (new, true);
            let added = Added { window: known.window, at: known.at, others: Vec::new() };
            self.store(state, key, &before)?;
            return Ok(Some(added));
        }
        let sessions = Sessions::restore(before.iter().map(|window| (*window, *window)).collect());
        let mut sessions = sessions
            .ok_or_else(|| damaged("list of sessions", &"they overlap or are not in order"))?;
        let merged = sessions.add(own);
        if self.lateness.is_late(&merged.window, watermark) {
            self.store(state, key, &before)?;
            return Ok(None);
        }
        let (mut folded, mut all) = (None::<Vec<u8>>, Vec::new());
        for gone in self.known.extract_if(.., |known| known.window.touches(&own)) {
            all.push(gone.at);
            folded = Some(match folded {
                None => gone.folded,
                Some(kept) => {
                    let mut both = Vec::new();
                    rows.merge(&kept, &gone.folded, &mut both)?;
                    both
                }
            });
        }
        let mut new = Vec::new();
        rows.fold(row, folded.as_deref(), &mut new)?;
        let at = self.known.partition_point(|known| known.window.start < merged.window.start);
        let mut all = all.into_iter();
        let added = Added {
            window: merged.window,
            at: all.next().unwrap_or(merged.window.start),
            others: all.collect(),
        };
        let Added { window, at: began, .. } = added;
        self.known.insert(at, Session { window, at: began, folded: new, is_changed: true });
        self.store(state, key, &before)?;
        let has_timer = |gone: &Window| gone.max_time() > watermark;
        if !merged.gone.iter().any(has_timer) {
            self.register_end(state, key, &merged.window, watermark)?;
        }
        if merged.gone.is_empty() {
            self.register_cleaning(state, key, &merged.window)?;
        }
        Ok(Some(added))
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
        let windows: Vec<_> = self.known.iter().map(|known| (known.window, known.at)).collect();
        let (mut ended, mut cleaned) = (None, Vec::new());
        for (window, at) in windows {
            if timer.namespace() == ENDED {
                if window.max_time() == timer.time {
                    ended = Some(Ended { window, at, keep: self.keeps() });
                }
                self.register_end(state, key, &window, timer.time)?;
            } else if self.lateness.is_late(&window, timer.time) {
                cleaned.push(window);
            } else {
                self.register_cleaning(state, key, &window)?;
            }
        }
        cleaned.into_iter().try_for_each(|window| self.remove(state, key, window))?;
        Ok(ended)
    }

    /// What the rows of a session were folded into; it is of the key whose sessions were asked for last.
    pub(in crate::operator) fn folded(&self, window: Window) -> &[u8] {
        let known = self.known.iter().find(|known| known.window == window);
        known.map_or(&[], |known| &known.folded)
    }

    /// Asks for the sessions of a key, for [`folded`](Self::folded).
    pub(in crate::operator) fn load(
        &mut self,
        state: &mut KeyedState,
        key: &StateKey<'_>,
    ) -> Result<(), TaskError> {
        let Self { latest, earlier, known, scratch, .. } = self;
        known.clear();
        state.read(*latest, key, &mut scratch.old)?;
        let Some(head) = Head::read(&scratch.old) else { return Ok(()) };
        if head.others {
            let mut wrong = false;
            state.scan_map(*earlier, key, &[], |begin, value| {
                let session = earlier_session(begin, value);
                wrong = session.is_none();
                known.extend(session);
                !wrong
            })?;
            if wrong {
                return Err(damaged("session", &"its times are missing"));
            }
        }
        let folded = scratch.old.split_off(HEAD);
        known.push(Session { window: head.window, at: head.at, folded, is_changed: false });
        Ok(())
    }

    /// Forgets a session of the key whose sessions were asked for last.
    pub(in crate::operator) fn remove(
        &mut self,
        state: &mut KeyedState,
        key: &StateKey<'_>,
        window: Window,
    ) -> Result<(), TaskError> {
        let before: Vec<Window> = self.known.iter().map(|session| session.window).collect();
        self.known.retain(|known| known.window != window);
        self.store(state, key, &before)
    }

    /// Writes the sessions of the key at hand, of which there were those of `before`.
    fn store(
        &mut self,
        state: &mut KeyedState,
        key: &StateKey<'_>,
        before: &[Window],
    ) -> Result<(), TaskError> {
        let Self { latest, earlier, known, scratch: Scratch { new, .. }, .. } = self;
        let were_earlier = before.split_last().map_or(&[][..], |(_, earlier)| earlier);
        let (last, others) = match known.split_last() {
            Some((last, others)) => (Some(last), others),
            None => (None, &[][..]),
        };
        for gone in were_earlier.iter().map(|window| window.start) {
            if !others.iter().any(|known| known.window.start == gone) {
                let (key, begin) = (key.batch(), namespace(gone));
                state.change(|store, _| {
                    store.remove_entries(*earlier, &key, Column::Same(&begin))
                })?;
            }
        }
        for known in others {
            if known.is_changed || !were_earlier.contains(&known.window) {
                new.clear();
                new.extend(namespace(known.window.end));
                new.extend(namespace(known.at));
                new.extend_from_slice(&known.folded);
                let (key, begin) = (key.batch(), namespace(known.window.start));
                state.change(|store, _| {
                    store.put_entries(*earlier, &key, Column::Same(&begin), Column::Same(new))
                })?;
            }
        }
        let Some(last) = last else {
            return state.change(|store, _| store.remove(*latest, &key.batch()));
        };
        new.clear();
        new.extend(Head { window: last.window, at: last.at, others: !others.is_empty() }.bytes());
        new.extend_from_slice(&last.folded);
        state.set(*latest, key, new)
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

/// A session that has others behind it, as it is in its map.
fn earlier_session(begin: &[u8], value: &[u8]) -> Option<Session> {
    let (end, rest) = value.split_at_checked(TIME)?;
    let (at, folded) = rest.split_at_checked(TIME)?;
    let window = Window { start: time_of(begin)?, end: time_of(end)? };
    Some(Session { window, at: time_of(at)?, folded: folded.into(), is_changed: false })
}
