//! The smallest arena there is, for the tests of this crate.

use alloc::alloc::{Layout, alloc_zeroed, dealloc};
use core::ptr::NonNull;

use super::{ALIGNMENT, Arena, SEGMENT_SIZE_MIN};

/// Segments of the smallest size from the heap.
pub(crate) struct TestArena {
    base: NonNull<u8>,
    layout: Layout,
}

impl TestArena {
    pub(crate) fn new(segments: usize) -> Self {
        let layout = Layout::from_size_align(segments * SEGMENT_SIZE_MIN, ALIGNMENT).unwrap();
        // SAFETY: tests ask for at least one segment.
        let base = NonNull::new(unsafe { alloc_zeroed(layout) }).unwrap();
        Self { base, layout }
    }
}

// SAFETY: the allocation is owned by the arena and not touched by it.
unsafe impl Send for TestArena {}
// SAFETY: as above.
unsafe impl Sync for TestArena {}

// SAFETY: one zeroed, aligned allocation of whole segments, freed on drop.
unsafe impl Arena for TestArena {
    fn base(&self) -> NonNull<u8> {
        self.base
    }

    fn len(&self) -> usize {
        self.layout.size()
    }

    fn segment_size(&self) -> usize {
        SEGMENT_SIZE_MIN
    }
}

impl Drop for TestArena {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout in `new`.
        unsafe { dealloc(self.base.as_ptr(), self.layout) }
    }
}
