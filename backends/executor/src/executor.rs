//! What an executor is.

use std::{
    os::fd::BorrowedFd,
    sync::Arc,
    task::Waker,
    time::{Duration, Instant},
};

use crate::{Clock, Failure, Outcome, Poll, WatchError};

/// Makes an executor for each job of a runtime.
pub trait ExecutorBackend: Send + Sync {
    /// An executor without tasks.
    fn executor(&self) -> Box<dyn Executor>;
}

/// Names a task: the worker that polls it, and its slot there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TaskId {
    /// The worker.
    pub worker: usize,
    /// The slot.
    pub slot: usize,
}

/// Tasks of a job that are being put together, before they run.
///
/// A task is woken through a waker that its channels hold, so the waker exists first:
/// [`Executor::reserve`], then build the task, then [`Executor::place`] it. Each task is polled once
/// at first; then when it is woken, when its [deadline](Poll::deadline) has come, when something
/// happens to its [file](Executor::watch), and as long as it asks to be. A task that has finished or
/// failed is dropped at once, so that its channels close. The first failure ends the run: no task is
/// polled any more, and all are dropped.
///
/// The suite in `contract` (feature `contract`) checks an implementation.
pub trait Executor {
    /// How many workers there are: tasks of one worker are never polled at the same time.
    fn workers(&self) -> usize;

    /// A slot for a task on a worker; numbers beyond the last worker wrap around.
    fn reserve(&mut self, worker: usize) -> TaskId;

    /// What wakes the task in this slot, from any thread.
    fn waker(&self, id: TaskId) -> Waker;

    /// Puts a task into its slot.
    fn place(&mut self, id: TaskId, task: Box<dyn Poll>);

    /// Puts a task of a [part](Outcome::part) into its slot: if it fails the part does, and when the part
    /// is over it is dropped, while others go on.
    fn place_in(&mut self, id: TaskId, task: Box<dyn Poll>, part: &Arc<Outcome>);

    /// Wakes the task in this slot whenever `file` becomes readable or writable (edge-triggered). The
    /// file must stay open as long as the task.
    ///
    /// # Errors
    /// If the system refuses.
    fn watch(&mut self, id: TaskId, file: BorrowedFd<'_>) -> Result<(), WatchError>;

    /// Where failures are reported, by threads that are not workers.
    fn outcome(&self) -> &Arc<Outcome>;

    /// The clock whose time tasks are polled with.
    fn clock(&self) -> Clock;

    /// Starts to run.
    ///
    /// # Panics
    /// If a slot was reserved and no task placed in it, or the system gives no thread.
    fn start(self: Box<Self>) -> Box<dyn Running>;
}

/// Tasks that run.
pub trait Running {
    /// How it goes.
    fn outcome(&self) -> &Arc<Outcome>;

    /// Puts a task into a slot again, once the one that was there has ended, as one of a
    /// [part](Outcome::part). Workers must be [held](Outcome::hold), or they may have ended.
    fn place_in(&mut self, id: TaskId, task: Box<dyn Poll>, part: &Arc<Outcome>);

    /// Waits until all tasks have finished or one has failed, and until every thread that reports to
    /// the [outcome](Running::outcome) has ended, but at most about so long, and not longer than until
    /// everything of a [part](Outcome::part) has ended; `true` if all have. Tasks may run only meanwhile.
    fn wait(&mut self, timeout: Duration) -> bool;

    /// Waits to the end.
    ///
    /// # Errors
    /// The first failure.
    fn join(&mut self) -> Result<(), Failure>;
}

/// What is left of a time.
pub(crate) fn left(since: Instant, timeout: Duration) -> Duration {
    timeout.saturating_sub(since.elapsed())
}
