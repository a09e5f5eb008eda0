//! What can go wrong with the files of checkpoints.

use alloc::string::String;
use core::fmt;

use crate::manifest::ManifestError;

/// What was to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Opening the storage.
    Open,
    /// Making room for a checkpoint.
    Begin,
    /// Making a file.
    Create,
    /// Writing a file.
    Write,
    /// Making a checkpoint complete.
    Complete,
    /// Finding out which there are.
    List,
    /// Reading a file.
    Read,
    /// Removing a checkpoint.
    Discard,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "keep checkpoints in",
            Self::Begin => "begin the checkpoint",
            Self::Create => "create",
            Self::Write => "write",
            Self::Complete => "complete the checkpoint",
            Self::List => "list the checkpoints in",
            Self::Read => "read",
            Self::Discard => "remove the checkpoint",
        })
    }
}

/// Why an operation failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// No space is left, or the user's share of it is used up.
    Full {
        /// The directory that is full.
        directory: String,
    },
    /// A file would be larger than the system allows.
    TooLarge,
    /// Nothing can be written there: the file system is read-only.
    ReadOnly,
    /// The user may not do that.
    Forbidden,
    /// There is a file where a directory should be.
    NotADirectory,
    /// It is not there.
    NotFound,
    /// It is there already.
    Exists,
    /// A file or state has another length.
    Length {
        /// Bytes that there should be.
        expected: u64,
        /// Bytes that there are.
        found: u64,
    },
    /// The request itself makes no sense.
    Invalid {
        /// What is wrong with it.
        what: &'static str,
    },
    /// The system refused for another reason.
    System {
        /// The number of the error (`errno`), where there is one.
        errno: Option<i32>,
        /// What the system calls it.
        message: String,
    },
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { directory } => write!(
                f,
                "no space is left in {directory}; free space there, keep fewer checkpoints, or use \
                 a directory that has more"
            ),
            Self::TooLarge => f.write_str(
                "the file would be larger than the system allows; raise the limit of the process \
                 (`ulimit -f`), or use a file system for larger files",
            ),
            Self::ReadOnly => f.write_str(
                "the file system is read-only; use a directory that can be written, or mount it so",
            ),
            Self::Forbidden => f.write_str(
                "the user of this process may not do that; change the owner or the mode of the \
                 directory, or use another",
            ),
            Self::NotADirectory => {
                f.write_str("it is not a directory; remove what is there, or use another path")
            }
            Self::NotFound => f.write_str("it is not there; somebody has removed it, or never made it"),
            Self::Exists => f.write_str(
                "it is there already; another job writes to the same directory, or ids are used twice",
            ),
            Self::Length { expected, found } => write!(
                f,
                "it has {found} bytes where there should be {expected}; somebody has changed it, or \
                 it was not written to its end"
            ),
            Self::Invalid { what } => f.write_str(what),
            Self::System { errno: Some(errno), message } => write!(f, "{message} (errno {errno})"),
            Self::System { errno: None, message } => f.write_str(message),
        }
    }
}

/// An operation that failed, where, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageError {
    /// What was to be done.
    pub operation: Operation,
    /// The path of the file or directory, or what stands for it.
    pub path: String,
    /// Why it failed.
    pub cause: Cause,
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operation, path, cause } = self;
        write!(f, "cannot {operation} {path}: ")?;
        match (operation, cause) {
            (Operation::Open, Cause::NotFound) => {
                f.write_str("there is no such directory; create it, or name another")
            }
            _ => write!(f, "{cause}"),
        }
    }
}

impl core::error::Error for StorageError {}

/// A complete checkpoint that cannot be restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Which; 0 if its manifest would say that, and cannot be read.
    pub checkpoint: u64,
    /// Where it is.
    pub path: String,
    /// Why.
    pub reason: Refusal,
}

/// Why a checkpoint cannot be restored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// Its manifest is none.
    Manifest(ManifestError),
    /// Its manifest is that of another checkpoint.
    OtherCheckpoint {
        /// Which.
        found: u64,
    },
    /// A file is not there.
    Missing {
        /// Its name.
        file: String,
    },
    /// A file has another length than when it was written.
    Length {
        /// Its name.
        file: String,
        /// Bytes that were written.
        expected: u64,
        /// Bytes that there are.
        found: u64,
    },
    /// A file has other bytes than when it was written.
    Checksum {
        /// Its name.
        file: String,
        /// The checksum of what was written.
        expected: u64,
        /// The checksum of what is there.
        found: u64,
    },
    /// A file or the manifest cannot be read.
    Storage(StorageError),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { checkpoint, path, reason } = self;
        match checkpoint {
            0 => write!(f, "the savepoint in {path} is refused: ")?,
            _ => write!(f, "checkpoint {checkpoint} in {path} is refused: ")?,
        }
        match reason {
            Refusal::Manifest(error) => write!(f, "{error}"),
            Refusal::OtherCheckpoint { found } => write!(
                f,
                "its manifest is that of checkpoint {found}; somebody has moved it, move it back"
            ),
            Refusal::Missing { file } => {
                write!(f, "the file {file} is missing; put it back, or restore an older checkpoint")
            }
            Refusal::Length { file, expected, found } => write!(
                f,
                "the file {file} has {found} bytes where {expected} were written; restore an older \
                 checkpoint"
            ),
            Refusal::Checksum { file, expected, found } => write!(
                f,
                "the file {file} is damaged: its checksum is {found:016x} where {expected:016x} was \
                 written; restore an older checkpoint"
            ),
            Refusal::Storage(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for Refused {}
