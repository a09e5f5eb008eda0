//! Checkpoints in an object store, whole or not at all.
//!
//! An object store has no directories: a checkpoint is the objects whose names begin alike.
//!
//! ```text
//! <bucket>/<prefix>/<job>/chk-7/.begun        the checkpoint was begun, and not discarded
//! <bucket>/<prefix>/<job>/chk-7/count-0       a file of state, as many as there are
//! <bucket>/<prefix>/<job>/chk-7/_metadata     the manifest
//! <bucket>/<prefix>/<job>/shared/shared-1     a file of state that several checkpoints refer to
//! ```
//!
//! A savepoint is the same below a prefix of its own ([`Storage::savepoint`]).
//!
//! ```
//! use millstream_checkpoint::CheckpointStorage;
//! use millstream_checkpoint_objects::{Objects, Storage};
//!
//! // `Objects::connect("s3://bucket")` takes endpoint, region and credentials from AWS_* variables.
//! let objects = Objects::new(object_store::memory::InMemory::new(), "memory://")?;
//! let storage = Storage::open(&objects, "checkpoints", "flights")?;
//! storage.begin(1)?;
//! assert_eq!(storage.unfinished()?, [1]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # In which order
//!
//! An object is there as a whole or not at all, and durable when the store has answered. The manifest is
//! written last, and only if there is none yet, where the store can do that: of two coordinators that
//! believe to be the only one, one is told that it is not. A checkpoint that is discarded loses its manifest
//! first. What a task writes after that is in nobody's way: it belongs to no checkpoint that was begun, and
//! is removed when one of its number is, or when a job begins.
//!
//! # No hang
//!
//! Each request has a time within which it has to be answered, and is repeated a few times within a bound
//! ([`Objects::connect`]). Calls block; they run on a small tokio runtime of this crate's own.
#![forbid(unsafe_code)]

mod connect;
mod error;
mod file;
mod storage;

pub use connect::{Objects, prepare, split_url};
pub use file::StateFile;
pub use storage::Storage;
