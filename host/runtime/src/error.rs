//! Why a job did not run to its end.

use millstream_dataflow::{TaskError, graph::GraphError};
use millstream_loader::{CallError, LoadError};
use millstream_memory::{PoolError, demand::DemandError, model::MemoryError};
use millstream_net::{MeshError, TransportError};
use millstream_segments::ArenaError;

/// Why a job did not run to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The program cannot run as it is.
    #[error("{0}")]
    Graph(#[from] GraphError),
    /// A plugin refused before the job began.
    #[error("{0}")]
    Plugin(#[from] CallError),
    /// A plugin was refused.
    #[error("{0}")]
    Load(#[from] LoadError),
    /// The parts of memory do not fit into the whole.
    #[error("{0}")]
    MemoryModel(#[from] MemoryError),
    /// The memory cannot be had.
    #[error("{0}")]
    Memory(#[from] ArenaError),
    /// The job needs more segments than there are, with every pool at its minimum.
    #[error(
        "the job's exchange needs {needed} segments of {segment_size} bytes in a process, and there \
         are {there}: raise `memory.network` to at least {bytes} bytes, or lower \
         `memory.segment-size` or the parallelism"
    )]
    NetworkMemory {
        /// The segments that it needs.
        needed: usize,
        /// Those that there are.
        there: usize,
        /// Bytes of a segment.
        segment_size: usize,
        /// Bytes of those that it needs.
        bytes: usize,
    },
    /// A pool of segments cannot be had.
    #[error("{0}")]
    Buffers(#[from] PoolError),
    /// No exchange can have so many channels.
    #[error("{0}")]
    Demand(#[from] DemandError),
    /// There is nowhere to spill to.
    #[error("{0}")]
    Spill(#[from] millstream_file_storage::OpenError),
    /// The exchange between processes cannot be had.
    #[error("{0}")]
    Transport(#[from] TransportError),
    /// The processes of the job did not find each other.
    #[error("{0}")]
    Mesh(#[from] MeshError),
    /// A worker process could not be started, or ended before its part of the job did.
    #[error("worker process {worker}: {what}")]
    Worker {
        /// Which.
        worker: u32,
        /// What became of it.
        what: String,
    },
    /// A task failed.
    #[error("{0}")]
    Task(TaskError),
    /// The job was cancelled.
    #[error("the job was cancelled")]
    Cancelled,
}
