//! Sources: where rows come from.

use std::{ffi::c_void, marker::PhantomData, mem, slice, sync::Arc};

use millstream_abi::{
    BorrowedBytes, BorrowedOptions, BytesSink, FilledPage, OK, SPLIT_DONE, SourceTable, Status,
    SubtaskInfo, VERSION,
};
use millstream_data::types::Schema;
use millstream_dataflow::graph::decode_schema;

use crate::{
    Error, borrow,
    options::{OptionDoc, Options},
    rows::{Columns, Pages},
    thunk,
};

/// A source: opened once for a job in each of its processes, and again for subtasks that failed and begin
/// anew while others go on, it divides its input into splits and makes readers.
///
/// A **split** is a piece of input that one reader reads on its own: a file, a range of bytes, a
/// partition of a topic. The host hands splits out in order, to whichever reader is free.
pub trait Source: Sized + Send + Sync + 'static {
    /// The name that programs call it by.
    const NAME: &'static str;
    /// One sentence about it.
    const SUMMARY: &'static str;
    /// The options that it takes.
    const OPTIONS: &'static [OptionDoc];
    /// Whether its rows may have kinds ([`Schema::row_kinds`]). One whose rows never have is never asked for a
    /// changelog.
    const ROW_KINDS: bool = false;
    /// What reads its splits.
    type Reader: SplitReader;

    /// Opens the source for rows of `schema`.
    ///
    /// # Errors
    /// If the options do not fit each other or the schema, or what they name is not there.
    fn open(options: &Options, schema: &Schema) -> Result<Self, Error>;

    /// The splits of the input, each as bytes that only this source understands. One process
    /// of the job asks, and the readers of all of them read what it was told: the same options give
    /// the same splits.
    ///
    /// # Errors
    /// If the input cannot be listed.
    fn splits(&self) -> Result<Vec<Vec<u8>>, Error>;

    /// Whether its splits end some time. Of what follows from a source without an end people want to see
    /// changes, and not what is left in the end.
    fn is_bounded(&self) -> bool {
        true
    }

    /// A reader, for one subtask.
    ///
    /// # Errors
    /// If there is none to be had.
    fn reader(&self, subtask: Subtask) -> Result<Self::Reader, Error>;
}

/// The subtask that a reader or writer works for.
#[derive(Clone, Copy, Debug)]
pub struct Subtask {
    /// Which, from 0.
    pub index: u32,
    /// How many there are.
    pub parallelism: u32,
    /// Bytes of a segment.
    pub segment_size: u32,
}

pub use crate::rows::Rows;
#[doc(inline)]
pub use millstream_data::page::Full;

/// Reads one split after the other.
pub trait SplitReader: Send + 'static {
    /// Begins a split, as [`Source::splits`] made it.
    ///
    /// # Errors
    /// If it cannot be read.
    fn begin(&mut self, split: &[u8]) -> Result<(), Error>;

    /// Adds rows to a page until it is full or there are none for now. May block.
    ///
    /// If a string or an element of a list does not fit the page any more
    /// ([`Full`]), keep the row for the next call and return
    /// [`Filled::Page`]: only rows that are committed are part of the page. The next page has more
    /// room: a row that does not fit a segment gets a page of its own, up to the option
    /// `max-record-size` of the engine.
    ///
    /// A page without rows is not sent: return [`Filled::Page`] when there are none for now, after
    /// waiting a little for them, or the reader is called again at once. Behind the last row of the
    /// split return [`Filled::SplitDone`]; the page may have rows all the same.
    ///
    /// # Errors
    /// If the input is malformed or cannot be read, with the place.
    fn fill(&mut self, rows: &mut Rows<'_>) -> Result<Filled, Error>;

    /// A split that has what is left of the one that is being read: the rows behind those that were
    /// committed. A checkpoint keeps it, and after a restart some reader [begins](Self::begin) it.
    ///
    /// # Errors
    /// If the source cannot go back to where it is, which is what this says if it is left out: jobs that
    /// take checkpoints cannot read from it then.
    fn rest(&self) -> Result<Vec<u8>, Error> {
        Err(Error::new(
            "it cannot go back to where it was, so a job that reads from it takes no checkpoints",
        ))
    }
}

/// How far [`SplitReader::fill`] has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    /// Call again: there may be more.
    Page,
    /// The split is done.
    SplitDone,
}

struct OpenSource<S> {
    source: S,
    columns: Arc<Columns>,
}

struct OpenReader<R> {
    reader: R,
    pages: Pages,
    split_done: bool,
}

/// The table of a source.
pub(crate) struct Thunks<S>(PhantomData<S>);

impl<S: Source> Thunks<S> {
    pub(crate) const TABLE: SourceTable = SourceTable {
        size: mem::size_of::<SourceTable>() as u32,
        version: VERSION,
        open: open::<S>,
        enumerate: enumerate::<S>,
        open_reader: open_reader::<S>,
        begin_split: begin_split::<S>,
        fill: fill::<S>,
        rest_of_split: rest_of_split::<S>,
        close_reader: close_reader::<S>,
        close: close::<S>,
        is_bounded: is_bounded::<S>,
    };
}

