//! The keyed state of a chain: a backend, and what all operators with state have in common.
//!
//! A key is kept as its stable hash and then its row, so that its key group can be seen in its bytes,
//! whatever its type. What belongs to a key group as a whole, the keys of a window for instance, is kept
//! under a key of the group's own: the least hash that falls into it, without a row.

mod cleared;
mod described;
mod filed;
mod keys;
mod maps;
mod restored;
mod rewritten;
mod store;

use alloc::{format, string::String, sync::Arc, vec::Vec};
use core::{fmt, ops::Range};

use millstream_data::types::Schema;
use millstream_exchange::event::Purpose;
use millstream_memory::Segment;
use millstream_state::{
    Backend, Column, Cursor, Entry, KeyGroups, Keys, Kind, Lease, Owned, Place, StateError,
    StateId, StateSpec, Stopped,
    description::Description,
    format::Chunk,
    keyed::Access,
    time::WATERMARK_MIN,
    ttl::{Cleanup, Ttl, clean_chunks},
};

pub(crate) use described::Contents;
pub(crate) use keys::{GroupKey, KeyBatch, KeyBuffer, TIME, namespace, time_of};
pub(crate) use millstream_state::description::DESCRIPTIONS;

use crate::chain::{FilesUse, OpenInfo, StateFiles, StateMemory, TaskError};
pub(crate) use store::Store;

/// Bytes of a hash in front of a key's row.
pub(crate) const HASH: usize = 8;
/// The number under which a snapshot has the watermark, beside those of states.
pub const WATERMARK: u16 = u16::MAX;

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

/// The state of one subtask's keys.
#[derive(Debug)]
pub(crate) struct KeyedState {
    backend: Store,
    memory: ChainLease,
    /// Files to put state back from that is kept in memory, until the first snapshot.
    restorable: Option<StateFiles>,
    /// Whether any state of keys was put back.
    is_filled: bool,
    owned: Owned,
    states: Vec<StateId>,
    /// The schema of keys, and what the bytes of each state mean.
    key: Schema,
    described: Vec<(StateId, Description)>,
    /// The watermark of the chain. It is part of a snapshot, so that a window that has ended does not
    /// begin anew for a row that was late: at a barrier all subtasks have the same one.
    pub(crate) watermark: i64,
    /// Those that were put back, by key group: what has ended for one does not begin anew for it, however
    /// far the others were.
    restored: Vec<i64>,
    /// The latest of them.
    fence: i64,
    /// The processing time of the call at hand, in milliseconds since the epoch, by which state
    /// expires.
    pub(crate) time: i64,
    /// States with a time to live.
    living: Vec<(StateId, Ttl)>,
    /// States that are not of keys, and are kept elsewhere.
    beside: Vec<StateId>,
    /// Chunks of the open snapshot that are there already: the watermark, and pages that were to change.
    urgent: Vec<u8>,
    scratch: Scratch,
}

/// Space that is used again in each call.
#[derive(Debug, Default)]
struct Scratch {
    places: Vec<Place>,
    value: Vec<u8>,
    /// Where a scan goes on.
    from: Vec<u8>,
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
        let restores = |files: &mut StateFiles| files.purpose == FilesUse::Restore;
        let mut files = memory.files();
        let restorable = files.take_if(restores);
        let backend = Store::open(ChainLease(Arc::clone(&memory)), files, owned, hash_of);
        let backend = backend.map_err(failure)?;
        Ok(Self {
            backend,
            memory: ChainLease(memory),
            restorable,
            is_filled: false,
            owned,
            states: Vec::new(),
            key: Schema::new(Vec::new()),
            described: Vec::new(),
            watermark: WATERMARK_MIN,
            restored: Vec::new(),
            fence: WATERMARK_MIN,
            time: 0,
            living: Vec::new(),
            beside: Vec::new(),
            urgent: Vec::new(),
            scratch: Scratch::default(),
        })
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

    /// The key groups of this subtask.
    pub(crate) fn groups(&self) -> Range<u32> {
        self.owned.first..self.owned.end
    }

    /// Changes state. `change` is given the number of keys that were served before, and is called again
    /// from there when something else had to be done first.
    pub(crate) fn change(
        &mut self,
        mut change: impl FnMut(&mut Store, usize) -> Result<(), Stopped>,
    ) -> Result<(), TaskError> {
        let mut served = 0;
        while let Err(Stopped { done, error }) = change(&mut self.backend, served) {
            served += done;
            self.relieve(error)?;
        }
        self.backend.work().map_err(failure)
    }

