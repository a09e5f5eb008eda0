//! Opening a backend from the files of snapshots.
//!
//! Heads of files are read first. Indexes and filters follow as far as the budget has room for them; others are
//! read page by page when they are needed.

mod pages;

use alloc::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    vec::Vec,
};
use core::fmt;

use millstream_memory::Segment;
use millstream_state::{KeyHash, Lease, Owned, StateError};
use millstream_storage::FileId;

use super::LsmBackend;
use crate::{
    config::LsmConfig,
    filter::{Filter, LINE},
    manifest::{Manifest, ManifestError},
    run::{Index, Run, RunFile, decode, decode_head},
    stack::{Part, Stack},
    sum::Sum,
    transfers::Ticket,
};
use pages::Pages;

/// Files whose indexes are being read.
#[derive(Debug)]
pub(super) struct Opening {
    /// By layer, then those of the bottom: what is seen of which file.
    layers: Vec<Vec<RunFile>>,
    bottom: Vec<RunFile>,
    /// Files that were not read, each once.
    files: VecDeque<RunFile>,
    runs: BTreeMap<FileId, Arc<Run>>,
    reading: Reading,
}

/// The file whose index is being read.
#[derive(Debug, Default)]
struct Reading {
    /// Bytes of the head, or of an index without pages.
    index: Vec<u8>,
    words: Vec<u64>,
    sum: Sum,
    /// The pages, when the head was read and there is room for them.
    pages: Option<Pages>,
    /// Bytes that were asked for.
    asked: usize,
    is_reading: bool,
}

impl Opening {
    /// Of what is seen of files, if that is anything.
    fn new(layers: Vec<Vec<RunFile>>, bottom: Vec<RunFile>) -> Option<Self> {
        let all = layers.iter().flatten().chain(&bottom);
        let mut files: Vec<RunFile> = all.copied().collect();
        files.sort_unstable_by_key(|run| run.file);
        files.dedup_by_key(|run| run.file);
        let (files, reading) = (VecDeque::from(files), Reading::default());
        let runs = BTreeMap::new();
        (!files.is_empty()).then_some(Self { layers, bottom, files, runs, reading })
    }

    /// The parts, as far as their runs are there.
    fn parts(&self, files: &[RunFile]) -> Vec<Part> {
        let part = |file: &RunFile| {
            let run = self.runs.get(&file.file)?;
            Some(Part::new(run.clone(), file.ranks()))
        };
        files.iter().filter_map(part).collect()
    }

    /// A part of the head, the index or the filter has come.
    pub(super) fn arrived(&mut self, segment: &Segment) -> Result<(), StateError> {
        let reading = &mut self.reading;
        reading.is_reading = false;
        let bytes = segment.get(..reading.asked).unwrap_or(segment);
        if let Some(pages) = &mut reading.pages {
            return pages.arrived(bytes);
        }
        reading.sum.add(bytes);
        match self.files.front() {
            Some(file) if reading.index.len() < first_bytes(file) as usize => {
                reading.index.extend_from_slice(bytes);
            }
            _ => {
                let words = bytes.as_chunks::<8>().0;
                reading.words.extend(words.iter().map(|word| u64::from_le_bytes(*word)));
            }
        }
        Ok(())
    }
}

impl Reading {
    fn bytes(&self) -> u64 {
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
        let misused = |what| StateError::Misused { state: "all".into(), what };
        let mut seen: Vec<Owned> = Vec::new();
        let (mut layers, mut bottom) = (Vec::<Vec<RunFile>>::new(), Vec::new());
        let mut states = None;
        for bytes in manifests {
            let manifest = Manifest::decode(bytes)?;
            let of = manifest.owned;
            if of.max_parallelism != owned.max_parallelism {
                let what = "was written with another maximum parallelism; restart with that one";
                return Err(misused(what).into());
            }
            if seen.iter().any(|known| of.first < known.end && known.first < of.end) {
                return Err(misused("was written by several subtasks for one key group").into());
            }
            seen.push(of);
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
            let ranks =
                u64::from(of.first.max(owned.first)) << 48..u64::from(of.end.min(owned.end)) << 48;
            let mut see = |runs: Vec<RunFile>, into: &mut Vec<RunFile>| {
                for mut run in runs.into_iter().filter(|_| !ranks.is_empty()) {
                    backend.next_file = backend.next_file.max(run.file.0.saturating_add(1));
                    run.first_rank = run.first_rank.max(ranks.start);
                    run.end_rank = run.end_rank.min(ranks.end);
                    into.extend((run.first_rank < run.end_rank).then_some(run));
                }
            };
            // What different subtasks have written is of different ranks, and so of one age.
            for (at, runs) in manifest.layers.into_iter().enumerate() {
                if layers.len() == at {
                    layers.push(Vec::new());
                }
                layers.get_mut(at).into_iter().for_each(|layer| see(runs.clone(), layer));
            }
            see(manifest.bottom, &mut bottom);
        }
        layers.iter_mut().chain([&mut bottom]).for_each(|runs| {
            runs.sort_unstable_by_key(|run| run.first_rank);
        });
        backend.opening = Opening::new(layers, bottom);
        Ok(backend)
    }

