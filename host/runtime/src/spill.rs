//! Where operators spill to when their memory is used up.

use std::{
    fmt,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    task::Waker,
};

use millstream_dataflow::{TaskError, sort::Spill};
use millstream_file_storage::{FileStorage, Options, Preference, Wakeup, choose};
use millstream_storage::{BlockingStorage, Completion, Refused, Request, Storage, Submit};

pub use millstream_file_storage::file_name;

use crate::RunError;

/// Opens files for tasks: the storage slot of a runtime. [`LocalFiles`] unless another is chosen.
pub trait SpillStorage: fmt::Debug + Send + Sync {
    /// The files of one task; those of different tasks do not know of each other.
    ///
    /// # Errors
    /// If there can be none.
    fn open(&self, task: &str) -> Result<TaskFiles, RunError>;

    /// As [`open`](Self::open), but files have the names that [`file_name`] gives them, in `directory`, so
    /// that checkpoints can link to them. Those of `older` are seen, too. `None` if this storage has no
    /// files with names: then checkpoints have all state in themselves.
    ///
    /// # Errors
    /// If there can be none.
    fn open_named(
        &self,
        task: &str,
        directory: &Path,
        older: Option<&Path>,
    ) -> Result<Option<TaskFiles>, RunError> {
        let _ = (task, directory, older);
        Ok(None)
    }
}

/// The files of one task.
pub struct TaskFiles {
    /// Where its requests go.
    pub storage: Box<dyn Spill>,
    /// What becomes readable when one completes; `None` for a storage that wakes the task itself.
    pub file: Option<OwnedFd>,
}

impl fmt::Debug for TaskFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskFiles").field("file", &self.file).finish_non_exhaustive()
    }
}

/// Local files without names, through io_uring or threads.
#[derive(Debug)]
pub struct LocalFiles {
    directories: Vec<PathBuf>,
    backend: Preference,
    opened: AtomicUsize,
}

impl LocalFiles {
    /// Files in these directories, in turn; in the system's directory for temporary files if none is
    /// named.
    pub fn new(directories: Vec<PathBuf>, backend: Preference) -> Self {
        let mut directories = directories;
        if directories.is_empty() {
            directories.push(std::env::temp_dir());
        }
        Self { directories, backend, opened: AtomicUsize::new(0) }
    }
}

impl Default for LocalFiles {
    fn default() -> Self {
        Self::new(Vec::new(), Preference::Auto)
    }
}

impl SpillStorage for LocalFiles {
    fn open(&self, task: &str) -> Result<TaskFiles, RunError> {
        let turn = self.opened.fetch_add(1, Ordering::Relaxed);
        let directory = &self.directories[turn % self.directories.len()];
        let backend = choose(self.backend)?.backend;
        task_files(FileStorage::open(directory, backend, Options::default())?, task)
    }

    fn open_named(
        &self,
        task: &str,
        directory: &Path,
        older: Option<&Path>,
    ) -> Result<Option<TaskFiles>, RunError> {
        let backend = choose(self.backend)?.backend;
        let files = FileStorage::open_named(directory, older, backend, Options::default())?;
        task_files(files, task).map(Some)
    }
}

fn task_files(files: FileStorage, task: &str) -> Result<TaskFiles, RunError> {
    let file = match files.notify(Waker::noop()) {
        Wakeup::Waker => None,
        Wakeup::Readable(file) => {
            let file = file.as_fd().try_clone_to_owned();
            Some(file.map_err(|e| RunError::Task(TaskError::new(e.to_string()).at(task)))?)
        }
    };
    Ok(TaskFiles { storage: Box::new(Files(files)), file })
}

/// [`FileStorage`] for a task.
struct Files(FileStorage);

impl Submit for Files {
    fn submit(&mut self, token: u64, request: Request) -> Result<(), Refused> {
        self.0.submit(token, request)
    }
}

impl Storage for Files {
    fn poll(&mut self) -> Option<Completion> {
        self.0.poll()
    }

    fn in_flight(&self) -> usize {
        self.0.in_flight()
    }
}

impl BlockingStorage for Files {
    fn wait(&mut self) -> Option<Completion> {
        self.0.wait()
    }
}

impl Spill for Files {
    fn notify(&mut self, waker: &Waker) {
        // A file that becomes readable is watched by the worker instead.
        let _ = self.0.notify(waker);
    }
}