unsafe extern "C" fn open<S: Source>(
    options: BorrowedOptions,
    schema: BorrowedBytes,
    errors: BytesSink,
) -> *mut c_void {
    thunk::handle(errors, || {
        // SAFETY: the host lends options and schema for the call.
        let (options, schema) = unsafe { (borrow::options(options)?, borrow::bytes(schema)) };
        let schema = decode_schema(schema).map_err(|error| Error::new(error.to_string()))?;
        if schema.row_kinds && !S::ROW_KINDS {
            return Err(Error::new(format!(
                "the source `{}` makes rows without kinds, and a changelog was asked for",
                S::NAME
            )));
        }
        let source = S::open(&Options::new(S::OPTIONS, options), &schema)?;
        Ok(Box::new(OpenSource { source, columns: Columns::new(&schema) }))
    })
}

unsafe extern "C" fn enumerate<S: Source>(
    source: *mut c_void,
    splits: BytesSink,
    errors: BytesSink,
) -> Status {
    thunk::status(errors, || {
        // SAFETY: the host passes what `open` gave.
        let open = unsafe { thunk::shared::<OpenSource<S>>(source)? };
        open.source.splits()?.iter().for_each(|split| thunk::give(splits, split));
        Ok(OK)
    })
}

unsafe extern "C" fn is_bounded<S: Source>(source: *mut c_void, errors: BytesSink) -> Status {
    thunk::status(errors, || {
        // SAFETY: the host passes what `open` gave.
        let open = unsafe { thunk::shared::<OpenSource<S>>(source)? };
        Ok(Status::from(open.source.is_bounded()))
    })
}

unsafe extern "C" fn open_reader<S: Source>(
    source: *mut c_void,
    info: *const SubtaskInfo,
    errors: BytesSink,
) -> *mut c_void {
    thunk::handle(errors, || {
        // SAFETY: the host passes what `open` gave, and lends the info for the call.
        let (open, info) = unsafe { (thunk::shared::<OpenSource<S>>(source)?, *info) };
        let pages = Pages::new(&open.columns, info.segment_size)?;
        let reader = open.source.reader(subtask(&info))?;
        Ok(Box::new(OpenReader { reader, pages, split_done: true }))
    })
}

pub(crate) fn subtask(info: &SubtaskInfo) -> Subtask {
    Subtask { index: info.subtask, parallelism: info.parallelism, segment_size: info.segment_size }
}

unsafe extern "C" fn begin_split<S: Source>(
    reader: *mut c_void,
    split: BorrowedBytes,
    errors: BytesSink,
) -> Status {
    thunk::status(errors, || {
        // SAFETY: the host passes what `open_reader` gave, and lends the split for the call.
        let (open, split) =
            unsafe { (thunk::exclusive::<OpenReader<S::Reader>>(reader)?, borrow::bytes(split)) };
        open.split_done = false;
        open.reader.begin(split)?;
        Ok(OK)
    })
}

unsafe extern "C" fn fill<S: Source>(
    reader: *mut c_void,
    segment: *mut u8,
    length: usize,
    page: *mut FilledPage,
    errors: BytesSink,
) -> Status {
    thunk::status(errors, || {
        // SAFETY: the host passes what `open_reader` gave, and lends segment and page for the call.
        let (open, segment, page) = unsafe {
            let open = thunk::exclusive::<OpenReader<S::Reader>>(reader)?;
            (open, slice::from_raw_parts_mut(segment, length), &mut *page)
        };
        open.fill(segment, page)
    })
}

impl<R: SplitReader> OpenReader<R> {
    fn fill(&mut self, segment: &mut [u8], page: &mut FilledPage) -> Result<Status, Error> {
        if self.split_done {
            return Ok(SPLIT_DONE);
        }
        let Self { reader, pages, split_done } = self;
        let filled = pages.fill(segment, |rows| {
            *split_done = reader.fill(rows)? == Filled::SplitDone;
            Ok(())
        })?;
        filled.status(page, *split_done)
    }
}

unsafe extern "C" fn rest_of_split<S: Source>(
    reader: *mut c_void,
    split: BytesSink,
    errors: BytesSink,
) -> Status {
    thunk::status(errors, || {
        // SAFETY: the host passes what `open_reader` gave.
        let open = unsafe { thunk::exclusive::<OpenReader<S::Reader>>(reader)? };
        thunk::give(split, &open.reader.rest()?);
        Ok(OK)
    })
}

unsafe extern "C" fn close_reader<S: Source>(reader: *mut c_void) {
    // SAFETY: the host passes what `open_reader` gave, for the last time.
    unsafe { thunk::close::<OpenReader<S::Reader>>(reader) }
}

unsafe extern "C" fn close<S: Source>(source: *mut c_void) {
    // SAFETY: the host passes what `open` gave, for the last time.
    unsafe { thunk::close::<OpenSource<S>>(source) }
}
