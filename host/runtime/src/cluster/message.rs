//! What coordinator and workers say to each other.

use std::{
    io::{self, BufRead, Write},
    path::PathBuf,
};

use millstream_dataflow::{graph::execution::Subtask, task::TaskCounts};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::JobSpec;
use crate::{
    checkpoint::{OrderMessage, Report},
    progress::{Kind, SubtaskCounts},
    threads::Split,
};

/// From the coordinator.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ToWorker {
    /// The first message.
    Start {
        /// What to run.
        spec: JobSpec,
        /// Which worker this is.
        worker: u32,
        /// How many there are.
        processes: u32,
        /// How bytes are moved: `tcp` or `uring`.
        transport: String,
        /// The directory of the checkpoint to begin from.
        restore: Option<PathBuf>,
    },
    /// Everybody listens.
    Connect {
        /// By worker.
        ports: Vec<u16>,
    },
    /// Everybody is ready.
    Run,
    /// Every part of the job is done: show the results.
    Commit,
    /// The answer to `NextSplit`.
    Split {
        /// The source.
        node: u32,
        /// The split; absent if there are no more.
        split: Option<Split>,
    },
    /// An order of the coordinator of checkpoints.
    Order {
        /// The task; all of the worker's if absent.
        task: Option<u32>,
        /// The order.
        order: OrderMessage,
    },
    /// The answer to `SplitsLeft`.
    SplitsLeft {
        /// The source.
        node: u32,
        /// Whether there are splits that nobody has taken.
        left: bool,
    },
    /// How far the sources of all other processes have come that those of this one wait for.
    Aligned {
        /// By group: the watermark of the last; absent if there is none that counts.
        groups: Vec<(String, Option<i64>)>,
    },
    /// A region of this worker is to begin anew.
    Restart {
        /// The region.
        region: u32,
        /// The directory of the checkpoint that it goes on from; what the run began from if absent.
        checkpoint: Option<PathBuf>,
    },
}

/// From a worker.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ToCoordinator {
    /// The answer to `Start`.
    Listening {
        /// The port for links.
        port: u16,
        /// The fingerprint of the graph.
        graph: u64,
    },
    /// The answer to `Connect`.
    Ready,
    /// A source of this worker is free.
    NextSplit {
        /// The source.
        node: u32,
        /// Its subtask.
        index: u32,
    },
    /// A source of this worker wants to know whether splits are left for it.
    SplitsLeft {
        /// The source.
        node: u32,
        /// Its subtask.
        index: u32,
    },
    /// A source of this worker begins anew: what it had taken beside these comes to it again.
    SplitsAgain {
        /// The source.
        node: u32,
        /// Its subtask.
        index: u32,
        /// The numbers of splits.
        taken: Vec<u32>,
    },
    /// A region of this worker failed, while others go on.
    RegionFailed {
        /// The region.
        region: u32,
        /// Why.
        message: String,
    },
    /// For the coordinator of checkpoints.
    Checkpoint(Report),
    /// How far the sources of this worker have come that wait for others.
    Aligned {
        /// By group: the watermark of the last; absent if there is none that counts.
        groups: Vec<(String, Option<i64>)>,
    },
    /// How it goes.
    Counts {
        /// What the subtasks of this worker have counted.
        subtasks: Vec<SubtaskReport>,
    },
    /// This part of the job is done; its results can be shown.
    Finished,
    /// The answer to `Commit`: they are shown.
    Committed,
    /// This part of the job failed.
    Failed {
        /// Why.
        message: String,
    },
}

/// What one subtask has counted.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SubtaskReport {
    node: u32,
    index: u32,
    name: String,
    kind: Kind,
    counts: [u64; 11],
}

impl From<SubtaskCounts> for SubtaskReport {
    fn from(SubtaskCounts { subtask, name, kind, counts }: SubtaskCounts) -> Self {
        let Subtask { node, index } = subtask;
        Self { node, index, name, kind, counts: counts.to_array() }
    }
}

impl From<SubtaskReport> for SubtaskCounts {
    fn from(SubtaskReport { node, index, name, kind, counts }: SubtaskReport) -> Self {
        let counts = TaskCounts::from_array(counts);
        Self { subtask: Subtask { node, index }, name, kind, counts }
    }
}

/// Writes a message as a line.
pub(super) fn send(out: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    out.write_all(&line)?;
    out.flush()
}

/// Reads the next message; `None` at the end of the pipe.
pub(super) fn receive<M: DeserializeOwned>(input: &mut impl BufRead) -> io::Result<Option<M>> {
    let mut line = String::new();
    if input.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    Ok(Some(serde_json::from_str(&line)?))
}
