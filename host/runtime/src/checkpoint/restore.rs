//! What a job begins from.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use millstream_checkpoint::{
    Manifest,
    manifest::{Handle, Kind, Operator, Place, Purpose, State},
    storage::{CheckpointStorage, Restored},
};
use millstream_dataflow::{StreamGraph, TaskError, graph::NodeKind};
use millstream_state::files::has_files;
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
}

impl Restore {
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
        Ok(Self { store, manifest: Arc::new(manifest), named: false })
    }

    /// Begins from the checkpoint or savepoint in a directory, whatever job it is of.
    ///
    /// # Errors
    /// If there is none that is whole.
    pub(crate) fn from_path(path: &Path) -> Result<Self, TaskError> {
        let (store, Restored { manifest, .. }) = Storage::existing(path)?;
        Ok(Self { store: Arc::new(store), manifest: Arc::new(manifest), named: true })
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
        if let Err(error) = self.store.discard(self.checkpoint()) {
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

    /// Whether it refers to files that are state.
    pub(crate) fn has_files(&self) -> bool {
        work::has_files(&self.manifest)
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
/// to begin from, as others need not have to do with that.
///
/// # Errors
/// If the directory cannot be used, there is no such checkpoint, or it is of another job.
pub(super) fn open(
    options: &CheckpointOptions,
    graph: &StreamGraph,
    since: Option<u64>,
) -> Result<Opened, TaskError> {
    let store = Arc::new(Storage::open(&options.directory, &graph.name).map_err(failed)?);
    store.clean().map_err(failed)?;
    if options.restore == RestoreFrom::Nothing && since.is_none() {
        for checkpoint in store.list().map_err(failed)? {
            store.discard(checkpoint).map_err(failed)?;
        }
    }
    let restore = match (&options.restore, since) {
        (RestoreFrom::Path(path), None) => Some(named(path, options, graph)?),
        (RestoreFrom::Path(path), Some(since)) => match latest(&store, graph, since)? {
            Some(latest) => Some(latest),
            None => Some(named(path, options, graph)?),
        },
        _ => latest(&store, graph, 0)?,
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
) -> Result<Restore, TaskError> {
    let restore = Restore::from_path(path)?;
    restore.check_operators(graph, options.allow_non_restored)?;
    Ok(restore)
}

/// The latest checkpoint of the job that is whole, and not older than `since`.
fn latest(store: &Store, graph: &StreamGraph, since: u64) -> Result<Option<Restore>, TaskError> {
    let latest = store.latest_since(since).map_err(failed)?;
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
mod tests {
    use std::fs;

    use millstream_checkpoint::manifest::{Kind, Purpose, State, Subtask};

    use super::*;

    #[test]
    fn another_number_of_key_groups_is_refused() {
        let directory =
            std::env::temp_dir().join(format!("millstream-groups-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let store = Arc::new(Storage::open(&directory, "job").unwrap());
        let state = State { kind: Kind::Operator, place: Place::Inline([1].into()) };
        let operator = |id: &str, states| Operator {
            id: id.into(),
            max_parallelism: 128,
            subtasks: vec![Subtask { finished: false, states }],
        };
        let manifest = Manifest {
            checkpoint: 7,
            timestamp_ms: 0,
            purpose: Purpose::Checkpoint,
            job: "job".into(),
            graph_hash: StreamGraph::default().fingerprint(),
            files: Vec::new(),
            operators: vec![operator("counts", vec![state]), operator("maps", Vec::new())],
        };
        let restore = Restore::new(store, manifest, &StreamGraph::default()).unwrap();
        assert_eq!(restore.check_key_groups("counts", 128), Ok(()));
        assert_eq!(restore.check_key_groups("maps", 256), Ok(()), "there is nothing to divide");
        let refused = restore.check_key_groups("counts", 256).unwrap_err().to_string();
        assert!(refused.contains("128 key groups") && refused.contains("256"), "{refused}");
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn splits_that_are_left_stay_in_order() {
        let directory =
            std::env::temp_dir().join(format!("millstream-splits-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let store = Arc::new(Storage::open(&directory, "job").unwrap());
        let operator = |id: &str, states: Vec<Vec<u8>>| Operator {
            id: id.into(),
            max_parallelism: 128,
            subtasks: states
                .into_iter()
                .map(|bytes| {
                    let place = Place::Inline(bytes.into());
                    let states = vec![State { kind: Kind::Source, place }];
                    Subtask { finished: false, states }
                })
                .collect(),
        };
        let position = |taken: &[u32], current: Option<(u32, &str)>| {
            let current =
                current.map(|(number, bytes)| Split { number, bytes: bytes.as_bytes().to_vec() });
            serde_json::to_vec(&Position { taken: taken.to_vec(), current }).unwrap()
        };
        let all = ["a", "b", "c", "d", "e"].map(|split| split.as_bytes().to_vec());
        let positions = vec![position(&[0, 3], Some((3, "rest of d"))), position(&[1], None)];
        let manifest = Manifest {
            checkpoint: 1,
            timestamp_ms: 0,
            purpose: Purpose::Checkpoint,
            job: "job".into(),
            graph_hash: StreamGraph::default().fingerprint(),
            files: Vec::new(),
            operators: vec![
                operator("rows", positions),
                operator(&split_list("rows"), vec![encode_splits(&all)]),
            ],
        };
        let restore = Restore::new(store, manifest, &StreamGraph::default()).unwrap();
        let left = restore.splits("rows").unwrap();
        let left: Vec<_> = left.iter().map(|split| str::from_utf8(split).unwrap()).collect();
        assert_eq!(left, ["c", "rest of d", "e"]);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn splits_round_trip_and_damage_is_seen() {
        let splits = vec![b"one".to_vec(), Vec::new(), b"three".to_vec()];
        let bytes = encode_splits(&splits);
        assert_eq!(decode_splits(&bytes), Some(splits));
        assert_eq!(decode_splits(&bytes[..bytes.len() - 1]), None);
    }
}
