//! How threads that wait for pages are woken.
//!
//! Waking a thread that sleeps is a system call, which costs more than many a page. A task often writes several
//! pages in one poll: who reads them is woken for some of them together, and at the end of the poll at the latest.

use std::{
    cell::RefCell,
    sync::{Arc, OnceLock},
    task::{Wake, Waker},
    thread::Thread,
};

/// Rings of a doorbell within a poll after which it is heard before the poll ends: half of the pages that a channel
/// takes, so that the reader is there before the writer has to wait.
const RINGS: u32 = 5;

/// Wakes a thread that does not exist yet: the wakers of its channels are made first.
#[derive(Clone, Debug, Default)]
pub struct Doorbell(Arc<OnceLock<Thread>>);

impl Doorbell {
    /// What rings it.
    pub fn waker(&self) -> Waker {
        Waker::from(Arc::new(Ring(self.clone())))
    }

    /// The thread that is woken from now on.
    pub fn connect(&self, thread: Thread) {
        // Whoever rang before the bell was connected was not heard, so it rings once now.
        let _ = self.0.set(thread.clone());
        thread.unpark();
    }

    fn ring(&self) {
        if let Some(thread) = self.0.get() {
            thread.unpark();
        }
    }
}

struct Ring(Doorbell);

impl Wake for Ring {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let is_later = HELD.with_borrow_mut(|held| held.is_polling && held.takes(&self.0));
        if !is_later {
            self.0.ring();
        }
    }
}

/// Bells that were rung in the poll at hand, and how often.
struct Held {
    is_polling: bool,
    bells: Vec<(Doorbell, u32)>,
}

impl Held {
    /// Whether a bell is rung later.
    fn takes(&mut self, bell: &Doorbell) -> bool {
        let known = self.bells.iter_mut().find(|(other, _)| Arc::ptr_eq(&other.0, &bell.0));
        let Some((_, rings)) = known else {
            self.bells.push((bell.clone(), 1));
            return true;
        };
        *rings += 1;
        *rings % RINGS != 0
    }
}

thread_local! {
    static HELD: RefCell<Held> = const { RefCell::new(Held { is_polling: false, bells: Vec::new() }) };
}

/// A poll of a task, in which doorbells are held back.
pub(crate) struct Polling;

impl Polling {
    /// Begins with no bells.
    pub(crate) fn begin() -> Self {
        HELD.with_borrow_mut(|held| held.is_polling = true);
        Self
    }
}

impl Drop for Polling {
    fn drop(&mut self) {
        HELD.with_borrow_mut(|held| {
            held.is_polling = false;
            held.bells.drain(..).for_each(|(bell, _)| bell.ring());
        });
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::mpsc,
        thread::{self, JoinHandle},
    };

    use super::*;

    /// A thread that says each time it is woken, until nobody listens.
    fn sleeper() -> (Doorbell, mpsc::Receiver<()>, JoinHandle<()>) {
        let (heard, hears) = mpsc::channel();
        let thread = thread::spawn(move || {
            thread::park();
            while heard.send(()).is_ok() {
                thread::park();
            }
        });
        let bell = Doorbell::default();
        bell.connect(thread.thread().clone());
        (bell, hears, thread)
    }

    #[test]
    fn a_bell_is_heard_at_once_outside_of_polls_and_at_the_end_of_one() {
        let (bell, hears, thread) = sleeper();
        hears.recv().unwrap();
        let waker = bell.waker();
        waker.wake_by_ref();
        hears.recv().unwrap();
        let polling = Polling::begin();
        (1..RINGS).for_each(|_| waker.wake_by_ref());
        assert_eq!(HELD.with_borrow(|held| held.bells.len()), 1);
        assert_eq!(hears.try_recv(), Err(mpsc::TryRecvError::Empty));
        drop(polling);
        hears.recv().unwrap();
        // One more than are held back.
        let polling = Polling::begin();
        (0..RINGS).for_each(|_| waker.wake_by_ref());
        hears.recv().unwrap();
        drop((polling, hears));
        waker.wake();
        thread.join().unwrap();
    }
}
