//! Where a program is written down, and the program.

use alloc::{boxed::Box, collections::BTreeMap, format, rc::Rc, string::String, vec, vec::Vec};
use core::{cell::RefCell, fmt};

use millstream_data::{Value, types::Schema, value::Record};

use super::{Generated, Pages, Pipeline, Stream};
use crate::{
    chain::{Chain, OpenInfo, TaskError},
    graph::{
        ConnectorSpec, Edge, Node, NodeKind, Partitioning, StreamGraph, alignment::SourceAlignment,
        chaining::Strategy,
    },
    writer::{
        PartitionWriter, Partitioner,
        run::{CopyChain, Division, RunWriter},
    },
};

/// A chain, or why there is none.
pub(super) type Opened = Result<Box<dyn Chain>, TaskError>;
/// Makes the chain of a node for a subtask.
pub(super) type Factory = Box<dyn Fn(&OpenInfo) -> Opened + Send + Sync>;
/// Makes the chain of a node that writes rows with writers that it is given, one for each output.
pub(super) type RowFactory = Box<dyn Fn(&OpenInfo, Vec<RunWriter>) -> Opened + Send + Sync>;

/// What makes chains.
enum Maker {
    Typed(Factory),
    /// The outputs that it writes, with the schemas of their rows.
    Rows(Vec<(u16, Schema)>, RowFactory),
}

/// Where a program is written down.
#[derive(Clone, Debug)]
pub struct Environment {
    inner: Rc<RefCell<Program>>,
}

/// A program: its graph, and the code of its chains.
pub struct Program {
    graph: StreamGraph,
    /// By node; `None` for sources and sinks, which are connectors.
    makers: Vec<Option<Maker>>,
    /// By node and output: what writes the rows of the output anew.
    writers: BTreeMap<(u32, u16), Maker>,
    /// By node and output: how the rows are divided that it writes with a [`RunWriter`], if somebody
    /// asked for it.
    divisions: BTreeMap<(u32, u16), Division>,
}

impl Program {
    fn of(graph: StreamGraph) -> Self {
        let (writers, divisions) = (BTreeMap::new(), BTreeMap::new());
        Self { graph, makers: Vec::new(), writers, divisions }
    }

    /// The program's graph.
    pub fn graph(&self) -> &StreamGraph {
        &self.graph
    }

    /// The chain of a node, for a subtask.
    ///
    /// # Errors
    /// If the node is not a chain, or its rows do not fit the segments.
    pub fn chain(&self, node: u32, info: &OpenInfo) -> Result<Box<dyn Chain>, TaskError> {
        match self.makers.get(node as usize) {
            Some(Some(maker)) => self.open(maker, node, info),
            _ => Err(TaskError::new(format!("node {node} of {} is no chain", self.graph.name))),
        }
    }

    fn open(&self, maker: &Maker, node: u32, info: &OpenInfo) -> Opened {
        match maker {
            Maker::Typed(make) => make(info),
            Maker::Rows(outputs, make) => {
                let writers = outputs.iter().map(|(output, schema)| {
                    let division = self.divisions.get(&(node, *output));
                    RunWriter::new(schema, division.unwrap_or(&Division::None), *output, info)
                });
                make(info, writers.collect::<Result<_, _>>()?)
            }
        }
    }

    /// A chain that takes rows which an output of a node had written, and divides them as the output does:
    /// for data that were in flight at a checkpoint.
    ///
    /// # Errors
    /// If there is no such output, or its rows do not fit the segments.
    pub fn writer(
        &self,
        node: u32,
        output: u16,
        info: &OpenInfo,
    ) -> Result<Box<dyn Chain>, TaskError> {
        match self.writers.get(&(node, output)) {
            Some(maker) => self.open(maker, node, info),
            None => Err(TaskError::new(format!(
                "node {node} of {} has no output {output}",
                self.graph.name
            ))),
        }
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program").field("graph", &self.graph).finish_non_exhaustive()
    }
}

impl Environment {
    /// An empty program.
    pub fn new(name: impl Into<String>) -> Self {
        let graph = StreamGraph { name: name.into(), ..StreamGraph::default() };
        Self { inner: Rc::new(RefCell::new(Program::of(graph))) }
    }

    /// The rows that a connector reads. Its columns are those of `T`, matched by name.
    pub fn source<T: Value>(&self, name: &str, connector: Connector) -> Stream<T, Pages<T>> {
        let parallelism = connector.subtasks;
        let spec = connector.with_schema::<T>();
        let settings = Settings { name: Some(name.into()), parallelism, ..Settings::default() };
        let node = self.add(settings, NodeKind::Source(spec), None);
        let upstream = Upstream::new::<T>(node, 0, Partitioning::Forward);
        let mut stream = Stream::read(self.clone(), upstream);
        stream.settings.parallelism = parallelism;
        stream
    }

