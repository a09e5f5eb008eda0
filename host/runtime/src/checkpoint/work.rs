//! Where state in files is while a job runs, so that checkpoints can refer to it.
//!
//! Each task has a directory of its own, in one of its process and attempt. Beside local checkpoints these
//! are in the directory of the job, on the file system of the checkpoints, so that each checkpoint
//! gets names of its own for the files that it consists of: it is whole by itself, and a file is gone when
//! the last checkpoint that has it is. For checkpoints in an object store they are in a
//! [local directory](super::local), and files are [written](super::shared) there once, each under a name that
//! all checkpoints use which have it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    ops::Range,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use millstream_checkpoint::{Manifest, TaskId, manifest::SHARED, storage::StorageError};
use millstream_dataflow::{TaskError, task::Order};
use millstream_file_storage::file_name;
use millstream_state::files::{StateFile, StateFiles};
use millstream_storage::FileId;
use serde::{Deserialize, Serialize};

use super::{
    CheckpointOptions, Restore,
    local::Local,
    shared::{Downloads, To, Uploads},
    store::Storage,
};

/// Where fetched files are, in the directory of a process.
const FETCHED: &str = "fetched";
/// Bits of a file's number for the files of one task, and for tasks; those above count attempts.
const FILE_BITS: u32 = 32;
const TASK_BITS: u32 = 16;

/// Working directories of one process, which are gone with it.
#[derive(Debug)]
pub(crate) struct Work {
    root: PathBuf,
    /// The directory, if checkpoints are not on the same file system, and what was written to where they are.
    uploads: Option<(Local, Uploads)>,
    /// Files that have to be fetched, because the checkpoint that the job begins from is somewhere else.
    downloads: Option<Downloads>,
    /// Attempts whose files may be part of what this one begins from.
    attempts: u64,
    /// The directory of the checkpoint that the job begins from, if it has state in files.
    older: Option<PathBuf>,
    /// Files of each task that its last checkpoint has made durable.
    durable: Mutex<BTreeMap<TaskId, BTreeSet<u64>>>,
}

/// Where the state of one task is.
#[derive(Clone, Debug)]
pub(crate) struct TaskWork {
    pub(crate) directory: PathBuf,
    /// Where files are that were there before.
    pub(crate) older: Option<PathBuf>,
    /// The number of the first file, if checkpoints are to refer to files.
    pub(crate) first: Option<FileId>,
}

impl Work {
    /// For the job `job`, which keeps its checkpoints in `store`.
    ///
    /// # Errors
    /// If there can be no local directory.
    pub(crate) fn new(
        options: &CheckpointOptions,
        store: &Storage,
        job: &str,
        restore: Option<&Restore>,
    ) -> Result<Arc<Self>, TaskError> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let (own, number) = (std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let (root, uploads) = match store.work(&format!("{own}-{number}")) {
            Some(root) => (root, None),
            None => {
                let place = options.directory.to_string_lossy();
                let (directory, keeps) = (&options.local_directory, options.local_recovery);
                let local = Local::open(directory, job, &place, keeps)?;
                (local.path().to_owned(), Some((local, Uploads::new(restore))))
            }
        };
        let attempts = restore.map_or(0, |restore| attempts(restore.manifest()));
        let filed = restore.filter(|restore| restore.has_files());
        let downloads = filed.filter(|restore| restore.shares_files());
        let downloads = downloads.map(|_| Downloads::new(root.join(FETCHED), uploads.is_none()));
        let older = match &downloads {
            Some(downloads) => Some(downloads.directory().to_owned()),
            None => filed.map(Restore::directory),
        };
        let durable = Mutex::default();
        Ok(Arc::new(Self { root, uploads, downloads, attempts, older, durable }))
    }

    /// Fetches the files that a subtask needs of what an operator has in the checkpoint that the job
    /// begins from: those with any of its `groups`.
    ///
    /// # Errors
    /// If one is missing or damaged, or there is no room for it.
    pub(crate) fn fetch(
        &self,
        restore: &Restore,
        operator: &str,
        groups: Range<u32>,
    ) -> Result<(), TaskError> {
        let Some(downloads) = &self.downloads else { return Ok(()) };
        let local = self.uploads.as_ref().map(|(local, _)| local);
        downloads.fetch(restore, local, restore.files(operator, groups)?)
    }

