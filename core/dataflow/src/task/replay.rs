//! Who sends again what was in flight at a checkpoint.
//!
//! What a chain had sent, and its consumers had not processed, it sends again before anything else, by the
//! same partitioner: so rows find their subtask, whatever the parallelism is now. What a source had read
//! goes straight into the chain behind it.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, VecDeque},
    format,
    string::ToString,
    vec::Vec,
};
use core::fmt;

use millstream_data::page::{Shape, ValidPage};
use millstream_memory::{Buffer, JumboBudget, Segment};

use super::{
    Again, Recovered, Recovery,
    in_flight::{self, InFlight},
};
use crate::{
    chain::{Chain, OpenInfo, TaskError},
    graph::{NodeKind, StreamGraph, execution::Subtask},
};

/// Takes what one subtask had in flight, with its number.
type Take<'a> = dyn FnMut(u32, &[u8]) -> Result<(), TaskError> + 'a;

/// What was in flight, by who had sent and who was to receive it.
type Lost = BTreeMap<(u32, u32), VecDeque<Again>>;

/// How the subtask of a chain begins, if the job begins from an unaligned checkpoint. `read` hands over
/// what the subtasks of an operator had in flight, by the operator's [id](StreamGraph::operator_id); `writer`
/// makes what writes the rows of an output of a node again.
///
/// # Errors
/// Those of `read` and `writer`, and if what was in flight is damaged.
pub fn recovered(
    graph: &StreamGraph,
    subtask: Subtask,
    info: &OpenInfo,
    mut read: impl FnMut(&str, &mut Take<'_>) -> Result<(), TaskError>,
    writer: impl Fn(u32, u16) -> Result<Box<dyn Chain>, TaskError>,
) -> Result<Recovery, TaskError> {
    let (mut sent, mut received, mut ports) = (Vec::new(), Vec::new(), Vec::new());
    for (edge, number) in graph.edges.iter().zip(0..) {
        if edge.from == subtask.node {
            let lost = lost(graph, number, subtask.index, info.parallelism, &mut read)?;
            if !lost.is_empty() {
                let elements = match graph.passes_splits(edge) {
                    true => splits(lost).collect(),
                    false => lost.into_values().flatten().collect(),
                };
                let writer = writer(edge.from, edge.output)?;
                sent.push(Recovered::Sent(edge.output, writer, elements));
            }
        }
        if edge.to != subtask.node {
            continue;
        }
        let from = graph.nodes.get(edge.from as usize).map(|node| &node.kind);
        if !matches!(from, Some(NodeKind::Source(_))) {
            ports.push(edge.input);
        } else {
            let lost = lost(graph, number, subtask.index, info.parallelism, &mut read)?;
            received.push(Recovered::Received(edge.input, splits(lost).collect()));
        }
    }
    // What was sent is older than what was received: the watermarks of the one must not overtake the
    // rows of the other.
    sent.extend(received);
    Ok(Recovery { recovered: sent, ports, rounds: recovery_rounds(graph) })
}

/// What was in flight from each of those who had sent it: a split by itself, which no watermark follows from before
/// the last one has begun.
fn splits(lost: Lost) -> impl Iterator<Item = Again> {
    lost.into_values().flat_map(|split| core::iter::once(Again::SplitBegins).chain(split))
}

/// In how many rounds comes what was in flight: as many as the longest path from a source has edges.
pub fn recovery_rounds(graph: &StreamGraph) -> u32 {
    let mut depths = Vec::new();
    for (node, number) in graph.nodes.iter().zip(0..) {
        let above = graph.inputs(number).filter_map(|(_, edge)| depths.get(edge.from as usize));
        let is_source = matches!(node.kind, NodeKind::Source(_));
        depths.push(above.max().copied().unwrap_or(0) + u32::from(!is_source));
    }
    depths.into_iter().max().unwrap_or(0).max(1)
}

/// What was in flight on an edge, by who had sent and who was to receive it, as far as one of `parallelism`
/// subtasks sees to it: what had been sent by those that it replaces.
fn lost(
    graph: &StreamGraph,
    number: u32,
    subtask: u32,
    parallelism: u32,
    read: &mut impl FnMut(&str, &mut Take<'_>) -> Result<(), TaskError>,
) -> Result<Lost, TaskError> {
    let mut lost = Lost::new();
    let Some(edge) = graph.edges.get(number as usize) else { return Ok(lost) };
    let shape = Shape::new(&edge.schema);
    read(&graph.operator_id(edge.to), &mut |receiver, bytes| {
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

/// A page in memory of its own, which is checked, as it comes from a file.
fn page(bytes: &[u8], row: u32, shape: &Shape) -> Result<Buffer, TaskError> {
    let damaged = |what: &dyn fmt::Display| {
        TaskError::new(format!("a page that was in flight cannot be read: {what}"))
    };
    let length = bytes.len() as u64;
    let memory = JumboBudget::new(length, length).reserve(length);
    let memory = memory.and_then(|lease| Segment::jumbo(lease, bytes.len()));
    let mut segment = memory.map_err(|error| damaged(&error.to_string()))?;
    segment.copy_from_slice(bytes);
    // Its columns are aligned now.
    let valid = ValidPage::validate(&segment, shape).map_err(|error| damaged(&error))?;
    if row as usize > valid.rows() {
        return Err(damaged(&"it has fewer rows than were processed"));
    }
    Ok(segment.freeze(bytes.len()))
}
