//! Why a job did not run to its end.

use millstream_dataflow::{TaskError, graph::GraphError};
use millstream_loader::CallError;
use millstream_memory::PoolError;
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
    /// The memory cannot be had.
    #[error("{0}")]
    Memory(#[from] ArenaError),
    /// The job needs more buffers than there are.
    #[error("{0}")]
    Buffers(#[from] PoolError),
    /// A task failed.
    #[error("{0}")]
    Task(TaskError),
    /// The job was cancelled.
    #[error("the job was cancelled")]
    Cancelled,
}