    /// All tasks of this process have what they need of the checkpoint that the job begins from.
    pub(crate) fn restored(&self) {
        self.downloads.iter().for_each(Downloads::release);
    }

    /// The coordinator has said something to all tasks.
    pub(super) fn hear(&self, order: &Order) {
        let Some((local, _)) = &self.uploads else { return };
        match order {
            Order::Complete(permit) => local.completed(permit.checkpoint()),
            Order::End => local.end(),
            _ => {}
        }
    }

    /// Where the state of a task is.
    pub(crate) fn task(&self, task: TaskId) -> TaskWork {
        let directory = self.directory(task);
        let number = u64::from(task.0);
        let fits = number >> TASK_BITS == 0 && self.attempts >> (64 - FILE_BITS - TASK_BITS) == 0;
        let first = self.attempts << (FILE_BITS + TASK_BITS) | number << FILE_BITS;
        let first = fits.then_some(FileId(first));
        TaskWork { directory, older: self.older.clone(), first }
    }

    /// Gives a checkpoint names for the files that a task's message is about, if it is. Those that no
    /// checkpoint had before are made durable first, or written to where checkpoints are, which ends early if
    /// the run `is_over`.
    pub(super) fn name(
        &self,
        store: &Storage,
        task: TaskId,
        checkpoint: u64,
        message: &[u8],
        is_over: &AtomicBool,
    ) -> Result<Named, String> {
        let found = StateFiles::find(message).map_err(|error| error.to_string())?;
        let Some(StateFiles { files, .. }) = found else { return Ok(Named::default()) };
        if let Some((local, uploads)) = &self.uploads {
            let directory = self.directory(task);
            let to = To { store, local, checkpoint, is_over };
            return uploads.name(&to, task, files, &directory);
        }
        let mut durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        let before = durable.remove(&task).unwrap_or_default();
        let (mut named, mut now) = (Vec::new(), BTreeSet::new());
        for StateFile { number, length, checksum } in files {
            let name = file_name(FileId(number));
            let from = self.directory(task).join(&name);
            let is_own = number >> (FILE_BITS + TASK_BITS) >= self.attempts;
            let is_new = is_own && !before.contains(&number);
            let linked = store.link(checkpoint, &name, &from, is_new);
            linked.map_err(|error: StorageError| error.to_string())?;
            now.insert(number);
            named.push(NamedFile { name, length, checksum, is_new });
        }
        durable.insert(task, now);
        Ok(Named { files: named, gone: Vec::new() })
    }

    /// A task has failed, and another one takes its place elsewhere: its files are gone, but for those that
    /// checkpoints have names for.
    pub(crate) fn forget(&self, task: TaskId) {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner).remove(&task);
        // What stays is removed with the directory of the process.
        let _ = fs::remove_dir_all(self.directory(task));
    }

    fn directory(&self, task: TaskId) -> PathBuf {
        self.root.join(format!("task-{}", task.0))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // A local directory knows itself what stays.
        if self.uploads.is_none() {
            // What stays is removed when the job begins again.
            let _ = fs::remove_dir_all(&self.root);
        }
    }
}

/// The files that the state of a task consists of at a checkpoint.
#[derive(Debug, Default)]
pub(super) struct Named {
    pub(super) files: Vec<NamedFile>,
    /// Shared files that were written for the task, and that it will not name again.
    pub(super) gone: Vec<String>,
}

/// A file of state that a checkpoint has by name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct NamedFile {
    pub(super) name: String,
    pub(super) length: u64,
    pub(super) checksum: u64,
    /// Whether the checkpoint before did not have it.
    pub(super) is_new: bool,
}

/// The number of a file of state by its name, which may be a shared one; `None` if it is another one.
pub(super) fn number(name: &str) -> Option<FileId> {
    let name = match name.strip_prefix(SHARED) {
        Some(shared) => shared.split_once('-')?.1,
        None => name,
    };
    let number = u64::from_str_radix(name.strip_prefix("run-")?, 16).ok().map(FileId)?;
    (file_name(number) == name).then_some(number)
}

