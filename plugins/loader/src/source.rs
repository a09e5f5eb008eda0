//! Running a plugin's source.

use std::{ptr, sync::Arc};

use millstream_abi::{FILLED, FilledPage, SPLIT_DONE, SourceTable, SubtaskInfo, TOO_SMALL};
use millstream_data::{
    page::{Shape, ValidPage},
    types::Schema,
};
use millstream_dataflow::graph::encode_schema;

use crate::{
    CallError, ExtensionInfo,
    call::{Handle, Name, append, collect, handle, lend_bytes, lend_options, status},
    format::{Formats, offering},
    plugin::Table,
};

/// A source that is open for a job.
#[derive(Clone, Debug)]
pub struct OpenSource(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: Name,
    table: SourceTable,
    handle: Handle,
    shape: Shape,
    /// The formats that it uses, to name them if a page is bad.
    formats: Vec<Name>,
}

impl OpenSource {
    pub(crate) fn open(
        name: Name,
        extension: &ExtensionInfo,
        formats: &Formats,
        options: &[(String, String)],
        schema: &Schema,
    ) -> Result<Self, CallError> {
        let Table::Source(table) = extension.table else {
            return Err(CallError::new(format!("{name} is no source")));
        };
        let encoded = encode_schema(schema);
        let (opened, formats) = offering(formats, || {
            lend_options(options, |options| {
                let schema = lend_bytes(&encoded);
                // SAFETY: all that is lent outlives the call.
                handle(&name, |errors| unsafe { (table.open)(options, schema, errors) })
            })
        });
        let (handle, shape) = (Handle(opened?), Shape::new(schema));
        Ok(Self(Arc::new(Inner { name, table, handle, shape, formats })))
    }

    /// The splits of the input, in the order that they should be read.
    ///
    /// # Errors
    /// If the source cannot list them.
    pub fn splits(&self) -> Result<Vec<Vec<u8>>, CallError> {
        let Inner { name, table, handle, .. } = &*self.0;
        let mut splits = Vec::new();
        let sink = collect(&mut splits);
        // SAFETY: the source is open, and the list outlives the call.
        status(name, |errors| unsafe { (table.enumerate)(handle.0.as_ptr(), sink, errors) })?;
        Ok(splits)
    }

    /// Whether its splits end some time.
    ///
    /// # Errors
    /// If the source cannot say.
    pub fn is_bounded(&self) -> Result<bool, CallError> {
        let Inner { name, table, handle, .. } = &*self.0;
        // SAFETY: the source is open.
        let said = status(name, |errors| unsafe { (table.is_bounded)(handle.0.as_ptr(), errors) })?;
        Ok(said != 0)
    }

    /// A reader, for one subtask.
    ///
    /// # Errors
    /// If the source gives none.
    pub fn reader(
        &self,
        subtask: u32,
        parallelism: u32,
        segment_size: usize,
    ) -> Result<Reader, CallError> {
        let Inner { name, table, handle: source, .. } = &*self.0;
        let info = SubtaskInfo {
            size: size_of::<SubtaskInfo>() as u32,
            subtask,
            parallelism,
            segment_size: segment_size as u32,
        };
        // SAFETY: the source is open, and the info outlives the call.
        let opened = handle(name, |errors| unsafe {
            (table.open_reader)(source.0.as_ptr(), &raw const info, errors)
        })?;
        Ok(Reader { source: Arc::clone(&self.0), handle: Handle(opened) })
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // SAFETY: readers hold the source, so all are closed.
        unsafe { (self.table.close)(self.handle.0.as_ptr()) }
    }
}

/// Reads splits, for one subtask.
#[derive(Debug)]
pub struct Reader {
    source: Arc<Inner>,
    handle: Handle,
}

/// What [`Reader::fill`] gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReaderPage {
    /// The segment holds a valid page.
    Page {
        /// Bytes of the page.
        length: usize,
        /// Rows in the page.
        rows: usize,
    },
    /// Nothing for now; call again.
    Nothing,
    /// The split is done.
    SplitDone,
    /// The next row does not fit this segment; call again with one of at least this length, aligned
    /// to 16.
    TooSmall {
        /// Bytes of segment that the next call needs.
        needed: usize,
    },
}

impl Reader {
    /// Begins a split.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn begin(&mut self, split: &[u8]) -> Result<(), CallError> {
        let Inner { name, table, .. } = &*self.source;
        // SAFETY: the reader is open and used by one thread, and the split outlives the call.
        status(name, |errors| unsafe {
            (table.begin_split)(self.handle.0.as_ptr(), lend_bytes(split), errors)
        })
        .map(|_| ())
    }

    /// A split that has what is left of the one that was begun.
    ///
    /// # Errors
    /// If the source cannot say.
    pub fn rest(&mut self) -> Result<Vec<u8>, CallError> {
        let Inner { name, table, .. } = &*self.source;
        let mut split = Vec::new();
        let sink = append(&mut split);
        // SAFETY: the reader is open and used by one thread, and `split` outlives the call.
        status(name, |errors| unsafe {
            (table.rest_of_split)(self.handle.0.as_ptr(), sink, errors)
        })?;
        Ok(split)
    }

    /// Fills a segment with the next page. May block.
    ///
    /// # Errors
    /// If the input cannot be read, or the page is not one of the schema.
    pub fn fill(&mut self, segment: &mut [u8]) -> Result<ReaderPage, CallError> {
        let Inner { name, table, shape, formats, .. } = &*self.source;
        let mut page = FilledPage::default();
        let (start, length) = (segment.as_mut_ptr(), segment.len());
        // SAFETY: the reader is open and used by one thread; segment and page are lent for the
        // call.
        let filled = status(name, |errors| unsafe {
            (table.fill)(self.handle.0.as_ptr(), start, length, ptr::from_mut(&mut page), errors)
        })?;
        // The page may be the work of a format, which the connector was lent.
        let wrong = |what: String| {
            let with = if formats.is_empty() { "" } else { " with " };
            CallError::new(format!("{name}{with}{} {what}", formats.join(", ")))
        };
        match filled {
            FILLED => {
                let bytes = segment.get(..page.length as usize);
                let bytes = bytes
                    .ok_or_else(|| wrong("says that its page is longer than the segment".into()))?;
                let valid = ValidPage::validate(bytes, shape)
                    .map_err(|error| wrong(format!("made a bad page: {error}")))?;
                Ok(ReaderPage::Page { length: bytes.len(), rows: valid.rows() })
            }
            SPLIT_DONE => Ok(ReaderPage::SplitDone),
            TOO_SMALL => match page.length as usize {
                needed if needed > length => Ok(ReaderPage::TooSmall { needed }),
                needed => Err(wrong(format!(
                    "asks for a segment of {needed} bytes instead of one of {length}"
                ))),
            },
            _ => Ok(ReaderPage::Nothing),
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // SAFETY: the reader is open, and not used again.
        unsafe { (self.source.table.close_reader)(self.handle.0.as_ptr()) }
    }
}
