//! What can go wrong with a file.

use alloc::string::String;
use core::fmt;

use crate::Request;

/// What was to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Making a file.
    Create,
    /// Writing.
    Write,
    /// Reading.
    Read,
    /// Making writes durable.
    Sync,
    /// Removing a file.
    Delete,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "create",
            Self::Write => "write",
            Self::Read => "read",
            Self::Sync => "sync",
            Self::Delete => "delete",
        })
    }
}

/// Why an operation failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// The file system has no space left (`ENOSPC`), or the user's quota of it (`EDQUOT`).
    Full {
        /// The directory that is full.
        directory: String,
    },
    /// The file would be larger than the system allows (`EFBIG`): a limit of the process
    /// (`ulimit -f`) or of the file system.
    TooLarge,
    /// The file has fewer bytes than were to be read.
    EndOfFile {
        /// Bytes that there were.
        found: usize,
    },
    /// There is no such file: it was not created, or deleted.
    NoSuchFile,
    /// A file of this name is there already.
    Exists,
    /// The request itself makes no sense.
    Invalid {
        /// What is wrong with it.
        what: &'static str,
    },
    /// Whoever keeps the files for somebody else has said what is wrong, the place included.
    Told {
        /// What was said.
        text: String,
    },
    /// The system refused for another reason.
    System {
        /// The number of the error (`errno`), where there is one.
        errno: Option<i32>,
        /// What the system calls it.
        message: String,
    },
}

/// An operation that failed, where, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageError {
    /// What was to be done.
    pub operation: Operation,
    /// The file's path, or what stands for it.
    pub path: String,
    /// Where in the file, in bytes from the beginning.
    pub offset: u64,
    /// How many bytes.
    pub length: usize,
    /// Why it failed.
    pub cause: Cause,
}

impl StorageError {
    /// The failure of `request` on the file at `path`.
    pub fn of(request: &Request, path: impl Into<String>, cause: Cause) -> Self {
        let (offset, length) = request.place();
        Self { operation: request.operation(), path: path.into(), offset, length, cause }
    }
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operation, path, offset, length, cause } = self;
        if let Cause::Told { text } = cause {
            return f.write_str(text);
        }
        write!(f, "cannot {operation} ")?;
        if matches!(operation, Operation::Write | Operation::Read) {
            write!(f, "{length} bytes at offset {offset} of ")?;
        }
        write!(f, "{path}: ")?;
        match cause {
            Cause::Full { directory } => write!(
                f,
                "no space is left in {directory}; free space there, or set `io.tmp.dirs` to a \
                 directory that has more"
            ),
            Cause::TooLarge => f.write_str(
                "the file would be larger than the system allows; raise the limit of the process \
                 (`ulimit -f`), or set `io.tmp.dirs` to a file system for larger files",
            ),
            Cause::EndOfFile { found } => write!(
                f,
                "there are only {found} bytes; somebody has changed the file, or it was not written"
            ),
            Cause::NoSuchFile => f.write_str(
                "there is no such file; create it first, and use it no more once deleted",
            ),
            Cause::Exists => f.write_str("it is there already; delete it first"),
            Cause::Invalid { what } => f.write_str(what),
            Cause::Told { text } => f.write_str(text),
            Cause::System { errno: Some(errno), message } => {
                write!(f, "{message} (errno {errno})")
            }
            Cause::System { errno: None, message } => f.write_str(message),
        }
    }
}

impl core::error::Error for StorageError {}
