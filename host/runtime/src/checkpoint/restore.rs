//! What a job begins from.

use std::{
    collections::BTreeMap,
    fmt, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use millstream_checkpoint::{
    Manifest,
    manifest::{Operator, Place},
    storage::{CheckpointStorage, Restored},
};
use millstream_checkpoint_files::Storage;
use millstream_dataflow::{StreamGraph, TaskError};
use serde::{Deserialize, Serialize};

use super::{CheckpointOptions, RestoreFrom, Store};
use crate::threads::Split;

/// A checkpoint that a job begins from.
#[derive(Clone)]
pub(crate) struct Restore {
    store: Store,
    manifest: Arc<Manifest>,
}

impl Restore {
    /// Begins from a checkpoint of this job.
    ///
    /// # Errors
    /// If it is of another job.
    pub(crate) fn new(
        store: Store,
        manifest: Manifest,
        graph: &StreamGraph,
    ) -> Result<Self, TaskError> {
        if manifest.graph_hash != graph.fingerprint() {
            return Err(TaskError::new(format!(
                "checkpoint {} is of the job {} as it was before it was changed, or had other \
                 options: run it as it was, or choose another directory for its checkpoints",
                manifest.checkpoint, manifest.job
            )));
        }
        Ok(Self { store, manifest: Arc::new(manifest) })
    }

    /// Begins from the checkpoint in a directory.
    ///
    /// # Errors
    /// If there is none that is whole, or it is of another job.
    pub(crate) fn from_path(path: &Path, graph: &StreamGraph) -> Result<Self, TaskError> {
        if !path.is_dir() {
            let path = path.display();
            return Err(TaskError::new(format!(
                "there is no checkpoint to begin from in {path}: name the directory of one, such as \
                 DIR/JOB/chk-7"
            )));
        }
        let number =
            path.file_name().and_then(|name| name.to_str()?.strip_prefix("chk-")?.parse().ok());
        let job = path.parent().and_then(|job| Some((job.parent()?, job.file_name()?.to_str()?)));
        let (Some(number), Some((directory, job))) = (number, job) else {
            return Err(TaskError::new(format!(
                "{} is not the directory of a checkpoint: it ends in the job's name and chk-7, say",
                path.display()
            )));
        };
        let store = Arc::new(Storage::open(directory, job).map_err(failed)?);
        let restored = store.restore(number).map_err(failed)?;
        Self::new(store, restored.manifest, graph)
    }

    /// The checkpoint's directory.
    pub(crate) fn directory(&self) -> PathBuf {
        self.store.directory(self.checkpoint())
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
        for bytes in self.states(operator) {
            take(&bytes?)?;
        }
        Ok(())
    }

    /// Checks that an operator has as many key groups as it had, since that is how its state is divided.
    ///
    /// # Errors
    /// If it has not.
    pub(crate) fn check_key_groups(&self, operator: &str, found: u32) -> Result<(), TaskError> {
        let Some(operator) = self.manifest.operator(operator) else { return Ok(()) };
        let has_state = operator.subtasks.iter().any(|subtask| !subtask.states.is_empty());
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

    fn states<'a>(
        &'a self,
        operator: &'a Operator,
    ) -> impl Iterator<Item = Result<Vec<u8>, TaskError>> + 'a {
        let states = operator.subtasks.iter().flat_map(|subtask| &subtask.states);
        states.map(move |state| match &state.place {
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
        })
    }

    /// The splits of a source that are left: those that were begun, as far as they were not read, and
    /// those that nobody had taken.
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
        let mut unread: BTreeMap<usize, Vec<u8>> = all.into_iter().enumerate().collect();
        let mut begun = Vec::new();
        self.each(source, |bytes| {
            let position: Position =
                serde_json::from_slice(bytes).map_err(|error| damaged(&error))?;
            for number in position.taken {
                unread.remove(&(number as usize));
            }
            begun.extend(position.current.map(|split| (split.number, split.bytes)));
            Ok(())
        })?;
        begun.sort_by_key(|(number, _)| *number);
        let begun = begun.into_iter().map(|(_, split)| split);
        Ok(begun.chain(unread.into_values()).collect())
    }
}

/// Opens where the checkpoints of a job are kept, and what it begins from: the first time what was asked
/// for, and its latest checkpoint when it begins anew.
///
/// # Errors
/// If the directory cannot be used, or there is no such checkpoint.
pub(super) fn open(
    options: &CheckpointOptions,
    graph: &StreamGraph,
    anew: bool,
) -> Result<(Store, Option<Restore>), TaskError> {
    // If that fails, opening says what is wrong.
    let _ = fs::create_dir_all(&options.directory);
    let store = Arc::new(Storage::open(&options.directory, &graph.name).map_err(failed)?);
    store.clean().map_err(failed)?;
    if options.restore == RestoreFrom::Nothing && !anew {
        for checkpoint in store.list().map_err(failed)? {
            store.discard(checkpoint).map_err(failed)?;
        }
    }
    let named = match &options.restore {
        RestoreFrom::Path(path) => Some(path),
        _ => None,
    };
    let mut restore = None;
    if named.is_none() || anew {
        let latest = store.latest().map_err(failed)?;
        latest.refused.iter().for_each(|refused| eprintln!("warning: {refused}"));
        if let Some(Restored { manifest, .. }) = latest.restored {
            restore = Some(Restore::new(Arc::clone(&store), manifest, graph)?);
        }
    }
    if let (None, Some(path)) = (&restore, named) {
        restore = Some(Restore::from_path(path, graph)?);
    }
    if let Some(restore) = &restore {
        eprintln!("going on from checkpoint {} of {}", restore.checkpoint(), graph.name);
    }
    Ok((store, restore))
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
    let name = graph.nodes.get(node as usize).map_or("", |node| &node.name);
    format!("{node:05} {name}")
}

/// What the splits of a source are called in a checkpoint.
pub(super) fn split_list(source: &str) -> String {
    format!("{source}: splits")
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
    fn splits_round_trip_and_damage_is_seen() {
        let splits = vec![b"one".to_vec(), Vec::new(), b"three".to_vec()];
        let bytes = encode_splits(&splits);
        assert_eq!(decode_splits(&bytes), Some(splits));
        assert_eq!(decode_splits(&bytes[..bytes.len() - 1]), None);
    }
}
