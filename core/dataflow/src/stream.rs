//! The typed API: a program as streams and operators on them.
//!
//! ```
//! use millstream_dataflow::{Connector, Environment};
//!
//! let env = Environment::new("count");
//! env.generate(|subtask, parallelism| (0..100u64).skip(subtask as usize).step_by(parallelism as usize))
//!     .filter(|number| number % 3 == 0)
//!     .key_by::<u64, _>(|number| *number % 10)
//!     .reduce_at_end(|sum, number| *sum += number)
//!     .result();
//! let program = env.build();
//! assert_eq!(program.graph().nodes.len(), 3);
//! ```
//!
//! A stream is consumed by the operator that reads it. Its operators are fused into one chain until
//! something divides rows anew: `key_by`, `rebalance`, a sink and the like.

#![expect(
    clippy::type_complexity,
    reason = "a pipeline's type lists its operators: that fuses them"
)]

mod keyed;

use alloc::{boxed::Box, format, rc::Rc, string::String, vec, vec::Vec};
use core::{cell::RefCell, fmt, marker::PhantomData};

use millstream_data::{Key, Value, value::Record};

pub use keyed::KeyedStream;

use crate::{
    chain::{Chain, OpenInfo, TaskError},
    graph::{ConnectorSpec, Edge, Node, NodeKind, Partitioning, StreamGraph, chaining::Strategy},
    operator::{
        Emit, Filter, FlatMap, Inspect, Map, Operator, PageChain, Process, Row, SourceChain, Stage,
    },
    writer::{Broadcast, Custom, PartitionWriter, Partitioner, RoundRobin, Shuffle, Single},
};

/// Makes the chain of a node for a subtask.
type Factory = Box<dyn Fn(&OpenInfo) -> Result<Box<dyn Chain>, TaskError> + Send + Sync>;

/// Where a program is written down.
#[derive(Clone, Debug)]
pub struct Environment {
    inner: Rc<RefCell<Program>>,
}

/// A program: its graph, and the code of its chains.
pub struct Program {
    graph: StreamGraph,
    /// By node; `None` for sources and sinks, which are connectors.
    factories: Vec<Option<Factory>>,
}

impl Program {
    /// The program's graph.
    pub fn graph(&self) -> &StreamGraph {
        &self.graph
    }

    /// The chain of a node, for a subtask.
    ///
    /// # Errors
    /// If the node is not a chain, or its rows do not fit the segments.
    pub fn chain(&self, node: u32, info: &OpenInfo) -> Result<Box<dyn Chain>, TaskError> {
        match self.factories.get(node as usize) {
            Some(Some(factory)) => factory(info),
            _ => Err(TaskError::new(format!("node {node} of {} is no chain", self.graph.name))),
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
        let program = Program { graph, factories: Vec::new() };
        Self { inner: Rc::new(RefCell::new(program)) }
    }

    /// The rows that a connector reads. Its columns are those of `T`, matched by name.
    pub fn source<T: Value>(&self, name: &str, connector: Connector) -> Stream<T, Pages<T>> {
        let spec = connector.with_schema::<T>();
        let node = self.add(name.into(), NodeKind::Source(spec), None, None);
        let upstream = Upstream { node, output: 0, partitioning: Partitioning::Forward };
        Stream::new(self.clone(), vec![upstream], Pages::new(), None)
    }

    /// The rows of an iterator, one for each subtask: `rows` is given the subtask and how many there
    /// are. It must not block.
    pub fn generate<T, I, F>(&self, rows: F) -> Stream<T, Generated<F>>
    where
        T: Value,
        I: Iterator<Item = T> + Send + 'static,
        F: Fn(u32, u32) -> I + Clone + Send + Sync + 'static,
    {
        let mut stream = Stream::new(self.clone(), Vec::new(), Generated { rows, rate: None }, None);
        stream.names.push("generate");
        stream
    }

    /// The program that was written down. What is added to the environment later goes into another.
    pub fn build(&self) -> Program {
        let mut inner = self.inner.borrow_mut();
        let empty = StreamGraph { name: inner.graph.name.clone(), ..StreamGraph::default() };
        let graph = core::mem::replace(&mut inner.graph, empty);
        Program { graph, factories: core::mem::take(&mut inner.factories) }
    }

    fn add(
        &self,
        name: String,
        kind: NodeKind,
        parallelism: Option<u32>,
        factory: Option<Factory>,
    ) -> u32 {
        let mut program = self.inner.borrow_mut();
        program.graph.nodes.push(Node {
            name,
            kind,
            parallelism,
            max_parallelism: None,
            chaining: Strategy::Always,
            slot_sharing_group: "default".into(),
        });
        program.factories.push(factory);
        program.graph.nodes.len() as u32 - 1
    }

    fn connect<T: Value>(&self, upstreams: &[Upstream], to: u32) {
        let edges = &mut self.inner.borrow_mut().graph.edges;
        edges.extend(upstreams.iter().map(|upstream| Edge {
            from: upstream.node,
            output: upstream.output,
            to,
            input: 0,
            partitioning: upstream.partitioning,
            schema: T::schema(),
        }));
    }
}

/// A connector by name, with its options.
#[derive(Clone, Debug)]
pub struct Connector {
    name: String,
    options: Vec<(String, String)>,
}

impl Connector {
    /// The connector called `name`: `filesystem`, `nexmark`, `datagen` and so on.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), options: Vec::new() }
    }

