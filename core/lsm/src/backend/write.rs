//! Writing: into the buffer, which is frozen when it is full.

use millstream_state::{
    Backend, Column, IN_PLACE_MAX, Key, Keys, Kind, Lease, StateError, StateId, StateSpec, Stopped,
};

use super::{FROZEN_MAX, LsmBackend, State};
use crate::buffer::{Tables, WriteBuffer};

/// Keys behind one that waits whose blocks are asked for as well.
const LOOK_AHEAD: usize = 512;

impl<L: Lease> LsmBackend<L> {
    /// Makes room in the write buffer by freezing it.
    pub(crate) fn make_room(&mut self) -> Result<(), StateError> {
        let tables = self.states.iter().map(|state| state.tables);
        let is_empty = self.active.is_empty(tables);
        let is_small = self.active.memory.held() < self.shares.buffer() / 2;
        if !self.frozen.is_empty() && (is_empty || is_small) {
            // There is room when one of those is written.
            return Err(StateError::Waits);
        }
        let (_, runs_max) = self.shares.runs(&self.config, self.cache.reads_max());
        if self.stack.depth() >= runs_max {
            // Whoever reads has to look into all of them.
            return Err(StateError::Waits);
        }
        if is_empty {
            return Err(self.out_of_budget("what is written at once"));
        }
        self.freeze()
    }

    /// Freezes the write buffer and begins another.
    pub(super) fn freeze(&mut self) -> Result<(), StateError> {
        if self.frozen.len() >= FROZEN_MAX {
            return Err(StateError::Waits);
        }
        let share = self.budget.share(self.shares.buffer());
        let mut fresh = WriteBuffer::new(share, self.order.owned(), self.hash);
        for state in &self.states {
            if let Err(error) = fresh.register(&state.spec) {
                let is_full = matches!(error, StateError::OutOfBudget { .. });
                let waits = is_full && !self.frozen.is_empty();
                return Err(if waits { StateError::Waits } else { error });
            }
        }
        self.frozen.insert(0, core::mem::replace(&mut self.active, fresh));
        Ok(())
    }

