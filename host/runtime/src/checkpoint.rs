//! Checkpoints of a running job.
//!
//! In every process a [keeper](keeper) takes the state of tasks and writes it to files; in the
//! coordinating process the [coordinator](coordinate) has checkpoints begin, collects what tasks have
//! acknowledged, and writes the manifest. Both have threads of their own, since files block.

mod attempts;
mod coordinate;
mod keeper;
mod local;
mod orders;
mod restore;
mod savepoints;
mod shared;
mod store;
mod work;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, mpsc::Sender},
    time::Duration,
};

use millstream_checkpoint::{PERMIT_BYTES, Permit, TaskId};
use millstream_dataflow::task::{Checkpoints, Order};
use millstream_exchange::event::Alignment;
use serde::{Deserialize, Serialize};

pub(crate) use attempts::{Attempts, Checkpointed, Ended, TakingPart};
pub(crate) use coordinate::{Coordinating, Setup};
pub(crate) use keeper::{Keeper, Message as KeeperMessage, Written};
pub(crate) use orders::Directory;
pub(crate) use restore::{Position, Restore, decode_splits, encode_splits, operator_id};
pub use savepoints::Savepoints;
pub(crate) use work::{TaskWork, Work};

/// How a job is checkpointed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointOptions {
    /// Where checkpoints are kept; each job has a directory of its own there.
    pub directory: PathBuf,
    /// From the beginning of one checkpoint to that of the next.
    pub interval: Duration,
    /// After so long a checkpoint that is not complete is given up.
    pub timeout: Duration,
    /// Between the end of one checkpoint and the beginning of the next, at least.
    pub min_pause: Duration,
    /// Checkpoints that may fail one after the other without failing the job.
    pub tolerable_failures: u32,
    /// Complete checkpoints that are kept.
    pub retained: usize,
    /// What barriers do at a task with several inputs.
    pub barriers: Barriers,
    /// How often the job begins anew when a task fails, or the region of the task while others go on, without
    /// having gone well for an hour. When a process dies the job always does.
    pub restarts: u32,
    /// What the job begins from.
    pub restore: RestoreFrom,
    /// To whom the checkpoint or savepoint belongs that [`RestoreFrom::Path`] names.
    pub claim: ClaimMode,
    /// Begin although what the path names has state that no operator of the job takes: it is left behind.
    pub allow_non_restored: bool,
    /// Where a process works with state in files if checkpoints are in an object store.
    pub local_directory: PathBuf,
    /// Whether the files of the last checkpoint stay there, so that a job that begins again on the same machine
    /// does not have to fetch them.
    pub local_recovery: bool,
    /// Where [savepoints](Savepoints) go, each into a directory of its own; without it there are none.
    pub savepoints: Option<PathBuf>,
}

/// To whom a checkpoint or savepoint belongs that a job begins from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClaimMode {
    /// To the user: it is read, and never touched.
    #[default]
    NoClaim,
    /// To the engine: it is removed when as many newer checkpoints are complete as are kept.
    Claim,
}

/// What barriers do at a task with several inputs, and under backpressure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Barriers {
    /// A channel waits until the barrier has come on the others: exactly once.
    #[default]
    Aligned,
    /// A barrier overtakes what is in front of it, which becomes part of the checkpoint, when it has waited
    /// so long; at once if that is zero. Exactly once, and checkpoints do not wait for slow tasks.
    Unaligned {
        /// How long it waits.
        after: Duration,
    },
    /// Nobody waits: at least once.
    AtLeastOnce,
}

impl Barriers {
    /// As the coordinator has them.
    pub(crate) fn alignment(self) -> Alignment {
        match (self, self.overtakes_after()) {
            (_, Some(timeout_ms)) => Alignment::Timeout { timeout_ms },
            (Self::AtLeastOnce, _) => Alignment::None,
            _ => Alignment::Aligned,
        }
    }

    /// Milliseconds after which a barrier overtakes, at least 1; `None` if barriers never do.
    pub(crate) fn overtakes_after(self) -> Option<u32> {
        match self {
            Self::Unaligned { after } => {
                Some(u32::try_from(after.as_millis()).unwrap_or(u32::MAX).max(1))
            }
            _ => None,
        }
    }
}

/// What a job begins from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RestoreFrom {
    /// Its latest checkpoint; if there is none, its beginning.
    #[default]
    Latest,
    /// Its beginning; checkpoints that it has are removed.
    Nothing,
    /// The checkpoint or savepoint in this directory, `DIR/JOB/chk-7` for instance; wherever that is. The
    /// program may have been changed: state is given to the operators that have the ids of those that it
    /// was taken from.
    Path(PathBuf),
}

impl CheckpointOptions {
    /// Checkpoints in a directory, every ten seconds; two are kept.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(600),
            min_pause: Duration::ZERO,
            tolerable_failures: 0,
            retained: 2,
            barriers: Barriers::Aligned,
            restarts: 3,
            restore: RestoreFrom::Latest,
            claim: ClaimMode::NoClaim,
            allow_non_restored: false,
            local_directory: std::env::temp_dir(),
            local_recovery: false,
            savepoints: None,
        }
    }
}

