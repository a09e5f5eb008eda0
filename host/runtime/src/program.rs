//! What a runtime runs.

use millstream_dataflow::{Chain, OpenInfo, StreamGraph, TaskError, stream::Program};
use millstream_loader::{CallError, OpenJob};

/// A program: a graph, and the code of its chains. A program of the typed API is one, and so is a
/// compiled job.
pub trait JobProgram: Send + Sync {
    /// The program's graph.
    ///
    /// # Errors
    /// If a compiled job gives none.
    fn graph(&self) -> Result<StreamGraph, CallError>;

    /// The chain of a node, for one subtask.
    ///
    /// # Errors
    /// If there is none, or its rows do not fit the segments.
    fn chain(&self, node: u32, info: &OpenInfo) -> Result<Box<dyn Chain>, TaskError>;

    /// A chain that takes rows which an output of a node had written, and divides them as the output
    /// does, for one subtask.
    ///
    /// # Errors
    /// If there is no such output, or its rows do not fit the segments.
    fn writer(&self, node: u32, output: u16, info: &OpenInfo) -> Result<Box<dyn Chain>, TaskError>;
}

impl JobProgram for Program {
    fn graph(&self) -> Result<StreamGraph, CallError> {
        Ok(Self::graph(self).clone())
    }

    fn chain(&self, node: u32, info: &OpenInfo) -> Result<Box<dyn Chain>, TaskError> {
        Self::chain(self, node, info)
    }

    fn writer(&self, node: u32, output: u16, info: &OpenInfo) -> Result<Box<dyn Chain>, TaskError> {
        Self::writer(self, node, output, info)
    }
}

impl JobProgram for OpenJob {
    fn graph(&self) -> Result<StreamGraph, CallError> {
        Self::graph(self)
    }

    fn chain(&self, node: u32, info: &OpenInfo) -> Result<Box<dyn Chain>, TaskError> {
        Ok(Self::chain(self, node, info)?)
    }

    fn writer(&self, node: u32, output: u16, info: &OpenInfo) -> Result<Box<dyn Chain>, TaskError> {
        Ok(Self::writer(self, node, output, info)?)
    }
}