/// Whether a checkpoint has state in files that it refers to.
pub(super) fn has_files(manifest: &Manifest) -> bool {
    manifest.files.iter().any(|file| number(&file.name).is_some())
}

/// One more than the last attempt that has made a file which a checkpoint has.
fn attempts(manifest: &Manifest) -> u64 {
    let numbers = manifest.files.iter().filter_map(|file| number(&file.name));
    numbers.map(|file| (file.0 >> (FILE_BITS + TASK_BITS)) + 1).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use millstream_checkpoint::{
        CheckpointStorage,
        manifest::{File, Purpose},
    };
    use millstream_dataflow::StreamGraph;

    use super::*;

    fn manifest(files: Vec<File>) -> Manifest {
        Manifest {
            checkpoint: 1,
            timestamp_ms: 0,
            purpose: Purpose::Checkpoint,
            job: "job".into(),
            graph_hash: StreamGraph::default().fingerprint(),
            files,
            operators: Vec::new(),
        }
    }

    #[test]
    fn checkpoints_have_names_of_their_own_and_attempts_numbers_of_their_own() {
        let directory =
            std::env::temp_dir().join(format!("millstream-work-{}", std::process::id()));
        let store = Arc::new(Storage::open(&directory, "job").unwrap());
        let options = CheckpointOptions::new(&directory);
        let new = |restore: Option<&Restore>| Work::new(&options, &store, "job", restore).unwrap();
        let (work, go_on) = (new(None), AtomicBool::new(false));
        let TaskWork { directory: own, first, older } = work.task(TaskId(3));
        assert_eq!((first, older), (Some(FileId(3 << FILE_BITS)), None));
        fs::create_dir_all(&own).unwrap();
        fs::write(own.join(file_name(FileId(3 << FILE_BITS))), b"run").unwrap();
        let file = StateFile { number: 3 << FILE_BITS, length: 3, checksum: 1 };
        let mut message = Vec::new();
        StateFiles { manifest: b"m".to_vec(), files: vec![file] }.write(0, &mut message);
        store.begin(1).unwrap();
        let named = work.name(&store, TaskId(3), 1, &message, &go_on).unwrap().files;
        assert_eq!((named.len(), &*named[0].name), (1, "run-0000000300000000"));
        assert!(named[0].is_new);
        store.begin(2).unwrap();
        let again = work.name(&store, TaskId(3), 2, &message, &go_on).unwrap().files;
        assert!(!again[0].is_new, "nothing is written for it again");
        assert!(store.directory(2).join(&again[0].name).exists());
        let missing = StateFile { number: 9, ..file };
        let mut bad = Vec::new();
        StateFiles { manifest: b"m".to_vec(), files: vec![missing] }.write(0, &mut bad);
        let refused = work.name(&store, TaskId(3), 1, &bad, &go_on).unwrap_err();
        assert!(refused.contains("run-0000000000000009"), "{refused}");
        work.forget(TaskId(3));
        assert!(!own.exists(), "one that failed leaves nothing behind");
        drop(work);
        let kept = store.directory(1).join(&named[0].name);
        assert_eq!(fs::read(&kept).unwrap(), b"run", "it is whole by itself");
        let found = File { name: named[0].name.clone(), length: 3, checksum: 1 };
        let restore =
            Restore::new(Arc::clone(&store), manifest(vec![found]), &StreamGraph::default());
        let work = new(restore.ok().as_ref());
        let TaskWork { first, older, .. } = work.task(TaskId(3));
        assert_eq!(first, Some(FileId(1 << 48 | 3 << FILE_BITS)));
        assert_eq!(older, Some(store.directory(1)));
        assert_eq!(work.task(TaskId(1 << TASK_BITS)).first, None, "there is no number for it");
        // What a process that was killed has left behind is removed when the job begins again.
        let left = store.work("left").unwrap();
        fs::create_dir_all(&left).unwrap();
        store.clean().unwrap();
        assert!(!left.exists());
        fs::remove_dir_all(directory).unwrap();
    }
}
