//! Local pools: the quota of one gate or partition.

use core::fmt;
use core::task::{Context, Poll, Waker};

use crate::ledger::Ledger;
use crate::segment::Segment;
use crate::sync::Arc;

/// The quota of one input gate or result partition on a [`NetworkPool`](super::NetworkPool).
///
/// Clones are the same pool. When the last one is dropped the pool closes: its quota goes to the
/// others, and segments that are still out return to the network pool when they are dropped.
///
/// One task waits on a local pool at a time.
#[derive(Clone)]
pub struct LocalPool(Arc<Handle>);

/// Closes the ledger with the last clone of the pool, while segments keep the ledger itself alive.
struct Handle(Arc<Ledger>);

impl LocalPool {
    pub(super) fn new(ledger: Arc<Ledger>) -> Self {
        Self(Arc::new(Handle(ledger)))
    }

    /// Takes a segment, if the pool holds less than its size and the network pool has one free.
    ///
    /// Lock-free. After `None`, [`register`](Self::register) and return; or use
    /// [`poll_request`](Self::poll_request).
    #[inline]
    pub fn request(&self) -> Option<Segment> {
        Ledger::lease(&self.0.0)
    }

    /// Takes a segment even if the pool has reached its size, up to its overdraft, of those that no other
    /// pool is to have: a pool that waits for its own always gets it once others return theirs.
    ///
    /// For work that cannot stop in the middle: a record that spans segments, rows that one input
    /// row expands to. While the pool is below its size this is [`request`](Self::request).
    #[inline]
    pub fn request_overdraft(&self) -> Option<Segment> {
        Ledger::lease_overdraft(&self.0.0)
    }

    /// Takes a segment, or arranges that the task is woken when one may be available.
    pub fn poll_request(&self, cx: &mut Context<'_>) -> Poll<Segment> {
        match self.request() {
            Some(segment) => Poll::Ready(segment),
            None => {
                self.register(cx.waker());
                Poll::Pending
            }
        }
    }

    /// Calls `waker` once when a segment may be available; at once if it may be already.
    ///
    /// So no wake-up is lost between a failed [`request`](Self::request) and this call. The wake-up
    /// is a hint: another pool may be faster, and the task then registers again. A second
    /// registration replaces the first.
    pub fn register(&self, waker: &Waker) {
        self.0.0.register(waker);
    }

    /// The number of segments that the pool may hold now; changes when other pools open and close.
    pub fn size(&self) -> usize {
        self.0.0.size() as usize
    }

    /// The number of segments that the pool holds now; above [`size`](Self::size) after the pool
    /// shrank or took overdraft.
    pub fn used(&self) -> usize {
        self.0.0.used() as usize
    }

    /// Whether [`request`](Self::request) would give a segment now. A hint, as another pool may take
    /// the last free one first.
    pub fn is_available(&self) -> bool {
        self.used() < self.size() && !self.0.0.shared.store.is_empty()
    }

    /// The size of each segment in bytes.
    pub fn segment_size(&self) -> usize {
        self.0.0.shared.store.segment_size()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.shared.close(&self.0);
    }
}

impl fmt::Debug for LocalPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalPool")
            .field("name", &self.0.0.terms.name)
            .field("size", &self.size())
            .field("used", &self.used())
            .finish()
    }
}
