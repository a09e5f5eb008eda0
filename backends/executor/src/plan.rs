//! The tasks of a worker, before it runs.

use std::{
    os::fd::BorrowedFd,
    sync::{Arc, OnceLock},
    task::{Wake, Waker},
    thread::Thread,
    time::Duration,
};

use crate::{
    Clock, Outcome, Poll, ReadySet, WatchError,
    inbox::Inbox,
    park::{Parker, Unparker},
    worker::{Order, Placed, Rest, Spin, Worker},
};

/// A worker that is being put together.
#[derive(Default)]
pub(crate) struct Plan {
    wakers: Vec<Arc<TaskWaker>>,
    tasks: Vec<Option<Placed>>,
    parker: Parker,
}

/// A worker that is ready to run, and what others need of it.
pub(crate) struct Planned {
    pub(crate) worker: Worker,
    /// To be set by the thread that runs it.
    pub(crate) thread: Arc<OnceLock<Thread>>,
    /// Where tasks are put while it runs.
    pub(crate) inbox: Arc<Inbox>,
}

/// What a worker is started with.
pub(crate) struct Settings {
    /// How long it looks for work before it sleeps.
    pub(crate) spin: Duration,
    pub(crate) clock: Clock,
    pub(crate) order: Order,
}

impl Plan {
    pub(crate) fn reserve(&mut self) -> usize {
        let slot = self.wakers.len();
        self.wakers.push(Arc::new(TaskWaker { slot, target: OnceLock::new() }));
        self.tasks.push(None);
        slot
    }

    pub(crate) fn waker(&self, slot: usize) -> Waker {
        Waker::from(Arc::clone(&self.wakers[slot]))
    }

    pub(crate) fn place(&mut self, slot: usize, task: Box<dyn Poll>, part: Option<&Arc<Outcome>>) {
        let (member, waker) = (part.map(Outcome::member), self.waker(slot));
        self.tasks[slot] = Some(Placed { task, member, waker });
    }

    pub(crate) fn watch(&mut self, slot: usize, file: BorrowedFd<'_>) -> Result<(), WatchError> {
        self.parker.watch(file, slot)
    }

    /// The worker. Whoever runs it says first which thread that is.
    ///
    /// # Panics
    /// If there is a slot without a task.
    pub(crate) fn worker(self, settings: Settings, outcome: &Arc<Outcome>) -> Planned {
        let Self { wakers, tasks, parker } = self;
        let ready = Arc::new(ReadySet::new(tasks.len()));
        let placed =
            |task: Option<Placed>| task.expect("a task is placed in every slot that was reserved");
        let tasks = tasks.into_iter().map(placed).collect();
        let all = wakers.iter().map(|waker| Waker::from(Arc::clone(waker)));
        let inbox = Arc::new(Inbox::new(all.collect()));
        let thread = Arc::new(OnceLock::new());
        let unparker = Unparker::of(&parker, &thread);
        let Settings { spin, clock, order } = settings;
        let spin = Spin::new(spin);
        let rest = Rest { ready: Arc::clone(&ready), parker, spin, clock };
        // Before the worker runs: what wakes a task after its first poll must be heard. What does so
        // before needs not be, since every task is polled at first.
        for waker in &wakers {
            let target = Target { ready: Arc::clone(&ready), unparker: unparker.clone() };
            let _ = waker.target.set(target);
        }
        outcome.wake_at_end(unparker);
        outcome.begin_thread();
        let worker = Worker::new(tasks, rest, order, Arc::clone(outcome), Arc::clone(&inbox));
        Planned { worker, thread, inbox }
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
