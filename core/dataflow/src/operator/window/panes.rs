//! What is kept for each key and pane: a window, or a slice of one.

use alloc::{collections::BTreeSet, format, string::String, vec, vec::Vec};
use core::ops::Range;

use millstream_state::{
    Backend, Column, Key as StateKey, Keys, Kind, StateId, StateSpec, description::Part, list,
};

use crate::{
    chain::TaskError,
    state::{Contents, GroupKey, KeyBuffer, KeyedState, TIME, namespace, time_of},
};

/// Keys that are read and removed together when a pane has ended.
const SWEEP: usize = 64;

/// Values by key and pane, and which keys each pane has.
#[derive(Debug)]
pub(in crate::operator) struct Panes {
    values: StateId,
    /// By key group and pane: the keys that have a value, each once.
    members: StateId,
    /// Bytes of a key, if all have the same.
    key: Option<usize>,
    /// What a value is before its first row, if all have one size: a 0 in front says so.
    initial: Option<Vec<u8>>,
    /// Panes with a value, by their end.
    pub(in crate::operator) ends: BTreeSet<i64>,
    scratch: Scratch,
}

/// Space that is used again in each call.
#[derive(Debug, Default)]
struct Scratch {
    /// Numbers of keys that had no value.
    created: Vec<u32>,
    hashes: Vec<u64>,
    groups: Vec<u8>,
    namespaces: Vec<u8>,
    keys: Vec<u8>,
    key_ends: Vec<u32>,
    value: Vec<u8>,
    old: Vec<u8>,
}

impl Panes {
    /// The panes called `name`, with keys of `key` bytes and values of `value` bytes, if all have the
    /// same.
    pub(in crate::operator) fn register(
        state: &mut KeyedState,
        name: &str,
        key: Option<usize>,
        value: Option<usize>,
    ) -> Result<Self, TaskError> {
        let spec = |name: String, kind, key, value| StateSpec {
            name,
            kind,
            key,
            namespace: Some(TIME),
            value,
        };
        let flagged = value.map(|value| value + 1);
        let values = state.register(&spec(name.into(), Kind::Value, key, flagged))?;
        let members = format!("{name}-keys");
        let members = state.register(&spec(members, Kind::List, Some(8), key))?;
        let initial = flagged.map(|bytes| alloc::vec![0; bytes]);
        let (ends, scratch) = (BTreeSet::new(), Scratch::default());
        Ok(Self { values, members, key, initial, ends, scratch })
    }

    /// Says what values are made of.
    pub(in crate::operator) fn describe(&self, state: &mut KeyedState, parts: Vec<Part>) {
        let namespace = vec![Part::Time];
        let flag = self.initial.as_ref().map(|_| Part::Flag);
        let value = flag.into_iter().chain(parts).collect();
        let values = Contents { namespace: namespace.clone(), value, ..Contents::default() };
        state.describe(self.values, values);
        let value = state.key_parts().into();
        let members = Contents { of_group: true, namespace, value, ..Contents::default() };
        state.describe(self.members, members);
    }

    /// Folds into the values of keys in the panes of `namespaces`: `fold` is given the number of the
    /// key and its value, and writes the new one.
    pub(in crate::operator) fn fold(
        &mut self,
        state: &mut KeyedState,
        keys: &KeyBuffer,
        namespaces: Column<'_>,
        mut fold: impl FnMut(usize, Option<&[u8]>, &mut Vec<u8>),
    ) -> Result<(), TaskError> {
        let Scratch { created, value: new, old, .. } = &mut self.scratch;
        created.clear();
        let all = keys.keys().within(namespaces);
        match &self.initial {
            Some(initial) => {
                state.update(self.values, &all, initial, |index, value| {
                    let Some((flag, row)) = value.split_first_mut() else { return };
                    new.clear();
                    if *flag == 0 {
                        *flag = 1;
                        created.push(index as u32);
                        fold(index, None, new);
                    } else {
                        fold(index, Some(row), new);
                    }
                    // The layout says that all rows are of this size.
                    if new.len() == row.len() {
                        row.copy_from_slice(new);
                    }
                })?;
            }
            None => {
                for index in 0..all.len() {
                    let key = all.at(index);
                    new.clear();
                    if state.read(self.values, &key, old)? {
                        fold(index, Some(old), new);
                    } else {
                        created.push(index as u32);
                        fold(index, None, new);
                    }
                    let value = Column::Same(new);
                    state.change(|store, _| store.put(self.values, &key.batch(), value))?;
                }
            }
        }
        self.enter(state, &all)
    }

