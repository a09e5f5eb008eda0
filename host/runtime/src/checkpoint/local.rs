//! The directory in which a process works with files of state, beside checkpoints in an object store.
//!
//! ```text
//! <directory>/millstream-flights-1f0e.../4711-0.lock       held as long as the process works there
//! <directory>/millstream-flights-1f0e.../4711-0/task-3/    state of a task
//! <directory>/millstream-flights-1f0e.../4711-0/fetched/   what was fetched, until tasks have it
//! <directory>/millstream-flights-1f0e.../4711-0/copies/    files of the last checkpoint, by their shared names
//! ```
//!
//! All processes of a job on a machine have theirs in the same place, so that what one has kept is found by
//! whoever comes after it. Whether a process still works in a directory says its lock, which the
//! system releases when it dies.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use millstream_data::hash;
use millstream_dataflow::TaskError;

const COPIES: &str = "copies";
const LOCK: &str = "lock";

/// The directory of one process in one attempt.
#[derive(Debug)]
pub(super) struct Local {
    /// That of the job on this machine.
    job: PathBuf,
    own: PathBuf,
    /// Held until this is dropped.
    lock: File,
    /// Whether copies stay for whoever comes after.
    keeps: bool,
    /// What processes have left that were dead when this one came: of use until a checkpoint is complete.
    dead: Vec<PathBuf>,
    /// The job is at its end, and nobody comes after.
    is_over: AtomicBool,
    /// By checkpoint, the shared names of files that tasks of this process have in it.
    named: Mutex<BTreeMap<u64, BTreeSet<String>>>,
}

impl Local {
    /// Makes a directory for a job, which keeps its checkpoints in `store`. What processes that died have
    /// left there is removed, but for their copies if these are wanted.
    pub(super) fn open(
        directory: &Path,
        job: &str,
        store: &str,
        keeps: bool,
    ) -> Result<Self, TaskError> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let own = format!("{}-{number}", std::process::id());
        let place = hash::bytes(hash::SEED, store.as_bytes());
        let job = directory.join(format!("millstream-{job}-{place:016x}"));
        let failed = |error: io::Error| {
            TaskError::new(format!(
                "cannot make files in {}: {error}; set `state.local-directory` to a directory that may be \
                 written to",
                job.display()
            ))
        };
        let lock = Self::lock(&job, &own).map_err(failed)?;
        let own = job.join(own);
        // One that died may have had the same number.
        let _ = fs::remove_dir_all(&own);
        fs::create_dir_all(own.join(COPIES)).map_err(failed)?;
        let (is_over, named) = (AtomicBool::new(false), Mutex::default());
        let mut local = Self { job, own, lock, keeps, dead: Vec::new(), is_over, named };
        local.dead = local.directories();
        local.dead.retain(|path| *path != local.own && is_dead(path));
        local.dead.iter().for_each(|path| remove(path, keeps));
        Ok(local)
    }

    /// The lock of a directory, held before that is there.
    fn lock(job: &Path, own: &str) -> io::Result<File> {
        let path = job.join(own).with_extension(LOCK);
        for _ in 0..3 {
            fs::create_dir_all(job)?;
            let opened = OpenOptions::new().create(true).truncate(true).write(true).open(&path);
            match opened {
                // Somebody found it empty, and removed it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                opened => {
                    let lock = opened?;
                    lock.lock()?;
                    return Ok(lock);
                }
            }
        }
        Err(io::Error::new(io::ErrorKind::NotFound, "somebody removes it all the time"))
    }

    /// Where this process works.
    pub(super) fn path(&self) -> &Path {
        &self.own
    }

    /// Whether files of the last checkpoint are kept here.
    pub(super) fn keeps(&self) -> bool {
        self.keeps
    }

    /// Tasks are about to have these files in a checkpoint.
    pub(super) fn name(&self, checkpoint: u64, names: impl IntoIterator<Item = String>) {
        self.named().entry(checkpoint).or_default().extend(names);
    }

    /// The copy of a file, which is made of this one if it is not there.
    pub(super) fn copy(&self, name: &str, from: &Path) -> io::Result<PathBuf> {
        let copy = self.own.join(COPIES).join(name);
        match fs::hard_link(from, &copy) {
            Ok(()) => Ok(copy),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(copy),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(error),
            Err(_) => fs::copy(from, &copy).map(|_| copy),
        }
    }

    /// All copies of a file, whoever has kept them.
    pub(super) fn copies(&self, name: &str) -> Vec<PathBuf> {
        let all = self.directories().into_iter();
        all.map(|path| path.join(COPIES).join(name)).filter(|path| path.is_file()).collect()
    }

    /// A checkpoint is complete: what only those before it have is not kept any more.
    pub(super) fn completed(&self, checkpoint: u64) {
        let mut named = self.named();
        named.retain(|number, _| *number >= checkpoint);
        let entries = fs::read_dir(self.own.join(COPIES)).into_iter().flatten().flatten();
        for entry in entries {
            let name = entry.file_name();
            let is_kept = name
                .to_str()
                .is_some_and(|name| self.keeps && named.values().any(|names| names.contains(name)));
            if !is_kept {
                // One that stays is removed with the directory.
                let _ = fs::remove_file(entry.path());
            }
        }
        drop(named);
        self.dead.iter().for_each(|path| remove(path, false));
    }

    /// The job is at its end.
    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Release);
    }

    /// The directories of all processes of the job on this machine.
    fn directories(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.job).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
    }

    fn named(&self) -> MutexGuard<'_, BTreeMap<u64, BTreeSet<String>>> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether nobody works in a directory any more.
