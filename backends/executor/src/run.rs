//! Running the tasks of a job to their end.

use std::{
    os::fd::AsFd,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Wake, Waker},
    thread::{self, JoinHandle},
    time::Duration,
};

use millstream_dataflow::TaskError;

use crate::{
    Clock, ReadySet, WatchError,
    park::{Parker, Unparker},
    worker::{Poll, Rest, SPIN_MICROS_DEFAULT, Worker},
};

/// Names a task: the worker that polls it, and its slot there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TaskId {
    /// The worker.
    pub worker: usize,
    /// The slot.
    pub slot: usize,
}

/// Tasks that are being put together, before they run.
///
/// A task is woken through a waker that its channels hold, so the waker exists first:
/// [`Executor::reserve`], then build the task, then [`Executor::place`] it.
pub struct Executor {
    workers: Vec<Plan>,
    outcome: Arc<Outcome>,
    spin: Duration,
}

#[derive(Default)]
struct Plan {
    wakers: Vec<Arc<TaskWaker>>,
    tasks: Vec<Option<Box<dyn Poll>>>,
    parker: Parker,
}

impl Executor {
    /// An executor with this many workers, at least one.
    pub fn new(workers: usize) -> Self {
        Self {
            workers: (0..workers.max(1)).map(|_| Plan::default()).collect(),
            outcome: Arc::default(),
            spin: Duration::from_micros(SPIN_MICROS_DEFAULT),
        }
    }

    /// Sets how long an idle worker looks for work before it sleeps.
    pub fn spin(mut self, spin: Duration) -> Self {
        self.spin = spin;
        self
    }

    /// The number of workers.
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// A slot for a task on a worker; numbers beyond the last worker wrap around.
    pub fn reserve(&mut self, worker: usize) -> TaskId {
        let worker = worker % self.workers.len();
        let plan = &mut self.workers[worker];
        let slot = plan.wakers.len();
        plan.wakers.push(Arc::new(TaskWaker { slot, target: OnceLock::new() }));
        plan.tasks.push(None);
        TaskId { worker, slot }
    }

    /// What wakes the task in this slot.
    pub fn waker(&self, id: TaskId) -> Waker {
        Waker::from(Arc::clone(&self.workers[id.worker].wakers[id.slot]))
    }

    /// Puts a task into its slot.
    pub fn place(&mut self, id: TaskId, task: Box<dyn Poll>) {
        self.workers[id.worker].tasks[id.slot] = Some(task);
    }

    /// Wakes the task in this slot whenever `file` becomes readable or writable (edge-triggered). The
    /// file must stay open as long as the task.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn watch(&mut self, id: TaskId, file: impl AsFd) -> Result<(), WatchError> {
        self.workers[id.worker].parker.watch(file, id.slot)
    }

    /// Where failures are reported, by threads that are not workers.
    pub fn outcome(&self) -> &Arc<Outcome> {
        &self.outcome
    }

    /// Starts the workers.
    ///
    /// # Panics
    /// If a slot was reserved and no task placed in it, or the system gives no thread.
    pub fn start(self) -> Running {
        let Self { workers, outcome, spin } = self;
        let clock = Clock::start();
        let threads = workers.into_iter().enumerate().map(|(number, plan)| {
            let ready = Arc::new(ReadySet::new(plan.tasks.len()));
            let wakers = plan.wakers;
            let tasks = plan.tasks.into_iter().enumerate().map(|(slot, task)| {
                let task = task.expect("a task is placed in every slot that was reserved");
                let waker = Waker::from(Arc::clone(&wakers[slot]));
                (task, waker)
            });
            let thread_slot = Arc::new(OnceLock::new());
            let unparker = Unparker::of(&plan.parker, &thread_slot);
            let rest = Rest { ready: Arc::clone(&ready), parker: plan.parker, spin, clock };
            let worker = Worker::new(tasks.collect(), rest, Arc::clone(&outcome));
            // Before the thread starts: what wakes a task after its first poll must be heard. What
            // does so before needs not be, since every task is polled at first.
            for waker in &wakers {
                let target = Target { ready: Arc::clone(&ready), unparker: unparker.clone() };
                let _ = waker.target.set(target);
            }
            outcome.wake_at_end(unparker);
            outcome.begin_thread();
            let outcome = Arc::clone(&outcome);
            thread::Builder::new()
                .name(format!("worker-{number}"))
                .spawn(move || {
                    let _ = thread_slot.set(thread::current());
                    worker.run(&outcome);
                })
                .expect("the system gives a thread for each worker")
        });
        Running { threads: threads.collect(), outcome, clock }
    }
}

/// Wakes one task of one worker.
struct TaskWaker {
    slot: usize,
    target: OnceLock<Target>,
}

struct Target {
    ready: Arc<ReadySet>,
    unparker: Unparker,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(Target { ready, unparker }) = self.target.get()
            && ready.wake(self.slot)
        {
            unparker.unpark();
        }
    }
}

/// Tasks that run.
#[derive(Debug)]
pub struct Running {
    threads: Vec<JoinHandle<()>>,
    outcome: Arc<Outcome>,
    clock: Clock,
}

impl Running {
    /// The clock of the tasks.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// How it goes.
    pub fn outcome(&self) -> &Arc<Outcome> {
        &self.outcome
    }

    /// Waits until all tasks have finished or one has failed.
    ///
    /// # Errors
    /// The first failure.
    pub fn join(self) -> Result<(), Failure> {
        for thread in self.threads {
            if thread.join().is_err() {
                self.outcome.failed(TaskError::new("a worker thread panicked"));
            }
        }
        self.outcome.result()
    }
}

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

impl std::fmt::Debug for Executor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Executor({} workers)", self.workers.len())
    }
}
