//! The rows of one side of an interval join, by key and time, for as long as the other side may ask.

use alloc::{format, vec, vec::Vec};

use millstream_data::{row::RowValue, value::Record};
use millstream_state::{
    Key as StateKey,
    description::Part,
    keyed::{Descriptor, ListState, MapState, Position},
};

use crate::{
    chain::TaskError,
    operator::timers::Timers,
    state::{Contents, KeyedState, TIME, namespace},
};

/// Bytes of the namespace of a timer: the side that it is for.
pub(super) const SIDE: usize = 1;

/// Where reading has stopped: behind so many rows of a time.
#[derive(Debug)]
pub(super) struct Mark {
    time: i64,
    rows: usize,
}

/// The rows of one side.
pub(super) struct Buffer<T> {
    /// The rows of each time, in the order in which they came.
    rows: ListState<T>,
    /// The times that have rows.
    times: MapState<i64, bool>,
    /// Timers of this side have it as their namespace.
    side: [u8; SIDE],
    /// How long a row is kept behind its time, in milliseconds.
    kept: i64,
    /// Times at hand, and where they were looked for.
    found: Vec<i64>,
    position: Position,
}

impl<T: RowValue + Record> Buffer<T> {
    /// Nothing yet, for keys of `key` bytes, if all have the same.
    pub(super) fn open(
        state: &mut KeyedState,
        key: Option<usize>,
        (side, name): (u8, &str),
        kept: i64,
    ) -> Result<Self, TaskError> {
        let rows = Descriptor { key, namespace: Some(TIME), ..Descriptor::new(name) };
        let rows = state.handle(|store| ListState::register(store, &rows), ListState::id)?;
        let times = Descriptor { key, ..Descriptor::new(&format!("{name}-times")) };
        let times = state.handle(|store| MapState::register(store, &times), MapState::id)?;
        let namespace = vec![Part::Time];
        state.describe(rows.id(), Contents { namespace, ..Contents::rows::<T>() });
        let map_key = vec![Part::Opaque(None)];
        state.describe(times.id(), Contents { map_key, ..Contents::rows::<(i64, bool)>() });
        Ok(Self {
            rows,
            times,
            side: [side],
            kept: kept.max(0),
            found: Vec::new(),
            position: Position::default(),
        })
    }

    /// Adds a row; a timer says when it is not needed any more.
    pub(super) fn add(
        &mut self,
        state: &mut KeyedState,
        timers: &mut Timers,
        key: &StateKey<'_>,
        time: i64,
        row: T::View<'_>,
    ) -> Result<(), TaskError> {
        let Self { rows, times, .. } = self;
        if state.access(*key, |access| times.get(access, time))?.is_none() {
            state.access(*key, |access| times.put(access, time, true))?;
            let timer = StateKey { namespace: &self.side, ..*key };
            timers.register(state, &timer, time.saturating_add(self.kept))?;
        }
        let namespace = namespace(time);
        let key = StateKey { namespace: &namespace, ..*key };
        state.access(key, |access| rows.add(access, row))
    }

    /// Calls `each` for the rows of a key whose times are from `first` to `last`, in the order of time,
    /// those of one time in the order in which they came, until it answers `false`. Then `mark` says
    /// where to go on: call again with it. `true` if all were read.
    pub(super) fn read(
        &mut self,
        state: &mut KeyedState,
        key: &StateKey<'_>,
        (first, last): (i64, i64),
        mark: &mut Option<Mark>,
        mut each: impl FnMut(T::View<'_>) -> bool,
    ) -> Result<bool, TaskError> {
        let Mark { time: first, rows: mut behind } =
            mark.take().unwrap_or(Mark { time: first, rows: 0 });
        self.find(state, key, Some(first), last)?;
        for time in self.found.iter().copied() {
            let namespace = namespace(time);
            let key = StateKey { namespace: &namespace, ..*key };
            let (mut rows, mut go_on) = (0, true);
            state.access(key, |access| {
                self.rows.read(access, |row| {
                    if go_on && rows >= behind {
                        go_on = each(row);
                        behind = rows + 1;
                    }
                    rows += 1;
                })
            })?;
            if !go_on {
                *mark = Some(Mark { time, rows: behind });
                return Ok(false);
            }
            behind = 0;
        }
        Ok(true)
    }

    /// A timer has fired: removes the rows of a key that are not needed any more at `time`. `false` if
    /// the timer, whose namespace is given, is the other side's.
    pub(super) fn clean(
        &mut self,
        state: &mut KeyedState,
        key: &StateKey<'_>,
        side: &[u8],
        time: i64,
    ) -> Result<bool, TaskError> {
        if side != self.side {
            return Ok(false);
        }
        self.find(state, key, None, time.saturating_sub(self.kept))?;
        let Self { rows, times, found, .. } = self;
        for time in found {
            state.access(*key, |access| times.remove(access, *time))?;
            let namespace = namespace(*time);
            let key = StateKey { namespace: &namespace, ..*key };
            state.access(key, |access| rows.clear(access))?;
        }
        Ok(true)
    }

    /// Finds the times that have rows.
    fn find(
        &mut self,
        state: &mut KeyedState,
        key: &StateKey<'_>,
        first: Option<i64>,
        last: i64,
    ) -> Result<(), TaskError> {
        let Self { times, found, position, .. } = self;
        found.clear();
        times.begin(first, position);
        state.access(*key, |access| {
            times.scan_on(access, position, |time, _| {
                let within = time <= last;
                found.extend(within.then_some(time));
                within
            })
        })
    }
}
