//! Which neighbours of a stream graph share a vertex.
//!
//! The conditions are those of Flink's `StreamingJobGraphGenerator`. In Millstream the operators
//! within a chain are fused by the compiler already; what is decided here is which sources, chains
//! and sinks run side by side in one slot, connected without an exchange.

use alloc::{vec, vec::Vec};
use core::fmt;

use super::{Edge, Partitioning, StreamGraph};

/// Whether a node may share a vertex with its neighbours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// With the node before it and those behind it.
    #[default]
    Always,
    /// Only with those behind it.
    Head,
    /// With those behind it, and with a source before it.
    HeadWithSources,
    /// With none.
    Never,
}

/// Why two neighbours do not share a vertex.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The consumer reads more than one edge.
    SeveralInputs,
    /// They belong to different slot sharing groups.
    SlotSharingGroup,
    /// The producer does not take anybody behind it.
    Producer,
    /// The consumer does not take anybody before it.
    Consumer,
    /// Rows change subtasks between them.
    Partitioning,
    /// They have different numbers of subtasks.
    Parallelism,
    /// They have different numbers of key groups, and both set theirs.
    MaxParallelism,
    /// Chaining is off for the job.
    Disabled,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SeveralInputs => "the consumer reads several inputs",
            Self::SlotSharingGroup => "they are in different slot sharing groups",
            Self::Producer => "the producer starts no chain",
            Self::Consumer => "the consumer starts a chain of its own",
            Self::Partitioning => "rows change subtasks between them",
            Self::Parallelism => "they have different parallelism",
            Self::MaxParallelism => "they have different maximum parallelism",
            Self::Disabled => "chaining is disabled",
        })
    }
}

/// The conditions that a job sets for all its edges.
#[derive(Clone, Copy, Debug)]
pub struct Conditions {
    /// Chaining is on at all.
    pub enabled: bool,
    /// Subtasks of a node that sets no parallelism.
    pub default_parallelism: u32,
}

/// What keeps the two ends of an edge apart; `None` if they share a vertex.
pub fn obstacle(graph: &StreamGraph, edge: &Edge, conditions: Conditions) -> Option<Obstacle> {
    let default = conditions.default_parallelism;
    let (from, to) = (&graph.nodes[edge.from as usize], &graph.nodes[edge.to as usize]);
    let from_source = matches!(from.kind, super::NodeKind::Source(_));
    let joins = match to.chaining {
        Strategy::Always => true,
        Strategy::HeadWithSources => from_source,
        Strategy::Head | Strategy::Never => false,
    };
    let different_max = match (from.max_parallelism, to.max_parallelism) {
        (Some(from), Some(to)) => from != to,
        _ => false,
    };
    let parallelism = |node| graph.parallelism(node, default);
    let checks = [
        (graph.inputs(edge.to).count() != 1, Obstacle::SeveralInputs),
        (from.slot_sharing_group != to.slot_sharing_group, Obstacle::SlotSharingGroup),
        (from.chaining == Strategy::Never, Obstacle::Producer),
        (!joins, Obstacle::Consumer),
        (edge.partitioning != Partitioning::Forward, Obstacle::Partitioning),
        (parallelism(edge.from) != parallelism(edge.to), Obstacle::Parallelism),
        (different_max, Obstacle::MaxParallelism),
        (!conditions.enabled, Obstacle::Disabled),
    ];
    checks.into_iter().find_map(|(holds, obstacle)| holds.then_some(obstacle))
}

