//! Sinks: where rows go.

use std::{ffi::c_void, marker::PhantomData, mem};

use millstream_abi::{
    BorrowedBytes, BorrowedOptions, BytesSink, OK, SinkTable, Status, SubtaskInfo, VERSION,
};
use millstream_data::{page::ValidPage, types::Schema};
use millstream_dataflow::graph::decode_schema;

use crate::{
    Error, borrow,
    options::{OptionDoc, Options},
    source::{Subtask, subtask},
    thunk,
};

/// A sink: opened for each part of a job, it makes writers.
///
/// A job that runs in two processes opens the sink at least twice. Within a process it is opened once, or,
/// if the job takes checkpoints, for each group of subtasks that can fail while others go on; such a group
/// that begins anew drops what it had opened, and opens the sink again. Each holds the writers of its
/// own subtasks, and commits what they have finished; none sees the others'. So what is written
/// has to be told apart by [`Subtask::index`], which is unique in the job: one file for each, say.
///
/// What is written is seen when it is committed, and not before: write beside, under a name that
/// readers do not look for, and rename in [`Sink::commit`]. Two ways lead there without a commit:
///
/// - A job that fails or is cancelled drops sink and writers: implement `Drop` on both to take back
///   what is not committed.
/// - A killed process leaves what it has written: name files so that the next run replaces them.
pub trait Sink: Sized + Send + Sync + 'static {
    /// The name that programs call it by.
    const NAME: &'static str;
    /// One sentence about it.
    const SUMMARY: &'static str;
    /// The options that it takes.
    const OPTIONS: &'static [OptionDoc];
    /// Whether it takes rows with kinds ([`Schema::row_kinds`]) and asks
    /// [`ValidPage::row_kind`] what becomes of each. One that does not is never opened for a
    /// changelog, whose deletions it would take for rows like any other.
    const ROW_KINDS: bool = false;
    /// What writes pages.
    type Writer: PageWriter;

    /// Opens the sink for rows of `schema`.
    ///
    /// # Errors
    /// If the options do not fit each other or the schema, or what they name cannot be written.
    fn open(options: &Options, schema: &Schema) -> Result<Self, Error>;

    /// A writer, for one subtask.
    ///
    /// # Errors
    /// If there is none to be had.
    fn writer(&self, subtask: Subtask) -> Result<Self::Writer, Error>;

    /// Shows what the writers of this process have [finished](PageWriter::finish): every part of
    /// the job, in all its processes, is done. Without it what was finished is given up when the
    /// sink is dropped. Sinks whose rows cannot be taken back, such as a terminal, have nothing to
    /// do.
    ///
    /// # Errors
    /// If it cannot be shown.
    fn commit(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Shows what some writer of this job has [prepared](PageWriter::prepare), in no matter which
    /// process or run of it: the checkpoint that it belongs to is complete. After a failure it may be
    /// asked for again, when it has been shown already.
    ///
    /// # Errors
    /// If it cannot be shown. The job then begins anew from that checkpoint, and asks again.
    fn show(&self, transaction: &[u8]) -> Result<(), Error> {
        let _ = transaction;
        Ok(())
    }
}

/// Writes the pages of one subtask.
pub trait PageWriter: Send + 'static {
    /// Writes a page. May block.
    ///
    /// # Errors
    /// If it cannot be written.
    fn write(&mut self, page: &ValidPage<'_>) -> Result<(), Error>;

    /// Completes what was written, without showing it yet: the input has ended, and
    /// [`Sink::commit`] may follow. A writer that is dropped without this gives up what it can.
    ///
    /// # Errors
    /// If it cannot be completed.
    fn finish(&mut self) -> Result<(), Error>;

    /// Completes what was written since the last call, without showing it, and gives what
    /// [`Sink::show`] has to know to show it: a checkpoint keeps that, and if the job goes on from there
    /// it is shown, whatever became of this process. What is written next belongs to another checkpoint.
    ///
    /// # Errors
    /// If it cannot be completed; or if the sink cannot do so at all, which is what this says if it is
    /// left out: jobs that take checkpoints cannot write to it then.
    fn prepare(&mut self) -> Result<Vec<u8>, Error> {
        Err(Error::new(
            "it cannot hold rows back until they are safe, so a job that writes to it takes no checkpoints",
        ))
    }
}

