//! Which tasks of a worker want to be polled.

#[cfg(loom)]
use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// One bit for each task, and whether the worker sleeps.
///
/// Waking sets a bit and, if the worker may sleep, says that it has to be unparked. The worker
/// clears bits before it polls, so that what happens during the poll sets them again. Both sides
/// use read-modify-write operations on the same words: either the waker sees that the worker
/// sleeps, or the worker sees the bit before it does.
#[derive(Debug)]
pub struct ReadySet {
    words: Box<[AtomicU64]>,
    asleep: AtomicBool,
}

impl ReadySet {
    /// A set for `tasks` tasks, all of them ready.
    pub fn new(tasks: usize) -> Self {
        let words = (0..tasks.div_ceil(64)).map(|word| {
            let bits = tasks - word * 64;
            AtomicU64::new(if bits >= 64 { u64::MAX } else { (1 << bits) - 1 })
        });
        Self { words: words.collect(), asleep: AtomicBool::new(false) }
    }

    /// Marks a task as ready. `true` if the worker slept and must be unparked by the caller.
    #[must_use]
    pub fn wake(&self, task: usize) -> bool {
        let bit = 1 << (task % 64);
        let before = self.words[task / 64].fetch_or(bit, Ordering::AcqRel);
        // If the bit was set already, whoever set it has seen to the worker.
        before & bit == 0 && self.asleep.swap(false, Ordering::AcqRel)
    }

    /// Calls `poll` for each task that is ready, once; `true` if there was one.
    pub fn drain(&self, mut poll: impl FnMut(usize)) -> bool {
        let mut any = false;
        for (index, word) in self.words.iter().enumerate() {
            // A look first: an idle round must not take the line from those who set bits.
            if word.load(Ordering::Relaxed) == 0 {
                continue;
            }
            let mut bits = word.swap(0, Ordering::AcqRel);
            any |= bits != 0;
            while bits != 0 {
                poll(index * 64 + bits.trailing_zeros() as usize);
                bits &= bits - 1;
            }
        }
        any
    }

    /// Whether some task seems ready: a glance, for spinning.
    pub fn glance(&self) -> bool {
        self.words.iter().any(|word| word.load(Ordering::Relaxed) != 0)
    }

    /// Announces that the worker is about to sleep. `false` if a task is ready after all, and the
    /// worker stays awake.
    pub fn fall_asleep(&self) -> bool {
        self.asleep.swap(true, Ordering::AcqRel);
        // fetch_or(0) instead of a load: a read-modify-write reads the latest bits.
        let ready = self.words.iter().any(|word| word.fetch_or(0, Ordering::AcqRel) != 0);
        if ready {
            self.asleep.swap(false, Ordering::AcqRel);
        }
        !ready
    }

    /// The worker is awake again.
    pub fn awake(&self) {
        self.asleep.swap(false, Ordering::AcqRel);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn everything_is_ready_at_first_and_once() {
        for tasks in [1, 63, 64, 65, 200] {
            let set = ReadySet::new(tasks);
            let mut polled = Vec::new();
            assert!(set.drain(|task| polled.push(task)));
            assert_eq!(polled, (0..tasks).collect::<Vec<_>>());
            assert!(!set.drain(|_| panic!("nothing is ready")));
        }
    }

    #[test]
    fn only_the_waker_that_finds_the_worker_asleep_unparks_it() {
        let set = ReadySet::new(2);
        set.drain(|_| ());
        assert!(!set.wake(0), "the worker is awake");
        assert!(!set.fall_asleep(), "task 0 is ready");
        set.drain(|_| ());
        assert!(set.fall_asleep());
        assert!(set.wake(1));
        assert!(!set.wake(1), "the bit is set already");
        assert!(!set.wake(0), "somebody unparks the worker already");
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::{sync::Arc, thread};

    /// The worker either sees the bit or is told to wake up: the work is never left lying.
    #[test]
    fn loom_no_wake_up_is_lost() {
        loom::model(|| {
            let set = Arc::new(ReadySet::new(1));
            set.drain(|_| ());
            let unpark = Arc::new(AtomicBool::new(false));
            let waker = {
                let (set, unpark) = (Arc::clone(&set), Arc::clone(&unpark));
                thread::spawn(move || {
                    if set.wake(0) {
                        unpark.store(true, Ordering::Release);
                    }
                })
            };
            let asleep = set.fall_asleep();
            waker.join().unwrap();
            if asleep {
                assert!(unpark.load(Ordering::Acquire), "asleep, and nobody wakes the worker");
            }
            let mut polled = 0;
            set.drain(|_| polled += 1);
            assert_eq!(polled, 1);
        });
    }

    #[test]
    fn loom_two_wakers_unpark_once_and_both_tasks_are_polled() {
        loom::model(|| {
            let set = Arc::new(ReadySet::new(2));
            set.drain(|_| ());
            let wakers: Vec<_> = (0..2)
                .map(|task| {
                    let set = Arc::clone(&set);
                    thread::spawn(move || u32::from(set.wake(task)))
                })
                .collect();
            let asleep = set.fall_asleep();
            let unparks: u32 = wakers.into_iter().map(|waker| waker.join().unwrap()).sum();
            assert!(unparks <= 1);
            if asleep {
                assert_eq!(unparks, 1);
            }
            let mut polled = 0;
            set.drain(|_| polled += 1);
            assert_eq!(polled, 2);
        });
    }
}
