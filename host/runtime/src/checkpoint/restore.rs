//! What a job begins from.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use millstream_checkpoint::{
    Manifest,
    manifest::{File, Handle, Kind, Operator, Place, Purpose, State, is_shared},
    storage::{Care, CheckpointStorage, Restored},
};
use millstream_dataflow::{StreamGraph, TaskError, graph::NodeKind};
use millstream_lsm::manifest as lsm;
use millstream_state::files::{has_files, named_files};
use serde::{Deserialize, Serialize};

use super::{CheckpointOptions, RestoreFrom, Store, store::Storage, work};
use crate::threads::Split;

/// A checkpoint that a job begins from.
#[derive(Clone)]
pub(crate) struct Restore {
    store: Store,
    manifest: Arc<Manifest>,
    /// Whether it was named, and not found as the latest one.
    named: bool,
    /// Whether the run took it that has a region begin anew from it.
    of_this_run: bool,
}

impl Restore {
    /// Has a region begin anew from a checkpoint that this run has taken.
    ///
    /// # Errors
    /// If it is not whole.
    pub(super) fn taken(store: Store, checkpoint: u64) -> Result<Self, TaskError> {
        let Restored { manifest, .. } = store.metadata(checkpoint).map_err(failed)?;
        store.verify_all(&manifest, Care::Look).map_err(failed)?;
        Ok(Self { store, manifest: Arc::new(manifest), named: false, of_this_run: true })
    }

    /// Has a region of another process begin anew, from a checkpoint that this run has taken and that is in a
    /// directory.
    ///
    /// # Errors
    /// If it is not whole.
    pub(super) fn taken_in(path: &Path) -> Result<Self, TaskError> {
        Ok(Self { of_this_run: true, ..Self::from_path(path, Care::Look)? })
    }

    /// Whether the run took it that has a region begin anew from it: subtasks and splits have the numbers
    /// that they have in it.
    pub(crate) fn is_of_this_run(&self) -> bool {
        self.of_this_run
    }

    /// Begins from the latest checkpoint of this job, which nobody has named.
    ///
    /// # Errors
    /// If it is of another job, or the job was changed.
    pub(crate) fn new(
        store: Store,
        manifest: Manifest,
        graph: &StreamGraph,
    ) -> Result<Self, TaskError> {
        if manifest.graph_hash != graph.fingerprint() {
            return Err(TaskError::new(format!(
                "checkpoint {} is of the job {} as it was before it was changed, or had other \
                 options: run it as it was, choose another directory for its checkpoints, or go on from \
                 there all the same with --restore {}",
                manifest.checkpoint,
                manifest.job,
                store.directory(manifest.checkpoint).display()
            )));
        }
        Ok(Self { store, manifest: Arc::new(manifest), named: false, of_this_run: false })
    }

    /// Begins from the checkpoint or savepoint in a directory, whatever job it is of, which is verified with
    /// as much `care`.
    ///
    /// # Errors
    /// If there is none that is whole.
    pub(crate) fn from_path(path: &Path, care: Care) -> Result<Self, TaskError> {
        let (store, Restored { manifest, .. }) = Storage::existing(path, care)?;
        let (store, manifest) = (Arc::new(store), Arc::new(manifest));
        Ok(Self { store, manifest, named: true, of_this_run: false })
    }

    /// Begins, in another process, from what the coordinator has found: that in a directory.
    ///
    /// # Errors
    /// If it is not there any more.
    pub(super) fn found(path: &Path, options: &CheckpointOptions) -> Result<Self, TaskError> {
        let restore = Self::from_path(path, Care::Look)?;
        let is_told = |told: &PathBuf| Storage::same(told, path);
        let named = matches!(&options.restore, RestoreFrom::Path(told) if is_told(told));
        Ok(Self { named, ..restore })
    }

