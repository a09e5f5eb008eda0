//! Thread per core.
//!
//! A worker owns its tasks and polls those whose bit is set in its [`ReadySet`]; no lock
//! is taken on the way of a record. A task is woken by setting its bit, from any thread. Code that
//! blocks, such as a client library or a file system call, has a thread of its own behind a bounded
//! channel ([`blocking`]).
//!
//! ```text
//!   source thread --channel--> task (worker 0) --channel--> task (worker 1) --channel--> sink thread
//! ```
#![forbid(unsafe_code)]

pub mod blocking;
mod clock;
mod park;
mod ready;
mod run;
mod worker;

pub use clock::Clock;
pub use park::WatchError;
pub use ready::ReadySet;
pub use run::{Executor, Failure, Outcome, Running, TaskId};
pub use worker::{Poll, SPIN_MICROS_DEFAULT};
