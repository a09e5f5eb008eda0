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
    /// Whether files have names, and where those are that were there before.
    named: Option<Named>,
}

/// Files with names, which others may link.
#[derive(Debug)]
struct Named {
    /// Where a file is that was not made here.
    older: Option<PathBuf>,
}

/// The name of a file in a storage whose files have [names](crate::FileStorage::open_named).
pub fn file_name(file: FileId) -> String {
    format!("run-{:016x}", file.0)
}

impl Directory {
    /// Tries whether files can be made there.
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        #[cfg(unix)]
        signal::ignore_file_size_limit();
        let path = path.canonicalize().unwrap_or_else(|_| path.into());
        let unnamed = open_unnamed(&path).is_ok();
        let directory = Self { path, unnamed, named: None };
        match directory.create_unnamed() {
            Ok(_) => Ok(directory),
            Err(cause) => Err(OpenError::Directory { directory: directory.path, cause }),
        }
    }

    /// Makes the directory, for files with names. Those of `older` are seen, too.
    pub(crate) fn open_named(path: &Path, older: Option<&Path>) -> Result<Self, OpenError> {
        #[cfg(unix)]
        signal::ignore_file_size_limit();
        let named = Some(Named { older: older.map(Path::to_owned) });
        match std::fs::create_dir_all(path) {
            Ok(()) => Ok(Self { path: path.into(), unnamed: false, named }),
            Err(cause) => Err(OpenError::Directory { directory: path.into(), cause }),
        }
    }

    /// Whether files have names.
    pub(crate) fn is_named(&self) -> bool {
        self.named.is_some()
    }

    /// An empty file.
    pub(crate) fn create(&self, file: FileId) -> io::Result<File> {
        match self.named {
            Some(_) => {
                let path = self.path.join(file_name(file));
                OpenOptions::new().read(true).write(true).create_new(true).open(path)
            }
            None => self.create_unnamed(),
        }
    }

    /// A file that was there before, and is linked to here so that it stays. It is copied where files cannot
    /// be linked.
    pub(crate) fn existing(&self, file: FileId) -> Result<File, Cause> {
        let Some(Named { older }) = &self.named else { return Err(Cause::NoSuchFile) };
        let path = self.path.join(file_name(file));
        if let Some(older) = older {
            let from = older.join(file_name(file));
            let linked = std::fs::hard_link(&from, &path);
            if linked.is_err_and(|error| error.kind() != io::ErrorKind::AlreadyExists) {
                std::fs::copy(&from, &path).map_err(|error| self.missing(&error))?;
            }
        }
        File::open(path).map_err(|error| self.missing(&error))
    }

    /// Takes the name of a file away, if it has one.
    pub(crate) fn remove(&self, file: FileId) {
        if self.named.is_some() {
            // One that stays is removed with the directory.
            let _ = std::fs::remove_file(self.path.join(file_name(file)));
        }
    }

    fn missing(&self, error: &io::Error) -> Cause {
        match error.kind() {
            io::ErrorKind::NotFound => Cause::NoSuchFile,
            _ => self.cause(error),
        }
    }

    /// An empty file without a name, which is gone when it is closed.
    fn create_unnamed(&self) -> io::Result<File> {
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
        match self.named {
            Some(_) => format!("{}", self.path.join(file_name(file)).display()),
            None => format!("spill file {} in {}", file.0, self.path.display()),
        }
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
