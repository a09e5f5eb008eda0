//! What a program amounts to.
//!
//! The **stream graph** has the sources, chains and sinks that the program wrote down. The **job
//! graph** groups those that can run in one slot without an exchange into vertices
//! ([`chaining`]). The **execution graph** is the job graph with every subtask and every channel
//! ([`execution`]).

pub mod alignment;
pub mod chaining;
mod codec;
pub mod execution;
mod identity;
pub mod regions;

use alloc::{string::String, vec::Vec};
use core::fmt;

use millstream_data::{hash, row::RowLayout, types::Schema};
use millstream_state::{MAX_PARALLELISM_LIMIT, default_max_parallelism};

use crate::sort::{self, SortKey};
use alignment::SourceAlignment;
pub use codec::{DecodeError, decode_schema, encode_schema};

/// A program as a graph.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamGraph {
    /// The job's name.
    pub name: String,
    /// Sources, chains and sinks; edges name them by position.
    pub nodes: Vec<Node>,
    /// Who reads what from whom.
    pub edges: Vec<Edge>,
    /// Options of the engine that the program asks for, by their keys, unless whoever runs it says otherwise.
    pub settings: Vec<(String, String)>,
}

/// A part of a program that runs as tasks of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name in plans and metrics.
    pub name: String,
    /// What its state is called in checkpoints, see [`StreamGraph::operator_id`]; `None` if that follows
    /// from the graph.
    pub uid: Option<String>,
    /// What it does.
    pub kind: NodeKind,
    /// How many subtasks it has; `None` for the job's default.
    pub parallelism: Option<u32>,
    /// Its number of key groups; `None` for the default that follows from the parallelism.
    pub max_parallelism: Option<u32>,
    /// Whether it may share a vertex with its neighbours.
    pub chaining: chaining::Strategy,
    /// Vertices of one group may share slots.
    pub slot_sharing_group: String,
    /// Of a source: those that it waits for.
    pub alignment: Option<SourceAlignment>,
}

/// What a node does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// Reads rows of a schema with a connector.
    Source(ConnectorSpec),
    /// Runs a chain of operators.
    Chain {
        /// How many outputs it writes.
        outputs: u16,
        /// Whether it keeps state in managed memory.
        stateful: bool,
    },
    /// Sorts the rows of each subtask, once the input has ended.
    Sort(SortSpec),
    /// Writes rows with a connector.
    Sink(ConnectorSpec),
    /// Gives the job's result to whoever ran it.
    Result(Schema),
}

/// A connector, and what it is told.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectorSpec {
    /// The connector's name, `filesystem` for instance.
    pub connector: String,
    /// Its options, in the order they were given.
    pub options: Vec<(String, String)>,
    /// The rows that it reads or writes.
    pub schema: Schema,
}

impl fmt::Debug for ConnectorSpec {
    /// Without the values of options: one may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.options.iter().map(|(key, _)| key);
        write!(f, "{} ({}) ", self.connector, self.schema)?;
        f.debug_set().entries(keys).finish()
    }
}

/// What is sorted, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortSpec {
    /// The rows.
    pub schema: Schema,
    /// What they are sorted by, the first of them first.
    pub keys: Vec<SortKey>,
}

/// One node reads an output of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The producer, by position.
    pub from: u32,
    /// Which of its outputs.
    pub output: u16,
    /// The consumer, by position.
    pub to: u32,
    /// Which of its inputs.
    pub input: u16,
    /// How rows are divided over the consumer's subtasks.
    pub partitioning: Partitioning,
    /// The rows.
    pub schema: Schema,
}

/// How rows are divided over the subtasks of a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partitioning {
    /// Subtask `i` feeds subtask `i`.
    Forward,
    /// One consumer after the other.
    Rebalance,
    /// One consumer after the other, among those near the producer.
    Rescale,
    /// Consumers at random.
    Shuffle,
    /// By key group.
    Hash,
    /// Every consumer gets every row.
    Broadcast,
    /// The first consumer gets every row.
    Global,
    /// A function of the program decides.
    Custom,
}

