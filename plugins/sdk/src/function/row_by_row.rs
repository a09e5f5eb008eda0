//! The tables of scalar and table functions.

use std::{ffi::c_void, marker::PhantomData, mem, slice};

use millstream_abi::{
    BorrowedBytes, BytesSink, CALL_BEGIN, DONE, FUNCTION_SCALAR, FUNCTION_TABLE, FilledPage,
    FunctionProperties, FunctionTable, SPLIT_DONE, SignatureSink, Status, VERSION,
};
use millstream_data::types::Schema;

use super::{
    Arguments, ScalarFunction, TableFunction,
    table::{
        Described, argument_row, describe, no_accumulate, no_create, no_merge, no_results, page,
        pages,
    },
};
use crate::{Error, rows::Pages, source::Rows, thunk};

/// The table of a scalar function.
pub(crate) struct ScalarThunks<F>(PhantomData<F>);

impl<F: ScalarFunction> ScalarThunks<F> {
    pub(crate) const TABLE: FunctionTable = FunctionTable {
        size: mem::size_of::<FunctionTable>() as u32,
        version: VERSION,
        describe: describe_scalar::<F>,
        open: open_scalar::<F>,
        call: call_scalar::<F>,
        create: no_create,
        accumulate: no_accumulate,
        merge: no_merge,
        results: no_results,
        close: close_scalar::<F>,
    };
}

/// The table of a table function.
pub(crate) struct TableThunks<F>(PhantomData<F>);

impl<F: TableFunction> TableThunks<F> {
    pub(crate) const TABLE: FunctionTable = FunctionTable {
        size: mem::size_of::<FunctionTable>() as u32,
        version: VERSION,
        describe: describe_table::<F>,
        open: open_table::<F>,
        call: call_table::<F>,
        create: no_create,
        accumulate: no_accumulate,
        merge: no_merge,
        results: no_results,
        close: close_table::<F>,
    };
}

struct OpenScalar<F> {
    function: F,
    pages: Pages,
}

struct OpenTable<F> {
    function: F,
    pages: Pages,
    /// The row of the arguments that is next, or at hand.
    row: usize,
    /// The function is in the middle of it.
    begun: bool,
}

unsafe extern "C" fn describe_scalar<F: ScalarFunction>(
    properties: *mut FunctionProperties,
    signatures: SignatureSink,
    errors: BytesSink,
) -> Status {
    // SAFETY: the host lends properties and sinks for the call.
    unsafe {
        describe(properties, signatures, errors, || Described {
            kind: FUNCTION_SCALAR,
            deterministic: F::DETERMINISTIC,
            retracts: false,
            signatures: F::signatures(),
            accumulator: Schema::default(),
        })
    }
}

unsafe extern "C" fn describe_table<F: TableFunction>(
    properties: *mut FunctionProperties,
    signatures: SignatureSink,
    errors: BytesSink,
) -> Status {
    // SAFETY: the host lends properties and sinks for the call.
    unsafe {
        describe(properties, signatures, errors, || Described {
            kind: FUNCTION_TABLE,
            deterministic: F::DETERMINISTIC,
            retracts: false,
            signatures: F::signatures(),
            accumulator: Schema::default(),
        })
    }
}

unsafe extern "C" fn open_scalar<F: ScalarFunction>(
    signature: u32,
    segment_size: u32,
    errors: BytesSink,
) -> *mut c_void {
    thunk::handle(errors, || {
        let pages = pages(F::signatures(), signature, None, segment_size)?;
        Ok(Box::new(OpenScalar { function: F::open(signature as usize)?, pages }))
    })
}

unsafe extern "C" fn open_table<F: TableFunction>(
    signature: u32,
    segment_size: u32,
    errors: BytesSink,
) -> *mut c_void {
    thunk::handle(errors, || {
        let pages = pages(F::signatures(), signature, Some(argument_row()), segment_size)?;
        let function = F::open(signature as usize)?;
        Ok(Box::new(OpenTable { function, pages, row: 0, begun: false }))
    })
}

unsafe extern "C" fn call_scalar<F: ScalarFunction>(
    function: *mut c_void,
    arguments: BorrowedBytes,
    start: u32,
    _flags: u32,
    segment: *mut u8,
    length: usize,
    filled: *mut FilledPage,
    errors: BytesSink,
) -> Status {
    thunk::status(errors, || {
        // SAFETY: the host passes what `open` gave, and lends a valid page, a segment and the result
        // for the call.
        let (open, page, segment, filled) = unsafe {
            let open = thunk::exclusive::<OpenScalar<F>>(function)?;
            let segment = slice::from_raw_parts_mut(segment, length);
            (open, page(arguments)?, segment, &mut *filled)
        };
        let arguments = Arguments { page: &page, start: start as usize };
        let OpenScalar { function, pages } = open;
        let made = pages.fill(segment, |results| {
            function.call(&arguments, results)?;
            match results.rows() > arguments.rows().len() {
                true => Err(Error::new("the function gives more results than there are rows")),
                false => Ok(()),
            }
        })?;
        made.status(filled, false)
    })
}

unsafe extern "C" fn call_table<F: TableFunction>(
    function: *mut c_void,
    arguments: BorrowedBytes,
    _start: u32,
    flags: u32,
    segment: *mut u8,
    length: usize,
    filled: *mut FilledPage,
    errors: BytesSink,
) -> Status {
    thunk::status(errors, || {
        // SAFETY: as in `call_scalar`.
        let (open, page, segment, filled) = unsafe {
            let open = thunk::exclusive::<OpenTable<F>>(function)?;
            let segment = slice::from_raw_parts_mut(segment, length);
            (open, page(arguments)?, segment, &mut *filled)
        };
        if flags & CALL_BEGIN != 0 {
            (open.row, open.begun) = (0, false);
        }
        let arguments = Arguments { page: &page, start: 0 };
        let OpenTable { function, pages, row, begun } = open;
        let mut done = false;
        let made = pages.fill(segment, |results| {
            done = fill(function, &arguments, row, begun, results)?;
            Ok(())
        })?;
        Ok(match made.status(filled, done)? {
            SPLIT_DONE => DONE,
            status => status,
        })
    })
}

/// Writes results until the page is full; `true` if there are no more.
fn fill<F: TableFunction>(
    function: &mut F,
    arguments: &Arguments<'_>,
    row: &mut usize,
    begun: &mut bool,
    results: &mut Rows<'_>,
) -> Result<bool, Error> {
    let number = results.shape().columns().len() - 1;
    while *row < arguments.page().rows() {
        if !*begun {
            function.begin(arguments, *row)?;
            *begun = true;
        }
        if !results.has_room() {
            return Ok(false);
        }
        match function.next(arguments, *row, results) {
            Ok(true) => {
                results.put_fixed(number, (*row as u32).to_le_bytes());
                results.commit();
            }
            Ok(false) => {
                results.roll_back();
                (*row, *begun) = (*row + 1, false);
            }
            Err(_) => {
                results.roll_back();
                return Ok(false);
            }
        }
    }
    Ok(true)
}

unsafe extern "C" fn close_scalar<F: ScalarFunction>(function: *mut c_void) {
    // SAFETY: the host passes what `open` gave, for the last time.
    unsafe { thunk::close::<OpenScalar<F>>(function) }
}

unsafe extern "C" fn close_table<F: TableFunction>(function: *mut c_void) {
    // SAFETY: the host passes what `open` gave, for the last time.
    unsafe { thunk::close::<OpenTable<F>>(function) }
}
