//! The table of an aggregate function.

use std::{ffi::c_void, marker::PhantomData, mem, slice};

use millstream_abi::{
    BorrowedBytes, BorrowedRows, BytesSink, FUNCTION_AGGREGATE, FilledPage, FunctionProperties,
    FunctionTable, OK, RowSink, SignatureSink, Status, VERSION,
};
use millstream_data::{Value, row::RowLayout, value::Record};

use super::{
    Aggregate, Arguments,
    table::{Described, describe, no_call, page, pages, rows},
};
use crate::{Error, borrow::lend_bytes, rows::Pages, thunk};

/// The table of an aggregate function.
pub(crate) struct AggregateThunks<F>(PhantomData<F>);

impl<F: Aggregate> AggregateThunks<F> {
    pub(crate) const TABLE: FunctionTable = FunctionTable {
        size: mem::size_of::<FunctionTable>() as u32,
        version: VERSION,
        describe: describe_aggregate::<F>,
        open: open::<F>,
        call,
        create: create::<F>,
        accumulate: accumulate::<F>,
        merge: merge::<F>,
        results: results::<F>,
        close: close::<F>,
    };
}

struct OpenAggregate<F: Aggregate> {
    function: F,
    pages: Pages,
    layout: RowLayout,
    /// The accumulators of a call.
    accumulators: Vec<F::Accumulator>,
    /// Which of them the rows of a call belong to.
    touched: Vec<bool>,
    /// An accumulator as bytes.
    bytes: Vec<u8>,
}

impl<F: Aggregate> OpenAggregate<F> {
    fn decode(&self, bytes: &[u8]) -> Result<F::Accumulator, Error> {
        let row = self.layout.validate(bytes);
        let row = row.map_err(|error| Error::new(format!("an accumulator is damaged: {error}")))?;
        Ok(F::Accumulator::own(self.layout.decode::<F::Accumulator>(row)))
    }

    fn give(&mut self, changed: RowSink, number: usize, accumulator: &F::Accumulator) {
        self.bytes.clear();
        self.layout.encode::<F::Accumulator>(accumulator.view(), &mut self.bytes);
        // SAFETY: the host lends the sink for the call, and copies the row before it returns.
        unsafe { (changed.take)(changed.context, number as u32, lend_bytes(&self.bytes)) };
    }
}

unsafe extern "C" fn describe_aggregate<F: Aggregate>(
    properties: *mut FunctionProperties,
    signatures: SignatureSink,
    errors: BytesSink,
) -> Status {
    // SAFETY: the host lends properties and sinks for the call.
    unsafe {
        describe(properties, signatures, errors, || Described {
            kind: FUNCTION_AGGREGATE,
            deterministic: F::DETERMINISTIC,
            retracts: F::RETRACTS,
            signatures: F::signatures(),
            accumulator: F::Accumulator::schema(),
        })
    }
}

unsafe extern "C" fn open<F: Aggregate>(
    signature: u32,
    segment_size: u32,
    errors: BytesSink,
) -> *mut c_void {
    thunk::handle(errors, || {
        let layout = RowLayout::new(&F::Accumulator::schema());
        Ok(Box::new(OpenAggregate {
            function: F::open(signature as usize)?,
            pages: pages(F::signatures(), signature, None, segment_size)?,
            layout: layout.map_err(|error| Error::new(format!("the accumulator: {error}")))?,
            accumulators: Vec::new(),
            touched: Vec::new(),
            bytes: Vec::new(),
        }))
    })
}

unsafe extern "C" fn call(
    _function: *mut c_void,
    _arguments: BorrowedBytes,
    _start: u32,
    _flags: u32,
    _segment: *mut u8,
    _length: usize,
    _page: *mut FilledPage,
    errors: BytesSink,
) -> Status {
    no_call(errors, "scalar or table function")
}

unsafe extern "C" fn create<F: Aggregate>(
    function: *mut c_void,
    accumulator: BytesSink,
    errors: BytesSink,
) -> Status {
    thunk::status(errors, || {
        // SAFETY: the host passes what `open` gave.
        let open = unsafe { thunk::exclusive::<OpenAggregate<F>>(function)? };
        let created = open.function.create();
        open.bytes.clear();
        open.layout.encode::<F::Accumulator>(created.view(), &mut open.bytes);
        thunk::give(accumulator, &open.bytes);
        Ok(OK)
    })
}

