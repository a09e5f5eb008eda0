//! Data that were in flight at the checkpoint that a job begins from.
//!
//! What a chain had sent, and its consumers had not processed, it sends again before anything else, by the
//! same partitioner: so rows find their subtask, whatever the parallelism is now. What a source had read
//! goes straight into the chain behind it.

use std::collections::{BTreeMap, VecDeque};

use millstream_data::page::{Shape, ValidPage};
use millstream_dataflow::{
    OpenInfo, StreamGraph, TaskError,
    graph::{Edge, NodeKind, Partitioning, execution::Subtask},
    task::{
        Again, Recovered,
        in_flight::{self, InFlight},
    },
};
use millstream_memory::{Buffer, JumboBudget, Segment};

use super::deployer::Deployer;
use crate::{
    JobProgram,
    checkpoint::{Restore, operator_id},
};

/// Whether the pages of an edge are shared by several who read them: then what is in flight towards one of
/// them cannot be sent again, and barriers do not overtake it.
pub(super) fn is_shared(graph: &StreamGraph, edge: &Edge) -> bool {
    let same = |other: &&Edge| (other.from, other.output) == (edge.from, edge.output);
    edge.partitioning == Partitioning::Broadcast || graph.edges.iter().filter(same).count() > 1
}

impl Deployer<'_> {
    /// What a chain's subtask begins with, if the job begins from an unaligned checkpoint.
    pub(super) fn recovered(
        &self,
        subtask: Subtask,
        info: &OpenInfo,
        program: &dyn JobProgram,
    ) -> Result<Vec<Recovered>, TaskError> {
        let (mut sent, mut received) = (Vec::new(), Vec::new());
        let Some(restore) = self.restore() else { return Ok(sent) };
        for (edge, number) in self.graph.edges.iter().zip(0..) {
            if edge.from == subtask.node {
                let lost = self.lost(restore, number, subtask.index, info.parallelism)?;
                if !lost.is_empty() {
                    let writer = program.writer(edge.from, edge.output, info)?;
                    let elements = lost.into_values().flatten().collect();
                    sent.push(Recovered::Sent(writer, elements));
                }
            }
            let is_source = |node: u32| {
                let node = self.graph.nodes.get(node as usize);
                node.is_some_and(|node| matches!(node.kind, NodeKind::Source(_)))
            };
            if edge.to == subtask.node && is_source(edge.from) {
                let lost = self.lost(restore, number, subtask.index, info.parallelism)?;
                // Each is a split by itself, which no watermark follows from before the last one has begun.
                let splits = lost
                    .into_values()
                    .flat_map(|split| std::iter::once(Again::SplitBegins).chain(split));
                received.push(Recovered::Received(edge.input, splits.collect()));
            }
        }
        // What was sent is older than what was received: the watermarks of the one must not overtake the
        // rows of the other.
        sent.extend(received);
        Ok(sent)
    }

    /// What was in flight on an edge, by who had sent and who was to receive it, as far as one of
    /// `parallelism` subtasks sees to it: what had been sent by those that it replaces.
    fn lost(
        &self,
        restore: &Restore,
        number: u32,
        subtask: u32,
        parallelism: u32,
    ) -> Result<BTreeMap<(u32, u32), VecDeque<Again>>, TaskError> {
        let mut lost = BTreeMap::<_, VecDeque<Again>>::new();
        let Some(edge) = self.graph.edges.get(number as usize) else { return Ok(lost) };
        let shape = Shape::new(&edge.schema);
        restore.each_in_flight(&operator_id(&self.graph, edge.to), |receiver, bytes| {
            in_flight::read(bytes, |origin, element| {
                if origin.edge != number || origin.subtask % parallelism != subtask {
                    return Ok(());
                }
                let elements = lost.entry((origin.subtask, receiver)).or_default();
                elements.push_back(match element {
                    InFlight::Page { row, bytes } => {
                        Again::Page(page(bytes, row, &shape)?, row as usize)
                    }
                    InFlight::SplitBegins => Again::SplitBegins,
                });
                Ok(())
            })
        })?;
        Ok(lost)
    }
}

/// A page in memory of its own, which is checked, as it comes from a file.
fn page(bytes: &[u8], row: u32, shape: &Shape) -> Result<Buffer, TaskError> {
    let damaged = |what: &dyn std::fmt::Display| {
        TaskError::new(format!("a page that was in flight cannot be read: {what}"))
    };
    let length = bytes.len() as u64;
    let memory = JumboBudget::new(length, length).reserve(length);
    let memory = memory.and_then(|lease| Segment::jumbo(lease, bytes.len()));
    let mut segment = memory.map_err(|error| damaged(&error))?;
    segment.copy_from_slice(bytes);
    // Its columns are aligned now.
    let valid = ValidPage::validate(&segment, shape).map_err(|error| damaged(&error))?;
    if row as usize > valid.rows() {
        return Err(damaged(&"it has fewer rows than were processed"));
    }
    Ok(segment.freeze(bytes.len()))
}
