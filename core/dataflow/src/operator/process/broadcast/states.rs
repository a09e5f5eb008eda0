//! Broadcast state: maps that every subtask has whole.
//!
//! All subtasks get the same rows and keep the same, so that a snapshot has what the first one
//! keeps, and all begin from that. The maps are small, as rules are: they are on the heap, and
//! their bytes are reserved out of the budget of the chain's state.

use alloc::{collections::BTreeMap, format, string::String, sync::Arc, vec::Vec};
use core::{fmt, marker::PhantomData};

use millstream_data::{
    Value,
    order::Ordered,
    row::{RowLayout, RowValue},
    value::Record,
};
use millstream_state::{
    description::DESCRIPTIONS,
    format::{Chunk, ReadChunk},
};

use crate::{
    chain::{StateMemory, TaskError},
    state::damaged,
};

/// The number under which a snapshot has broadcast state, beside those of keyed states.
const BROADCAST: u16 = DESCRIPTIONS - 1;
/// Bytes that an entry takes beside its own: what the map itself needs, about.
const ENTRY: usize = 64;
/// Bytes of a map key at most, as in keyed state.
const MAP_KEY_BYTES_MAX: usize = 512;

/// The broadcast states of a function, in one subtask.
pub struct BroadcastStates {
    maps: Vec<Map>,
    memory: Arc<dyn StateMemory>,
    /// Bytes that are reserved.
    reserved: u64,
}

/// Rows by the bytes of their keys, which are in the order of keys.
#[derive(Debug)]
struct Map {
    name: String,
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl BroadcastStates {
    pub(super) fn open(memory: Option<&Arc<dyn StateMemory>>) -> Result<Self, TaskError> {
        let Some(memory) = memory.cloned() else {
            return Err(TaskError::new("the chain keeps state, but the job graph does not say so"));
        };
        Ok(Self { maps: Vec::new(), memory, reserved: 0 })
    }

    fn put(&mut self, map: usize, key: &[u8], row: Vec<u8>) -> Result<(), TaskError> {
        let Self { maps, memory, reserved } = self;
        let Some(Map { name, entries }) = maps.get_mut(map) else {
            return Err(damaged("broadcast state", &"the function has fewer than it had"));
        };
        if key.len() > MAP_KEY_BYTES_MAX {
            return Err(TaskError::new(format!(
                "the broadcast state `{name}` was given a key of {} bytes: it takes at most \
                 {MAP_KEY_BYTES_MAX}",
                key.len()
            )));
        }
        let bytes = (key.len() + row.len() + ENTRY) as u64;
        if !memory.reserve(bytes) {
            return Err(TaskError::new(format!(
                "the managed memory is used up: the broadcast state `{name}` needs {bytes} bytes more; \
                 give the job more, or keep less"
            )));
        }
        *reserved += bytes;
        let before = entries.insert(key.to_vec(), row).map(|before| key.len() + before.len());
        self.release(before);
        Ok(())
    }

    fn remove(&mut self, map: usize, key: &[u8]) {
        let gone = self.maps.get_mut(map).and_then(|map| map.entries.remove(key));
        self.release(gone.map(|row| key.len() + row.len()));
    }

    /// Ends the reservation of an entry of so many bytes.
    fn release(&mut self, entry: Option<usize>) {
        let Some(bytes) = entry.map(|bytes| (bytes + ENTRY) as u64) else { return };
        self.memory.release(bytes);
        self.reserved -= bytes;
    }

    /// Appends all of it to a snapshot.
    pub(super) fn freeze(&self, out: &mut Vec<u8>) {
        if self.maps.iter().all(|map| map.entries.is_empty()) {
            return;
        }
        let mut chunk = Chunk::begin(BROADCAST, 0, out);
        for (number, map) in self.maps.iter().enumerate() {
            for (key, row) in &map.entries {
                chunk.whole(key, &(number as u16).to_le_bytes(), row);
            }
        }
        chunk.end();
    }

    /// Takes what a chunk of a snapshot has, if it is of broadcast state.
    pub(super) fn thaw(&mut self, chunk: &ReadChunk<'_>) -> Result<bool, TaskError> {
        if chunk.state != BROADCAST {
            return Ok(false);
        }
        for entry in chunk.entries() {
            let number = entry.namespace.try_into().map(u16::from_le_bytes);
            let number = number.map_err(|error| damaged("broadcast state", &error))?;
            self.put(usize::from(number), entry.key, entry.value.to_vec())?;
        }
        Ok(true)
    }
}

impl Drop for BroadcastStates {
    fn drop(&mut self) {
        self.memory.release(self.reserved);
    }
}

impl fmt::Debug for BroadcastStates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.maps.iter().map(|map| &map.name)).finish()
    }
}

