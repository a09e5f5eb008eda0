//! Where the free segments of one arena are kept: a lock-free stack and a side table.

use alloc::boxed::Box;
use core::ptr::NonNull;

use crate::segment::{ALIGNMENT, Arena, check_segment_size};
use crate::sync::{AtomicU32, AtomicU64, CachePadded, Ordering};

/// All segments of one arena, and which of them are free.
///
/// Free segments form a stack, so that the one returned last, whose bytes are still in some cache,
/// goes out first. The top of the stack, a change counter against ABA and one flag share a single
/// atomic; the links live in a table beside the segments, which therefore need no header.
pub(crate) struct Store {
    /// `starved` flag (bit 63), change counter (bits 32 to 62), index of the top (bits 0 to 31).
    head: CachePadded<AtomicU64>,
    slots: Box<[Slot]>,
    base: NonNull<u8>,
    segment_size: usize,
    /// Keeps the memory alive; asked nothing after `new`.
    _arena: Box<dyn Arena>,
}

// SAFETY: `base` points into memory that `_arena`, itself `Send + Sync`, keeps alive and that is
// reached only through leases, each of which belongs to one owner.
unsafe impl Send for Store {}
// SAFETY: as above; all shared fields are atomics or never change.
unsafe impl Sync for Store {}

/// What is known about one segment besides its bytes.
struct Slot {
    /// The next free segment below this one, while this one is free.
    next: AtomicU32,
    /// How many buffers read this segment, while it is frozen.
    readers: AtomicU32,
}

const NONE: u32 = u32::MAX;
const STARVED: u64 = 1 << 63;
const CHANGE_ONE: u64 = 1 << 32;

/// More readers than this of one segment is a leak; counting on would overflow.
const READERS_MAX: u32 = 1 << 31;

/// Ledgers keep counts in 31 bits.
pub(crate) const SEGMENTS_MAX: usize = (1 << 31) - 1;

impl Store {
    /// Takes over all segments of `arena`, all of them free.
    ///
    /// # Panics
    ///
    /// When the arena breaks its contract in a way that can be seen from its numbers.
    pub(crate) fn new(arena: Box<dyn Arena>) -> Self {
        let (base, len, segment_size) = (arena.base(), arena.len(), arena.segment_size());
        if let Err(error) = check_segment_size(segment_size) {
            panic!("broken arena: {error}");
        }
        assert_eq!(base.as_ptr() as usize % ALIGNMENT, 0, "broken arena: base is not aligned");
        assert_eq!(len % segment_size, 0, "broken arena: it ends within a segment");
        let total = len / segment_size;
        assert!((1..=SEGMENTS_MAX).contains(&total), "broken arena: it has {total} segments");
        let last = total as u32 - 1;
        let slots = (0..=last)
            .map(|index| Slot {
                next: AtomicU32::new(if index == last { NONE } else { index + 1 }),
                readers: AtomicU32::new(0),
            })
            .collect();
        Self { head: CachePadded(AtomicU64::new(0)), slots, base, segment_size, _arena: arena }
    }

    /// Takes the segment that was returned last, if any is free.
    pub(crate) fn pop(&self) -> Option<u32> {
        let mut head = self.head.load(Ordering::Acquire);
        loop {
            let index = head as u32;
            if index == NONE {
                return None;
            }
            // May be stale if others were faster; then the change counter differs and we retry.
            let next = self.slots[index as usize].next.load(Ordering::Relaxed);
            match self.head.compare_exchange_weak(
                head,
                changed(head) | u64::from(next),
                Ordering::Acquire,
                Ordering::Acquire,
            ) {
                Ok(_) => return Some(index),
                Err(current) => head = current,
            }
        }
    }

    /// Puts a segment back. `true` when somebody had found the store empty and waits.
    pub(crate) fn push(&self, index: u32) -> bool {
        let slot = &self.slots[index as usize];
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            slot.next.store(head as u32, Ordering::Relaxed);
            // Release: the next owner sees our last access to the bytes. Acquire: whoever set the
            // flag had noted before that it waits, and we must see that.
            match self.head.compare_exchange_weak(
                head,
                (changed(head) | u64::from(index)) & !STARVED,
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return head & STARVED != 0,
                Err(current) => head = current,
            }
        }
    }

    /// Notes that somebody waits for a segment; the next [`push`](Self::push) reports it.
    ///
    /// `false`, and nothing noted, when a segment is free after all. Always a read-modify-write,
    /// even if the flag is set already: what the caller wrote before must be visible to that push.
    pub(crate) fn mark_starved(&self) -> bool {
        let mut head = self.head.load(Ordering::Acquire);
        while head as u32 == NONE {
            match self.head.compare_exchange_weak(
                head,
                head | STARVED,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return true,
                Err(current) => head = current,
            }
        }
        false
    }

    /// Whether no segment was free at some recent instant.
    pub(crate) fn is_empty(&self) -> bool {
        self.head.load(Ordering::Relaxed) as u32 == NONE
    }

    /// Counts the free segments one by one, checking that none is in the stack twice.
    ///
    /// Only meaningful while nobody takes or returns segments; `None` when somebody visibly did.
    pub(crate) fn count_free(&self) -> Option<usize> {
        let head = self.head.load(Ordering::Acquire);
        let mut index = head as u32;
        let mut free = 0;
        while index != NONE {
            free += 1;
            if free > self.total() {
                return None;
            }
            index = self.slots[index as usize].next.load(Ordering::Acquire);
        }
        let unchanged = self.head.load(Ordering::Acquire) | STARVED == head | STARVED;
        unchanged.then_some(free)
    }

    pub(crate) fn total(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn segment_size(&self) -> usize {
        self.segment_size
    }

    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Where the bytes of segment `index` begin.
    pub(crate) fn address(&self, index: u32) -> NonNull<u8> {
        assert!((index as usize) < self.total(), "segment {index} is not of this arena");
        // SAFETY: the arena is one allocation of `total * segment_size` bytes (contract of
        // `Arena`), and the index was just checked.
        unsafe { self.base.add(index as usize * self.segment_size) }
    }

    /// The writable lease becomes the first reader.
    pub(crate) fn readers_begin(&self, index: u32) {
        self.slots[index as usize].readers.store(1, Ordering::Relaxed);
    }

    /// One more reader, made from an existing one.
    pub(crate) fn readers_add(&self, index: u32) {
        let before = self.slots[index as usize].readers.fetch_add(1, Ordering::Relaxed);
        assert!(before < READERS_MAX, "segment {index} has {before} readers: they are leaking");
    }

    /// One reader less. `true` when it was the last: all reads of the others have happened.
    pub(crate) fn readers_remove(&self, index: u32) -> bool {
        let before = self.slots[index as usize].readers.fetch_sub(1, Ordering::AcqRel);
        assert!(before > 0, "segment {index} lost a reader that it never had");
        before == 1
    }

    /// Whether the caller's reader is the only one: all reads of the others have happened.
    pub(crate) fn readers_is_one(&self, index: u32) -> bool {
        self.slots[index as usize].readers.load(Ordering::Acquire) == 1
    }
}

/// The head word with its change counter moved on, its flag kept and its index cleared.
fn changed(head: u64) -> u64 {
    let counter = head.wrapping_add(CHANGE_ONE) & !STARVED;
    (counter & !u64::from(u32::MAX)) | (head & STARVED)
}