    /// The rows of an iterator, one for each subtask: `rows` is given the subtask and how many there
    /// are. It must not block.
    pub fn generate<T, I, F>(&self, rows: F) -> Stream<T, Generated<F>>
    where
        T: Value,
        I: Iterator<Item = T> + Send + 'static,
        F: Fn(u32, u32) -> I + Clone + Send + Sync + 'static,
    {
        let head = Generated { rows, rate: None };
        let mut stream = Stream::new(self.clone(), Vec::new(), head, Settings::default());
        stream.names.push("generate");
        stream
    }

    /// The program that was written down. What is added to the environment later goes into another.
    pub fn build(&self) -> Program {
        let mut inner = self.inner.borrow_mut();
        let empty = StreamGraph { name: inner.graph.name.clone(), ..StreamGraph::default() };
        core::mem::replace(&mut *inner, Program::of(empty))
    }

    /// Calls the job so from now on. Its checkpoints are found again by its name.
    pub fn rename(&self, name: impl Into<String>) {
        self.inner.borrow_mut().graph.name = name.into();
    }

    /// Asks for an option of the engine, `checkpoint.interval` for instance, unless whoever runs the program says
    /// otherwise; the last word on one counts. The binary knows them (`millstream config explain`), a runtime that a
    /// program builds is configured by that program.
    pub fn configure(&self, key: impl Into<String>, value: impl Into<String>) {
        let (key, value) = (key.into(), value.into());
        let settings = &mut self.inner.borrow_mut().graph.settings;
        settings.retain(|(known, _)| *known != key);
        settings.push((key, value));
    }

    /// Gives what was written down so far so many subtasks, whatever the runtime's default is, but for what
    /// has a number of its own.
    pub fn set_parallelism(&self, subtasks: u32) {
        for node in &mut self.inner.borrow_mut().graph.nodes {
            node.parallelism.get_or_insert(subtasks);
        }
    }

    pub(super) fn add(&self, settings: Settings, kind: NodeKind, factory: Option<Factory>) -> u32 {
        let mut program = self.inner.borrow_mut();
        program.graph.nodes.push(settings.node(kind));
        program.makers.push(factory.map(Maker::Typed));
        program.graph.nodes.len() as u32 - 1
    }

    /// Says what a node is that was added before.
    pub(super) fn complete(&self, node: u32, settings: Settings, kind: NodeKind, factory: Factory) {
        let mut program = self.inner.borrow_mut();
        program.graph.nodes[node as usize] = settings.node(kind);
        program.makers[node as usize] = Some(Maker::Typed(factory));
    }

    /// How the rows of an output are written anew.
    pub(super) fn writes_again<T: Value, D: Partitioner<T>>(
        &self,
        node: u32,
        output: u16,
        partitioner: D,
    ) {
        let factory = move |info: &OpenInfo| {
            let writer = PartitionWriter::<T, D::Route>::new(&partitioner, output, info)?;
            Pages::<T>::new().chain(writer, info)
        };
        self.inner.borrow_mut().writers.insert((node, output), Maker::Typed(Box::new(factory)));
    }

    /// Adds a node that writes rows of these schemas, one for each output.
    pub(super) fn add_rows(
        &self,
        settings: Settings,
        kind: NodeKind,
        schemas: &[Schema],
        make: RowFactory,
    ) -> u32 {
        let node = self.add(settings, kind, None);
        let mut program = self.inner.borrow_mut();
        let outputs: Vec<_> = (0..).zip(schemas.iter().cloned()).collect();
        for (output, schema) in &outputs {
            let copied = schema.clone();
            let copies: RowFactory = Box::new(move |_, writers| copy(&copied, writers));
            let maker = Maker::Rows(vec![(*output, schema.clone())], copies);
            program.writers.insert((node, *output), maker);
        }
        program.makers[node as usize] = Some(Maker::Rows(outputs, make));
        node
    }

    /// Gives a node another name.
    pub(super) fn name_node(&self, node: u32, name: String) {
        if let Some(node) = self.inner.borrow_mut().graph.nodes.get_mut(node as usize) {
            node.name = name;
        }
    }

    /// Lets a source wait for others.
    ///
    /// # Panics
    /// If the node is not a connector that reads.
    pub(super) fn align(&self, node: u32, alignment: &SourceAlignment) {
        let what =
            "only what a connector reads waits for others: it stands right behind `source(..)`";
        assert!(self.is_source(node), "{what}");
        if let Some(node) = self.inner.borrow_mut().graph.nodes.get_mut(node as usize) {
            node.alignment = Some(alignment.clone());
        }
    }

