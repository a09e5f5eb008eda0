//! Lending a segment for results, and checking what comes back.

use std::ptr;

use millstream_abi::{BytesSink, DONE, FILLED, FilledPage, SPLIT_DONE, Status, TOO_SMALL};
use millstream_data::page::{Shape, ValidPage};

use crate::{
    CallError, ReaderPage,
    call::{Name, status},
};

/// Calls that may give nothing one after the other: a page is laid out anew a few times before a
/// larger one is asked for.
const NOTHING_MAX: usize = 64;

/// A segment during a call.
pub(super) struct Filling<'a> {
    name: &'a Name,
    segment: &'a mut [u8],
    page: FilledPage,
}

impl Filling<'_> {
    /// Makes a call that fills the segment.
    pub(super) fn call(
        &mut self,
        call: impl FnOnce(*mut u8, usize, *mut FilledPage, BytesSink) -> Status,
    ) -> Result<Status, CallError> {
        let (start, length) = (self.segment.as_mut_ptr(), self.segment.len());
        let page = ptr::from_mut(&mut self.page);
        status(self.name, |errors| call(start, length, page, errors))
    }
}

/// Lets `fill` make a page of `shape` in the segment.
pub(super) fn fill(
    name: &Name,
    shape: &Shape,
    segment: &mut [u8],
    mut fill: impl FnMut(&mut Filling<'_>) -> Result<Status, CallError>,
) -> Result<ReaderPage, CallError> {
    let wrong = |what: String| CallError::new(format!("{name} {what}"));
    let length = segment.len();
    for _ in 0..NOTHING_MAX {
        let mut filling = Filling { name, segment, page: FilledPage::default() };
        let status = fill(&mut filling)?;
        let page = filling.page;
        match status {
            FILLED => {
                let bytes = segment
                    .get(..page.length as usize)
                    .ok_or_else(|| wrong("says that its page is longer than the segment".into()))?;
                let valid = ValidPage::validate(bytes, shape)
                    .map_err(|error| wrong(format!("made a bad page: {error}")))?;
                return match valid.rows() {
                    0 => Err(wrong("made a page without rows".into())),
                    rows => Ok(ReaderPage::Page { length: bytes.len(), rows }),
                };
            }
            DONE_OR_SPLIT_DONE => return Ok(ReaderPage::SplitDone),
            TOO_SMALL => {
                return match page.length as usize {
                    needed if needed > length => Ok(ReaderPage::TooSmall { needed }),
                    needed => Err(wrong(format!(
                        "asks for a segment of {needed} bytes instead of one of {length}"
                    ))),
                };
            }
            _ => {}
        }
    }
    Ok(ReaderPage::Nothing)
}

/// They are one number.
const DONE_OR_SPLIT_DONE: Status = {
    assert!(DONE == SPLIT_DONE);
    DONE
};
