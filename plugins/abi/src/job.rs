//! Compiled jobs: the chains of a program, and what the host does for them.

use core::ffi::c_void;

use crate::{BorrowedBytes, BorrowedOptions, BytesSink, FilledPage, Status, SubtaskInfo};

/// A segment that the host lends to a chain.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "layout", derive(abi_stable::StableAbi))]
pub struct LentSegment {
    /// First byte, aligned to 4096, or 16 for one beyond the budget.
    pub start: *mut u8,
    /// Bytes.
    pub length: usize,
    /// Names the segment when it is submitted or released.
    pub token: u64,
    /// How many bytes of rows a page should have at most; `u32::MAX` for no limit.
    pub page_bytes: u32,
}

/// What the host does for a chain, during a call.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "layout", derive(abi_stable::StableAbi))]
pub struct ChainHost {
    /// Bytes of this struct.
    pub size: u32,
    /// Goes with each call but `release`.
    pub context: *mut c_void,
    /// The time when the call began: microseconds of a clock that never goes back.
    pub now: u64,
    /// Lends a segment for a page of a subpartition.
    pub lease: unsafe extern "C" fn(
        context: *mut c_void,
        output: u32,
        subpartition: u32,
        lent: *mut LentSegment,
        errors: BytesSink,
    ) -> Status,
    /// Lends memory for one row that does not fit a segment, of at least `bytes`.
    pub lease_jumbo: unsafe extern "C" fn(
        context: *mut c_void,
        output: u32,
        bytes: usize,
        lent: *mut LentSegment,
        errors: BytesSink,
    ) -> Status,
    /// Takes a page: the first bytes of a lent segment. Returns 1 if the chain may go on, 0 if not,
    /// below 0 if the token is not good.
    pub submit: unsafe extern "C" fn(
        context: *mut c_void,
        output: u32,
        subpartition: u32,
        token: u64,
        page: FilledPage,
    ) -> Status,
    /// Sends an event, `SIGNAL_…` with its time, behind what was submitted to a subpartition; with
    /// `u32::MAX` to every one.
    pub event: unsafe extern "C" fn(
        context: *mut c_void,
        output: u32,
        subpartition: u32,
        signal: u32,
        time: i64,
    ),
    /// 1 if a page that is not full should be submitted now.
    pub wants_flush:
        unsafe extern "C" fn(context: *mut c_void, output: u32, subpartition: u32) -> Status,
    /// Goes with `release`; good as long as the chain is open.
    pub lender: *mut c_void,
    /// Takes back a lent segment without a page; at any time while the chain is open.
    pub release: unsafe extern "C" fn(lender: *mut c_void, token: u64),
    /// The processing time when the call began: milliseconds since the epoch.
    pub time: i64,
    /// Has the chain told the time (`SIGNAL_TIME`) once this processing time has come; the earliest
    /// that was asked for counts.
    pub wake_at: unsafe extern "C" fn(context: *mut c_void, time: i64),
}

/// Event time has come so far: [`JobTable::signal`] and [`ChainHost::event`].
pub const SIGNAL_WATERMARK: u32 = 1;
/// No rows will come for a while, and nobody should wait for them.
pub const SIGNAL_IDLE: u32 = 2;
/// Rows come again.
pub const SIGNAL_ACTIVE: u32 = 3;
/// The source begins another split. Only for [`JobTable::signal`].
pub const SIGNAL_SPLIT_BEGINS: u32 = 4;
/// No subtask of the source will begin another split. Only for [`JobTable::signal`].
pub const SIGNAL_LAST_SPLIT: u32 = 5;

/// A snapshot is about to be taken: what the chain has kept back comes first. Only for
/// [`JobTable::signal`].
pub const SIGNAL_BARRIER: u32 = 6;

/// Processing time has come so far, in milliseconds since the epoch. Only for [`JobTable::signal`].
pub const SIGNAL_TIME: u32 = 7;