    /// Calls for the keys that are not served yet until all are, and makes room in between.
    pub(super) fn write(
        &mut self,
        state: StateId,
        keys: &Keys<'_>,
        mut call: impl FnMut(&mut WriteBuffer<L>, &Tables, &Keys<'_>, usize) -> Result<(), Stopped>,
    ) -> Result<(), Stopped> {
        self.changes();
        let mut done = 0;
        loop {
            let tables = match self.state(state) {
                Ok(found) => found.tables,
                Err(error) => return Err(Stopped { done, error }),
            };
            match call(&mut self.active, &tables, &keys.skip(done), done) {
                Ok(()) => return Ok(()),
                Err(Stopped { done: served, error: StateError::OutOfBudget { .. } }) => {
                    done += served;
                    self.make_room().map_err(|error| Stopped { done, error })?;
                }
                Err(Stopped { done: served, error }) => {
                    return Err(Stopped { done: done + served, error });
                }
            }
        }
    }

    /// As [`write`](Self::write), for values that are changed: those that are only in older buffers or in
    /// files are copied up before.
    pub(super) fn change(
        &mut self,
        state: StateId,
        keys: &Keys<'_>,
        mut call: impl FnMut(&mut WriteBuffer<L>, &Tables, &Keys<'_>, usize) -> Result<(), Stopped>,
    ) -> Result<(), Stopped> {
        self.state_of(state, Kind::Value).map_err(|error| Stopped { done: 0, error })?;
        if self.is_all_active() {
            let done = self.write_once(state, keys, &mut call)?;
            if done == keys.len() {
                return Ok(());
            }
            return self.change_older(state, keys, done, call);
        }
        self.change_older(state, keys, 0, call)
    }

    /// Calls while all state is in the buffer; how many keys were served before that was full.
    fn write_once(
        &mut self,
        state: StateId,
        keys: &Keys<'_>,
        call: &mut impl FnMut(&mut WriteBuffer<L>, &Tables, &Keys<'_>, usize) -> Result<(), Stopped>,
    ) -> Result<usize, Stopped> {
        self.changes();
        let at_once = |error| Stopped { done: 0, error };
        let tables = self.state(state).map_err(at_once)?.tables;
        match call(&mut self.active, &tables, keys, 0) {
            Ok(()) => Ok(keys.len()),
            Err(Stopped { done, error: StateError::OutOfBudget { .. } }) => {
                self.make_room().map_err(|error| Stopped { done, error })?;
                Ok(done)
            }
            Err(stopped) => Err(stopped),
        }
    }

    fn change_older(
        &mut self,
        state: StateId,
        keys: &Keys<'_>,
        begin: usize,
        mut call: impl FnMut(&mut WriteBuffer<L>, &Tables, &Keys<'_>, usize) -> Result<(), Stopped>,
    ) -> Result<(), Stopped> {
        self.changes();
        let mut done = begin;
        while done < keys.len() {
            let rest = keys.skip(done);
            let (ready, stop) = self.copy_up(state, &rest);
            let hashes = rest.hashes.get(..ready).unwrap_or(&[]);
            let tables = match self.state(state) {
                Ok(found) => found.tables,
                Err(error) => return Err(Stopped { done, error }),
            };
            let called = match ready {
                0 => Ok(()),
                _ => call(&mut self.active, &tables, &Keys { hashes, ..rest }, done),
            };
            let stop = match called {
                Ok(()) => {
                    done += ready;
                    stop
                }
                Err(stopped) => {
                    done += stopped.done;
                    Some(stopped.error)
                }
            };
            match stop {
                None => {}
                Some(StateError::OutOfBudget { .. }) => {
                    self.make_room().map_err(|error| Stopped { done, error })?;
                }
                Some(error) => return Err(Stopped { done, error }),
            }
        }
        Ok(())
    }

    /// Copies values into the buffer that are not there, but elsewhere; says for how many keys nothing is
    /// left to copy, and why it stopped there.
    fn copy_up(&mut self, state: StateId, keys: &Keys<'_>) -> (usize, Option<StateError>) {
        for index in 0..keys.len() {
            if let Err(error) = self.copy_one_up(state, &keys.at(index)) {
                if error == StateError::Waits {
                    self.ask_ahead(state, &keys.skip(index + 1));
                }
                return (index, Some(error));
            }
        }
        (keys.len(), None)
    }

    fn copy_one_up(&mut self, state: StateId, key: &Key<'_>) -> Result<(), StateError> {
        let found = self.state(state)?;
        let tables = found.tables;
        if !self.active.memory.find(tables.present, key)?.is_absent() {
            return Ok(());
        }
        let place = self.find_value(state.0, found, key, None)?;
        if place.is_absent() {
            return Ok(());
        }
        let mut value = [0; IN_PLACE_MAX];
        let mut length = 0;
        for piece in self.pieces_of(place) {
            let end = length + piece.len();
            let Some(room) = value.get_mut(length..end) else { return Ok(()) };
            room.copy_from_slice(piece);
            length = end;
        }
        let value = Column::Same(value.get(..length).unwrap_or(&[]));
        let put = self.active.memory.put(tables.present, &key.batch(), value);
        put.map_err(|stopped| stopped.error)
    }

    /// Asks for what the next keys need, so that it is read together. A call that is repeated for the rest
    /// of its keys goes on behind those that were asked for.
    fn ask_ahead(&mut self, state: StateId, keys: &Keys<'_>) {
        let left = keys.len();
        let (last_left, asked) = self.asked;
        let mut index = if left <= last_left { left.saturating_sub(asked) } else { 0 };
        if let Ok(found) = self.state(state) {
            while index < left.min(LOOK_AHEAD) && self.cache.has_room_to_want(self.reading.len()) {
                // What is wrong with a key is said when it is its turn.
                let _ = self.find_value(state.0, found, &keys.at(index), None);
                index += 1;
            }
        }
        self.asked = (left, left - index.min(left));
    }

    /// Removes what a key has.
    pub(super) fn remove_one(&mut self, state: StateId, key: &Key<'_>) -> Result<(), StateError> {
        let found = self.state(state)?;
        let tables = found.tables;
        self.active.memory.find(tables.present, key)?;
        if self.may_be_older(state.0, found, key)? {
            self.active.cut(&tables, key)?;
        }
        self.active.remove(&tables, key).map_err(|stopped| stopped.error)
    }

    /// Sets a whole list.
    pub(super) fn put_whole_list(
        &mut self,
        state: StateId,
        key: &Key<'_>,
        elements: &[u8],
    ) -> Result<(), StateError> {
        let found = self.state(state)?;
        let tables = found.tables;
        self.active.memory.find(tables.present, key)?;
        let was_cut = self.active.is_cut(&tables, key)?;
        let cuts = !was_cut && self.may_be_older(state.0, found, key)?;
        if cuts {
            self.active.cut(&tables, key)?;
        }
        let put = self.active.memory.put_list(tables.present, key, elements);
        if put.is_err() && cuts {
            self.active.uncut(&tables, key)?;
        }
        put
    }

    /// Removes an entry of a map.
    pub(super) fn remove_entry(
        &mut self,
        state: StateId,
        key: &Key<'_>,
        map_key: &[u8],
    ) -> Result<(), StateError> {
        let found = self.state_of(state, Kind::Map)?;
        let tables = found.tables;
        self.active.memory.find(tables.present, key)?;
        if self.may_be_older(state.0, found, key)? && !self.is_new(state.0, found, key, map_key)? {
            self.active.remove_older(&tables, key, map_key)?;
        }
        let map_key = Column::Same(map_key);
        let removed = self.active.memory.remove_entries(tables.present, &key.batch(), map_key);
        removed.map_err(|stopped| stopped.error)
    }

    /// Whether an entry of a map is in the buffer, and known not to be elsewhere. So one that comes and goes between
    /// two flushes leaves nothing that scans have to pass.
    fn is_new(
        &self,
        number: u16,
        state: &State,
        key: &Key<'_>,
        map_key: &[u8],
    ) -> Result<bool, StateError> {
        if self.active.memory.find_entry(state.tables.present, key, map_key)?.is_absent() {
            return Ok(false);
        }
        match self.find_behind(1, (number, state), key, Some(map_key)) {
            // Nobody waits for what is only good to know.
            Err(StateError::Waits) => Ok(false),
            found => Ok(found?.is_absent()),
        }
    }

    /// Repeats what is all or nothing, with more room.
    pub(super) fn with_room<R>(
        &mut self,
        mut call: impl FnMut(&mut Self) -> Result<R, StateError>,
    ) -> Result<R, StateError> {
        self.changes();
        loop {
            match call(self) {
                Err(StateError::OutOfBudget { .. }) => self.make_room()?,
                outcome => return outcome,
            }
        }
    }

    /// Serves keys one by one.
    pub(super) fn each(
        &mut self,
        keys: &Keys<'_>,
        mut serve: impl FnMut(&mut Self, usize, &Key<'_>) -> Result<(), StateError>,
    ) -> Result<(), Stopped> {
        for done in 0..keys.len() {
            let key = keys.at(done);
            let served = self.with_room(|backend| serve(backend, done, &key));
            served.map_err(|error| Stopped { done, error })?;
        }
        Ok(())
    }

    /// Adds a state to all buffers.
    pub(super) fn add_state(&mut self, spec: &StateSpec) -> Result<StateId, StateError> {
        let tables = self.active.register(spec)?;
        for buffer in &mut self.frozen {
            buffer.register(spec)?;
        }
        let number = StateId(self.states.len() as u16);
        let spec = spec.clone();
        self.states.push(State { spec, tables, ttl: None, is_registered: true });
        Ok(number)
    }
}
