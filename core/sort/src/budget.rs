//! The sorter's memory.

use alloc::vec::Vec;

use millstream_memory::{ManagedMemory, Segment, managed::Owner};

use crate::SortError;

/// Where segments come from. They go back by being dropped.
pub trait Lease {
    /// Bytes in each segment.
    fn segment_size(&self) -> usize;

    /// One more segment; `None` if there is none for this owner. Never blocks.
    fn lease(&mut self) -> Option<Segment>;
}

/// Segments of managed memory, charged to an owner.
#[derive(Debug)]
pub struct ManagedLease {
    memory: ManagedMemory,
    owner: Owner,
}

impl ManagedLease {
    /// Leases in the name of `owner`.
    pub fn new(memory: ManagedMemory, owner: Owner) -> Self {
        Self { memory, owner }
    }
}

impl Lease for ManagedLease {
    fn segment_size(&self) -> usize {
        self.memory.page_size()
    }

    fn lease(&mut self) -> Option<Segment> {
        self.memory.allocate_pages(self.owner, 1).ok()?.pop()
    }
}

/// The fewest segments that a sorter works with: two runs with two blocks each, and what is written
/// meanwhile.
pub const SEGMENTS_MIN: usize = 8;
/// Segments that data never take: sorting and writing need them.
const SPARE_MIN: usize = 4;
/// Beyond this many, spare segments do not speed up sorting: two levels of 256 lists.
const SPARE_MAX: usize = 2 * 256 + SPARE_MIN;

/// Leased segments, in use or free.
#[derive(Debug)]
pub(crate) struct Budget<L> {
    lease: L,
    free: Vec<Segment>,
    leased: usize,
    max: usize,
}

impl<L: Lease> Budget<L> {
    /// Leases the fewest segments that are of use at once, and at most `max` later.
    pub(crate) fn new(lease: L, max: usize) -> Result<Self, SortError> {
        let mut budget = Self { lease, free: Vec::new(), leased: 0, max };
        while budget.leased < SEGMENTS_MIN {
            let Some(segment) = budget.lease_one() else {
                return Err(SortError::Memory { found: budget.leased });
            };
            if !segment.as_ptr().addr().is_multiple_of(align_of::<u64>()) {
                return Err(SortError::Unaligned);
            }
            budget.free.push(segment);
        }
        Ok(budget)
    }

    pub(crate) fn segment_size(&self) -> usize {
        self.lease.segment_size()
    }

    /// Segments that were leased, free ones included.
    pub(crate) fn leased(&self) -> usize {
        self.leased
    }

    /// Segments that are there at once.
    pub(crate) fn free(&self) -> usize {
        self.free.len()
    }

    /// A segment for work in progress.
    pub(crate) fn take(&mut self) -> Option<Segment> {
        self.free.pop()
    }

    /// A segment for data; leaves enough to sort them all.
    pub(crate) fn take_for_data(&mut self) -> Option<Segment> {
        while !self.has_room() {
            let segment = self.lease_one()?;
            self.free.push(segment);
        }
        self.free.pop()
    }

    /// Whether there is a free segment for data.
    pub(crate) fn has_room(&self) -> bool {
        let used = self.leased - self.free.len();
        self.free.len() > (used / 8 + SPARE_MIN).min(SPARE_MAX)
    }

    pub(crate) fn give(&mut self, segment: Segment) {
        self.free.push(segment);
    }

    /// A segment went elsewhere: somebody still reads it, and will give it back to its pool.
    pub(crate) fn lose(&mut self) {
        self.leased -= 1;
    }

    /// Gives free segments back to their pool until `left` are leased, if that many are free.
    pub(crate) fn shrink(&mut self, left: usize) {
        while self.leased > left && self.free.pop().is_some() {
            self.leased -= 1;
        }
    }

    fn lease_one(&mut self) -> Option<Segment> {
        if self.leased >= self.max {
            return None;
        }
        let segment = self.lease.lease()?;
        self.leased += 1;
        Some(segment)
    }
}