/// Managed memory for a chain's state; good as long as the chain is open, from any thread.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "layout", derive(abi_stable::StableAbi))]
pub struct StateHost {
    /// Bytes of this struct.
    pub size: u32,
    /// Goes with each call.
    pub lender: *mut c_void,
    /// Bytes of a segment.
    pub segment_size: usize,
    /// Lends a segment; below 0 if the budget is used up.
    pub lease: unsafe extern "C" fn(lender: *mut c_void, lent: *mut LentSegment) -> Status,
    /// Takes back a lent segment.
    pub give_back: unsafe extern "C" fn(lender: *mut c_void, token: u64),
    /// Reserves bytes out of the same budget; below 0 if it is used up.
    pub reserve: unsafe extern "C" fn(lender: *mut c_void, bytes: u64) -> Status,
    /// Ends a reservation of so many bytes.
    pub release: unsafe extern "C" fn(lender: *mut c_void, bytes: u64),
    /// Bytes of the budget for state that is kept in files; 0 if there are none.
    pub files_budget: u64,
    /// What the files are for, one of `FILES_…`.
    pub files_use: u32,
    /// How new ones are compressed: `COMPRESSION_…` of those that are young, and 256 times that of those under all
    /// others.
    pub files_compression: u32,
    /// With [`FILES_KEPT`] the number of the first file that the chain makes.
    pub first_file: u64,
    /// Starts an operation on a file: [`OK`](crate::OK), or below 0 if as many as there may be are in
    /// flight. One thread at a time; never blocks. What the request lends is the host's until its
    /// completion was taken.
    pub submit: unsafe extern "C" fn(lender: *mut c_void, request: *const FileRequest) -> Status,
    /// Takes the next completion: 1 if there was one, else 0. If `waits` is not 0 it blocks until there is one,
    /// or nothing is in flight. Gives what went wrong, for people, to `errors`.
    pub completion: unsafe extern "C" fn(
        lender: *mut c_void,
        waits: u32,
        done: *mut FileCompletion,
        errors: BytesSink,
    ) -> Status,
}

/// State is kept in files, which are gone with the chain.
pub const FILES_SCRATCH: u32 = 0;
/// State is kept in files, which checkpoints may refer to.
pub const FILES_KEPT: u32 = 1;
/// State is kept in memory; files of a checkpoint are read to put it back.
pub const FILES_RESTORE: u32 = 2;

/// Blocks of files are as they are.
pub const COMPRESSION_NONE: u32 = 0;
/// They are LZ4 blocks where that pays.
pub const COMPRESSION_LZ4: u32 = 1;

/// Makes an empty file.
pub const FILE_CREATE: u32 = 1;
/// Writes bytes.
pub const FILE_WRITE: u32 = 2;
/// Reads bytes.
pub const FILE_READ: u32 = 3;
/// Makes what was written survive a loss of power.
pub const FILE_SYNC: u32 = 4;
/// Removes a file.
pub const FILE_DELETE: u32 = 5;

/// What to do with a file of a chain's state.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "layout", derive(abi_stable::StableAbi))]
pub struct FileRequest {
    /// Comes back with the completion.
    pub token: u64,
    /// One of `FILE_…`.
    pub operation: u32,
    /// The file, by a number that the plugin chooses.
    pub file: u64,
    /// Where, in bytes from the beginning; for writing and reading.
    pub offset: u64,
    /// How many bytes are to be written or read.
    pub length: usize,
    /// For writing and reading: the bytes, which are there, and which nobody else changes, or reads if
    /// they are to be read from the file, until the completion was taken.
    pub bytes: *mut u8,
}

/// What became of a [`FileRequest`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "layout", derive(abi_stable::StableAbi))]
pub struct FileCompletion {
    /// That of the request.
    pub token: u64,
    /// Below 0 if it failed.
    pub status: Status,
}

/// One output of a chain.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "layout", derive(abi_stable::StableAbi))]
pub struct OutputInfo {
    /// Into how many subpartitions rows are divided.
    pub subpartitions: u32,
    /// Number of key groups of the consumer.
    pub max_parallelism: u32,
    /// 1 if pages should have no gap inside.
    pub compact: u32,
}

/// What a chain must know when it is opened for a subtask.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "layout", derive(abi_stable::StableAbi))]
pub struct ChainInfo {
    /// The subtask.
    pub subtask: SubtaskInfo,
    /// How many key groups there are.
    pub max_parallelism: u32,
    /// Memory for its state; null if the graph says that it has none.
    pub state: *const StateHost,
    /// The outputs, in order.
    pub outputs: *const OutputInfo,
    /// How many.
    pub outputs_length: usize,
}

