//! The budget, and who has what of it.

use alloc::{sync::Arc, vec::Vec};

use millstream_memory::{Segment, sync::SpinLock};
use millstream_state::Lease;

/// One budget of memory, for everything that a backend keeps.
#[derive(Debug)]
pub(crate) struct Budget<L>(Arc<SpinLock<Ledger<L>>>);

impl<L> Clone for Budget<L> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

#[derive(Debug)]
struct Ledger<L> {
    lease: L,
    /// Bytes that may be held.
    max: u64,
    held: u64,
    /// Bytes of all write buffers, and how many there may be.
    buffers: u64,
    buffers_max: u64,
}

impl<L: Lease> Ledger<L> {
    fn lease(&mut self) -> Option<Segment> {
        let bytes = self.lease.segment_size() as u64;
        if self.held + bytes > self.max {
            return None;
        }
        let segment = self.lease.lease()?;
        self.held += bytes;
        Some(segment)
    }

    fn reserve(&mut self, bytes: u64) -> bool {
        if self.held + bytes > self.max || !self.lease.reserve(bytes) {
            return false;
        }
        self.held += bytes;
        true
    }

    fn release(&mut self, bytes: u64) {
        self.lease.release(bytes);
        self.held = self.held.saturating_sub(bytes);
    }
}

impl<L: Lease> Budget<L> {
    /// Of `max` bytes, of which all write buffers together take at most `buffers_max`.
    pub(crate) fn new(lease: L, max: u64, buffers_max: u64) -> Self {
        let ledger = Ledger { lease, max, held: 0, buffers: 0, buffers_max };
        Self(Arc::new(SpinLock::new(ledger)))
    }

    pub(crate) fn segment_size(&self) -> usize {
        self.0.with(|ledger| ledger.lease.segment_size())
    }

    /// Bytes that are held.
    pub(crate) fn held(&self) -> u64 {
        self.0.with(|ledger| ledger.held)
    }

    pub(crate) fn lease(&self) -> Option<Segment> {
        self.0.with(Ledger::lease)
    }

    /// A segment went back to its pool.
    pub(crate) fn gave_back(&self, segments: usize) {
        self.0.with(|ledger| {
            let bytes = (segments * ledger.lease.segment_size()) as u64;
            ledger.held = ledger.held.saturating_sub(bytes);
        });
    }

    pub(crate) fn reserve(&self, bytes: u64) -> bool {
        self.0.with(|ledger| ledger.reserve(bytes))
    }

    pub(crate) fn release(&self, bytes: u64) {
        self.0.with(|ledger| ledger.release(bytes));
    }

    /// The share of a new write buffer, of at most `max` bytes.
    pub(crate) fn share(&self, max: u64) -> Share<L> {
        Share { budget: self.clone(), max, segments: 0, taken: 0 }
    }
}

/// The share of one write buffer.
#[derive(Debug)]
pub(crate) struct Share<L: Lease> {
    budget: Budget<L>,
    max: u64,
    segments: u64,
    /// Bytes, those of segments included.
    taken: u64,
}

impl<L: Lease> Share<L> {
    fn take<R>(&mut self, bytes: u64, take: impl FnOnce(&mut Ledger<L>) -> Option<R>) -> Option<R> {
        if self.taken + bytes > self.max {
            return None;
        }
        let taken = self.budget.0.with(|ledger| {
            if ledger.buffers + bytes > ledger.buffers_max {
                return None;
            }
            let taken = take(ledger)?;
            ledger.buffers += bytes;
            Some(taken)
        })?;
        self.taken += bytes;
        Some(taken)
    }
}

impl<L: Lease> Lease for Share<L> {
    fn segment_size(&self) -> usize {
        self.budget.segment_size()
    }

    fn lease(&mut self) -> Option<Segment> {
        let segment = self.take(self.segment_size() as u64, Ledger::lease)?;
        self.segments += 1;
        Some(segment)
    }

    fn reserve(&mut self, bytes: u64) -> bool {
        self.take(bytes, |ledger| ledger.reserve(bytes).then_some(())).is_some()
    }

    fn release(&mut self, bytes: u64) {
        self.taken = self.taken.saturating_sub(bytes);
        self.budget.0.with(|ledger| {
            ledger.buffers = ledger.buffers.saturating_sub(bytes);
            ledger.release(bytes);
        });
    }
}

impl<L: Lease> Drop for Share<L> {
    /// The segments go back with the table that they were leased for.
    fn drop(&mut self) {
        let bytes = self.segments * self.budget.segment_size() as u64;
        self.budget.0.with(|ledger| ledger.buffers = ledger.buffers.saturating_sub(bytes));
        self.budget.gave_back(self.segments as usize);
    }
}

/// Segments for reading and writing, a few of which are kept for the next.
#[derive(Debug)]
pub(crate) struct Staging<L: Lease> {
    budget: Budget<L>,
    free: Vec<Segment>,
    /// Segments that are leased, free ones included, and how many may be.
    leased: usize,
    max: usize,
}

impl<L: Lease> Staging<L> {
    pub(crate) fn new(budget: Budget<L>, max: usize) -> Self {
        Self { budget, free: Vec::new(), leased: 0, max }
    }

    pub(crate) fn max(&self) -> usize {
        self.max
    }

    pub(crate) fn segment_size(&self) -> usize {
        self.budget.segment_size()
    }

    /// Segments that can be taken, if the budget has them.
    pub(crate) fn room(&self) -> usize {
        self.free.len() + (self.max - self.leased)
    }

    pub(crate) fn take(&mut self) -> Option<Segment> {
        if let Some(segment) = self.free.pop() {
            return Some(segment);
        }
        if self.leased >= self.max {
            return None;
        }
        let segment = self.budget.lease()?;
        self.leased += 1;
        Some(segment)
    }

    pub(crate) fn give(&mut self, segment: Segment) {
        self.free.push(segment);
    }

    /// A segment that was written went back to its pool.
    pub(crate) fn gave_back(&mut self) {
        self.leased = self.leased.saturating_sub(1);
        self.budget.gave_back(1);
    }
}

impl<L: Lease> Drop for Staging<L> {
    fn drop(&mut self) {
        self.budget.gave_back(self.leased);
    }
}
