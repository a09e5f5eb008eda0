//! The fence around every call into a plugin.

use std::{
    any::Any,
    ffi::c_void,
    panic::{AssertUnwindSafe, catch_unwind},
    ptr,
};

use millstream_abi::{BytesSink, FAILED, PANICKED, Status};

use crate::{Error, borrow::lend_bytes};

/// Runs a call that gives a status; failures and panics are told to `errors`.
pub(crate) fn status(errors: BytesSink, call: impl FnOnce() -> Result<Status, Error>) -> Status {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(status)) => status,
        Ok(Err(error)) => {
            tell(errors, &error.to_string());
            FAILED
        }
        Err(panic) => {
            tell(errors, &panic_message(&*panic));
            PANICKED
        }
    }
}

/// Runs a call that gives a handle; null on failure.
pub(crate) fn handle<T>(
    errors: BytesSink,
    call: impl FnOnce() -> Result<Box<T>, Error>,
) -> *mut c_void {
    let mut opened = ptr::null_mut();
    status(errors, || {
        opened = Box::into_raw(call()?).cast();
        Ok(0)
    });
    opened
}

/// Drops a handle; a panic in its destructor ends here.
///
/// # Safety
/// `handle` came from [`handle`] with the same type, and is not used again.
pub(crate) unsafe fn close<T>(handle: *mut c_void) {
    if handle.is_null() {
        return;
    }
    // SAFETY: the caller's promise.
    let owned = unsafe { Box::from_raw(handle.cast::<T>()) };
    let _ = catch_unwind(AssertUnwindSafe(|| drop(owned)));
}

/// # Safety
/// `handle` came from [`handle`] with the same type, is open, and nobody else uses it meanwhile.
pub(crate) unsafe fn exclusive<'a, T>(handle: *mut c_void) -> Result<&'a mut T, Error> {
    // SAFETY: the caller's promise.
    unsafe { handle.cast::<T>().as_mut() }.ok_or_else(|| Error::new("the host passed no handle"))
}

/// # Safety
/// As [`exclusive`], but others may share it.
pub(crate) unsafe fn shared<'a, T>(handle: *mut c_void) -> Result<&'a T, Error> {
    // SAFETY: the caller's promise.
    unsafe { handle.cast::<T>().as_ref() }.ok_or_else(|| Error::new("the host passed no handle"))
}

pub(crate) fn tell(errors: BytesSink, message: &str) {
    give(errors, message.as_bytes());
}

pub(crate) fn give(sink: BytesSink, bytes: &[u8]) {
    // SAFETY: the host passed the sink for this call, and copies the bytes before it returns.
    unsafe { (sink.take)(sink.context, lend_bytes(bytes)) }
}

pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", text.unwrap_or("no message"))
}
