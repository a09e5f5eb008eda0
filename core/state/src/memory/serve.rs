//! The memory backend as a [`Backend`].

use alloc::vec::Vec;
use core::iter;

use super::{
    MemoryBackend, State,
    bucket::{CHAINED, Shape},
    chain::{self, Chain},
    pages::NONE,
    table::Table,
};
use crate::{
    Backend, Column, Cursor, Entry, IN_PLACE_MAX, Key, Keys, Kind, Lease, Merge, Place, StateError,
    StateId, StateSpec, Stopped,
};

impl<L: Lease> Backend for MemoryBackend<L> {
    fn register(&mut self, spec: &StateSpec) -> Result<StateId, StateError> {
        let misused = |what| Err(StateError::Misused { state: spec.name.clone(), what });
        if self.states.iter().any(|state| state.spec.name == spec.name) {
            return misused("is registered twice in one operator; give one of them another name");
        }
        if spec.kind == Kind::List && spec.value == Some(0) {
            return misused("has elements of no bytes; count them in a value");
        }
        let Ok(number) = u16::try_from(self.states.len()) else {
            return misused("is one too many: an operator may have 65,536");
        };
        let shape = match (spec.kind, spec.key, spec.namespace, spec.value) {
            (Kind::Value, Some(key), Some(namespace), Some(value))
                if key.saturating_add(namespace).saturating_add(value) <= IN_PLACE_MAX =>
            {
                Shape::fixed(key, namespace, value)
            }
            _ => Shape::variable(),
        };
        if !self.pages.reserve(Table::bytes(&self.owned)) {
            let held = self.pages.held();
            return Err(StateError::OutOfBudget { state: spec.name.clone(), held });
        }
        let table = Table::new(spec.name.clone(), number, spec.kind, shape, self.owned, self.hash);
        self.states.push(State { spec: spec.clone(), table, scratch: Vec::new() });
        Ok(StateId(number))
    }

    fn lookup(
        &self,
        state: StateId,
        keys: &Keys<'_>,
        places: &mut Vec<Place>,
    ) -> Result<(), StateError> {
        let Some(state) = self.states.get(usize::from(state.0)) else {
            return Err(super::unknown(state));
        };
        state.table.lookup(&self.pages, keys, places)
    }

    fn read_ahead(&self, state: StateId, keys: &Keys<'_>) {
        if let Some(state) = self.states.get(usize::from(state.0)) {
            (0..keys.len()).for_each(|index| state.table.warm(&self.pages, keys, index));
        }
    }

    fn find(&self, state: StateId, key: &Key<'_>) -> Result<Place, StateError> {
        let Some(state) = self.states.get(usize::from(state.0)) else {
            return Err(super::unknown(state));
        };
        state.table.find_value(&self.pages, key)
    }

    fn pieces(&self, place: Place) -> impl Iterator<Item = &[u8]> {
        let (inline, mut next) = self.inline(place);
        let chained = iter::from_fn(move || {
            let page = (next != NONE).then_some(next)?;
            let (part, following) = chain::part(self.pages.page(page));
            next = following;
            Some(part)
        });
        inline.into_iter().chain(chained)
    }

    #[inline]
    fn update(
        &mut self,
        state: StateId,
        keys: &Keys<'_>,
        initial: &[u8],
        mut each: impl FnMut(usize, &mut [u8]),
    ) -> Result<(), Stopped> {
        let (state, pages) = self.state_mut(state, Kind::Value).map_err(at_once)?;
        let initial = Column::Same(initial);
        state.check_in_place(keys, &initial)?;
        state.table.update(pages, keys, initial, &mut |index, value, _| each(index, value))
    }

    fn merge(
        &mut self,
        state: StateId,
        keys: &Keys<'_>,
        operands: Column<'_>,
        merge: Merge,
    ) -> Result<(), Stopped> {
        let (state, pages) = self.state_mut(state, Kind::Value).map_err(at_once)?;
        state.check_in_place(keys, &operands)?;
        state.table.update(pages, keys, operands, &mut |index, value, is_new| {
            if !is_new {
                merge(value, operands.at(index));
            }
        })
    }

    fn put(&mut self, state: StateId, keys: &Keys<'_>, values: Column<'_>) -> Result<(), Stopped> {
        let (state, pages) = self.state_mut(state, Kind::Value).map_err(at_once)?;
        state.each(pages, keys, |state, pages, index, key| {
            let value = values.at(index);
            state.check_value(value.len())?;
            state.put(pages, &key, value)
        })
    }

    fn append(
        &mut self,
        state: StateId,
        keys: &Keys<'_>,
        elements: Column<'_>,
    ) -> Result<(), Stopped> {
        let (state, pages) = self.state_mut(state, Kind::List).map_err(at_once)?;
        state.each(pages, keys, |state, pages, index, key| {
            let element = elements.at(index);
            state.check_value(element.len())?;
            state.append(pages, &key, element)
        })
    }