    /// Changes values of fixed size in place, as [`Backend::update`] does.
    pub(crate) fn update(
        &mut self,
        state: StateId,
        keys: &Keys<'_>,
        initial: &[u8],
        mut each: impl FnMut(usize, &mut [u8]),
    ) -> Result<(), TaskError> {
        self.change(|store, served| {
            store.update(state, &keys.skip(served), initial, |index, value| {
                each(served + index, value);
            })
        })
    }

    /// Reads or changes the state of one key with typed handles. `work` is called again when something
    /// else had to be done first, so it has to be one call of a handle.
    pub(crate) fn access<R>(
        &mut self,
        key: millstream_state::Key<'_>,
        mut work: impl FnMut(&mut Access<'_, Store>) -> Result<R, StateError>,
    ) -> Result<R, TaskError> {
        loop {
            match work(&mut Access { backend: &mut self.backend, key, now: self.time }) {
                Ok(worked) => {
                    self.backend.work().map_err(failure)?;
                    return Ok(worked);
                }
                Err(error) => self.relieve(error)?,
            }
        }
    }

    /// See [`Backend::read_ahead`].
    pub(crate) fn read_ahead(&self, state: StateId, keys: &Keys<'_>) {
        self.backend.read_ahead(state, keys);
    }

    /// Reads the value of a key as a whole; `false` if there is none.
    pub(crate) fn read(
        &mut self,
        state: StateId,
        key: &millstream_state::Key<'_>,
        value: &mut Vec<u8>,
    ) -> Result<bool, TaskError> {
        value.clear();
        loop {
            match self.backend.find(state, key) {
                Ok(place) => {
                    self.backend.pieces(place).for_each(|piece| value.extend_from_slice(piece));
                    return Ok(!place.is_absent());
                }
                Err(error) => self.relieve(error)?,
            }
        }
    }

    /// Reads the value of a map key of a key as a whole; `false` if there is none.
    pub(crate) fn read_entry(
        &mut self,
        state: StateId,
        key: &millstream_state::Key<'_>,
        map_key: &[u8],
        value: &mut Vec<u8>,
    ) -> Result<bool, TaskError> {
        value.clear();
        loop {
            match self.backend.find_entry(state, key, map_key) {
                Ok(place) => {
                    self.backend.pieces(place).for_each(|piece| value.extend_from_slice(piece));
                    return Ok(!place.is_absent());
                }
                Err(error) => self.relieve(error)?,
            }
        }
    }

    /// Whether a key has a value.
    pub(crate) fn has(
        &mut self,
        state: StateId,
        key: &millstream_state::Key<'_>,
    ) -> Result<bool, TaskError> {
        loop {
            match self.backend.find(state, key) {
                Ok(place) => return Ok(!place.is_absent()),
                Err(error) => self.relieve(error)?,
            }
        }
    }

    /// Sets the value of a key.
    pub(crate) fn set(
        &mut self,
        state: StateId,
        key: &millstream_state::Key<'_>,
        value: &[u8],
    ) -> Result<(), TaskError> {
        self.change(|store, _| store.put(state, &key.batch(), Column::Same(value)))
    }

    /// Sets the value that every key group has in a namespace, or removes it.
    pub(crate) fn mark(
        &mut self,
        state: StateId,
        namespace: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), TaskError> {
        for group in self.groups() {
            let key = self.group_key(group);
            let key = key.within(namespace);
            match value {
                Some(value) => self.set(state, &key, value)?,
                None => self.change(|store, _| store.remove(state, &key.batch()))?,
            }
        }
        Ok(())
    }

    /// Sets the whole list of a key, to none if there are no elements.
    pub(crate) fn set_list(
        &mut self,
        state: StateId,
        key: &millstream_state::Key<'_>,
        elements: &[u8],
    ) -> Result<(), TaskError> {
        while let Err(error) = self.backend.put_list(state, key, elements) {
            self.relieve(error)?;
        }
        self.backend.work().map_err(failure)
    }

    /// Calls `each` with the number and the value of each key, in order, until it answers `false`; how many
    /// keys that were.
    pub(crate) fn read_each(
        &mut self,
        state: StateId,
        keys: &Keys<'_>,
        mut each: impl FnMut(usize, Option<&[u8]>) -> Result<bool, TaskError>,
    ) -> Result<usize, TaskError> {
        let mut done = 0;
        while done < keys.len() {
            let Self { backend, scratch: Scratch { places, value, .. }, .. } = self;
            places.clear();
            let found = backend.lookup(state, &keys.skip(done), places);
            for place in places.iter() {
                let number = done;
                done += 1;
                let mut pieces = backend.pieces(*place);
                let go_on = match (pieces.next(), pieces.next()) {
                    _ if place.is_absent() => each(number, None)?,
                    (first, None) => each(number, Some(first.unwrap_or(&[])))?,
                    (first, second) => {
                        value.clear();
                        let all = first.into_iter().chain(second).chain(pieces);
                        all.for_each(|piece| value.extend_from_slice(piece));
                        each(number, Some(value))?
                    }
                };
                if !go_on {
                    return Ok(done);
                }
            }
            found.or_else(|error| self.relieve(error))?;
        }
        Ok(done)
    }

    /// Calls `each` for all entries of a key group.
    pub(crate) fn scan(
        &mut self,
        state: StateId,
        group: u32,
        mut each: impl FnMut(Entry<'_>),
    ) -> Result<(), TaskError> {
        let mut cursor = Cursor::default();
        while !cursor.is_done {
            let each = &mut |entry: Entry<'_>| {
                each(entry);
                true
            };
            let scanned = self.backend.scan(state, group, &mut cursor, each);
            scanned.or_else(|error| self.relieve(error))?;
        }
        Ok(())
    }

    /// Calls `each` with the key and the value of all entries of a key group.
    pub(crate) fn scan_values(
        &mut self,
        state: StateId,
        group: u32,
        mut each: impl FnMut(&[u8], &[u8]),
    ) -> Result<(), TaskError> {
        self.scan_from(state, group, &mut Cursor::default(), |key, value| {
            each(key, value);
            true
        })
    }

    /// Calls `each` with the key and the value of the entries of a key group from where a cursor stands, until
    /// it answers `false`; the cursor then stands behind that entry.
    pub(crate) fn scan_from(
        &mut self,
        state: StateId,
        group: u32,
        cursor: &mut Cursor,
        mut each: impl FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), TaskError> {
        let mut goes_on = true;
        while goes_on && !cursor.is_done {
            let Self { backend, scratch: Scratch { value, .. }, .. } = self;
            let each = &mut |entry: Entry<'_>| {
                value.clear();
                backend.pieces(entry.value).for_each(|piece| value.extend_from_slice(piece));
                goes_on = each(entry.key, value);
                goes_on
            };
            let scanned = backend.scan(state, group, cursor, each);
            scanned.or_else(|error| self.relieve(error))?;
        }
        Ok(())
    }

