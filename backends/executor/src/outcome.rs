//! How a run goes.

use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU32, Ordering},
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
///
/// A run may have [parts](Outcome::part), each with an outcome of its own: a part that fails ends by
/// itself, and the others go on. Whoever waits may then place its tasks anew, as another part.
#[derive(Debug, Default)]
pub struct Outcome {
    over: AtomicBool,
    /// More tasks may be placed.
    held: AtomicBool,
    /// Parts that were over before their time, so far.
    fallen: AtomicU32,
    /// All tasks and threads of a part have ended since somebody looked.
    news: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
    /// The run that this is a part of.
    whole: Option<Arc<Self>>,
}

#[derive(Debug, Default)]
struct State {
    failure: Option<Failure>,
    /// Threads that have not ended; of a part, tasks as well.
    running: usize,
    /// Threads to wake when the run is over before its time.
    threads: Vec<Unparker>,
    parts: Vec<Weak<Outcome>>,
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

    /// Waits until every thread has ended, or everything of a part has, at most so long; `true` if every
    /// thread has ended.
    pub fn wait(&self, timeout: Duration) -> bool {
        let nothing = |state: &mut State| state.running > 0 && !self.has_news();
        let waited = self.changed.wait_timeout_while(self.lock(), timeout, nothing);
        let state = waited.unwrap_or_else(PoisonError::into_inner).0;
        self.news.store(false, Ordering::Release);
        state.running == 0
    }

    /// The outcome of a part of this run, which fails by itself, and ends at the latest when the run does.
    pub fn part(self: &Arc<Self>) -> Arc<Self> {
        let part = Arc::new(Self { whole: Some(Arc::clone(self)), ..Self::default() });
        let mut state = self.lock();
        state.parts.retain(|part| part.strong_count() > 0);
        state.parts.push(Arc::downgrade(&part));
        let failure = state.failure.clone();
        drop(state);
        if let Some(failure) = failure {
            part.end(failure);
        }
        part
    }

    /// Whether this is the outcome of a part of a run.
    pub fn is_part(&self) -> bool {
        self.whole.is_some()
    }

    /// Whether all tasks and threads have ended that this is the outcome of.
    pub fn has_ended(&self) -> bool {
        self.lock().running == 0
    }

    /// More tasks will be placed: workers wait for them although their own have finished.
    pub fn hold(&self) {
        self.held.store(true, Ordering::Release);
    }

    /// No more tasks will be placed.
    pub fn release(&self) {
        self.held.store(false, Ordering::Release);
        self.lock().threads.iter().for_each(Unparker::unpark);
    }

    /// Whether more tasks may be placed.
    pub(crate) fn is_held(&self) -> bool {
        self.held.load(Ordering::Acquire)
    }

    /// How many parts were over before their time, so far.
    pub(crate) fn fallen(&self) -> u32 {
        self.fallen.load(Ordering::Acquire)
    }

    /// Whether everything of a part has ended since somebody waited.
    pub(crate) fn has_news(&self) -> bool {
        self.news.load(Ordering::Acquire)
    }

    /// Looks at the news without waiting for any.
    pub(crate) fn heed(&self) {
        self.news.store(false, Ordering::Release);
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
        self.whole.iter().for_each(|whole| whole.begin_thread());
        self.lock().running += 1;
    }

    /// Counts a task of a part as long as what is given lives.
    pub(crate) fn member(self: &Arc<Self>) -> Member {
        self.lock().running += 1;
        Member(Arc::clone(self))
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
        self.leave();
        self.whole.iter().for_each(|whole| whole.end_thread());
    }

    /// A thread, or a task of a part, has ended.
    fn leave(&self) {
        let mut state = self.lock();
        state.running -= 1;
        let is_last = state.running == 0;
        drop(state);
        self.changed.notify_all();
        if let Some(whole) = self.whole.as_ref().filter(|_| is_last) {
            let state = whole.lock();
            whole.news.store(true, Ordering::Release);
            // Whoever waits may run a worker meanwhile.
            state.threads.iter().for_each(Unparker::unpark);
            whole.changed.notify_all();
        }
    }

    fn end(&self, failure: Failure) {
        let mut state = self.lock();
        let parts = std::mem::take(&mut state.parts);
        let failure = state.failure.get_or_insert(failure).clone();
        self.over.store(true, Ordering::Release);
        state.threads.iter().for_each(Unparker::unpark);
        drop(state);
        for part in parts.iter().filter_map(Weak::upgrade) {
            part.end(failure.clone());
        }
        if let Some(whole) = &self.whole {
            whole.fallen.fetch_add(1, Ordering::AcqRel);
            // Workers let its tasks go.
            whole.lock().threads.iter().for_each(Unparker::unpark);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task of a part, which is counted as long as this lives.
#[derive(Debug)]
pub(crate) struct Member(Arc<Outcome>);

impl Member {
    /// How the part goes.
    pub(crate) fn outcome(&self) -> &Outcome {
        &self.0
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.0.leave();
    }
}