/// The table of a sink.
pub(crate) struct Thunks<S>(PhantomData<S>);

impl<S: Sink> Thunks<S> {
    pub(crate) const TABLE: SinkTable = SinkTable {
        size: mem::size_of::<SinkTable>() as u32,
        version: VERSION,
        open: open::<S>,
        open_writer: open_writer::<S>,
        write: write::<S>,
        finish: finish::<S>,
        prepare: prepare::<S>,
        close_writer: close_writer::<S>,
        commit: commit::<S>,
        show: show::<S>,
        close: close::<S>,
    };
}

unsafe extern "C" fn open<S: Sink>(
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
                "the sink `{}` takes rows that are added and never changed, and these are a \
                 changelog: use one that takes changes, such as filesystem or print",
                S::NAME
            )));
        }
        Ok(Box::new(S::open(&Options::new(S::OPTIONS, options), &schema)?))
    })
}

unsafe extern "C" fn open_writer<S: Sink>(
    sink: *mut c_void,
    info: *const SubtaskInfo,
    errors: BytesSink,
) -> *mut c_void {
    thunk::handle(errors, || {
        // SAFETY: the host passes what `open` gave, and lends the info for the call.
        let (sink, info) = unsafe { (thunk::shared::<S>(sink)?, *info) };
        Ok(Box::new(sink.writer(subtask(&info))?))
    })
}

unsafe extern "C" fn write<S: Sink>(
    writer: *mut c_void,
    page: BorrowedBytes,
    errors: BytesSink,
) -> Status {
    thunk::status(errors, || {
        // SAFETY: the host passes what `open_writer` gave, and lends the page for the call.
        let (writer, page) =
            unsafe { (thunk::exclusive::<S::Writer>(writer)?, borrow::bytes(page)) };
        let page = ValidPage::trusted(page).map_err(|error| Error::new(error.to_string()))?;
        writer.write(&page)?;
        Ok(OK)
    })
}

unsafe extern "C" fn finish<S: Sink>(writer: *mut c_void, errors: BytesSink) -> Status {
    thunk::status(errors, || {
        // SAFETY: the host passes what `open_writer` gave.
        unsafe { thunk::exclusive::<S::Writer>(writer)? }.finish()?;
        Ok(OK)
    })
}

unsafe extern "C" fn prepare<S: Sink>(
    writer: *mut c_void,
    transaction: BytesSink,
    errors: BytesSink,
) -> Status {
    thunk::status(errors, || {
        // SAFETY: the host passes what `open_writer` gave.
        let prepared = unsafe { thunk::exclusive::<S::Writer>(writer)? }.prepare()?;
        thunk::give(transaction, &prepared);
        Ok(OK)
    })
}

unsafe extern "C" fn close_writer<S: Sink>(writer: *mut c_void) {
    // SAFETY: the host passes what `open_writer` gave, for the last time.
    unsafe { thunk::close::<S::Writer>(writer) }
}

unsafe extern "C" fn commit<S: Sink>(sink: *mut c_void, errors: BytesSink) -> Status {
    thunk::status(errors, || {
        // SAFETY: the host passes what `open` gave.
        unsafe { thunk::shared::<S>(sink)? }.commit()?;
        Ok(OK)
    })
}

unsafe extern "C" fn show<S: Sink>(
    sink: *mut c_void,
    transaction: BorrowedBytes,
    errors: BytesSink,
) -> Status {
    thunk::status(errors, || {
        // SAFETY: the host passes what `open` gave, and lends the transaction for the call.
        let (sink, transaction) =
            unsafe { (thunk::shared::<S>(sink)?, borrow::bytes(transaction)) };
        sink.show(transaction)?;
        Ok(OK)
    })
}

unsafe extern "C" fn close<S: Sink>(sink: *mut c_void) {
    // SAFETY: the host passes what `open` gave, for the last time.
    unsafe { thunk::close::<S>(sink) }
}