unsafe extern "C" fn accumulate<F: Aggregate>(
    function: *mut c_void,
    arguments: BorrowedBytes,
    groups: *const u32,
    groups_length: usize,
    accumulators: BorrowedRows,
    retract: u32,
    changed: RowSink,
    errors: BytesSink,
) -> Status {
    thunk::status(errors, || {
        // SAFETY: the host passes what `open` gave, and lends a valid page, groups and accumulators
        // for the call.
        let (open, page, groups, given) = unsafe {
            let open = thunk::exclusive::<OpenAggregate<F>>(function)?;
            let groups = match groups_length {
                0 => &[],
                length => slice::from_raw_parts(groups, length),
            };
            (open, page(arguments)?, groups, rows(accumulators))
        };
        if groups.len() != page.rows() {
            return Err(Error::new("the host gives another number of groups than of rows"));
        }
        let mut all = mem::take(&mut open.accumulators);
        all.clear();
        for row in given {
            all.push(open.decode(row)?);
        }
        open.touched.clear();
        open.touched.resize(all.len(), false);
        for group in groups {
            match open.touched.get_mut(*group as usize) {
                Some(touched) => *touched = true,
                None => return Err(Error::new("the host names a group that it does not give")),
            }
        }
        let arguments = Arguments { page: &page, start: 0 };
        match retract {
            0 => open.function.add(&mut all, groups, &arguments)?,
            _ => open.function.retract(&mut all, groups, &arguments)?,
        }
        for (number, accumulator) in all.iter().enumerate() {
            if open.touched.get(number) == Some(&true) {
                open.give(changed, number, accumulator);
            }
        }
        open.accumulators = all;
        Ok(OK)
    })
}

unsafe extern "C" fn merge<F: Aggregate>(
    function: *mut c_void,
    into: BorrowedRows,
    from: BorrowedRows,
    changed: RowSink,
    errors: BytesSink,
) -> Status {
    thunk::status(errors, || {
        if into.length != from.length {
            return Err(Error::new("the host merges different numbers of accumulators"));
        }
        // SAFETY: the host passes what `open` gave, and lends the accumulators for the call.
        let (open, into, from) =
            unsafe { (thunk::exclusive::<OpenAggregate<F>>(function)?, rows(into), rows(from)) };
        for (number, (into, from)) in into.zip(from).enumerate() {
            let mut merged = open.decode(into)?;
            let from = open.decode(from)?;
            open.function.merge(&mut merged, from)?;
            open.give(changed, number, &merged);
        }
        Ok(OK)
    })
}

unsafe extern "C" fn results<F: Aggregate>(
    function: *mut c_void,
    accumulators: BorrowedRows,
    start: u32,
    segment: *mut u8,
    length: usize,
    filled: *mut FilledPage,
    errors: BytesSink,
) -> Status {
    thunk::status(errors, || {
        // SAFETY: the host passes what `open` gave, and lends accumulators, segment and result for
        // the call.
        let (open, given, segment, filled) = unsafe {
            let open = thunk::exclusive::<OpenAggregate<F>>(function)?;
            let segment = slice::from_raw_parts_mut(segment, length);
            (open, rows(accumulators), segment, &mut *filled)
        };
        let mut all = mem::take(&mut open.accumulators);
        all.clear();
        for row in given.skip(start as usize) {
            all.push(open.decode(row)?);
        }
        let OpenAggregate { function, pages, .. } = open;
        let made = pages.fill(segment, |results| {
            for accumulator in &all {
                if !results.has_room() {
                    break;
                }
                if function.result(accumulator, results).is_err() {
                    results.roll_back();
                    break;
                }
                results.commit();
            }
            Ok(())
        })?;
        open.accumulators = all;
        made.status(filled, false)
    })
}

unsafe extern "C" fn close<F: Aggregate>(function: *mut c_void) {
    // SAFETY: the host passes what `open` gave, for the last time.
    unsafe { thunk::close::<OpenAggregate<F>>(function) }
}
