//! Directories: that of a job with its checkpoints, and that of one savepoint.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use millstream_checkpoint::{
    manifest::{is_file_name, is_shared},
    storage::{Cause, METADATA, Operation, Restored, StorageError},
};

use crate::{error::error, file::UNFINISHED};

const CHECKPOINT: &str = "chk-";
/// What is removed has this in front of its id.
const DISCARDED: &str = ".discarded-";
/// Where tasks work has this in front of its name.
const WORK: &str = ".work-";

/// The directory of files that checkpoints share, beside theirs.
const SHARED: &str = "shared";

/// The directory of a job.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    path: PathBuf,
}

impl Job {
    pub(crate) fn open(directory: &Path, job: &str) -> Result<Self, StorageError> {
        let fail = |path: &Path, io: &io::Error| error(Operation::Open, path, io);
        if !is_file_name(job) {
            let what = "a job needs a name of letters, digits, `-`, `_` and `.` that begins with a \
                        letter or digit; give it another";
            let path = directory.join(job).display().to_string();
            let cause = Cause::Invalid { what };
            return Err(StorageError { operation: Operation::Open, path, cause });
        }
        let is_directory = fs::metadata(directory).map_err(|io| fail(directory, &io))?.is_dir();
        if !is_directory {
            return Err(fail(directory, &io::ErrorKind::NotADirectory.into()));
        }
        let directory = directory.canonicalize().map_err(|io| fail(directory, &io))?;
        let path = directory.join(job);
        match fs::create_dir(&path) {
            Ok(()) => sync(&directory).map_err(|io| fail(&directory, &io))?,
            Err(io) if io.kind() == io::ErrorKind::AlreadyExists => {}
            Err(io) => return Err(fail(&directory, &io)),
        }
        if !path.is_dir() {
            return Err(fail(&path, &io::ErrorKind::NotADirectory.into()));
        }
        let job = Self { path };
        job.try_out().map_err(|io| fail(&job.path, &io))?;
        Ok(job)
    }

    /// Whether files can be made here, which no mode of a directory says for certain.
    fn try_out(&self) -> io::Result<()> {
        let path = self.path.join(format!(".probe-{}", std::process::id()));
        File::create(&path)?;
        fs::remove_file(&path)
    }

    pub(crate) fn checkpoint(&self, id: u64) -> PathBuf {
        self.path.join(format!("{CHECKPOINT}{id}"))
    }

