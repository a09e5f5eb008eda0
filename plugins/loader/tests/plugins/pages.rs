//! Sources that say wrong things about the segments that they fill.

mod raw;

use std::ffi::c_void;

use millstream_abi::{
    BorrowedBytes, BorrowedOptions, BytesSink, FAILED, FILLED, FilledPage, Host, OK, Plugin,
    SourceTable, Status, SubtaskInfo, TOO_SMALL, VERSION,
};

type Fill = unsafe extern "C" fn(*mut c_void, *mut u8, usize, *mut FilledPage, BytesSink) -> Status;

/// Something to point to.
const HANDLE: *mut c_void = std::ptr::dangling_mut::<u64>().cast();

unsafe extern "C" fn open(_: BorrowedOptions, _: BorrowedBytes, _: BytesSink) -> *mut c_void {
    HANDLE
}

unsafe extern "C" fn enumerate(_: *mut c_void, splits: BytesSink, _: BytesSink) -> Status {
    let split = BorrowedBytes { start: b"all".as_ptr(), length: 3 };
    // SAFETY: the host copies the split before it returns.
    unsafe { (splits.take)(splits.context, split) };
    OK
}

unsafe extern "C" fn open_reader(
    _: *mut c_void,
    _: *const SubtaskInfo,
    _: BytesSink,
) -> *mut c_void {
    HANDLE
}

unsafe extern "C" fn begin_split(_: *mut c_void, _: BorrowedBytes, _: BytesSink) -> Status {
    OK
}

unsafe extern "C" fn close(_: *mut c_void) {}

unsafe extern "C" fn fill_oversized(
    _: *mut c_void,
    _: *mut u8,
    length: usize,
    page: *mut FilledPage,
    _: BytesSink,
) -> Status {
    // SAFETY: the host lends the page for the call.
    unsafe { *page = FilledPage { length: length as u32 + 1, rows: 1 } };
    FILLED
}

unsafe extern "C" fn fill_badly(
    _: *mut c_void,
    segment: *mut u8,
    length: usize,
    page: *mut FilledPage,
    _: BytesSink,
) -> Status {
    // SAFETY: the host lends segment and page for the call.
    unsafe {
        segment.write_bytes(0xA5, length);
        *page = FilledPage { length: length as u32, rows: 1 };
    }
    FILLED
}

unsafe extern "C" fn fill_backwards(
    _: *mut c_void,
    _: *mut u8,
    length: usize,
    page: *mut FilledPage,
    _: BytesSink,
) -> Status {
    // SAFETY: the host lends the page for the call.
    unsafe { *page = FilledPage { length: length as u32 / 2, rows: 0 } };
    TOO_SMALL
}

unsafe extern "C" fn rest_of_split(_: *mut c_void, _: BytesSink, _: BytesSink) -> Status {
    FAILED
}

unsafe extern "C" fn is_bounded(_: *mut c_void, _: BytesSink) -> Status {
    1
}

fn table(fill: Fill) -> *const c_void {
    let table: *const SourceTable = Box::leak(Box::new(SourceTable {
        size: size_of::<SourceTable>() as u32,
        version: VERSION,
        open,
        enumerate,
        open_reader,
        begin_split,
        fill,
        rest_of_split,
        close_reader: close,
        close,
        is_bounded,
    }));
    table.cast()
}

/// The plugin's entry.
#[unsafe(no_mangle)]
pub extern "C" fn millstream_plugin_v1(_host: *const Host) -> *const Plugin {
    let sources = [
        ("oversized", table(fill_oversized)),
        ("bad-page", table(fill_badly)),
        ("backwards", table(fill_backwards)),
    ];
    Box::leak(Box::new(raw::plugin("pages", &sources)))
}
