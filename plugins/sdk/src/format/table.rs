//! The table of a format.

use std::{ffi::c_void, marker::PhantomData, mem, slice, sync::Arc};

use millstream_abi::{
    BorrowedBytes, BorrowedOptions, BytesSink, DECODER_WHOLE, Decoded, DecoderInfo, FAILED,
    FORMAT_DECODES, FORMAT_ENCODES, FORMAT_HEADER, FORMAT_SPLITS, FormatProperties, FormatTable,
    Input, OK, Status, VERSION,
};
use millstream_data::{page::ValidPage, types::Schema};
use millstream_dataflow::graph::decode_schema;

use super::{
    Constants, Encode, Format, InputInfo, Properties,
    records::{Blocks, Fault, OpenDecoder},
};
use crate::{
    Error, borrow,
    options::Options,
    rows::{Columns, Pages},
    thunk,
};

/// The table of a format.
pub(crate) struct Thunks<F>(PhantomData<F>);

impl<F: Format> Thunks<F> {
    pub(crate) const TABLE: FormatTable = FormatTable {
        size: mem::size_of::<FormatTable>() as u32,
        version: VERSION,
        open: open::<F>,
        describe: describe::<F>,
        open_decoder: open_decoder::<F>,
        decode: decode::<F>,
        close_decoder: close_decoder::<F>,
        open_encoder: open_encoder::<F>,
        begin: begin::<F>,
        encode: encode::<F>,
        finish: finish::<F>,
        close_encoder: close_encoder::<F>,
        close: close::<F>,
    };
}

struct OpenFormat<F> {
    format: F,
    schema: Schema,
    columns: Arc<Columns>,
}

struct OpenEncoder<E> {
    encoder: E,
    /// What one call gives.
    bytes: Vec<u8>,
}

unsafe extern "C" fn open<F: Format>(
    options: BorrowedOptions,
    schema: BorrowedBytes,
    errors: BytesSink,
) -> *mut c_void {
    thunk::handle(errors, || {
        // SAFETY: the host lends options and schema for the call.
        let (options, schema) = unsafe { (borrow::options(options)?, borrow::bytes(schema)) };
        let schema = decode_schema(schema).map_err(|error| Error::new(error.to_string()))?;
        if schema.row_kinds && !F::ROW_KINDS {
            return Err(Error::new(format!(
                "the format `{}` has no kinds of rows, and these are a changelog: use changelog-json \
                 or debezium-json",
                F::NAME
            )));
        }
        let format = F::open(&Options::new(F::OPTIONS, options), &schema)?;
        let columns = Columns::new(&schema);
        Ok(Box::new(OpenFormat { format, schema, columns }))
    })
}

unsafe extern "C" fn describe<F: Format>(
    format: *mut c_void,
    properties: *mut FormatProperties,
    errors: BytesSink,
) -> Status {
    thunk::status(errors, || {
        // SAFETY: the caller passes what `open` gave.
        let open = unsafe { thunk::shared::<OpenFormat<F>>(format)? };
        let Properties { decodes, encodes, splits, header } = open.format.properties();
        let bit = |is: bool, bit: u32| if is { bit } else { 0 };
        let flags = bit(decodes, FORMAT_DECODES)
            | bit(encodes, FORMAT_ENCODES)
            | bit(splits, FORMAT_SPLITS)
            | bit(header, FORMAT_HEADER);
        // SAFETY: the caller lends the properties for the call.
        unsafe {
            *properties =
                FormatProperties { size: mem::size_of::<FormatProperties>() as u32, flags };
        }
        Ok(OK)
    })
}

unsafe extern "C" fn open_decoder<F: Format>(
    format: *mut c_void,
    info: *const DecoderInfo,
    errors: BytesSink,
) -> *mut c_void {
    thunk::handle(errors, || {
        // SAFETY: the caller passes what `open` gave, and lends the info for the call.
        let (open, info) = unsafe { (thunk::shared::<OpenFormat<F>>(format)?, *info) };
        let input = InputInfo {
            // SAFETY: the caller lends the header for the call.
            header: unsafe { borrow::bytes(info.header) },
            whole: info.flags & DECODER_WHOLE != 0,
            record_bytes_max: info.record_bytes_max,
        };
        let decoder = open.format.decoder(&input)?;
        // SAFETY: the caller lends both for the call.
        let (schema, page) =
            unsafe { (borrow::bytes(info.constants_schema), borrow::bytes(info.constants)) };
        let Some((constants, beside)) = Constants::lent(schema, page)? else {
            let pages = Pages::new(&open.columns, info.segment_size)?;
            return Ok(Box::new(OpenDecoder::new(decoder, pages, &info, None)));
        };
        let own = open.columns.shape();
        let first = own.columns().len() - usize::from(own.has_row_kinds());
        let mut schema = open.schema.clone();
        schema.fields.extend(beside.fields);
        let pages = Pages::new(&Columns::new(&schema), info.segment_size)?;
        Ok(Box::new(OpenDecoder::new(decoder, pages, &info, Some((first, constants)))))
    })
}

