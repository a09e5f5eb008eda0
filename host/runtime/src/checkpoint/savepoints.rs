//! Savepoints: snapshots that a user asks for while a job runs.
//!
//! A savepoint is taken like a checkpoint, in the directory of checkpoints. When all tasks have written
//! their part, it is copied to a directory of its own, manifest last, and belongs to the user from then
//! on. When the job stops with it, it stays among the job's checkpoints as well: with it sinks show what
//! belongs to it, so nobody must go on from an older one.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use millstream_checkpoint::{
    Manifest,
    manifest::{File, Handle, Purpose},
    storage::{CheckpointStorage, StateFile},
};

use super::{Store, store::Storage};

/// Bytes that are copied at a time.
const CHUNK: usize = 256 << 10;

/// Asks a job that runs for savepoints, from any thread; clones ask the same job.
///
/// What is asked for while no job runs, or while it begins anew, waits until it runs. Where savepoints go,
/// or why there was none, is said on standard error, and by [`taken`](Self::taken).
#[derive(Clone, Default)]
pub struct Savepoints(Arc<Mutex<Asked>>);

#[derive(Default)]
struct Asked {
    waiting: Vec<Request>,
    /// Tells the coordinator that somebody waits.
    call: Option<Box<dyn Fn() + Send>>,
    taken: Vec<PathBuf>,
    stopped: Option<Stopped>,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// A savepoint.
    Take,
    /// A savepoint, and the end of the job.
    Stop {
        /// Whether windows fire first.
        drain: bool,
    },
}

/// How a job stopped with a savepoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stopped {
    /// Whether windows have fired, so that nothing is left to do.
    pub(crate) drained: bool,
}

impl Savepoints {
    /// Asks for a savepoint, behind which the job goes on.
    pub fn take(&self) {
        self.ask(Request::Take);
    }

    /// Asks for a savepoint, behind which the job stops. If it is to `drain`, event time goes to its end
    /// first, and all windows and timers fire: for a job that will not go on.
    pub fn stop(&self, drain: bool) {
        self.ask(Request::Stop { drain });
    }

    /// The directories of those that were taken, in order.
    pub fn taken(&self) -> Vec<PathBuf> {
        self.lock().taken.clone()
    }

    fn ask(&self, request: Request) {
        let mut asked = self.lock();
        asked.waiting.push(request);
        if let Some(call) = &asked.call {
            call();
        }
    }

    /// A coordinator hears of requests from now on, and at once of those that wait.
    pub(super) fn listen(&self, call: impl Fn() + Send + 'static) {
        call();
        self.lock().call = Some(Box::new(call));
    }

    /// What is asked for, taken.
    pub(super) fn waiting(&self) -> Vec<Request> {
        std::mem::take(&mut self.lock().waiting)
    }

    /// A savepoint is there.
    pub(super) fn add(&self, path: PathBuf) {
        self.lock().taken.push(path);
    }

    /// The job stops with a savepoint.
    pub(super) fn stops(&self, drained: bool) {
        self.lock().stopped = Some(Stopped { drained });
    }

    /// Whether the job has stopped with a savepoint, and how.
    pub(crate) fn stopped(&self) -> Option<Stopped> {
        self.lock().stopped
    }

    fn lock(&self) -> MutexGuard<'_, Asked> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Savepoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Savepoints").field("taken", &self.taken()).finish_non_exhaustive()
    }
}

/// The directory of a savepoint that does not exist yet.
pub(super) fn directory(savepoints: &Path, manifest: &Manifest) -> PathBuf {
    let Manifest { job, checkpoint, timestamp_ms, .. } = manifest;
    savepoints.join(format!("savepoint-{job}-{checkpoint}-{timestamp_ms:x}"))
}

/// Copies what tasks have written for a savepoint to its own directory, and makes it complete.
pub(super) fn export(store: &Store, manifest: &Manifest, to: &Path) -> Result<(), String> {
    let checkpoint = manifest.checkpoint;
    let savepoint = Storage::savepoint(to).map_err(|error| error.to_string())?;
    savepoint.begin(checkpoint).map_err(|error| error.to_string())?;
    let copied =
        manifest.files.iter().try_for_each(|file| copy(store, &savepoint, checkpoint, file));
    let complete = || savepoint.complete(manifest).map_err(|error| error.to_string());
    copied.and_then(|()| complete()).inspect_err(|_| drop(savepoint.discard(checkpoint)))?;
    let done = match manifest.purpose {
        // Sinks are about to show what belongs to it: it is what the job goes on from.
        Purpose::StopWithSavepoint => store.complete(manifest),
        _ => store.discard(checkpoint),
    };
    done.map_err(|error| error.to_string())
}

fn copy(from: &Store, to: &Storage, checkpoint: u64, file: &File) -> Result<(), String> {
    let words = |error: millstream_checkpoint::storage::StorageError| error.to_string();
    let mut copy = to.create(checkpoint, &file.name).map_err(words)?;
    let handle = Handle { file: file.name.clone(), offset: 0, length: file.length };
    let (mut offset, mut chunk) = (0, vec![0; CHUNK]);
    while offset < file.length {
        let length = (file.length - offset).min(CHUNK as u64) as usize;
        let chunk = chunk.get_mut(..length).unwrap_or_default();
        from.read(checkpoint, &handle, offset, chunk).map_err(words)?;
        copy.append(chunk).map_err(words)?;
        offset += length as u64;
    }
    let copied = copy.finish().map_err(words)?;
    if copied == *file {
        return Ok(());
    }
    Err(format!("the file {} was damaged before it was copied: look at the disk", file.name))
}