    /// Whether the indexes of all files are read, so that each of them was found. Until then calls wait.
    pub fn is_open(&self) -> bool {
        self.opening.is_none()
    }

    /// Goes on with reading indexes.
    pub(super) fn open_some(&mut self) -> Result<bool, StateError> {
        let Some(opening) = &mut self.opening else { return Ok(true) };
        let Opening { files, reading, .. } = opening;
        if reading.is_reading {
            return Ok(false);
        }
        let Some(file) = files.front().copied() else {
            let layers = opening.layers.iter().map(|files| opening.parts(files)).collect();
            let bottom = opening.parts(&opening.bottom);
            self.stack = Arc::new(Stack::of(self.order.ranks(), layers, bottom));
            self.listed = opening.runs.keys().copied().collect();
            self.opening = None;
            return Ok(true);
        };
        let begin = if file.head_bytes > 0 { file.head_at() } else { file.index_at };
        let bytes = file.length - begin;
        let read = reading.bytes();
        let next = match &mut reading.pages {
            Some(pages) => pages.ask(self.staging.segment_size()),
            None if read < bytes => {
                // An index and a filter are read separately.
                let first = first_bytes(&file);
                let end = if read < first { first } else { bytes };
                let room = self.staging.segment_size() as u64;
                Some(begin + read..begin + end.min(read + room))
            }
            None => None,
        };
        if let Some(next) = next {
            let Some(segment) = self.staging.take() else { return Ok(false) };
            let length = (next.end - next.start) as usize;
            (reading.asked, reading.is_reading) = (length, true);
            self.transfers.read(Ticket::Index, file.file, next.start, length, segment);
            return Ok(false);
        }
        match core::mem::take(&mut reading.pages) {
            Some(pages) => {
                let reserved = pages.reserved;
                let (index, filter) = pages.into_parts();
                self.opened(file, index, filter, reserved);
            }
            None if file.head_bytes > 0 => self.opened_head(file)?,
            None => self.opened_whole(file)?,
        }
        Ok(true)
    }

    /// The head of a file was read.
    fn opened_head(&mut self, file: RunFile) -> Result<(), StateError> {
        let Some(opening) = &mut self.opening else { return Ok(()) };
        let Reading { index, sum, .. } = core::mem::take(&mut opening.reading);
        let damaged = |at: usize, what| {
            let offset = file.head_at() + at as u64;
            StateError::DamagedFile { file: file.file.0, offset, what }
        };
        if sum.value() != file.index_sum {
            return Err(damaged(0, "the checksum of the index is not that of its bytes"));
        }
        let index = decode_head(&index, &file);
        let index = index.map_err(|error| damaged(error.at, error.what))?;
        self.can_read(index.format)?;
        let whole = index.bytes() + LINE as u64 * u64::from(index.lines);
        if self.config.holds_indexes && self.reserve_spare(whole) {
            if let Some(opening) = &mut self.opening {
                opening.reading.pages = Some(Pages::new(file, index, whole));
            }
        } else {
            let reserved = index.head_bytes();
            self.reserve_head(reserved)?;
            self.opened(file, index, Filter::default(), reserved);
        }
        Ok(())
    }

    /// The index and the filter of a file without pages were read.
    fn opened_whole(&mut self, file: RunFile) -> Result<(), StateError> {
        let Some(opening) = &mut self.opening else { return Ok(()) };
        let Reading { index, words, sum, .. } = core::mem::take(&mut opening.reading);
        let damaged = |at: usize, what| {
            let offset = file.index_at + at as u64;
            StateError::DamagedFile { file: file.file.0, offset, what }
        };
        if sum.value() != file.index_sum {
            return Err(damaged(0, "the checksum of the index is not that of its bytes"));
        }
        let index = decode(&index, file.index_at);
        let index = index.map_err(|error| damaged(error.at, error.what))?;
        self.can_read(index.format)?;
        let mut filter = Filter::from_words(words);
        let mut reserved = index.bytes() + 8 * filter.words().len() as u64;
        if !self.reserve_spare(reserved) {
            // Without a filter the file is searched every time; that is better than not at all.
            (filter, reserved) = (Filter::default(), index.bytes());
            self.reserve_head(reserved)?;
        }
        self.opened(file, index, filter, reserved);
        Ok(())
    }

    /// What is to be in memory of a file is there.
    fn opened(&mut self, file: RunFile, index: Index, filter: Filter, reserved: u64) {
        let number = self.cache.free_number();
        let is_restored = true;
        let run = Arc::new(Run { number, place: file, index, filter, reserved, is_restored });
        self.cache.add_run(&run);
        if let Some(opening) = &mut self.opening {
            opening.files.pop_front();
            opening.reading = Reading::default();
            opening.runs.insert(file.file, run);
        }
    }
}

/// Bytes of what is read first: the head, or the index if that has no pages.
fn first_bytes(file: &RunFile) -> u64 {
    u64::from(if file.head_bytes > 0 { file.head_bytes } else { file.index_bytes })
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