    /// Calls `each` for the map keys of a key's map, in their order, until it answers `false`.
    pub(crate) fn scan_keys(
        &mut self,
        state: StateId,
        key: &millstream_state::Key<'_>,
        mut each: impl FnMut(&[u8]) -> bool,
    ) -> Result<(), TaskError> {
        let mut from = core::mem::take(&mut self.scratch.from);
        from.clear();
        let mut begin = Vec::new();
        loop {
            let may_wait = self.backend.may_wait();
            let each = &mut |map_key: &[u8], _| {
                if may_wait {
                    // The next map key that there can be.
                    from.clear();
                    from.extend_from_slice(map_key);
                    from.push(0);
                }
                each(map_key)
            };
            let scanned = self.backend.scan_entries(state, key, &begin, each);
            let Err(error) = scanned else { break };
            self.relieve(error)?;
            begin.clone_from(&from);
        }
        self.scratch.from = from;
        Ok(())
    }

    /// Does what has to be done before a call that stopped with `error` can go on.
    #[cold]
    fn relieve(&mut self, error: StateError) -> Result<(), TaskError> {
        let relieved = match error {
            StateError::SnapshotFirst => self.backend.next_chunk(&mut self.urgent).map(|_| ()),
            StateError::Waits => self.backend.wait(),
            error => Err(error),
        };
        relieved.map_err(failure)
    }

    /// The key group of a hash.
    pub(crate) fn group_of(&self, hash: u64) -> u32 {
        ((u128::from(hash) * u128::from(self.owned.max_parallelism)) >> 64) as u32
    }

    /// The watermark that was put back for a key group.
    pub(crate) fn restored_of(&self, group: u32) -> i64 {
        let index = group.checked_sub(self.owned.first).map(|index| index as usize);
        index.and_then(|index| self.restored.get(index)).copied().unwrap_or(WATERMARK_MIN)
    }

