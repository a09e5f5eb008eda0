//! Running a plugin's job.

use std::{ffi::c_void, ptr, sync::Arc};

use millstream_abi::{BytesSink, ChainInfo, JobTable, OutputInfo, SubtaskInfo};
use millstream_dataflow::{Chain, OpenInfo, StreamGraph};

use crate::{
    CallError, ExtensionInfo,
    call::{Handle, Name, collect, handle, lend_options, status},
    chain::PluginChain,
    plugin::Table,
    state::LentState,
};

/// A job that a plugin has built.
#[derive(Clone, Debug)]
pub struct OpenJob(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) name: Name,
    pub(crate) table: JobTable,
    handle: Handle,
}

impl OpenJob {
    pub(crate) fn open(
        name: Name,
        extension: &ExtensionInfo,
        options: &[(String, String)],
    ) -> Result<Self, CallError> {
        let Table::Job(table) = extension.table else {
            return Err(CallError::new(format!("{name} is no job")));
        };
        let opened = lend_options(options, |options| {
            // SAFETY: the options outlive the call.
            handle(&name, |errors| unsafe { (table.open)(options, errors) })
        })?;
        Ok(Self(Arc::new(Inner { name, table, handle: Handle(opened) })))
    }

    /// The job's stream graph.
    ///
    /// # Errors
    /// If the plugin gives none, or one that is damaged.
    pub fn graph(&self) -> Result<StreamGraph, CallError> {
        let Inner { name, table, handle } = &*self.0;
        let mut given = Vec::new();
        let sink = collect(&mut given);
        // SAFETY: the job is open, and the list outlives the call.
        status(name, |errors| unsafe { (table.describe)(handle.0.as_ptr(), sink, errors) })?;
        let bytes = given.last().map_or(&[][..], Vec::as_slice);
        StreamGraph::decode(bytes).map_err(|error| CallError::new(format!("{name}: {error}")))
    }

    /// The chain of a node, for one subtask.
    ///
    /// # Errors
    /// If the plugin gives none.
    pub fn chain(&self, node: u32, info: &OpenInfo) -> Result<Box<dyn Chain>, CallError> {
        let open = self.0.table.open_chain;
        self.open_with(info, |job, info, errors| {
            // SAFETY: the job is open, and the info outlives the call.
            unsafe { open(job, node, info, errors) }
        })
    }

    /// A chain that takes rows which an output of a node had written, and divides them as the output
    /// does, for one subtask.
    ///
    /// # Errors
    /// If the plugin gives none.
    pub fn writer(
        &self,
        node: u32,
        output: u16,
        info: &OpenInfo,
    ) -> Result<Box<dyn Chain>, CallError> {
        let open = self.0.table.open_writer;
        self.open_with(info, |job, info, errors| {
            // SAFETY: the job is open, and the info outlives the call.
            unsafe { open(job, node, u32::from(output), info, errors) }
        })
    }

    fn open_with(
        &self,
        info: &OpenInfo,
        open: impl FnOnce(*mut c_void, *const ChainInfo, BytesSink) -> *mut c_void,
    ) -> Result<Box<dyn Chain>, CallError> {
        let Inner { name, handle: job, .. } = &*self.0;
        let outputs: Vec<_> = info
            .outputs
            .iter()
            .map(|output| OutputInfo {
                subpartitions: output.subpartitions,
                max_parallelism: output.max_parallelism,
                compact: u32::from(output.compact),
            })
            .collect();
        let state = info.state.clone().map(LentState::new);
        let state_host = state.as_ref().map(|state| state.host());
        let info = ChainInfo {
            subtask: SubtaskInfo {
                size: size_of::<SubtaskInfo>() as u32,
                subtask: info.subtask,
                parallelism: info.parallelism,
                segment_size: info.segment_size,
            },
            max_parallelism: info.max_parallelism,
            state: state_host.as_ref().map_or(ptr::null(), ptr::from_ref),
            outputs: outputs.as_ptr(),
            outputs_length: outputs.len(),
        };
        let opened = handle(name, |errors| open(job.0.as_ptr(), &raw const info, errors))?;
        Ok(Box::new(PluginChain::new(Arc::clone(&self.0), Handle(opened), state)))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // SAFETY: chains hold the job, so all are closed.
        unsafe { (self.table.close)(self.handle.0.as_ptr()) }
    }
}
