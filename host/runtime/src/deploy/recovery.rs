//! Data that were in flight at the checkpoint that a job begins from.

use millstream_dataflow::{
    OpenInfo, TaskError,
    graph::execution::Subtask,
    task::{self, Recovered},
};

use super::deployer::Deployer;
use crate::JobProgram;

impl Deployer<'_> {
    /// What a chain's subtask begins with, if the job begins from an unaligned checkpoint.
    pub(super) fn recovered(
        &self,
        subtask: Subtask,
        info: &OpenInfo,
        program: &dyn JobProgram,
    ) -> Result<Vec<Recovered>, TaskError> {
        let Some(restore) = self.restore() else { return Ok(Vec::new()) };
        task::recovered(
            &self.graph,
            subtask,
            info,
            |operator, take| restore.each_in_flight(operator, take),
            |node, output| program.writer(node, output, info),
        )
    }
}
