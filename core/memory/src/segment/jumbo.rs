//! Rows that do not fit a segment: memory of their own, out of a budget of its own.

use alloc::alloc::{Layout, alloc_zeroed, dealloc};
use core::error::Error;
use core::fmt;
use core::ptr::NonNull;
use core::task::Waker;

use crate::sync::{Arc, AtomicU64, Ordering};
use crate::waker::WakerSlot;

/// The default of `max-record-size`, in bytes.
pub const JUMBO_ROW_MAX_DEFAULT: u64 = 16 << 20;

/// The budget of one gate for jumbo rows, in bytes.
///
/// A receiver reserves the whole row before it accepts the second fragment. While nothing is
/// reserved, one row up to the largest allowed size can always proceed, even above the limit: so a
/// small budget slows large rows down but never stops them. Clones share the budget.
#[derive(Clone)]
pub struct JumboBudget(Arc<Budget>);

struct Budget {
    limit: u64,
    row_max: u64,
    /// `WAITING` and the reserved bytes.
    state: AtomicU64,
    listener: WakerSlot,
}

const WAITING: u64 = 1 << 63;

impl JumboBudget {
    /// A budget of `limit` bytes for rows of at most `row_max` bytes each.
    ///
    /// # Panics
    ///
    /// When `row_max` is 0 or above 1 GiB.
    pub fn new(limit: u64, row_max: u64) -> Self {
        assert!(
            (1..=1 << 30).contains(&row_max),
            "the largest row must have 1 byte to 1 GiB, not {row_max} bytes"
        );
        let limit = limit.min(WAITING >> 1);
        let state = AtomicU64::new(0);
        Self(Arc::new(Budget { limit, row_max, state, listener: WakerSlot::new() }))
    }

    /// Reserves `bytes` for one row.
    ///
    /// # Errors
    ///
    /// [`JumboError::RowTooLarge`] is final; after [`JumboError::BudgetUsed`]
    /// [`register`](Self::register) and try again when woken.
    pub fn reserve(&self, bytes: u64) -> Result<JumboLease, JumboError> {
        let budget = &*self.0;
        if bytes > budget.row_max {
            return Err(JumboError::RowTooLarge { bytes, row_max: budget.row_max });
        }
        let mut state = budget.state.load(Ordering::Acquire);
        loop {
            let reserved = state & !WAITING;
            if reserved > 0 && reserved + bytes > budget.limit {
                return Err(JumboError::BudgetUsed { bytes, reserved, limit: budget.limit });
            }
            match budget.state.compare_exchange_weak(
                state,
                state + bytes,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return Ok(JumboLease { budget: self.clone(), bytes }),
                Err(current) => state = current,
            }
        }
    }

    /// Arranges that `waker` is called at the next return of reserved bytes; at once if nothing is
    /// reserved.
    ///
    /// Try [`reserve`](Self::reserve) again *after* registering: what was returned between the
    /// failure and the registration wakes nobody.
    pub fn register(&self, waker: &Waker) {
        self.0.listener.register(waker);
        if self.0.state.fetch_or(WAITING, Ordering::AcqRel) & !WAITING == 0 {
            self.0.notify();
        }
    }

    /// The bytes that are reserved now.
    pub fn reserved(&self) -> u64 {
        self.0.state.load(Ordering::Acquire) & !WAITING
    }

    /// The limit in bytes.
    pub fn limit(&self) -> u64 {
        self.0.limit
    }
}

impl Budget {
    fn notify(&self) {
        self.state.fetch_and(!WAITING, Ordering::AcqRel);
        self.listener.wake();
    }
}

impl fmt::Debug for JumboBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JumboBudget")
            .field("limit", &self.0.limit)
            .field("reserved", &self.reserved())
            .finish_non_exhaustive()
    }
}

/// Reserved bytes of a [`JumboBudget`]; dropping it gives them back.
#[derive(Debug)]
pub struct JumboLease {
    budget: JumboBudget,
    bytes: u64,
}

