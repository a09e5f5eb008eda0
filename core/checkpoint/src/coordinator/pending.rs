//! One checkpoint from its trigger to its manifest.

use alloc::{boxed::Box, vec::Vec};
use core::mem;

use millstream_exchange::event::Barrier;

use super::message::{Action, Snapshot, TaskId, TaskSnapshot};

/// A checkpoint that is neither complete nor given up.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) barrier: Barrier,
    /// The number of the request, if somebody asked for it.
    pub(super) request: Option<u64>,
    pub(super) drain: bool,
    /// Whether nothing follows the rows in front of it.
    pub(super) is_last: bool,
    pub(super) deadline_ms: u64,
    /// Whether the manifest is on its way to the storage.
    pub(super) storing: bool,
    tasks: Vec<Part>,
    /// Tasks that have not acknowledged.
    open: usize,
}

/// How far a task is.
#[derive(Debug)]
enum Part {
    Waiting,
    /// As before, and told by the coordinator.
    Triggered,
    Acknowledged(Box<[u8]>),
    Finished,
}

impl Pending {
    /// A checkpoint of which finished tasks are no part.
    pub(super) fn new(barrier: Barrier, finished: impl Iterator<Item = bool>) -> Self {
        let part = |finished| if finished { Part::Finished } else { Part::Waiting };
        let tasks: Vec<Part> = finished.map(part).collect();
        let open = tasks.iter().filter(|part| part.is_open()).count();
        Self {
            barrier,
            request: None,
            drain: false,
            is_last: false,
            deadline_ms: u64::MAX,
            storing: false,
            tasks,
            open,
        }
    }

    pub(super) fn id(&self) -> u64 {
        self.barrier.checkpoint
    }

    /// Triggers the tasks that no input will bring the barrier: the inputs ended before it.
    pub(super) fn trigger(&mut self, inputs: &[Box<[TaskId]>], actions: &mut Vec<Action>) {
        for (number, inputs) in inputs.iter().enumerate() {
            let ended = |input: &TaskId| matches!(self.part(*input), Some(Part::Finished));
            if !inputs.iter().all(ended) {
                continue;
            }
            let Some(part @ Part::Waiting) = self.tasks.get_mut(number) else { continue };
            *part = Part::Triggered;
            let task = TaskId(number as u32);
            actions.push(Action::Trigger { task, barrier: self.barrier, drain: self.drain });
        }
    }

    /// A task acknowledged. A second time changes nothing.
    pub(super) fn acknowledge(&mut self, task: TaskId, state: Box<[u8]>) {
        self.close(task, Part::Acknowledged(state));
    }

    /// A task ended before the barrier reached it. One that acknowledged remains so.
    pub(super) fn finish(&mut self, task: TaskId) {
        self.close(task, Part::Finished);
    }

    fn close(&mut self, task: TaskId, with: Part) {
        if let Some(part) = self.tasks.get_mut(task.0 as usize)
            && part.is_open()
        {
            *part = with;
            self.open -= 1;
        }
    }

    /// Whether a task has not acknowledged.
    pub(super) fn waits_for(&self, task: TaskId) -> bool {
        self.part(task).is_some_and(Part::is_open)
    }

    /// The first task that has not acknowledged.
    pub(super) fn missing(&self) -> Option<TaskId> {
        self.tasks.iter().position(Part::is_open).map(|number| TaskId(number as u32))
    }

    /// What all tasks have said, once all have.
    pub(super) fn take_snapshot(&mut self) -> Option<Snapshot> {
        if self.open > 0 || mem::replace(&mut self.storing, true) {
            return None;
        }
        let snapshot = |part: &mut Part| match part {
            Part::Acknowledged(state) => TaskSnapshot::State(mem::take(state)),
            _ => TaskSnapshot::Finished,
        };
        let tasks = self.tasks.iter_mut().map(snapshot).collect();
        Some(Snapshot { barrier: self.barrier, tasks })
    }

    fn part(&self, task: TaskId) -> Option<&Part> {
        self.tasks.get(task.0 as usize)
    }
}

impl Part {
    fn is_open(&self) -> bool {
        matches!(self, Self::Waiting | Self::Triggered)
    }
}
