//! A thread for each worker.

use std::{
    fmt,
    os::fd::BorrowedFd,
    sync::Arc,
    task::Waker,
    thread::{self, JoinHandle},
    time::Duration,
};

use millstream_dataflow::TaskError;

use crate::{
    Clock, Executor, ExecutorBackend, Failure, Outcome, Poll, Running, TaskId, WatchError,
    inbox::Inbox,
    plan::{Plan, Planned, Settings},
    worker::{Order, SPIN_MICROS_DEFAULT},
};

/// Workers that have a thread each, one for each core if it is to be fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadPerCore {
    workers: usize,
    spin: Duration,
}

impl ThreadPerCore {
    /// This many workers, at least one.
    pub fn new(workers: usize) -> Self {
        Self { workers: workers.max(1), spin: Duration::from_micros(SPIN_MICROS_DEFAULT) }
    }

    /// Sets how long an idle worker looks for work before it sleeps.
    #[must_use]
    pub fn spin(self, spin: Duration) -> Self {
        Self { spin, ..self }
    }
}

impl ExecutorBackend for ThreadPerCore {
    fn executor(&self) -> Box<dyn Executor> {
        Box::new(Threads {
            workers: (0..self.workers).map(|_| Plan::default()).collect(),
            outcome: Arc::default(),
            spin: self.spin,
            clock: Clock::start(),
        })
    }
}

struct Threads {
    workers: Vec<Plan>,
    outcome: Arc<Outcome>,
    spin: Duration,
    clock: Clock,
}

impl Executor for Threads {
    fn workers(&self) -> usize {
        self.workers.len()
    }

    fn reserve(&mut self, worker: usize) -> TaskId {
        let worker = worker % self.workers.len();
        TaskId { worker, slot: self.workers[worker].reserve() }
    }

    fn waker(&self, id: TaskId) -> Waker {
        self.workers[id.worker].waker(id.slot)
    }

    fn place(&mut self, id: TaskId, task: Box<dyn Poll>) {
        self.workers[id.worker].place(id.slot, task, None);
    }

    fn place_in(&mut self, id: TaskId, task: Box<dyn Poll>, part: &Arc<Outcome>) {
        self.workers[id.worker].place(id.slot, task, Some(part));
    }

    fn watch(&mut self, id: TaskId, file: BorrowedFd<'_>) -> Result<(), WatchError> {
        self.workers[id.worker].watch(id.slot, file)
    }

    fn outcome(&self) -> &Arc<Outcome> {
        &self.outcome
    }

    fn clock(&self) -> Clock {
        self.clock
    }

    fn start(self: Box<Self>) -> Box<dyn Running> {
        let Self { workers, outcome, spin, clock } = *self;
        let (mut threads, mut inboxes) = (Vec::new(), Vec::new());
        for (number, plan) in workers.into_iter().enumerate() {
            let settings = Settings { spin, clock, order: Order::Slots };
            let Planned { worker, thread: slot, inbox } = plan.worker(settings, &outcome);
            inboxes.push(inbox);
            let body = move || {
                let _ = slot.set(thread::current());
                worker.run();
            };
            let thread = thread::Builder::new().name(format!("worker-{number}")).spawn(body);
            threads.push(thread.expect("the system gives a thread for each worker"));
        }
        Box::new(RunningThreads { threads, inboxes, outcome })
    }
}

struct RunningThreads {
    threads: Vec<JoinHandle<()>>,
    /// By worker.
    inboxes: Vec<Arc<Inbox>>,
    outcome: Arc<Outcome>,
}

impl Running for RunningThreads {
    fn outcome(&self) -> &Arc<Outcome> {
        &self.outcome
    }

    fn place_in(&mut self, id: TaskId, task: Box<dyn Poll>, part: &Arc<Outcome>) {
        self.inboxes[id.worker].put(id.slot, task, part.member());
    }

    fn wait(&mut self, timeout: Duration) -> bool {
        self.outcome.wait(timeout)
    }

    fn join(&mut self) -> Result<(), Failure> {
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                self.outcome.failed(TaskError::new("a worker thread panicked"));
            }
        }
        self.outcome.result()
    }
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Threads({} workers)", self.workers.len())
    }
}
