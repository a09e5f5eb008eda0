//! Streams grouped by key.

use core::{fmt, marker::PhantomData};

use millstream_data::{Key, Value, row::RowValue};

use super::{Pages, Pipeline, Stream, Then};
use crate::{
    graph::Partitioning,
    operator::{Aggregate, AggregateAtEnd, AggregateFunction, Reduce, ReduceAtEnd, Row},
    writer::ByKey,
};

/// Rows of type `T` grouped by keys of type `K`, which `S` takes from them.
pub struct KeyedStream<T, P, K, S> {
    stream: Stream<T, P>,
    selector: S,
    key: PhantomData<fn() -> K>,
}

impl<T, P, K, S> fmt::Debug for KeyedStream<T, P, K, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyedStream").field(&self.stream).finish()
    }
}

impl<T, P, K, S> KeyedStream<T, P, K, S>
where
    T: Value,
    P: Pipeline<Out = T>,
    K: Key,
    S: for<'a> Fn(Row<'a, T>) -> K::View<'a> + Clone + Send + Sync + 'static,
{
    pub(super) fn new(stream: Stream<T, P>, selector: S) -> Self {
        Self { stream, selector, key: PhantomData }
    }

    /// Folds the rows of each key, and emits its new value after each row.
    pub fn aggregate<A>(self, function: A) -> Stream<A::Out, Then<Pages<T>, Aggregate<A, S>>>
    where
        A: AggregateFunction<In = T, Key = K>,
    {
        let selector = self.selector.clone();
        self.exchange().then(Aggregate::new(function, selector))
    }

    /// Folds the rows of each key, and emits its value once, when the input has ended. On input
    /// that never ends it emits nothing.
    pub fn aggregate_at_end<A>(
        self,
        function: A,
    ) -> Stream<A::Out, Then<Pages<T>, AggregateAtEnd<A, S>>>
    where
        A: AggregateFunction<In = T, Key = K>,
    {
        let selector = self.selector.clone();
        self.exchange().then(AggregateAtEnd::new(function, selector))
    }

    /// Merges each row of a key into the value so far, the first row at first, and emits the new
    /// value.
    pub fn reduce<F>(self, function: F) -> Stream<T, Then<Pages<T>, Aggregate<Reduce<F, K, T>, S>>>
    where
        T: RowValue,
        K: RowValue,
        F: Fn(&mut T, T::View<'_>) + Clone + Send + Sync + 'static,
    {
        self.aggregate(Reduce::new(function))
    }

    /// Merges the rows of a key into one, and emits it when the input has ended.
    pub fn reduce_at_end<F>(self, function: F) -> Stream<T, Then<Pages<T>, ReduceAtEnd<F, K, T, S>>>
    where
        T: RowValue,
        K: RowValue,
        F: Fn(&mut T, T::View<'_>) + Clone + Send + Sync + 'static,
    {
        self.aggregate_at_end(Reduce::new(function))
    }

    pub(super) fn selector(&self) -> S {
        self.selector.clone()
    }

    pub(super) fn exchange(self) -> Stream<T, Pages<T>> {
        let partitioner = ByKey::<K, S>::new(self.selector);
        self.stream.exchange(partitioner, Partitioning::Hash)
    }
}