/// The functions of a compiled job.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "layout", derive(abi_stable::StableAbi))]
pub struct JobTable {
    /// Bytes of this struct.
    pub size: u32,
    /// [`VERSION`](crate::VERSION) of the plugin.
    pub version: u32,
    /// Builds the job's program. Null is failure.
    pub open: unsafe extern "C" fn(options: BorrowedOptions, errors: BytesSink) -> *mut c_void,
    /// Gives the encoded stream graph to `graph`.
    pub describe:
        unsafe extern "C" fn(job: *mut c_void, graph: BytesSink, errors: BytesSink) -> Status,
    /// Opens the chain of a node, for one subtask. Null is failure.
    pub open_chain: unsafe extern "C" fn(
        job: *mut c_void,
        node: u32,
        info: *const ChainInfo,
        errors: BytesSink,
    ) -> *mut c_void,
    /// Opens a chain that takes the rows which an output of a node had written, and divides them as the
    /// output does, for one subtask. Null is failure. It is closed as the others are.
    pub open_writer: unsafe extern "C" fn(
        job: *mut c_void,
        node: u32,
        output: u32,
        info: *const ChainInfo,
        errors: BytesSink,
    ) -> *mut c_void,
    /// Processes the rows of a valid page from `start` on, and puts the row to go on with into
    /// `next`.
    pub process: unsafe extern "C" fn(
        chain: *mut c_void,
        host: *const ChainHost,
        input: u32,
        page: BorrowedBytes,
        start: u32,
        next: *mut u32,
        errors: BytesSink,
    ) -> Status,
    /// Makes up to `rows` rows: [`MORE`](crate::MORE), [`IDLE`](crate::IDLE) or [`DONE`](crate::DONE). With [`IDLE`](crate::IDLE) puts the time, on the
    /// clock of [`ChainHost::now`], at which there are more into `until`.
    pub produce: unsafe extern "C" fn(
        chain: *mut c_void,
        host: *const ChainHost,
        rows: u32,
        until: *mut u64,
        errors: BytesSink,
    ) -> Status,
    /// Emits what is left: [`DONE`](crate::DONE) or [`BLOCKED`](crate::BLOCKED).
    pub finish: unsafe extern "C" fn(
        chain: *mut c_void,
        host: *const ChainHost,
        errors: BytesSink,
    ) -> Status,
    /// Answers a signal, one of `SIGNAL_…`, with its time if it has one, in milliseconds:
    /// [`DONE`](crate::DONE), or [`BLOCKED`](crate::BLOCKED) if it has to be given again.
    pub signal: unsafe extern "C" fn(
        chain: *mut c_void,
        host: *const ChainHost,
        signal: u32,
        time: i64,
        errors: BytesSink,
    ) -> Status,
    /// Freezes the chain's state as it is: for a checkpoint, which may refer to files of
    /// [`FILES_KEPT`], or, if `canonical` is not 0, for a savepoint, which is whole in itself.
    pub begin_snapshot:
        unsafe extern "C" fn(chain: *mut c_void, canonical: u32, errors: BytesSink) -> Status,
    /// Gives a part of the frozen state: [`MORE`](crate::MORE), or [`DONE`](crate::DONE) if there was no more.
    pub next_chunk:
        unsafe extern "C" fn(chain: *mut c_void, chunk: BytesSink, errors: BytesSink) -> Status,
    /// The snapshot is not wanted any more.
    pub abort_snapshot: unsafe extern "C" fn(chain: *mut c_void, errors: BytesSink) -> Status,
    /// Puts state back, before the first row, in chunks that are whole.
    pub restore: unsafe extern "C" fn(
        chain: *mut c_void,
        chunks: BorrowedBytes,
        errors: BytesSink,
    ) -> Status,
    /// Submits pages that have rows; every one if `force` is not 0.
    pub flush: unsafe extern "C" fn(
        chain: *mut c_void,
        host: *const ChainHost,
        force: u32,
        errors: BytesSink,
    ) -> Status,
    /// Closes a chain.
    pub close_chain: unsafe extern "C" fn(chain: *mut c_void),
    /// Closes a job, after its chains.
    pub close: unsafe extern "C" fn(job: *mut c_void),
}
