//! What coordinator and workers say to each other.

use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::JobSpec;

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
    },
    /// Everybody listens.
    Connect {
        /// By worker.
        ports: Vec<u16>,
    },
    /// Everybody is ready.
    Run,
    /// The answer to `NextSplit`.
    Split {
        /// The source.
        node: u32,
        /// The split; absent if there are no more.
        split: Option<Vec<u8>>,
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
    },
    /// How it goes.
    Counts {
        /// Rows that sources have read.
        rows_read: u64,
    },
    /// This part of the job is done.
    Finished,
    /// This part of the job failed.
    Failed {
        /// Why.
        message: String,
    },
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
