//! A slot for one waker, shared by the one who waits and the ones who wake.

use core::fmt;
use core::task::Waker;

use crate::sync::{AtomicUsize, Ordering, UnsafeCell, spin_loop};

/// The place where a task leaves its waker for whoever makes its condition true.
///
/// The use is always the same: the waiting side *registers, then checks its condition again*; the
/// waking side *makes the condition true, then wakes*. Under that order no wake-up is lost: either
/// the waker sees the registration, or the check after the registration sees the condition. Both
/// sides perform a read-modify-write on one atomic, so everything written before
/// [`wake`](Self::wake) is visible after a [`register`](Self::register) that came too late for it.
///
/// One task waits at a time. A second registration replaces the first; of two registrations that
/// truly run at once, one is stored and the other woken immediately, so that neither sleeps
/// unheard.
///
/// ```
/// use core::sync::atomic::{AtomicBool, Ordering};
/// use core::task::{Context, Poll};
/// use millstream_memory::WakerSlot;
///
/// static READY: AtomicBool = AtomicBool::new(false);
///
/// fn poll_ready(slot: &WakerSlot, cx: &mut Context<'_>) -> Poll<()> {
///     slot.register(cx.waker());
///     if READY.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
/// }
///
/// fn set_ready(slot: &WakerSlot) {
///     READY.store(true, Ordering::Release);
///     slot.wake();
/// }
/// ```
pub struct WakerSlot {
    state: AtomicUsize,
    waker: UnsafeCell<Option<Waker>>,
}

// SAFETY: the state word hands the cell to one thread at a time (see `register` and `take`), and
// `Waker` itself is `Send + Sync`.
unsafe impl Sync for WakerSlot {}
// SAFETY: the slot owns its waker, which is `Send`.
unsafe impl Send for WakerSlot {}

/// Nobody touches the cell.
const IDLE: usize = 0b00;
/// A registration owns the cell.
const REGISTERING: usize = 0b01;
/// A wake-up owns the cell, or, together with `REGISTERING`, asks the registration to wake itself.
const WAKING: usize = 0b10;

impl WakerSlot {
    /// An empty slot.
    pub fn new() -> Self {
        Self { state: AtomicUsize::new(IDLE), waker: UnsafeCell::new(None) }
    }

    /// Leaves `waker` in the slot, in place of an earlier one.
    ///
    /// Check the condition again *after* this call. The waker is called once by the next
    /// [`wake`](Self::wake); when that one runs at the same time, it may be called from here.
    pub fn register(&self, waker: &Waker) {
        // Cloned before the cell is taken: a clone is foreign code and may panic.
        let waker_new = waker.clone();
        match self.state.compare_exchange(IDLE, REGISTERING, Ordering::Acquire, Ordering::Acquire) {
            Ok(_) => {
                // SAFETY: only the step from IDLE to REGISTERING gives the cell to a registration,
                // and we made it; a wake-up that finds REGISTERING leaves the cell alone.
                let waker_old = self.waker.with_mut(|cell| unsafe { (*cell).replace(waker_new) });
                if self
                    .state
                    .compare_exchange(REGISTERING, IDLE, Ordering::AcqRel, Ordering::Acquire)
                    .is_err()
                {
                    // A wake-up came while we held the cell and left the waking to us.
                    // SAFETY: the state is REGISTERING | WAKING, which nobody but us changes.
                    let missed = self.waker.with_mut(|cell| unsafe { (*cell).take() });
                    self.state.swap(IDLE, Ordering::AcqRel);
                    if let Some(missed) = missed {
                        missed.wake();
                    }
                }
                drop(waker_old);
            }
            // A wake-up is under way: it may or may not be for us, so the task must look again.
            // Or another thread is registering: this one gives way, but not silently.
            Err(_) => {
                waker_new.wake();
                spin_loop();
            }
        }
    }

    /// Wakes the registered task, if there is one, and empties the slot.
    pub fn wake(&self) {
        if let Some(waker) = self.take() {
            waker.wake();
        }
    }

    /// Takes the registered waker out without calling it.
    ///
    /// `None` when there is none, or when a registration is just running: that one then wakes its
    /// task itself.
    pub fn take(&self) -> Option<Waker> {
        match self.state.fetch_or(WAKING, Ordering::AcqRel) {
            IDLE => {
                // SAFETY: the step from IDLE to WAKING gives the cell to us until WAKING is
                // cleared; registrations and other wake-ups that find WAKING leave it alone.
                let waker = self.waker.with_mut(|cell| unsafe { (*cell).take() });
                self.state.fetch_and(!WAKING, Ordering::Release);
                waker
            }
            _ => None,
        }
    }
}

impl Default for WakerSlot {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for WakerSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WakerSlot").finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use alloc::sync::Arc;
    use alloc::task::Wake;
    use core::sync::atomic::{AtomicU32, Ordering};
    use core::task::Waker;

    use super::WakerSlot;

    #[derive(Default)]
    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_wake_up_calls_the_last_waker_once() {
        let (first, last) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let slot = WakerSlot::new();
        slot.wake();
        slot.register(&Waker::from(first.clone()));
        slot.register(&Waker::from(last.clone()));
        slot.wake();
        slot.wake();
        assert_eq!(first.0.load(Ordering::Relaxed), 0, "a replaced waker is not called");
        assert_eq!(last.0.load(Ordering::Relaxed), 1, "one wake-up per registration");
    }

    #[test]
    fn a_replaced_or_dropped_waker_is_freed() {
        let count = Arc::new(Count::default());
        let slot = WakerSlot::new();
        slot.register(&Waker::from(count.clone()));
        slot.register(&Waker::from(count.clone()));
        assert_eq!(Arc::strong_count(&count), 2, "the slot holds one clone, not two");
        drop(slot);
        assert_eq!(Arc::strong_count(&count), 1);
    }
}
