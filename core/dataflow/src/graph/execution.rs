//! Every subtask and every channel.

use alloc::{vec, vec::Vec};
use core::ops::Range;

use super::{Edge, Partitioning, StreamGraph};

/// One subtask of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subtask {
    /// The node, by position in the stream graph.
    pub node: u32,
    /// The subtask, from 0.
    pub index: u32,
}

/// One channel: a subpartition of a producer and the input channel of a consumer that reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channel {
    /// The edge, by position in the stream graph.
    pub edge: u32,
    /// Who writes.
    pub producer: Subtask,
    /// Which of the subpartitions of the producer's output. An output that several edges read has
    /// those of all of them, one edge after the other.
    pub subpartition: u32,
    /// Who reads.
    pub consumer: Subtask,
}

/// The subtasks of a graph, and the channels between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecutionGraph {
    /// All subtasks, by node and index.
    pub subtasks: Vec<Subtask>,
    /// All channels, by edge, producer and subpartition.
    pub channels: Vec<Channel>,
}

impl ExecutionGraph {
    /// The execution graph of a graph that has been [checked](StreamGraph::check).
    pub fn new(graph: &StreamGraph, default_parallelism: u32) -> Self {
        let mut execution = Self::default();
        let parallelism = |node| graph.parallelism(node, default_parallelism);
        for node in 0..graph.nodes.len() as u32 {
            let subtasks = (0..parallelism(node)).map(|index| Subtask { node, index });
            execution.subtasks.extend(subtasks);
        }
        for (number, edge) in graph.edges.iter().enumerate() {
            let (producers, consumers) = (parallelism(edge.from), parallelism(edge.to));
            // Only forward edges share an output, and each of them adds one subpartition.
            let shares = |other: &&Edge| other.from == edge.from && other.output == edge.output;
            let first = graph.edges[..number].iter().filter(shares).count() as u32;
            for index in 0..producers {
                let producer = Subtask { node: edge.from, index };
                let targets = targets(edge.partitioning, index, producers, consumers);
                for (subpartition, consumer) in (first..).zip(targets) {
                    execution.channels.push(Channel {
                        edge: number as u32,
                        producer,
                        subpartition,
                        consumer: Subtask { node: edge.to, index: consumer },
                    });
                }
            }
        }
        execution
    }
}

/// The slots that a job runs in. Subtasks of the same number share a slot if their nodes are of one
/// slot sharing group; each group has slots of its own, as many as its largest node has subtasks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slots {
    /// By node: the first slot of its group.
    first: Vec<u32>,
    total: u32,
}

impl Slots {
    /// The slots of a graph.
    pub fn new(graph: &StreamGraph, default_parallelism: u32) -> Self {
        let group = |node: usize| &graph.nodes[node].slot_sharing_group;
        let mut first = vec![0; graph.nodes.len()];
        let mut total = 0;
        for node in 0..graph.nodes.len() {
            if (0..node).any(|before| group(before) == group(node)) {
                continue;
            }
            let members = (node..graph.nodes.len()).filter(|other| group(*other) == group(node));
            let mut widest = 0;
            for member in members {
                first[member] = total;
                widest = widest.max(graph.parallelism(member as u32, default_parallelism));
            }
            total += widest;
        }
        Self { first, total }
    }

    /// The slot of a subtask.
    pub fn of(&self, subtask: Subtask) -> u32 {
        self.first[subtask.node as usize] + subtask.index
    }

    /// How many slots the job needs.
    pub fn total(&self) -> u32 {
        self.total
    }
}

/// The consumers that producer `index` of `producers` writes to.
pub fn targets(
    partitioning: Partitioning,
    index: u32,
    producers: u32,
    consumers: u32,
) -> Range<u32> {
    match partitioning {
        Partitioning::Forward => index..index + 1,
        // As Flink's pointwise pattern: with more consumers each producer has its own group of
        // them, with fewer each consumer has its own group of producers.
        Partitioning::Rescale if consumers >= producers => {
            let bound =
                |i: u32| (u64::from(i) * u64::from(consumers) / u64::from(producers)) as u32;
            bound(index)..bound(index + 1)
        }
        Partitioning::Rescale => {
            let consumer = (u64::from(index) * u64::from(consumers) / u64::from(producers)) as u32;
            consumer..consumer + 1
        }
        _ => 0..consumers,
    }
}