    /// Checkpoints that are complete, or those that are not, ascending.
    pub(crate) fn list(&self, complete: bool) -> Result<Vec<u64>, StorageError> {
        let mut found = Vec::new();
        for name in self.names()? {
            let Some(id) = name.strip_prefix(CHECKPOINT).and_then(|id| id.parse().ok()) else {
                continue;
            };
            let path = self.checkpoint(id);
            // `chk-007` is not ours.
            let is_ours = path.file_name().is_some_and(|ours| *ours == *name) && path.is_dir();
            if is_ours && path.join(METADATA).is_file() == complete {
                found.push(id);
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Where files are that checkpoints share.
    pub(crate) fn shared(&self) -> PathBuf {
        self.path.join(SHARED)
    }

    /// The same, which is made if it is not there.
    pub(crate) fn make_shared(&self) -> Result<PathBuf, StorageError> {
        let path = self.shared();
        let made = match fs::create_dir(&path) {
            Ok(()) => sync(&self.path),
            Err(io) if io.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(io) => Err(io),
        };
        made.map_err(|io| error(Operation::Create, &path, &io))?;
        Ok(path)
    }

    /// Shared files that are finished, or those that are not, with their bytes.
    pub(crate) fn list_shared(
        &self,
        finished: bool,
    ) -> Result<BTreeMap<String, u64>, StorageError> {
        let path = self.shared();
        let fail = |io: io::Error| error(Operation::List, &path, &io);
        let entries = match fs::read_dir(&path) {
            Err(io) if io.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            entries => entries.map_err(fail)?,
        };
        let mut found = BTreeMap::new();
        for entry in entries {
            let entry = entry.map_err(fail)?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let is_wanted = match finished {
                true => is_shared(&name),
                false => name.starts_with(UNFINISHED),
            };
            if is_wanted {
                match entry.metadata() {
                    Ok(metadata) => drop(found.insert(name, metadata.len())),
                    // It was removed meanwhile.
                    Err(io) if io.kind() == io::ErrorKind::NotFound => {}
                    Err(io) => return Err(fail(io)),
                }
            }
        }
        Ok(found)
    }

    /// Removes files from those that are shared, and their directory if it is empty then.
    pub(crate) fn unshare<'a>(
        &self,
        names: impl IntoIterator<Item = &'a String>,
    ) -> Result<(), StorageError> {
        let directory = self.shared();
        for name in names {
            let path = directory.join(name);
            match fs::remove_file(&path) {
                Err(io) if io.kind() != io::ErrorKind::NotFound => {
                    return Err(error(Operation::Discard, &path, &io));
                }
                _ => {}
            }
        }
        // It stays as long as it has files.
        let _ = fs::remove_dir(&directory);
        Ok(())
    }

    /// Takes the name of a checkpoint away, then its files.
    pub(crate) fn discard(&self, id: u64) -> Result<(), StorageError> {
        discard(&self.checkpoint(id), &self.path.join(format!("{DISCARDED}{id}")))
    }

    /// Removes what was to be removed when its process ended.
    pub(crate) fn remove_discarded(&self) -> Result<(), StorageError> {
        self.remove_named(DISCARDED)
    }

    /// A directory for files that checkpoints will be linked to.
    pub(crate) fn work(&self, name: &str) -> PathBuf {
        self.path.join(format!("{WORK}{name}"))
    }

    /// Removes what processes that have ended worked with.
    pub(crate) fn remove_work(&self) -> Result<(), StorageError> {
        self.remove_named(WORK)
    }

    fn remove_named(&self, beginning: &str) -> Result<(), StorageError> {
        for name in self.names()? {
            if name.starts_with(beginning) {
                let path = self.path.join(name);
                remove(&path).map_err(|io| error(Operation::Discard, &path, &io))?;
            }
        }
        Ok(())
    }

    /// Names that are text; others are not ours.
    fn names(&self) -> Result<Vec<String>, StorageError> {
        let fail = |io: io::Error| error(Operation::List, &self.path, &io);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(fail)? {
            names.extend(entry.map_err(fail)?.file_name().into_string().ok());
        }
        Ok(names)
    }
}

/// The directory of one savepoint.
#[derive(Clone, Debug)]
pub(crate) struct Savepoint {
    path: PathBuf,
}

impl Savepoint {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.into() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What it lies in: if it is a checkpoint, the directory of its job, where the files are that it shares.
    pub(crate) fn beside(&self) -> Job {
        Job { path: self.path.parent().unwrap_or(&self.path).into() }
    }

    /// Its number, if it is complete and its manifest can be read.
    pub(crate) fn number(&self) -> Option<u64> {
        let metadata = fs::read(self.path.join(METADATA)).ok()?;
        Some(Restored::read_any(&metadata).ok()?.manifest.checkpoint)
    }

    /// Takes its name away, then its files.
    pub(crate) fn discard(&self) -> Result<(), StorageError> {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        discard(&self.path, &self.path.with_file_name(format!("{DISCARDED}{name}")))
    }
}

/// Takes the name of a directory away, then what is in it.
fn discard(directory: &Path, discarded: &Path) -> Result<(), StorageError> {
    let fail = |io: &io::Error| error(Operation::Discard, directory, io);
    remove(discarded).map_err(|io| fail(&io))?;
    match fs::rename(directory, discarded) {
        Ok(()) => {}
        Err(io) if io.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(io) => return Err(fail(&io)),
    }
    if let Some(parent) = directory.parent() {
        sync(parent).map_err(|io| fail(&io))?;
    }
    remove(discarded).map_err(|io| fail(&io))
}

/// Makes the names in a directory durable.
pub(crate) fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Removes a directory with all that is in it, if it is there.
fn remove(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
