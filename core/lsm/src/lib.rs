//! Keyed state larger than memory.
//!
//! An [`LsmBackend`] keeps what was written in a write buffer, a hash table in which values of fixed size
//! are updated where they are. A buffer that is full is frozen and written to a sorted file, a
//! [run], or several side by side. What is newer counts. Runs of neighbouring age are merged, a few entries at a
//! time, and what is oldest lies in slices, each merged by itself, so that no merge writes the whole state. There is
//! no log, since a checkpoint is what makes state durable; no sequence number, since runs are in the order
//! of their age; and no latch, since one task owns its key groups.
//!
//! It is a machine without I/O of its own. A call that needs a block of a file stops with
//! [`StateError::Waits`](millstream_state::StateError::Waits); its driver lets the backend
//! [work](LsmBackend::work), feeds it what the storage has [completed](LsmBackend::completed), and repeats
//! the call. Write buffers, blocks in memory, indexes and filters are paid from one budget, and are never
//! more than that.
//!
//! Blocks of files may be [compressed](compression): with LZ4, or with a Zstandard that the host brings.
//!
//! A snapshot freezes the buffer, and is the list of runs, with what is seen of each, when that is written:
//! [`snapshot_files`](LsmBackend::snapshot_files) gives it as files, of which those are new that the
//! snapshot before did not have.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod backend;
pub mod block;
mod budget;
mod buffer;
mod bytes;
mod cache;
mod cached;
pub mod compression;
mod config;
pub mod filter;
mod hiding;
pub mod manifest;
mod merge;
pub mod name;
pub mod run;
mod schedule;
mod stack;
mod stream;
pub mod sum;
#[cfg(test)]
mod tests;
mod transfers;
mod writer;

pub use backend::{LsmBackend, LsmMetrics, OpenError, SnapshotFile, SnapshotFiles};
pub use config::LsmConfig;
