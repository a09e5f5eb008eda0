//! What a job needs before anything of it exists.

use std::collections::BTreeMap;

use millstream_dataflow::{
    StreamGraph,
    graph::{
        NodeKind,
        execution::{ExecutionGraph, Subtask},
    },
};

use super::Part;
use crate::{RunError, Runtime, exchange::SOURCE_SEGMENTS};

/// Checks that there are segments enough for this process's part of a job, each pool at its minimum.
pub(super) fn check(
    runtime: &Runtime,
    graph: &StreamGraph,
    execution: &ExecutionGraph,
    part: &Part,
) -> Result<(), RunError> {
    let mut partitions: BTreeMap<(Subtask, u16), usize> = BTreeMap::new();
    let mut remote_channels = 0;
    for wire in &execution.channels {
        let output = graph.edges[wire.edge as usize].output;
        if part.is_own(wire.producer) {
            *partitions.entry((wire.producer, output)).or_default() += 1;
        } else if part.is_own(wire.consumer) {
            remote_channels += 1;
        }
    }
    let (mut sources, mut written) = (0, 0);
    for ((producer, _), subpartitions) in partitions {
        match graph.nodes[producer.node as usize].kind {
            NodeKind::Source(_) => sources += SOURCE_SEGMENTS,
            _ => written += runtime.exchange.partition(subpartitions)?.required,
        }
    }
    let received = remote_channels * (runtime.exchange.exclusive_segments + 1);
    let (needed, there) = (sources + written + received, runtime.network.total());
    if needed <= there {
        return Ok(());
    }
    let segment_size = runtime.network.segment_size();
    Err(RunError::NetworkMemory { needed, there, segment_size, bytes: needed * segment_size })
}
