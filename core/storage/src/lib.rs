//! What a stream processor asks of a disk.
//!
//! Sorting spills runs, state keeps sorted files, a checkpoint writes what changed. All of them do
//! it from tasks that never block, with memory that is leased. So a [`Storage`] takes *requests*
//! and gives *completions*: a request lends a segment, its completion brings it back, and in
//! between the task does something else, or sleeps.
//!
//! ```
//! use millstream_storage::{FileId, MemoryStorage, Request, Storage, Submit};
//!
//! let mut storage = MemoryStorage::new();
//! storage.submit(1, Request::Create { file: FileId(7) }).expect("there is room for requests");
//! let created = storage.poll().expect("memory is fast");
//! assert_eq!(created.token, 1);
//! assert!(created.result.is_ok());
//! ```
//!
//! The trait is in two parts, because they have different users. [`Submit`] is all that a state
//! machine sees: it hands requests out as it runs. [`Storage`] is for whoever drives the machine:
//! it collects completions and feeds them back.
//!
//! # The contract
//!
//! * A request that is accepted completes exactly once, with the token it was submitted with and
//!   the memory that it lent, whatever becomes of it.
//! * Operations are not ordered among each other. Who needs an order (create before write, write
//!   before read, everything before delete) waits for the completion.
//! * A write or a read is complete or an error; there are no short ones. A write may lie beyond the
//!   end of the file; what was never written within it reads as zero.
//! * What was written can be read when the write has completed. It survives a loss of power only
//!   after a completed [`Request::Sync`].
//! * A storage that has as many requests in flight as it takes refuses, and gives the request back
//!   unchanged. There is room again when a completion was taken.
//! * Dropping a storage gives all lent memory back, if need be after waiting for the system.
//!
//! The feature `contract` has the suite that checks this; [`MemoryStorage`] is the reference, and
//! fails on demand.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

#[cfg(feature = "contract")]
pub mod contract;
mod error;
mod memory;

use core::fmt;

use millstream_memory::{Buffer, Segment};

pub use error::{Cause, Operation, StorageError};
pub use memory::{Faults, MemoryStorage};

/// A file of a storage, by a number that its creator chooses; not two files of one storage at a
/// time have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u64);

/// What to do.
#[derive(Debug)]
pub enum Request {
    /// Makes an empty file.
    Create {
        /// Its name from now on.
        file: FileId,
    },
    /// Writes all of `data`.
    Write {
        /// The file.
        file: FileId,
        /// Where the data go, in bytes from the beginning.
        offset: u64,
        /// The bytes. They may be read elsewhere meanwhile, by a snapshot for instance.
        data: Buffer,
    },
    /// Reads `length` bytes.
    Read {
        /// The file.
        file: FileId,
        /// Where the bytes are, from the beginning.
        offset: u64,
        /// How many.
        length: usize,
        /// Gets the bytes, at its beginning.
        into: Segment,
    },
    /// Makes what was written survive a loss of power.
    Sync {
        /// The file.
        file: FileId,
    },
    /// Removes a file.
    Delete {
        /// The file.
        file: FileId,
    },
}

impl Request {
    /// The file that it is about.
    pub fn file(&self) -> FileId {
        match self {
            Self::Create { file }
            | Self::Write { file, .. }
            | Self::Read { file, .. }
            | Self::Sync { file }
            | Self::Delete { file } => *file,
        }
    }

    /// Which operation it is.
    pub fn operation(&self) -> Operation {
        match self {
            Self::Create { .. } => Operation::Create,
            Self::Write { .. } => Operation::Write,
            Self::Read { .. } => Operation::Read,
            Self::Sync { .. } => Operation::Sync,
            Self::Delete { .. } => Operation::Delete,
        }
    }

    /// Where in the file it begins, and how many bytes it moves.
    pub fn place(&self) -> (u64, usize) {
        match self {
            Self::Write { offset, data, .. } => (*offset, data.len()),
            Self::Read { offset, length, .. } => (*offset, *length),
            _ => (0, 0),
        }
    }

    /// Gives the memory back that the request lends.
    pub fn into_lent(self) -> Lent {
        match self {
            Self::Write { data, .. } => Lent::Written(data),
            Self::Read { into, .. } => Lent::Read(into),
            _ => Lent::Nothing,
        }
    }
}

/// The memory that comes back with a completion.
#[derive(Debug)]
pub enum Lent {
    /// The operation lent none.
    Nothing,
    /// What was to be written.
    Written(Buffer),
    /// What was to be read into; its content is unspecified if the read failed.
    Read(Segment),
}

/// What became of a request.
#[derive(Debug)]
pub struct Completion {
    /// The number that the request was submitted with.
    pub token: u64,
    /// The memory that it lent.
    pub lent: Lent,
    /// Whether it was done.
    pub result: Result<(), StorageError>,
}

/// A storage that has no room for a request now; submit it again when a completion was taken.
#[derive(Debug)]
pub struct Refused {
    /// The request, unchanged.
    pub request: Request,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the storage has no room for a request to {}; take completions first",
            self.request.operation()
        )
    }
}

impl core::error::Error for Refused {}

/// Where requests go. See the [crate] for the contract.
pub trait Submit {
    /// Starts an operation. Never blocks.
    ///
    /// # Errors
    ///
    /// [`Refused`], with the request, when as many as the storage takes are in flight.
    fn submit(&mut self, token: u64, request: Request) -> Result<(), Refused>;
}

/// Files as submissions and completions. See the [crate] for the contract.
pub trait Storage: Submit {
    /// The next completion that is there. Never blocks.
    fn poll(&mut self) -> Option<Completion>;

    /// Requests that were accepted and whose completions were not taken.
    fn in_flight(&self) -> usize;
}

/// A storage whose completions a thread can wait for: for programs and tests, not for tasks, which
/// have to be woken.
pub trait BlockingStorage: Storage {
    /// The next completion; blocks until there is one. `None` if nothing is in flight.
    fn wait(&mut self) -> Option<Completion>;
}