    /// Checks that what was named fits a job that may have been changed: it has operators in common with
    /// it, and every state finds the operator that it belongs to, unless some may be left behind.
    ///
    /// # Errors
    /// If it does not, with the operators.
    fn check_operators(&self, graph: &StreamGraph, may_leave: bool) -> Result<(), TaskError> {
        let nodes = 0..graph.nodes.len() as u32;
        let there: Vec<String> = nodes.map(|node| operator_id(graph, node)).collect();
        let is_there = |id: &str| there.iter().any(|own| own == id || split_list(own) == id);
        let all = || self.manifest.operators.iter();
        let has_state = |operator: &&Operator| {
            operator.subtasks.iter().any(|subtask| !subtask.states.is_empty())
        };
        let path = self.directory();
        let subtasks = || all().flat_map(|operator| &operator.subtasks);
        let mut states = subtasks().flat_map(|subtask| &subtask.states);
        if states.any(|state| state.kind == Kind::InFlight)
            && self.manifest.graph_hash != graph.fingerprint()
        {
            return Err(TaskError::new(format!(
                "{} has data in flight in it, which only the job as it was can take up again: go on from \
                 a savepoint, or from an aligned checkpoint",
                path.display()
            )));
        }
        // Sources and sinks of several jobs may be called alike, and a result always is.
        let is_chain = |id: &str| {
            let mut chains = graph.nodes.iter().zip(&there);
            chains.any(|(node, own)| own == id && matches!(node.kind, NodeKind::Chain { .. }))
        };
        let is_other = match self.manifest.job == graph.name {
            true => !all().any(|operator| is_there(&operator.id)),
            false => !all().any(|operator| is_chain(&operator.id)),
        };
        if is_other {
            let found: Vec<&str> = all()
                .filter(has_state)
                .map(|operator| &*operator.id)
                .filter(|id| !id.ends_with(SPLITS))
                .collect();
            return Err(TaskError::new(format!(
                "{} is of another job, {}, and has no operator in common with {}: it has state of [{}], \
                 and the job has the operators [{}]",
                path.display(),
                self.manifest.job,
                graph.name,
                found.join(", "),
                there.join(", ")
            )));
        }
        let left = all().filter(has_state).map(|operator| &*operator.id);
        let left: Vec<&str> = left.filter(|id| !is_there(id)).collect();
        if left.is_empty() {
            return Ok(());
        }
        let (left, there) = (left.join(", "), there.join(", "));
        if may_leave {
            eprintln!("state that no operator takes is left behind: {left}");
            return Ok(());
        }
        Err(TaskError::new(format!(
            "{} has state of operators that the job does not have: [{left}]; it has [{there}]: give the \
             operator that takes a state over its id with .uid(\"...\"), or leave the state behind with \
             --allow-non-restored-state",
            path.display(),
        )))
    }

    /// Whether there is anything of an operator.
    pub(crate) fn knows(&self, operator: &str) -> bool {
        self.manifest.operator(operator).is_some()
    }

    /// Removes the checkpoint, which is not needed any more.
    pub(super) fn discard(&self) {
        if let Err(error) = self.store.discard_claimed(&self.manifest) {
            eprintln!("warning: {error}");
        }
    }

    /// What it consists of.
    pub(crate) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Fills `into` with bytes of a state, from `offset` in the state on.
    ///
    /// # Errors
    /// If they cannot be read.
    pub(crate) fn read(
        &self,
        handle: &Handle,
        offset: u64,
        into: &mut [u8],
    ) -> Result<(), TaskError> {
        self.store.read(self.checkpoint(), handle, offset, into).map_err(failed)
    }

    /// The checkpoint's directory.
    pub(crate) fn directory(&self) -> PathBuf {
        self.store.directory(self.checkpoint())
    }

    /// Whether it was named, and not found as the latest one.
    pub(super) fn is_named(&self) -> bool {
        self.named
    }

    /// The checkpoint's number.
    pub(crate) fn checkpoint(&self) -> u64 {
        self.manifest.checkpoint
    }

