//! Who polls tasks.
//!
//! An [`Executor`] is what a runtime places tasks on; an [`ExecutorBackend`] makes one for each job.
//! [`ThreadPerCore`] is the usual one; [`Inline`] uses the thread that waits for the job.
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
#[cfg(any(test, feature = "contract"))]
pub mod contract;
mod doorbell;
mod executor;
mod inbox;
mod inline;
mod outcome;
mod park;
mod plan;
mod poll;
mod ready;
mod threads;
mod worker;

pub use clock::Clock;
pub use executor::{Executor, ExecutorBackend, Running, TaskId};
pub use inline::Inline;
pub use outcome::{Failure, Outcome};
pub use park::WatchError;
pub use poll::Poll;
pub use ready::ReadySet;
pub use threads::ThreadPerCore;
pub use worker::SPIN_MICROS_DEFAULT;
