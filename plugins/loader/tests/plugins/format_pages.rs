//! Formats that say wrong things about the segments that they fill, and the bytes that they read.

mod raw;

use std::ffi::c_void;

use millstream_abi::{
    BorrowedBytes, BorrowedOptions, BytesSink, Decoded, DecoderInfo, FILLED, FORMAT_DECODES,
    FilledPage, FormatProperties, FormatTable, Host, Input, InputBlock, KIND_FORMAT, NOTHING, OK,
    Plugin, Status, TOO_SMALL, VERSION,
};

type Decode = unsafe extern "C" fn(
    *mut c_void,
    *const Input,
    *mut u8,
    usize,
    *mut Decoded,
    BytesSink,
) -> Status;

/// Something to point to.
const HANDLE: *mut c_void = std::ptr::dangling_mut::<u64>().cast();

unsafe extern "C" fn open(_: BorrowedOptions, _: BorrowedBytes, _: BytesSink) -> *mut c_void {
    HANDLE
}

unsafe extern "C" fn describe(
    _: *mut c_void,
    properties: *mut FormatProperties,
    _: BytesSink,
) -> Status {
    // SAFETY: the caller lends the properties for the call.
    unsafe { (*properties).flags = FORMAT_DECODES };
    OK
}

unsafe extern "C" fn open_decoder(
    _: *mut c_void,
    _: *const DecoderInfo,
    _: BytesSink,
) -> *mut c_void {
    HANDLE
}

unsafe extern "C" fn open_encoder(_: *mut c_void, _: BytesSink) -> *mut c_void {
    HANDLE
}

unsafe extern "C" fn write(_: *mut c_void, _: BytesSink, _: BytesSink) -> Status {
    OK
}

unsafe extern "C" fn encode(
    _: *mut c_void,
    _: BorrowedBytes,
    _: BytesSink,
    _: BytesSink,
) -> Status {
    OK
}

unsafe extern "C" fn close(_: *mut c_void) {}

unsafe extern "C" fn decode_oversized(
    _: *mut c_void,
    _: *const Input,
    _: *mut u8,
    length: usize,
    decoded: *mut Decoded,
    _: BytesSink,
) -> Status {
    // SAFETY: the caller lends the result for the call.
    unsafe { (*decoded).page = FilledPage { length: length as u32 + 1, rows: 1 } };
    FILLED
}

unsafe extern "C" fn decode_badly(
    _: *mut c_void,
    _: *const Input,
    segment: *mut u8,
    length: usize,
    decoded: *mut Decoded,
    _: BytesSink,
) -> Status {
    // SAFETY: the caller lends segment and result for the call.
    unsafe {
        segment.write_bytes(0xA5, length);
        (*decoded).page = FilledPage { length: length as u32, rows: 1 };
    }
    FILLED
}

unsafe extern "C" fn decode_backwards(
    _: *mut c_void,
    _: *const Input,
    _: *mut u8,
    length: usize,
    decoded: *mut Decoded,
    _: BytesSink,
) -> Status {
    // SAFETY: the caller lends the result for the call.
    unsafe { (*decoded).page = FilledPage { length: length as u32 / 2, rows: 0 } };
    TOO_SMALL
}

unsafe extern "C" fn decode_greedily(
    _: *mut c_void,
    _: *const Input,
    _: *mut u8,
    _: usize,
    decoded: *mut Decoded,
    _: BytesSink,
) -> Status {
    // SAFETY: the caller lends the result for the call.
    unsafe { (*decoded).consumed = usize::MAX };
    NOTHING
}

unsafe extern "C" fn decode_ahead(
    _: *mut c_void,
    input: *const Input,
    _: *mut u8,
    _: usize,
    _: *mut Decoded,
    errors: BytesSink,
) -> Status {
    let none = BorrowedBytes { start: std::ptr::null(), length: 0 };
    let mut block = InputBlock { bytes: none, end: 0, last: 0 };
    // SAFETY: the caller lends the input for the call.
    unsafe { ((*input).more)((*input).context, 1 << 40, 0, &raw mut block, errors) }
}

unsafe extern "C" fn decode_silently(
    _: *mut c_void,
    _: *const Input,
    _: *mut u8,
    _: usize,
    _: *mut Decoded,
    _: BytesSink,
) -> Status {
    millstream_abi::FAILED
}

fn table(decode: Decode) -> *const c_void {
    let table: *const FormatTable = Box::leak(Box::new(FormatTable {
        size: size_of::<FormatTable>() as u32,
        version: VERSION,
        open,
        describe,
        open_decoder,
        decode,
        close_decoder: close,
        open_encoder,
        begin: write,
        encode,
        finish: write,
        close_encoder: close,
        close,
    }));
    table.cast()
}

/// The plugin's entry.
#[unsafe(no_mangle)]
pub extern "C" fn millstream_plugin_v1(_host: *const Host) -> *const Plugin {
    let formats = [
        ("oversized", table(decode_oversized)),
        ("bad-page", table(decode_badly)),
        ("backwards", table(decode_backwards)),
        ("greedy", table(decode_greedily)),
        ("ahead", table(decode_ahead)),
        ("silent", table(decode_silently)),
    ];
    Box::leak(Box::new(raw::plugin_of(KIND_FORMAT, "format_pages", &formats)))
}
