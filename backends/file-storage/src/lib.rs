//! Local files for Millstream's core: what sorting and state write when memory is used up.
//!
//! A [`FileStorage`] keeps files in a directory and implements
//! [`Storage`]. It does so in one of two ways, which pass the same
//! contract suite: [`Backend::Uring`] submits to io_uring, [`Backend::Threads`] hands requests to a
//! few threads that block. [`choose`] finds out what the system allows.
//!
//! ```
//! use millstream_file_storage::{FileStorage, Options, Preference, choose};
//! use millstream_storage::{BlockingStorage, FileId, Request, Submit};
//!
//! let chosen = choose(Preference::Auto)?;
//! println!("spilling with {}: {}", chosen.backend, chosen.reason);
//! let directory = std::env::temp_dir();
//! let mut storage = FileStorage::open(&directory, chosen.backend, Options::default())?;
//! storage.submit(1, Request::Create { file: FileId(0) }).expect("there is room");
//! storage.wait().expect("a request is in flight").result?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Nothing is left behind
//!
//! Files have no name in the directory (`O_TMPFILE`, or they are unlinked as soon as they are open).
//! So their space is free again when the storage is dropped, and also when the process is killed, and
//! there is nothing to clean up.
//!
//! Files that others link to, such as checkpoints, have names ([`FileStorage::open_named`]). They stay until
//! they are deleted, or whoever has chosen the directory removes it.
//!
//! # A disk that is full
//!
//! is an error that names file, directory and remedy. A file that would be larger than `ulimit -f`
//! allows is one, too: opening a storage makes the process ignore `SIGXFSZ`, which would end it,
//! unless somebody else handles that signal.
#![deny(unsafe_code)]

mod choose;
mod files;
mod threads;
#[cfg(target_os = "linux")]
mod uring;

use std::{path::Path, task::Waker};

use millstream_storage::{BlockingStorage, Completion, Refused, Request, Storage, Submit};

pub use choose::{Backend, Chosen, OpenError, Preference, choose};

pub use files::file_name;

use files::Directory;
use threads::Threads;

/// How a storage works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Requests that are taken at once, at least 1.
    pub in_flight_max: usize,
    /// Threads that block, with [`Backend::Threads`]; at least 1.
    pub threads: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { in_flight_max: 64, threads: 2 }
    }
}

/// Files in a directory, as submissions and completions; see the [crate].
///
/// One thread uses it at a time. Dropping it waits for the system to be done with the memory that
/// was lent to it.
#[derive(Debug)]
pub struct FileStorage(Inner);

#[derive(Debug)]
enum Inner {
    Threads(Threads),
    #[cfg(target_os = "linux")]
    Uring(Box<uring::Uring>),
}

/// How to hear of completions without asking.
#[derive(Debug)]
pub enum Wakeup<'a> {
    /// The waker that was given is called.
    Waker,
    /// This file becomes readable; the waker is not called.
    #[cfg(unix)]
    Readable(std::os::fd::BorrowedFd<'a>),
}

impl FileStorage {
    /// A storage without files in `directory`, which exists.
    ///
    /// # Errors
    ///
    /// [`OpenError`] if files cannot be made there, or the backend is not available.
    pub fn open(directory: &Path, backend: Backend, options: Options) -> Result<Self, OpenError> {
        Self::new(Directory::open(directory)?, backend, options)
    }

    /// A storage in `directory`, which is made if need be, whose files have [names](file_name) there. A file
    /// that it did not make is looked for there and in `older`, and is linked from that, or copied where it
    /// cannot be, when it is first used; it is only read.
    ///
    /// Whoever links a file makes it durable, since most are gone before anybody does: here
    /// [`Request::Sync`] does nothing.
    ///
    /// # Errors
    ///
    /// [`OpenError`] if the directory cannot be made, or the backend is not available.
    pub fn open_named(
        directory: &Path,
        older: Option<&Path>,
        backend: Backend,
        options: Options,
    ) -> Result<Self, OpenError> {
        Self::new(Directory::open_named(directory, older)?, backend, options)
    }

    fn new(directory: Directory, backend: Backend, options: Options) -> Result<Self, OpenError> {
        Ok(Self(match backend {
            Backend::Threads => Inner::Threads(Threads::new(directory, options)?),
            #[cfg(target_os = "linux")]
            Backend::Uring => Inner::Uring(Box::new(uring::Uring::new(directory, options)?)),
            #[cfg(not(target_os = "linux"))]
            Backend::Uring => {
                let reason = "io_uring is a part of Linux".into();
                return Err(OpenError::NoUring { reason });
            }
        }))
    }

    /// Asks to be told of the next completion. Look for completions after this call, and before
    /// waiting.
    pub fn notify(&self, waker: &Waker) -> Wakeup<'_> {
        match &self.0 {
            Inner::Threads(threads) => {
                threads.register(waker);
                Wakeup::Waker
            }
            #[cfg(target_os = "linux")]
            Inner::Uring(uring) => Wakeup::Readable(uring.bell()),
        }
    }
}

impl Submit for FileStorage {
    fn submit(&mut self, token: u64, request: Request) -> Result<(), Refused> {
        match &mut self.0 {
            Inner::Threads(threads) => threads.submit(token, request),
            #[cfg(target_os = "linux")]
            Inner::Uring(uring) => uring.submit(token, request),
        }
    }
}

impl Storage for FileStorage {
    fn poll(&mut self) -> Option<Completion> {
        match &mut self.0 {
            Inner::Threads(threads) => threads.poll(),
            #[cfg(target_os = "linux")]
            Inner::Uring(uring) => uring.poll(),
        }
    }

    fn in_flight(&self) -> usize {
        match &self.0 {
            Inner::Threads(threads) => threads.in_flight(),
            #[cfg(target_os = "linux")]
            Inner::Uring(uring) => uring.in_flight(),
        }
    }
}

impl BlockingStorage for FileStorage {
    fn wait(&mut self) -> Option<Completion> {
        match &mut self.0 {
            Inner::Threads(threads) => threads.wait(),
            #[cfg(target_os = "linux")]
            Inner::Uring(uring) => uring.wait(),
        }
    }
}
