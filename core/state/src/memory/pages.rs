//! Pages of four KiB, cut from leased segments.

use alloc::vec::Vec;

use millstream_memory::Segment;

use crate::Lease;

/// Bytes of a page: what is split, copied for a snapshot and reused as a whole.
pub(crate) const PAGE: usize = 4096;
pub(crate) type Page = [u8; PAGE];

/// No page.
pub(crate) const NONE: u32 = u32::MAX;

/// What is kept for a page outside of it, in bytes, its part of the segment's own lease included.
const BOOK: u64 = 16;

/// All pages of a backend, used or free.
#[derive(Debug)]
pub(crate) struct Pages<L: Lease> {
    lease: L,
    segments: Vec<Segment>,
    /// Pages in a segment, as a power of two.
    shift: u32,
    /// The free page that was used last; each free page begins with the number of the next.
    free: u32,
    free_count: u32,
    /// Bytes reserved for tables.
    reserved: u64,
    pub(super) cow: CopyOnWrite,
}

/// Which pages the open snapshot still needs as they are.
#[derive(Debug, Default)]
pub(super) struct CopyOnWrite {
    /// The number of the open snapshot; 0 if there is none.
    pub(super) open: u32,
    pub(super) last: u32,
    /// By page: the snapshot that it has been preserved for, or was taken during.
    pub(super) seen: Vec<u32>,
    /// By page: where the snapshot finds what it was.
    pub(super) saved: Vec<u32>,
    /// Copies at hand, and how many there may be.
    pub(super) copies: u32,
    pub(super) copies_max: u32,
    /// The page that must be written next, because somebody waits to change it.
    pub(super) urgent: u32,
}

/// The page has to be written to the snapshot before it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SnapshotFirst;

impl<L: Lease> Pages<L> {
    /// # Panics
    /// If segments are smaller than a page, which no arena's are.
    pub(crate) fn new(lease: L, copies_max: u32) -> Self {
        let pages = lease.segment_size() / PAGE;
        assert!(pages.is_power_of_two(), "segments of {} bytes", lease.segment_size());
        let cow = CopyOnWrite { copies_max, urgent: NONE, ..CopyOnWrite::default() };
        Self {
            lease,
            segments: Vec::new(),
            shift: pages.trailing_zeros(),
            free: NONE,
            free_count: 0,
            reserved: 0,
            cow,
        }
    }

    /// # Panics
    /// If there is no such page: numbers of pages never come from outside.
    #[inline(always)]
    pub(crate) fn page(&self, page: u32) -> &Page {
        let segment = &*self.segments[(page >> self.shift) as usize];
        &segment.as_chunks::<PAGE>().0[page as usize & ((1 << self.shift) - 1)]
    }

    /// Asks for the cache line of a byte of a page.
    #[inline(always)]
    pub(crate) fn prefetch(&self, page: u32, at: usize) {
        let number = page as usize & ((1 << self.shift) - 1);
        if let Some(segment) = self.segments.get((page >> self.shift) as usize) {
            segment.prefetch(number * PAGE + at);
        }
    }

    /// A page that is part of no snapshot, or was just [prepared](Self::prepare).
    #[inline(always)]
    pub(crate) fn page_mut(&mut self, page: u32) -> &mut Page {
        let segment = &mut *self.segments[(page >> self.shift) as usize];
        &mut segment.as_chunks_mut::<PAGE>().0[page as usize & ((1 << self.shift) - 1)]
    }

    /// Makes a page writable: the snapshot gets a copy if it still needs what is there.
    #[inline(always)]
    pub(crate) fn prepare(&mut self, page: u32) -> Result<(), SnapshotFirst> {
        if self.is_shared(page) { self.preserve(page) } else { Ok(()) }
    }

    /// Whether the open snapshot needs a page as it is.
    #[inline(always)]
    pub(crate) fn is_shared(&self, page: u32) -> bool {
        self.cow.open != 0 && self.cow.seen[page as usize] != self.cow.open
    }

