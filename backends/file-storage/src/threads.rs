//! Files by threads that block.
//!
//! Requests go to the threads through a queue that never holds more than the storage takes, and
//! completions come back through another one.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    fs::File,
    io,
    os::unix::fs::FileExt,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::Waker,
    thread::{self, JoinHandle},
};

use millstream_memory::WakerSlot;
use millstream_storage::{Cause, Completion, FileId, Refused, Request};

use crate::{
    OpenError, Options,
    files::{Directory, check},
};

/// A storage, and the threads that work for it.
pub(crate) struct Threads {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    in_flight: usize,
    in_flight_max: usize,
}

/// What the threads and their storage share.
struct Shared {
    directory: Directory,
    files: Mutex<HashMap<FileId, Arc<File>>>,
    requests: Mutex<Requests>,
    requested: Condvar,
    completions: Mutex<VecDeque<Completion>>,
    completed: Condvar,
    waker: WakerSlot,
}

#[derive(Default)]
struct Requests {
    queue: VecDeque<(u64, Request)>,
    ended: bool,
}

/// A thread that panicked has broken nothing that others rely on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Threads {
    pub(crate) fn new(directory: Directory, options: Options) -> Result<Self, OpenError> {
        let shared = Arc::new(Shared {
            directory,
            files: Mutex::default(),
            requests: Mutex::default(),
            requested: Condvar::new(),
            completions: Mutex::default(),
            completed: Condvar::new(),
            waker: WakerSlot::new(),
        });
        let in_flight_max = options.in_flight_max.max(1);
        let mut storage = Self { shared, threads: Vec::new(), in_flight: 0, in_flight_max };
        for number in 0..options.threads.max(1) {
            let shared = Arc::clone(&storage.shared);
            let thread = thread::Builder::new().name(format!("storage-{number}"));
            let thread = thread.spawn(move || shared.work()).map_err(OpenError::Thread)?;
            storage.threads.push(thread);
        }
        Ok(storage)
    }

    pub(crate) fn submit(&mut self, token: u64, request: Request) -> Result<(), Refused> {
        if self.in_flight >= self.in_flight_max {
            return Err(Refused { request });
        }
        self.in_flight += 1;
        lock(&self.shared.requests).queue.push_back((token, request));
        self.shared.requested.notify_one();
        Ok(())
    }

    pub(crate) fn poll(&mut self) -> Option<Completion> {
        let completion = lock(&self.shared.completions).pop_front()?;
        self.in_flight -= 1;
        Some(completion)
    }

    pub(crate) fn wait(&mut self) -> Option<Completion> {
        if self.in_flight == 0 {
            return None;
        }
        let completions = lock(&self.shared.completions);
        let completions = self.shared.completed.wait_while(completions, |all| all.is_empty());
        let completion = completions.unwrap_or_else(PoisonError::into_inner).pop_front()?;
        self.in_flight -= 1;
        Some(completion)
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub(crate) fn register(&self, waker: &Waker) {
        self.shared.waker.register(waker);
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        {
            let mut requests = lock(&self.shared.requests);
            requests.ended = true;
            // What was not begun is not done any more: the files are gone in a moment.
            requests.queue.clear();
        }
        self.shared.requested.notify_all();
        for thread in self.threads.drain(..) {
            // One that panicked has said so on standard error.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Threads").field("in_flight", &self.in_flight).finish_non_exhaustive()
    }
}

impl Shared {
    /// The life of a thread.
    fn work(&self) {
        loop {
            let requests = lock(&self.requests);
            let requests = self
                .requested
                .wait_while(requests, |requests| requests.queue.is_empty() && !requests.ended);
            let next = requests.unwrap_or_else(PoisonError::into_inner).queue.pop_front();
            let Some((token, mut request)) = next else { return };
            let result = check(&request).and_then(|()| self.carry_out(&mut request));
            let result = result.map_err(|cause| self.directory.error(&request, cause));
            let completion = Completion { token, lent: request.into_lent(), result };
            lock(&self.completions).push_back(completion);
            self.completed.notify_one();
            self.waker.wake();
        }
    }

    fn carry_out(&self, request: &mut Request) -> Result<(), Cause> {
        let refused = |error: io::Error| self.directory.cause(&error);
        match request {
            Request::Create { file } => {
                if lock(&self.files).contains_key(file) {
                    return Err(Cause::Exists);
                }
                let created = self.directory.create(*file).map_err(refused)?;
                lock(&self.files).insert(*file, Arc::new(created));
                Ok(())
            }
            Request::Delete { file } => {
                // Closing frees the blocks of the file, outside the lock.
                let closed = lock(&self.files).remove(file);
                self.directory.remove(*file);
                closed.map(drop).ok_or(Cause::NoSuchFile)
            }
            Request::Sync { .. } if self.directory.is_named() => Ok(()),
            Request::Sync { file } => self.file(*file)?.sync_all().map_err(refused),
            Request::Write { file, offset, data } => {
                self.file(*file)?.write_all_at(data, *offset).map_err(refused)
            }
            Request::Read { file, offset, length, into } => {
                let opened = self.file(*file)?;
                let mut found = 0;
                while found < *length {
                    let rest = &mut into[found..*length];
                    match opened.read_at(rest, *offset + found as u64) {
                        Ok(0) => return Err(Cause::EndOfFile { found }),
                        Ok(read) => found += read,
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(error) => return Err(refused(error)),
                    }
                }
                Ok(())
            }
        }
    }

    fn file(&self, file: FileId) -> Result<Arc<File>, Cause> {
        let mut files = lock(&self.files);
        if let Some(file) = files.get(&file) {
            return Ok(Arc::clone(file));
        }
        let existing = Arc::new(self.directory.existing(file)?);
        files.insert(file, Arc::clone(&existing));
        Ok(existing)
    }
}
