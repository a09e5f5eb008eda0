//! Operators that keep a value for each key.

use alloc::vec::{self, Vec};
use core::{fmt, marker::PhantomData};

use millstream_data::{Key, Value, row::RowValue};

use super::{Operator, Row, Stage, table::Table};
use crate::chain::{Context, OpenInfo, Signal, TaskError};

/// How rows are folded into an accumulator, and an accumulator becomes a row.
pub trait AggregateFunction: Clone + Send + Sync + 'static {
    /// What is folded.
    type In: Value;
    /// The key of the rows that are folded together.
    type Key: Key + RowValue;
    /// What they are folded into. It is state: a row.
    type Accumulator: RowValue;
    /// What comes of it.
    type Out: Value;

    /// The accumulator of a key before its first row.
    fn create(&self) -> Self::Accumulator;

    /// Folds a row into the accumulator.
    fn add(&self, accumulator: &mut Self::Accumulator, row: <Self::In as Value>::View<'_>);

    /// The row for a key.
    fn finish(
        &self,
        key: <Self::Key as Value>::View<'_>,
        accumulator: &Self::Accumulator,
    ) -> Self::Out;
}

/// A reducing function as an aggregate: the first row of a key is its accumulator.
pub struct Reduce<F, K, T> {
    function: F,
    types: PhantomData<fn(K, T)>,
}

impl<F, K, T> Reduce<F, K, T> {
    /// The aggregate that merges a row into the value so far.
    pub fn new(function: F) -> Self {
        Self { function, types: PhantomData }
    }
}

impl<F: Clone, K, T> Clone for Reduce<F, K, T> {
    fn clone(&self) -> Self {
        Self::new(self.function.clone())
    }
}

impl<F, K, T> AggregateFunction for Reduce<F, K, T>
where
    K: Key + RowValue,
    T: RowValue,
    F: Fn(&mut T, T::View<'_>) + Clone + Send + Sync + 'static,
{
    type In = T;
    type Key = K;
    type Accumulator = Option<T>;
    type Out = T;

    fn create(&self) -> Option<T> {
        None
    }

    #[inline(always)]
    fn add(&self, accumulator: &mut Option<T>, row: T::View<'_>) {
        match accumulator {
            Some(value) => (self.function)(value, row),
            None => *accumulator = Some(T::own(row)),
        }
    }

    fn finish(&self, _key: K::View<'_>, accumulator: &Option<T>) -> T {
        accumulator.clone().expect("a key has an accumulator because it has a row")
    }
}

/// An aggregate by key that emits the new value after each row, as Flink's rolling aggregations.
pub struct Aggregate<A, S> {
    function: A,
    key: S,
}

/// An aggregate by key that emits each key's value once, when the input has ended.
pub struct AggregateAtEnd<A, S> {
    function: A,
    key: S,
}

/// [`AggregateAtEnd`] with a reducing function.
pub type ReduceAtEnd<F, K, T, S> = AggregateAtEnd<Reduce<F, K, T>, S>;

macro_rules! constructors {
    ($($name:ident)*) => {$(
        impl<A, S> $name<A, S> {
            /// The operator that folds the rows of each key, as `key` selects it.
            pub fn new(function: A, key: S) -> Self {
                Self { function, key }
            }
        }

        impl<A: Clone, S: Clone> Clone for $name<A, S> {
            fn clone(&self) -> Self {
                Self::new(self.function.clone(), self.key.clone())
            }
        }
    )*};
}

constructors! { Aggregate AggregateAtEnd }
super::stateless::opaque! { Reduce<F, K, T> Aggregate<A, S> AggregateAtEnd<A, S> }

impl<A, S> Operator for Aggregate<A, S>
where
    A: AggregateFunction,
    S: for<'a> Fn(Row<'a, A::In>) -> <A::Key as Value>::View<'a> + Clone + Send + Sync + 'static,
{
    type In = A::In;
    type Out = A::Out;
    type Stage<N: Stage<A::Out>> = AggregateStage<A, S, N>;
    const NAME: &'static str = "aggregate";

    fn attach<N: Stage<A::Out>>(
        self,
        next: N,
        info: &OpenInfo,
    ) -> Result<Self::Stage<N>, TaskError> {
        Ok(AggregateStage { operator: self, table: Table::new(info), next })
    }
}

#[doc(hidden)]
pub struct AggregateStage<A: AggregateFunction, S, N> {
    operator: Aggregate<A, S>,
    table: Table<A::Key, A::Accumulator>,
    next: N,
}

