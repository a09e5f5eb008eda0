//! Segments from the process's allocator.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::fmt;
use std::ptr::NonNull;

use millstream_memory::Arena;
use millstream_memory::segment::ALIGNMENT;

use crate::error::{ArenaError, arena_bytes};

/// Segments from the process's allocator, in one piece.
///
/// Works on every platform. Large arenas usually come straight from the operating system as zero
/// pages, so that memory is reserved here but occupied only when a segment is first used.
pub struct HeapArena {
    base: NonNull<u8>,
    len: usize,
    segment_size: usize,
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: the allocation belongs to the arena, which never touches its bytes.
unsafe impl Send for HeapArena {}
// SAFETY: as above.
unsafe impl Sync for HeapArena {}

impl HeapArena {
    /// An arena of `segments` segments of `segment_size` bytes.
    ///
    /// # Errors
    ///
    /// [`ArenaError`] when the numbers are not allowed or the memory is not there.
    pub fn new(segment_size: usize, segments: usize) -> Result<Self, ArenaError> {
        let len = arena_bytes(segment_size, segments)?;
        // Aligned by hand inside a slightly larger piece: asked for this alignment, the standard
        // allocator would write zeros over the whole arena instead of taking zero pages.
        let layout = Layout::from_size_align(len + ALIGNMENT, align_of::<u64>())
            .map_err(|_| ArenaError::SegmentCount { segment_size, segments })?;
        // SAFETY: the layout is not empty.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) })
            .ok_or(ArenaError::OutOfMemory { bytes: len })?;
        let padding = start.as_ptr().align_offset(ALIGNMENT);
        assert!(padding < ALIGNMENT, "bytes can be aligned to any power of two");
        // SAFETY: the padding is less than the ALIGNMENT bytes that were added.
        let base = unsafe { start.add(padding) };
        Ok(Self { base, len, segment_size, start, layout })
    }
}

// SAFETY: `base` is aligned and begins `len` zeroed bytes inside one allocation that is freed only
// on drop; `arena_bytes` checked that they are whole segments of an allowed size.
unsafe impl Arena for HeapArena {
    fn base(&self) -> NonNull<u8> {
        self.base
    }

    fn len(&self) -> usize {
        self.len
    }

    fn segment_size(&self) -> usize {
        self.segment_size
    }
}

impl Drop for HeapArena {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout in `new`.
        unsafe { dealloc(self.start.as_ptr(), self.layout) }
    }
}

impl fmt::Debug for HeapArena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeapArena")
            .field("len", &self.len)
            .field("segment_size", &self.segment_size)
            .finish_non_exhaustive()
    }
}
