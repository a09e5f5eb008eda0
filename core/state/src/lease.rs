//! The memory that state lives in.

use millstream_memory::{ManagedMemory, Segment, managed::Owner};

/// A budget of managed memory, charged to one owner. Nothing here ever blocks.
pub trait Lease {
    /// Bytes in each segment.
    fn segment_size(&self) -> usize;

    /// One more segment; `None` if the budget is used up. It goes back by being dropped.
    fn lease(&mut self) -> Option<Segment>;

    /// Reserves bytes out of the same budget for tables that are not in segments; `false` if the
    /// budget is used up.
    fn reserve(&mut self, bytes: u64) -> bool;

    /// Ends a reservation of so many bytes.
    fn release(&mut self, bytes: u64);
}

/// Segments of managed memory.
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

    fn reserve(&mut self, bytes: u64) -> bool {
        self.memory.reserve(self.owner, bytes).is_ok()
    }

    fn release(&mut self, bytes: u64) {
        // An owner that was closed meanwhile has nothing reserved any more.
        let _ = self.memory.release_reservation(self.owner, bytes);
    }
}
