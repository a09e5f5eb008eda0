//! Chains that keep a value for each key, in keyed state.

mod accumulators;
mod at_end;
mod front;
mod long_keys;
mod rolling;
#[cfg(test)]
mod tests;

use core::{fmt, marker::PhantomData};

use millstream_data::{Key, Value, row::RowValue};

pub use at_end::AggregateAtEndChain;
pub use rolling::AggregateChain;

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

    /// The accumulator of a key before its first row: the same for all keys.
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

super::stateless::opaque! { Reduce<F, K, T> }