    /// Sets an option.
    pub fn option(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.push((key.into(), value.into()));
        self
    }

    fn with_schema<T: Value>(self) -> ConnectorSpec {
        ConnectorSpec { connector: self.name, options: self.options, schema: T::schema() }
    }
}

/// Who a chain reads from.
#[derive(Clone, Copy, Debug)]
struct Upstream {
    node: u32,
    output: u16,
    partitioning: Partitioning,
}

/// The operators of a chain so far, from its head on.
pub trait Pipeline: Clone + Send + Sync + 'static {
    /// The rows that its head takes.
    type In: Value;
    /// The rows that come out of it.
    type Out: Value;

    /// The chain of these operators, with `next` at its end.
    fn chain<N: Stage<Self::Out>>(&self, next: N, info: &OpenInfo) -> Box<dyn Chain>;
}

/// The head of a chain that reads pages.
pub struct Pages<T>(PhantomData<fn() -> T>);

impl<T> Pages<T> {
    fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T> Clone for Pages<T> {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl<T: Value> Pipeline for Pages<T> {
    type In = T;
    type Out = T;

    fn chain<N: Stage<T>>(&self, next: N, _info: &OpenInfo) -> Box<dyn Chain> {
        Box::new(PageChain::<T, N>::new(next))
    }
}

/// The head of a chain that makes its rows itself.
#[derive(Clone)]
pub struct Generated<F> {
    rows: F,
    rate: Option<u64>,
}

impl<T, I, F> Pipeline for Generated<F>
where
    T: Value,
    I: Iterator<Item = T> + Send + 'static,
    F: Fn(u32, u32) -> I + Clone + Send + Sync + 'static,
{
    type In = T;
    type Out = T;

    fn chain<N: Stage<T>>(&self, next: N, info: &OpenInfo) -> Box<dyn Chain> {
        let chain = SourceChain::new((self.rows)(info.subtask, info.parallelism), next);
        match self.rate {
            Some(rate) => Box::new(chain.paced(rate, info.parallelism)),
            None => Box::new(chain),
        }
    }
}

/// A pipeline with one more operator at its end.
#[derive(Clone)]
pub struct Then<P, O> {
    pipeline: P,
    operator: O,
}

impl<P: Pipeline, O: Operator<In = P::Out>> Pipeline for Then<P, O> {
    type In = P::In;
    type Out = O::Out;

    fn chain<N: Stage<O::Out>>(&self, next: N, info: &OpenInfo) -> Box<dyn Chain> {
        self.pipeline.chain(self.operator.clone().attach(next), info)
    }
}

/// Rows of type `T`, made by the operators `P` of the chain that is being built.
pub struct Stream<T, P> {
    env: Environment,
    upstreams: Vec<Upstream>,
    pipeline: P,
    /// The names of the operators of the chain, for the plan.
    names: Vec<&'static str>,
    parallelism: Option<u32>,
    rows: PhantomData<fn() -> T>,
}

impl<T, P> fmt::Debug for Stream<T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("operators", &self.names).finish_non_exhaustive()
    }
}