#[cfg(test)]
mod tests {
    use millstream_data::types::Schema;

    use super::*;
    use crate::graph::{ConnectorSpec, Node, NodeKind, chaining::Strategy};

    #[test]
    fn rescale_connects_everybody_once() {
        for (producers, consumers) in [(2, 4), (4, 2), (3, 7), (7, 3), (5, 5), (1, 3), (3, 1)] {
            let mut reached: Vec<u32> = Vec::new();
            for index in 0..producers {
                let range = targets(Partitioning::Rescale, index, producers, consumers);
                assert!(!range.is_empty(), "{index} of {producers} to {consumers}");
                reached.extend(range);
            }
            reached.dedup();
            assert_eq!(reached, (0..consumers).collect::<Vec<_>>(), "{producers} to {consumers}");
        }
    }

    #[test]
    fn groups_have_slots_of_their_own() {
        let node = |group: &str, parallelism| Node {
            name: group.into(),
            kind: NodeKind::Chain { outputs: 1, stateful: false },
            parallelism,
            max_parallelism: None,
            chaining: Strategy::Always,
            uid: None,
            slot_sharing_group: group.into(),
            alignment: None,
        };
        let nodes = vec![node("a", Some(2)), node("b", Some(3)), node("a", None), node("c", None)];
        let graph = StreamGraph { nodes, ..StreamGraph::default() };
        let slots = Slots::new(&graph, 4);
        let of = |node, index| slots.of(Subtask { node, index });
        assert_eq!([of(0, 1), of(2, 1), of(2, 3)], [1, 1, 3], "one group shares");
        assert_eq!([of(1, 0), of(3, 0)], [4, 7], "another does not");
        assert_eq!(slots.total(), 4 + 3 + 4);
    }

    #[test]
    fn splits_are_told_apart_as_long_as_nothing_is_mixed() {
        let node = |kind| Node {
            name: "node".into(),
            kind,
            parallelism: None,
            max_parallelism: None,
            chaining: Strategy::Always,
            uid: None,
            slot_sharing_group: "default".into(),
            alignment: None,
        };
        let connector = ConnectorSpec {
            connector: "source".into(),
            options: Vec::new(),
            schema: Schema::new(Vec::new()),
        };
        let source = || node(NodeKind::Source(connector.clone()));
        let chain = || node(NodeKind::Chain { outputs: 1, stateful: false });
        let edge = |from, to, partitioning| Edge {
            from,
            output: 0,
            to,
            input: 0,
            partitioning,
            schema: Schema::new(Vec::new()),
        };
        let edges = vec![
            edge(0, 2, Partitioning::Forward),
            edge(2, 3, Partitioning::Forward),
            edge(3, 4, Partitioning::Hash),
            edge(4, 5, Partitioning::Forward),
            edge(3, 6, Partitioning::Forward),
            edge(1, 6, Partitioning::Forward),
            edge(6, 7, Partitioning::Forward),
        ];
        let mut nodes = vec![source(), source()];
        nodes.extend((2..8).map(|_| chain()));
        let graph = StreamGraph { nodes, edges, ..StreamGraph::default() };
        let pass: Vec<bool> = graph.edges.iter().map(|edge| graph.passes_splits(edge)).collect();
        assert_eq!(pass, [true, true, false, false, true, true, false]);
    }

    #[test]
    fn the_other_patterns() {
        assert_eq!(targets(Partitioning::Forward, 3, 5, 5), 3..4);
        assert_eq!(targets(Partitioning::Hash, 3, 5, 2), 0..2);
    }
}
