//! State that a checkpoint has in files, as it is put back: the files are opened where they are, or, if the
//! state is to be somewhere else or something else now, read as a whole.

use alloc::{format, sync::Arc, vec::Vec};

use millstream_lsm::{LsmBackend, LsmConfig, manifest::Manifest};
use millstream_state::{
    Backend, Owned, StateError,
    files::StateFiles as Named,
    format::{FormatError, ReadChunk},
};
use millstream_storage::BlockingStorage;

use super::{
    ChainLease, KeyedState, failure, hash_of,
    restored::{Elsewhere, Layout},
    store::{drain, wait},
};
use crate::chain::{StateFiles, TaskError};

/// Segments that a reader of files needs at least.
const SEGMENTS_MIN: u64 = 16;

impl KeyedState {
    /// Puts back what a chunk says is in files. Manifests of those that need only be opened are kept in
    /// `named` until all are there.
    pub(super) fn restore_files(
        &mut self,
        chunk: &ReadChunk<'_>,
        snapshot: &mut Layout,
        named: &mut Vec<Vec<u8>>,
        elsewhere: &mut Elsewhere<'_>,
    ) -> Result<(), TaskError> {
        let Named { manifest: bytes, .. } = Named::read(chunk).map_err(damaged)?;
        let manifest = Manifest::decode(&bytes).map_err(|e| TaskError::new(format!("{e}")))?;
        let (was, is) = (manifest.owned, self.owned);
        if was.end <= is.first || is.end <= was.first {
            return Ok(());
        }
        if self.backend.may_wait() && !self.is_filled && self.is_as_it_was(&manifest, snapshot) {
            named.push(bytes);
            return Ok(());
        }
        if !named.is_empty() {
            return Err(TaskError::new(
                "the subtasks that have written its state in files had different states: go on from a \
                 savepoint",
            ));
        }
        self.read_files(&bytes, snapshot, elsewhere)
    }

    /// Whether the states of a snapshot are those that there are now, under the same numbers.
    fn is_as_it_was(&self, manifest: &Manifest, snapshot: &Layout) -> bool {
        let is_same = |(number, was): (usize, &millstream_state::StateSpec)| {
            let spec = self.states.get(number).and_then(|id| self.backend.spec(*id));
            snapshot.states.get(number) == self.states.get(number)
                && spec.is_some_and(|spec| {
                    (&spec.name, spec.kind, spec.key, spec.namespace, spec.value)
                        == (&was.name, was.kind, was.key, was.namespace, was.value)
                })
        };
        let is_rewritten = snapshot.rewritten.iter().any(Option::is_some);
        !is_rewritten && manifest.states.iter().enumerate().all(is_same)
    }

    /// Sees the state of these manifests from now on.
    pub(super) fn open_files(&mut self, manifests: &[Vec<u8>]) -> Result<(), TaskError> {
        if manifests.is_empty() {
            return Ok(());
        }
        let specs: Vec<_> = self.states.iter().filter_map(|id| self.backend.spec(*id)).collect();
        let specs: Vec<_> = specs.into_iter().cloned().collect();
        let lease = ChainLease(Arc::clone(&self.memory.0));
        let manifests: Vec<&[u8]> = manifests.iter().map(Vec::as_slice).collect();
        let opened = self.backend.open_files(lease, self.owned, hash_of, &manifests);
        opened.map_err(|error| TaskError::new(format!("{error}")))?;
        for (spec, id) in specs.iter().zip(&self.states) {
            let found = self.backend.register(spec).map_err(failure)?;
            debug_assert_eq!(found, *id);
        }
        for (id, ttl) in &self.living {
            self.backend.set_ttl(*id, *ttl);
        }
        self.is_filled = true;
        self.backend.wait_for_files().map_err(failure)
    }

    /// Reads all state of a manifest, and puts it into whatever backend there is.
    fn read_files(
        &mut self,
        manifest: &[u8],
        snapshot: &mut Layout,
        elsewhere: &mut Elsewhere<'_>,
    ) -> Result<(), TaskError> {
        let lease = || ChainLease(Arc::clone(&self.memory.0));
        let segment = self.memory.0.segment_size() as u64;
        let mut restorable = self.restorable.take();
        let own = match &restorable {
            Some(files) => Some(files.budget),
            None => self.backend.files().map_err(failure)?.map(|(_, budget)| budget),
        };
        let Some(budget) = own else {
            return Err(TaskError::new(
                "its state is in files of the checkpoint, which this program does not open: run it as it \
                 was, or go on from a savepoint",
            ));
        };
        let mut reader =
            Reader::open(lease(), self.owned, budget.max(SEGMENTS_MIN * segment), manifest)?;
        let mut chunks = Vec::new();
        loop {
            chunks.clear();
            let more = match &mut restorable {
                Some(StateFiles { storage, .. }) => reader.next(&mut **storage, &mut chunks),
                None => match self.backend.files().map_err(failure)? {
                    Some((storage, _)) => reader.next(storage, &mut chunks),
                    None => Ok(false),
                },
            };
            let more = more.map_err(failure)?;
            let mut offset = 0;
            while offset < chunks.len() {
                let (chunk, next) = ReadChunk::read(&chunks, offset).map_err(damaged)?;
                let bytes = chunks.get(offset..next).unwrap_or(&[]);
                self.restore_chunk(&chunk, bytes, snapshot, elsewhere)?;
                offset = next;
            }
            if !more {
                self.restorable = restorable;
                return Ok(());
            }
        }
    }
}

fn damaged(error: FormatError) -> TaskError {
    TaskError::new(format!("{error}"))
}

/// Reads the files of one manifest as chunks. Between calls nothing of it is in flight, so that others may use
/// the same storage.
struct Reader {
    lsm: LsmBackend<ChainLease>,
    has_begun: bool,
}

impl Reader {
    fn open(
        lease: ChainLease,
        owned: Owned,
        budget: u64,
        manifest: &[u8],
    ) -> Result<Self, TaskError> {
        let config = LsmConfig::new(budget).without_merging();
        let lsm = LsmBackend::open(lease, owned, hash_of, config, &[manifest]);
        let lsm = lsm.map_err(|error| TaskError::new(format!("{error}")))?;
        Ok(Self { lsm, has_begun: false })
    }

    /// Appends the next chunks; `false` if there are none behind them.
    fn next(
        &mut self,
        storage: &mut dyn BlockingStorage,
        out: &mut Vec<u8>,
    ) -> Result<bool, StateError> {
        let more = self.next_driven(storage, out);
        drain(&mut self.lsm, storage)?;
        more
    }

    fn next_driven(
        &mut self,
        storage: &mut dyn BlockingStorage,
        out: &mut Vec<u8>,
    ) -> Result<bool, StateError> {
        loop {
            let next = match self.has_begun {
                false => self.lsm.open_snapshot().map(|()| {
                    self.has_begun = true;
                    true
                }),
                true => self.lsm.next_chunk(out),
            };
            match next {
                Err(StateError::Waits) => wait(&mut self.lsm, storage)?,
                next => return next,
            }
        }
    }
}
