//! The keyed state of a chain: a backend, and what all operators with state have in common.
//!
//! A key is kept as its stable hash and then its row, so that its key group can be seen in its bytes,
//! whatever its type. What belongs to a key group as a whole, the keys of a window for instance, is kept
//! under a key of the group's own: the least hash that falls into it, without a row.

use alloc::{format, string::String, sync::Arc, vec::Vec};
use core::{fmt, marker::PhantomData, ops::Range};

use millstream_data::{Key, hash::SEED, row::RowLayout, row::RowValue, value::Record};
use millstream_memory::Segment;
use millstream_state::{
    Backend, Column, KeyGroups, Keys, Lease, MemoryBackend, MemoryConfig, Owned, StateError,
    StateId, StateSpec, Stopped,
    format::{Chunk, ReadChunk},
    keyed::Access,
    restore,
    time::WATERMARK_MIN,
    ttl::{Cleanup, Ttl, clean_chunks},
};

use crate::chain::{OpenInfo, StateMemory, TaskError};

/// Bytes of a hash in front of a key's row.
const HASH: usize = 8;
/// The number under which a snapshot has the watermark, beside those of states.
pub(crate) const WATERMARK: u16 = u16::MAX;

/// The memory of a chain as a backend leases it.
pub(crate) struct ChainLease(Arc<dyn StateMemory>);

impl fmt::Debug for ChainLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChainLease")
    }
}

impl Lease for ChainLease {
    fn segment_size(&self) -> usize {
        self.0.segment_size()
    }

    fn lease(&mut self) -> Option<Segment> {
        self.0.lease()
    }

    fn reserve(&mut self, bytes: u64) -> bool {
        self.0.reserve(bytes)
    }

    fn release(&mut self, bytes: u64) {
        self.0.release(bytes);
    }
}

/// Where the bytes of the state are.
pub(crate) type Store = MemoryBackend<ChainLease>;

/// The state of one subtask's keys.
#[derive(Debug)]
pub(crate) struct KeyedState {
    backend: Store,
    owned: Owned,
    states: Vec<StateId>,
    /// The watermark of the chain. It is part of a snapshot, so that a window that has ended does not
    /// begin anew for a row that was late: at a barrier all subtasks have the same one.
    pub(crate) watermark: i64,
    /// The processing time of the call at hand, in milliseconds since the epoch, by which state
    /// expires.
    pub(crate) time: i64,
    /// States with a time to live.
    living: Vec<(StateId, Ttl)>,
    /// Chunks of the open snapshot that are there already: the watermark, and pages that were to change.
    urgent: Vec<u8>,
}

impl KeyedState {
    /// State without content, for the key groups of a subtask.
    pub(crate) fn open(info: &OpenInfo) -> Result<Self, TaskError> {
        let Some(memory) = info.state.clone() else {
            return Err(TaskError::new("the chain keeps state, but the job graph does not say so"));
        };
        let groups = KeyGroups::new(info.parallelism, info.max_parallelism).range(info.subtask);
        let owned =
            Owned { first: groups.start, end: groups.end, max_parallelism: info.max_parallelism };
        let config = MemoryConfig::default();
        let backend = MemoryBackend::new(ChainLease(memory), owned, hash_of, config);
        let (states, watermark) = (Vec::new(), WATERMARK_MIN);
        let (living, urgent) = (Vec::new(), Vec::new());
        Ok(Self { backend, owned, states, watermark, time: 0, living, urgent })
    }

    /// Adds a state. They must be added in the same order whenever the chain is opened.
    pub(crate) fn register(&mut self, spec: &StateSpec) -> Result<StateId, TaskError> {
        let id = self.backend.register(spec).map_err(failure)?;
        self.states.push(id);
        Ok(id)
    }

    /// Adds the state of a typed handle, as [`register`](Self::register) does; `id` is its number.
    pub(crate) fn handle<H>(
        &mut self,
        register: impl FnOnce(&mut Store) -> Result<H, StateError>,
        id: impl FnOnce(&H) -> StateId,
    ) -> Result<H, TaskError> {
        let handle = register(&mut self.backend).map_err(failure)?;
        self.states.push(id(&handle));
        Ok(handle)
    }

    /// The backend, to read from.
    pub(crate) fn store(&self) -> &Store {
        &self.backend
    }

    /// The key groups of this subtask.
    pub(crate) fn groups(&self) -> Range<u32> {
        self.owned.first..self.owned.end
    }

    /// Changes state. `change` is given the number of keys that were served before, and is called again
    /// from there when a page had to be written to the open snapshot first.
    pub(crate) fn change(
        &mut self,
        mut change: impl FnMut(&mut Store, usize) -> Result<(), Stopped>,
    ) -> Result<(), TaskError> {
        let mut served = 0;
        loop {
            match change(&mut self.backend, served) {
                Ok(()) => return Ok(()),
                Err(Stopped { done, error: StateError::SnapshotFirst }) => {
                    served += done;
                    self.backend.next_chunk(&mut self.urgent).map_err(failure)?;
                }
                Err(Stopped { error, .. }) => return Err(failure(error)),
            }
        }
    }

