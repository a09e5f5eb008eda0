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

mod connected;
mod environment;
mod fork;
mod interval_join;
mod keyed;
mod pipeline;
mod processed;
mod rows;
mod sessions;
mod triggered;
mod windowed;

use alloc::{boxed::Box, string::String, vec, vec::Vec};
use core::{fmt, marker::PhantomData};

use millstream_data::{Key, Value, value::Record};

pub use connected::{BroadcastConnectedStream, ConnectedKeys, ConnectedStreams};
pub use environment::{Connector, Environment, Program};
pub use interval_join::{IntervalJoinPages, IntervalJoinStream};
pub use keyed::{AggregateAtEndPages, AggregatePages, KeyedStream};
pub use pipeline::{CoPages, Generated, Pages, Pipeline, Then};
pub use processed::{BroadcastProcessPages, CoProcessPages, OperatorPages, ProcessPages};
pub use rows::RowStream;
pub use sessions::{SessionPages, SessionStream};
pub use triggered::{EvictedStream, TriggeredPages, TriggeredStream};
pub use windowed::{CoGroupPages, WindowJoinPages, WindowPages, WindowedStream};

use environment::{Settings, Upstream};

use crate::{
    chain::{Chain, OpenInfo, TaskError},
    graph::{NodeKind, Partitioning, SortSpec, chaining::Strategy},
    operator::{
        AssignWatermarks, Emit, Filter, FlatMap, ForEach, Inspect, Map, Operator, Process, Row,
        WatermarkStrategy,
    },
    sort::SortKey,
    writer::{Broadcast, Custom, PartitionWriter, Partitioner, RoundRobin, Shuffle, Single},
};

/// Rows of type `T`, made by the operators `P` of the chain that is being built.
pub struct Stream<T, P> {
    env: Environment,
    upstreams: Vec<Upstream>,
    pipeline: P,
    /// The names of the operators of the chain, for the plan.
    names: Vec<&'static str>,
    settings: Settings,
    /// The chain's node, if a side output was taken and so the node exists already, and how many
    /// side outputs there are.
    node: Option<u32>,
    sides: u16,
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

    /// Makes the rows in so many subtasks.
    pub fn subtasks(mut self, subtasks: u32) -> Self {
        self.settings.parallelism = Some(subtasks);
        self
    }
}

impl<T: Value> Stream<T, Pages<T>> {
    /// The stream of what a node writes.
    fn read(env: Environment, upstream: Upstream) -> Self {
        Self::new(env, vec![upstream], Pages::new(), Settings::default())
    }
}

