//! Functions that say wrong things about what they give.

mod raw;

use std::ffi::c_void;

use millstream_abi::{
    BorrowedBytes, BorrowedRows, BorrowedSignature, BorrowedStr, BytesSink, DONE, FILLED,
    FUNCTION_AGGREGATE, FUNCTION_SCALAR, FUNCTION_TABLE, FilledPage, FunctionProperties,
    FunctionTable, Host, KIND_FUNCTION, NOTHING, OK, Plugin, RowSink, SignatureSink, Status,
    TOO_SMALL, VERSION,
};
use millstream_data::{
    page::{Layout, RowBuilder, Shape},
    types::{DataType, Field, Schema},
};
use millstream_dataflow::graph::encode_schema;

type Describe = unsafe extern "C" fn(*mut FunctionProperties, SignatureSink, BytesSink) -> Status;
type Call = unsafe extern "C" fn(
    *mut c_void,
    BorrowedBytes,
    u32,
    u32,
    *mut u8,
    usize,
    *mut FilledPage,
    BytesSink,
) -> Status;

/// Something to point to.
const HANDLE: *mut c_void = std::ptr::dangling_mut::<u64>().cast();

/// A function of a number that gives a number.
unsafe fn describe(properties: *mut FunctionProperties, sink: SignatureSink, kind: u32) -> Status {
    let number = |name: &str| Schema::new(vec![Field::new(name, DataType::Int64)]);
    let (arguments, results) = (encode_schema(&number("a")), encode_schema(&number("b")));
    let lend = |bytes: &[u8]| BorrowedBytes { start: bytes.as_ptr(), length: bytes.len() };
    let signature = BorrowedSignature {
        size: size_of::<BorrowedSignature>() as u32,
        arguments: lend(&arguments),
        results: lend(&results),
        accumulator: lend(&results),
        doc: BorrowedStr { start: std::ptr::null(), length: 0 },
    };
    // SAFETY: the host lends properties and sink for the call, and copies the signature.
    unsafe {
        (*properties).kind = kind;
        (sink.take)(sink.context, &raw const signature);
    }
    OK
}

unsafe extern "C" fn scalar(
    properties: *mut FunctionProperties,
    sink: SignatureSink,
    _: BytesSink,
) -> Status {
    // SAFETY: as the host promises.
    unsafe { describe(properties, sink, FUNCTION_SCALAR) }
}

unsafe extern "C" fn aggregate(
    properties: *mut FunctionProperties,
    sink: SignatureSink,
    _: BytesSink,
) -> Status {
    // SAFETY: as the host promises.
    unsafe { describe(properties, sink, FUNCTION_AGGREGATE) }
}

unsafe extern "C" fn table_function(
    properties: *mut FunctionProperties,
    sink: SignatureSink,
    _: BytesSink,
) -> Status {
    // SAFETY: as the host promises.
    unsafe { describe(properties, sink, FUNCTION_TABLE) }
}

unsafe extern "C" fn open(_: u32, _: u32, _: BytesSink) -> *mut c_void {
    HANDLE
}

/// Writes a good page of so many rows.
unsafe fn fill(
    segment: *mut u8,
    length: usize,
    page: *mut FilledPage,
    rows: usize,
    argument_row: Option<u32>,
) -> Status {
    let mut fields = vec![Field::new("b", DataType::Int64)];
    fields.extend(argument_row.map(|_| Field::new("argument row", DataType::UInt32)));
    let shape = std::sync::Arc::new(Shape::new(&Schema::new(fields)));
    // SAFETY: the host lends segment and page for the call.
    let (segment, page) = unsafe { (std::slice::from_raw_parts_mut(segment, length), &mut *page) };
    let Some(layout) = Layout::fitted(&shape, length, 0) else { return NOTHING };
    let mut builder = RowBuilder::new(segment, &shape, &layout.into());
    for _ in 0..rows {
        builder.put_fixed(0, 7i64.to_le_bytes());
        if let Some(row) = argument_row {
            builder.put_fixed(1, row.to_le_bytes());
        }
        builder.commit();
    }
    let sealed = builder.seal(false);
    *page = FilledPage { length: sealed.length as u32, rows: rows as u32 };
    FILLED
}

