//! Calling a plugin.

use std::{ffi::c_void, ptr::NonNull, slice, sync::Arc};

use millstream_abi::{
    BorrowedBytes, BorrowedOption, BorrowedOptions, BorrowedStr, BytesSink, PANICKED, Status,
};

use crate::CallError;

/// Names an extension in errors: `plugin filesystem, source filesystem`.
pub(crate) type Name = Arc<str>;

pub(crate) fn lend_str(text: &str) -> BorrowedStr {
    BorrowedStr { start: text.as_ptr(), length: text.len() }
}

pub(crate) fn lend_bytes(bytes: &[u8]) -> BorrowedBytes {
    BorrowedBytes { start: bytes.as_ptr(), length: bytes.len() }
}

/// Lends options for the call of `call`.
pub(crate) fn lend_options<R>(
    options: &[(String, String)],
    call: impl FnOnce(BorrowedOptions) -> R,
) -> R {
    let lent: Vec<_> = options
        .iter()
        .map(|(key, value)| BorrowedOption { key: lend_str(key), value: lend_str(value) })
        .collect();
    call(BorrowedOptions { start: lent.as_ptr(), length: lent.len() })
}

/// A call that gives a status.
pub(crate) fn status(
    name: &Name,
    call: impl FnOnce(BytesSink) -> Status,
) -> Result<Status, CallError> {
    let mut reason = Vec::new();
    let status = call(collect_last(&mut reason));
    if status < 0 { Err(failure(name, status, &reason)) } else { Ok(status) }
}

/// A call that gives a handle.
pub(crate) fn handle(
    name: &Name,
    call: impl FnOnce(BytesSink) -> *mut c_void,
) -> Result<NonNull<c_void>, CallError> {
    let mut reason = Vec::new();
    let handle = call(collect_last(&mut reason));
    NonNull::new(handle).ok_or_else(|| failure(name, 0, &reason))
}

/// A sink that appends what it is given to a list.
pub(crate) fn collect(all: &mut Vec<Vec<u8>>) -> BytesSink {
    BytesSink { context: (&raw mut *all).cast(), take: take_all }
}

/// A sink that appends what it is given to `out`.
pub(crate) fn append(out: &mut Vec<u8>) -> BytesSink {
    BytesSink { context: (&raw mut *out).cast(), take: take_more }
}

unsafe extern "C" fn take_more(context: *mut c_void, bytes: BorrowedBytes) {
    // SAFETY: as in `take_all`.
    let (out, bytes) = unsafe { (&mut *context.cast::<Vec<u8>>(), borrow(&bytes)) };
    out.extend_from_slice(bytes);
}

fn collect_last(last: &mut Vec<u8>) -> BytesSink {
    BytesSink { context: (&raw mut *last).cast(), take: take_last }
}

unsafe extern "C" fn take_all(context: *mut c_void, bytes: BorrowedBytes) {
    // SAFETY: `collect` passes a list that outlives the call, which the plugin makes from one
    // thread; it lends the bytes.
    let (all, bytes) = unsafe { (&mut *context.cast::<Vec<Vec<u8>>>(), copy(bytes)) };
    all.push(bytes);
}

unsafe extern "C" fn take_last(context: *mut c_void, bytes: BorrowedBytes) {
    // SAFETY: as in `take_all`.
    let (last, bytes) = unsafe { (&mut *context.cast::<Vec<u8>>(), copy(bytes)) };
    *last = bytes;
}

/// # Safety
/// The bytes are readable during the call.
unsafe fn copy(bytes: BorrowedBytes) -> Vec<u8> {
    // SAFETY: the caller's promise.
    unsafe { borrow(&bytes) }.to_vec()
}

/// # Safety
/// The bytes are readable as long as the reference is used.
unsafe fn borrow(bytes: &BorrowedBytes) -> &[u8] {
    if bytes.length == 0 || bytes.start.is_null() {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { slice::from_raw_parts(bytes.start, bytes.length) }
}

fn failure(name: &Name, status: Status, reason: &[u8]) -> CallError {
    let reason = String::from_utf8_lossy(reason);
    CallError::new(match (reason.is_empty(), status) {
        (false, _) => format!("{name}: {reason}"),
        (true, PANICKED) => format!("{name}: panicked"),
        (true, _) => format!("{name}: failed without saying why"),
    })
}

/// A handle of a plugin, which may move between threads.
#[derive(Debug)]
pub(crate) struct Handle(pub(crate) NonNull<c_void>);

// SAFETY: the interface demands that handles may move between threads.
unsafe impl Send for Handle {}
// SAFETY: only factories are shared, and the interface demands that several threads may use them.
unsafe impl Sync for Handle {}
