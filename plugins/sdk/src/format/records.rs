//! Going through the records of an input: what surrounds a format's own decoder.

use millstream_abi::{
    BorrowedBytes, BytesSink, Decoded, DecoderInfo, Input, InputBlock, NOTHING, SPLIT_DONE, Status,
};

use super::{Block, Constants, Decode, RecordError, Step};
use crate::{Error, borrow, rows::Pages, source::Rows};

/// A decoder, with all that surrounds a format's own.
pub(super) struct OpenDecoder<D> {
    decoder: D,
    pages: Pages,
    limits: Limits,
    /// Records and empty lines so far, to say where an error is.
    lines: u64,
    /// The input has ended.
    done: bool,
    /// What all rows have behind the format's own columns, and the number of the first of these.
    constants: Option<(usize, Constants)>,
}

/// How large records may be, in bytes.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// As they are written.
    record: usize,
    /// A record that finds no room in a page of its own of this size is too large.
    page: usize,
}

/// Why a call of a decoder fails.
pub(super) enum Fault {
    Plugin(Error),
    /// The caller's input failed, and has said why.
    Input,
}

/// The caller's blocks.
pub(super) struct Blocks<'a> {
    input: &'a Input,
    errors: BytesSink,
}

impl<'i> Blocks<'i> {
    pub(super) fn new(input: &'i Input, errors: BytesSink) -> Self {
        Self { input, errors }
    }

    /// The next block; `None` if there is none for now. It is good until the next call.
    fn more(&mut self, consumed: usize, rows: usize) -> Result<Option<Block<'_>>, Fault> {
        let none = BorrowedBytes { start: std::ptr::null(), length: 0 };
        let mut block = InputBlock { bytes: none, end: usize::MAX, last: 0 };
        let Input { context, more, .. } = *self.input;
        // SAFETY: the input is valid during the call, and the block outlives it.
        let status = unsafe { more(context, consumed, rows as u32, &raw mut block, self.errors) };
        match status {
            status if status < 0 => Err(Fault::Input),
            NOTHING => Ok(None),
            _ => {
                // SAFETY: the bytes are valid until the next call, which the lifetime of `self`
                // sees to.
                let bytes = unsafe { borrow::bytes(block.bytes) };
                Ok(Some(Block { bytes, end: block.end, last: block.last != 0 }))
            }
        }
    }
}

impl<D: Decode> OpenDecoder<D> {
    pub(super) fn new(
        decoder: D,
        pages: Pages,
        info: &DecoderInfo,
        constants: Option<(usize, Constants)>,
    ) -> Self {
        let record = usize::try_from(info.record_bytes_max).unwrap_or(usize::MAX);
        // A page of the usual size may be short of room for a row that fits it.
        let page = record.max(2 * info.segment_size as usize);
        let limits = Limits { record, page };
        Self { decoder, pages, limits, lines: 0, done: false, constants }
    }

    /// Fills the segment with the next page.
    pub(super) fn decode(
        &mut self,
        input: &mut Blocks<'_>,
        segment: &mut [u8],
        decoded: &mut Decoded,
    ) -> Result<Status, Fault> {
        *decoded = Decoded::default();
        if self.done {
            return Ok(SPLIT_DONE);
        }
        let Self { decoder, pages, limits, lines, done, constants } = self;
        let constants = constants.as_ref();
        let mut input_failed = false;
        let mut consumed = 0;
        let made = pages.fill(segment, |rows| {
            let mut records = Records { decoder, limits: *limits, lines, done, constants };
            match records.fill(input, rows, &mut consumed) {
                Ok(()) => Ok(()),
                Err(Fault::Plugin(error)) => Err(error),
                Err(Fault::Input) => {
                    input_failed = true;
                    Err(Error::new(String::new()))
                }
            }
        });
        decoded.consumed = consumed;
        decoded.lines = self.lines;
        match made {
            Ok(made) => made.status(&mut decoded.page, self.done).map_err(Fault::Plugin),
            Err(_) if input_failed => Err(Fault::Input),
            Err(error) => Err(Fault::Plugin(error)),
        }
    }
}

/// Goes through the records of the blocks.
struct Records<'a, D> {
    decoder: &'a mut D,
    limits: Limits,
    lines: &'a mut u64,
    done: &'a mut bool,
    constants: Option<&'a (usize, Constants)>,
}

/// Why a block is left.
enum Leave {
    /// The page has no room.
    Full,
    /// The next record needs more bytes.
    Incomplete,
    /// There are no more records.
    Done,
}

impl<D: Decode> Records<'_, D> {
    /// Fills the page; `consumed` are the bytes of the last block that are done with.
    fn fill(
        &mut self,
        input: &mut Blocks<'_>,
        rows: &mut Rows<'_>,
        consumed: &mut usize,
    ) -> Result<(), Fault> {
        loop {
            let Some(block) = input.more(*consumed, rows.rows())? else {
                // The block before is gone, and with it what of it was done with.
                *consumed = 0;
                return Ok(());
            };
            *consumed = 0;
            let left = self.block(&block, rows, consumed);
            match left.map_err(|error| Fault::Plugin(self.fault(error)))? {
                Leave::Full => return Ok(()),
                Leave::Done => {
                    *self.done = true;
                    return Ok(());
                }
                Leave::Incomplete if block.last => {
                    let error = RecordError::new("the data end within a record");
                    return Err(Fault::Plugin(self.fault(error)));
                }
                Leave::Incomplete => {}
            }
        }
    }

    fn block(
        &mut self,
        block: &Block<'_>,
        rows: &mut Rows<'_>,
        at: &mut usize,
    ) -> Result<Leave, RecordError> {
        let Block { bytes, end: limit, last } = *block;
        self.decoder.seek(bytes, 0);
        while rows.has_room() {
            if *at >= limit || (*at >= bytes.len() && last) {
                return Ok(Leave::Done);
            }
            let has_room = self.constants.is_none_or(|(first, cells)| cells.put(*first, rows));
            let step = match has_room {
                true => self.decoder.record(bytes, *at, last, rows)?,
                false => Step::Full,
            };
            if self.constants.is_some() && matches!(step, Step::Blank(_)) {
                rows.roll_back();
            }
            match step {
                Step::Row(end) | Step::Blank(end) if end > bytes.len() || end < *at => {
                    return Err(RecordError::new("the format says that a record ends elsewhere"));
                }
                Step::Blank(end) if end == *at => {
                    return Err(RecordError::new("the format does not get past an empty line"));
                }
                Step::Row(end) | Step::Blank(end) => {
                    if end - *at > self.limits.record {
                        return Err(self.too_large(bytes, *at));
                    }
                    *self.lines += 1;
                    *at = end;
                }
                Step::Incomplete => {
                    rows.roll_back();
                    if bytes.len().saturating_sub(*at) > self.limits.record {
                        return Err(self.too_large(bytes, *at));
                    }
                    return Ok(Leave::Incomplete);
                }
                Step::Full => {
                    rows.roll_back();
                    // A page of its own is lent to such a row, twice as large each time.
                    if rows.rows() == 0 && rows.size() >= self.limits.page {
                        return Err(self.too_large(bytes, *at));
                    }
                    return Ok(Leave::Full);
                }
            }
        }
        Ok(Leave::Full)
    }

    fn too_large(&self, bytes: &[u8], at: usize) -> RecordError {
        self.decoder.too_large(bytes.get(at..).unwrap_or_default(), self.limits.record)
    }

    fn fault(&mut self, error: RecordError) -> Error {
        *self.lines += error.lines as u64;
        Error::new(error.message)
    }
}