    /// Changes values of fixed size in place, as [`Backend::update`] does.
    pub(crate) fn update(
        &mut self,
        state: StateId,
        keys: &Keys<'_>,
        initial: &[u8],
        mut each: impl FnMut(usize, &mut [u8]),
    ) -> Result<(), TaskError> {
        let mut served = 0;
        loop {
            let updated =
                self.backend.update(state, &keys.skip(served), initial, |index, value| {
                    each(served + index, value);
                });
            match updated {
                Ok(()) => return Ok(()),
                Err(Stopped { done, error: StateError::SnapshotFirst }) => {
                    served += done;
                    self.backend.next_chunk(&mut self.urgent).map_err(failure)?;
                }
                Err(Stopped { error, .. }) => return Err(failure(error)),
            }
        }
    }

    /// Reads or changes the state of one key with typed handles. `work` is called again when a page had
    /// to be written to the open snapshot first, so it has to be one call of a handle.
    pub(crate) fn access<R>(
        &mut self,
        key: millstream_state::Key<'_>,
        mut work: impl FnMut(&mut Access<'_, Store>) -> Result<R, StateError>,
    ) -> Result<R, TaskError> {
        loop {
            match work(&mut Access { backend: &mut self.backend, key, now: self.time }) {
                Err(StateError::SnapshotFirst) => {
                    self.backend.next_chunk(&mut self.urgent).map_err(failure)?;
                }
                worked => return worked.map_err(failure),
            }
        }
    }

    /// The key group of a hash.
    pub(crate) fn group_of(&self, hash: u64) -> u32 {
        ((u128::from(hash) * u128::from(self.owned.max_parallelism)) >> 64) as u32
    }

    /// The key that stands for a key group as a whole.
    pub(crate) fn group_key(&self, group: u32) -> GroupKey {
        let hash =
            ((u128::from(group) << 64).div_ceil(u128::from(self.owned.max_parallelism))) as u64;
        GroupKey { hash, bytes: hash.to_le_bytes() }
    }

    /// The key that stands for the key group of a hash.
    pub(crate) fn group_key_of(&self, hash: u64) -> GroupKey {
        self.group_key(self.group_of(hash))
    }

    /// See [`Chain::begin_snapshot`](crate::Chain::begin_snapshot).
    pub(crate) fn begin_snapshot(&mut self) -> Result<(), TaskError> {
        // In each key group, for whoever will own it.
        for group in self.groups() {
            let mut chunk = Chunk::begin(WATERMARK, group, &mut self.urgent);
            chunk.whole(&[], &[], &self.watermark.to_le_bytes());
            chunk.end();
        }
        self.backend.open_snapshot().map_err(failure)
    }

    /// See [`Chain::next_chunk`](crate::Chain::next_chunk).
    pub(crate) fn next_chunk(&mut self, out: &mut Vec<u8>) -> Result<bool, TaskError> {
        if !self.urgent.is_empty() {
            out.append(&mut self.urgent);
            return Ok(true);
        }
        if self.living.is_empty() {
            return self.backend.next_chunk(out).map_err(failure);
        }
        let mut chunks = Vec::new();
        let more = self.backend.next_chunk(&mut chunks).map_err(failure)?;
        self.clean_chunks(&chunks, out)?;
        Ok(more)
    }

    /// See [`Chain::abort_snapshot`](crate::Chain::abort_snapshot).
    pub(crate) fn abort_snapshot(&mut self) {
        self.urgent.clear();
        self.backend.abort_snapshot();
    }

    /// See [`Chain::restore`](crate::Chain::restore).
    pub(crate) fn restore(&mut self, chunks: &[u8]) -> Result<(), TaskError> {
        let wrong = |error: &dyn fmt::Display| TaskError::new(format!("{error}"));
        let (mut offset, owned) = (0, self.owned);
        while offset < chunks.len() {
            let read = ReadChunk::read(chunks, offset);
            let (chunk, next) = read.map_err(|error| wrong(&error))?;
            let bytes = chunks.get(offset..next).unwrap_or(&[]);
            offset = next;
            if chunk.state != WATERMARK {
                let restored = restore(&mut self.backend, owned, hash_of, &self.states, bytes);
                restored.map_err(|error| wrong(&error))?;
            } else if self.groups().contains(&chunk.group) {
                let times = chunk.entries().filter_map(|entry| entry.value.try_into().ok());
                let latest = times.map(i64::from_le_bytes).max();
                self.watermark = self.watermark.max(latest.unwrap_or(WATERMARK_MIN));
            }
        }
        Ok(())
    }

    /// From now on state expires: this one after a time. It is removed by the steps of what this
    /// gives, and left out of snapshots.
    pub(crate) fn expires(&mut self, state: StateId, ttl: Ttl) -> Cleanup {
        self.living.push((state, ttl));
        Cleanup::new(state, ttl, self.owned, hash_of)
    }

    /// Removes some of what has expired.
    pub(crate) fn clean(&mut self, cleanup: &mut Cleanup) -> Result<(), TaskError> {
        match cleanup.step(&mut self.backend, self.time) {
            // The entry stays for the next round.
            Err(StateError::SnapshotFirst) => {
                self.backend.next_chunk(&mut self.urgent).map_err(failure)?;
                Ok(())
            }
            cleaned => cleaned.map_err(failure),
        }
    }

    /// Copies chunks without what has expired.
    fn clean_chunks(&self, chunks: &[u8], out: &mut Vec<u8>) -> Result<(), TaskError> {
        let living = |number: u16| {
            let (id, ttl) = self.living.iter().find(|(id, _)| id.0 == number).copied()?;
            Some((self.backend.spec(id)?, ttl))
        };
        let cleaned = clean_chunks(chunks, living, self.time, out);
        cleaned.map_err(|error| TaskError::new(format!("{error}")))
    }

    /// Adds chunks of other state to the snapshot that was just begun.
    pub(crate) fn add_to_snapshot(&mut self, chunks: &[u8]) {
        self.urgent.extend_from_slice(chunks);
    }
}

fn hash_of(key: &[u8]) -> u64 {
    key.first_chunk().map_or(0, |hash| u64::from_le_bytes(*hash))
}

pub(crate) fn failure(error: StateError) -> TaskError {
    TaskError::new(format!("{error}"))
}

/// A key that stands for a key group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupKey {
    pub(crate) hash: u64,
    pub(crate) bytes: [u8; HASH],
}

