//! Snapshots: runs by reference, as files or in the canonical format.
//!
//! Opening one freezes the write buffer. When that is written, the files that there are then are the
//! snapshot; they are never changed, so it costs nothing to keep them.

use alloc::{sync::Arc, vec::Vec};

use millstream_state::{Lease, StateError, StateId, format::Chunk};
use millstream_storage::FileId;

use super::LsmBackend;
use crate::{
    cached::{Cached, RunCursor},
    manifest::Manifest,
    merge::{Merge, Source, Step},
    name::{split, whole},
    run::{Run, RunFile},
    stack::{Part, Stack},
};

/// A chunk of more bytes than this is ended.
const CHUNK: usize = 64 << 10;

/// The open snapshot.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// Frozen buffers that are part of it and not written yet.
    pending: usize,
    /// Its files, when all are written.
    stack: Option<Arc<Stack>>,
    reader: Reader,
}

/// Where in the runs of a snapshot its reader stands.
#[derive(Debug, Default)]
struct Reader {
    state: u16,
    /// Key groups of the state that were read.
    groups: u32,
    cursors: Option<Vec<RunCursor>>,
    merge: Merge,
    /// What was read and is in no chunk yet.
    item: Option<Item>,
}

/// A value with its name, as far as it was read.
#[derive(Debug)]
struct Item {
    state: u16,
    group: u32,
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Snapshot {
    /// A frozen buffer was written, and is the newest of these files.
    pub(super) fn flushed(&mut self, stack: &Arc<Stack>) {
        if self.pending > 0 {
            self.pending -= 1;
            if self.pending == 0 {
                self.stack = Some(stack.clone());
            }
        }
    }

    /// Whether all of it is in files.
    pub(super) fn is_written(&self) -> bool {
        self.stack.is_some()
    }
}

/// A snapshot as files.
#[derive(Clone, Debug)]
pub struct SnapshotFiles {
    /// What [`release_snapshot`](LsmBackend::release_snapshot) takes: of this backend, which counts its
    /// own snapshots from 1 on.
    pub number: u64,
    /// The [manifest](crate::manifest), to be stored with the checkpoint: what
    /// [`open`](LsmBackend::open) takes.
    pub manifest: Vec<u8>,
    /// All files of the snapshot.
    pub files: Vec<SnapshotFile>,
}

/// A file of a snapshot: written, durable, and never changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotFile {
    /// Its name in the storage.
    pub file: FileId,
    /// Its bytes.
    pub length: u64,
    /// The [checksum](crate::sum) of all of them.
    pub checksum: u64,
    /// Whether it was not part of the snapshot before.
    pub is_new: bool,
}

impl<L: Lease> LsmBackend<L> {
    pub(super) fn begin_snapshot(&mut self) -> Result<(), StateError> {
        self.gathered.get_mut().clear();
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        if self.opening.is_some() {
            return Err(StateError::Waits);
        }
        if self.snapshot.is_some() {
            return Err(StateError::SnapshotOpen);
        }
        if !self.active.is_empty(self.states.iter().map(|state| state.tables)) {
            self.freeze()?;
        }
        let pending = self.frozen.len();
        let stack = (pending == 0).then(|| self.stack.clone());
        self.snapshot = Some(Snapshot { pending, stack, reader: Reader::default() });
        Ok(())
    }

