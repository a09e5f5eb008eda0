//! Formats as a connector uses them: opened and lent by the host, whoever offers them.

mod decoder;
mod encoder;

use std::{ffi::c_void, fmt, mem, ptr, ptr::NonNull, sync::Arc};

pub use decoder::{DecodeError, Decoder};
pub use encoder::Encoder;

use millstream_abi::{
    BorrowedBytes, BorrowedOption, BorrowedOptions, BorrowedStr, BytesSink, DECODER_WHOLE,
    DecoderInfo, FAILED, FORMAT_DECODES, FORMAT_ENCODES, FORMAT_HEADER, FORMAT_SPLITS,
    FormatProperties, FormatTable, LentFormat, OK, Status,
};
use millstream_data::types::Schema;
use millstream_dataflow::graph::encode_schema;

use super::{Constants, InputInfo, Properties};
use crate::{
    Error, borrow,
    borrow::{lend_bytes, lend_str},
    host::host,
    options::Options,
};

/// A format that the host has opened for this connector.
#[derive(Clone)]
pub struct OpenFormat(Arc<Inner>);

struct Inner {
    name: String,
    /// Names the format and its plugin in errors.
    owner: String,
    table: &'static FormatTable,
    handle: NonNull<c_void>,
    properties: Properties,
}

// SAFETY: the interface demands that handles may move between threads.
unsafe impl Send for Inner {}
// SAFETY: the interface demands that several threads may use a format at once.
unsafe impl Sync for Inner {}

impl OpenFormat {
    /// Asks the host for the format `name`, see [`Options::format`].
    pub(crate) fn open(name: &str, options: &Options, schema: &Schema) -> Result<Self, Error> {
        let host = host()?;
        let options: Vec<_> = options
            .given()
            .map(|(key, value)| BorrowedOption { key: lend_str(key), value: lend_str(value) })
            .collect();
        let options = BorrowedOptions { start: options.as_ptr(), length: options.len() };
        let schema = encode_schema(schema);
        let mut lent = LentFormat {
            size: mem::size_of::<LentFormat>() as u32,
            owner: lend_str(""),
            table: ptr::null(),
            format: ptr::null_mut(),
        };
        // SAFETY: the host is for ever, and all that is lent outlives the call.
        call(|errors| unsafe {
            let (name, schema) = (lend_str(name), lend_bytes(&schema));
            (host.open_format)(host.context, name, options, schema, &raw mut lent, errors)
        })?;
        // SAFETY: the host lends a table and a name for ever if it says that it has opened one.
        let (table, owner) = unsafe { (lent.table.as_ref(), text(lent.owner)?) };
        let (Some(table), Some(handle)) = (table, NonNull::new(lent.format)) else {
            return Err(Error::new(format!("the host lends no format called `{name}`")));
        };
        let properties =
            Properties { decodes: false, encodes: false, splits: false, header: false };
        let mut inner = Inner { name: name.into(), owner, table, handle, properties };
        inner.properties = inner.describe()?;
        Ok(Self(Arc::new(inner)))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What it is like.
    pub fn properties(&self) -> Properties {
        self.0.properties
    }

    /// A decoder, for one file, part of a file or stream, into pages of segments of this size.
    ///
    /// # Errors
    /// If the format only writes, or cannot read this input.
    pub fn decoder(&self, input: &InputInfo<'_>, segment_size: u32) -> Result<Decoder, Error> {
        self.decoder_beside(input, segment_size, None)
    }

    /// The same, whose rows have these cells behind those that the format writes.
    ///
    /// # Errors
    /// As [`decoder`](Self::decoder).
    pub fn decoder_beside(
        &self,
        input: &InputInfo<'_>,
        segment_size: u32,
        constants: Option<&Constants>,
    ) -> Result<Decoder, Error> {
        let Inner { name, owner, table, handle, properties } = &*self.0;
        if !properties.decodes {
            return Err(Error::new(format!("the format `{name}` is only written, not read")));
        }
        let info = DecoderInfo {
            size: mem::size_of::<DecoderInfo>() as u32,
            flags: if input.whole { DECODER_WHOLE } else { 0 },
            segment_size,
            header: lend_bytes(input.header),
            record_bytes_max: input.record_bytes_max,
            constants_schema: lend_bytes(constants.map_or(&[], |constants| &constants.schema)),
            constants: lend_bytes(constants.map_or(&[], Constants::page)),
        };
        let mut opened = ptr::null_mut();
        // SAFETY: the format is open, and the info outlives the call.
        call(|errors| unsafe {
            opened = (table.open_decoder)(handle.as_ptr(), &raw const info, errors);
            if opened.is_null() { FAILED } else { OK }
        })
        .map_err(|error| error.at(owner))?;
        let handle = NonNull::new(opened).ok_or_else(|| Error::new("no decoder").at(owner))?;
        Ok(Decoder { format: Arc::clone(&self.0), handle })
    }

    /// An encoder, for one file or stream.
    ///
    /// # Errors
    /// If the format only reads, or gives none.
    pub fn encoder(&self) -> Result<Encoder, Error> {
        let Inner { name, owner, table, handle, properties } = &*self.0;
        if !properties.encodes {
            return Err(Error::new(format!("the format `{name}` is only read, not written")));
        }
        let mut opened = ptr::null_mut();
        // SAFETY: the format is open.
        call(|errors| unsafe {
            opened = (table.open_encoder)(handle.as_ptr(), errors);
            if opened.is_null() { FAILED } else { OK }
        })
        .map_err(|error| error.at(owner))?;
        let handle = NonNull::new(opened).ok_or_else(|| Error::new("no encoder").at(owner))?;
        Ok(Encoder { format: Arc::clone(&self.0), handle })
    }
}

impl fmt::Debug for OpenFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpenFormat({})", self.0.owner)
    }
}

