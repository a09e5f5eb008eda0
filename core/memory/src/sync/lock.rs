//! A spin lock for the control path.

use core::fmt;

use super::{AtomicBool, Ordering, UnsafeCell, spin_loop};

/// A lock for rare, short critical sections: creating a pool, redistributing segments.
///
/// Never taken per record or per page. The content is only reachable inside [`SpinLock::with`], so
/// that a guard cannot be kept over something slow. Not re-entrant: locking twice from one thread
/// hangs.
pub struct SpinLock<T> {
    locked: AtomicBool,
    content: UnsafeCell<T>,
}

// SAFETY: `with` hands out the content to one thread at a time, so sharing the lock between threads
// only ever moves `T`'s access from one thread to another, which `T: Send` allows.
unsafe impl<T: Send> Sync for SpinLock<T> {}
// SAFETY: the lock owns its content; moving the lock moves the content.
unsafe impl<T: Send> Send for SpinLock<T> {}

impl<T> SpinLock<T> {
    /// An unlocked lock around `content`.
    pub fn new(content: T) -> Self {
        Self { locked: AtomicBool::new(false), content: UnsafeCell::new(content) }
    }

    /// Runs `f` with exclusive access to the content and returns what it returns.
    ///
    /// A panic in `f` unlocks; the content is then as `f` left it (there is no poisoning).
    pub fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        while self
            .locked
            .compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            spin_loop();
        }
        let _unlock = Unlock(&self.locked);
        // SAFETY: the flag went from false to true by our hand and goes back only when `_unlock` is
        // dropped, after `f` has returned or unwound: no second reference exists meanwhile.
        self.content.with_mut(|content| f(unsafe { &mut *content }))
    }
}

impl<T> fmt::Debug for SpinLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpinLock").finish_non_exhaustive()
    }
}

struct Unlock<'a>(&'a AtomicBool);

impl Drop for Unlock<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
