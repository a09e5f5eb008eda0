//! Segments in an anonymous mapping.

use std::fmt;
use std::ptr::{self, NonNull};

use millstream_memory::Arena;
use millstream_memory::segment::ALIGNMENT;
use rustix::io::Errno;
use rustix::mm::{self, Advice, MapFlags, MlockFlags, ProtFlags};
use rustix::param::page_size;
use rustix::process::{Resource, getrlimit};

use crate::error::{ArenaError, arena_bytes};

/// Segments in an anonymous mapping of the process.
///
/// The address range is taken at once, and each page of it is occupied when it is first touched:
/// a large arena costs nothing until data flows. The last-in first-out pools of the core then keep
/// using the same few segments, so what was never needed is never occupied.
pub struct MmapArena {
    base: NonNull<u8>,
    len: usize,
    segment_size: usize,
    huge_pages: bool,
    map: Map,
}

/// What to ask the operating system for beyond plain memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MmapOptions {
    /// Ask for huge pages (2 MiB on x86): fewer misses in the address cache, memory occupied in
    /// larger steps. A wish: see [`MmapArena::huge_pages`].
    pub huge_pages: bool,
    /// Keep the segments in memory: never swapped out. An error when the limit forbids it.
    pub locked: bool,
}

/// The size of a transparent huge page on x86 and most ARM systems, in bytes.
const HUGE_PAGE: usize = 2 << 20;

// SAFETY: the mapping belongs to the arena, which never touches its bytes.
unsafe impl Send for MmapArena {}
// SAFETY: as above.
unsafe impl Sync for MmapArena {}

impl MmapArena {
    /// An arena of `segments` segments of `segment_size` bytes, in ordinary pages, not locked.
    ///
    /// # Errors
    ///
    /// [`ArenaError`] when the numbers are not allowed or the address space is used up.
    pub fn new(segment_size: usize, segments: usize) -> Result<Self, ArenaError> {
        Self::with_options(segment_size, segments, MmapOptions::default())
    }

    /// An arena with the given wishes.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new); and [`ArenaError::LockRefused`], which names the limit.
    pub fn with_options(
        segment_size: usize,
        segments: usize,
        options: MmapOptions,
    ) -> Result<Self, ArenaError> {
        let len = arena_bytes(segment_size, segments)?;
        // A huge page must begin at a multiple of its size, which a mapping need not.
        let alignment = if options.huge_pages { HUGE_PAGE } else { ALIGNMENT };
        let room = if alignment > page_size() { alignment } else { 0 };
        let map = Map::new(len + room)?;
        let padding = map.start.as_ptr().align_offset(alignment);
        assert!(padding <= room, "a mapping begins at a page");
        // SAFETY: the padding is at most the room that was added.
        let base = unsafe { map.start.add(padding) };
        // SAFETY: the range is within the mapping; this advice does not change its content.
        let huge_pages = options.huge_pages
            && unsafe { mm::madvise(base.as_ptr().cast(), len, Advice::LinuxHugepage) }.is_ok();
        if options.locked {
            lock(base, len)?;
        }
        Ok(Self { base, len, segment_size, huge_pages, map })
    }

    /// Whether the system agreed to use huge pages where it can.
    ///
    /// How many it really uses is `AnonHugePages` in `/proc/self/smaps`.
    pub fn huge_pages(&self) -> bool {
        self.huge_pages
    }
}

/// Locks each page of the range as it is first touched.
fn lock(base: NonNull<u8>, len: usize) -> Result<(), ArenaError> {
    // SAFETY: the range is a mapping of ours; locking changes no bytes.
    let outcome = unsafe { mm::mlock_with(base.as_ptr().cast(), len, MlockFlags::ONFAULT) };
    outcome.map_err(|cause| ArenaError::LockRefused {
        bytes: len,
        limit: getrlimit(Resource::Memlock).current,
        cause: cause.into(),
    })
}

// SAFETY: `base` is aligned (a page has at least 4096 bytes) and begins `len` bytes of a private
// anonymous mapping, which reads as zero, lives until drop, and is known to nobody else;
// `arena_bytes` checked that they are whole segments of an allowed size.
unsafe impl Arena for MmapArena {
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

impl fmt::Debug for MmapArena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MmapArena")
            .field("len", &self.len)
            .field("segment_size", &self.segment_size)
            .field("huge_pages", &self.huge_pages)
            .field("mapped", &self.map.len)
            .finish()
    }
}

/// The mapping itself; unmapped on drop.
struct Map {
    start: NonNull<u8>,
    len: usize,
}

impl Map {
    fn new(len: usize) -> Result<Self, ArenaError> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // NORESERVE: the budget of the engine decides how much is used, not the commit limit.
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: a new mapping at an address of the system's choice overlaps nothing.
        match unsafe { mm::mmap_anonymous(ptr::null_mut(), len, protection, flags) } {
            Ok(start) => {
                let start = NonNull::new(start.cast()).expect("no mapping begins at zero");
                Ok(Self { start, len })
            }
            Err(Errno::NOMEM) => Err(ArenaError::OutOfMemory { bytes: len }),
            Err(cause) => Err(ArenaError::MapRefused { bytes: len, cause: cause.into() }),
        }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: exactly the range that was mapped in `new`; the arena that used it is gone.
        let outcome = unsafe { mm::munmap(self.start.as_ptr().cast(), self.len) };
        debug_assert!(outcome.is_ok(), "unmapping a whole mapping cannot fail: {outcome:?}");
    }
}
