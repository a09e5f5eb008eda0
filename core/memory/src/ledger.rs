//! The account that a segment is charged to while it is out.

use alloc::boxed::Box;
use core::task::Waker;

use crate::pool::Shared;
use crate::segment::Segment;
use crate::sync::{Arc, AtomicU64, CachePadded, Ordering};
use crate::waker::WakerSlot;

/// A quota on the segments of one [`Store`](crate::store::Store), and who waits for one.
///
/// All numbers that decide whether a segment may be taken sit in one atomic, so that taking,
/// returning, resizing and waiting are each one read-modify-write on it and none can be missed.
pub(crate) struct Ledger {
    /// `WAITING`, `CLOSED`, size (31 bits), used (31 bits).
    state: CachePadded<AtomicU64>,
    listener: WakerSlot,
    pub(crate) shared: Arc<Shared>,
    pub(crate) terms: Terms,
}

/// What a ledger was opened with; never changes.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    /// Ascending within one pool, never reused.
    pub(crate) id: u64,
    pub(crate) name: Box<str>,
    /// Segments above the current size that [`Ledger::lease_overdraft`] may take.
    pub(crate) overdraft: u32,
    /// Whether each returned segment also shrinks the quota by one.
    pub(crate) shrinks: bool,
}

/// A waker is registered and wants to hear of any change for the better.
const WAITING: u64 = 1 << 63;
/// The pool handle is gone: the ledger is forgotten when its last segment comes back.
const CLOSED: u64 = 1 << 62;
const SIZE_SHIFT: u32 = 31;
const COUNT_MASK: u64 = (1 << 31) - 1;

fn used(state: u64) -> u32 {
    (state & COUNT_MASK) as u32
}

fn size(state: u64) -> u32 {
    ((state >> SIZE_SHIFT) & COUNT_MASK) as u32
}

impl Ledger {
    pub(crate) fn new(shared: Arc<Shared>, terms: Terms, size: u32) -> Self {
        let state = AtomicU64::new(u64::from(size) << SIZE_SHIFT);
        Self { state: CachePadded(state), listener: WakerSlot::new(), shared, terms }
    }

    pub(crate) fn used(&self) -> u32 {
        used(self.state.load(Ordering::Acquire))
    }

    pub(crate) fn size(&self) -> u32 {
        size(self.state.load(Ordering::Acquire))
    }

    /// A segment within the size, if the quota and the store have one.
    pub(crate) fn lease(this: &Arc<Self>) -> Option<Segment> {
        Self::lease_if(this, |state| used(state) < size(state))
    }

    /// A segment within the size, or, when the size is used up, within the overdraft above it, if no
    /// ledger is to have that segment.
    pub(crate) fn lease_overdraft(this: &Arc<Self>) -> Option<Segment> {
        let within = Self::lease(this);
        if within.is_some() || this.shared.store.is_empty() || !this.shared.charge_overdraft(this) {
            return within;
        }
        Self::take_charged(this)
    }

    /// Charges a segment within the overdraft; the [register](Shared::charge_overdraft) has looked whether
    /// there is one to spare.
    pub(crate) fn charge_overdraft(&self) -> bool {
        self.charge(|state| used(state) < size(state) + self.terms.overdraft)
    }

    fn lease_if(this: &Arc<Self>, may: impl Fn(u64) -> bool) -> Option<Segment> {
        // Looked at first, so that polling an exhausted store writes nothing and wakes nobody.
        if this.shared.store.is_empty() || !this.charge(may) {
            return None;
        }
        Self::take_charged(this)
    }

    fn charge(&self, may: impl Fn(u64) -> bool) -> bool {
        let mut state = self.state.load(Ordering::Acquire);
        while may(state) {
            match self.state.compare_exchange_weak(
                state,
                state + 1,
                Ordering::Acquire,
                Ordering::Acquire,
            ) {
                Ok(_) => return true,
                Err(current) => state = current,
            }
        }
        false
    }

    /// The segment that was charged, or the charge taken back.
    fn take_charged(this: &Arc<Self>) -> Option<Segment> {
        match this.shared.store.pop() {
            Some(index) => Some(Segment::from_ledger(this.clone(), index)),
            None => {
                this.uncharge();
                None
            }
        }
    }

    /// Takes back a segment that was charged here.
    ///
    /// The store first, then the quota: who is woken by the quota finds the segment at once.
    pub(crate) fn give_back(&self, index: u32) {
        let starved = self.shared.store.push(index);
        if self.terms.shrinks {
            self.shared.shrink(self);
        }
        self.uncharge();
        if starved {
            self.shared.wake_waiting();
        }
    }

    fn uncharge(&self) {
        let before = self.state.fetch_sub(1, Ordering::AcqRel);
        assert!(used(before) > 0, "ledger {} got back more than it lent", self.terms.name);
        let after = before - 1;
        if after & WAITING != 0 && used(after) < size(after) {
            self.notify();
        }
        if after & CLOSED != 0 && used(after) == 0 {
            self.shared.forget(self.terms.id);
        }
    }

    /// Arranges that `waker` is called when a lease may succeed; at once if it may already.
    pub(crate) fn register(&self, waker: &Waker) {
        self.listener.register(waker);
        let state = self.state.fetch_or(WAITING, Ordering::AcqRel);
        // Quota used up: a return or a resize changes the same word, sees the flag and wakes.
        // Quota left: the store is the one to wait for, unless it has something by now.
        if used(state) < size(state) && !self.shared.store.mark_starved() {
            self.notify();
        }
    }

    /// Whether a waker is registered that has not been called.
    pub(crate) fn is_waiting(&self) -> bool {
        self.state.load(Ordering::Acquire) & WAITING != 0
    }

    pub(crate) fn notify(&self) {
        self.state.fetch_and(!WAITING, Ordering::AcqRel);
        self.listener.wake();
    }

    /// Sets the size. It may have grown: afterwards wake the ledger if it
    /// [waits](Self::is_waiting).
    pub(crate) fn resize(&self, size_new: u32) {
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            let resized = (state & !(COUNT_MASK << SIZE_SHIFT)) | u64::from(size_new) << SIZE_SHIFT;
            match self.state.compare_exchange_weak(
                state,
                resized,
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(current) => state = current,
            }
        }
    }

    /// Marks the ledger as closed; `true` when nothing is out and it can be forgotten now.
    pub(crate) fn close(&self) -> bool {
        used(self.state.fetch_or(CLOSED, Ordering::AcqRel)) == 0
    }
}
