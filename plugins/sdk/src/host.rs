//! The host, as a plugin asks it for things.

use std::{
    mem,
    sync::atomic::{AtomicPtr, Ordering},
};

use millstream_abi::Host;

use crate::Error;

/// What the loader passed to this library's entry. A library is loaded into one process, whose host
/// has one table.
static HOST: AtomicPtr<Host> = AtomicPtr::new(std::ptr::null_mut());

/// Keeps the host for later calls.
///
/// # Safety
/// `host` is null, or points to a host's table that lives as long as the process.
pub(crate) unsafe fn keep(host: *const Host) {
    if !host.is_null() {
        HOST.store(host.cast_mut(), Ordering::Release);
    }
}

/// The host.
///
/// # Errors
/// If there is none, or it is older than what this library asks of it.
pub(crate) fn host() -> Result<&'static Host, Error> {
    let host = HOST.load(Ordering::Acquire);
    if host.is_null() {
        return Err(Error::new("the plugin was not loaded by a host"));
    }
    // SAFETY: `keep` was promised a table for ever; every table begins with its size, and the rest
    // is only looked at if it is there.
    unsafe {
        match *host.cast::<u32>() as usize >= mem::size_of::<Host>() {
            true => Ok(&*host),
            false => Err(Error::new("this engine is too old: it has no formats of plugins")),
        }
    }
}
