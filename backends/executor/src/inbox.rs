//! Tasks on their way to a worker that runs.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Waker,
};

use crate::{Poll, outcome::Member, worker::Placed};

/// Tasks that a worker has not taken in yet.
pub(crate) struct Inbox {
    /// Whether there are any: asked far more often than there are.
    any: AtomicBool,
    tasks: Mutex<Vec<(usize, Placed)>>,
    /// By slot, what wakes the task in it.
    wakers: Vec<Waker>,
}

impl Inbox {
    /// That of a worker whose slots these wake.
    pub(crate) fn new(wakers: Vec<Waker>) -> Self {
        Self { any: AtomicBool::new(false), tasks: Mutex::default(), wakers }
    }

    /// Puts a task into a slot, as soon as the worker takes it in.
    ///
    /// # Panics
    /// If there is no such slot.
    pub(crate) fn put(&self, slot: usize, task: Box<dyn Poll>, member: Member) {
        let waker = self.wakers[slot].clone();
        let placed = Placed { task, member: Some(member), waker: waker.clone() };
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).push((slot, placed));
        // Before the bit is set by which the worker wakes: it looks here after it has woken.
        self.any.store(true, Ordering::Release);
        waker.wake();
    }

    /// Takes what is there.
    pub(crate) fn take(&self) -> Vec<(usize, Placed)> {
        if !self.any.load(Ordering::Acquire) || !self.any.swap(false, Ordering::AcqRel) {
            return Vec::new();
        }
        std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
