//! What a coordinator is told, and what it wants done.

use alloc::{boxed::Box, string::String, vec::Vec};
use core::fmt;

use millstream_exchange::event::{Barrier, Purpose};

use crate::Permit;

/// A task of the execution graph, a subtask of each operator of a chain, by its number from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(pub u32);

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {}", self.0)
    }
}

/// What happened.
///
/// What a task says belongs to its present attempt: whoever feeds the coordinator drops what an
/// attempt says after its failure was reported. What tasks say of a checkpoint needs no such care: it
/// may come late, twice or not at all. The storage answers for certain, as long as its process lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Nothing but that time went by.
    Time,
    /// A task runs, and can take a checkpoint.
    Running {
        /// Which.
        task: TaskId,
    },
    /// A source has no more rows. It runs on, and still takes checkpoints.
    EndOfData {
        /// Which.
        task: TaskId,
    },
    /// A task has ended, after a complete checkpoint that it took behind its last row; or it was
    /// restored as one that had.
    Finished {
        /// Which.
        task: TaskId,
    },
    /// A task failed, or is restarted because another one did.
    Failed {
        /// Which.
        task: TaskId,
    },
    /// A task has its part of a checkpoint durable.
    Acknowledge {
        /// Of which checkpoint.
        checkpoint: u64,
        /// Which task.
        task: TaskId,
        /// Where its state is, in words of the tasks.
        state: Box<[u8]>,
    },
    /// A task cannot take its part of a checkpoint.
    Decline {
        /// Of which checkpoint.
        checkpoint: u64,
        /// Which task.
        task: TaskId,
        /// Why.
        reason: Decline,
    },
    /// The manifest that was to be [stored](Action::Store) is durable.
    Stored {
        /// Of which checkpoint.
        checkpoint: u64,
    },
    /// It is not, and never will be.
    StoreFailed {
        /// Of which checkpoint.
        checkpoint: u64,
        /// Why, in one sentence.
        reason: String,
    },
    /// Somebody wants a savepoint.
    Savepoint {
        /// A number for the [answer](Action::Answer).
        request: u64,
    },
    /// Somebody wants a savepoint, and the job to end behind it.
    StopWithSavepoint {
        /// A number for the [answer](Action::Answer).
        request: u64,
        /// Whether windows and timers fire first.
        drain: bool,
    },
    /// The job is cancelled, or restarted as a whole. No task runs until it says so again.
    Abort,
}

/// Why a task declines a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decline {
    /// It does not run yet.
    NotReady,
    /// It is about to end.
    Closing,
    /// A producer told it that the checkpoint will not come.
    Cancelled,
    /// The barrier of a newer checkpoint came first.
    Subsumed,
    /// Its snapshot failed.
    Failed(String),
}

impl fmt::Display for Decline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotReady => f.write_str("it does not run yet"),
            Self::Closing => f.write_str("it is about to end"),
            Self::Cancelled => f.write_str("a producer cancelled the barrier"),
            Self::Subsumed => f.write_str("a newer barrier came first"),
            Self::Failed(reason) => write!(f, "its snapshot failed: {reason}"),
        }
    }
}

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Has a task begin a checkpoint: a source, or a task whose inputs have all ended. All others
    /// get the barrier from their inputs.
    Trigger {
        /// Which.
        task: TaskId,
        /// The barrier to snapshot at and to send on.
        barrier: Barrier,
        /// Set if the end of data, with drain, goes in front of the barrier.
        drain: bool,
    },
    /// A checkpoint will not be complete: tell all tasks.
    Abort {
        /// Which.
        checkpoint: u64,
        /// Why.
        reason: Failure,
    },
    /// All tasks have acknowledged: make the manifest durable, then say [`Input::Stored`].
    Store(Snapshot),
    /// A checkpoint is complete and durable: tell all tasks, whose sinks commit.
    Complete(Permit),
    /// Nothing needs the files of a checkpoint any more.
    Discard {
        /// Which.
        checkpoint: u64,
    },
    /// To whom asked for a savepoint: its checkpoint, or why there is none.
    Answer {
        /// The number that came with the request.
        request: u64,
        /// The savepoint.
        result: Result<u64, Failure>,
    },
    /// All that the job did is part of this complete checkpoint, and nothing follows: its tasks end
    /// when they have committed.
    End {
        /// Which.
        checkpoint: u64,
    },
    /// Too much went wrong: fail the job, which its restart strategy may start again.
    FailJob {
        /// The last failure.
        reason: Failure,
        /// Checkpoints that failed one after the other.
        failures: u32,
    },
}

/// A checkpoint that all tasks have acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Its barrier.
    pub barrier: Barrier,
    /// By task: its part.
    pub tasks: Vec<TaskSnapshot>,
}

/// A task's part of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskSnapshot {
    /// What it said when it acknowledged.
    State(Box<[u8]>),
    /// It had ended before; it has no state and will not run after a restore.
    Finished,
}

/// Why a checkpoint was not taken, or not completed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// A task declined.
    Declined {
        /// Which.
        task: TaskId,
        /// Why.
        reason: Decline,
    },
    /// It took too long.
    Expired {
        /// Milliseconds that it had.
        timeout_ms: u64,
        /// A task that had not acknowledged; without one, the manifest was not stored in time.
        missing: Option<TaskId>,
    },
    /// The manifest could not be stored.
    Store {
        /// Why.
        reason: String,
    },
    /// A newer checkpoint is complete.
    Subsumed {
        /// The newer one.
        by: u64,
    },
    /// A task failed meanwhile.
    TaskFailed {
        /// Which.
        task: TaskId,
    },
    /// A task does not run.
    NotRunning {
        /// Which.
        task: TaskId,
    },
    /// The job is being stopped or restarted.
    Aborted,
    /// The job has come to its end, or is about to.
    Ending,
}

impl Failure {
    /// Whether it is one of those that the job tolerates only so many of: Flink's choice, but that
    /// Flink lets a manifest that cannot be stored go by. A full disk should not go unnoticed.
    pub fn counts(&self, purpose: Purpose) -> bool {
        match self {
            Self::Declined { reason: Decline::Failed(_), .. } => true,
            Self::Expired { .. } | Self::Store { .. } => purpose == Purpose::Checkpoint,
            _ => false,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Declined { task, reason } => write!(f, "{task} declined: {reason}"),
            Self::Expired { timeout_ms, missing: Some(task) } => write!(
                f,
                "{task} has not acknowledged within {timeout_ms} ms; remove what holds its input \
                 back, take unaligned checkpoints, or raise the checkpoint timeout"
            ),
            Self::Expired { timeout_ms, missing: None } => write!(
                f,
                "its manifest was not stored within {timeout_ms} ms; look at the checkpoint storage"
            ),
            Self::Store { reason } => write!(f, "its manifest was not stored: {reason}"),
            Self::Subsumed { by } => write!(f, "the newer checkpoint {by} is complete"),
            Self::TaskFailed { task } => write!(f, "{task} failed"),
            Self::NotRunning { task } => write!(f, "{task} does not run; try again when it does"),
            Self::Aborted => f.write_str("the job is being stopped or restarted"),
            Self::Ending => f.write_str("the job is at its end"),
        }
    }
}

impl core::error::Error for Failure {}
