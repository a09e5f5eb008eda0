//! Two streams that are read by one operator.

use alloc::vec::Vec;
use core::{fmt, marker::PhantomData};

use millstream_data::{Key, Value};

use super::{CoPages, Environment, KeyedStream, Pipeline, Settings, Stream, Upstream};
use crate::{
    graph::Partitioning,
    operator::{CoFlatMap, CoFunction, CoMap, Row},
    writer::RoundRobin,
};

/// Two streams, of rows of types `A` and `B`, whose rows meet in one operator.
pub struct ConnectedStreams<A, B> {
    env: Environment,
    upstreams: Vec<Upstream>,
    rows: PhantomData<fn() -> (A, B)>,
}

impl<A, B> fmt::Debug for ConnectedStreams<A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnectedStreams({} upstreams)", self.upstreams.len())
    }
}

impl<A: Value, P: Pipeline<Out = A>> Stream<A, P> {
    /// This stream and another, for an operator that reads both. Each is given to one subtask after
    /// the other.
    pub fn connect<B: Value, Q>(self, other: Stream<B, Q>) -> ConnectedStreams<A, B>
    where
        Q: Pipeline<Out = B>,
    {
        let first = self.exchange(RoundRobin, Partitioning::Rebalance);
        let second = other.exchange(RoundRobin, Partitioning::Rebalance);
        ConnectedStreams::new(first.env, first.upstreams, second.upstreams)
    }

    /// This stream and another of which every subtask gets every row: rules, or a small table. Nothing
    /// is promised about which stream's rows come first: a rule may come after rows that it is for.
    pub fn connect_broadcast<B: Value, Q>(self, other: Stream<B, Q>) -> ConnectedStreams<A, B>
    where
        Q: Pipeline<Out = B>,
    {
        let first = self.exchange(RoundRobin, Partitioning::Rebalance);
        let second = other.broadcast();
        ConnectedStreams::new(first.env, first.upstreams, second.upstreams)
    }
}

impl<A, P, K, S> KeyedStream<A, P, K, S>
where
    A: Value,
    P: Pipeline<Out = A>,
    K: Key,
    S: for<'a> Fn(Row<'a, A>) -> K::View<'a> + Clone + Send + Sync + 'static,
{
    /// This stream and another with keys of the same type, for an operator that reads both: rows of
    /// one key meet in one subtask.
    pub fn connect<B, Q, R>(self, other: KeyedStream<B, Q, K, R>) -> ConnectedStreams<A, B>
    where
        B: Value,
        Q: Pipeline<Out = B>,
        R: for<'a> Fn(Row<'a, B>) -> K::View<'a> + Clone + Send + Sync + 'static,
    {
        let (first, second) = (self.exchange(), other.exchange());
        ConnectedStreams::new(first.env, first.upstreams, second.upstreams)
    }
}

impl<A: Value, B: Value> ConnectedStreams<A, B> {
    fn new(env: Environment, first: Vec<Upstream>, second: Vec<Upstream>) -> Self {
        let second = second.into_iter().map(|upstream| Upstream { input: 1, ..upstream });
        Self { env, upstreams: first.into_iter().chain(second).collect(), rows: PhantomData }
    }

    /// Makes each row of either stream into another.
    pub fn map<U, F, G>(self, first: F, second: G) -> Stream<U, CoPages<CoMap<F, G, A, B, U>>>
    where
        U: Value,
        F: FnMut(A::View<'_>) -> U + Clone + Send + Sync + 'static,
        G: FnMut(B::View<'_>) -> U + Clone + Send + Sync + 'static,
    {
        self.read("co_map", CoMap::new(first, second))
    }

    /// Makes each row of either stream into those of an iterator. What is made of one row has to
    /// find room at once.
    pub fn flat_map<I, J, F, G>(
        self,
        first: F,
        second: G,
    ) -> Stream<I::Item, CoPages<CoFlatMap<F, G, A, B, I, J>>>
    where
        I: IntoIterator<Item: Value> + 'static,
        J: IntoIterator<Item = I::Item> + 'static,
        F: FnMut(A::View<'_>) -> I + Clone + Send + Sync + 'static,
        G: FnMut(B::View<'_>) -> J + Clone + Send + Sync + 'static,
    {
        self.read("co_flat_map", CoFlatMap::new(first, second))
    }

    /// Hands the rows of both streams to a function with state of its own.
    pub fn process<F>(self, function: F) -> Stream<F::Out, CoPages<F>>
    where
        F: CoFunction<First = A, Second = B>,
    {
        self.read("co_process", function)
    }

    fn read<F: CoFunction>(self, name: &'static str, function: F) -> Stream<F::Out, CoPages<F>> {
        let Self { env, upstreams, .. } = self;
        let mut stream = Stream::new(env, upstreams, CoPages { function }, Settings::default());
        stream.names.push(name);
        stream
    }
}
