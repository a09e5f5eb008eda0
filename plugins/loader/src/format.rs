//! Running a plugin's format.

mod lend;

use std::{ffi::c_void, ptr, sync::Arc};

use millstream_abi::{
    BytesSink, DECODER_WHOLE, DecoderInfo, FILLED, FORMAT_DECODES, FORMAT_ENCODES, FORMAT_HEADER,
    FORMAT_SPLITS, FormatProperties, FormatTable, Input, InputBlock, NOTHING, OK, SPLIT_DONE,
    Status, TOO_SMALL,
};
use millstream_data::{
    page::{Shape, ValidPage},
    types::Schema,
};
use millstream_dataflow::graph::encode_schema;

pub(crate) use lend::{Formats, offering, open_format};

use crate::{
    CallError, ReaderPage,
    call::{Handle, Name, collect, handle, lend_bytes, lend_options, status},
};

/// A format that is open for rows of a schema. Connectors are lent theirs through the host's table;
/// this is for a host that decodes or encodes itself.
#[derive(Clone, Debug)]
pub struct OpenFormat(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: Name,
    table: FormatTable,
    handle: Handle,
    shape: Shape,
}

/// What a format is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Properties {
    /// It has decoders.
    pub decodes: bool,
    /// It has encoders.
    pub encodes: bool,
    /// Files may be divided behind line feeds.
    pub splits: bool,
    /// Files begin with a line that each decoder has to know, and that is no record.
    pub header: bool,
}

/// What a decoder is opened for.
#[derive(Clone, Copy, Debug)]
pub struct InputInfo<'a> {
    /// The first line of the file, if the format has [`Properties::header`].
    pub header: &'a [u8],
    /// The input is a whole file or stream.
    pub whole: bool,
    /// Bytes of a segment.
    pub segment_size: usize,
    /// The largest record, as it is written and as a row, in bytes.
    pub record_bytes_max: u64,
}

impl OpenFormat {
    pub(crate) fn open(
        name: Name,
        table: &FormatTable,
        options: &[(String, String)],
        schema: &Schema,
    ) -> Result<Self, CallError> {
        let opened = open(&name, table, options, &encode_schema(schema))?;
        let shape = Shape::new(schema);
        Ok(Self(Arc::new(Inner { name, table: *table, handle: opened, shape })))
    }

    /// What it is like.
    ///
    /// # Errors
    /// If the format does not say.
    pub fn properties(&self) -> Result<Properties, CallError> {
        let Inner { name, table, handle, .. } = &*self.0;
        let mut found = FormatProperties { size: size_of::<FormatProperties>() as u32, flags: 0 };
        // SAFETY: the format is open, and the properties outlive the call.
        status(name, |errors| unsafe {
            (table.describe)(handle.0.as_ptr(), &raw mut found, errors)
        })?;
        let is = |bit| found.flags & bit != 0;
        Ok(Properties {
            decodes: is(FORMAT_DECODES),
            encodes: is(FORMAT_ENCODES),
            splits: is(FORMAT_SPLITS),
            header: is(FORMAT_HEADER),
        })
    }

    /// A decoder, for one file, part of a file or stream.
    ///
    /// # Errors
    /// If the format gives none.
    pub fn decoder(&self, input: &InputInfo<'_>) -> Result<Decoder, CallError> {
        let Inner { name, table, handle: format, .. } = &*self.0;
        let info = DecoderInfo {
            size: size_of::<DecoderInfo>() as u32,
            flags: if input.whole { DECODER_WHOLE } else { 0 },
            segment_size: input.segment_size as u32,
            header: lend_bytes(input.header),
            record_bytes_max: input.record_bytes_max,
            constants_schema: lend_bytes(&[]),
            constants: lend_bytes(&[]),
        };
        // SAFETY: the format is open, and the info outlives the call.
        let opened = handle(name, |errors| unsafe {
            (table.open_decoder)(format.0.as_ptr(), &raw const info, errors)
        })?;
        Ok(Decoder { format: Arc::clone(&self.0), handle: Handle(opened) })
    }

    /// An encoder, for one file or stream.
    ///
    /// # Errors
    /// If the format gives none.
    pub fn encoder(&self) -> Result<Encoder, CallError> {
        let Inner { name, table, handle: format, .. } = &*self.0;
        // SAFETY: the format is open.
        let opened =
            handle(name, |errors| unsafe { (table.open_encoder)(format.0.as_ptr(), errors) })?;
        Ok(Encoder { format: Arc::clone(&self.0), handle: Handle(opened) })
    }
}

/// Opens a format.
fn open(
    name: &Name,
    table: &FormatTable,
    options: &[(String, String)],
    schema: &[u8],
) -> Result<Handle, CallError> {
    lend_options(options, |options| {
        // SAFETY: all that is lent outlives the call.
        handle(name, |errors| unsafe { (table.open)(options, lend_bytes(schema), errors) })
    })
    .map(Handle)
}

impl Drop for Inner {
    fn drop(&mut self) {
        // SAFETY: decoders and encoders hold the format, so all are closed.
        unsafe { (self.table.close)(self.handle.0.as_ptr()) }
    }
}

/// Makes rows of one input.
#[derive(Debug)]
pub struct Decoder {
    format: Arc<Inner>,
    handle: Handle,
}

/// Bytes of an input, in order.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    /// The bytes that are not consumed yet.
    pub bytes: &'a [u8],
    /// Records that begin at this byte or behind it belong to somebody else; `usize::MAX` for none.
    pub end: usize,
    /// Nothing follows the bytes.
    pub last: bool,
}

