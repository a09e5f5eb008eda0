//! Broadcast state: maps that every subtask has whole.
//!
//! All subtasks get the same rows and keep the same, so that a snapshot has what the first one
//! keeps, and all begin from that. The maps are small, as rules are: they are on the heap, and
//! their bytes are reserved out of the budget of the chain's state.

use alloc::{collections::BTreeMap, format, string::String, sync::Arc, vec, vec::Vec};
use core::{fmt, marker::PhantomData};

use millstream_data::{
    Value,
    order::Ordered,
    row::{RowLayout, RowValue},
    types::Schema,
    value::Record,
};
use millstream_state::{
    Kind, StateId,
    description::Part,
    format::{Chunk, ReadChunk, map_entries},
};

use crate::{
    chain::{StateMemory, TaskError},
    state::{Contents, KeyedState, damaged},
};

/// The key of a map in snapshots: that of the first key group as a whole.
const OWNER: [u8; 8] = [0; 8];
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
    /// What its entries are.
    schema: Schema,
    /// Its number among the states of the chain.
    id: Option<StateId>,
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
        let Some(Map { name, entries, .. }) = maps.get_mut(map) else {
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

    /// Makes the maps states of the chain, to be described and found again in snapshots.
    pub(super) fn describe(&mut self, state: &mut KeyedState) -> Result<(), TaskError> {
        for Map { name, schema, id, .. } in &mut self.maps {
            let of_map = state.keep_elsewhere(name, Kind::Map)?;
            *id = Some(of_map);
            let (map_key, value) = (vec![Part::Opaque(None)], vec![Part::Row(schema.clone())]);
            let contents = Contents { of_group: true, map_key, value, ..Contents::default() };
            state.describe(of_map, contents);
        }
        Ok(())
    }

    /// Appends all of it to a snapshot.
    pub(super) fn freeze(&self, out: &mut Vec<u8>) {
        for Map { id, entries, .. } in &self.maps {
            let Some(id) = id.filter(|_| !entries.is_empty()) else { continue };
            let mut chunk = Chunk::begin(id.0, 0, out);
            chunk.entry(&OWNER, &[]);
            for (key, row) in entries {
                chunk.map_entry(key, row.len());
                chunk.value(row);
            }
            chunk.end();
        }
    }

    /// Takes what a chunk of a snapshot has of a map.
    pub(super) fn thaw(&mut self, of: StateId, chunk: &ReadChunk<'_>) -> Result<(), TaskError> {
        let number = self.maps.iter().position(|map| map.id == Some(of));
        let number = number.unwrap_or(self.maps.len());
        for entry in chunk.entries() {
            for entry in map_entries(entry.value) {
                let Some((key, row)) = entry else {
                    return Err(damaged("broadcast state", &"it ends within an entry"));
                };
                self.put(number, key, row.to_vec())?;
            }
        }
        Ok(())
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
        let schema = <(M, V)>::schema();
        let layout = RowLayout::new(&schema);
        maps.push(Map { name: name.into(), schema, id: None, entries: BTreeMap::new() });
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
