//! Making bytes of rows, with a format that the host has lent.

use std::{ffi::c_void, fmt, ptr::NonNull, sync::Arc};

use millstream_abi::{BytesSink, Status};
use millstream_data::page::ValidPage;

use super::{Inner, append, call};
use crate::{Error, borrow::lend_bytes};

/// Makes bytes of rows, for one file or stream.
pub struct Encoder {
    pub(super) format: Arc<Inner>,
    pub(super) handle: NonNull<c_void>,
}

// SAFETY: the interface demands that handles may move between threads.
unsafe impl Send for Encoder {}

impl Encoder {
    /// Appends what stands before the first row. Once, before any page.
    ///
    /// # Errors
    /// If the format has no way to begin.
    pub fn begin(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        let begin = self.format.table.begin;
        // SAFETY: the encoder is open and used by one thread; the sinks outlive the call.
        self.write(out, |encoder, out, errors| unsafe { begin(encoder, out, errors) })
    }

    /// Appends the rows of a page.
    ///
    /// # Errors
    /// If the format cannot hold one of them.
    pub fn encode(&mut self, page: &ValidPage<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
        let (encode, page) = (self.format.table.encode, lend_bytes(page.bytes()));
        // SAFETY: as in `begin`, and so does the page.
        self.write(out, |encoder, out, errors| unsafe { encode(encoder, page, out, errors) })
    }

    /// Appends what stands behind the last row. Once, after all pages.
    ///
    /// # Errors
    /// If the format has no way to end.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        let finish = self.format.table.finish;
        // SAFETY: as in `begin`.
        self.write(out, |encoder, out, errors| unsafe { finish(encoder, out, errors) })
    }

    fn write(
        &mut self,
        out: &mut Vec<u8>,
        write: impl FnOnce(*mut c_void, BytesSink, BytesSink) -> Status,
    ) -> Result<(), Error> {
        let sink = BytesSink { context: (&raw mut *out).cast(), take: append };
        call(|errors| write(self.handle.as_ptr(), sink, errors))
            .map_err(|error| error.at(&self.format.owner))
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Encoder({})", self.format.owner)
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // SAFETY: the encoder is open, and not used again.
        unsafe { (self.format.table.close_encoder)(self.handle.as_ptr()) }
    }
}
