//! Where the bytes of a chain's state are: in memory, or in a write buffer and files.

use alloc::{boxed::Box, vec::Vec};
use core::fmt;

use millstream_lsm::{LsmBackend, LsmConfig};
use millstream_state::{
    Backend, Column, Cursor, Entry, Key, KeyHash, Keys, MemoryBackend, MemoryConfig, Merge, Owned,
    Place, StateError, StateId, StateSpec, Stopped,
    ttl::{Cleanup, Ttl},
};
use millstream_storage::{BlockingStorage, Completion};

use super::ChainLease;
use crate::chain::StateFiles;

/// Entries that are written and merged in one step of what goes on beside calls: well below a millisecond.
const ENTRIES: usize = 4096;

/// The backend of a chain, as the job's runner chose it.
pub(crate) enum Store {
    /// All of it in segments.
    Memory(Box<MemoryBackend<ChainLease>>),
    /// What is larger than memory.
    Filed(Box<Filed>),
}

/// State in files, and the files.
pub(crate) struct Filed {
    lsm: LsmBackend<ChainLease>,
    storage: Box<dyn BlockingStorage + Send>,
}

impl Store {
    /// State without content; in files if there are any.
    pub(super) fn open(
        lease: ChainLease,
        files: Option<StateFiles>,
        owned: Owned,
        hash: KeyHash,
    ) -> Result<Self, StateError> {
        Ok(match files {
            None => {
                let memory = MemoryBackend::new(lease, owned, hash, MemoryConfig::default());
                Self::Memory(Box::new(memory))
            }
            Some(StateFiles { storage, budget }) => {
                let lsm = LsmBackend::new(lease, owned, hash, LsmConfig::new(budget))?;
                Self::Filed(Box::new(Filed { lsm, storage }))
            }
        })
    }

    /// Lets what goes on beside calls go on, a little, if anything does. Never waits.
    pub(super) fn work(&mut self) -> Result<(), StateError> {
        match self {
            Self::Filed(filed) if filed.lsm.has_work() => filed.step().map(|_| ()),
            _ => Ok(()),
        }
    }

    /// Does what a call has said that it [waits](StateError::Waits) for, a step of it. If nothing but a
    /// disk can bring it on this waits for the disk.
    pub(super) fn wait(&mut self) -> Result<(), StateError> {
        let Self::Filed(filed) = self else { return Ok(()) };
        if filed.step()? {
            return Ok(());
        }
        match filed.storage.wait() {
            Some(completion) => filed.lsm.completed(completion),
            None => Ok(()),
        }
    }

    /// Lets what is merged of files leave out what has expired of a state. In memory nothing is merged.
    pub(super) fn set_ttl(&mut self, state: StateId, ttl: Ttl) {
        if let Self::Filed(filed) = self {
            filed.lsm.set_ttl(state, ttl);
        }
    }

    /// Removes some of what has expired at `now`, or lets that be done when files are merged.
    pub(super) fn clean(&mut self, cleanup: &mut Cleanup, now: i64) -> Result<(), StateError> {
        match self {
            Self::Memory(memory) => cleanup.step(&mut **memory, now),
            Self::Filed(filed) => {
                filed.lsm.set_time(now);
                Ok(())
            }
        }
    }

    /// Whether calls may have to wait.
    pub(super) fn may_wait(&self) -> bool {
        matches!(self, Self::Filed(_))
    }
}

impl Filed {
    /// Works, and takes what the storage has completed; whether there is anything new.
    fn step(&mut self) -> Result<bool, StateError> {
        let mut went = self.lsm.work(&mut *self.storage, ENTRIES)?;
        while let Some(completion) = self.storage.poll() {
            self.lsm.completed(completion)?;
            went = true;
        }
        Ok(went)
    }
}

impl Drop for Filed {
    fn drop(&mut self) {
        // The memory that was lent to the storage is the chain's, and goes back with it.
        while let Some(Completion { .. }) = self.storage.wait() {}
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory(_) => "Store::Memory",
            Self::Filed(_) => "Store::Filed",
        })
    }
}

/// Calls whichever backend there is.
macro_rules! served {
    ($store:expr, $backend:ident => $call:expr) => {
        match $store {
            Store::Memory($backend) => $call,
            Store::Filed(filed) => {
                let $backend = &mut filed.lsm;
                $call
            }
        }
    };
    (ref $store:expr, $backend:ident => $call:expr) => {
        match $store {
            Store::Memory($backend) => $call,
            Store::Filed(filed) => {
                let $backend = &filed.lsm;
                $call
            }
        }
    };
}

impl Backend for Store {
    fn register(&mut self, spec: &StateSpec) -> Result<StateId, StateError> {
        served!(self, backend => backend.register(spec))
    }

    fn lookup(
        &self,
        state: StateId,
        keys: &Keys<'_>,
        places: &mut Vec<Place>,
    ) -> Result<(), StateError> {
        served!(ref self, backend => backend.lookup(state, keys, places))
    }

