//! The border between Millstream and its plugins.
//!
//! A plugin is a shared library that exports one plain C symbol, [`ENTRY_SYMBOL`], an [`EntryFn`].
//! What crosses is C: tables of functions that begin with their size and version, opaque handles,
//! status codes, and structs of numbers and pointers. No Rust type with a layout of the compiler's
//! choosing crosses, no enum with a payload, no future, no trait object, no panic.
//!
//! **Ownership is in the names.** A `Borrowed…` is valid during the call. A handle that a function
//! called `open…` gives back is the caller's until it calls the `close…` of the same table. Memory
//! is freed by the side that allocated it: bytes that travel the other way are handed to a callback
//! ([`BytesSink`]), which copies them before it returns.
//!
//! **Versions.** A table may grow at its end. Whoever reads a table looks at `size` before it reads
//! a field that was added later. A change that is not an addition raises [`VERSION`], and the
//! loader refuses plugins of another version. Of plugins written in Rust the loader asks more: they
//! carry a description of these structs, made by the compiler (crate `millstream-layout`), and it
//! has to be the engine's own, so that a field that was swapped by mistake is a refusal and not a
//! crash.
//!
//! **Threads.** Handles may move between threads, and are used by one thread at a time; factories
//! (`Source`, `Sink`, `Job`, `Format`) by several at once.
#![no_std]
#![forbid(unsafe_code)]

mod format;
mod function;
mod job;

use core::ffi::c_void;

pub use format::{
    DECODER_WHOLE, Decoded, DecoderInfo, FORMAT_DECODES, FORMAT_ENCODES, FORMAT_HEADER,
    FORMAT_SPLITS, FormatProperties, FormatTable, Input, InputBlock, LentFormat,
};

pub use job::{
    COMPRESSION_LZ4, COMPRESSION_NONE, ChainHost, ChainInfo, FILE_CREATE, FILE_DELETE, FILE_READ,
    FILE_SYNC, FILE_WRITE, FILES_KEPT, FILES_RESTORE, FILES_SCRATCH, FileCompletion, FileRequest,
    JobTable, LentSegment, OutputInfo, SIGNAL_ACTIVE, SIGNAL_BARRIER, SIGNAL_IDLE,
    SIGNAL_LAST_SPLIT, SIGNAL_SPLIT_BEGINS, SIGNAL_TIME, SIGNAL_WATERMARK, StateHost,
};

pub use function::{
    BorrowedRows, BorrowedSignature, CALL_BEGIN, FUNCTION_AGGREGATE, FUNCTION_DETERMINISTIC,
    FUNCTION_RETRACTS, FUNCTION_SCALAR, FUNCTION_TABLE, FunctionProperties, FunctionTable, RowSink,
    SignatureSink,
};

/// The version of this interface.
pub const VERSION: u32 = 1;

/// The symbol that a plugin exports, an [`EntryFn`].
pub const ENTRY_SYMBOL: &str = "millstream_plugin_v1";

/// The symbol under which a library written in Rust describes the structs of this crate as its
/// compiler laid them out; see the crate `millstream-layout`.
pub const LAYOUT_SYMBOL: &str = "millstream_layout_v1";

/// Gives the plugin's table. It and all it points to live as long as the process: a plugin is never
/// unloaded, and the host's table lives as long. Null if the plugin cannot start.
pub type EntryFn = unsafe extern "C" fn(host: *const Host) -> *const Plugin;

/// Text that is valid during the call, UTF-8; or, in a static table, for ever.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "layout", derive(abi_stable::StableAbi))]
pub struct BorrowedStr {
    /// First byte; may be dangling if `length` is 0.
    pub start: *const u8,
    /// Bytes.
    pub length: usize,
}

/// Bytes that are valid during the call.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "layout", derive(abi_stable::StableAbi))]
pub struct BorrowedBytes {
    /// First byte; may be dangling if `length` is 0.
    pub start: *const u8,
    /// Bytes.
    pub length: usize,
}

/// An option and its value, valid during the call.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "layout", derive(abi_stable::StableAbi))]
pub struct BorrowedOption {
    /// The option's name.
    pub key: BorrowedStr,
    /// Its value.
    pub value: BorrowedStr,
}

