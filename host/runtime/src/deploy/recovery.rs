//! Data that were in flight at the checkpoint that a job begins from.

use millstream_dataflow::{
    OpenInfo, TaskError,
    graph::execution::Subtask,
    task::{self, Recovery},
};

use super::deployer::Deployer;
use crate::JobProgram;

impl Deployer<'_> {
    /// If anything was in flight anywhere at the checkpoint that the job begins from: in how many rounds that
    /// comes.
    pub(super) fn recovers(&self) -> Option<u32> {
        let restored = self.restore().filter(|restore| restore.has_in_flight());
        restored.map(|_| task::recovery_rounds(&self.graph))
    }

    /// How a chain's subtask begins, if something was in flight.
    pub(super) fn recovered(
        &self,
        subtask: Subtask,
        info: &OpenInfo,
        program: &dyn JobProgram,
    ) -> Result<Option<Recovery>, TaskError> {
        let Some(restore) = self.restore().filter(|restore| restore.has_in_flight()) else {
            return Ok(None);
        };
        let recovery = task::recovered(
            &self.graph,
            subtask,
            info,
            |operator, take| restore.each_in_flight(operator, take),
            |node, output| program.writer(node, output, info),
        );
        recovery.map(Some)
    }
}
