//! Frozen segments, shared by reference count.

use core::fmt;
use core::mem::ManuallyDrop;
use core::ops::{Bound, Deref, RangeBounds};
use core::ptr::{self, NonNull};
use core::slice;

use super::foreign::ForeignLease;
use super::jumbo::JumboMemory;
use super::{NO_INDEX, Origin, Own, Segment};
use crate::ledger::Ledger;
use crate::sync::Arc;

/// A read-only piece of a frozen segment, shared by reference count; its bytes by [`Deref`].
///
/// Cloning costs one atomic increment in a table of the pool and allocates nothing, so a snapshot,
/// a broadcast or a retransmission is a clone. The segment returns to its pool when the last
/// reader, on whichever thread, is dropped.
pub struct Buffer {
    start: NonNull<u8>,
    len: u32,
    index: u32,
    owner: Owner,
}

/// What keeps the bytes alive.
enum Owner {
    Pool(FrozenLease),
    Jumbo(Arc<JumboMemory>),
    Foreign(Arc<ForeignMemory>),
}

/// All readers of one pooled segment share *one* reference to the ledger, owned by their count in
/// the side table: so a clone touches one counter, not two.
struct FrozenLease(NonNull<Ledger>);

/// A foreign segment under a reference count of our own.
struct ForeignMemory {
    start: NonNull<u8>,
    len: u32,
    lease: ForeignLease,
}

// SAFETY: only the lease is used through it, and that is `Send + Sync`; the address is just kept.
unsafe impl Send for ForeignMemory {}
// SAFETY: as above.
unsafe impl Sync for ForeignMemory {}

// SAFETY: the bytes are never written while a buffer exists, and each owner is released from any
// thread: the ledger and jumbo memory are `Send + Sync`, foreign memory promised it.
unsafe impl Send for Buffer {}
// SAFETY: as above.
unsafe impl Sync for Buffer {}

impl Buffer {
    pub(super) fn new(segment: Segment, len: u32) -> Self {
        let segment = ManuallyDrop::new(segment);
        let (start, index) = (segment.start, segment.index);
        // SAFETY: `segment` is not dropped, so its origin is moved out once.
        let owner = match unsafe { ptr::read(&segment.origin) } {
            Origin::Own(Own::Pool(ledger)) => {
                ledger.shared.store.readers_begin(index);
                Owner::Pool(FrozenLease::new(ledger))
            }
            Origin::Own(Own::Jumbo(memory)) => Owner::Jumbo(memory),
            Origin::Foreign(lease) => {
                Owner::Foreign(Arc::new(ForeignMemory { start, len: segment.len, lease }))
            }
        };
        Self { start, len, index, owner }
    }

    /// Another reader of a part of these bytes.
    ///
    /// # Panics
    ///
    /// When the range does not lie within the buffer.
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Self {
        let from = match range.start_bound() {
            Bound::Included(&from) => from,
            Bound::Excluded(&before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(&last) => last.saturating_add(1),
            Bound::Excluded(&to) => to,
            Bound::Unbounded => self.len(),
        };
        assert!(
            from <= to && to <= self.len(),
            "the range {from}..{to} is not within a buffer of {} bytes",
            self.len()
        );
        let mut part = self.clone();
        // SAFETY: `from` is within the buffer (just checked), hence within its allocation.
        part.start = unsafe { self.start.add(from) };
        part.len = (to - from) as u32;
        part
    }

    /// Takes the segment back for writing if this is its only reader.
    ///
    /// The lease covers the whole segment again, and the bytes are unchanged.
    ///
    /// # Errors
    ///
    /// The buffer itself, when others still read.
    pub fn try_unfreeze(self) -> Result<Segment, Self> {
        let mut this = ManuallyDrop::new(self);
        let index = this.index;
        let alone = match &mut this.owner {
            Owner::Pool(frozen) => frozen.ledger().shared.store.readers_is_one(index),
            Owner::Jumbo(memory) => Arc::get_mut(memory).is_some(),
            Owner::Foreign(memory) => Arc::get_mut(memory).is_some(),
        };
        if !alone {
            return Err(ManuallyDrop::into_inner(this));
        }
        // SAFETY: `this` is not dropped, so its owner is moved out once.
        Ok(match unsafe { ptr::read(&this.owner) } {
            Owner::Pool(frozen) => {
                // SAFETY: this is the only reader, and it is used up here.
                Segment::from_ledger(unsafe { frozen.into_ledger() }, index)
            }
            Owner::Jumbo(memory) => Segment {
                start: memory.start(),
                len: memory.len(),
                index: NO_INDEX,
                origin: Origin::Own(Own::Jumbo(memory)),
            },
            Owner::Foreign(memory) => {
                let ForeignMemory { start, len, lease } =
                    Arc::try_unwrap(memory).ok().expect("this is the only reader");
                Segment { start, len, index: NO_INDEX, origin: Origin::Foreign(lease) }
            }
        })
    }

    /// The number of the segment within its arena; see [`Segment::index`].
    pub fn index(&self) -> Option<u32> {
        (self.index != NO_INDEX).then_some(self.index)
    }

    /// The first byte of the arena that the segment is part of; see [`Segment::arena_base`].
    pub fn arena_base(&self) -> Option<NonNull<u8>> {
        match &self.owner {
            Owner::Pool(frozen) => Some(frozen.ledger().shared.store.base()),
            _ => None,
        }
    }
}

impl Clone for Buffer {
    #[inline]
    fn clone(&self) -> Self {
        let owner = match &self.owner {
            Owner::Pool(frozen) => {
                frozen.ledger().shared.store.readers_add(self.index);
                Owner::Pool(FrozenLease(frozen.0))
            }
            Owner::Jumbo(memory) => Owner::Jumbo(memory.clone()),
            Owner::Foreign(memory) => Owner::Foreign(memory.clone()),
        };
        Self { start: self.start, len: self.len, index: self.index, owner }
    }
}

impl Drop for Buffer {
    #[inline]
    fn drop(&mut self) {
        // Jumbo and foreign memory count their readers themselves.
        if let Owner::Pool(frozen) = &self.owner
            && frozen.ledger().shared.store.readers_remove(self.index)
        {
            // SAFETY: this was the last reader, and it ends here.
            let ledger = unsafe { FrozenLease(frozen.0).into_ledger() };
            ledger.give_back(self.index);
        }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    #[inline(always)]
    fn deref(&self) -> &[u8] {
        // SAFETY: `start` and `len` lie within the frozen segment, whose bytes are initialised,
        // alive as long as a reader exists, and not written meanwhile.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len as usize) }
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer").field("len", &self.len).field("index", &self.index()).finish()
    }
}

impl FrozenLease {
    fn new(ledger: Arc<Ledger>) -> Self {
        // SAFETY: a pointer out of an `Arc` is not null.
        Self(unsafe { NonNull::new_unchecked(Arc::into_raw(ledger).cast_mut()) })
    }

    fn ledger(&self) -> &Ledger {
        // SAFETY: the count in the side table, of which every `FrozenLease` in a buffer is part,
        // owns a reference that keeps the ledger alive.
        unsafe { self.0.as_ref() }
    }

    /// The reference that the readers shared.
    ///
    /// # Safety
    ///
    /// The caller is the last reader and does not read any more.
    unsafe fn into_ledger(self) -> Arc<Ledger> {
        // SAFETY: made by `Arc::into_raw` in `new`, and taken out only here, once, by the last.
        unsafe { Arc::from_raw(self.0.as_ptr()) }
    }
}