/// Options, valid during the call.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "layout", derive(abi_stable::StableAbi))]
pub struct BorrowedOptions {
    /// The first of them; may be dangling if `length` is 0.
    pub start: *const BorrowedOption,
    /// How many.
    pub length: usize,
}

/// Takes bytes from the other side; it copies what it wants to keep.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "layout", derive(abi_stable::StableAbi))]
pub struct BytesSink {
    /// Goes with each call.
    pub context: *mut c_void,
    /// Takes bytes.
    pub take: unsafe extern "C" fn(context: *mut c_void, bytes: BorrowedBytes),
}

/// What a call that can fail returns: 0 or above is success, [`FAILED`] or [`PANICKED`] is failure,
/// and the reason has been given to the call's `errors`.
pub type Status = i32;

/// Success.
pub const OK: Status = 0;
/// The call failed; `errors` was told why.
pub const FAILED: Status = -1;
/// The call panicked; `errors` was told with what. The handle must only be closed.
pub const PANICKED: Status = -2;

/// [`SourceTable::fill`]: the segment holds a page.
pub const FILLED: Status = 1;
/// [`SourceTable::fill`]: nothing for now.
pub const NOTHING: Status = 2;
/// [`SourceTable::fill`]: the split is done; give another, or say that there is none.
pub const SPLIT_DONE: Status = 3;
/// [`SourceTable::fill`]: the next row does not fit an empty segment of this length. The reader has
/// kept it: call again with a segment of at least [`FilledPage::length`] bytes. A host that lends
/// no segment of that length fails the task.
pub const TOO_SMALL: Status = 4;

/// [`JobTable::produce`], [`JobTable::next_chunk`]: there is more.
pub const MORE: Status = 1;
/// [`JobTable::produce`]: nothing before a certain time.
pub const IDLE: Status = 2;
/// [`JobTable::produce`], [`JobTable::finish`], [`JobTable::signal`], [`JobTable::next_chunk`]: done.
pub const DONE: Status = 3;
/// [`JobTable::finish`], [`JobTable::signal`]: not done, wait for room.
pub const BLOCKED: Status = 4;

/// What the host offers to a plugin.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "layout", derive(abi_stable::StableAbi))]
pub struct Host {
    /// Bytes of this struct.
    pub size: u32,
    /// [`VERSION`] of the host.
    pub version: u32,
    /// Goes with each call.
    pub context: *mut c_void,
    /// Writes to the host's log: level 1 (error) to 5 (trace). From any thread.
    pub log: unsafe extern "C" fn(context: *mut c_void, level: u32, message: BorrowedStr),
    /// Opens the format called `name` for rows of `schema`. `options` are those of the connector, of
    /// which the format gets those that begin with its name and a dot, without that. Only from the
    /// thread that is in a call of [`SourceTable::open`] or [`SinkTable::open`], during that call:
    /// the host knows by it which formats there are.
    pub open_format: unsafe extern "C" fn(
        context: *mut c_void,
        name: BorrowedStr,
        options: BorrowedOptions,
        schema: BorrowedBytes,
        lent: *mut LentFormat,
        errors: BytesSink,
    ) -> Status,
}

/// A plugin: who it is and what it offers.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "layout", derive(abi_stable::StableAbi))]
pub struct Plugin {
    /// Bytes of this struct.
    pub size: u32,
    /// [`VERSION`] that it was built for.
    pub version: u32,
    /// Its name.
    pub name: BorrowedStr,
    /// Its own version.
    pub plugin_version: BorrowedStr,
    /// One sentence about it.
    pub summary: BorrowedStr,
    /// What it offers.
    pub extensions: *const Extension,
    /// How many.
    pub extensions_length: usize,
    /// What it is written in: [`LANGUAGE_RUST`] if it uses the Rust SDK, else [`LANGUAGE_OTHER`].
    pub language: u32,
}

/// [`Plugin::language`]: anything that speaks C. Only sizes and versions are checked.
pub const LANGUAGE_OTHER: u32 = 0;
/// [`Plugin::language`]: Rust. The library must carry [`LAYOUT_SYMBOL`].
pub const LANGUAGE_RUST: u32 = 1;