    /// Hands the state of each subtask that a node had to `take`.
    ///
    /// # Errors
    /// If it cannot be read, or that of `take`.
    pub(crate) fn each(
        &self,
        operator: &str,
        mut take: impl FnMut(&[u8]) -> Result<(), TaskError>,
    ) -> Result<(), TaskError> {
        let Some(operator) = self.manifest.operator(operator) else { return Ok(()) };
        let states = operator.subtasks.iter().flat_map(|subtask| &subtask.states);
        let mut named = Vec::new();
        for state in states.filter(|state| state.kind != Kind::InFlight) {
            let bytes = self.bytes(state)?;
            match self.has_files() && has_files(&bytes) {
                true => named.extend(bytes),
                false => take(&bytes)?,
            }
        }
        // What is in files is opened at once, whoever wrote it.
        if named.is_empty() { Ok(()) } else { take(&named) }
    }

    /// Hands the state of one subtask that a node had to `take`.
    ///
    /// # Errors
    /// If it cannot be read, or that of `take`.
    pub(crate) fn each_of(
        &self,
        operator: &str,
        subtask: u32,
        mut take: impl FnMut(&[u8]) -> Result<(), TaskError>,
    ) -> Result<(), TaskError> {
        let subtasks = self.manifest.operator(operator).map(|operator| &operator.subtasks);
        let subtask = subtasks.and_then(|subtasks| subtasks.get(subtask as usize));
        let states = subtask.into_iter().flat_map(|subtask| &subtask.states);
        for state in states.filter(|state| state.kind != Kind::InFlight) {
            take(&self.bytes(state)?)?;
        }
        Ok(())
    }

    /// Where a subtask of a source was.
    ///
    /// # Errors
    /// If that is damaged.
    pub(crate) fn position(&self, source: &str, subtask: u32) -> Result<Position, TaskError> {
        let mut position = Position::default();
        self.each_of(source, subtask, |bytes| {
            position = serde_json::from_slice(bytes).map_err(|error| {
                let checkpoint = self.checkpoint();
                TaskError::new(format!("checkpoint {checkpoint}: where {source} was: {error}"))
            })?;
            Ok(())
        })?;
        Ok(position)
    }

    /// Whether it shares files that are state with others.
    pub(super) fn shares_files(&self) -> bool {
        self.manifest.files.iter().any(|file| is_shared(&file.name))
    }

    /// Files with state of an operator in any of these key groups.
    ///
    /// # Errors
    /// If what names them cannot be read.
    pub(super) fn files(&self, operator: &str, groups: Range<u32>) -> Result<Vec<File>, TaskError> {
        let mut wanted = BTreeSet::new();
        self.each(operator, |bytes| {
            for named in named_files(bytes).map_err(failed)? {
                let manifest = lsm::Manifest::decode(&named.manifest).map_err(failed)?;
                wanted.extend(manifest.files(groups.clone()));
            }
            Ok(())
        })?;
        let is_wanted =
            |file: &&File| work::number(&file.name).is_some_and(|n| wanted.contains(&n));
        Ok(self.manifest.files.iter().filter(is_wanted).cloned().collect())
    }

    /// Compares what was read of a file with what was written.
    ///
    /// # Errors
    /// If it is something else: the refusal of the checkpoint.
    pub(super) fn verify(&self, file: &File, length: u64, checksum: u64) -> Result<(), TaskError> {
        let verified = file.verify(length, checksum);
        verified.map_err(|reason| failed(self.store.refuse(self.checkpoint(), reason)))
    }

    /// Whether it refers to files that are state.
    pub(crate) fn has_files(&self) -> bool {
        work::has_files(&self.manifest)
    }

    /// Whether any data were in flight.
    pub(crate) fn has_in_flight(&self) -> bool {
        self.manifest.has_in_flight()
    }

