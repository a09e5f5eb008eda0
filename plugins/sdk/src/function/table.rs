//! What the tables of all functions have in common.

use std::{ffi::c_void, mem, slice};

use millstream_abi::{
    BorrowedBytes, BorrowedRows, BorrowedSignature, BytesSink, FUNCTION_DETERMINISTIC,
    FUNCTION_RETRACTS, FilledPage, FunctionProperties, OK, RowSink, SignatureSink, Status,
};
use millstream_data::{
    page::ValidPage,
    types::{DataType, Field, Schema},
};
use millstream_dataflow::graph::encode_schema;

use super::Signature;
use crate::{
    Error, borrow,
    borrow::{lend_bytes, lend_str},
    rows::{Columns, Pages},
    thunk,
};

/// The column of a table function that says to which argument row a result belongs.
pub(super) fn argument_row() -> Field {
    Field::new("argument row", DataType::UInt32)
}

/// What a function says of itself.
pub(super) struct Described {
    pub(super) kind: u32,
    pub(super) deterministic: bool,
    pub(super) retracts: bool,
    pub(super) signatures: Vec<Signature>,
    pub(super) accumulator: Schema,
}

/// # Safety
/// Properties and sinks are valid during the call.
pub(super) unsafe fn describe(
    properties: *mut FunctionProperties,
    signatures: SignatureSink,
    errors: BytesSink,
    describe: impl FnOnce() -> Described,
) -> Status {
    thunk::status(errors, || {
        let Described { kind, deterministic, retracts, signatures: all, accumulator } = describe();
        let bit = |is: bool, bit: u32| if is { bit } else { 0 };
        let flags = bit(deterministic, FUNCTION_DETERMINISTIC) | bit(retracts, FUNCTION_RETRACTS);
        // SAFETY: the caller's promise.
        unsafe {
            let size = mem::size_of::<FunctionProperties>() as u32;
            *properties = FunctionProperties { size, kind, flags };
        }
        let accumulator = encode_schema(&accumulator);
        for Signature { arguments, results, doc } in all {
            let arguments = encode_schema(&Schema::new(arguments));
            let results = encode_schema(&Schema::new(results));
            let signature = BorrowedSignature {
                size: mem::size_of::<BorrowedSignature>() as u32,
                arguments: lend_bytes(&arguments),
                results: lend_bytes(&results),
                accumulator: lend_bytes(&accumulator),
                doc: lend_str(&doc),
            };
            // SAFETY: the caller's promise; the host copies the signature before it returns.
            unsafe { (signatures.take)(signatures.context, &raw const signature) };
        }
        Ok(OK)
    })
}

/// The pages of results of the signature of this number.
pub(super) fn pages(
    signatures: Vec<Signature>,
    number: u32,
    more: Option<Field>,
    segment_size: u32,
) -> Result<Pages, Error> {
    let signature = signatures.into_iter().nth(number as usize);
    let signature = signature.ok_or_else(|| Error::new("there is no such signature"))?;
    let mut results = signature.results;
    results.extend(more);
    Pages::new(&Columns::new(&Schema::new(results)), segment_size)
}

/// # Safety
/// The page is readable as long as the result is used, and valid: the host has checked it.
pub(super) unsafe fn page<'a>(page: BorrowedBytes) -> Result<ValidPage<'a>, Error> {
    // SAFETY: the caller's promise.
    let page = ValidPage::trusted(unsafe { borrow::bytes(page) });
    page.map_err(|error| Error::new(error.to_string()))
}

/// # Safety
/// The rows are readable as long as the result is used.
pub(super) unsafe fn rows<'a>(rows: BorrowedRows) -> impl Iterator<Item = &'a [u8]> {
    let rows = match rows.length {
        0 => &[],
        // SAFETY: the caller's promise.
        length => unsafe { slice::from_raw_parts(rows.start, length) },
    };
    // SAFETY: the caller's promise.
    rows.iter().map(|row| unsafe { borrow::bytes(*row) })
}

/// For the calls that a function of this kind does not have.
pub(super) fn no_call(errors: BytesSink, what: &str) -> Status {
    thunk::status(errors, || Err(Error::new(format!("the function is no {what}"))))
}

pub(super) unsafe extern "C" fn no_create(
    _function: *mut c_void,
    _accumulator: BytesSink,
    errors: BytesSink,
) -> Status {
    no_call(errors, "aggregate function")
}

pub(super) unsafe extern "C" fn no_accumulate(
    _function: *mut c_void,
    _arguments: BorrowedBytes,
    _groups: *const u32,
    _groups_length: usize,
    _accumulators: BorrowedRows,
    _retract: u32,
    _changed: RowSink,
    errors: BytesSink,
) -> Status {
    no_call(errors, "aggregate function")
}

pub(super) unsafe extern "C" fn no_merge(
    _function: *mut c_void,
    _into: BorrowedRows,
    _from: BorrowedRows,
    _changed: RowSink,
    errors: BytesSink,
) -> Status {
    no_call(errors, "aggregate function")
}

pub(super) unsafe extern "C" fn no_results(
    _function: *mut c_void,
    _accumulators: BorrowedRows,
    _start: u32,
    _segment: *mut u8,
    _length: usize,
    _page: *mut FilledPage,
    errors: BytesSink,
) -> Status {
    no_call(errors, "aggregate function")
}