impl Partitioning {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Rebalance => "rebalance",
            Self::Rescale => "rescale",
            Self::Shuffle => "shuffle",
            Self::Hash => "hash",
            Self::Broadcast => "broadcast",
            Self::Global => "global",
            Self::Custom => "partition",
        }
    }
}

impl StreamGraph {
    /// The subtasks of a node when the job's default is `default_parallelism`.
    pub fn parallelism(&self, node: u32, default_parallelism: u32) -> u32 {
        self.nodes[node as usize].parallelism.unwrap_or(default_parallelism)
    }

    /// The key groups of a node.
    pub fn max_parallelism(&self, node: u32, default_parallelism: u32) -> u32 {
        let parallelism = self.parallelism(node, default_parallelism);
        let set = self.nodes[node as usize].max_parallelism;
        set.unwrap_or_else(|| default_max_parallelism(parallelism))
    }

    /// The edges that leave a node, in the order of its outputs.
    pub fn outputs(&self, node: u32) -> impl Iterator<Item = (usize, &Edge)> {
        self.edges.iter().enumerate().filter(move |(_, edge)| edge.from == node)
    }

    /// The edges that reach a node.
    pub fn inputs(&self, node: u32) -> impl Iterator<Item = (usize, &Edge)> {
        self.edges.iter().enumerate().filter(move |(_, edge)| edge.to == node)
    }

    /// Whether the pages of an edge are shared by several who read them: then what is in flight towards
    /// one of them cannot be sent again, and barriers do not overtake it.
    pub fn is_shared(&self, edge: &Edge) -> bool {
        let same = |other: &&Edge| (other.from, other.output) == (edge.from, edge.output);
        edge.partitioning == Partitioning::Broadcast || self.edges.iter().filter(same).count() > 1
    }

    /// Whether the splits of a source can be told apart on an edge: it comes from there, or from a chain that
    /// reads nothing else, and each subtask reads what one has written.
    pub fn passes_splits(&self, edge: &Edge) -> bool {
        if edge.partitioning != Partitioning::Forward {
            return false;
        }
        match self.nodes.get(edge.from as usize).map(|node| &node.kind) {
            Some(NodeKind::Source(_)) => true,
            Some(NodeKind::Chain { .. }) => {
                let mut inputs = self.inputs(edge.from).map(|(_, input)| input);
                // Edges lead forward, so that this ends.
                let only = inputs.next().filter(|input| input.from < edge.from);
                inputs.next().is_none() && only.is_some_and(|input| self.passes_splits(input))
            }
            _ => false,
        }
    }

    /// A number that differs when the graph does: two processes that run one job compare it.
    pub fn fingerprint(&self) -> u64 {
        hash::bytes(hash::SEED, &self.encode())
    }