impl<T, F> Stream<T, Generated<F>> {
    /// Makes so many rows a second, those of all subtasks together, each as soon as it is due. A
    /// source that was held back catches up.
    pub fn per_second(mut self, rows: u64) -> Self {
        self.pipeline.rate = Some(rows);
        self
    }
}

impl<T: Value, P: Pipeline<Out = T>> Stream<T, P> {
    fn new(
        env: Environment,
        upstreams: Vec<Upstream>,
        pipeline: P,
        parallelism: Option<u32>,
    ) -> Self {
        Self { env, upstreams, pipeline, names: Vec::new(), parallelism, rows: PhantomData }
    }

    /// Makes each row into another.
    pub fn map<U, F>(self, function: F) -> Stream<U, Then<P, Map<F, T, U>>>
    where
        U: Value,
        F: FnMut(T::View<'_>) -> U + Clone + Send + Sync + 'static,
    {
        self.then(Map::new(function))
    }

    /// Keeps the rows for which `predicate` holds.
    pub fn filter<F>(self, predicate: F) -> Stream<T, Then<P, Filter<F, T>>>
    where
        F: FnMut(T::View<'_>) -> bool + Clone + Send + Sync + 'static,
    {
        self.then(Filter::new(predicate))
    }

    /// Makes each row into those of an iterator. The iterator may be as long as it likes: when the
    /// consumer is slow it is simply not asked for more.
    pub fn flat_map<I, F>(self, function: F) -> Stream<I::Item, Then<P, FlatMap<F, T, I>>>
    where
        I: IntoIterator<Item: Value, IntoIter: Send + 'static> + 'static,
        F: FnMut(T::View<'_>) -> I + Clone + Send + Sync + 'static,
    {
        self.then(FlatMap::new(function))
    }

    /// Shows each row to a function.
    pub fn inspect<F>(self, function: F) -> Stream<T, Then<P, Inspect<F, T>>>
    where
        F: FnMut(T::View<'_>) + Clone + Send + Sync + 'static,
    {
        self.then(Inspect::new(function))
    }

    /// Hands each row to a function that emits any number of rows. What it emits for one row has to
    /// find room at once; prefer [`Stream::flat_map`] where one row makes very many.
    pub fn process<U, F>(self, function: F) -> Stream<U, Then<P, Process<F, T, U>>>
    where
        U: Value,
        F: FnMut(T::View<'_>, &mut dyn Emit<U>) + Clone + Send + Sync + 'static,
    {
        self.then(Process::new(function))
    }

    /// Groups rows by a key: those of one key go to one subtask. The key is taken as a view, so that
    /// none is allocated: `flights.key_by::<(String, String), _>(|f| (f.carrier, f.origin))`.
    pub fn key_by<K, S>(self, selector: S) -> KeyedStream<T, P, K, S>
    where
        K: Key,
        S: for<'a> Fn(Row<'a, T>) -> K::View<'a> + Clone + Send + Sync + 'static,
    {
        KeyedStream::new(self, selector)
    }

    /// Gives rows to one subtask after the other.
    pub fn rebalance(self) -> Stream<T, Pages<T>> {
        self.exchange(RoundRobin, Partitioning::Rebalance)
    }

    /// Gives rows to one subtask after the other, among those near this one.
    pub fn rescale(self) -> Stream<T, Pages<T>> {
        self.exchange(RoundRobin, Partitioning::Rescale)
    }

    /// Gives rows to subtasks at random.
    pub fn shuffle(self) -> Stream<T, Pages<T>> {
        self.exchange(Shuffle, Partitioning::Shuffle)
    }

    /// Gives every row to every subtask.
    pub fn broadcast(self) -> Stream<T, Pages<T>> {
        self.exchange(Broadcast, Partitioning::Broadcast)
    }

    /// Gives every row to the first subtask.
    pub fn global(self) -> Stream<T, Pages<T>> {
        self.exchange(Single, Partitioning::Global)
    }

    /// Gives each row to the subtask that `function` names; it is given the row and how many there
    /// are.
    pub fn partition_custom<F>(self, function: F) -> Stream<T, Pages<T>>
    where
        F: Fn(T::View<'_>, u32) -> u32 + Clone + Send + Sync + 'static,
    {
        self.exchange(Custom(function), Partitioning::Custom)
    }

    /// Ends the chain here, so that what follows is a vertex of its own.
    pub fn start_new_chain(self) -> Stream<T, Pages<T>> {
        let parallelism = self.parallelism;
        let mut next = self.exchange(Single, Partitioning::Forward);
        next.parallelism = parallelism;
        next
    }

    /// Runs what follows with this many subtasks.
    pub fn parallelism(self, parallelism: u32) -> Stream<T, Pages<T>> {
        let mut next = self.rebalance();
        next.parallelism = Some(parallelism);
        next
    }

    /// The rows of both streams.
    pub fn union<Q: Pipeline<Out = T>>(self, other: Stream<T, Q>) -> Stream<T, Pages<T>> {
        let mut left = self.exchange(RoundRobin, Partitioning::Rebalance);
        let right = other.exchange(RoundRobin, Partitioning::Rebalance);
        left.upstreams.extend(right.upstreams);
        left
    }

    /// Writes the rows with a connector.
    pub fn sink(self, name: &str, connector: Connector) {
        let spec = connector.with_schema::<T>();
        let parallelism = self.parallelism;
        let ended = self.exchange(Single, Partitioning::Forward);
        let env = ended.env;
        let node = env.add(name.into(), NodeKind::Sink(spec), parallelism, None);
        env.connect::<T>(&ended.upstreams, node);
    }

    /// Makes the rows the job's result, for whoever runs it to print, collect or drop.
    pub fn result(self) {
        let ended = self.exchange(Single, Partitioning::Global);
        let env = ended.env;
        let node = env.add("result".into(), NodeKind::Result(T::schema()), Some(1), None);
        env.connect::<T>(&ended.upstreams, node);
    }

    fn then<O: Operator<In = T>>(self, operator: O) -> Stream<O::Out, Then<P, O>> {
        let Self { env, upstreams, pipeline, mut names, parallelism, .. } = self;
        names.push(O::NAME);
        let pipeline = Then { pipeline, operator };
        Stream { env, upstreams, pipeline, names, parallelism, rows: PhantomData }
    }

    /// Ends the chain with a writer: the rows go on through an exchange.
    fn exchange<D: Partitioner<T>>(
        self,
        partitioner: D,
        partitioning: Partitioning,
    ) -> Stream<T, Pages<T>> {
        let Self { env, upstreams, pipeline, names, parallelism, .. } = self;
        let factory: Factory = Box::new(move |info| {
            let writer = PartitionWriter::<T, D::Route>::new(&partitioner, 0, info)?;
            Ok(pipeline.chain(writer, info))
        });
        let name = if names.is_empty() { "forward".into() } else { names.join(" -> ") };
        let node = env.add(name, NodeKind::Chain, parallelism, Some(factory));
        env.connect::<P::In>(&upstreams, node);
        let upstream = Upstream { node, output: 0, partitioning };
        Stream::new(env, vec![upstream], Pages::new(), None)
    }
}
