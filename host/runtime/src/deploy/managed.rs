//! Managed memory and spill files for the operators that want them.

use std::{
    os::fd::{AsFd, OwnedFd},
    task::Waker,
};

use millstream_dataflow::{
    StreamGraph, TaskError,
    graph::NodeKind,
    sort::{SortResources, Spill},
};
use millstream_file_storage::{Backend, FileStorage, Options, Wakeup};
use millstream_memory::{ManagedMemory, cost::split_by_weight};
use millstream_segments::MmapArena;
use millstream_sort::ManagedLease;
use millstream_storage::{Completion, Refused, Request, Storage, Submit};

use super::Part;
use crate::{RunError, Runtime};

/// Managed memory of one job in this process, divided evenly over the subtasks that sort.
#[derive(Default)]
pub(super) struct Managed {
    memory: Option<ManagedMemory>,
    /// Segments of each subtask that has not come yet.
    shares: Vec<usize>,
    /// Spill directories are used in turn.
    opened: usize,
}

impl Managed {
    /// What a process's part of a job may use.
    pub(super) fn of(runtime: &Runtime, graph: &StreamGraph, part: &Part) -> Self {
        let sorts = |node: &usize| matches!(graph.nodes[*node].kind, NodeKind::Sort(_));
        let own = |node: usize| {
            let parallelism = graph.parallelism(node as u32, runtime.parallelism);
            (0..parallelism).filter(|index| index % part.processes == part.own).count()
        };
        let subtasks: usize = (0..graph.nodes.len()).filter(sorts).map(own).sum();
        let segments = runtime.managed_bytes / runtime.network.segment_size();
        let shares = split_by_weight(segments as u64, &vec![1; subtasks]);
        let shares = shares.into_iter().map(|share| share as usize).collect();
        Self { memory: None, shares, opened: 0 }
    }

    /// The memory and the files of one subtask, and a file that tells of completions, if there is one
    /// to watch.
    pub(super) fn open(
        &mut self,
        runtime: &Runtime,
        name: &str,
    ) -> Result<(SortResources<ManagedLease, TaskFiles>, Option<OwnedFd>), RunError> {
        let wrong =
            |error: &dyn std::fmt::Display| RunError::Task(TaskError::new(error.to_string()));
        let segments_max = self.shares.pop().unwrap_or(0);
        let memory = match &self.memory {
            Some(memory) => memory.clone(),
            None => {
                let size = runtime.network.segment_size();
                let segments = (runtime.managed_bytes / size).max(1);
                let arena = MmapArena::new(size, segments)?;
                self.memory.insert(ManagedMemory::new(Box::new(arena))).clone()
            }
        };
        let owner = memory.open(name).map_err(|error| wrong(&error))?;
        let directories = &runtime.spill.directories;
        let directory = &directories[self.opened % directories.len()];
        self.opened += 1;
        let backend = runtime.spill.backend()?;
        let files = FileStorage::open(directory, backend, Options::default())?;
        let storage = TaskFiles(files);
        let file = storage.file().map_err(|error| wrong(&error))?;
        let memory = ManagedLease::new(memory, owner);
        Ok((SortResources { memory, segments_max, storage }, file))
    }
}

/// The files of a task.
#[derive(Debug)]
pub(super) struct TaskFiles(FileStorage);

impl TaskFiles {
    /// What becomes readable at a completion; `None` if the task's waker is called instead.
    fn file(&self) -> std::io::Result<Option<OwnedFd>> {
        match self.0.notify(Waker::noop()) {
            Wakeup::Waker => Ok(None),
            Wakeup::Readable(file) => file.as_fd().try_clone_to_owned().map(Some),
        }
    }
}

impl Submit for TaskFiles {
    fn submit(&mut self, token: u64, request: Request) -> Result<(), Refused> {
        self.0.submit(token, request)
    }
}

impl Storage for TaskFiles {
    fn poll(&mut self) -> Option<Completion> {
        self.0.poll()
    }

    fn in_flight(&self) -> usize {
        self.0.in_flight()
    }
}

impl Spill for TaskFiles {
    fn notify(&mut self, waker: &Waker) {
        // A file that becomes readable is watched by the worker.
        let _ = self.0.notify(waker);
    }
}

/// Where operators spill to, and how.
#[derive(Clone, Debug)]
pub(crate) struct SpillOptions {
    /// At least one.
    pub(crate) directories: Vec<std::path::PathBuf>,
    pub(crate) backend: millstream_file_storage::Preference,
}

impl Default for SpillOptions {
    fn default() -> Self {
        Self { directories: vec![std::env::temp_dir()], backend: Default::default() }
    }
}

impl SpillOptions {
    fn backend(&self) -> Result<Backend, RunError> {
        Ok(millstream_file_storage::choose(self.backend)?.backend)
    }
}
