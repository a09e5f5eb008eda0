//! Managed memory and files for the operators that want them.

use std::{
    collections::BTreeMap,
    os::fd::OwnedFd,
    sync::{Arc, Mutex},
};

use millstream_dataflow::{
    StreamGraph, TaskError,
    chain::{FilesUse, Levels, StateFiles, StateMemory},
    graph::{NodeKind, execution::Subtask},
    sort::{SortResources, Spill},
};
use millstream_memory::{ManagedMemory, Segment, cost::split_by_weight, managed::Owner};
use millstream_segments::{MmapArena, MmapOptions};
use millstream_sort::ManagedLease;

use super::Part;
use crate::{RunError, Runtime, builder::StateBackend, checkpoint::TaskWork, spill::TaskFiles};

/// Segments with which files of state can be read, at least.
const SEGMENTS_MIN: usize = 16;

/// Managed memory of one job in this process, divided evenly over the subtasks that sort or keep state
/// in files.
#[derive(Default)]
pub(super) struct Managed {
    memory: Option<ManagedMemory>,
    /// Segments of each subtask that has a share.
    shares: BTreeMap<Subtask, usize>,
}

/// What a sorting task works with, and a file to watch for it, if there is one.
type Sorting = (SortResources<ManagedLease, Box<dyn Spill>>, Option<OwnedFd>);

impl Managed {
    /// What a process's part of a job may use.
    pub(super) fn of(runtime: &Runtime, graph: &StreamGraph, part: &Part) -> Self {
        let in_files = runtime.state == StateBackend::Lsm;
        let takes_share = |node: &usize| match graph.nodes[*node].kind {
            NodeKind::Sort(_) => true,
            NodeKind::Chain { stateful, .. } => stateful && in_files,
            _ => false,
        };
        let subtasks = |node: usize| {
            let node = node as u32;
            let parallelism = graph.parallelism(node, runtime.parallelism);
            (0..parallelism).map(move |index| Subtask { node, index })
        };
        let all = (0..graph.nodes.len()).filter(takes_share).flat_map(subtasks);
        let own: Vec<Subtask> = all.filter(|subtask| part.is_own(*subtask)).collect();
        let segments = runtime.managed_bytes / runtime.network.segment_size();
        let shares = split_by_weight(segments as u64, &vec![1; own.len()]);
        let shares = own.into_iter().zip(shares.into_iter().map(|share| share as usize));
        Self { memory: None, shares: shares.collect() }
    }

    fn share(&self, subtask: Subtask) -> usize {
        self.shares.get(&subtask).copied().unwrap_or(0)
    }

    /// The share of one subtask.
    pub(super) fn open(
        &mut self,
        runtime: &Runtime,
        subtask: Subtask,
        task: &str,
    ) -> Result<Sorting, RunError> {
        let segments_max = self.share(subtask);
        let memory = self.memory(runtime)?;
        let owner = memory.open(task);
        let owner = owner.map_err(|e| RunError::Task(TaskError::new(e.to_string()).at(task)))?;
        let TaskFiles { storage, file } = runtime.spill.open(task)?;
        let memory = ManagedLease::new(memory, owner);
        Ok((SortResources { memory, segments_max, storage }, file))
    }

    /// Memory for the state of one subtask, and files if that is where state is kept. All that have state in
    /// memory, and those that sort beyond their share, take from the same budget.
    pub(super) fn state(
        &mut self,
        runtime: &Runtime,
        subtask: Subtask,
        task: &str,
        work: Option<&TaskWork>,
    ) -> Result<Arc<dyn StateMemory>, RunError> {
        let memory = self.memory(runtime)?;
        let owner = memory.open(task);
        let owner = owner.map_err(|e| RunError::Task(TaskError::new(e.to_string()).at(task)))?;
        let named = || match work.filter(|work| work.first.is_some() || work.older.is_some()) {
            Some(TaskWork { directory, older, .. }) => {
                runtime.spill.open_named(task, directory, older.as_deref())
            }
            None => Ok(None),
        };
        let files = match runtime.state {
            StateBackend::Memory if work.is_none_or(|work| work.older.is_none()) => None,
            StateBackend::Memory => named()?.map(|TaskFiles { storage, .. }| {
                // They are read while there is room: what they take is free again before rows come.
                let segments = (runtime.managed_bytes / memory.page_size() / 4).max(SEGMENTS_MIN);
                let budget = (segments * memory.page_size()) as u64;
                let (purpose, compression) = (FilesUse::Restore, Levels::default());
                StateFiles { storage, budget, purpose, compression }
            }),
            StateBackend::Lsm => {
                let budget = (self.share(subtask) * memory.page_size()) as u64;
                let named = named()?.map(|files| files.storage);
                let first = work.and_then(|work| work.first).filter(|_| named.is_some());
                let purpose = first.map_or(FilesUse::Scratch, |first| FilesUse::Kept { first });
                let storage = match named {
                    Some(storage) => storage,
                    None => runtime.spill.open(task)?.storage,
                };
                let compression = runtime.state_compression;
                Some(StateFiles { storage, budget, purpose, compression })
            }
        };
        Ok(Arc::new(State { memory, owner, files: Mutex::new(files) }))
    }

    /// The memory, which is made when it is first wanted.
    fn memory(&mut self, runtime: &Runtime) -> Result<ManagedMemory, RunError> {
        if let Some(memory) = &self.memory {
            return Ok(memory.clone());
        }
        let size = runtime.network.segment_size();
        // State is looked up all over it: fewer pages of the system are fewer misses and faults.
        let options = MmapOptions { huge_pages: true, locked: false };
        let segments = (runtime.managed_bytes / size).max(1);
        let arena = MmapArena::with_options(size, segments, options)?;
        Ok(self.memory.insert(ManagedMemory::new(Box::new(arena))).clone())
    }
}

/// Managed memory in the name of one subtask.
struct State {
    memory: ManagedMemory,
    owner: Owner,
    /// Until the chain has taken them.
    files: Mutex<Option<StateFiles>>,
}

impl Drop for State {
    fn drop(&mut self) {
        // Pages come back by being dropped, wherever they are.
        let _ = self.memory.release_all(self.owner);
    }
}

impl StateMemory for State {
    fn segment_size(&self) -> usize {
        self.memory.page_size()
    }

    fn lease(&self) -> Option<Segment> {
        self.memory.allocate_pages(self.owner, 1).ok()?.pop()
    }

    fn reserve(&self, bytes: u64) -> bool {
        self.memory.reserve(self.owner, bytes).is_ok()
    }

    fn release(&self, bytes: u64) {
        // An owner that was closed meanwhile has nothing reserved any more.
        let _ = self.memory.release_reservation(self.owner, bytes);
    }

    fn files(&self) -> Option<StateFiles> {
        self.files.lock().ok()?.take()
    }
}
