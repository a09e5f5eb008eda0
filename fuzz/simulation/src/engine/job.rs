//! A job that is simulated: a program, what its sources read, and what is right to come of it.

use std::{collections::BTreeMap, fmt, rc::Rc};

use millstream_dataflow::{
    StreamGraph, TaskError,
    graph::{NodeKind, Partitioning},
    stream::Program,
};

use super::rows::{Rows, Table};

/// Key groups of chains that do not say how many they have: few, so that each has something in it.
const KEY_GROUPS: u32 = 8;

/// Says whether what was shown is right, and else what is wrong with it.
pub type Check = Box<dyn Fn(&Rows) -> Result<(), String>>;

/// A job.
pub struct Job {
    pub(super) program: Rc<Program>,
    pub(super) graph: StreamGraph,
    /// By node.
    tables: BTreeMap<u32, Rc<Table>>,
    /// See [`Job::in_order`].
    pub(super) in_order: bool,
    pub(super) check: Check,
}

impl Job {
    /// The job of a program, each of whose sources reads the table of its name.
    ///
    /// # Errors
    /// If there is none, or it has other columns.
    pub fn new(
        program: Rc<Program>,
        tables: &BTreeMap<String, Rc<Table>>,
        check: Check,
    ) -> Result<Self, TaskError> {
        let mut graph = program.graph().clone();
        let mut of_nodes = BTreeMap::new();
        for (number, node) in (0..).zip(&mut graph.nodes) {
            match &node.kind {
                NodeKind::Source(spec) => {
                    let table = tables.get(&node.name).ok_or_else(|| {
                        TaskError::new(format!("there is no table `{}` to read", node.name))
                    })?;
                    table.places(&spec.schema)?;
                    of_nodes.insert(number, Rc::clone(table));
                }
                NodeKind::Chain { .. } => {
                    node.max_parallelism.get_or_insert(KEY_GROUPS);
                }
                _ => {}
            }
        }
        Ok(Self { program, graph, tables: of_nodes, in_order: false, check })
    }

    /// What is right depends on which rows are late: sources, and what reads them without an exchange, have one
    /// subtask each, and barriers do not overtake, since watermarks in flight do not come again. For sources of
    /// one split.
    #[must_use]
    pub fn in_order(mut self) -> Self {
        self.in_order = true;
        let graph = &mut self.graph;
        let mut alone: Vec<u32> = self.tables.keys().copied().collect();
        for edge in &graph.edges {
            if edge.partitioning == Partitioning::Forward && alone.contains(&edge.from) {
                alone.push(edge.to);
            }
        }
        for (number, node) in (0..).zip(&mut graph.nodes) {
            if alone.contains(&number) {
                node.parallelism = Some(1);
            }
        }
        self
    }

    /// The sources, with what they read.
    pub(super) fn tables(&self) -> impl Iterator<Item = (u32, &Rc<Table>)> {
        self.tables.iter().map(|(node, table)| (*node, table))
    }

    /// The same with those rows that were read before the ones that are left, by source: splits, and the rows
    /// to go on with.
    pub(super) fn so_far(&self, left: &BTreeMap<u32, BTreeMap<u64, u64>>) -> Self {
        let read = |(node, table): (&u32, &Rc<Table>)| {
            let left = left.get(node);
            let splits = (0..).zip(&table.splits).map(|(split, rows)| {
                let end = left.and_then(|left| left.get(&split));
                rows.iter().take(end.map_or(rows.len(), |row| *row as usize)).cloned().collect()
            });
            let columns = table.columns.clone();
            (*node, Rc::new(Table { columns, splits: splits.collect() }))
        };
        let tables = self.tables.iter().map(read).collect();
        let (program, graph) = (Rc::clone(&self.program), self.graph.clone());
        Self { program, graph, tables, in_order: self.in_order, check: Box::new(|_| Ok(())) }
    }

    /// What a source reads.
    pub(super) fn table(&self, node: u32) -> Result<Rc<Table>, TaskError> {
        let table = self.tables.get(&node).map(Rc::clone);
        table.ok_or_else(|| TaskError::new(format!("node {node} has no table to read")))
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("graph", &self.graph).finish_non_exhaustive()
    }
}