/// The vertices of the job graph: groups of nodes, each in order.
pub fn vertices(graph: &StreamGraph, conditions: Conditions) -> Vec<Vec<u32>> {
    let mut vertex_of = vec![0; graph.nodes.len()];
    let mut vertices: Vec<Vec<u32>> = Vec::new();
    for node in 0..graph.nodes.len() as u32 {
        let chained = graph.inputs(node).find(|(_, e)| obstacle(graph, e, conditions).is_none());
        let vertex = match chained {
            Some((_, edge)) => vertex_of[edge.from as usize],
            None => {
                vertices.push(Vec::new());
                vertices.len() - 1
            }
        };
        vertex_of[node as usize] = vertex;
        vertices[vertex].push(node);
    }
    vertices
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Node, NodeKind};
    use alloc::string::String;
    use millstream_data::types::Schema;

    fn node(kind: NodeKind) -> Node {
        Node {
            name: String::new(),
            kind,
            parallelism: None,
            max_parallelism: None,
            chaining: Strategy::Always,
            uid: None,
            slot_sharing_group: "default".into(),
            alignment: None,
        }
    }

    fn pair() -> StreamGraph {
        let edge = Edge {
            from: 0,
            output: 0,
            to: 1,
            input: 0,
            partitioning: Partitioning::Forward,
            schema: Schema::default(),
        };
        StreamGraph {
            name: "pair".into(),
            nodes: vec![
                node(NodeKind::Chain { outputs: 1, stateful: false }),
                node(NodeKind::Result(Schema::default())),
            ],
            edges: vec![edge],
            settings: Vec::new(),
        }
    }

    const ON: Conditions = Conditions { enabled: true, default_parallelism: 2 };

    fn found(change: impl Fn(&mut StreamGraph)) -> Option<Obstacle> {
        let mut graph = pair();
        change(&mut graph);
        obstacle(&graph, &graph.edges[0].clone(), ON)
    }

    #[test]
    fn each_condition_alone_keeps_nodes_apart() {
        assert_eq!(found(|_| ()), None);
        assert_eq!(
            found(|graph| {
                let edge = graph.edges[0].clone();
                graph.edges.push(edge);
            }),
            Some(Obstacle::SeveralInputs)
        );
        assert_eq!(
            found(|graph| graph.nodes[1].slot_sharing_group = "other".into()),
            Some(Obstacle::SlotSharingGroup)
        );
        assert_eq!(
            found(|graph| graph.nodes[0].chaining = Strategy::Never),
            Some(Obstacle::Producer)
        );
        for strategy in [Strategy::Head, Strategy::HeadWithSources, Strategy::Never] {
            let apart = found(|graph| graph.nodes[1].chaining = strategy);
            assert_eq!(apart, Some(Obstacle::Consumer), "{strategy:?}");
        }
        assert_eq!(
            found(|graph| graph.edges[0].partitioning = Partitioning::Rescale),
            Some(Obstacle::Partitioning)
        );
        assert_eq!(
            found(|graph| graph.nodes[1].parallelism = Some(1)),
            Some(Obstacle::Parallelism)
        );
        assert_eq!(
            found(|graph| {
                graph.nodes[0].max_parallelism = Some(128);
                graph.nodes[1].max_parallelism = Some(256);
            }),
            Some(Obstacle::MaxParallelism)
        );
        let graph = pair();
        let off = Conditions { enabled: false, ..ON };
        assert_eq!(obstacle(&graph, &graph.edges[0], off), Some(Obstacle::Disabled));
    }

    #[test]
    fn a_head_joins_a_source_if_it_says_so() {
        let source = NodeKind::Source(crate::graph::ConnectorSpec {
            connector: "datagen".into(),
            options: Vec::new(),
            schema: Schema::default(),
        });
        let joined = found(|graph| {
            graph.nodes[0].kind = source.clone();
            graph.nodes[1].chaining = Strategy::HeadWithSources;
        });
        assert_eq!(joined, None);
        assert_eq!(
            found(|graph| graph.nodes[0].chaining = Strategy::Head),
            None,
            "a head takes those behind it"
        );
    }

    #[test]
    fn vertices_follow_the_chains() {
        let mut graph = pair();
        assert_eq!(vertices(&graph, ON), [[0, 1]]);
        graph.nodes[1].parallelism = Some(1);
        graph.edges[0].partitioning = Partitioning::Global;
        assert_eq!(vertices(&graph, ON), [[0], [1]]);
    }
}