    #[cold]
    #[inline(never)]
    fn preserve(&mut self, page: u32) -> Result<(), SnapshotFirst> {
        let copy = if self.cow.copies < self.cow.copies_max { self.take() } else { None };
        let Some(copy) = copy else {
            self.cow.urgent = page;
            return Err(SnapshotFirst);
        };
        self.copy(page, copy);
        self.cow.copies += 1;
        self.cow.seen[page as usize] = self.cow.open;
        self.cow.saved[page as usize] = copy;
        Ok(())
    }

    /// A page with anything in it; `None` if the budget is used up.
    pub(crate) fn take(&mut self) -> Option<u32> {
        if self.free == NONE {
            self.grow()?;
        }
        let page = self.free;
        let bytes = self.page_mut(page);
        let next = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        self.free = next;
        self.free_count -= 1;
        self.cow.seen[page as usize] = self.cow.open;
        self.cow.saved[page as usize] = NONE;
        Some(page)
    }

    fn copy(&mut self, from: u32, to: u32) {
        let range = |page: u32| {
            let begin = (page as usize & ((1 << self.shift) - 1)) * PAGE;
            begin..begin + PAGE
        };
        let (source, target) = (range(from), range(to).start);
        let segments = [(from >> self.shift) as usize, (to >> self.shift) as usize];
        match self.segments.get_disjoint_mut(segments) {
            Ok([old, new]) => new[target..target + PAGE].copy_from_slice(&old[source]),
            Err(_) => self.segments[segments[0]].copy_within(source, target),
        }
    }

    /// Ends the use of a page. The snapshot keeps it if it still needs it.
    pub(crate) fn give(&mut self, page: u32) {
        if self.is_shared(page) {
            self.cow.seen[page as usize] = self.cow.open;
            self.cow.saved[page as usize] = page;
            return;
        }
        match self.cow.saved[page as usize] {
            NONE => self.put_free(page),
            copy => {
                // What was copied goes back, so that the page is not used for something else
                // before the snapshot has it.
                self.copy(copy, page);
                self.cow.saved[page as usize] = page;
                self.cow.copies -= 1;
                self.put_free(copy);
            }
        }
    }

    /// Ends the use of a page that snapshots do not read.
    pub(super) fn discard(&mut self, page: u32) {
        self.put_free(page);
    }

    /// Sets so many free pages aside, for what must not fail half-way; `false` if they are not there.
    pub(super) fn ensure(&mut self, pages: u32) -> bool {
        while self.free_count < pages {
            if self.grow().is_none() {
                return false;
            }
        }
        true
    }

    pub(super) fn put_free(&mut self, page: u32) {
        let next = self.free.to_le_bytes();
        self.page_mut(page)[..4].copy_from_slice(&next);
        self.free = page;
        self.free_count += 1;
    }

    fn grow(&mut self) -> Option<()> {
        let pages = 1u32 << self.shift;
        let first = u32::try_from(self.segments.len()).ok()?.checked_mul(pages)?;
        if first > u32::MAX >> 4 || !self.reserve(BOOK * u64::from(pages)) {
            return None;
        }
        let Some(segment) = self.lease.lease() else {
            self.release(BOOK * u64::from(pages));
            return None;
        };
        self.segments.push(segment);
        let end = (first + pages) as usize;
        self.cow.seen.resize(end, 0);
        self.cow.saved.resize(end, NONE);
        (first..first + pages).rev().for_each(|page| self.put_free(page));
        Some(())
    }

    /// Reserves bytes for a table outside of pages.
    pub(crate) fn reserve(&mut self, bytes: u64) -> bool {
        let granted = self.lease.reserve(bytes);
        self.reserved += if granted { bytes } else { 0 };
        granted
    }

    pub(crate) fn release(&mut self, bytes: u64) {
        self.reserved -= bytes;
        self.lease.release(bytes);
    }

    /// Pages that are in use, copies for a snapshot included.
    pub(crate) fn used(&self) -> u32 {
        ((self.segments.len() as u32) << self.shift) - self.free_count
    }

    /// Bytes of the budget that are held.
    pub(crate) fn held(&self) -> u64 {
        (((self.segments.len() as u64) << self.shift) * PAGE as u64) + self.reserved
    }
}

impl<L: Lease> Drop for Pages<L> {
    fn drop(&mut self) {
        self.lease.release(self.reserved);
    }
}
