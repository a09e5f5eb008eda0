//! The directory, its files, and what is wrong with them.

#[cfg(unix)]
mod signal;

use std::{
    fs::{File, OpenOptions},
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use millstream_storage::{Cause, FileId, Request, StorageError};

use crate::OpenError;

/// Where files are, as much as files without names are anywhere.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    /// Whether the file system makes files that never had a name.
    unnamed: bool,
}

impl Directory {
    /// Tries whether files can be made there.
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        #[cfg(unix)]
        signal::ignore_file_size_limit();
        let path = path.canonicalize().unwrap_or_else(|_| path.into());
        let unnamed = open_unnamed(&path).is_ok();
        let directory = Self { path, unnamed };
        match directory.create() {
            Ok(_) => Ok(directory),
            Err(cause) => Err(OpenError::Directory { directory: directory.path, cause }),
        }
    }

    /// An empty file without a name, which is gone when it is closed.
    pub(crate) fn create(&self) -> io::Result<File> {
        if self.unnamed {
            return open_unnamed(&self.path);
        }
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = self.path.join(format!("millstream-{}-{number}.spill", std::process::id()));
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        std::fs::remove_file(&path)?;
        Ok(file)
    }

    /// The directory, if files there need no name even for a moment.
    #[cfg(target_os = "linux")]
    pub(crate) fn for_unnamed(&self) -> Option<&Path> {
        self.unnamed.then_some(&self.path)
    }

    /// The failure of a request, with its place.
    pub(crate) fn error(&self, request: &Request, cause: Cause) -> StorageError {
        StorageError::of(request, self.describe(request.file()), cause)
    }

    /// What the system has refused.
    pub(crate) fn cause(&self, error: &io::Error) -> Cause {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Cause::Full { directory: self.path.display().to_string() }
            }
            io::ErrorKind::FileTooLarge => Cause::TooLarge,
            _ => Cause::System { errno: error.raw_os_error(), message: text(error) },
        }
    }

    fn describe(&self, file: FileId) -> String {
        format!("spill file {} in {}", file.0, self.path.display())
    }
}

/// What the system says, without the number that follows it.
fn text(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

#[cfg(target_os = "linux")]
fn open_unnamed(directory: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600).custom_flags(libc::O_TMPFILE).open(directory)
}

#[cfg(not(target_os = "linux"))]
fn open_unnamed(_directory: &Path) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Whether a request can be carried out at all, whatever the file.
pub(crate) fn check(request: &Request) -> Result<(), Cause> {
    let (offset, length) = request.place();
    let end = offset.checked_add(length as u64);
    if end.is_none_or(|end| end > i64::MAX as u64) {
        return Err(Cause::Invalid { what: "it ends beyond what can be addressed" });
    }
    match request {
        Request::Read { into, length, .. } if *length > into.len() => {
            Err(Cause::Invalid { what: "the segment is shorter than the read" })
        }
        _ => Ok(()),
    }
}
