//! What an executor polls.

use std::{sync::Arc, task::Waker};

use millstream_dataflow::{
    TaskError,
    task::{Task, TaskMetrics, TaskPoll},
};

/// What a worker polls: a task, or a connection.
pub trait Poll: Send {
    /// Its name, for failures.
    fn name(&self) -> &str;

    /// Works for a bounded time; `now` is in microseconds.
    ///
    /// # Errors
    /// Why it failed. It is not polled again.
    fn poll(&mut self, now: u64, waker: &Waker) -> Result<TaskPoll, TaskError>;

    /// When it wants to be polled although nothing woke it, in microseconds.
    fn deadline(&self) -> Option<u64>;

    /// Where its time is counted.
    fn metrics(&self) -> Option<&Arc<TaskMetrics>>;
}

impl Poll for Task {
    fn name(&self) -> &str {
        Self::name(self)
    }

    fn poll(&mut self, now: u64, waker: &Waker) -> Result<TaskPoll, TaskError> {
        Self::poll(self, now, waker)
    }

    fn deadline(&self) -> Option<u64> {
        Self::deadline(self)
    }

    fn metrics(&self) -> Option<&Arc<TaskMetrics>> {
        Some(Self::metrics(self))
    }
}