    /// Writes down which keys now have a value in which panes.
    fn enter(&mut self, state: &mut KeyedState, all: &Keys<'_>) -> Result<(), TaskError> {
        let Scratch { created, hashes, groups, namespaces, keys, key_ends, .. } = &mut self.scratch;
        if created.is_empty() {
            return Ok(());
        }
        hashes.clear();
        groups.clear();
        namespaces.clear();
        keys.clear();
        key_ends.clear();
        for index in created.iter() {
            let key = all.at(*index as usize);
            let GroupKey { hash, bytes } = state.group_key_of(key.hash);
            hashes.push(hash);
            groups.extend(bytes);
            namespaces.extend_from_slice(key.namespace);
            keys.extend_from_slice(key.key);
            key_ends.push(keys.len() as u32);
            self.ends.extend(time_of(key.namespace));
        }
        let batch =
            Keys::fixed(hashes, 8, groups).within(Column::Fixed { width: TIME, bytes: namespaces });
        let elements = Column::Variable { begin: 0, ends: key_ends, bytes: keys };
        state.change(|store, done| {
            store.append(self.members, &batch.skip(done), elements.skip(done))
        })
    }

    /// Finds out which panes have values, after state was put back.
    pub(in crate::operator) fn restored(
        &mut self,
        state: &mut KeyedState,
    ) -> Result<(), TaskError> {
        for group in state.groups() {
            let ends = &mut self.ends;
            state.scan(self.members, group, |entry| ends.extend(time_of(entry.namespace)))?;
        }
        Ok(())
    }

    /// The value of a key in a pane.
    pub(in crate::operator) fn read(
        &self,
        state: &mut KeyedState,
        key: &StateKey<'_>,
        value: &mut Vec<u8>,
    ) -> Result<bool, TaskError> {
        let there = state.read(self.values, key, value)?;
        if there && self.initial.is_some() {
            value.remove(0);
        }
        Ok(there)
    }
}

/// A walk over all keys of a pane that has ended. It may stop after any key and go on later.
#[derive(Debug)]
pub(in crate::operator) struct Sweep {
    pub(in crate::operator) end: i64,
    groups: Range<u32>,
    /// The keys of the group at hand, and how far the walk is.
    group: Option<u32>,
    members: Vec<u8>,
    at: usize,
}

/// Some keys of a group that were visited.
pub(in crate::operator) struct Visited {
    pub(in crate::operator) group: u32,
    /// Whether they were the last of their group.
    pub(in crate::operator) is_last: bool,
    /// Whether others are to be visited.
    pub(in crate::operator) go_on: bool,
}

impl Sweep {
    /// Over the keys of the pane that ends at `end`.
    pub(in crate::operator) fn begin(state: &KeyedState, end: i64) -> Self {
        Self { end, groups: state.groups(), group: None, members: Vec::new(), at: 0 }
    }

    /// Visits keys of the pane until `visit` answers `false`; `true` if all were visited. The value of
    /// a key is removed once it was, if `remove` says so, and with the last one of a group the list of
    /// its keys.
    pub(in crate::operator) fn run<B: AsRef<KeyBuffer> + AsMut<KeyBuffer>>(
        &mut self,
        panes: &Panes,
        state: &mut KeyedState,
        batch: &mut B,
        remove: bool,
        mut visit: impl FnMut(&B, usize, &[u8]) -> Result<bool, TaskError>,
    ) -> Result<bool, TaskError> {
        let namespace = namespace(self.end);
        loop {
            if !self.fill(panes, state, batch.as_mut())? {
                return Ok(true);
            }
            let keys = (*batch).as_ref().keys().within(Column::Same(&namespace));
            let mut go_on = true;
            let visited = state.read_each(panes.values, &keys, |index, value| {
                if let Some(value) = value {
                    let row = if panes.initial.is_some() { value.get(1..) } else { Some(value) };
                    go_on = visit(batch, index, row.unwrap_or(&[]))?;
                }
                Ok(go_on)
            })?;
            self.pass(panes, state, batch.as_mut(), visited, remove)?;
            if !go_on {
                return Ok(false);
            }
        }
    }