fn is_dead(directory: &Path) -> bool {
    let lock = OpenOptions::new().write(true).open(directory.with_extension(LOCK));
    !lock.is_ok_and(|lock| lock.try_lock().is_err())
}

/// Removes a directory of somebody who is dead, but for the copies if these stay. What cannot be removed now
/// is tried again by the next who comes.
fn remove(directory: &Path, copies_stay: bool) {
    if copies_stay {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.file_name() != *COPIES) {
            let _ = fs::remove_dir_all(entry.path());
        }
    } else {
        let _ = fs::remove_dir_all(directory);
        let _ = fs::remove_file(directory.with_extension(LOCK));
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        let is_over = self.is_over.load(Ordering::Acquire);
        if self.keeps && !is_over {
            let entries = fs::read_dir(&self.own).into_iter().flatten().flatten();
            for entry in entries.filter(|entry| entry.file_name() != *COPIES) {
                let _ = fs::remove_dir_all(entry.path());
            }
        } else {
            let _ = fs::remove_dir_all(&self.own);
            let _ = fs::remove_file(self.own.with_extension(LOCK));
            if is_over {
                let others = self.directories().into_iter();
                others.filter(|path| is_dead(path)).for_each(|path| remove(&path, false));
            }
        }
        let _ = self.lock.unlock();
        // It stays as long as there is something in it.
        let _ = fs::remove_dir(&self.job);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_outlive_their_process_until_the_next_checkpoint() {
        let directory =
            std::env::temp_dir().join(format!("millstream-local-{}", std::process::id()));
        let open = || Local::open(&directory, "job", "s3://bucket/job", true).unwrap();
        let first = open();
        let file = first.path().join("task-0/run");
        fs::create_dir(first.path().join("task-0")).unwrap();
        fs::write(&file, b"state").unwrap();
        for (checkpoint, name) in [(1, "shared-a"), (1, "shared-b"), (2, "shared-b")] {
            first.name(checkpoint, [name.to_owned()]);
            first.copy(name, &file).unwrap();
        }
        assert_eq!((first.copies("shared-a").len(), first.copies("shared-b").len()), (1, 1));
        first.completed(2);
        assert_eq!((first.copies("shared-a").len(), first.copies("shared-b").len()), (0, 1));
        // Somebody else of the same job sees them, and takes nothing from one who works.
        let second = open();
        second.completed(2);
        assert!(file.exists());
        assert_eq!(second.copies("shared-b").len(), 1);
        drop(first);
        assert!(!file.exists(), "what it worked with is gone");
        let copies = second.copies("shared-b");
        assert_eq!(fs::read(&copies[0]).unwrap(), b"state");
        second.completed(3);
        assert_eq!(second.copies("shared-b").len(), 1, "it was at work when this one began");
        let third = open();
        assert_eq!(third.copies("shared-b").len(), 1, "it may be needed");
        third.completed(4);
        assert!(third.copies("shared-b").is_empty(), "a newer checkpoint is complete");
        drop(third);
        // At the end nothing is left.
        second.end();
        drop(second);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
        fs::remove_dir(&directory).unwrap();
    }

    #[test]
    fn without_copies_nothing_is_left_and_what_the_dead_leave_is_removed() {
        let directory =
            std::env::temp_dir().join(format!("millstream-dead-{}", std::process::id()));
        let open = || Local::open(&directory, "job", "s3://bucket/job", false).unwrap();
        let first = open();
        let left = first.path().with_file_name("1-0");
        fs::create_dir_all(left.join("task-0")).unwrap();
        fs::write(left.with_extension(LOCK), b"").unwrap();
        let second = open();
        assert!(!left.exists() && first.path().exists());
        drop((first, second));
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
        fs::remove_dir(&directory).unwrap();
    }
}