    /// Hands the data that were in flight towards each subtask of an operator to `take`, with the number of
    /// the subtask.
    ///
    /// # Errors
    /// If they cannot be read, or that of `take`.
    pub(crate) fn each_in_flight(
        &self,
        operator: &str,
        mut take: impl FnMut(u32, &[u8]) -> Result<(), TaskError>,
    ) -> Result<(), TaskError> {
        let Some(operator) = self.manifest.operator(operator) else { return Ok(()) };
        for (subtask, number) in operator.subtasks.iter().zip(0..) {
            for state in subtask.states.iter().filter(|state| state.kind == Kind::InFlight) {
                take(number, &self.bytes(state)?)?;
            }
        }
        Ok(())
    }

    /// Checks that an operator has as many key groups as it had, since that is how its state is divided.
    ///
    /// # Errors
    /// If it has not.
    pub(crate) fn check_key_groups(&self, operator: &str, found: u32) -> Result<(), TaskError> {
        let Some(operator) = self.manifest.operator(operator) else { return Ok(()) };
        let mut states = operator.subtasks.iter().flat_map(|subtask| &subtask.states);
        let has_state = states.any(|state| state.kind != Kind::InFlight);
        let was = operator.max_parallelism;
        if !has_state || was == found {
            return Ok(());
        }
        Err(TaskError::new(format!(
            "its state in checkpoint {} is divided into {was} key groups, and now there would be {found}, \
             which follows from the parallelism if the program does not say so: run it with a parallelism \
             near that which it had",
            self.checkpoint()
        )))
    }

    fn bytes(&self, state: &State) -> Result<Vec<u8>, TaskError> {
        match &state.place {
            Place::Inline(bytes) => Ok(bytes.to_vec()),
            Place::File(handle) => {
                let mut bytes = Vec::new();
                let length = usize::try_from(handle.length).unwrap_or(usize::MAX);
                bytes.try_reserve_exact(length).map_err(|_| {
                    TaskError::new(format!(
                        "the state {} of checkpoint {} has {length} bytes, for which there is no memory: \
                         it is read as a whole",
                        handle.file,
                        self.checkpoint()
                    ))
                })?;
                bytes.resize(length, 0);
                let read = self.store.read(self.checkpoint(), handle, 0, &mut bytes);
                read.map(|()| bytes).map_err(failed)
            }
        }
    }

    /// The splits of a source that are left: those that were begun, as far as they were not read, and
    /// those that nobody had taken. They stay in their order: one that was on its way to its reader is in
    /// front of others that were begun, as its rows may be older than theirs.
    ///
    /// # Errors
    /// If the checkpoint has none, or they are damaged.
    pub(crate) fn splits(&self, source: &str) -> Result<Vec<Vec<u8>>, TaskError> {
        let damaged = |error: &dyn fmt::Display| {
            let checkpoint = self.checkpoint();
            TaskError::new(format!("checkpoint {checkpoint}: the splits of {source}: {error}"))
        };
        let mut all = Vec::new();
        self.each(&split_list(source), |bytes| {
            all = decode_splits(bytes).ok_or_else(|| damaged(&"they are damaged"))?;
            Ok(())
        })?;
        let mut left: BTreeMap<usize, Vec<u8>> = all.into_iter().enumerate().collect();
        let mut begun = Vec::new();
        self.each(source, |bytes| {
            let position: Position =
                serde_json::from_slice(bytes).map_err(|error| damaged(&error))?;
            for number in position.taken {
                left.remove(&(number as usize));
            }
            begun.extend(position.current.map(|split| (split.number as usize, split.bytes)));
            Ok(())
        })?;
        left.extend(begun);
        Ok(left.into_values().collect())
    }
}

/// Where the checkpoints of a job are kept.
pub(super) struct Opened {
    pub(super) store: Store,
    /// What the job begins from.
    pub(super) restore: Option<Restore>,
    /// The first checkpoint that it will take.
    pub(super) next: u64,
}