/// [`Extension::kind`]: `table` is a [`SourceTable`].
pub const KIND_SOURCE: u32 = 1;
/// [`Extension::kind`]: `table` is a [`SinkTable`].
pub const KIND_SINK: u32 = 2;
/// [`Extension::kind`]: `table` is a [`JobTable`].
pub const KIND_JOB: u32 = 3;
/// [`Extension::kind`]: `table` is a [`FormatTable`].
pub const KIND_FORMAT: u32 = 4;
/// [`Extension::kind`]: `table` is a [`FunctionTable`].
pub const KIND_FUNCTION: u32 = 5;

/// One thing that a plugin offers.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "layout", derive(abi_stable::StableAbi))]
pub struct Extension {
    /// Bytes of this struct.
    pub size: u32,
    /// What it is: one of the `KIND_…` constants. A loader skips kinds that it does not know.
    pub kind: u32,
    /// The name that programs call it by.
    pub name: BorrowedStr,
    /// One sentence about it.
    pub summary: BorrowedStr,
    /// The options that it takes.
    pub options: *const OptionSpec,
    /// How many.
    pub options_length: usize,
    /// Its functions; the type follows from `kind`.
    pub table: *const c_void,
}

/// [`OptionSpec::value_type`]: any text.
pub const TYPE_STRING: u32 = 1;
/// [`OptionSpec::value_type`]: a whole number.
pub const TYPE_INTEGER: u32 = 2;
/// [`OptionSpec::value_type`]: a number.
pub const TYPE_FLOAT: u32 = 3;
/// [`OptionSpec::value_type`]: `true` or `false`.
pub const TYPE_BOOLEAN: u32 = 4;
/// [`OptionSpec::value_type`]: a number of bytes with an optional unit: `64 MiB`, `32kb`.
pub const TYPE_BYTES: u32 = 5;
/// [`OptionSpec::value_type`]: a time with a unit: `100 ms`, `2 s`.
pub const TYPE_DURATION: u32 = 6;
/// [`OptionSpec::value_type`]: the name of a format, whose options are given with its name and a dot
/// in front.
pub const TYPE_FORMAT: u32 = 7;

/// [`OptionSpec::flags`]: the option must be given.
pub const OPTION_REQUIRED: u32 = 1;
/// [`OptionSpec::flags`]: the value is a secret and is never shown.
pub const OPTION_SECRET: u32 = 2;
/// [`OptionSpec::flags`]: `default_value` is one.
pub const OPTION_HAS_DEFAULT: u32 = 4;

/// An option that an extension takes, so that the host can check and explain it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "layout", derive(abi_stable::StableAbi))]
pub struct OptionSpec {
    /// Its name.
    pub name: BorrowedStr,
    /// One of the `TYPE_…` constants.
    pub value_type: u32,
    /// `OPTION_…` bits.
    pub flags: u32,
    /// What it is if not given.
    pub default_value: BorrowedStr,
    /// One sentence about it.
    pub doc: BorrowedStr,
}

/// What a connector must know when it is opened for a subtask.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "layout", derive(abi_stable::StableAbi))]
pub struct SubtaskInfo {
    /// Bytes of this struct.
    pub size: u32,
    /// The subtask, from 0.
    pub subtask: u32,
    /// How many subtasks there are.
    pub parallelism: u32,
    /// Bytes of a segment.
    pub segment_size: u32,
}

/// What [`SourceTable::fill`] has put into a segment.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "layout", derive(abi_stable::StableAbi))]
pub struct FilledPage {
    /// Bytes of the page; with [`TOO_SMALL`] the length of segment that the next call needs.
    pub length: u32,
    /// Rows in the page.
    pub rows: u32,
}