/// What [`Decoder::decode`] gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// What has become of the segment. [`ReaderPage::Nothing`] asks for more bytes behind those that
    /// are not consumed.
    pub page: ReaderPage,
    /// Bytes of the block that are done with.
    pub consumed: usize,
}

/// Why a decoder cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct DecodeError {
    /// What is wrong.
    pub error: CallError,
    /// Where the record begins in the block.
    pub at: usize,
    /// Lines before the error, from where the decoder was opened.
    pub lines: u64,
}

impl Decoder {
    /// Fills a segment with rows of the block, as many as there are and fit.
    ///
    /// # Errors
    /// If the bytes are not in the format, or the page that it makes is not one of the schema.
    pub fn decode(
        &mut self,
        block: &Block<'_>,
        segment: &mut [u8],
    ) -> Result<Decoded, DecodeError> {
        let Inner { name, table, shape, .. } = &*self.format;
        let mut given = Given { block: Some(*block), consumed: 0 };
        let input =
            Input { size: size_of::<Input>() as u32, context: (&raw mut given).cast(), more };
        let mut decoded = millstream_abi::Decoded::default();
        let (start, length) = (segment.as_mut_ptr(), segment.len());
        // SAFETY: the decoder is open and used by one thread; input, segment and result are lent for
        // the call.
        let result = status(name, |errors| unsafe {
            let (input, decoded) = (&raw const input, ptr::from_mut(&mut decoded));
            (table.decode)(self.handle.0.as_ptr(), input, start, length, decoded, errors)
        });
        let consumed = given.consumed.saturating_add(decoded.consumed);
        let failed = |error: CallError| DecodeError { error, at: consumed, lines: decoded.lines };
        let wrong = |what: String| failed(CallError::new(format!("{name} {what}")));
        let status = result.map_err(failed)?;
        if consumed > block.bytes.len() {
            return Err(wrong("says that it consumed more bytes than there were".into()));
        }
        let page = match status {
            FILLED => {
                let bytes = segment
                    .get(..decoded.page.length as usize)
                    .ok_or_else(|| wrong("says that its page is longer than the segment".into()))?;
                let valid = ValidPage::validate(bytes, shape)
                    .map_err(|error| wrong(format!("made a bad page: {error}")))?;
                ReaderPage::Page { length: bytes.len(), rows: valid.rows() }
            }
            SPLIT_DONE => ReaderPage::SplitDone,
            TOO_SMALL => match decoded.page.length as usize {
                needed if needed > length => ReaderPage::TooSmall { needed },
                needed => {
                    let what =
                        format!("asks for a segment of {needed} bytes instead of one of {length}");
                    return Err(wrong(what));
                }
            },
            _ => ReaderPage::Nothing,
        };
        Ok(Decoded { page, consumed })
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: the decoder is open, and not used again.
        unsafe { (self.format.table.close_decoder)(self.handle.0.as_ptr()) }
    }
}

/// The block of a call: given once.
struct Given<'a> {
    block: Option<Block<'a>>,
    consumed: usize,
}

unsafe extern "C" fn more(
    context: *mut c_void,
    consumed: usize,
    _rows: u32,
    block: *mut InputBlock,
    _errors: BytesSink,
) -> Status {
    // SAFETY: `decode` passes its own state, which outlives the call and which nobody else uses
    // meanwhile; the plugin lends the block for the call.
    let (given, block) = unsafe { (&mut *context.cast::<Given<'_>>(), &mut *block) };
    given.consumed = given.consumed.saturating_add(consumed);
    match given.block.take() {
        Some(Block { bytes, end, last }) => {
            *block = InputBlock { bytes: lend_bytes(bytes), end, last: u32::from(last) };
            OK
        }
        None => NOTHING,
    }
}

/// Makes bytes of rows, for one file or stream.
#[derive(Debug)]
pub struct Encoder {
    format: Arc<Inner>,
    handle: Handle,
}

impl Encoder {
    /// Appends what stands before the first row. Once, before any page.
    ///
    /// # Errors
    /// If the format has no way to begin.
    pub fn begin(&mut self, out: &mut Vec<u8>) -> Result<(), CallError> {
        let begin = self.format.table.begin;
        // SAFETY: the encoder is open and used by one thread; the sinks outlive the call.
        self.write(out, |encoder, bytes, errors| unsafe { begin(encoder, bytes, errors) })
    }

    /// Appends the rows of a valid page.
    ///
    /// # Errors
    /// If the format cannot hold one of them.
    pub fn encode(&mut self, page: &[u8], out: &mut Vec<u8>) -> Result<(), CallError> {
        let (encode, page) = (self.format.table.encode, lend_bytes(page));
        // SAFETY: as in `begin`, and so does the page.
        self.write(out, |encoder, bytes, errors| unsafe { encode(encoder, page, bytes, errors) })
    }

    /// Appends what stands behind the last row. Once, after all pages.
    ///
    /// # Errors
    /// If the format has no way to end.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), CallError> {
        let finish = self.format.table.finish;
        // SAFETY: as in `begin`.
        self.write(out, |encoder, bytes, errors| unsafe { finish(encoder, bytes, errors) })
    }

    fn write(
        &mut self,
        out: &mut Vec<u8>,
        write: impl FnOnce(*mut c_void, BytesSink, BytesSink) -> Status,
    ) -> Result<(), CallError> {
        let mut pieces = Vec::new();
        let sink = collect(&mut pieces);
        let encoder = self.handle.0.as_ptr();
        status(&self.format.name, |errors| write(encoder, sink, errors))?;
        pieces.iter().for_each(|piece| out.extend_from_slice(piece));
        Ok(())
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // SAFETY: the encoder is open, and not used again.
        unsafe { (self.format.table.close_encoder)(self.handle.0.as_ptr()) }
    }
}