impl JumboLease {
    /// The reserved bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for JumboLease {
    fn drop(&mut self) {
        let before = self.budget.0.state.fetch_sub(self.bytes, Ordering::AcqRel);
        assert!(before & !WAITING >= self.bytes, "a jumbo budget got back more than it lent");
        if before & WAITING != 0 {
            self.budget.0.notify();
        }
    }
}

/// Why a jumbo row cannot have its memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JumboError {
    /// The row is larger than any row may be.
    RowTooLarge {
        /// Size of the row in bytes.
        bytes: u64,
        /// Largest allowed size in bytes.
        row_max: u64,
    },
    /// Other jumbo rows hold the budget; it will come back.
    BudgetUsed {
        /// Size of the row in bytes.
        bytes: u64,
        /// Bytes reserved by others.
        reserved: u64,
        /// Limit of the budget in bytes.
        limit: u64,
    },
    /// A segment was asked for that is empty or larger than its reservation.
    OutsideReservation {
        /// Size asked for, in bytes.
        bytes: u64,
        /// Reserved bytes.
        reserved: u64,
    },
    /// The machine has no memory left.
    OutOfMemory {
        /// Size asked for, in bytes.
        bytes: u64,
    },
}

impl fmt::Display for JumboError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RowTooLarge { bytes, row_max } => write!(
                f,
                "a row of {bytes} bytes exceeds the largest allowed row of {row_max} bytes; raise \
                 `max-record-size` or shorten the row"
            ),
            Self::BudgetUsed { bytes, reserved, limit } => write!(
                f,
                "a row of {bytes} bytes must wait: {reserved} of {limit} bytes for jumbo rows are \
                 in use; raise `memory.jumbo.size` if this happens often"
            ),
            Self::OutsideReservation { bytes, reserved } => write!(
                f,
                "a jumbo segment of {bytes} bytes does not fit its reservation of {reserved} \
                 bytes; reserve the size of the row first"
            ),
            Self::OutOfMemory { bytes } => write!(
                f,
                "the machine has no {bytes} bytes for a jumbo row; lower `max-record-size` or give \
                 the process more memory"
            ),
        }
    }
}

impl Error for JumboError {}

/// What `malloc` gives anyway, and the widest value in a page asks for. Beyond it, allocators
/// cannot use fresh zero pages of the operating system, and would write all zeros by hand.
const JUMBO_ALIGNMENT: usize = 16;

/// The allocation behind a jumbo segment, with its reservation.
pub(super) struct JumboMemory {
    start: NonNull<u8>,
    layout: Layout,
    _lease: JumboLease,
}

// SAFETY: the memory is reached only through the segment or buffers that hold this, under their
// rules; this type itself never reads or writes it.
unsafe impl Send for JumboMemory {}
// SAFETY: as above.
unsafe impl Sync for JumboMemory {}

impl JumboMemory {
    pub(super) fn allocate(lease: JumboLease, len: usize) -> Result<Self, JumboError> {
        let (bytes, reserved) = (len as u64, lease.bytes);
        if bytes == 0 || bytes > reserved {
            return Err(JumboError::OutsideReservation { bytes, reserved });
        }
        let Ok(layout) = Layout::from_size_align(len, JUMBO_ALIGNMENT) else {
            return Err(JumboError::OutOfMemory { bytes });
        };
        // SAFETY: the layout has a size, checked above.
        match NonNull::new(unsafe { alloc_zeroed(layout) }) {
            Some(start) => Ok(Self { start, layout, _lease: lease }),
            None => Err(JumboError::OutOfMemory { bytes }),
        }
    }

    pub(super) fn start(&self) -> NonNull<u8> {
        self.start
    }

    pub(super) fn len(&self) -> u32 {
        // A reservation is at most 1 GiB.
        self.layout.size() as u32
    }
}

impl Drop for JumboMemory {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout in `allocate`, freed only here.
        unsafe { dealloc(self.start.as_ptr(), self.layout) }
    }
}
