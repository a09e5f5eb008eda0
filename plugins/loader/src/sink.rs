//! Running a plugin's sink.

use std::sync::Arc;

use millstream_abi::{SinkTable, SubtaskInfo};
use millstream_data::types::Schema;
use millstream_dataflow::graph::encode_schema;

use crate::{
    CallError, ExtensionInfo,
    call::{Handle, Name, append, handle, lend_bytes, lend_options, status},
    plugin::Table,
};

/// A sink that is open for a job.
#[derive(Clone, Debug)]
pub struct OpenSink(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: Name,
    table: SinkTable,
    handle: Handle,
}

impl OpenSink {
    pub(crate) fn open(
        name: Name,
        extension: &ExtensionInfo,
        options: &[(String, String)],
        schema: &Schema,
    ) -> Result<Self, CallError> {
        let Table::Sink(table) = extension.table else {
            return Err(CallError::new(format!("{name} is no sink")));
        };
        let encoded = encode_schema(schema);
        let opened = lend_options(options, |options| {
            // SAFETY: all that is lent outlives the call.
            handle(&name, |errors| unsafe { (table.open)(options, lend_bytes(&encoded), errors) })
        })?;
        Ok(Self(Arc::new(Inner { name, table, handle: Handle(opened) })))
    }

    /// A writer, for one subtask.
    ///
    /// # Errors
    /// If the sink gives none.
    pub fn writer(
        &self,
        subtask: u32,
        parallelism: u32,
        segment_size: usize,
    ) -> Result<Writer, CallError> {
        let Inner { name, table, handle: sink } = &*self.0;
        let info = SubtaskInfo {
            size: size_of::<SubtaskInfo>() as u32,
            subtask,
            parallelism,
            segment_size: segment_size as u32,
        };
        // SAFETY: the sink is open, and the info outlives the call.
        let opened = handle(name, |errors| unsafe {
            (table.open_writer)(sink.0.as_ptr(), &raw const info, errors)
        })?;
        Ok(Writer { sink: Arc::clone(&self.0), handle: Handle(opened) })
    }
}

impl OpenSink {
    /// Shows what the writers have finished; call it once, when all are dropped.
    ///
    /// # Errors
    /// If it cannot be shown.
    pub fn commit(&self) -> Result<(), CallError> {
        let Inner { name, table, handle } = &*self.0;
        // SAFETY: the sink is open.
        status(name, |errors| unsafe { (table.commit)(handle.0.as_ptr(), errors) }).map(|_| ())
    }
}

impl OpenSink {
    /// Shows what a writer has prepared, in no matter which process or run of the job.
    ///
    /// # Errors
    /// If it cannot be shown.
    pub fn show(&self, transaction: &[u8]) -> Result<(), CallError> {
        let Inner { name, table, handle } = &*self.0;
        let transaction = lend_bytes(transaction);
        // SAFETY: the sink is open, and the transaction outlives the call.
        status(name, |errors| unsafe { (table.show)(handle.0.as_ptr(), transaction, errors) })
            .map(|_| ())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // SAFETY: writers hold the sink, so all are closed.
        unsafe { (self.table.close)(self.handle.0.as_ptr()) }
    }
}

/// Writes pages, for one subtask.
#[derive(Debug)]
pub struct Writer {
    sink: Arc<Inner>,
    handle: Handle,
}

impl Writer {
    /// Writes a valid page. May block.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&mut self, page: &[u8]) -> Result<(), CallError> {
        let Inner { name, table, .. } = &*self.sink;
        // SAFETY: the writer is open and used by one thread, and the page outlives the call.
        status(name, |errors| unsafe {
            (table.write)(self.handle.0.as_ptr(), lend_bytes(page), errors)
        })
        .map(|_| ())
    }

    /// Completes what was written, without showing it yet.
    ///
    /// # Errors
    /// If it cannot be completed.
    pub fn finish(&mut self) -> Result<(), CallError> {
        let Inner { name, table, .. } = &*self.sink;
        // SAFETY: the writer is open and used by one thread.
        status(name, |errors| unsafe { (table.finish)(self.handle.0.as_ptr(), errors) }).map(|_| ())
    }
}

impl Writer {
    /// Completes what was written since the last call, without showing it; gives what
    /// [`OpenSink::show`] needs to show it.
    ///
    /// # Errors
    /// If it cannot be completed, or the sink cannot do so at all.
    pub fn prepare(&mut self) -> Result<Vec<u8>, CallError> {
        let Inner { name, table, .. } = &*self.sink;
        let mut transaction = Vec::new();
        let sink = append(&mut transaction);
        // SAFETY: the writer is open and used by one thread, and the transaction outlives the call.
        status(name, |errors| unsafe { (table.prepare)(self.handle.0.as_ptr(), sink, errors) })?;
        Ok(transaction)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // SAFETY: the writer is open, and not used again.
        unsafe { (self.sink.table.close_writer)(self.handle.0.as_ptr()) }
    }
}
