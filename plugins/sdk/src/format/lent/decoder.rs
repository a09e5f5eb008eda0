//! Making rows of an input, with a format that the host has lent.

use std::{ffi::c_void, fmt, mem, ptr::NonNull, sync::Arc};

use millstream_abi::{BytesSink, Decoded, InputBlock, NOTHING, OK, SPLIT_DONE, Status};

use super::{Failure, Inner, call_status};
use crate::{
    Error,
    borrow::lend_bytes,
    format::Input,
    rows::Handed,
    source::{Filled, Rows},
    thunk,
};

/// Makes rows of one input.
pub struct Decoder {
    pub(super) format: Arc<Inner>,
    pub(super) handle: NonNull<c_void>,
}

// SAFETY: the interface demands that handles may move between threads.
unsafe impl Send for Decoder {}

/// Why a decoder cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The input failed, as it said.
    Input(Error),
    /// The bytes are not in the format, or hold what a column does not.
    Record {
        /// What is wrong; with the column, if the format knows it.
        error: Error,
        /// Where the record begins in the bytes that are not consumed.
        at: usize,
        /// Lines before the error, from where the decoder was opened.
        lines: u64,
    },
}

impl Decoder {
    /// Lets the format fill the page, with rows from `input`: nothing else may have been written
    /// into it. After [`Filled::Page`] call again, with the page of the next call.
    ///
    /// # Errors
    /// If the input fails, or its bytes are not in the format.
    pub fn fill(
        &mut self,
        input: &mut dyn Input,
        rows: &mut Rows<'_>,
    ) -> Result<Filled, DecodeError> {
        let Inner { owner, table, .. } = &*self.format;
        let failed = |error: Error| DecodeError::Record { error, at: 0, lines: 0 };
        if !rows.is_untouched() {
            return Err(failed(Error::new(
                "the page has rows already, which a format cannot keep",
            )));
        }
        let mut done = false;
        let handle = self.handle.as_ptr();
        rows.hand_over(|segment| {
            let mut source = Source { input, first: true, length: 0, error: None };
            let given = millstream_abi::Input {
                size: mem::size_of::<millstream_abi::Input>() as u32,
                context: (&raw mut source).cast(),
                more,
            };
            let mut decoded = Decoded::default();
            let (start, length) = (segment.as_mut_ptr(), segment.len());
            // SAFETY: the decoder is open and used by one thread; input, segment and result are
            // lent for the call.
            let result = call_status(|errors| unsafe {
                let decoded = &raw mut decoded;
                (table.decode)(handle, &raw const given, start, length, decoded, errors)
            });
            match (source.error, result) {
                (Some(error), _) => Err(DecodeError::Input(error)),
                (None, Err(error)) => {
                    // Errors of records are the user's data; who read them does not matter, unless
                    // the format itself is broken.
                    let error = match error {
                        Failure::Said(error) => error,
                        Failure::Broken(error) => error.at(owner),
                    };
                    Err(DecodeError::Record { error, at: decoded.consumed, lines: decoded.lines })
                }
                (None, Ok(_)) if decoded.consumed > source.length => {
                    let error = Error::new("it says that it consumed more bytes than there were");
                    Err(failed(error.at(owner)))
                }
                (None, Ok(status)) => {
                    source.input.consume(decoded.consumed);
                    done = status == SPLIT_DONE;
                    let status = if done { NOTHING } else { status };
                    Ok(Handed { status, page: decoded.page })
                }
            }
        })?;
        Ok(if done { Filled::SplitDone } else { Filled::Page })
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Decoder({})", self.format.owner)
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: the decoder is open, and not used again.
        unsafe { (self.format.table.close_decoder)(self.handle.as_ptr()) }
    }
}

/// A connector's input during a call.
struct Source<'a> {
    input: &'a mut dyn Input,
    /// The first call of `more` is to come.
    first: bool,
    /// Bytes of the last block.
    length: usize,
    /// Why the input failed.
    error: Option<Error>,
}

unsafe extern "C" fn more(
    context: *mut c_void,
    consumed: usize,
    rows: u32,
    block: *mut InputBlock,
    errors: BytesSink,
) -> Status {
    let mut failed = None;
    let status = thunk::status(errors, || {
        // SAFETY: `fill` passes its own source, which outlives the call and which nobody else uses
        // meanwhile; the format lends the block for the call.
        let (source, block) = unsafe { (&mut *context.cast::<Source<'_>>(), &mut *block) };
        let more = !mem::take(&mut source.first);
        if consumed > mem::take(&mut source.length) {
            let error = Error::new("the format says that it consumed more bytes than there were");
            failed = Some(error.clone());
            return Err(error);
        }
        source.input.consume(consumed);
        match source.input.block(more, rows) {
            Ok(Some(found)) => {
                source.length = found.bytes.len();
                *block = InputBlock {
                    bytes: lend_bytes(found.bytes),
                    end: found.end,
                    last: u32::from(found.last),
                };
                Ok(OK)
            }
            Ok(None) => Ok(NOTHING),
            Err(error) => {
                failed = Some(error.clone());
                Err(error)
            }
        }
    });
    if status < 0 {
        let error = failed.unwrap_or_else(|| Error::new("the connector's input panicked"));
        // SAFETY: as above.
        unsafe { (*context.cast::<Source<'_>>()).error = Some(error) }
    }
    status
}