unsafe extern "C" fn decode<F: Format>(
    decoder: *mut c_void,
    input: *const Input,
    segment: *mut u8,
    length: usize,
    decoded: *mut Decoded,
    errors: BytesSink,
) -> Status {
    let mut input_failed = false;
    let status = thunk::status(errors, || {
        // SAFETY: the caller passes what `open_decoder` gave, and lends the rest for the call.
        let (open, input, segment, decoded) = unsafe {
            let open = thunk::exclusive::<OpenDecoder<F::Decoder>>(decoder)?;
            (open, &*input, slice::from_raw_parts_mut(segment, length), &mut *decoded)
        };
        let mut input = Blocks::new(input, errors);
        match open.decode(&mut input, segment, decoded) {
            Ok(status) => Ok(status),
            Err(Fault::Plugin(error)) => Err(error),
            Err(Fault::Input) => {
                input_failed = true;
                Ok(OK)
            }
        }
    });
    // The input has told `errors` why already.
    if input_failed { FAILED } else { status }
}

unsafe extern "C" fn open_encoder<F: Format>(
    format: *mut c_void,
    errors: BytesSink,
) -> *mut c_void {
    thunk::handle(errors, || {
        // SAFETY: the caller passes what `open` gave.
        let encoder = unsafe { thunk::shared::<OpenFormat<F>>(format)? }.format.encoder()?;
        Ok(Box::new(OpenEncoder { encoder, bytes: Vec::new() }))
    })
}

/// Lets an encoder append bytes, and gives them to `out`.
///
/// # Safety
/// `encoder` came from `open_encoder`, is open, and nobody else uses it meanwhile; `out` is valid
/// during the call.
unsafe fn write<F: Format>(
    encoder: *mut c_void,
    out: BytesSink,
    errors: BytesSink,
    call: impl FnOnce(&mut F::Encoder, &mut Vec<u8>) -> Result<(), Error>,
) -> Status {
    thunk::status(errors, || {
        // SAFETY: the caller's promise.
        let open = unsafe { thunk::exclusive::<OpenEncoder<F::Encoder>>(encoder)? };
        open.bytes.clear();
        call(&mut open.encoder, &mut open.bytes)?;
        thunk::give(out, &open.bytes);
        Ok(OK)
    })
}

unsafe extern "C" fn begin<F: Format>(
    encoder: *mut c_void,
    bytes: BytesSink,
    errors: BytesSink,
) -> Status {
    // SAFETY: the caller passes what `open_encoder` gave, and lends the sinks for the call.
    unsafe { write::<F>(encoder, bytes, errors, Encode::begin) }
}

unsafe extern "C" fn encode<F: Format>(
    encoder: *mut c_void,
    page: BorrowedBytes,
    bytes: BytesSink,
    errors: BytesSink,
) -> Status {
    // SAFETY: the caller passes what `open_encoder` gave, and lends the page and the sinks for the
    // call. The page is valid: the host has checked it.
    unsafe {
        write::<F>(encoder, bytes, errors, |encoder, out| {
            let page = ValidPage::trusted(borrow::bytes(page));
            encoder.encode(&page.map_err(|error| Error::new(error.to_string()))?, out)
        })
    }
}

unsafe extern "C" fn finish<F: Format>(
    encoder: *mut c_void,
    bytes: BytesSink,
    errors: BytesSink,
) -> Status {
    // SAFETY: as in `begin`.
    unsafe { write::<F>(encoder, bytes, errors, Encode::finish) }
}

unsafe extern "C" fn close_decoder<F: Format>(decoder: *mut c_void) {
    // SAFETY: the caller passes what `open_decoder` gave, for the last time.
    unsafe { thunk::close::<OpenDecoder<F::Decoder>>(decoder) }
}

unsafe extern "C" fn close_encoder<F: Format>(encoder: *mut c_void) {
    // SAFETY: the caller passes what `open_encoder` gave, for the last time.
    unsafe { thunk::close::<OpenEncoder<F::Encoder>>(encoder) }
}

unsafe extern "C" fn close<F: Format>(format: *mut c_void) {
    // SAFETY: the caller passes what `open` gave, for the last time.
    unsafe { thunk::close::<OpenFormat<F>>(format) }
}