macro_rules! call {
    ($name:ident, |$segment:ident, $length:ident, $page:ident| $body:expr) => {
        unsafe extern "C" fn $name(
            _: *mut c_void,
            _: BorrowedBytes,
            _: u32,
            _: u32,
            $segment: *mut u8,
            $length: usize,
            $page: *mut FilledPage,
            _: BytesSink,
        ) -> Status {
            // SAFETY: the host lends segment and page for the call.
            unsafe { $body }
        }
    };
}

call!(oversized, |_segment, length, page| {
    *page = FilledPage { length: length as u32 + 1, rows: 1 };
    FILLED
});
call!(bad_page, |segment, length, page| {
    segment.write_bytes(0xA5, length);
    *page = FilledPage { length: length as u32, rows: 1 };
    FILLED
});
call!(backwards, |_segment, length, page| {
    *page = FilledPage { length: length as u32 / 2, rows: 0 };
    TOO_SMALL
});
call!(too_many, |segment, length, page| fill(segment, length, page, 3, None));
call!(no_rows, |segment, length, page| fill(segment, length, page, 0, None));
call!(never, |_segment, _length, page| {
    *page = FilledPage::default();
    NOTHING
});
call!(other_row, |segment, length, page| fill(segment, length, page, 1, Some(2)));
call!(done, |_segment, _length, page| {
    *page = FilledPage::default();
    DONE
});

unsafe fn give(changed: RowSink, row: u32, bytes: &[u8]) -> Status {
    // SAFETY: the host lends the sink for the call, and copies the row.
    unsafe {
        let bytes = BorrowedBytes { start: bytes.as_ptr(), length: bytes.len() };
        (changed.take)(changed.context, row, bytes);
    }
    OK
}

unsafe extern "C" fn create(_: *mut c_void, accumulator: BytesSink, _: BytesSink) -> Status {
    let bytes = [0; 8];
    // SAFETY: the host lends the sink for the call, and copies the row.
    unsafe {
        let bytes = BorrowedBytes { start: bytes.as_ptr(), length: bytes.len() };
        (accumulator.take)(accumulator.context, bytes);
    }
    OK
}

/// Gives an accumulator that is too short.
unsafe extern "C" fn accumulate(
    _: *mut c_void,
    _: BorrowedBytes,
    _: *const u32,
    _: usize,
    _: BorrowedRows,
    _: u32,
    changed: RowSink,
    _: BytesSink,
) -> Status {
    // SAFETY: as the host promises.
    unsafe { give(changed, 0, &[1; 3]) }
}

/// Changes an accumulator that is not there.
unsafe extern "C" fn merge(
    _: *mut c_void,
    _: BorrowedRows,
    _: BorrowedRows,
    changed: RowSink,
    _: BytesSink,
) -> Status {
    // SAFETY: as the host promises.
    unsafe { give(changed, 9, &[1; 8]) }
}

unsafe extern "C" fn results(
    _: *mut c_void,
    _: BorrowedRows,
    _: u32,
    segment: *mut u8,
    length: usize,
    page: *mut FilledPage,
    _: BytesSink,
) -> Status {
    // SAFETY: as the host promises.
    unsafe { fill(segment, length, page, 2, None) }
}

unsafe extern "C" fn close(_: *mut c_void) {}

fn table(describe: Describe, call: Call) -> *const c_void {
    let table: *const FunctionTable = Box::leak(Box::new(FunctionTable {
        size: size_of::<FunctionTable>() as u32,
        version: VERSION,
        describe,
        open,
        call,
        create,
        accumulate,
        merge,
        results,
        close,
    }));
    table.cast()
}

/// The plugin's entry.
#[unsafe(no_mangle)]
pub extern "C" fn millstream_plugin_v1(_host: *const Host) -> *const Plugin {
    let functions = [
        ("oversized", table(scalar, oversized)),
        ("bad_page", table(scalar, bad_page)),
        ("backwards", table(scalar, backwards)),
        ("too_many", table(scalar, too_many)),
        ("no_rows", table(scalar, no_rows)),
        ("never", table(scalar, never)),
        ("other_row", table(table_function, other_row)),
        ("accumulators", table(aggregate, done)),
    ];
    Box::leak(Box::new(raw::plugin_of(KIND_FUNCTION, "function_pages", &functions)))
}