    /// The open snapshot as files, which are kept until it is [released](Self::release_snapshot), and
    /// closes it. `None` if none is open.
    ///
    /// # Errors
    /// [`StateError::Waits`] until all of them are written and durable.
    pub fn snapshot_files(&mut self) -> Result<Option<SnapshotFiles>, StateError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let Some(snapshot) = &self.snapshot else { return Ok(None) };
        let Some(stack) = snapshot.stack.clone() else { return Err(StateError::Waits) };
        self.snapshot = None;
        let seen = |part: &Part| RunFile {
            first_rank: part.ranks.start,
            end_rank: part.ranks.end,
            ..part.run.place
        };
        let bottom = stack.slices().iter().filter_map(|slice| slice.bottom.as_ref());
        let layers = stack.layers().iter().map(|layer| layer.parts.iter().map(seen).collect());
        let manifest = Manifest {
            owned: self.order.owned(),
            states: self.states.iter().map(|state| state.spec.clone()).collect(),
            layers: layers.collect(),
            bottom: bottom.map(seen).collect(),
        };
        let file = |run: &Arc<Run>| SnapshotFile {
            file: run.place.file,
            length: run.place.length,
            checksum: run.place.checksum,
            is_new: self.listed.binary_search(&run.place.file).is_err(),
        };
        let files: Vec<SnapshotFile> = stack.runs().into_iter().map(file).collect();
        self.listed = files.iter().map(|file| file.file).collect();
        self.last_snapshot += 1;
        let number = self.last_snapshot;
        self.kept.push((number, stack));
        Ok(Some(SnapshotFiles { number, manifest: manifest.encode(), files }))
    }

    /// The files of a snapshot are not needed any more, by this number: those that are not part of the
    /// state or of another snapshot are deleted.
    pub fn release_snapshot(&mut self, number: u64) {
        self.kept.retain(|kept| kept.0 != number);
    }

    /// Appends the next chunk; `false` if there is none and the snapshot is closed.
    pub(super) fn chunk(&mut self, out: &mut Vec<u8>) -> Result<bool, StateError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let Self { snapshot, cache, states, order, .. } = self;
        let Some(Snapshot { stack, reader, .. }) = snapshot else { return Ok(false) };
        let Some(stack) = stack else { return Err(StateError::Waits) };
        let begin = out.len();
        let mut chunks = Chunks { chunk: None, map: Vec::new() };
        let mut out = Some(out);
        while usize::from(reader.state) < states.len() {
            let (state, owned) = (reader.state, order.owned());
            let group = owned.first + reader.groups;
            if group >= owned.end {
                (reader.state, reader.groups) = (state + 1, 0);
                continue;
            }
            let cursors = reader.cursors.get_or_insert_with(|| {
                let ranks = u64::from(group) << 48..u64::from(group + 1) << 48;
                reader.merge = Merge::new(true).until(ranks.end);
                let cursor = |part: &Part| RunCursor::new(part, *order, state, ranks.start, &[]);
                stack.over(&ranks).iter().map(cursor).collect()
            });
            let source = |cursor| Cached { cache, cursor };
            let mut sources: Vec<_> = cursors.iter_mut().map(source).collect();
            let step = match reader.merge.next(&mut sources) {
                Ok(step) => step,
                // What is whole so far is a chunk.
                Err(StateError::Waits) if chunks.chunk.is_some() => return Ok(chunks.end()),
                Err(error) => return Err(error),
            };
            let is_next = step.is_none_or(|step| step.piece == 0);
            if is_next && let Some(item) = reader.item.take() {
                chunks.push(&item, &mut out);
            }
            match step.and_then(|step| Some((step, sources.get_mut(step.source)?))) {
                Some((Step { .. }, source)) => {
                    let entry = source.entry();
                    let item = reader.item.get_or_insert_with(|| Item {
                        state,
                        group,
                        name: entry.name.to_vec(),
                        value: Vec::new(),
                    });
                    item.value.extend_from_slice(entry.value);
                    source.take();
                }
                None => (reader.groups, reader.cursors) = (reader.groups + 1, None),
            }
            if chunks.length() > CHUNK {
                return Ok(chunks.end());
            }
        }
        if chunks.end() {
            return Ok(true);
        }
        debug_assert!(out.is_none_or(|out| out.len() == begin));
        self.snapshot = None;
        Ok(false)
    }

    /// What a state was written as, whether it is registered or not: for those who read snapshots.
    pub fn written_states(&self) -> impl Iterator<Item = (StateId, &millstream_state::StateSpec)> {
        self.states.iter().enumerate().map(|(at, state)| (StateId(at as u16), &state.spec))
    }
}

/// Items on their way into chunks.
struct Chunks<'a> {
    /// The chunk that is being written, its state and its key group.
    chunk: Option<(Chunk<'a>, u16, u32)>,
    /// The map whose entries come last in it.
    map: Vec<u8>,
}

impl<'a> Chunks<'a> {
    fn push(&mut self, item: &Item, out: &mut Option<&'a mut Vec<u8>>) {
        let (state, group) = (item.state, item.group);
        let chunk = match self.chunk.take() {
            Some((chunk, s, g)) if (s, g) == (state, group) => Some(chunk),
            Some((chunk, ..)) => {
                self.map.clear();
                Some(chunk.next(state, group))
            }
            None => out.take().map(|out| Chunk::begin(state, group, out)),
        };
        let (Some(mut chunk), Some(parts)) = (chunk, split(&item.name)) else { return };
        match parts.map_key {
            None => chunk.whole(parts.key, parts.namespace, &item.value),
            Some(map_key) => {
                let map = whole(&item.name);
                if self.map != map {
                    chunk.entry(parts.key, parts.namespace);
                    self.map.clear();
                    self.map.extend_from_slice(map);
                }
                chunk.map_entry(map_key, item.value.len());
                chunk.value(&item.value);
            }
        }
        self.chunk = Some((chunk, state, group));
    }

    fn length(&self) -> usize {
        self.chunk.as_ref().map_or(0, |(chunk, ..)| chunk.length())
    }

    /// Ends the last chunk; whether there was one.
    fn end(self) -> bool {
        let Some((chunk, ..)) = self.chunk else { return false };
        chunk.end();
        true
    }
}
