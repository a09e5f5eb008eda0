//! Whoever does something in a simulated process, and when its turn comes.

use std::{sync::Arc, task::Waker};

use millstream_dataflow::{
    TaskError,
    task::{Task, TaskPoll},
};

use super::{
    cx::{Cx, Flag},
    keeper::Keeper,
    link::Link,
    sink::Sink,
    source::Source,
};

/// What somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Polled {
    /// Nothing.
    Again,
    /// To be woken, or its deadline.
    Idle,
    /// Nothing any more.
    Finished,
}

/// What somebody does.
pub(super) enum Body {
    Task(Box<Task>),
    Source(Box<Source>),
    Sink(Box<Sink>),
    Keeper(Keeper),
    Link(Link),
}

/// Somebody in a process.
pub(super) struct Actor {
    pub(super) name: String,
    /// The processes that it needs: a link has two.
    pub(super) processes: [u32; 2],
    /// `None` when it has finished, or was killed.
    pub(super) body: Option<Body>,
    pub(super) flag: Arc<Flag>,
    /// Microseconds that a poll takes at most.
    pub(super) pace: u64,
    /// It is busy until then.
    pub(super) busy_until: u64,
    /// When it wants to be polled although nothing wakes it.
    pub(super) deadline: Option<u64>,
}

impl Actor {
    /// When it is to be polled, as far as that is known.
    pub(super) fn next(&self, now: u64) -> Option<u64> {
        self.body.as_ref()?;
        match self.flag.is_set() {
            true => Some(self.busy_until),
            false => self.deadline.map(|at| at.max(self.busy_until).max(now)),
        }
    }

    /// Whether the job is not done before it has finished.
    pub(super) fn is_part_of_job(&self) -> bool {
        matches!(self.body, Some(Body::Task(_) | Body::Source(_) | Body::Sink(_)))
    }

    /// Its turn.
    pub(super) fn poll(&mut self, cx: &mut Cx) -> Result<(), TaskError> {
        let waker = Waker::from(Arc::clone(&self.flag));
        self.flag.set(false);
        let Some(body) = &mut self.body else { return Ok(()) };
        let polled = match body {
            Body::Task(task) => match task.poll(cx.now, &waker)? {
                TaskPoll::Again => Polled::Again,
                TaskPoll::Idle | TaskPoll::Backpressured => Polled::Idle,
                TaskPoll::Finished => Polled::Finished,
            },
            Body::Source(source) => source.poll(cx, &waker)?,
            Body::Sink(sink) => sink.poll(cx, &waker)?,
            Body::Keeper(keeper) => match keeper.poll(cx) {
                true => Polled::Again,
                false => Polled::Idle,
            },
            Body::Link(link) => link.poll(cx, &waker)?,
        };
        self.deadline = match body {
            Body::Task(task) => task.deadline(),
            Body::Sink(sink) => sink.deadline(),
            Body::Link(link) => link.deadline(),
            Body::Source(_) | Body::Keeper(_) => None,
        };
        match polled {
            Polled::Again => self.flag.set(true),
            Polled::Idle => {}
            Polled::Finished => self.body = None,
        }
        self.busy_until = cx.now + 1 + cx.random.below(self.pace);
        Ok(())
    }
}
