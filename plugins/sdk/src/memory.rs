//! Managed memory of the host, as the state of a chain asks for it, and files.

mod files;

use std::{ffi::c_void, ptr::NonNull, sync::Arc};

use millstream_abi::{LentSegment, StateHost};
use millstream_dataflow::chain::{StateFiles, StateMemory};
use millstream_memory::Segment;

/// What the host has lent to a chain that is open.
pub(crate) struct HostMemory(StateHost);

// SAFETY: the host takes these calls from any thread, as `StateHost` says.
unsafe impl Send for HostMemory {}
// SAFETY: as above.
unsafe impl Sync for HostMemory {}

impl HostMemory {
    /// The memory behind `host`, for the state of the chain that it was given to.
    pub(crate) fn shared(host: StateHost) -> Arc<dyn StateMemory> {
        Arc::new(Self(host))
    }

    fn lender(&self) -> *mut c_void {
        self.0.lender
    }
}

impl StateMemory for HostMemory {
    fn segment_size(&self) -> usize {
        self.0.segment_size
    }

    fn lease(&self) -> Option<Segment> {
        let mut lent =
            LentSegment { start: std::ptr::null_mut(), length: 0, token: 0, page_bytes: 0 };
        // SAFETY: the lender is good while the chain is open, whose state this is part of.
        let status = unsafe { (self.0.lease)(self.lender(), &raw mut lent) };
        let start = NonNull::new(lent.start).filter(|_| status >= 0)?;
        // SAFETY: the host lends so many initialised bytes for this chain alone, and takes the token
        // back from any thread while the chain is open; the segment is part of the chain.
        Some(unsafe {
            Segment::foreign(start, lent.length, self.lender(), lent.token, self.0.give_back)
        })
    }

    fn reserve(&self, bytes: u64) -> bool {
        // SAFETY: the lender is good while the chain is open, whose state this is part of.
        unsafe { (self.0.reserve)(self.lender(), bytes) >= 0 }
    }

    fn release(&self, bytes: u64) {
        // SAFETY: the lender is good while the chain is open, whose state this is part of.
        unsafe { (self.0.release)(self.lender(), bytes) }
    }

    fn files(&self) -> Option<StateFiles> {
        files::open(self.0)
    }
}
