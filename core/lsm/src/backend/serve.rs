//! The LSM backend as a [`Backend`].

use alloc::vec::Vec;

use millstream_state::{
    Backend, Column, Cursor, Entry, Key, Keys, Kind, Lease, Merge, Place, StateError, StateId,
    StateSpec, Stopped,
};

use super::LsmBackend;

impl<L: Lease> Backend for LsmBackend<L> {
    fn register(&mut self, spec: &StateSpec) -> Result<StateId, StateError> {
        let known = self.states.iter().position(|state| state.spec.name == spec.name);
        let Some(known) = known else { return self.add_state(spec) };
        let Some(state) = self.states.get_mut(known).filter(|state| !state.is_registered) else {
            let what = "is registered twice in one operator; give one of them another name";
            return Err(StateError::Misused { state: spec.name.clone(), what });
        };
        let old = &state.spec;
        let is_same = (old.kind, old.key, old.namespace, old.value)
            == (spec.kind, spec.key, spec.namespace, spec.value);
        if !is_same {
            let what = "was written with another kind or other sizes; restore a savepoint instead";
            return Err(StateError::Misused { state: spec.name.clone(), what });
        }
        state.is_registered = true;
        Ok(StateId(known as u16))
    }

    fn lookup(
        &self,
        state: StateId,
        keys: &Keys<'_>,
        places: &mut Vec<Place>,
    ) -> Result<(), StateError> {
        let found = self.state(state)?;
        if self.is_all_active() {
            return self.active.memory.lookup(found.tables.present, keys, places);
        }
        for index in 0..keys.len() {
            places.push(self.find_any(state.0, found, &keys.at(index))?);
        }
        Ok(())
    }

    fn read_ahead(&self, state: StateId, keys: &Keys<'_>) {
        if let (true, Ok(found)) = (self.is_all_active(), self.state(state)) {
            self.active.memory.read_ahead(found.tables.present, keys);
        }
    }

    fn find(&self, state: StateId, key: &Key<'_>) -> Result<Place, StateError> {
        let found = self.state(state)?;
        if self.is_all_active() {
            return self.active.memory.find(found.tables.present, key);
        }
        self.find_any(state.0, found, key)
    }

    fn pieces(&self, place: Place) -> impl Iterator<Item = &[u8]> {
        self.pieces_of(place)
    }

    fn update(
        &mut self,
        state: StateId,
        keys: &Keys<'_>,
        initial: &[u8],
        mut each: impl FnMut(usize, &mut [u8]),
    ) -> Result<(), Stopped> {
        self.change(state, keys, |buffer, tables, keys, done| {
            let each = |index: usize, value: &mut [u8]| each(done + index, value);
            buffer.memory.update(tables.present, keys, initial, each)
        })
    }

    fn merge(
        &mut self,
        state: StateId,
        keys: &Keys<'_>,
        operands: Column<'_>,
        merge: Merge,
    ) -> Result<(), Stopped> {
        self.change(state, keys, |buffer, tables, keys, done| {
            buffer.memory.merge(tables.present, keys, operands.skip(done), merge)
        })
    }

    fn put(&mut self, state: StateId, keys: &Keys<'_>, values: Column<'_>) -> Result<(), Stopped> {
        self.write(state, keys, |buffer, tables, keys, done| {
            buffer.memory.put(tables.present, keys, values.skip(done))
        })
    }

    fn append(
        &mut self,
        state: StateId,
        keys: &Keys<'_>,
        elements: Column<'_>,
    ) -> Result<(), Stopped> {
        self.write(state, keys, |buffer, tables, keys, done| {
            buffer.memory.append(tables.present, keys, elements.skip(done))
        })
    }

    fn put_list(
        &mut self,
        state: StateId,
        key: &Key<'_>,
        elements: &[u8],
    ) -> Result<(), StateError> {
        self.state_of(state, Kind::List)?;
        self.with_room(|backend| backend.put_whole_list(state, key, elements))
    }

    fn put_entries(
        &mut self,
        state: StateId,
        keys: &Keys<'_>,
        map_keys: Column<'_>,
        values: Column<'_>,
    ) -> Result<(), Stopped> {
        self.write(state, keys, |buffer, tables, keys, done| {
            let (map_keys, values) = (map_keys.skip(done), values.skip(done));
            buffer.memory.put_entries(tables.present, keys, map_keys, values)
        })
    }

    fn remove_entries(
        &mut self,
        state: StateId,
        keys: &Keys<'_>,
        map_keys: Column<'_>,
    ) -> Result<(), Stopped> {
        self.each(keys, |backend, index, key| backend.remove_entry(state, key, map_keys.at(index)))
    }

    fn lookup_entries(
        &self,
        state: StateId,
        keys: &Keys<'_>,
        map_keys: Column<'_>,
        places: &mut Vec<Place>,
    ) -> Result<(), StateError> {
        for index in 0..keys.len() {
            places.push(self.find_entry(state, &keys.at(index), map_keys.at(index))?);
        }
        Ok(())
    }

    fn find_entry(
        &self,
        state: StateId,
        key: &Key<'_>,
        map_key: &[u8],
    ) -> Result<Place, StateError> {
        let found = self.state_of(state, Kind::Map)?;
        self.find_value(state.0, found, key, Some(map_key))
    }

    fn scan_entries(
        &self,
        state: StateId,
        key: &Key<'_>,
        from: &[u8],
        each: &mut dyn FnMut(&[u8], Place) -> bool,
    ) -> Result<(), StateError> {
        let found = self.state_of(state, Kind::Map)?;
        if self.is_all_active() {
            return self.active.memory.scan_entries(found.tables.present, key, from, each);
        }
        self.scan_map(state.0, found, key, from, each)
    }

    fn remove(&mut self, state: StateId, keys: &Keys<'_>) -> Result<(), Stopped> {
        self.each(keys, |backend, _, key| backend.remove_one(state, key))
    }

    fn scan(
        &self,
        state: StateId,
        group: u32,
        cursor: &mut Cursor,
        each: &mut dyn FnMut(Entry<'_>) -> bool,
    ) -> Result<(), StateError> {
        let found = self.state(state)?;
        self.scan_group(state.0, found, group, cursor, each)
    }

    fn clear_namespace(&mut self, state: StateId, namespace: &[u8]) -> Result<(), StateError> {
        self.changes();
        let tables = self.state(state)?.tables;
        let hides = !self.is_all_active();
        self.active.clear_namespace(state.0, &tables, namespace, hides)
    }

    fn open_snapshot(&mut self) -> Result<(), StateError> {
        self.begin_snapshot()
    }

    fn next_chunk(&mut self, out: &mut Vec<u8>) -> Result<bool, StateError> {
        self.chunk(out)
    }

    fn abort_snapshot(&mut self) {
        self.snapshot = None;
    }

    fn spec(&self, state: StateId) -> Option<&StateSpec> {
        let known = self.states.get(usize::from(state.0)).filter(|state| state.is_registered);
        known.map(|state| &state.spec)
    }

    fn entries(&self, state: StateId) -> u64 {
        let Some(found) = self.states.get(usize::from(state.0)) else { return 0 };
        let buffered =
            self.buffers().map(|(_, buffer)| buffer.memory.entries(found.tables.present));
        let written: u64 = self.stack.runs().iter().map(|run| run.index.entries).sum();
        buffered.sum::<u64>() + written
    }

    fn held(&self) -> u64 {
        self.budget.held()
    }
}