/// Where a function adds its broadcast states.
#[derive(Debug)]
pub struct BroadcastRegistry<'a> {
    pub(super) states: &'a mut BroadcastStates,
}

impl BroadcastRegistry<'_> {
    /// Adds a map that every subtask has whole.
    ///
    /// # Errors
    /// If a broadcast state of this name exists already.
    pub fn map<M, V>(&mut self, name: &str) -> Result<BroadcastState<M, V>, TaskError>
    where
        M: RowValue + Ordered,
        V: RowValue,
        (M, V): RowValue + Record,
    {
        let maps = &mut self.states.maps;
        if maps.iter().any(|map| map.name == name) {
            return Err(TaskError::new(format!(
                "there are two broadcast states called `{name}`: give each a name of its own"
            )));
        }
        maps.push(Map { name: name.into(), entries: BTreeMap::new() });
        let layout = RowLayout::new(&<(M, V)>::schema());
        Ok(BroadcastState { map: maps.len() - 1, layout, of: PhantomData })
    }
}

/// A map that every subtask has whole. Entries are in the order of `M`, whose
/// [normalized key](millstream_data::order) has at most 512 bytes.
pub struct BroadcastState<M, V> {
    map: usize,
    layout: RowLayout,
    of: PhantomData<fn() -> (M, V)>,
}

impl<M: RowValue + Ordered, V: RowValue> BroadcastState<M, V>
where
    (M, V): RowValue + Record,
    for<'v> (M, V): Value<View<'v> = (M::View<'v>, V::View<'v>)>,
{
    /// The value of a map key; `None` if there is none.
    ///
    /// # Errors
    /// If what was restored does not read as a `V`.
    pub fn get<'a>(
        &'a self,
        states: &'a BroadcastStates,
        map_key: M::View<'_>,
    ) -> Result<Option<V::View<'a>>, TaskError> {
        let key = self.key(map_key);
        let map = states.maps.get(self.map);
        let row = map.and_then(|map| map.entries.get(&key));
        row.map(|row| Ok(self.entry(row)?.1)).transpose()
    }

    /// The entries, in order.
    ///
    /// # Errors
    /// Each may be one that does not read as a `(M, V)`.
    pub fn iter<'a>(
        &'a self,
        states: &'a BroadcastStates,
    ) -> impl Iterator<Item = Result<(M::View<'a>, V::View<'a>), TaskError>> {
        let entries = states.maps.get(self.map).into_iter().flat_map(|map| map.entries.values());
        entries.map(|row| self.entry(row))
    }

    /// Sets the value of a map key.
    ///
    /// # Errors
    /// If the managed memory is used up, or the key is too long.
    pub fn put<'v>(
        &self,
        states: &mut BroadcastStates,
        map_key: M::View<'v>,
        value: V::View<'v>,
    ) -> Result<(), TaskError> {
        let mut row = Vec::new();
        self.layout.encode::<(M, V)>((map_key, value), &mut row);
        states.put(self.map, &self.key(map_key), row)
    }

    /// Removes a map key, if it is there.
    pub fn remove(&self, states: &mut BroadcastStates, map_key: M::View<'_>) {
        states.remove(self.map, &self.key(map_key));
    }

    fn key(&self, map_key: M::View<'_>) -> Vec<u8> {
        let mut key = Vec::new();
        M::put_key(map_key, &mut key);
        key
    }

    /// The entry of a row, which may have been restored.
    fn entry<'a>(&'a self, row: &'a [u8]) -> Result<(M::View<'a>, V::View<'a>), TaskError> {
        let row = self.layout.validate(row);
        let row = row.map_err(|error| damaged("broadcast state", &error))?;
        Ok(self.layout.decode::<(M, V)>(row))
    }
}

impl<M, V> fmt::Debug for BroadcastState<M, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BroadcastState({})", self.map)
    }
}
