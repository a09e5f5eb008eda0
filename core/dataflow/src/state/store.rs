//! Where the bytes of a chain's state are: in memory, or in a write buffer and files.

use alloc::{boxed::Box, vec::Vec};
use core::fmt;

use millstream_exchange::event::Purpose;
use millstream_lsm::{LsmBackend, LsmConfig, OpenError};
use millstream_state::{
    Backend, Column, Cursor, Entry, Key, KeyHash, Keys, MemoryBackend, MemoryConfig, Merge, Owned,
    Place, StateError, StateId, StateSpec, Stopped, files,
    ttl::{Cleanup, Ttl},
};
use millstream_storage::{BlockingStorage, Completion};

use super::ChainLease;
use crate::chain::{FilesUse, StateFiles};

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
    config: LsmConfig,
    /// Whether checkpoints refer to the files.
    is_kept: bool,
    reading: Reading,
    /// The snapshot whose files a checkpoint has, by its number.
    named: Option<u64>,
}

/// How the open snapshot is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// As chunks with all entries.
    Chunks,
    /// As one chunk that names its files.
    Files,
    /// The files were named: there is no more.
    Named,
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
            Some(StateFiles { storage, budget, purpose, compression }) => {
                let (config, is_kept) = match purpose {
                    FilesUse::Kept { first } => (LsmConfig::new(budget).first_file(first), true),
                    _ => (LsmConfig::new(budget), false),
                };
                let config = config.compression(compression);
                let lsm = LsmBackend::new(lease, owned, hash, config)?;
                let (reading, named) = (Reading::Chunks, None);
                Self::Filed(Box::new(Filed { lsm, storage, config, is_kept, reading, named }))
            }
        })
    }

    /// Instead of its state, which is empty, sees that of snapshots in files, by their manifests; `false` if
    /// state is not in files. All calls that have registered states have to be made again.
    pub(super) fn open_files(
        &mut self,
        lease: ChainLease,
        owned: Owned,
        hash: KeyHash,
        manifests: &[&[u8]],
    ) -> Result<bool, OpenError> {
        let Self::Filed(filed) = self else { return Ok(false) };
        filed.drain()?;
        filed.lsm = LsmBackend::open(lease, owned, hash, filed.config, manifests)?;
        Ok(true)
    }

    /// Waits until all files that it sees are found, and their indexes are read.
    pub(super) fn wait_for_files(&mut self) -> Result<(), StateError> {
        while matches!(self, Self::Filed(filed) if !filed.lsm.is_open()) {
            self.wait()?;
        }
        Ok(())
    }

    /// The files, and how much memory somebody may take who reads some of them, when nothing is in flight;
    /// `None` if state is not in files.
    pub(super) fn files(&mut self) -> Result<Option<(&mut dyn BlockingStorage, u64)>, StateError> {
        let Self::Filed(filed) = self else { return Ok(None) };
        filed.drain()?;
        Ok(Some((&mut *filed.storage, filed.config.budget / 4)))
    }

    /// Begins a snapshot, as [`Backend::open_snapshot`] does; how it is read depends on what it is for.
    pub(super) fn begin_snapshot(&mut self, purpose: Purpose) -> Result<(), StateError> {
        self.open_snapshot()?;
        if let Self::Filed(filed) = self {
            let names = filed.is_kept && purpose == Purpose::Checkpoint;
            filed.reading = if names { Reading::Files } else { Reading::Chunks };
        }
        Ok(())
    }

    /// Names the files of the open snapshot, if that is how it is read: whether there is more, and `None` if
    /// it is read as chunks. Those of the snapshot before are not kept any more: its checkpoint has its own
    /// names for them, or was given up, before another is begun.
    pub(super) fn name_files(
        &mut self,
        group: u32,
        out: &mut Vec<u8>,
    ) -> Result<Option<bool>, StateError> {
        let Self::Filed(filed) = self else { return Ok(None) };
        match filed.reading {
            Reading::Chunks => return Ok(None),
            Reading::Named => {
                filed.reading = Reading::Chunks;
                return Ok(Some(false));
            }
            Reading::Files => {}
        }
        match filed.lsm.snapshot_files() {
            Err(StateError::Waits) => self.wait()?,
            Err(error) => return Err(error),
            Ok(None) => return Ok(Some(false)),
            Ok(Some(snapshot)) => {
                let file = |file: &millstream_lsm::SnapshotFile| files::StateFile {
                    number: file.file.0,
                    length: file.length,
                    checksum: file.checksum,
                };
                let files = snapshot.files.iter().map(file).collect();
                files::StateFiles { manifest: snapshot.manifest, files }.write(group, out);
                if let Some(before) = filed.named.replace(snapshot.number) {
                    filed.lsm.release_snapshot(before);
                }
                filed.reading = Reading::Named;
            }
        }
        Ok(Some(true))
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
        wait(&mut filed.lsm, &mut *filed.storage)
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

    /// Removes all entries of a key group, if that needs no look at each of them.
    pub(super) fn clear_at_once(&mut self, state: StateId, group: u32) -> Result<(), StateError> {
        match self {
            Self::Memory(memory) => memory.clear_at_once(state, group).map(|_| ()),
            Self::Filed(_) => Ok(()),
        }
    }

    /// Whether calls may have to wait.
    pub(super) fn may_wait(&self) -> bool {
        matches!(self, Self::Filed(_))
    }
}

impl Filed {
    fn step(&mut self) -> Result<bool, StateError> {
        step(&mut self.lsm, &mut *self.storage)
    }

    /// Waits for all that is in flight, and begins nothing.
    fn drain(&mut self) -> Result<(), StateError> {
        drain(&mut self.lsm, &mut *self.storage)
    }
}

/// Works, and takes what the storage has completed; whether there is anything new.
fn step(
    lsm: &mut LsmBackend<ChainLease>,
    storage: &mut dyn BlockingStorage,
) -> Result<bool, StateError> {
    let mut went = lsm.work(storage, ENTRIES)?;
    while let Some(completion) = storage.poll() {
        lsm.completed(completion)?;
        went = true;
    }
    Ok(went)
}

/// A step; if nothing but a disk can bring it on this waits for the disk.
pub(super) fn wait(
    lsm: &mut LsmBackend<ChainLease>,
    storage: &mut dyn BlockingStorage,
) -> Result<(), StateError> {
    if step(lsm, storage)? {
        return Ok(());
    }
    match storage.wait() {
        Some(completion) => lsm.completed(completion),
        None => Ok(()),
    }
}

/// Waits for all that is in flight.
pub(super) fn drain(
    lsm: &mut LsmBackend<ChainLease>,
    storage: &mut dyn BlockingStorage,
) -> Result<(), StateError> {
    while lsm.in_flight() > 0 {
        let Some(completion) = storage.wait() else { return Ok(()) };
        lsm.completed(completion)?;
    }
    Ok(())
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

    fn read_ahead(&self, state: StateId, keys: &Keys<'_>) {
        served!(ref self, backend => backend.read_ahead(state, keys));
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
        if let Self::Filed(filed) = self {
            filed.reading = Reading::Chunks;
        }
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