    fn put_list(
        &mut self,
        state: StateId,
        key: &Key<'_>,
        elements: &[u8],
    ) -> Result<(), StateError> {
        let (state, pages) = self.state_mut(state, Kind::List)?;
        state.check_key(key)?;
        state.put_list(pages, key, elements)
    }

    fn put_entries(
        &mut self,
        state: StateId,
        keys: &Keys<'_>,
        map_keys: Column<'_>,
        values: Column<'_>,
    ) -> Result<(), Stopped> {
        let (state, pages) = self.state_mut(state, Kind::Map).map_err(at_once)?;
        state.each(pages, keys, |state, pages, index, key| {
            let (map_key, value) = (map_keys.at(index), values.at(index));
            state.check_map_key(map_key)?;
            state.check_value(value.len())?;
            state.put_entry(pages, &key, map_key, value)
        })
    }

    fn remove_entries(
        &mut self,
        state: StateId,
        keys: &Keys<'_>,
        map_keys: Column<'_>,
    ) -> Result<(), Stopped> {
        let (state, pages) = self.state_mut(state, Kind::Map).map_err(at_once)?;
        state.each(pages, keys, |state, pages, index, key| {
            state.remove_entry(pages, &key, map_keys.at(index))
        })
    }

    fn lookup_entries(
        &self,
        state: StateId,
        keys: &Keys<'_>,
        map_keys: Column<'_>,
        places: &mut Vec<Place>,
    ) -> Result<(), StateError> {
        let state = self.state(state, Kind::Map)?;
        for index in 0..keys.len() {
            state.table.warm(&self.pages, keys, index);
            places.push(state.entry(&self.pages, &keys.at(index), map_keys.at(index))?);
        }
        Ok(())
    }

    fn find_entry(
        &self,
        state: StateId,
        key: &Key<'_>,
        map_key: &[u8],
    ) -> Result<Place, StateError> {
        self.state(state, Kind::Map)?.entry(&self.pages, key, map_key)
    }

    fn scan_entries(
        &self,
        state: StateId,
        key: &Key<'_>,
        from: &[u8],
        each: &mut dyn FnMut(&[u8], Place) -> bool,
    ) -> Result<(), StateError> {
        self.state(state, Kind::Map)?.scan_entries(&self.pages, key, from, each)
    }

    fn remove(&mut self, state: StateId, keys: &Keys<'_>) -> Result<(), Stopped> {
        let Some(found) = self.states.get_mut(usize::from(state.0)) else {
            return Err(at_once(super::unknown(state)));
        };
        found.each(&mut self.pages, keys, |state, pages, _, key| {
            match state.table.find(pages, &key)? {
                Some(found) => state.remove(pages, &key, found),
                None => Ok(()),
            }
        })
    }

    fn scan(
        &self,
        state: StateId,
        group: u32,
        cursor: &mut Cursor,
        each: &mut dyn FnMut(Entry<'_>) -> bool,
    ) -> Result<(), StateError> {
        let Some(state) = self.states.get(usize::from(state.0)) else {
            return Err(super::unknown(state));
        };
        state.table.owned.index(group)?;
        state.table.scan(&self.pages, group, cursor, each);
        Ok(())
    }

    fn clear_namespace(&mut self, state: StateId, namespace: &[u8]) -> Result<(), StateError> {
        let Some(found) = self.states.get_mut(usize::from(state.0)) else {
            return Err(super::unknown(state));
        };
        found.clear_namespace(&mut self.pages, namespace)
    }

    fn spec(&self, state: StateId) -> Option<&StateSpec> {
        self.states.get(usize::from(state.0)).map(|state| &state.spec)
    }

    fn entries(&self, state: StateId) -> u64 {
        self.states.get(usize::from(state.0)).map_or(0, |state| state.table.entries())
    }

    fn held(&self) -> u64 {
        self.pages.held()
    }

    fn open_snapshot(&mut self) -> Result<(), StateError> {
        self.open()
    }

    fn next_chunk(&mut self, out: &mut Vec<u8>) -> Result<bool, StateError> {
        Ok(self.chunk(out))
    }

    fn abort_snapshot(&mut self) {
        self.close();
    }
}

impl<L: Lease> MemoryBackend<L> {
    /// What lies in the page itself, or the first page of the chain.
    fn inline(&self, place: Place) -> (Option<&[u8]>, u32) {
        if place.is_absent() {
            return (None, NONE);
        }
        let (at, length) = (usize::from(place.at), usize::from(place.length & !CHAINED));
        let bytes = &self.pages.page(place.page)[at..at + length];
        if place.length & CHAINED == 0 {
            return (Some(bytes), NONE);
        }
        (None, Chain::from_bytes(bytes).map_or(NONE, |chain| chain.first))
    }
}

fn at_once(error: StateError) -> Stopped {
    Stopped { done: 0, error }
}
