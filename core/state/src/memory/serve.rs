//! The memory backend as a [`Backend`].

use alloc::vec::Vec;
use core::iter;

use super::{
    KEY_MAX, MemoryBackend, State,
    bucket::{self, CHAINED, Content, INLINE_MAX, Shape},
    chain::{self, Chain, REFERENCE, Refused},
    pages::{NONE, Page, Pages},
    table::{Found, Table},
};
use crate::{
    Backend, Column, Cursor, Entry, Key, Keys, Kind, Lease, Merge, Place, StateError, StateId,
    StateSpec, Stopped,
};

impl<L: Lease> Backend for MemoryBackend<L> {
    fn register(&mut self, spec: &StateSpec) -> Result<StateId, StateError> {
        let misused = |what| Err(StateError::Misused { state: spec.name.clone(), what });
        if self.states.iter().any(|state| state.spec.name == spec.name) {
            return misused("is registered twice in one operator; give one of them another name");
        }
        let Ok(number) = u16::try_from(self.states.len()) else {
            return misused("is one too many: an operator may have 65,536");
        };
        let shape = match (spec.kind, spec.key, spec.namespace, spec.value) {
            (Kind::Value, Some(key), Some(namespace), Some(value))
                if key.saturating_add(namespace).saturating_add(value) <= INLINE_MAX =>
            {
                Shape::fixed(key, namespace, value)
            }
            _ => Shape::variable(),
        };
        if !self.pages.reserve(Table::bytes(&self.owned)) {
            let held = self.pages.held();
            return Err(StateError::OutOfBudget { state: spec.name.clone(), held });
        }
        let table = Table::new(spec.name.clone(), number, shape, self.owned, self.hash);
        self.states.push(State { spec: spec.clone(), table });
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
        state.check(keys, Some(initial.len()))?;
        state.table.update(pages, keys, initial, &mut each)
    }

