//! Checkpoints as machines without I/O: when one begins, which rows belong to it, when it is
//! complete, and what follows from that.
//!
//! A checkpoint is a cut through a running job. Sources put a barrier into their streams; what is in
//! front of it belongs to the checkpoint, what is behind it does not. When every task has made its
//! state at the barrier durable, the job can begin again from there, as if nothing behind it had ever
//! happened.
//!
//! # Who decides what
//!
//! | machine | decides | does not know |
//! |---|---|---|
//! | [`Coordinator`] | when a checkpoint begins, is complete, is given up, is discarded | state |
//! | [`Aligner`] | which channels of a task wait, when it takes its snapshot | rows |
//! | [`TwoPhase`] | which transactions of a sink are committed, and which undone | what is in them |
//! | [`Restart`] | whether a job that failed begins again, and when | why it failed |
//! | [`Heartbeats`] | which process is taken for dead | processes |
//! | [`SharedFiles`] | which files nobody refers to any more | what is in them |
//! | [`Manifest`] | which bytes say what a checkpoint consists of | files |
//!
//! [`CheckpointStorage`] is where the files are kept, and is implemented by backends.
//!
//! Like all machines of the core they have no clock, thread, file or random number. What happens comes
//! in as an argument, with the time; what is to be done goes out as values, in order.
//!
//! # Permission is a type
//!
//! A sink commits with a [`Permit`]. Only a complete checkpoint mints one, so committing too early does
//! not compile.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod align;
mod bytes;
mod checksum;
#[cfg(feature = "contract")]
pub mod contract;
pub mod coordinator;
pub mod heartbeat;
pub mod manifest;
mod permit;
pub mod restart;
pub mod shared;
pub mod storage;
pub mod two_phase;

pub use align::Aligner;
pub use checksum::Checksum;
pub use coordinator::{Coordinator, TaskId};
pub use heartbeat::Heartbeats;
pub use manifest::Manifest;
pub use permit::{PERMIT_BYTES, Permit};
pub use restart::Restart;
pub use shared::SharedFiles;
pub use storage::{CheckpointStorage, MemoryStorage};
pub use two_phase::TwoPhase;