    fn find(&self, state: StateId, key: &Key<'_>) -> Result<Place, StateError> {
        served!(ref self, backend => backend.find(state, key))
    }

    fn pieces(&self, place: Place) -> impl Iterator<Item = &[u8]> {
        match self {
            Self::Memory(backend) => Pieces::Memory(backend.pieces(place)),
            Self::Filed(filed) => Pieces::Filed(filed.lsm.pieces(place)),
        }
    }

    fn update(
        &mut self,
        state: StateId,
        keys: &Keys<'_>,
        initial: &[u8],
        each: impl FnMut(usize, &mut [u8]),
    ) -> Result<(), Stopped> {
        served!(self, backend => backend.update(state, keys, initial, each))
    }

    fn merge(
        &mut self,
        state: StateId,
        keys: &Keys<'_>,
        operands: Column<'_>,
        merge: Merge,
    ) -> Result<(), Stopped> {
        served!(self, backend => backend.merge(state, keys, operands, merge))
    }

    fn put(&mut self, state: StateId, keys: &Keys<'_>, values: Column<'_>) -> Result<(), Stopped> {
        served!(self, backend => backend.put(state, keys, values))
    }

    fn append(
        &mut self,
        state: StateId,
        keys: &Keys<'_>,
        elements: Column<'_>,
    ) -> Result<(), Stopped> {
        served!(self, backend => backend.append(state, keys, elements))
    }

    fn put_list(
        &mut self,
        state: StateId,
        key: &Key<'_>,
        elements: &[u8],
    ) -> Result<(), StateError> {
        served!(self, backend => backend.put_list(state, key, elements))
    }

    fn put_entries(
        &mut self,
        state: StateId,
        keys: &Keys<'_>,
        map_keys: Column<'_>,
        values: Column<'_>,
    ) -> Result<(), Stopped> {
        served!(self, backend => backend.put_entries(state, keys, map_keys, values))
    }

    fn remove_entries(
        &mut self,
        state: StateId,
        keys: &Keys<'_>,
        map_keys: Column<'_>,
    ) -> Result<(), Stopped> {
        served!(self, backend => backend.remove_entries(state, keys, map_keys))
    }

    fn lookup_entries(
        &self,
        state: StateId,
        keys: &Keys<'_>,
        map_keys: Column<'_>,
        places: &mut Vec<Place>,
    ) -> Result<(), StateError> {
        served!(ref self, backend => backend.lookup_entries(state, keys, map_keys, places))
    }

    fn find_entry(
        &self,
        state: StateId,
        key: &Key<'_>,
        map_key: &[u8],
    ) -> Result<Place, StateError> {
        served!(ref self, backend => backend.find_entry(state, key, map_key))
    }

    fn scan_entries(
        &self,
        state: StateId,
        key: &Key<'_>,
        from: &[u8],
        each: &mut dyn FnMut(&[u8], Place) -> bool,
    ) -> Result<(), StateError> {
        served!(ref self, backend => backend.scan_entries(state, key, from, each))
    }

    fn remove(&mut self, state: StateId, keys: &Keys<'_>) -> Result<(), Stopped> {
        served!(self, backend => backend.remove(state, keys))
    }

    fn scan(
        &self,
        state: StateId,
        group: u32,
        cursor: &mut Cursor,
        each: &mut dyn FnMut(Entry<'_>) -> bool,
    ) -> Result<(), StateError> {
        served!(ref self, backend => backend.scan(state, group, cursor, each))
    }

    fn clear_namespace(&mut self, state: StateId, namespace: &[u8]) -> Result<(), StateError> {
        served!(self, backend => backend.clear_namespace(state, namespace))
    }

    fn open_snapshot(&mut self) -> Result<(), StateError> {
        served!(self, backend => backend.open_snapshot())
    }

    fn next_chunk(&mut self, out: &mut Vec<u8>) -> Result<bool, StateError> {
        served!(self, backend => backend.next_chunk(out))
    }

    fn abort_snapshot(&mut self) {
        served!(self, backend => backend.abort_snapshot());
    }

    fn spec(&self, state: StateId) -> Option<&StateSpec> {
        served!(ref self, backend => backend.spec(state))
    }

    fn entries(&self, state: StateId) -> u64 {
        served!(ref self, backend => backend.entries(state))
    }

    fn held(&self) -> u64 {
        served!(ref self, backend => backend.held())
    }
}

/// The pieces of a value in either backend.
enum Pieces<M, F> {
    Memory(M),
    Filed(F),
}

impl<'a, M: Iterator<Item = &'a [u8]>, F: Iterator<Item = &'a [u8]>> Iterator for Pieces<M, F> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        match self {
            Self::Memory(pieces) => pieces.next(),
            Self::Filed(pieces) => pieces.next(),
        }
    }
}