    fn merge(
        &mut self,
        state: StateId,
        keys: &Keys<'_>,
        operands: Column<'_>,
        merge: Merge,
    ) -> Result<(), Stopped> {
        let (state, pages) = self.state_mut(state, Kind::Value).map_err(at_once)?;
        state.each(pages, keys, |state, pages, index, key| {
            let operand = operands.at(index);
            state.check_value(operand.len())?;
            match state.table.find(pages, &key)? {
                None => state.insert(pages, &key, operand, operand.len()),
                Some(found) => {
                    pages.prepare(found.page)?;
                    let parts =
                        bucket::parts(pages.page(found.page), &state.table.shape, found.entry);
                    state.check_merge(parts.end - parts.value, operand.len())?;
                    merge(&mut pages.page_mut(found.page)[parts.value..parts.end], operand);
                    Ok(())
                }
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

    fn entries(&self, state: StateId) -> u64 {
        self.states.get(usize::from(state.0)).map_or(0, |state| state.table.entries())
    }

    fn held(&self) -> u64 {
        self.pages.held()
    }

    fn open_snapshot(&mut self) -> Result<(), StateError> {
        self.open()
    }

    fn next_chunk(&mut self, out: &mut Vec<u8>) -> bool {
        self.chunk(out)
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

impl State {
    /// Serves keys one by one.
    fn each<L: Lease>(
        &mut self,
        pages: &mut Pages<L>,
        keys: &Keys<'_>,
        mut serve: impl FnMut(&mut Self, &mut Pages<L>, usize, Key<'_>) -> Result<(), StateError>,
    ) -> Result<(), Stopped> {
        for done in 0..keys.len() {
            let key = keys.at(done);
            let stopped = |error| Stopped { done, error };
            self.check_key(&key).map_err(stopped)?;
            serve(self, pages, done, key).map_err(stopped)?;
        }
        Ok(())
    }

    /// Checks the sizes of a batch once, as far as its columns say them.
    #[inline]
    fn check(&self, keys: &Keys<'_>, value: Option<usize>) -> Result<(), Stopped> {
        if let Some(value) = value {
            self.check_value(value).map_err(at_once)?;
        }
        let one_size = |column: &Column<'_>| !matches!(column, Column::Variable { .. });
        let checked =
            if one_size(&keys.keys) && one_size(&keys.namespaces) { 1 } else { keys.len() };
        for done in 0..checked.min(keys.len()) {
            self.check_key(&keys.at(done)).map_err(|error| Stopped { done, error })?;
        }
        Ok(())
    }

    fn check_key(&self, key: &Key<'_>) -> Result<(), StateError> {
        let bytes = key.key.len() + key.namespace.len();
        for (expected, found) in
            [(self.spec.key, key.key.len()), (self.spec.namespace, key.namespace.len())]
        {
            self.check_width(expected, found)?;
        }
        // A fixed shape has checked what fits when it was made.
        if self.table.shape.fixed.is_none() && bytes > KEY_MAX {
            let state = self.spec.name.clone();
            return Err(StateError::TooLarge { state, bytes, max: KEY_MAX });
        }
        Ok(())
    }

    fn check_value(&self, bytes: usize) -> Result<(), StateError> {
        self.check_width(self.spec.value, bytes)?;
        if u32::try_from(bytes).is_err() {
            let (state, max) = (self.spec.name.clone(), u32::MAX as usize);
            return Err(StateError::TooLarge { state, bytes, max });
        }
        Ok(())
    }

    fn check_merge(&self, expected: usize, found: usize) -> Result<(), StateError> {
        self.check_width(Some(expected), found)
    }

    fn check_width(&self, expected: Option<usize>, found: usize) -> Result<(), StateError> {
        match expected {
            Some(expected) if expected != found => {
                Err(StateError::Width { state: self.spec.name.clone(), expected, found })
            }
            _ => Ok(()),
        }
    }

    fn refused<L: Lease>(&self, pages: &Pages<L>, refused: Refused) -> StateError {
        match refused {
            Refused::SnapshotFirst => StateError::SnapshotFirst,
            Refused::OutOfBudget => {
                StateError::OutOfBudget { state: self.spec.name.clone(), held: pages.held() }
            }
        }
    }

    /// Adds an entry for a key that has none, whose value may grow to `room` bytes where it is.
    fn insert<L: Lease>(
        &mut self,
        pages: &mut Pages<L>,
        key: &Key<'_>,
        value: &[u8],
        room: usize,
    ) -> Result<(), StateError> {
        let Key { key: bytes, namespace, .. } = *key;
        if self.table.shape.fixed.is_some() || value.len() <= longest(key) {
            let new = Content { key: bytes, namespace, value, room, chained: false };
            return self.table.insert(pages, key, &new).map(drop);
        }
        let chain = Chain::new(pages, &[value]).map_err(|why| self.refused(pages, why))?;
        self.insert_chain(pages, key, chain)
    }

    fn insert_chain<L: Lease>(
        &mut self,
        pages: &mut Pages<L>,
        key: &Key<'_>,
        chain: Chain,
    ) -> Result<(), StateError> {
        let value = &chain.to_bytes();
        let Key { key: bytes, namespace, .. } = *key;
        let new = Content { key: bytes, namespace, value, room: value.len(), chained: true };
        let inserted = self.table.insert(pages, key, &new);
        if inserted.is_err() {
            chain.free(pages);
        }
        inserted.map(drop)
    }

    fn put<L: Lease>(
        &mut self,
        pages: &mut Pages<L>,
        key: &Key<'_>,
        value: &[u8],
    ) -> Result<(), StateError> {
        let Some(found) = self.table.find(pages, key)? else {
            return self.insert(pages, key, value, value.len());
        };
        pages.prepare(found.page)?;
        let parts = bucket::parts(pages.page(found.page), &self.table.shape, found.entry);
        // Reused unless that would waste more than half.
        if !parts.chained && value.len() <= parts.room && value.len() >= parts.room / 2 {
            let page = pages.page_mut(found.page);
            page[parts.value..parts.value + value.len()].copy_from_slice(value);
            if self.table.shape.fixed.is_none() {
                bucket::set_length(page, &self.table.shape, found.entry, value.len());
            }
            return Ok(());
        }
        self.replace(pages, key, found, |state, pages| state.insert(pages, key, value, value.len()))
    }

    fn append<L: Lease>(
        &mut self,
        pages: &mut Pages<L>,
        key: &Key<'_>,
        element: &[u8],
    ) -> Result<(), StateError> {
        let Some(found) = self.table.find(pages, key)? else {
            return self.insert(pages, key, element, inline(key, element.len(), 2 * element.len()));
        };
        pages.prepare(found.page)?;
        let parts = bucket::parts(pages.page(found.page), &self.table.shape, found.entry);
        let (value, end) = (parts.value, parts.end);
        if parts.chained {
            let chain = Chain::from_bytes(&pages.page(found.page)[value..end]);
            let Some(mut chain) = chain else { return Ok(()) };
            chain.append(pages, element).map_err(|why| {
                // The page of the entry is what the snapshot writes chains with.
                pages.cow.urgent = found.page;
                self.refused(pages, why)
            })?;
            pages.page_mut(found.page)[value..end].copy_from_slice(&chain.to_bytes());
            return Ok(());
        }
        let (old, new) = (end - value, end - value + element.len());
        if new <= parts.room {
            let page = pages.page_mut(found.page);
            page[end..end + element.len()].copy_from_slice(element);
            bucket::set_length(page, &self.table.shape, found.entry, new);
            return Ok(());
        }
        let page: Page = *pages.page(found.page);
        let list = &page[value..end];
        if new <= longest(key) {
            let mut joined = [0; INLINE_MAX];
            joined[..old].copy_from_slice(list);
            joined[old..new].copy_from_slice(element);
            let room = inline(key, new, 2 * new);
            return self.replace(pages, key, found, |state, pages| {
                state.insert(pages, key, &joined[..new], room)
            });
        }
        let chain = Chain::new(pages, &[list, element]).map_err(|why| self.refused(pages, why))?;
        self.replace(pages, key, found, |state, pages| state.insert_chain(pages, key, chain))
    }

    /// Replaces an entry by what `insert` adds for the same key; the old one is back if that fails.
    fn replace<L: Lease>(
        &mut self,
        pages: &mut Pages<L>,
        key: &Key<'_>,
        found: Found,
        insert: impl FnOnce(&mut Self, &mut Pages<L>) -> Result<(), StateError>,
    ) -> Result<(), StateError> {
        let page: Page = *pages.page(found.page);
        let old = bucket::content(&page, &self.table.shape, found.entry);
        self.table.take_out(pages, key, found)?;
        match insert(self, pages) {
            Ok(()) => free_chain(pages, &old),
            Err(error) => {
                // Where it was there is room for it still, and nothing has to be leased.
                let back = self.table.insert(pages, key, &old);
                assert!(back.is_ok(), "an entry that was taken out fits again");
                return Err(error);
            }
        }
        Ok(())
    }

    fn remove<L: Lease>(
        &mut self,
        pages: &mut Pages<L>,
        key: &Key<'_>,
        found: Found,
    ) -> Result<(), StateError> {
        let parts = bucket::parts(pages.page(found.page), &self.table.shape, found.entry);
        let mut chain = [0; REFERENCE];
        if parts.chained {
            chain.copy_from_slice(&pages.page(found.page)[parts.value..parts.end]);
        }
        self.table.take_out(pages, key, found)?;
        if parts.chained {
            Chain::from_bytes(&chain).into_iter().for_each(|chain| chain.free(pages));
        }
        self.table.tidy(pages, key, found.page);
        Ok(())
    }

    fn clear_namespace<L: Lease>(
        &mut self,
        pages: &mut Pages<L>,
        namespace: &[u8],
    ) -> Result<(), StateError> {
        for group in self.table.owned.first..self.table.owned.end {
            let mut cursor = Cursor::default();
            loop {
                let mut bytes = [0; KEY_MAX + INLINE_MAX];
                let mut length = None;
                self.table.scan(pages, group, &mut cursor, &mut |entry| {
                    if entry.namespace == namespace {
                        bytes[..entry.key.len()].copy_from_slice(entry.key);
                        length = Some(entry.key.len());
                    }
                    length.is_none()
                });
                let Some(length) = length else { break };
                let key = &bytes[..length];
                let key = Key { hash: self.table.hash(key), key, namespace };
                if let Some(found) = self.table.find(pages, &key)? {
                    self.remove(pages, &key, found)?;
                }
                // The page's last entry has taken the place, or pages were merged.
                cursor = self.table.again(cursor);
            }
        }
        Ok(())
    }
}

/// The longest value that lies beside its key.
fn longest(key: &Key<'_>) -> usize {
    INLINE_MAX - key.key.len() - key.namespace.len()
}

/// The room for a value of `bytes`, `wanted` if possible.
fn inline(key: &Key<'_>, bytes: usize, wanted: usize) -> usize {
    wanted.next_multiple_of(8).min(longest(key)).max(bytes)
}

fn free_chain<L: Lease>(pages: &mut Pages<L>, old: &Content<'_>) {
    if old.chained {
        Chain::from_bytes(old.value).into_iter().for_each(|chain| chain.free(pages));
    }
}
