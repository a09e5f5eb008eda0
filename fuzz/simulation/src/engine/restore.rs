//! What an attempt begins from, as the host reads it.

use std::collections::{BTreeMap, VecDeque};

use millstream_checkpoint::{
    Manifest, MemoryStorage, Permit,
    manifest::{Kind, Place, State},
    storage::{CheckpointStorage, Restored},
};
use millstream_data::page::{Shape, ValidPage};
use millstream_dataflow::{
    OpenInfo, StreamGraph, TaskError,
    graph::{NodeKind, execution::Subtask},
    stream::Program,
    task::{
        Again, Recovered,
        in_flight::{self, InFlight},
    },
};
use millstream_memory::{Buffer, JumboBudget, Segment};

use super::{EngineBug, bytes};

/// Behind the id of a source: what its splits are called.
pub(super) const SPLITS: &str = ": splits";

/// A checkpoint that an attempt begins from.
pub(super) struct Restore {
    storage: MemoryStorage,
    pub(super) manifest: Manifest,
    pub(super) permit: Permit,
}

impl Restore {
    pub(super) fn new(storage: MemoryStorage, restored: Restored) -> Self {
        let Restored { manifest, permit } = restored;
        Self { storage, manifest, permit }
    }

    /// Hands the state of each subtask that a node had to `take`, with its number.
    pub(super) fn each(
        &self,
        operator: &str,
        take: impl FnMut(u32, &[u8]) -> Result<(), TaskError>,
    ) -> Result<(), TaskError> {
        self.each_of(operator, |kind| *kind != Kind::InFlight, take)
    }

    fn each_of(
        &self,
        operator: &str,
        is_wanted: impl Fn(&Kind) -> bool,
        mut take: impl FnMut(u32, &[u8]) -> Result<(), TaskError>,
    ) -> Result<(), TaskError> {
        let Some(operator) = self.manifest.operator(operator) else { return Ok(()) };
        for (subtask, number) in operator.subtasks.iter().zip(0..) {
            for state in subtask.states.iter().filter(|state| is_wanted(&state.kind)) {
                take(number, &self.bytes(state)?)?;
            }
        }
        Ok(())
    }

    fn bytes(&self, state: &State) -> Result<Vec<u8>, TaskError> {
        match &state.place {
            Place::Inline(bytes) => Ok(bytes.to_vec()),
            Place::File(handle) => {
                let mut bytes = vec![0; handle.length as usize];
                let read = self.storage.read(self.manifest.checkpoint, handle, 0, &mut bytes);
                read.map(|()| bytes).map_err(|error| TaskError::new(error.to_string()))
            }
        }
    }

    /// The splits that are left: those that were begun, as far as they were not read, and those
    /// that nobody had taken; those that are done, too, if `again`, which is a mistake.
    pub(super) fn splits(&self, source: &str, again: bool) -> Result<Vec<Vec<u8>>, TaskError> {
        let mut all = BTreeMap::new();
        self.each(&format!("{source}{SPLITS}"), |_, bytes| {
            let rest = &mut &*bytes;
            while !rest.is_empty() {
                all.insert(all.len() as u64, bytes::take_all(rest)?.to_vec());
            }
            Ok(())
        })?;
        let mut begun = BTreeMap::new();
        self.each(source, |_, position| {
            let rest = &mut &*position;
            for _ in 0..bytes::take(rest)? {
                let number = bytes::take(rest)?;
                if !again {
                    all.remove(&number);
                }
            }
            if !rest.is_empty() {
                let number = bytes::take(rest)?;
                all.remove(&number);
                begun.insert(number, bytes::take_all(rest)?.to_vec());
            }
            Ok(())
        })?;
        // They stay in their order, as one may have been on its way to its reader.
        all.extend(begun);
        Ok(all.into_values().collect())
    }

    /// What a chain's subtask begins with, if the checkpoint has data in flight.
    pub(super) fn recovered(
        &self,
        graph: &StreamGraph,
        subtask: Subtask,
        info: &OpenInfo,
        program: &Program,
        bug: Option<EngineBug>,
    ) -> Result<Vec<Recovered>, TaskError> {
        let (mut sent, mut received) = (Vec::new(), Vec::new());
        for (edge, number) in graph.edges.iter().zip(0..) {
            if edge.from == subtask.node {
                let lost = self.lost(graph, number, subtask.index, info.parallelism)?;
                if !lost.is_empty() {
                    let writer = program.writer(edge.from, edge.output, info)?;
                    let elements = lost.into_values().flatten().collect();
                    sent.push(Recovered::Sent(writer, elements));
                }
            }
            let from = graph.nodes.get(edge.from as usize).map(|node| &node.kind);
            if edge.to == subtask.node && matches!(from, Some(NodeKind::Source(_))) {
                let lost = self.lost(graph, number, subtask.index, info.parallelism)?;
                // Each is a split by itself: no watermark follows before the last one has begun.
                let begins =
                    || (bug != Some(EngineBug::RecoverWithoutSplit)).then_some(Again::SplitBegins);
                let splits = lost.into_values().flat_map(|split| begins().into_iter().chain(split));
                received.push(Recovered::Received(edge.input, splits.collect()));
            }
        }
        // What was sent is older than what was received.
        sent.extend(received);
        Ok(sent)
    }

    /// What was in flight on an edge, by who had sent and who was to receive it, as far as one of
    /// `parallelism` subtasks sees to it.
    fn lost(
        &self,
        graph: &StreamGraph,
        number: u32,
        subtask: u32,
        parallelism: u32,
    ) -> Result<BTreeMap<(u32, u32), VecDeque<Again>>, TaskError> {
        let mut lost = BTreeMap::<_, VecDeque<Again>>::new();
        let Some(edge) = graph.edges.get(number as usize) else { return Ok(lost) };
        let shape = Shape::new(&edge.schema);
        let consumer = graph.operator_id(edge.to);
        self.each_of(
            &consumer,
            |kind| *kind == Kind::InFlight,
            |receiver, bytes| {
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
            },
        )?;
        Ok(lost)
    }
}

/// A page in memory of its own.
fn page(bytes: &[u8], row: u32, shape: &Shape) -> Result<Buffer, TaskError> {
    let damaged = |what: &dyn std::fmt::Display| {
        TaskError::new(format!("a page that was in flight cannot be read: {what}"))
    };
    let length = bytes.len() as u64;
    let memory = JumboBudget::new(length, length).reserve(length);
    let memory = memory.and_then(|lease| Segment::jumbo(lease, bytes.len()));
    let mut segment = memory.map_err(|error| damaged(&error))?;
    segment.copy_from_slice(bytes);
    let valid = ValidPage::validate(&segment, shape).map_err(|error| damaged(&error))?;
    if row as usize > valid.rows() {
        return Err(damaged(&"it has fewer rows than were processed"));
    }
    Ok(segment.freeze(bytes.len()))
}
