//! Segments: the fixed-size pieces that all record memory is made of.
//!
//! A [`Segment`] is a lease: the only way to write to its bytes, held by one owner at a time.
//! [`Segment::freeze`] turns it into a [`Buffer`], which many may read and none may change. When
//! the lease or the last reader is dropped, the segment returns to where it came from. There is no
//! third state, so "who may write?" is answered by the type.

mod buffer;
mod foreign;
mod jumbo;

use core::error::Error;
use core::ffi::c_void;
use core::fmt;
use core::mem;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;
use core::slice;

pub use buffer::Buffer;
pub use foreign::ReleaseFn;
pub use jumbo::{JUMBO_ROW_MAX_DEFAULT, JumboBudget, JumboError, JumboLease};

use crate::ledger::Ledger;
use crate::sync::Arc;
use foreign::ForeignLease;
use jumbo::JumboMemory;

/// The smallest segment, in bytes: one memory page, one disk block.
pub const SEGMENT_SIZE_MIN: usize = 4 << 10;
/// The default segment, in bytes: where what a page costs by itself is little beside its rows, and a page is still
/// at home in the second cache.
pub const SEGMENT_SIZE_DEFAULT: usize = 64 << 10;
/// The largest segment, in bytes.
pub const SEGMENT_SIZE_MAX: usize = 16 << 20;
/// Every pooled segment begins at a multiple of this, in bytes: direct I/O asks for it.
pub const ALIGNMENT: usize = 4096;

/// Memory for segments, in one piece: what a backend provides.
///
/// A pool takes an arena over and cuts it into segments. Core never allocates segment memory
/// itself, because where it comes from (heap, anonymous mapping, huge pages, shared memory) is the
/// business of the machine.
///
/// # Safety
///
/// From construction until drop, an implementation guarantees:
///
/// * `base` is the start of one allocation of `len` bytes, readable and writable, and both calls
///   answer the same each time;
/// * `base` is a multiple of [`ALIGNMENT`]; `segment_size` is a power of two from
///   [`SEGMENT_SIZE_MIN`] to [`SEGMENT_SIZE_MAX`]; `len` is a multiple of it and at least one;
/// * every byte was zero when the pool took over, so no byte is ever uninitialised;
/// * nobody else reads or writes these bytes while the pool lives, except an operating system that
///   was given a leased segment or a frozen buffer to read or fill.
///
/// The contract suite in `contract` (feature `contract`) checks what can be checked.
#[expect(clippy::len_without_is_empty, reason = "an arena has at least one segment")]
pub unsafe trait Arena: Send + Sync + 'static {
    /// The first byte.
    fn base(&self) -> NonNull<u8>;

    /// The number of bytes; at least one segment.
    fn len(&self) -> usize;

    /// The number of bytes in each segment.
    fn segment_size(&self) -> usize;
}

/// Whether `bytes` may be a segment size: a power of two from 4 KiB to 16 MiB.
///
/// # Errors
///
/// [`SegmentSizeError`] says which values are allowed.
pub fn check_segment_size(bytes: usize) -> Result<(), SegmentSizeError> {
    let allowed = bytes.is_power_of_two() && (SEGMENT_SIZE_MIN..=SEGMENT_SIZE_MAX).contains(&bytes);
    if allowed { Ok(()) } else { Err(SegmentSizeError { bytes }) }
}

/// A segment size that is not a power of two from 4 KiB to 16 MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentSizeError {
    /// The refused size.
    pub bytes: usize,
}

impl fmt::Display for SegmentSizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a segment cannot have {} bytes; set `memory.segment-size` to a power of two from \
             {SEGMENT_SIZE_MIN} (4 KiB) to {SEGMENT_SIZE_MAX} (16 MiB)",
            self.bytes
        )
    }
}

impl Error for SegmentSizeError {}

/// The unique, writable lease of a segment; its bytes by [`Deref`].
///
/// The bytes are whatever the previous owner left (zero at first), never uninitialised. Dropping
/// the lease returns the segment to its pool, from any thread.
pub struct Segment {
    start: NonNull<u8>,
    len: u32,
    /// Number within its arena, or [`NO_INDEX`].
    index: u32,
    origin: Origin,
}

/// Where a segment goes back to. Two levels, because the compiler folds the outer tag into the
/// null of the function pointer: that keeps a segment at 40 bytes.
enum Origin {
    Foreign(ForeignLease),
    Own(Own),
}

enum Own {
    Pool(Arc<Ledger>),
    Jumbo(Arc<JumboMemory>),
}

/// The index of memory that is not part of an arena of ours.
const NO_INDEX: u32 = u32::MAX;

#[cfg(not(loom))] // its `Arc` is larger
const _: () = assert!(size_of::<Segment>() <= 40 && size_of::<Buffer>() <= 40);

// SAFETY: a segment is the only access to its bytes, so moving it moves them; its origin is
// `Send + Sync` (a foreign one by the promise given to `Segment::foreign`).
unsafe impl Send for Segment {}
// SAFETY: a shared reference only reads the bytes.
unsafe impl Sync for Segment {}

impl Segment {
    /// The lease of segment `index`, just taken from the store and charged to `ledger`.
    pub(crate) fn from_ledger(ledger: Arc<Ledger>, index: u32) -> Self {
        let store = &ledger.shared.store;
        let (start, len) = (store.address(index), store.segment_size() as u32);
        Self { start, len, index, origin: Origin::Own(Own::Pool(ledger)) }
    }

