//! Opening a backend from the files of snapshots.

use alloc::{collections::VecDeque, sync::Arc, vec::Vec};
use core::fmt;

use millstream_memory::Segment;
use millstream_state::{KeyHash, Lease, Owned, StateError};

use super::LsmBackend;
use crate::{
    config::LsmConfig,
    filter::Filter,
    manifest::{Manifest, ManifestError},
    run::{Run, RunFile, decode},
    sum::Sum,
    transfers::Ticket,
};

/// Runs whose indexes are being read.
#[derive(Debug)]
pub(super) struct Opening {
    files: VecDeque<RunFile>,
    index: Vec<u8>,
    words: Vec<u64>,
    sum: Sum,
    /// Bytes that were asked for.
    asked: usize,
    is_reading: bool,
}

impl Opening {
    fn new(files: VecDeque<RunFile>) -> Self {
        Self {
            files,
            index: Vec::new(),
            words: Vec::new(),
            sum: Sum::default(),
            asked: 0,
            is_reading: false,
        }
    }

    /// A part of the index or the filter has come.
    pub(super) fn arrived(&mut self, segment: &Segment) -> Result<(), StateError> {
        self.is_reading = false;
        let bytes = segment.get(..self.asked).unwrap_or(segment);
        self.sum.add(bytes);
        match self.files.front() {
            Some(file) if self.index.len() < file.index_bytes as usize => {
                self.index.extend_from_slice(bytes);
            }
            _ => {
                let words = bytes.as_chunks::<8>().0;
                self.words.extend(words.iter().map(|word| u64::from_le_bytes(*word)));
            }
        }
        Ok(())
    }

    fn read(&self) -> u64 {
        (self.index.len() + 8 * self.words.len()) as u64
    }
}

impl<L: Lease> LsmBackend<L> {
    /// A backend with the state of snapshots, by their manifests: one, or several whose key groups are
    /// now those of one subtask. Of the files, which are left where they are, it sees the key groups
    /// `owned`. Until their indexes are read every call [waits](StateError::Waits).
    ///
    /// States keep their numbers, and are to be registered again by their names. Files that were there
    /// before are never deleted by this backend: others may see them, too.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(
        lease: L,
        owned: Owned,
        hash: KeyHash,
        config: LsmConfig,
        manifests: &[&[u8]],
    ) -> Result<Self, OpenError> {
        let mut backend = Self::new(lease, owned, hash, config)?;
        let mut files = VecDeque::new();
        let mut states = None;
        for bytes in manifests {
            let manifest = Manifest::decode(bytes)?;
            let misused = |what| StateError::Misused { state: "all".into(), what };
            if manifest.owned.max_parallelism != owned.max_parallelism {
                let what = "was written with another maximum parallelism; restart with that one";
                return Err(misused(what).into());
            }
            let names = manifest.states.iter().map(|state| (state.name.clone(), state.kind));
            let names: Vec<_> = names.collect();
            if *states.get_or_insert_with(|| names.clone()) != names {
                let what = "differs between the subtasks that have written it";
                return Err(misused(what).into());
            }
            if backend.states.is_empty() {
                for spec in &manifest.states {
                    backend.add_state(spec)?;
                }
                backend.states.iter_mut().for_each(|state| state.is_registered = false);
            }
            let is_seen = manifest.owned.first < owned.end && owned.first < manifest.owned.end;
            for mut run in manifest.runs.into_iter().filter(|_| is_seen) {
                backend.next_file = backend.next_file.max(run.file.0.saturating_add(1));
                let first = manifest.owned.first.max(owned.first);
                run.first_group = run.first_group.max(first);
                run.end_group = run.end_group.min(manifest.owned.end.min(owned.end));
                if run.first_group < run.end_group {
                    files.push_back(run);
                }
            }
        }
        backend.opening = (!files.is_empty()).then(|| Opening::new(files));
        Ok(backend)
    }

    /// Whether the indexes of all files are read, so that each of them was found. Until then calls wait.
    pub fn is_open(&self) -> bool {
        self.opening.is_none()
    }

    /// Goes on with reading indexes.
    pub(super) fn open_some(&mut self) -> Result<bool, StateError> {
        let Some(opening) = &mut self.opening else { return Ok(true) };
        if opening.is_reading {
            return Ok(false);
        }
        let Some(file) = opening.files.front().copied() else {
            self.opening = None;
            return Ok(true);
        };
        let (at, bytes) = (file.index_at + opening.read(), file.length - file.index_at);
        if opening.read() < bytes {
            let Some(segment) = self.staging.take() else { return Ok(false) };
            // The index and the filter are read separately.
            let index = u64::from(file.index_bytes);
            let end = if opening.read() < index { index } else { bytes };
            let length = (end - opening.read()).min(segment.len() as u64) as usize;
            (opening.asked, opening.is_reading) = (length, true);
            self.transfers.read(Ticket::Index, file.file, at, length, segment);
            return Ok(false);
        }
        self.opened(file)?;
        Ok(true)
    }

    /// The index of a file was read.
    fn opened(&mut self, file: RunFile) -> Result<(), StateError> {
        let Some(opening) = &mut self.opening else { return Ok(()) };
        let damaged = |at: usize, what| {
            let offset = file.index_at + at as u64;
            StateError::DamagedFile { file: file.file.0, offset, what }
        };
        if opening.sum.value() != file.index_sum {
            return Err(damaged(0, "the checksum of the index is not that of its bytes"));
        }
        let index = decode(&opening.index, file.index_at);
        let index = index.map_err(|error| damaged(error.at, error.what))?;
        let filter = Filter::from_words(core::mem::take(&mut opening.words));
        let mut files = core::mem::take(&mut opening.files);
        files.pop_front();
        *opening = Opening::new(files);
        let reserved = index.bytes() + 8 * filter.words().len() as u64;
        if !self.reserve(reserved) {
            return Err(self.out_of_budget("index of a file"));
        }
        let number = self.cache.free_number();
        let is_restored = true;
        let run = Arc::new(Run { number, place: file, index, filter, reserved, is_restored });
        self.cache.add_run(&run);
        self.runs.push(run);
        self.listed.push(file.file);
        Ok(())
    }
}

/// Why a backend cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// A manifest is damaged.
    Manifest(ManifestError),
    /// The budget is too small, or the manifests are not those of one operator.
    State(StateError),
}

impl From<ManifestError> for OpenError {
    fn from(error: ManifestError) -> Self {
        Self::Manifest(error)
    }
}

impl From<StateError> for OpenError {
    fn from(error: StateError) -> Self {
        Self::State(error)
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manifest(error) => error.fmt(f),
            Self::State(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for OpenError {}