/// Opens where the checkpoints of a job are kept, and what it begins from: the first time what was asked
/// for. When it begins anew, its latest checkpoint; of those that it has taken `since`, if it was told what
/// to begin from, as others need not have to do with that. It is verified with as much `care`.
///
/// # Errors
/// If the directory cannot be used, there is no such checkpoint, or it is of another job.
pub(super) fn open(
    options: &CheckpointOptions,
    graph: &StreamGraph,
    since: Option<u64>,
    care: Care,
) -> Result<Opened, TaskError> {
    let store = Arc::new(Storage::open(&options.directory, &graph.name).map_err(failed)?);
    store.clean().map_err(failed)?;
    if options.restore == RestoreFrom::Nothing && since.is_none() {
        for checkpoint in store.list().map_err(failed)? {
            store.discard(checkpoint).map_err(failed)?;
        }
    }
    let swept = store.sweep().map_err(failed)?;
    if !swept.is_empty() {
        eprintln!("{} files that no checkpoint refers to are removed", swept.len());
    }
    let restore = match (&options.restore, since) {
        (RestoreFrom::Path(path), None) => Some(named(path, options, graph, care)?),
        (RestoreFrom::Path(path), Some(since)) => match latest(&store, graph, since, care)? {
            Some(latest) => Some(latest),
            None => Some(named(path, options, graph, care)?),
        },
        _ => latest(&store, graph, 0, care)?,
    };
    if let Some(Restore { manifest, .. }) = &restore {
        match (manifest.purpose, &options.restore) {
            (Purpose::Savepoint | Purpose::StopWithSavepoint, RestoreFrom::Path(path)) => {
                eprintln!("going on from savepoint {}", path.display());
            }
            _ => eprintln!("going on from checkpoint {} of {}", manifest.checkpoint, graph.name),
        }
    }
    // Ids rise, wherever what the job begins from came from.
    let restored = restore.as_ref().map_or(0, Restore::checkpoint);
    let next = store.next_id().map_err(failed)?.max(restored.saturating_add(1));
    Ok(Opened { store, restore, next })
}

/// What the job was told to begin from.
fn named(
    path: &Path,
    options: &CheckpointOptions,
    graph: &StreamGraph,
    care: Care,
) -> Result<Restore, TaskError> {
    let restore = Restore::from_path(path, care)?;
    restore.check_operators(graph, options.allow_non_restored)?;
    Ok(restore)
}

/// The latest checkpoint of the job that is whole, and not older than `since`.
fn latest(
    store: &Store,
    graph: &StreamGraph,
    since: u64,
    care: Care,
) -> Result<Option<Restore>, TaskError> {
    let latest = store.latest_since(since, care).map_err(failed)?;
    latest.refused.iter().for_each(|refused| eprintln!("warning: {refused}"));
    let restored = latest.restored;
    restored.map(|restored| Restore::new(Arc::clone(store), restored.manifest, graph)).transpose()
}

fn failed(error: impl fmt::Display) -> TaskError {
    TaskError::new(error.to_string())
}

/// Where a subtask of a source is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Position {
    /// The numbers of the splits that it has begun.
    pub(crate) taken: Vec<u32>,
    /// What is left of the split that it reads.
    pub(crate) current: Option<Split>,
}

/// What a node is called in a checkpoint.
pub(crate) fn operator_id(graph: &StreamGraph, node: u32) -> String {
    graph.operator_id(node)
}

/// Behind the id of a source: what its splits are called.
const SPLITS: &str = ": splits";

/// What the splits of a source are called in a checkpoint.
pub(super) fn split_list(source: &str) -> String {
    format!("{source}{SPLITS}")
}

/// Splits, or transactions, as bytes: each behind its length.
pub(crate) fn encode_splits(splits: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for split in splits {
        bytes.extend((split.len() as u32).to_le_bytes());
        bytes.extend_from_slice(split);
    }
    bytes
}

/// What [`encode_splits`] made bytes of.
pub(crate) fn decode_splits(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (mut splits, mut rest) = (Vec::new(), bytes);
    while let Some((length, behind)) = rest.split_first_chunk() {
        let (split, behind) = behind.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        splits.push(split.to_vec());
        rest = behind;
    }
    rest.is_empty().then_some(splits)
}

#[cfg(test)]
mod tests;