impl<T: Value, P: Pipeline<Out = T>> Stream<T, P> {
    fn new(env: Environment, upstreams: Vec<Upstream>, pipeline: P, settings: Settings) -> Self {
        Self {
            env,
            upstreams,
            pipeline,
            names: Vec::new(),
            settings,
            node: None,
            sides: 0,
            rows: PhantomData,
        }
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

    /// Takes the times of rows with `time`, in milliseconds, and makes watermarks of them:
    /// `assign_watermarks(Bounded::new(minutes(30)), |flight| flight.departure.0)`. Directly behind a
    /// source the time of each split is its own, and there is no watermark before the last one has
    /// begun. Watermarks are exact: they take effect at the row that raises them.
    ///
    /// # Panics
    /// If the strategy is [aligned](crate::operator::WithAlignment), and the stream is not what a connector reads.
    pub fn assign_watermarks<W, F>(
        self,
        strategy: W,
        time: F,
    ) -> Stream<T, Then<P, AssignWatermarks<W, F, T>>>
    where
        W: WatermarkStrategy<T>,
        F: for<'a> Fn(Row<'a, T>) -> i64 + Clone + Send + Sync + 'static,
    {
        if let Some(alignment) = strategy.alignment() {
            let made =
                "rows that are made do not wait: `WithAlignment` stands right behind `source(..)`";
            assert!(!self.upstreams.is_empty(), "{made}");
            self.upstreams.iter().for_each(|read| self.env.align(read.node, alignment));
        }
        self.then(AssignWatermarks::new(strategy, time))
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

    /// Gives each row to the subtask that `function` names, from 0; it is given the row and how many
    /// there are. Naming one that there is not fails the job.
    pub fn partition_custom<F>(self, function: F) -> Stream<T, Pages<T>>
    where
        F: Fn(T::View<'_>, u32) -> u32 + Clone + Send + Sync + 'static,
    {
        self.exchange(Custom(function), Partitioning::Custom)
    }

    /// Ends the chain here, so that what follows is a vertex of its own.
    pub fn start_new_chain(self) -> Stream<T, Pages<T>> {
        let settings = self.settings.inherited();
        let mut next = self.exchange(Single, Partitioning::Forward);
        next.settings = Settings { chaining: Strategy::Head, ..settings };
        next
    }

    /// Runs what follows with this many subtasks.
    pub fn parallelism(self, parallelism: u32) -> Stream<T, Pages<T>> {
        let mut next = self.rebalance();
        next.settings.parallelism = Some(parallelism);
        next
    }

    /// Names the chain that these rows come out of, for plans, metrics and failures.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.settings.name = Some(name.into());
        self
    }

    /// Says what the state of the chain that these rows come out of is called in checkpoints and
    /// savepoints, so that it is found again in a program that was changed. Without it that follows from
    /// the chain's name and from what it reads. A chain has one uid: the first that it is given counts,
    /// which is that of the operator with state, if each operator has one.
    pub fn uid(mut self, uid: impl Into<String>) -> Self {
        self.settings.uid.get_or_insert_with(|| uid.into());
        self
    }

    /// Gives the chain that these rows come out of so many key groups, which its parallelism can
    /// never exceed.
    pub fn max_parallelism(mut self, key_groups: u32) -> Self {
        self.settings.max_parallelism = Some(key_groups);
        self
    }

    /// Puts the chain that these rows come out of, and those that follow it without an exchange,
    /// into a slot sharing group: only subtasks of one group share a slot.
    pub fn slot_sharing_group(mut self, group: impl Into<String>) -> Self {
        self.settings.slot_sharing_group = Some(group.into());
        self
    }

    /// Sorts the rows of each subtask by these fields, once the input has ended; on input that
    /// never ends nothing follows. Rows that are equal in them stay in the order in which they came.
    /// It works in managed memory, and spills to local files when that is used up. To sort all rows
    /// into one order, make them one subtask's first: [`global`](Stream::global).
    pub fn sort_partition(self, keys: impl IntoIterator<Item = SortKey>) -> Stream<T, Pages<T>> {
        let settings = Settings { name: Some("sort".into()), ..self.settings.inherited() };
        let Stream { env, upstreams, .. } = self.exchange(Single, Partitioning::Forward);
        let spec = SortSpec { schema: T::schema(), keys: keys.into_iter().collect() };
        let parallelism = settings.parallelism;
        let node = env.add(settings, NodeKind::Sort(spec), None);
        env.connect(upstreams, node);
        let mut sorted = Stream::read(env, Upstream::new::<T>(node, 0, Partitioning::Forward));
        sorted.settings.parallelism = parallelism;
        sorted
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
        let mut settings = Settings { name: Some(name.into()), ..self.settings.inherited() };
        let Stream { env, upstreams, .. } = match connector.subtasks {
            None => self.exchange(Single, Partitioning::Forward),
            subtasks => {
                settings.parallelism = subtasks;
                self.exchange(RoundRobin, Partitioning::Rebalance)
            }
        };
        let spec = connector.with_schema::<T>();
        let node = env.add(settings, NodeKind::Sink(spec), None);
        env.connect(upstreams, node);
    }

    /// Makes the rows the job's result, for whoever runs it to print, collect or drop.
    pub fn result(self) {
        let Stream { env, upstreams, .. } = self.exchange(Single, Partitioning::Global);
        let settings =
            Settings { name: Some("result".into()), parallelism: Some(1), ..Settings::default() };
        let node = env.add(settings, NodeKind::Result(T::schema()), None);
        env.connect(upstreams, node);
    }

    /// Hands each row to a function, and lets it go. The function runs on the chain's worker and
    /// must not block; what has to wait for another system is a [`sink`](Stream::sink).
    pub fn for_each<F>(self, function: F)
    where
        F: FnMut(T::View<'_>) + Clone + Send + Sync + 'static,
    {
        let mut ending = self;
        ending.names.push("for_each");
        let stage = ForEach::new(function);
        ending.end(0, move |pipeline, info| pipeline.chain(stage.clone(), info));
    }

    fn then<O: Operator<In = T>>(self, operator: O) -> Stream<O::Out, Then<P, O>> {
        let Self { env, upstreams, pipeline, mut names, settings, node, sides, .. } = self;
        names.push(O::NAME);
        let pipeline = Then::new(pipeline, operator);
        Stream { env, upstreams, pipeline, names, settings, node, sides, rows: PhantomData }
    }

    /// A chain that begins with operators that keep state; `self` is what it reads.
    fn begin_stateful<Q: Pipeline>(self, name: &'static str, pipeline: Q) -> Stream<Q::Out, Q>
    where
        Q::Out: Value,
    {
        let Self { env, upstreams, settings, node, sides, .. } = self;
        let settings = Settings { stateful: true, ..settings };
        let names = vec![name];
        Stream { env, upstreams, pipeline, names, settings, node, sides, rows: PhantomData }
    }

    /// What this stream reads, and as the second input what another reads.
    fn meet<B, Q>(self, other: Stream<B, Q>) -> Self {
        let mut both = self;
        let second = other.upstreams.into_iter();
        both.upstreams.extend(second.map(|upstream| Upstream { input: 1, ..upstream }));
        both
    }

    /// Ends the chain with a writer: the rows go on through an exchange.
    fn exchange<D: Partitioner<T>>(
        self,
        partitioner: D,
        partitioning: Partitioning,
    ) -> Stream<T, Pages<T>> {
        let (env, output) = (self.env.clone(), self.sides);
        let node = self.named_if_bare(partitioning.name()).write(partitioner);
        Stream::read(env, Upstream::new::<T>(node, output, partitioning))
    }

    /// Names a chain without operators after what it does all the same.
    fn named_if_bare(mut self, name: &'static str) -> Self {
        if self.names.is_empty() {
            self.names.push(name);
        }
        self
    }

    /// Ends the chain with a writer, and gives its node.
    fn write<D: Partitioner<T>>(self, partitioner: D) -> u32 {
        let (env, output) = (self.env.clone(), self.sides);
        let again = partitioner.clone();
        let node = self.end(1, move |pipeline, info| {
            let writer = PartitionWriter::<T, D::Route>::new(&partitioner, output, info)?;
            pipeline.chain(writer, info)
        });
        env.writes_again::<T, D>(node, output, again);
        node
    }

    /// Adds the chain to the program, with so many outputs beside its side outputs.
    fn end(
        self,
        outputs: u16,
        factory: impl Fn(&P, &OpenInfo) -> Result<Box<dyn Chain>, TaskError> + Send + Sync + 'static,
    ) -> u32 {
        let Self { env, upstreams, pipeline, names, mut settings, node, sides, .. } = self;
        settings.name.get_or_insert_with(|| names.join(" -> "));
        let stateful = settings.stateful;
        let empty = NodeKind::Chain { outputs: 0, stateful };
        let node = node.unwrap_or_else(|| env.add(Settings::default(), empty, None));
        let kind = NodeKind::Chain { outputs: sides + outputs, stateful };
        env.complete(node, settings, kind, Box::new(move |info| factory(&pipeline, info)));
        env.connect(upstreams, node);
        node
    }
}
