//! Running a plugin's functions.

mod aggregate;
mod info;
mod page;

use millstream_abi::{CALL_BEGIN, FunctionTable};
use millstream_data::{
    page::{Shape, ValidPage},
    types::Schema,
};

pub use aggregate::OpenAggregate;
pub(crate) use info::describe;
pub use info::{FunctionInfo, FunctionKind, SignatureInfo};
use page::Filling;

use crate::{
    CallError, ReaderPage,
    call::{Handle, Name, handle, lend_bytes},
};

/// A function that is open for pages of arguments, in one process by one thread at a time.
#[derive(Debug)]
struct Open {
    name: Name,
    table: FunctionTable,
    handle: Handle,
    /// Of the pages of arguments that are passed.
    fingerprint: u64,
    results: Shape,
}

/// A scalar function that is open: one result for each row.
#[derive(Debug)]
pub struct OpenScalar(Open);

/// A table function that is open: any number of result rows for each row.
#[derive(Debug)]
pub struct OpenTableFunction {
    open: Open,
    /// The next page of arguments is another one.
    begin: bool,
}

/// What [`OpenScalar::call`] and [`OpenTableFunction::call`] give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResultPage {
    /// The segment holds a valid page of results.
    Page {
        /// Bytes of the page.
        length: usize,
        /// Results in the page.
        rows: usize,
    },
    /// The next result does not fit this segment; call again with one of at least this length,
    /// aligned to 16.
    TooSmall {
        /// Bytes of segment that the next call needs.
        needed: usize,
    },
    /// There are no more results of this page of arguments.
    Done,
}

impl Open {
    fn new(
        name: Name,
        table: &FunctionTable,
        arguments: &Schema,
        (number, results): (usize, &Schema),
        segment_size: usize,
    ) -> Result<Self, CallError> {
        // SAFETY: the table is that of a loaded plugin.
        let opened = handle(&name, |errors| unsafe {
            (table.open)(number as u32, segment_size as u32, errors)
        })?;
        Ok(Self {
            name,
            table: *table,
            handle: Handle(opened),
            fingerprint: arguments.fingerprint(),
            results: Shape::new(results),
        })
    }

    /// Refuses a page that is not of the schema for which the function was resolved.
    fn check(&self, arguments: &ValidPage<'_>) -> Result<(), CallError> {
        if arguments.fingerprint() == self.fingerprint {
            return Ok(());
        }
        let name = &self.name;
        Err(CallError::new(format!(
            "{name} is given arguments of other types than it was opened for"
        )))
    }

    /// Calls `fill` until it fills a page, ends, or wants a larger segment.
    fn fill(
        &self,
        segment: &mut [u8],
        fill: impl FnMut(&mut Filling<'_>) -> Result<i32, CallError>,
    ) -> Result<ReaderPage, CallError> {
        page::fill(&self.name, &self.results, segment, fill)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // SAFETY: the function is open, and not used again.
        unsafe { (self.table.close)(self.handle.0.as_ptr()) }
    }
}

impl OpenScalar {
    pub(crate) fn open(
        name: Name,
        table: &FunctionTable,
        arguments: &Schema,
        signature: (usize, &Schema),
        segment_size: usize,
    ) -> Result<Self, CallError> {
        Open::new(name, table, arguments, signature, segment_size).map(Self)
    }