    /// Takes the next keys of the pane out of it and calls `each` with them and their values; gives the group that
    /// they are of, and whether they are its last. `None` if there are no more.
    pub(in crate::operator) fn take<B: AsRef<KeyBuffer> + AsMut<KeyBuffer>>(
        &mut self,
        panes: &Panes,
        state: &mut KeyedState,
        batch: &mut B,
        mut each: impl FnMut(&[u8], &[u8]),
    ) -> Result<Option<(u32, bool)>, TaskError> {
        if !self.fill(panes, state, batch.as_mut())? {
            return Ok(None);
        }
        let group = self.group;
        let namespace = namespace(self.end);
        let keys = (*batch).as_ref().keys().within(Column::Same(&namespace));
        let visited = state.read_each(panes.values, &keys, |index, value| {
            if let Some(value) = value {
                let row = if panes.initial.is_some() { value.get(1..) } else { Some(value) };
                each((*batch).as_ref().at(index), row.unwrap_or(&[]));
            }
            Ok(true)
        })?;
        self.pass(panes, state, batch.as_mut(), visited, true)?;
        Ok(group.map(|group| (group, self.group.is_none())))
    }

    /// Visits the next keys of the pane, with the state at hand, until `visit` answers `false`; their values are
    /// removed then. `None` if there are no more.
    pub(in crate::operator) fn visit<B: AsRef<KeyBuffer> + AsMut<KeyBuffer>>(
        &mut self,
        panes: &Panes,
        state: &mut KeyedState,
        batch: &mut B,
        mut visit: impl FnMut(&mut KeyedState, &B, usize, &[u8]) -> Result<bool, TaskError>,
    ) -> Result<Option<Visited>, TaskError> {
        if !self.fill(panes, state, batch.as_mut())? {
            return Ok(None);
        }
        let (group, namespace) = (self.group.unwrap_or(0), namespace(self.end));
        let (mut visited, mut go_on, mut value) = (0, true, Vec::new());
        while go_on && visited < (*batch).as_ref().len() {
            let key = (*batch).as_ref().keys().within(Column::Same(&namespace)).at(visited);
            if panes.read(state, &key, &mut value)? {
                go_on = visit(state, batch, visited, &value)?;
            }
            visited += 1;
        }
        self.pass(panes, state, batch.as_mut(), visited, true)?;
        Ok(Some(Visited { group, is_last: self.group.is_none(), go_on }))
    }

    /// Goes past the first keys of a batch, whose values are removed if `remove` says so.
    pub(in crate::operator) fn pass(
        &mut self,
        panes: &Panes,
        state: &mut KeyedState,
        batch: &mut KeyBuffer,
        visited: usize,
        remove: bool,
    ) -> Result<(), TaskError> {
        let namespace = namespace(self.end);
        if remove {
            batch.truncate(visited);
            let gone = batch.keys().within(Column::Same(&namespace));
            state.change(|store, done| store.remove(panes.values, &gone.skip(done)))?;
        }
        self.advance(panes.key, visited);
        match self.at == self.members.len() {
            true => self.leave(panes, state, remove, &namespace),
            false => Ok(()),
        }
    }

    /// Puts the next keys into `batch`; `false` if there are none.
    pub(in crate::operator) fn fill(
        &mut self,
        panes: &Panes,
        state: &mut KeyedState,
        batch: &mut KeyBuffer,
    ) -> Result<bool, TaskError> {
        let namespace = &namespace(self.end);
        while self.group.is_none() {
            let Some(group) = self.groups.next() else { return Ok(false) };
            let key = state.group_key(group);
            self.at = 0;
            if state.read(panes.members, &key.within(namespace), &mut self.members)? {
                self.group = Some(group);
            }
        }
        batch.clear();
        let left = self.members.get(self.at..).unwrap_or(&[]);
        list::elements(left, panes.key).take(SWEEP).for_each(|key| batch.push_bytes(key));
        Ok(true)
    }

    /// Goes past so many keys.
    fn advance(&mut self, width: Option<usize>, keys: usize) {
        let mut left = self.members.get(self.at..).unwrap_or(&[]);
        for _ in 0..keys {
            let Some((_, behind)) = list::split_first(left, width) else { break };
            left = behind;
        }
        self.at = self.members.len() - left.len();
    }

    /// Is done with the group at hand.
    fn leave(
        &mut self,
        panes: &Panes,
        state: &mut KeyedState,
        remove: bool,
        namespace: &[u8; TIME],
    ) -> Result<(), TaskError> {
        let Some(group) = self.group.take() else { return Ok(()) };
        let key = state.group_key(group);
        match remove {
            true => {
                state.change(|store, _| store.remove(panes.members, &key.within(namespace).batch()))
            }
            false => Ok(()),
        }
    }
}