impl GroupKey {
    /// The key for a call of the backend.
    pub(crate) fn within<'a>(&'a self, namespace: &'a [u8]) -> millstream_state::Key<'a> {
        millstream_state::Key { hash: self.hash, key: &self.bytes, namespace }
    }
}

/// Keys of type `K` as bytes: a page of them for a call of the backend.
#[derive(Debug)]
pub(crate) struct KeyBatch<K> {
    layout: RowLayout,
    hashes: Vec<u64>,
    ends: Vec<u32>,
    bytes: Vec<u8>,
    key: PhantomData<fn() -> K>,
}

impl<K: Key + RowValue + Record> KeyBatch<K> {
    /// A batch without keys.
    pub(crate) fn new() -> Self {
        let layout = RowLayout::new(&K::schema());
        Self { layout, hashes: Vec::new(), ends: Vec::new(), bytes: Vec::new(), key: PhantomData }
    }

    /// Bytes of each key, if all have the same.
    pub(crate) fn width(&self) -> Option<usize> {
        self.layout.is_fixed().then(|| HASH + self.layout.fixed_bytes())
    }

    /// Removes all keys.
    pub(crate) fn clear(&mut self) {
        self.hashes.clear();
        self.ends.clear();
        self.bytes.clear();
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Adds a key.
    pub(crate) fn push(&mut self, key: K::View<'_>) {
        let hash = K::hash(key, SEED);
        self.hashes.push(hash);
        self.bytes.extend_from_slice(&hash.to_le_bytes());
        self.layout.encode::<K>(key, &mut self.bytes);
        self.ends.push(self.bytes.len() as u32);
    }

    /// Adds a key as it was read from the state.
    pub(crate) fn push_bytes(&mut self, key: &[u8]) {
        self.hashes.push(hash_of(key));
        self.bytes.extend_from_slice(key);
        self.ends.push(self.bytes.len() as u32);
    }

    /// All of them, without namespaces.
    pub(crate) fn keys(&self) -> Keys<'_> {
        Keys::variable(&self.hashes, &self.ends, &self.bytes)
    }

    /// The bytes of one of them.
    pub(crate) fn at(&self, index: usize) -> &[u8] {
        self.column().at(index)
    }

    fn column(&self) -> Column<'_> {
        Column::Variable { begin: 0, ends: &self.ends, bytes: &self.bytes }
    }

    /// The key whose bytes these are, which come from outside.
    pub(crate) fn checked<'a>(&'a self, key: &'a [u8]) -> Result<K::View<'a>, TaskError> {
        let row = self.layout.validate(key.get(HASH..).unwrap_or(&[]));
        let row = row.map_err(|error| damaged("key", &error))?;
        Ok(self.layout.decode::<K>(row))
    }

    /// The key whose bytes these are.
    pub(crate) fn decode<'a>(&'a self, key: &'a [u8]) -> Result<K::View<'a>, TaskError> {
        let row = self.layout.trusted(key.get(HASH..).unwrap_or(&[]));
        let row = row.map_err(|error| damaged("key", &error))?;
        Ok(self.layout.decode::<K>(row))
    }
}

/// State that does not read as what it should be.
pub(crate) fn damaged(what: &str, error: &dyn fmt::Display) -> TaskError {
    let what: String = what.into();
    TaskError::new(format!("a {what} in the state cannot be read: {error}"))
}
