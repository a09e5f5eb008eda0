//! The thread that waits for a job runs it.

use std::{
    os::fd::BorrowedFd,
    sync::{Arc, OnceLock},
    task::Waker,
    thread::{self, Thread},
    time::{Duration, Instant},
};

use crate::{
    Clock, Executor, ExecutorBackend, Failure, Outcome, Poll, Running, TaskId, WatchError,
    executor::left,
    inbox::Inbox,
    plan::{Plan, Planned, Settings},
    worker::{Order, Worker},
};

/// One worker without a thread of its own: tasks run on the thread that waits for the job, and only
/// while it waits. For a program that has one thread to spare, and for tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inline {
    seed: Option<u64>,
}

impl Inline {
    /// Tasks that are ready are polled in the order in which they were placed.
    pub fn new() -> Self {
        Self::default()
    }

    /// Tasks that are ready are polled in an order that follows from a seed: what depends on the order
    /// that happens to be usual shows.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed: Some(seed) }
    }
}

impl ExecutorBackend for Inline {
    fn executor(&self) -> Box<dyn Executor> {
        let order = self.seed.map_or(Order::Slots, Order::Seeded);
        let (plan, outcome, clock) = (Plan::default(), Arc::default(), Clock::start());
        Box::new(InlineExecutor { plan, outcome, order, clock })
    }
}

struct InlineExecutor {
    plan: Plan,
    outcome: Arc<Outcome>,
    order: Order,
    clock: Clock,
}

impl Executor for InlineExecutor {
    fn workers(&self) -> usize {
        1
    }

    fn reserve(&mut self, _worker: usize) -> TaskId {
        TaskId { worker: 0, slot: self.plan.reserve() }
    }

    fn waker(&self, id: TaskId) -> Waker {
        self.plan.waker(id.slot)
    }

    fn place(&mut self, id: TaskId, task: Box<dyn Poll>) {
        self.plan.place(id.slot, task, None);
    }

    fn place_in(&mut self, id: TaskId, task: Box<dyn Poll>, part: &Arc<Outcome>) {
        self.plan.place(id.slot, task, Some(part));
    }

    fn watch(&mut self, id: TaskId, file: BorrowedFd<'_>) -> Result<(), WatchError> {
        self.plan.watch(id.slot, file)
    }

    fn outcome(&self) -> &Arc<Outcome> {
        &self.outcome
    }

    fn clock(&self) -> Clock {
        self.clock
    }

    fn start(self: Box<Self>) -> Box<dyn Running> {
        let Self { plan, outcome, order, clock } = *self;
        let settings = Settings { spin: Duration::ZERO, clock, order };
        let Planned { worker, thread, inbox } = plan.worker(settings, &outcome);
        Box::new(RunningInline { worker: Some(worker), thread, inbox, outcome })
    }
}

struct RunningInline {
    /// Until all of its tasks are done with.
    worker: Option<Worker>,
    /// The thread that waits, to be woken.
    thread: Arc<OnceLock<Thread>>,
    inbox: Arc<Inbox>,
    outcome: Arc<Outcome>,
}

impl Running for RunningInline {
    fn outcome(&self) -> &Arc<Outcome> {
        &self.outcome
    }

    fn place_in(&mut self, id: TaskId, task: Box<dyn Poll>, part: &Arc<Outcome>) {
        self.inbox.put(id.slot, task, part.member());
    }

    fn wait(&mut self, timeout: Duration) -> bool {
        let since = Instant::now();
        // `dyn Running` does not move between threads: it is always this one.
        let _ = self.thread.set(thread::current());
        if let Some(worker) = self.worker.take() {
            self.worker = worker.run_for(timeout);
            if self.worker.is_some() {
                self.outcome.heed();
            }
        }
        self.worker.is_none() && self.outcome.wait(left(since, timeout))
    }

    fn join(&mut self) -> Result<(), Failure> {
        const LONG: Duration = Duration::from_secs(60);
        while !self.wait(LONG) {}
        self.outcome.result()
    }
}