    /// The graph as bytes.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// The graph that [`StreamGraph::encode`] made bytes of.
    ///
    /// # Errors
    /// If the bytes are none, with the offset of the first that is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::decode(bytes)
    }

    /// Checks that the graph can run with `default_parallelism`.
    ///
    /// # Errors
    /// The first thing that is wrong, with the node it is wrong with.
    pub fn check(&self, default_parallelism: u32) -> Result<(), GraphError> {
        if !self.nodes.iter().any(Node::is_sink) {
            return Err(GraphError::NoSink { job: self.name.clone() });
        }
        for (index, node) in self.nodes.iter().enumerate() {
            let index = index as u32;
            let parallelism = self.parallelism(index, default_parallelism);
            let max = self.max_parallelism(index, default_parallelism);
            if parallelism == 0 || max > MAX_PARALLELISM_LIMIT || parallelism > max {
                return Err(GraphError::Parallelism { node: node.name.clone(), parallelism, max });
            }
            if let NodeKind::Sort(SortSpec { schema, keys, .. }) = &node.kind
                && let Err(error) = sort::order(schema, keys, RowLayout::new(schema))
            {
                let (node, what) = (node.name.clone(), alloc::format!("{error}"));
                return Err(GraphError::Sort { node, what });
            }
            let mut outputs: Vec<u16> = self.outputs(index).map(|(_, edge)| edge.output).collect();
            outputs.sort_unstable();
            outputs.dedup();
            if !outputs.iter().copied().eq(0..node.outputs()) {
                return Err(GraphError::Dangling { node: node.name.clone() });
            }
        }
        self.check_uids()?;
        self.edges.iter().try_for_each(|edge| self.check_edge(edge, default_parallelism))
    }

    fn check_edge(&self, edge: &Edge, default_parallelism: u32) -> Result<(), GraphError> {
        let node = |index: u32| self.nodes.get(index as usize);
        let (Some(from), Some(to)) = (node(edge.from), node(edge.to)) else {
            return Err(GraphError::Dangling { node: self.name.clone() });
        };
        // A program only reads streams that exist already, so edges lead forward: no cycles.
        if edge.from >= edge.to {
            return Err(GraphError::Dangling { node: to.name.clone() });
        }
        let producers = self.parallelism(edge.from, default_parallelism);
        let consumers = self.parallelism(edge.to, default_parallelism);
        // One page goes to all who read an output, so it cannot be divided for one of them.
        let read_by = self.outputs(edge.from).filter(|(_, other)| other.output == edge.output);
        if edge.partitioning != Partitioning::Forward && read_by.count() > 1 {
            return Err(GraphError::Dangling { node: to.name.clone() });
        }
        if edge.partitioning == Partitioning::Forward && producers != consumers {
            let (from, to) = (from.name.clone(), to.name.clone());
            return Err(GraphError::Forward { from, producers, to, consumers });
        }
        Ok(())
    }
}

impl Node {
    /// Whether rows end here.
    pub fn is_sink(&self) -> bool {
        self.outputs() == 0
    }

    /// How many outputs it writes.
    pub fn outputs(&self) -> u16 {
        match self.kind {
            NodeKind::Source(_) | NodeKind::Sort(_) => 1,
            NodeKind::Chain { outputs, .. } => outputs,
            NodeKind::Sink(_) | NodeKind::Result(_) => 0,
        }
    }
}

/// Why a graph cannot run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GraphError {
    /// Nothing leaves the job.
    NoSink {
        /// The job.
        job: String,
    },
    /// A node has no subtasks, or more than key groups, or too many key groups.
    Parallelism {
        /// The node.
        node: String,
        /// Its parallelism.
        parallelism: u32,
        /// Its key groups.
        max: u32,
    },
    /// A node has an output that nobody reads, or an edge leads nowhere or back.
    Dangling {
        /// The node.
        node: String,
    },
    /// Rows cannot be sorted so.
    Sort {
        /// The node.
        node: String,
        /// Why.
        what: String,
    },
    /// Two nodes have one uid, or it is empty.
    Uid {
        /// The uid.
        uid: String,
    },
    /// A forward edge between different numbers of subtasks.
    Forward {
        /// The producer.
        from: String,
        /// Its subtasks.
        producers: u32,
        /// The consumer.
        to: String,
        /// Its subtasks.
        consumers: u32,
    },
}

impl fmt::Display for GraphError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSink { job } => write!(
                f,
                "job {job} has no sink: end a stream with `result()`, `sink(..)` or \
                 `for_each(..)`, or there is nothing to run it for"
            ),
            Self::Parallelism { node, parallelism, max } => write!(
                f,
                "{node} has parallelism {parallelism} and maximum parallelism {max}: it needs at \
                 least 1, and at most its maximum, which is at most {MAX_PARALLELISM_LIMIT}"
            ),
            Self::Dangling { node } => write!(
                f,
                "{node} has an output that nobody reads, or an input from nowhere: each stream, \
                 and each side output, ends in exactly one sink or operator"
            ),
            Self::Uid { uid } => write!(
                f,
                "the uid `{uid}` is given to two operators, or has no letters: state is found again by \
                 it, so give each a uid of its own"
            ),
            Self::Sort { node, what } => write!(f, "{node}: {what}"),
            Self::Forward { from, producers, to, consumers } => write!(
                f,
                "{from} has {producers} subtasks and {to} has {consumers}, but they are connected \
                 forward: use rebalance() between them"
            ),
        }
    }
}

impl core::error::Error for GraphError {}