/// What a task, or the keeper in its name, says to the coordinator.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// Its state at a checkpoint is durable.
    Acknowledge {
        /// The checkpoint.
        checkpoint: u64,
        /// The task.
        task: u32,
        /// Where the state is.
        part: Part,
        /// Where the data are that were in flight towards it.
        in_flight: Part,
        /// Files that its state refers to.
        files: Vec<work::NamedFile>,
        /// Shared files that were written for the task, and that it will not name again.
        gone: Vec<String>,
    },
    /// It has no state for a checkpoint.
    Decline {
        /// The checkpoint.
        checkpoint: u64,
        /// The task.
        task: u32,
        /// Why.
        reason: String,
    },
    /// A source has made its last row.
    EndOfData {
        /// The task.
        task: u32,
    },
    /// Tasks of a region failed, and nothing of them is left to say anything.
    Fell {
        /// The region.
        region: u32,
        /// The tasks.
        tasks: Vec<u32>,
    },
    /// Tasks that failed are about to run again.
    Runs {
        /// The tasks.
        tasks: Vec<u32>,
    },
}

/// What the coordinator says when it has heard that a region failed. It begins no checkpoint until the
/// region runs again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settled {
    /// The region.
    pub(crate) region: u32,
    /// What it begins anew from.
    pub(crate) from: Recovery,
}

/// What a region begins anew from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recovery {
    /// What the run began from: it has taken no checkpoint.
    Beginning,
    /// A checkpoint that the run has taken.
    Checkpoint(u64),
    /// It cannot begin anew without the others: the job ends, or stops with a savepoint.
    Together,
}

/// Where the state of a task is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Part {
    /// Here: it is small.
    Inline(Vec<u8>),
    /// In a file of its own.
    File {
        /// The file's name.
        name: String,
        /// Bytes.
        length: u64,
        /// The checksum of all its bytes.
        checksum: u64,
    },
}

/// What a process needs to take part in checkpoints.
pub(crate) struct Participation {
    /// Where state goes.
    pub(crate) keeper: Sender<keeper::Message>,
    /// Where the orders of this process's tasks are put.
    pub(crate) directory: Arc<Directory>,
    /// What the job begins from.
    pub(crate) restore: Option<Restore>,
    /// Milliseconds after which a barrier overtakes; `None` if barriers never do.
    pub(crate) overtakes_after: Option<u32>,
    /// Where tasks keep state in files.
    pub(crate) work: Arc<Work>,
}

impl Participation {
    /// The end of a task.
    pub(crate) fn task(&self, task: TaskId) -> Box<dyn Checkpoints> {
        let (keeper, orders) = (self.keeper.clone(), self.directory.add(task));
        let work = Arc::clone(&self.work);
        Box::new(Written::new(task, keeper, orders, self.overtakes_after, work))
    }
}

/// Whether checkpoints in this place are in a local directory.
pub(crate) fn is_local(path: &Path) -> bool {
    store::Storage::is_local(path)
}

/// The checkpoints of a job, as they are kept.
pub(crate) type Store = Arc<store::Storage>;

/// An order as it travels to another process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum OrderMessage {
    /// The barrier, as an event.
    Trigger(Vec<u8>),
    /// The end of data goes in front of the next barrier.
    Drain,
    /// A checkpoint will not be complete.
    Abort(u64),
    /// The permit to show what belongs to a checkpoint.
    Complete([u8; PERMIT_BYTES]),
    /// The job is at its end.
    End,
}

impl From<Order> for OrderMessage {
    fn from(order: Order) -> Self {
        use millstream_exchange::event::{EVENT_BYTES_MAX, Event};
        match order {
            Order::Trigger(barrier) => {
                let mut bytes = [0; EVENT_BYTES_MAX];
                let length = Event::Barrier(barrier).encode(&mut bytes);
                Self::Trigger(bytes.get(..length).unwrap_or(&bytes).to_vec())
            }
            Order::Drain => Self::Drain,
            Order::Abort(checkpoint) => Self::Abort(checkpoint),
            Order::Complete(permit) => Self::Complete(permit.to_bytes()),
            Order::End => Self::End,
        }
    }
}

impl OrderMessage {
    /// The order; `None` if the message is none.
    pub(crate) fn order(&self) -> Option<Order> {
        use millstream_exchange::event::Event;
        match self {
            Self::Trigger(bytes) => match Event::decode(bytes) {
                Ok(Event::Barrier(barrier)) => Some(Order::Trigger(barrier)),
                _ => None,
            },
            Self::Drain => Some(Order::Drain),
            Self::Abort(checkpoint) => Some(Order::Abort(*checkpoint)),
            Self::Complete(permit) => Permit::from_bytes(permit).map(Order::Complete),
            Self::End => Some(Order::End),
        }
    }
}
