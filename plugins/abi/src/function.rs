//! Functions of expressions: scalar, aggregate and table functions.
//!
//! They work on pages: the arguments of many rows come in one, the results go into a lent segment.
//! There is no call for each row.

use core::ffi::c_void;

use crate::{BorrowedBytes, BorrowedStr, BytesSink, FilledPage, Status};

/// [`FunctionProperties::kind`]: one result for each row.
pub const FUNCTION_SCALAR: u32 = 1;
/// [`FunctionProperties::kind`]: one result for the rows of a group.
pub const FUNCTION_AGGREGATE: u32 = 2;
/// [`FunctionProperties::kind`]: any number of result rows for each row.
pub const FUNCTION_TABLE: u32 = 3;

/// [`FunctionProperties::flags`]: equal arguments give equal results, so that the engine may call it
/// once instead of twice, and when it plans instead of when it runs.
pub const FUNCTION_DETERMINISTIC: u32 = 1;
/// [`FunctionProperties::flags`]: an aggregate function that can take rows back.
pub const FUNCTION_RETRACTS: u32 = 2;

/// What a function is like.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "layout", derive(abi_stable::StableAbi))]
pub struct FunctionProperties {
    /// Bytes of this struct.
    pub size: u32,
    /// One of the `FUNCTION_…` kinds.
    pub kind: u32,
    /// `FUNCTION_…` flags.
    pub flags: u32,
}

/// Types that a function takes, and what it then gives; valid during the call. Columns are encoded
/// schemas, see `millstream-dataflow`, and say by nullability whether NULL may come or be given.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "layout", derive(abi_stable::StableAbi))]
pub struct BorrowedSignature {
    /// Bytes of this struct.
    pub size: u32,
    /// The arguments, with the names that explain them.
    pub arguments: BorrowedBytes,
    /// The results: one column, or, of a table function, several.
    pub results: BorrowedBytes,
    /// The accumulator of an aggregate function, in the row format; else no columns.
    pub accumulator: BorrowedBytes,
    /// One sentence about it; may be empty.
    pub doc: BorrowedStr,
}

/// Takes signatures.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "layout", derive(abi_stable::StableAbi))]
pub struct SignatureSink {
    /// Goes with each call.
    pub context: *mut c_void,
    /// Takes the next signature, and copies what it wants to keep.
    pub take: unsafe extern "C" fn(context: *mut c_void, signature: *const BorrowedSignature),
}

/// Rows in the row format, valid during the call.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "layout", derive(abi_stable::StableAbi))]
pub struct BorrowedRows {
    /// The first of them; may be dangling if `length` is 0.
    pub start: *const BorrowedBytes,
    /// How many.
    pub length: usize,
}

/// Takes rows in the row format, and copies them before it returns.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "layout", derive(abi_stable::StableAbi))]
pub struct RowSink {
    /// Goes with each call.
    pub context: *mut c_void,
    /// Takes what the row of this number has become.
    pub take: unsafe extern "C" fn(context: *mut c_void, row: u32, bytes: BorrowedBytes),
}

/// [`FunctionTable::call`]: the arguments are another page than in the call before.
pub const CALL_BEGIN: u32 = 1;

/// The functions of a function.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "layout", derive(abi_stable::StableAbi))]
pub struct FunctionTable {
    /// Bytes of this struct.
    pub size: u32,
    /// [`VERSION`](crate::VERSION) of the plugin.
    pub version: u32,
    /// Says what the function is like, and gives its signatures. Called once, when the plugin is
    /// loaded.
    pub describe: unsafe extern "C" fn(
        properties: *mut FunctionProperties,
        signatures: SignatureSink,
        errors: BytesSink,
    ) -> Status,
    /// Opens the function for one of its signatures, from 0, and pages in segments of so many
    /// bytes. Null is failure.
    pub open:
        unsafe extern "C" fn(signature: u32, segment_size: u32, errors: BytesSink) -> *mut c_void,
    /// Of a scalar or table function: fills the segment with a page of results for the rows of a
    /// valid page of arguments.
    ///
    /// A scalar function begins with row `start` and gives one row for each, as many as fit. A table
    /// function begins where the call before ended; behind the columns of the result is one more, a
    /// 32-bit number: the argument row to which the result belongs. Calls go on with the same page
    /// until all is given. [`FILLED`](crate::FILLED); [`DONE`](crate::DONE) if a table function has
    /// no more; [`NOTHING`](crate::NOTHING) to be called again; [`TOO_SMALL`](crate::TOO_SMALL) as
    /// for a source. `flags` are `CALL_…` bits.
    pub call: unsafe extern "C" fn(
        function: *mut c_void,
        arguments: BorrowedBytes,
        start: u32,
        flags: u32,
        segment: *mut u8,
        length: usize,
        page: *mut FilledPage,
        errors: BytesSink,
    ) -> Status,
    /// Of an aggregate function: gives the accumulator of a group without rows.
    pub create: unsafe extern "C" fn(
        function: *mut c_void,
        accumulator: BytesSink,
        errors: BytesSink,
    ) -> Status,
    /// Adds the rows of a valid page of arguments to accumulators, or takes them back if `retract`
    /// is not 0. `groups` has a number for each row: its accumulator. What accumulators have become
    /// goes to `changed`.
    pub accumulate: unsafe extern "C" fn(
        function: *mut c_void,
        arguments: BorrowedBytes,
        groups: *const u32,
        groups_length: usize,
        accumulators: BorrowedRows,
        retract: u32,
        changed: RowSink,
        errors: BytesSink,
    ) -> Status,
    /// Adds each accumulator of `from` to the one of the same number of `into`. What those have
    /// become goes to `changed`.
    pub merge: unsafe extern "C" fn(
        function: *mut c_void,
        into: BorrowedRows,
        from: BorrowedRows,
        changed: RowSink,
        errors: BytesSink,
    ) -> Status,
    /// Fills the segment with the results of accumulators, from number `start` on, as many as fit:
    /// as a scalar function's [`FunctionTable::call`].
    pub results: unsafe extern "C" fn(
        function: *mut c_void,
        accumulators: BorrowedRows,
        start: u32,
        segment: *mut u8,
        length: usize,
        page: *mut FilledPage,
        errors: BytesSink,
    ) -> Status,
    /// Closes a function.
    pub close: unsafe extern "C" fn(function: *mut c_void),
}