    /// A segment that somebody else lends, across a C border for instance.
    ///
    /// `release(ctx, token)` is called once, from any thread, when the segment (or the last reader
    /// of the buffer made from it) is dropped. The lending side usually is a
    /// [`LendTable`](crate::lend::LendTable) in the host.
    ///
    /// Freezing a foreign segment allocates one small reference count; a segment that is filled
    /// and given back allocates nothing.
    ///
    /// # Safety
    ///
    /// `start` points to `len` initialised bytes that this segment alone may read and write until
    /// `release` is called; `release` may be called with `ctx` and `token` from any thread, once,
    /// and does not unwind.
    ///
    /// # Panics
    ///
    /// When `len` is 4 GiB or more.
    pub unsafe fn foreign(
        start: NonNull<u8>,
        len: usize,
        ctx: *mut c_void,
        token: u64,
        release: ReleaseFn,
    ) -> Self {
        let len = u32::try_from(len).expect("a foreign segment is smaller than 4 GiB");
        let lease = ForeignLease { release, ctx, token };
        Self { start, len, index: NO_INDEX, origin: Origin::Foreign(lease) }
    }

    /// Ends a foreign lease without releasing it, and returns its token.
    ///
    /// How a plugin submits a segment that it filled: the token goes back to the lender, who takes
    /// the segment over with its content.
    ///
    /// # Errors
    ///
    /// The segment itself, when it was not lent by somebody else.
    pub fn into_token(self) -> Result<u64, Self> {
        match &self.origin {
            Origin::Foreign(lease) => {
                let token = lease.token;
                // Nothing but the duty to release is forgotten.
                mem::forget(self);
                Ok(token)
            }
            Origin::Own(_) => Err(self),
        }
    }

    /// A segment of its own size for one row that does not fit an ordinary segment.
    ///
    /// Contiguous, zeroed, aligned to 16 bytes, not part of an arena. The memory is allocated here
    /// and freed, and the reservation given up, when the segment or its last reader is dropped.
    ///
    /// # Errors
    ///
    /// When `len` is 0 or above what `lease` reserved, or when the machine has no memory.
    pub fn jumbo(lease: JumboLease, len: usize) -> Result<Self, JumboError> {
        let memory = JumboMemory::allocate(lease, len)?;
        Ok(Self {
            start: memory.start(),
            len: memory.len(),
            index: NO_INDEX,
            origin: Origin::Own(Own::Jumbo(Arc::new(memory))),
        })
    }

    /// Makes the first `len` bytes readable by many and writable by none.
    ///
    /// No allocation and no copy for pooled and jumbo segments.
    ///
    /// # Panics
    ///
    /// When `len` exceeds the segment.
    pub fn freeze(self, len: usize) -> Buffer {
        assert!(len <= self.len(), "cannot freeze {len} bytes of a segment of {}", self.len());
        Buffer::new(self, len as u32)
    }

    /// The number of this segment within its arena, for backends that registered the arena.
    ///
    /// `None` for jumbo and foreign segments. Together with
    /// [`arena_base`](Self::arena_base) it names the memory.
    pub fn index(&self) -> Option<u32> {
        (self.index != NO_INDEX).then_some(self.index)
    }

    /// The first byte of the arena this segment is part of.
    ///
    /// A process may have several arenas (network, managed); a backend that registered one of them
    /// compares this before it uses [`index`](Self::index). `None` for jumbo and foreign segments.
    pub fn arena_base(&self) -> Option<NonNull<u8>> {
        match &self.origin {
            Origin::Own(Own::Pool(ledger)) => Some(ledger.shared.store.base()),
            _ => None,
        }
    }

    /// The first byte, for a backend that hands the segment to the operating system.
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// The ledger that a pooled segment is charged to.
    pub(crate) fn ledger(&self) -> Option<&Arc<Ledger>> {
        match &self.origin {
            Origin::Own(Own::Pool(ledger)) => Some(ledger),
            _ => None,
        }
    }
}

impl Segment {
    /// Asks the processor to bring the cache line of a byte near, and does not wait for it. Does
    /// nothing beyond the segment's end, and where the processor cannot be asked.
    #[inline(always)]
    pub fn prefetch(&self, at: usize) {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        if let Some(byte) = self.get(at) {
            use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: SSE is part of x86-64, and a prefetch of memory that is ours reads nothing.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(core::ptr::from_ref(byte).cast()) }
        }
        #[cfg(not(all(target_arch = "x86_64", not(miri))))]
        let _ = at;
    }
}

impl Deref for Segment {
    type Target = [u8];

    #[inline(always)]
    fn deref(&self) -> &[u8] {
        // SAFETY: `start` and `len` describe initialised memory that lives as long as the lease,
        // and nobody else writes to it while we hold the lease.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len as usize) }
    }
}

impl DerefMut for Segment {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and the lease is borrowed exclusively.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len as usize) }
    }
}

impl AsRef<[u8]> for Segment {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        // Foreign and jumbo memory is released by its own `Drop`.
        if let Origin::Own(Own::Pool(ledger)) = &self.origin {
            ledger.give_back(self.index);
        }
    }
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segment").field("len", &self.len).field("index", &self.index()).finish()
    }
}

#[cfg(test)]
pub(crate) mod test_arena;
#[cfg(all(test, not(loom)))]
mod tests;