impl Inner {
    fn describe(&self) -> Result<Properties, Error> {
        let size = mem::size_of::<FormatProperties>() as u32;
        let mut properties = FormatProperties { size, flags: 0 };
        // SAFETY: the format is open, and the properties outlive the call.
        call(|errors| unsafe {
            (self.table.describe)(self.handle.as_ptr(), &raw mut properties, errors)
        })
        .map_err(|error| error.at(&self.owner))?;
        let is = |bit| properties.flags & bit != 0;
        Ok(Properties {
            decodes: is(FORMAT_DECODES),
            encodes: is(FORMAT_ENCODES),
            splits: is(FORMAT_SPLITS),
            header: is(FORMAT_HEADER),
        })
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // SAFETY: decoders and encoders hold the format, so all are closed.
        unsafe { (self.table.close)(self.handle.as_ptr()) }
    }
}

/// Why a call failed.
enum Failure {
    /// As it said.
    Said(Error),
    /// It panicked, or did not say.
    Broken(Error),
}

fn call(call: impl FnOnce(BytesSink) -> Status) -> Result<(), Error> {
    match call_status(call) {
        Ok(_) => Ok(()),
        Err(Failure::Said(error) | Failure::Broken(error)) => Err(error),
    }
}

fn call_status(call: impl FnOnce(BytesSink) -> Status) -> Result<Status, Failure> {
    let mut reason = Vec::new();
    let status = call(BytesSink { context: (&raw mut reason).cast(), take: append });
    let said = String::from_utf8_lossy(&reason).into_owned();
    match status {
        status if status >= 0 => Ok(status),
        FAILED if !said.is_empty() => Err(Failure::Said(Error::new(said))),
        _ if !said.is_empty() => Err(Failure::Broken(Error::new(said))),
        _ => Err(Failure::Broken(Error::new("it failed without saying why"))),
    }
}

unsafe extern "C" fn append(context: *mut c_void, bytes: BorrowedBytes) {
    // SAFETY: whoever made the sink passed a vector that outlives the call, and the bytes are lent
    // for it.
    unsafe { (*context.cast::<Vec<u8>>()).extend_from_slice(borrow::bytes(bytes)) }
}

/// # Safety
/// The text is readable during the call.
unsafe fn text(text: BorrowedStr) -> Result<String, Error> {
    // SAFETY: the caller's promise.
    unsafe { borrow::text(text) }.map(str::to_owned)
}
