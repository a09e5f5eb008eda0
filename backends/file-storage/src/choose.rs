//! Which backend the system allows.

use std::{fmt, io, path::PathBuf};

/// How files are read and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// io_uring.
    Uring,
    /// Threads that block.
    Threads,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uring => "uring",
            Self::Threads => "threads",
        })
    }
}

/// Which backend is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preference {
    /// io_uring where the system allows it, else threads.
    #[default]
    Auto,
    /// This one or none.
    Only(Backend),
}

/// The backend that is used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The backend.
    pub backend: Backend,
    /// Why, for the log.
    pub reason: String,
}

/// Why a storage cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The system does not offer io_uring.
    #[error(
        "the storage backend uring is not available: {reason}; use `threads`, or `auto`, which falls back to it"
    )]
    NoUring {
        /// Why.
        reason: String,
    },
    /// Files cannot be made in the directory.
    #[error("cannot make files in {}: {cause}; set `io.tmp.dirs` to a directory that is there and may be written to", directory.display())]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The system gives no thread.
    #[error(
        "the system gives no thread for files: {0}; raise the limit of the process (`ulimit -u`)"
    )]
    Thread(io::Error),
}

/// Finds the backend to use.
///
/// # Errors
///
/// [`OpenError::NoUring`] if io_uring is wanted and not available.
pub fn choose(preference: Preference) -> Result<Chosen, OpenError> {
    let chosen = |backend, reason: &str| Chosen { backend, reason: reason.into() };
    match preference {
        Preference::Only(Backend::Threads) => Ok(chosen(Backend::Threads, "as asked for")),
        Preference::Only(Backend::Uring) => match probe() {
            Ok(()) => Ok(chosen(Backend::Uring, "as asked for")),
            Err(reason) => Err(OpenError::NoUring { reason }),
        },
        Preference::Auto => Ok(match probe() {
            Ok(()) => chosen(Backend::Uring, "the system offers io_uring"),
            Err(reason) => chosen(Backend::Threads, &format!("no io_uring: {reason}")),
        }),
    }
}

#[cfg(target_os = "linux")]
fn probe() -> Result<(), String> {
    crate::uring::probe()
}

#[cfg(not(target_os = "linux"))]
fn probe() -> Result<(), String> {
    Err("io_uring is a part of Linux".into())
}
