//! Streams grouped by key.

use alloc::boxed::Box;
use core::{fmt, marker::PhantomData};

use millstream_data::{Key, Value, row::RowValue};

use super::{Pages, Pipeline, Stream};
use crate::{
    chain::{Chain, OpenInfo, TaskError},
    graph::Partitioning,
    operator::{AggregateAtEndChain, AggregateChain, AggregateFunction, Reduce, Row, Stage},
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
    pub fn aggregate<A>(self, function: A) -> Stream<A::Out, AggregatePages<A, S>>
    where
        A: AggregateFunction<In = T, Key = K>,
    {
        let key = self.selector();
        self.exchange().begin_stateful("aggregate", AggregatePages::new(function, key))
    }

    /// Folds the rows of each key, and emits its value once, when the input has ended. On input
    /// that never ends it emits nothing.
    pub fn aggregate_at_end<A>(self, function: A) -> Stream<A::Out, AggregateAtEndPages<A, S>>
    where
        A: AggregateFunction<In = T, Key = K>,
    {
        let key = self.selector();
        self.exchange().begin_stateful("aggregate", AggregateAtEndPages::new(function, key))
    }

    /// Merges each row of a key into the value so far, the first row at first, and emits the new
    /// value.
    pub fn reduce<F>(self, function: F) -> Stream<T, AggregatePages<Reduce<F, K, T>, S>>
    where
        T: RowValue,
        K: RowValue,
        F: Fn(&mut T, T::View<'_>) + Clone + Send + Sync + 'static,
    {
        self.aggregate(Reduce::new(function))
    }

    /// Merges the rows of a key into one, and emits it when the input has ended.
    pub fn reduce_at_end<F>(self, function: F) -> Stream<T, AggregateAtEndPages<Reduce<F, K, T>, S>>
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

macro_rules! heads {
    ($($(#[$docs:meta])* $name:ident => $chain:ident;)*) => {$(
        $(#[$docs])*
        #[derive(Clone)]
        pub struct $name<A, S> {
            function: A,
            key: S,
        }

        impl<A, S> $name<A, S> {
            pub(crate) fn new(function: A, key: S) -> Self {
                Self { function, key }
            }
        }

        impl<A, S> fmt::Debug for $name<A, S> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($name))
            }
        }

        impl<A, S> Pipeline for $name<A, S>
        where
            A: AggregateFunction,
            S: for<'a> Fn(Row<'a, A::In>) -> <A::Key as Value>::View<'a>
                + Clone
                + Send
                + Sync
                + 'static,
        {
            type Out = A::Out;

            fn chain<N: Stage<A::Out>>(
                &self,
                next: N,
                info: &OpenInfo,
            ) -> Result<Box<dyn Chain>, TaskError> {
                Ok(Box::new($chain::new(self.function.clone(), self.key.clone(), info, next)?))
            }
        }
    )*};
}

heads! {
    /// The head of a chain that emits the value of a key after each of its rows.
    AggregatePages => AggregateChain;
    /// The head of a chain that emits the value of each key when the input has ended.
    AggregateAtEndPages => AggregateAtEndChain;
}
