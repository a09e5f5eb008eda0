//! Segments lent by somebody else.

use core::ffi::c_void;

/// Gives a foreign segment back to its lender: `release(ctx, token)`.
///
/// # Safety
///
/// `ctx` and `token` are those that came with the segment, and the call is the only one for it.
pub type ReleaseFn = unsafe extern "C" fn(ctx: *mut c_void, token: u64);

/// The duty to call `release` exactly once.
pub(super) struct ForeignLease {
    pub(super) release: ReleaseFn,
    pub(super) ctx: *mut c_void,
    pub(super) token: u64,
}

// SAFETY: the constructor `Segment::foreign` demands that `release` may be called with `ctx` from
// any thread; nothing else is done with the pointer.
unsafe impl Send for ForeignLease {}
// SAFETY: a shared reference gives no access to anything.
unsafe impl Sync for ForeignLease {}

impl Drop for ForeignLease {
    fn drop(&mut self) {
        // SAFETY: promised to `Segment::foreign`; `drop` runs once.
        unsafe { (self.release)(self.ctx, self.token) }
    }
}
