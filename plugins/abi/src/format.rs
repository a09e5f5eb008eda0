//! Formats: rows as bytes, and back.
//!
//! A format is offered by one plugin and used by another, a connector: the host resolves the name
//! that a user wrote, opens the format with its options and lends it ([`LentFormat`]). From then on
//! the connector calls the format's table itself.

use core::ffi::c_void;

use crate::{BorrowedBytes, BorrowedOptions, BorrowedStr, BytesSink, FilledPage, Status};

/// [`FormatProperties::flags`]: it has decoders.
pub const FORMAT_DECODES: u32 = 1;
/// [`FormatProperties::flags`]: it has encoders.
pub const FORMAT_ENCODES: u32 = 2;
/// [`FormatProperties::flags`]: a record ends with a line feed and contains none that a reader of a
/// part could take for its end, so a file may be divided behind any line feed.
pub const FORMAT_SPLITS: u32 = 4;
/// [`FormatProperties::flags`]: a file begins with a line that every decoder of it must know
/// ([`DecoderInfo::header`]) and that is no record.
pub const FORMAT_HEADER: u32 = 8;

/// What a format is like, as it was opened.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "layout", derive(abi_stable::StableAbi))]
pub struct FormatProperties {
    /// Bytes of this struct.
    pub size: u32,
    /// `FORMAT_…` bits.
    pub flags: u32,
}

/// [`DecoderInfo::flags`]: the input is a whole file or stream, not a part of one.
pub const DECODER_WHOLE: u32 = 1;

/// What a decoder must know of its input.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "layout", derive(abi_stable::StableAbi))]
pub struct DecoderInfo {
    /// Bytes of this struct.
    pub size: u32,
    /// `DECODER_…` bits.
    pub flags: u32,
    /// Bytes of a segment.
    pub segment_size: u32,
    /// With [`FORMAT_HEADER`] the first line of the file, with or without its end; else empty.
    pub header: BorrowedBytes,
    /// The largest record, as it is written and as a row, in bytes.
    pub record_bytes_max: u64,
    /// The schema of columns behind those of the format, which are the same in each row; empty if there are none.
    pub constants_schema: BorrowedBytes,
    /// A page with one row of these columns, whose cells every row has.
    pub constants: BorrowedBytes,
}

/// Bytes of an input, in order.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "layout", derive(abi_stable::StableAbi))]
pub struct InputBlock {
    /// The bytes that are not consumed yet; valid until the next call of [`Input::more`], or the end
    /// of the call that was given the input.
    pub bytes: BorrowedBytes,
    /// Records that begin at this byte or behind it belong to somebody else.
    pub end: usize,
    /// 1 if nothing follows the bytes.
    pub last: u32,
}

/// Where a decoder gets its bytes from, during a call.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "layout", derive(abi_stable::StableAbi))]
pub struct Input {
    /// Bytes of this struct.
    pub size: u32,
    /// Goes with each call.
    pub context: *mut c_void,
    /// Gives a block, after the first `consumed` bytes of the block before it are done with. The
    /// first call within a call of the decoder consumes nothing and gives what there is, perhaps no
    /// bytes; a later one gives more than what was left, unless nothing follows. `rows` says how
    /// many rows the decoder's page has by now. [`OK`](crate::OK), or
    /// [`NOTHING`](crate::NOTHING) if there is no more for now: the decoder then gives what it has.
    pub more: unsafe extern "C" fn(
        context: *mut c_void,
        consumed: usize,
        rows: u32,
        block: *mut InputBlock,
        errors: BytesSink,
    ) -> Status,
}

/// How far a call of [`FormatTable::decode`] has come.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "layout", derive(abi_stable::StableAbi))]
pub struct Decoded {
    /// The page, as a source fills it.
    pub page: FilledPage,
    /// Bytes of the last block that are done with; after a failure, where in it the bad record
    /// begins.
    pub consumed: usize,
    /// After a failure: lines of the input before the error, from where the decoder was opened.
    pub lines: u64,
}

/// The functions of a format.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "layout", derive(abi_stable::StableAbi))]
pub struct FormatTable {
    /// Bytes of this struct.
    pub size: u32,
    /// [`VERSION`](crate::VERSION) of the plugin.
    pub version: u32,
    /// Opens a format for rows of `schema`. Null is failure.
    pub open: unsafe extern "C" fn(
        options: BorrowedOptions,
        schema: BorrowedBytes,
        errors: BytesSink,
    ) -> *mut c_void,
    /// Says what the format is like.
    pub describe: unsafe extern "C" fn(
        format: *mut c_void,
        properties: *mut FormatProperties,
        errors: BytesSink,
    ) -> Status,
    /// Opens a decoder, for one file, part of a file or stream. Null is failure.
    pub open_decoder: unsafe extern "C" fn(
        format: *mut c_void,
        info: *const DecoderInfo,
        errors: BytesSink,
    ) -> *mut c_void,
    /// Fills the segment with the next page, as [`SourceTable::fill`](crate::SourceTable::fill)
    /// does: [`FILLED`](crate::FILLED), [`NOTHING`](crate::NOTHING),
    /// [`SPLIT_DONE`](crate::SPLIT_DONE) or [`TOO_SMALL`](crate::TOO_SMALL).
    pub decode: unsafe extern "C" fn(
        decoder: *mut c_void,
        input: *const Input,
        segment: *mut u8,
        length: usize,
        decoded: *mut Decoded,
        errors: BytesSink,
    ) -> Status,
    /// Closes a decoder.
    pub close_decoder: unsafe extern "C" fn(decoder: *mut c_void),
    /// Opens an encoder, for one file or stream. Null is failure.
    pub open_encoder: unsafe extern "C" fn(format: *mut c_void, errors: BytesSink) -> *mut c_void,
    /// Gives what stands before the first row to `bytes`. Once, before any page.
    pub begin:
        unsafe extern "C" fn(encoder: *mut c_void, bytes: BytesSink, errors: BytesSink) -> Status,
    /// Gives the rows of a valid page as bytes to `bytes`.
    pub encode: unsafe extern "C" fn(
        encoder: *mut c_void,
        page: BorrowedBytes,
        bytes: BytesSink,
        errors: BytesSink,
    ) -> Status,
    /// Gives what stands behind the last row to `bytes`. Once, after all pages.
    pub finish:
        unsafe extern "C" fn(encoder: *mut c_void, bytes: BytesSink, errors: BytesSink) -> Status,
    /// Closes an encoder.
    pub close_encoder: unsafe extern "C" fn(encoder: *mut c_void),
    /// Closes a format, after its decoders and encoders.
    pub close: unsafe extern "C" fn(format: *mut c_void),
}

/// A format that the host has opened for a connector.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "layout", derive(abi_stable::StableAbi))]
pub struct LentFormat {
    /// Bytes of this struct.
    pub size: u32,
    /// Names the format and its plugin in errors; valid as long as the process.
    pub owner: BorrowedStr,
    /// The format's functions; valid as long as the process.
    pub table: *const FormatTable,
    /// What [`FormatTable::open`] gave: the connector's, until it closes it.
    pub format: *mut c_void,
}