    /// The watermark as of a key group, which may have been ahead of others when it was put back.
    pub(crate) fn watermark_of_group(&self, group: u32) -> i64 {
        self.watermark.max(self.restored_of(group))
    }

    /// The watermark as of the key group of a hash.
    #[inline]
    pub(crate) fn watermark_of(&self, hash: impl FnOnce() -> u64) -> i64 {
        match self.watermark >= self.fence {
            true => self.watermark,
            false => self.watermark_of_group(self.group_of(hash())),
        }
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
    pub(crate) fn begin_snapshot(&mut self, purpose: Purpose) -> Result<(), TaskError> {
        self.restorable = None;
        self.write_descriptions();
        // In each key group, for whoever will own it.
        for group in self.groups() {
            let mut chunk = Chunk::begin(WATERMARK, group, &mut self.urgent);
            chunk.whole(&[], &[], &self.watermark.to_le_bytes());
            chunk.end();
        }
        while let Err(error) = self.backend.begin_snapshot(purpose) {
            match error {
                StateError::Waits => self.relieve(error)?,
                error => return Err(failure(error)),
            }
        }
        Ok(())
    }

    /// See [`Chain::next_chunk`](crate::Chain::next_chunk).
    pub(crate) fn next_chunk(&mut self, out: &mut Vec<u8>) -> Result<bool, TaskError> {
        if !self.urgent.is_empty() {
            out.append(&mut self.urgent);
            return Ok(true);
        }
        let named = self.backend.name_files(self.owned.first, out).map_err(failure)?;
        if let Some(more) = named {
            return Ok(more);
        }
        if self.living.is_empty() {
            return self.read_snapshot(out);
        }
        let mut chunks = Vec::new();
        let more = self.read_snapshot(&mut chunks)?;
        self.clean_chunks(&chunks, out)?;
        Ok(more)
    }

    /// Appends a part of the frozen state to `out`; `false` if that was all of it.
    fn read_snapshot(&mut self, out: &mut Vec<u8>) -> Result<bool, TaskError> {
        match self.backend.next_chunk(out) {
            // There is more, but not yet.
            Err(StateError::Waits) => self.backend.wait().map(|()| true).map_err(failure),
            next => next.map_err(failure),
        }
    }

    /// See [`Chain::abort_snapshot`](crate::Chain::abort_snapshot).
    pub(crate) fn abort_snapshot(&mut self) {
        self.urgent.clear();
        self.backend.abort_snapshot();
    }

    /// From now on state expires: this one after a time. It is removed by the steps of what this gives,
    /// or as files are merged, and left out of snapshots.
    pub(crate) fn expires(&mut self, state: StateId, ttl: Ttl) -> Cleanup {
        self.living.push((state, ttl));
        self.backend.set_ttl(state, ttl);
        Cleanup::new(state, ttl, self.owned, hash_of)
    }

    /// Removes some of what has expired.
    pub(crate) fn clean(&mut self, cleanup: &mut Cleanup) -> Result<(), TaskError> {
        // The entry that it stopped at stays for the next round.
        self.backend.clean(cleanup, self.time).or_else(|error| self.relieve(error))
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

    /// Adds a state that is not of keys. It is described as any other, and the chunks of a snapshot say
    /// that they are of it, but its contents are kept elsewhere.
    pub(crate) fn keep_elsewhere(&mut self, name: &str, kind: Kind) -> Result<StateId, TaskError> {
        let (key, namespace) = (Some(HASH), Some(0));
        let spec = StateSpec { name: name.into(), kind, key, namespace, value: None };
        let id = self.register(&spec)?;
        self.beside.push(id);
        Ok(id)
    }

    /// Adds chunks of such states to the snapshot that was just begun.
    pub(crate) fn add_to_snapshot(&mut self, chunks: &[u8]) {
        self.urgent.extend_from_slice(chunks);
    }
}

pub(crate) fn hash_of(key: &[u8]) -> u64 {
    key.first_chunk().map_or(0, |hash| u64::from_le_bytes(*hash))
}

pub(crate) fn failure(error: StateError) -> TaskError {
    TaskError::new(format!("{error}"))
}

/// State that does not read as what it should be.
pub(crate) fn damaged(what: &str, error: &dyn fmt::Display) -> TaskError {
    let what: String = what.into();
    TaskError::new(format!("a {what} in the state cannot be read: {error}"))
}
