//! How a run goes.

use std::{
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use millstream_dataflow::TaskError;

use crate::park::Unparker;

/// Why a run ended before its tasks did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A task failed.
    Task(TaskError),
    /// Somebody asked for it.
    Cancelled,
}

/// How a run goes: shared by workers, blocking threads and whoever waits.
#[derive(Debug, Default)]
pub struct Outcome {
    over: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    failure: Option<Failure>,
    /// Threads that have not ended.
    running: usize,
    /// Threads to wake when the run is over before its time.
    threads: Vec<Unparker>,
}

impl Outcome {
    /// Whether the run is over before its time: everybody stops.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Reports a failure; the first counts.
    pub fn failed(&self, error: TaskError) {
        self.end(Failure::Task(error));
    }

    /// Ends the run.
    pub fn cancel(&self) {
        self.end(Failure::Cancelled);
    }

    /// Waits until every thread has ended, at most so long; `true` if all have.
    pub fn wait(&self, timeout: Duration) -> bool {
        let waited =
            self.changed.wait_timeout_while(self.lock(), timeout, |state| state.running > 0);
        waited.unwrap_or_else(PoisonError::into_inner).0.running == 0
    }

    /// The first failure, if there was one.
    ///
    /// # Errors
    /// That failure.
    pub fn result(&self) -> Result<(), Failure> {
        self.lock().failure.clone().map_or(Ok(()), Err)
    }

    /// Counts a thread that is about to start.
    pub(crate) fn begin_thread(&self) {
        self.lock().running += 1;
    }

    /// Asks that this thread is unparked when the run is over before its time.
    pub(crate) fn wake_at_end(&self, thread: Unparker) {
        let mut state = self.lock();
        if state.failure.is_some() {
            thread.unpark();
        }
        state.threads.push(thread);
    }

    /// A thread has ended.
    pub(crate) fn end_thread(&self) {
        self.lock().running -= 1;
        self.changed.notify_all();
    }

    fn end(&self, failure: Failure) {
        let mut state = self.lock();
        state.failure.get_or_insert(failure);
        self.over.store(true, Ordering::Release);
        state.threads.iter().for_each(Unparker::unpark);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