    /// Whether a node is a connector that reads.
    pub(super) fn is_source(&self, node: u32) -> bool {
        let program = self.inner.borrow();
        let node = program.graph.nodes.get(node as usize);
        node.is_some_and(|node| matches!(node.kind, NodeKind::Source(_)))
    }

    /// Says how the rows of an output are divided.
    pub(super) fn divide_rows(&self, node: u32, output: u16, division: Division) {
        self.inner.borrow_mut().divisions.insert((node, output), division);
    }

    /// Whether the rows of an output are shared by those who read them.
    pub(super) fn is_shared(&self, node: u32, output: u16) -> bool {
        self.inner.borrow().divisions.get(&(node, output)) == Some(&Division::All)
    }

    pub(super) fn connect(&self, upstreams: Vec<Upstream>, to: u32) {
        let edges = &mut self.inner.borrow_mut().graph.edges;
        edges.extend(upstreams.into_iter().map(|upstream| Edge {
            from: upstream.node,
            output: upstream.output,
            to,
            input: upstream.input,
            partitioning: upstream.partitioning,
            schema: upstream.schema,
        }));
    }
}

/// The chain that writes rows as they are, with its only writer.
pub(super) fn copy(schema: &Schema, writers: Vec<RunWriter>) -> Opened {
    let writer = only(writers)?;
    Ok(Box::new(CopyChain::new(schema, writer)))
}

/// The writer of a chain with one output.
pub(super) fn only(writers: Vec<RunWriter>) -> Result<RunWriter, TaskError> {
    let mut writers = writers.into_iter();
    writers.next().ok_or_else(|| TaskError::new("a chain has no output to write to"))
}

/// What a program may set for a node.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    pub(super) name: Option<String>,
    pub(super) uid: Option<String>,
    pub(super) parallelism: Option<u32>,
    pub(super) max_parallelism: Option<u32>,
    pub(super) slot_sharing_group: Option<String>,
    pub(super) chaining: Strategy,
    /// The chain keeps state.
    pub(super) stateful: bool,
}

impl Settings {
    fn node(self, kind: NodeKind) -> Node {
        Node {
            name: self.name.unwrap_or_default(),
            uid: self.uid,
            kind,
            parallelism: self.parallelism,
            max_parallelism: self.max_parallelism,
            chaining: self.chaining,
            slot_sharing_group: self.slot_sharing_group.unwrap_or_else(|| "default".into()),
            alignment: None,
        }
    }

    /// What a node that follows without an exchange has in common.
    pub(super) fn inherited(&self) -> Self {
        let (parallelism, slot_sharing_group) = (self.parallelism, self.slot_sharing_group.clone());
        Self { parallelism, slot_sharing_group, ..Self::default() }
    }
}

/// A connector by name, with its options.
#[derive(Clone)]
pub struct Connector {
    pub(super) name: String,
    pub(super) options: Vec<(String, String)>,
    pub(super) subtasks: Option<u32>,
}

impl fmt::Debug for Connector {
    /// Without the values of options: one may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.options.iter().map(|(key, _)| key);
        write!(f, "Connector {} ", self.name)?;
        f.debug_set().entries(keys).finish()
    }
}

impl Connector {
    /// The connector called `name`: `filesystem`, `nexmark`, `datagen` and so on.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), options: Vec::new(), subtasks: None }
    }

    /// Sets an option.
    pub fn option(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.push((key.into(), value.into()));
        self
    }

    /// Reads or writes with so many subtasks, whatever the parallelism of the job. What a source is read
    /// by without an exchange has as many.
    #[must_use]
    pub fn subtasks(self, subtasks: u32) -> Self {
        Self { subtasks: Some(subtasks), ..self }
    }

    pub(super) fn with_schema<T: Value>(self) -> ConnectorSpec {
        ConnectorSpec { connector: self.name, options: self.options, schema: T::schema() }
    }
}

/// Who a chain reads from.
#[derive(Clone, Debug)]
pub(super) struct Upstream {
    pub(super) node: u32,
    pub(super) output: u16,
    pub(super) input: u16,
    pub(super) partitioning: Partitioning,
    pub(super) schema: Schema,
}

impl Upstream {
    pub(super) fn new<T: Value>(node: u32, output: u16, partitioning: Partitioning) -> Self {
        Self { node, output, input: 0, partitioning, schema: T::schema() }
    }
}