/// The functions of a source. Its input is divided into splits: the host asks for them once, and
/// gives each to one reader.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "layout", derive(abi_stable::StableAbi))]
pub struct SourceTable {
    /// Bytes of this struct.
    pub size: u32,
    /// [`VERSION`] of the plugin.
    pub version: u32,
    /// Opens a source for rows of `schema` (an encoded one, see `millstream-dataflow`). Null is
    /// failure.
    pub open: unsafe extern "C" fn(
        options: BorrowedOptions,
        schema: BorrowedBytes,
        errors: BytesSink,
    ) -> *mut c_void,
    /// Gives each split to `splits`, in order.
    pub enumerate:
        unsafe extern "C" fn(source: *mut c_void, splits: BytesSink, errors: BytesSink) -> Status,
    /// Opens a reader, for one subtask. Null is failure.
    pub open_reader: unsafe extern "C" fn(
        source: *mut c_void,
        info: *const SubtaskInfo,
        errors: BytesSink,
    ) -> *mut c_void,
    /// Gives the reader a split to read; it has none, or is done with the one before.
    pub begin_split: unsafe extern "C" fn(
        reader: *mut c_void,
        split: BorrowedBytes,
        errors: BytesSink,
    ) -> Status,
    /// Fills the segment with the next page: [`FILLED`], [`NOTHING`], [`SPLIT_DONE`] or
    /// [`TOO_SMALL`]. The segment has [`SubtaskInfo::segment_size`] bytes and is aligned to 4096,
    /// or, after [`TOO_SMALL`], has as many as were asked for and is aligned to 16. May block.
    pub fill: unsafe extern "C" fn(
        reader: *mut c_void,
        segment: *mut u8,
        length: usize,
        page: *mut FilledPage,
        errors: BytesSink,
    ) -> Status,
    /// Gives `split` a split that has what is left of the one that is being read: behind the last row of
    /// the last page. A checkpoint keeps it.
    pub rest_of_split:
        unsafe extern "C" fn(reader: *mut c_void, split: BytesSink, errors: BytesSink) -> Status,
    /// Closes a reader.
    pub close_reader: unsafe extern "C" fn(reader: *mut c_void),
    /// Closes a source, after its readers.
    pub close: unsafe extern "C" fn(source: *mut c_void),
    /// 1 if its splits end some time, else 0.
    pub is_bounded: unsafe extern "C" fn(source: *mut c_void, errors: BytesSink) -> Status,
}

/// The functions of a sink.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "layout", derive(abi_stable::StableAbi))]
pub struct SinkTable {
    /// Bytes of this struct.
    pub size: u32,
    /// [`VERSION`] of the plugin.
    pub version: u32,
    /// Opens a sink for rows of `schema`. Null is failure.
    pub open: unsafe extern "C" fn(
        options: BorrowedOptions,
        schema: BorrowedBytes,
        errors: BytesSink,
    ) -> *mut c_void,
    /// Opens a writer, for one subtask. Null is failure.
    pub open_writer: unsafe extern "C" fn(
        sink: *mut c_void,
        info: *const SubtaskInfo,
        errors: BytesSink,
    ) -> *mut c_void,
    /// Writes a page. May block.
    pub write:
        unsafe extern "C" fn(writer: *mut c_void, page: BorrowedBytes, errors: BytesSink) -> Status,
    /// Completes what was written: the input has ended. It must not be seen yet, but nothing may be
    /// missing for [`SinkTable::commit`].
    pub finish: unsafe extern "C" fn(writer: *mut c_void, errors: BytesSink) -> Status,
    /// Completes what was written since the last call, without showing it, and gives `transaction` what
    /// [`SinkTable::show`] has to know to show it. A checkpoint keeps that.
    pub prepare: unsafe extern "C" fn(
        writer: *mut c_void,
        transaction: BytesSink,
        errors: BytesSink,
    ) -> Status,
    /// Closes a writer; what was neither finished nor prepared is given up.
    pub close_writer: unsafe extern "C" fn(writer: *mut c_void),
    /// Shows what the writers of this sink have finished: every part of the job, in all its
    /// processes, is done. Called once at most, when all writers are closed.
    pub commit: unsafe extern "C" fn(sink: *mut c_void, errors: BytesSink) -> Status,
    /// Shows a transaction that some writer of this job has prepared, in no matter which process or run:
    /// the checkpoint that it belongs to is complete. May be called again with the same transaction.
    pub show: unsafe extern "C" fn(
        sink: *mut c_void,
        transaction: BorrowedBytes,
        errors: BytesSink,
    ) -> Status,
    /// Closes a sink, after its writers; what was neither committed nor prepared is given up.
    pub close: unsafe extern "C" fn(sink: *mut c_void),
}