impl<A: AggregateFunction, S, N> fmt::Debug for AggregateStage<A, S, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AggregateStage({} keys)", self.table.entries.len())
    }
}

impl<A, S, N> Stage<A::In> for AggregateStage<A, S, N>
where
    A: AggregateFunction,
    S: for<'a> Fn(Row<'a, A::In>) -> <A::Key as Value>::View<'a> + Send + 'static,
    N: Stage<A::Out>,
{
    #[inline(always)]
    fn push(&mut self, row: <A::In as Value>::View<'_>, context: &mut Context<'_>) {
        let key = (self.operator.key)(Row::new(row));
        let function = &self.operator.function;
        let made = self.table.update(
            key,
            || function.create(),
            |accumulator| {
                function.add(accumulator, row);
                function.finish(key, accumulator)
            },
        );
        self.next.push(made.view(), context);
    }

    fn resume(&mut self, context: &mut Context<'_>) -> bool {
        self.next.resume(context)
    }

    fn finish(&mut self, context: &mut Context<'_>) -> bool {
        self.next.finish(context)
    }

    fn signal(&mut self, signal: Signal, context: &mut Context<'_>) -> bool {
        self.next.signal(signal, context)
    }

    fn flush(&mut self, force: bool, context: &mut Context<'_>) {
        self.next.flush(force, context);
    }

    fn snapshot(&self, out: &mut Vec<u8>) {
        self.table.snapshot(out);
    }

    fn restore(&mut self, chunks: &[u8]) -> Result<(), TaskError> {
        self.table.restore(chunks)
    }
}

impl<A, S> Operator for AggregateAtEnd<A, S>
where
    A: AggregateFunction,
    S: for<'a> Fn(Row<'a, A::In>) -> <A::Key as Value>::View<'a> + Clone + Send + Sync + 'static,
{
    type In = A::In;
    type Out = A::Out;
    type Stage<N: Stage<A::Out>> = AggregateAtEndStage<A, S, N>;
    const NAME: &'static str = "aggregate";

    fn attach<N: Stage<A::Out>>(
        self,
        next: N,
        info: &OpenInfo,
    ) -> Result<Self::Stage<N>, TaskError> {
        Ok(AggregateAtEndStage { operator: self, table: Table::new(info), left: None, next })
    }
}

#[doc(hidden)]
pub struct AggregateAtEndStage<A: AggregateFunction, S, N> {
    operator: AggregateAtEnd<A, S>,
    table: Table<A::Key, A::Accumulator>,
    /// The entries that are still to be emitted, once the input has ended.
    left: Option<vec::IntoIter<(A::Key, A::Accumulator)>>,
    next: N,
}

impl<A: AggregateFunction, S, N> fmt::Debug for AggregateAtEndStage<A, S, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AggregateAtEndStage({} keys)", self.table.entries.len())
    }
}

impl<A, S, N> Stage<A::In> for AggregateAtEndStage<A, S, N>
where
    A: AggregateFunction,
    S: for<'a> Fn(Row<'a, A::In>) -> <A::Key as Value>::View<'a> + Send + 'static,
    N: Stage<A::Out>,
{
    #[inline(always)]
    fn push(&mut self, row: <A::In as Value>::View<'_>, _context: &mut Context<'_>) {
        let key = (self.operator.key)(Row::new(row));
        let function = &self.operator.function;
        self.table.update(key, || function.create(), |accumulator| function.add(accumulator, row));
    }

    fn resume(&mut self, context: &mut Context<'_>) -> bool {
        self.next.resume(context)
    }

    fn finish(&mut self, context: &mut Context<'_>) -> bool {
        let table = &mut self.table.entries;
        let left = self.left.get_or_insert_with(|| table.drain().collect::<Vec<_>>().into_iter());
        while !context.is_blocked() {
            let Some((key, accumulator)) = left.next() else {
                return self.next.finish(context);
            };
            let made = self.operator.function.finish(key.view(), &accumulator);
            self.next.push(made.view(), context);
        }
        false
    }

    fn signal(&mut self, signal: Signal, context: &mut Context<'_>) -> bool {
        match signal {
            // Rows come when the input has ended: no time passes before.
            Signal::Watermark(_) | Signal::Late => true,
            _ => self.next.signal(signal, context),
        }
    }

    fn flush(&mut self, force: bool, context: &mut Context<'_>) {
        self.next.flush(force, context);
    }

    fn snapshot(&self, out: &mut Vec<u8>) {
        self.table.snapshot(out);
    }

    fn restore(&mut self, chunks: &[u8]) -> Result<(), TaskError> {
        self.table.restore(chunks)
    }
}
