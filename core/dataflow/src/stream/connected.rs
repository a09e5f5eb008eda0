//! Two streams that are read by one operator.

use alloc::vec::Vec;
use core::{fmt, marker::PhantomData};

use millstream_data::{Key, Value};

use super::{
    BroadcastProcessPages, CoPages, CoProcessPages, Environment, KeyedStream, Pages, Pipeline,
    Settings, Stream, Upstream,
};
use crate::{
    graph::Partitioning,
    operator::{
        CoFlatMap, CoFunction, CoMap, Row,
        process::{KeyedBroadcastProcessFunction, KeyedCoProcessFunction},
    },
    writer::RoundRobin,
};

/// Two streams, of rows of types `A` and `B`, whose rows meet in one operator; `X` says which
/// [keys](ConnectedKeys) they have in common, if they have.
pub struct ConnectedStreams<A, B, X = ()> {
    env: Environment,
    upstreams: Vec<Upstream>,
    keys: X,
    rows: PhantomData<fn() -> (A, B)>,
}

/// Keys of type `K`, as they are taken from the rows of two streams.
pub struct ConnectedKeys<K, S, R> {
    selectors: (S, R),
    key: PhantomData<fn() -> K>,
}

impl<K, S, R> fmt::Debug for ConnectedKeys<K, S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConnectedKeys")
    }
}

impl<A, B, X> fmt::Debug for ConnectedStreams<A, B, X> {
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
        ConnectedStreams::new(first.env, first.upstreams, second.upstreams, ())
    }

    /// This stream and another of which every subtask gets every row: rules, or a small table.
    /// Nothing is promised about which stream's rows come first: a rule may come after rows that it
    /// is for.
    pub fn connect_broadcast<B: Value, Q>(self, other: Stream<B, Q>) -> ConnectedStreams<A, B>
    where
        Q: Pipeline<Out = B>,
    {
        let first = self.exchange(RoundRobin, Partitioning::Rebalance);
        let second = other.broadcast();
        ConnectedStreams::new(first.env, first.upstreams, second.upstreams, ())
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
    pub fn connect<B, Q, R>(
        self,
        other: KeyedStream<B, Q, K, R>,
    ) -> ConnectedStreams<A, B, ConnectedKeys<K, S, R>>
    where
        B: Value,
        Q: Pipeline<Out = B>,
        R: for<'a> Fn(Row<'a, B>) -> K::View<'a> + Clone + Send + Sync + 'static,
    {
        let keys =
            ConnectedKeys { selectors: (self.selector(), other.selector()), key: PhantomData };
        let (first, second) = (self.exchange(), other.exchange());
        ConnectedStreams::new(first.env, first.upstreams, second.upstreams, keys)
    }

    /// This stream and another of which every subtask gets every row: rules, or a small table.
    /// Nothing is promised about which stream's rows come first.
    pub fn connect_broadcast<B: Value, Q>(
        self,
        other: Stream<B, Q>,
    ) -> BroadcastConnectedStream<A, B, K, S>
    where
        Q: Pipeline<Out = B>,
    {
        let selector = self.selector();
        BroadcastConnectedStream {
            both: self.exchange().meet(other.broadcast()),
            selector,
            types: PhantomData,
        }
    }
}

impl<A, B, K, S, R> ConnectedStreams<A, B, ConnectedKeys<K, S, R>>
where
    A: Value,
    B: Value,
    K: Key,
    S: for<'a> Fn(Row<'a, A>) -> K::View<'a> + Clone + Send + Sync + 'static,
    R: for<'a> Fn(Row<'a, B>) -> K::View<'a> + Clone + Send + Sync + 'static,
{
    /// Hands the rows of both streams to a function that keeps state for their key and is called by
    /// timers, see [`process`](crate::operator::process).
    pub fn process_keyed<F>(self, function: F) -> Stream<F::Out, CoProcessPages<F, S, R>>
    where
        F: KeyedCoProcessFunction<First = A, Second = B, Key = K>,
    {
        let Self { env, upstreams, keys, .. } = self;
        let pages = CoProcessPages::new(function, keys.selectors);
        let settings = Settings { stateful: true, ..Settings::default() };
        let mut stream = Stream::new(env, upstreams, pages, settings);
        stream.names.push("co_process");
        stream
    }
}

/// A stream with keys, and another of which every subtask gets every row.
pub struct BroadcastConnectedStream<A, B, K, S> {
    both: Stream<A, Pages<A>>,
    selector: S,
    types: PhantomData<fn() -> (B, K)>,
}

impl<A, B, K, S> fmt::Debug for BroadcastConnectedStream<A, B, K, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BroadcastConnectedStream").field(&self.both).finish()
    }
}

impl<A, B, K, S> BroadcastConnectedStream<A, B, K, S>
where
    A: Value,
    B: Value,
    K: Key,
    S: for<'a> Fn(Row<'a, A>) -> K::View<'a> + Clone + Send + Sync + 'static,
{
    /// Hands the rows of both streams to a function that keeps state for each key, and
    /// [broadcast state](crate::operator::process::BroadcastStates).
    pub fn process<F>(self, function: F) -> Stream<F::Out, BroadcastProcessPages<F, S>>
    where
        F: KeyedBroadcastProcessFunction<In = A, Broadcast = B, Key = K>,
    {
        let pages = BroadcastProcessPages::new(function, self.selector);
        self.both.begin_stateful("broadcast_process", pages)
    }
}

impl<A: Value, B: Value, X> ConnectedStreams<A, B, X> {
    fn new(env: Environment, first: Vec<Upstream>, second: Vec<Upstream>, keys: X) -> Self {
        let second = second.into_iter().map(|upstream| Upstream { input: 1, ..upstream });
        let upstreams = first.into_iter().chain(second).collect();
        Self { env, upstreams, keys, rows: PhantomData }
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