    /// Fills a segment with the results of the rows from `start` on, as many as fit; call again for
    /// the rest.
    ///
    /// # Errors
    /// If the arguments are of other types, the function fails, or its page of results is bad.
    pub fn call(
        &mut self,
        arguments: &ValidPage<'_>,
        start: usize,
        segment: &mut [u8],
    ) -> Result<ResultPage, CallError> {
        let open = &self.0;
        open.check(arguments)?;
        let left = arguments.rows().saturating_sub(start);
        if left == 0 {
            return Ok(ResultPage::Done);
        }
        let page = open.fill(segment, |filling| {
            let page = lend_bytes(arguments.bytes());
            filling.call(|segment, length, filled, errors| {
                let handle = open.handle.0.as_ptr();
                // SAFETY: the function is open and used by one thread; all is lent for the call.
                unsafe {
                    (open.table.call)(
                        handle,
                        page,
                        start as u32,
                        0,
                        segment,
                        length,
                        filled,
                        errors,
                    )
                }
            })
        })?;
        match page {
            ReaderPage::Page { length, rows } if rows <= left => {
                Ok(ResultPage::Page { length, rows })
            }
            ReaderPage::Page { rows, .. } => {
                let name = &open.name;
                Err(CallError::new(format!("{name} gives {rows} results for {left} rows")))
            }
            ReaderPage::TooSmall { needed } => Ok(ResultPage::TooSmall { needed }),
            ReaderPage::Nothing | ReaderPage::SplitDone => {
                Err(CallError::new(format!("{} gives no results for {left} rows", open.name)))
            }
        }
    }
}

impl OpenTableFunction {
    pub(crate) fn open(
        name: Name,
        table: &FunctionTable,
        arguments: &Schema,
        signature: (usize, &Schema),
        segment_size: usize,
    ) -> Result<Self, CallError> {
        let open = Open::new(name, table, arguments, signature, segment_size)?;
        Ok(Self { open, begin: true })
    }

    /// Fills a segment with results of the rows of a page. Their last column is the number of the
    /// argument row, in the order of those rows. Call again with the same page until
    /// [`ResultPage::Done`].
    ///
    /// # Errors
    /// As [`OpenScalar::call`].
    pub fn call(
        &mut self,
        arguments: &ValidPage<'_>,
        segment: &mut [u8],
    ) -> Result<ResultPage, CallError> {
        let Self { open, begin } = self;
        open.check(arguments)?;
        let page = open.fill(segment, |filling| {
            let page = lend_bytes(arguments.bytes());
            let flags = if std::mem::take(begin) { CALL_BEGIN } else { 0 };
            filling.call(|segment, length, filled, errors| {
                let handle = open.handle.0.as_ptr();
                // SAFETY: the function is open and used by one thread; all is lent for the call.
                unsafe {
                    (open.table.call)(handle, page, 0, flags, segment, length, filled, errors)
                }
            })
        })?;
        match page {
            ReaderPage::Page { length, rows } => {
                let made = segment.get(..length).unwrap_or_default();
                check_argument_rows(made, arguments.rows())
                    .map_err(|what| CallError::new(format!("{} {what}", open.name)))?;
                Ok(ResultPage::Page { length, rows })
            }
            ReaderPage::TooSmall { needed } => Ok(ResultPage::TooSmall { needed }),
            ReaderPage::SplitDone => {
                *begin = true;
                Ok(ResultPage::Done)
            }
            ReaderPage::Nothing => {
                Err(CallError::new(format!("{} neither gives results nor ends", open.name)))
            }
        }
    }
}

/// Whether the last column of a valid page names rows of the arguments, in order.
fn check_argument_rows(page: &[u8], rows: usize) -> Result<(), String> {
    let page = ValidPage::trusted(page).map_err(|error| format!("made a bad page: {error}"))?;
    let numbers = page.column(page.columns().saturating_sub(1));
    let numbers = numbers.fixed::<u32>().get(..page.rows()).unwrap_or_default();
    let known = numbers.last().is_none_or(|last| (*last as usize) < rows);
    match known && numbers.is_sorted() {
        true => Ok(()),
        false => Err(format!("gives results for rows that are not those of {rows} arguments")),
    }
}

/// The handles of functions move between threads with what holds them.
const _: () = {
    const fn is_send<T: Send>() {}
    is_send::<OpenScalar>();
    is_send::<OpenTableFunction>();
    is_send::<OpenAggregate>();
};
