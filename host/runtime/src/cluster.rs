//! A job in several processes on this machine.
//!
//! The process that is told to run a job is its coordinator and worker 0. It starts the other
//! workers as children and talks with them in lines of JSON over their standard input and output,
//! so that the death of either is seen at once as the end of a pipe. Rows travel over links.
//!
//! | coordinator | worker | |
//! |---|---|---|
//! | `Start` → | | which job, which part of it, which options |
//! | | ← `Listening` | the port for links, and the graph's fingerprint, which must be the same |
//! | `Connect` → | | the ports of all workers |
//! | | ← `Ready` | everything is deployed |
//! | `Run` → | | |
//! | `Split` → | ← `NextSplit` | as often as a source wants one |
//! | `Restart` → | ← `RegionFailed` | a region of the worker fails and begins anew, and others go on |
//! | | ← `Finished`, `Failed` | |

mod coordinator;
mod message;
mod worker;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use coordinator::{Coordinated, coordinate};
pub use millstream_net::{Preference, Transport};
pub use worker::work;

/// What every worker of a job must be told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JobSpec {
    /// The library that offers the job.
    pub library: PathBuf,
    /// Directories of plugins beside the bundled ones.
    pub plugins: Vec<PathBuf>,
    /// The job's name there.
    pub job: String,
    /// The options of the job.
    pub options: Vec<(String, String)>,
    /// The options of the engine that were set.
    pub settings: Vec<(String, String)>,
}
