//! Two streams whose rows are joined where their times are near each other.

use alloc::boxed::Box;
use core::{fmt, marker::PhantomData, ops::RangeInclusive};

use millstream_data::{Key, Value, row::RowValue, value::Record};

use super::{KeyedStream, Pages, Pipeline, Stream};
use crate::{
    chain::{Chain, OpenInfo, TaskError},
    operator::{Interval, IntervalJoinChain, Row, Stage},
};

/// Rows of types `A` and `B`, joined by key and time.
pub struct IntervalJoinStream<K, A, B, S, R, F, G> {
    /// What both streams are read as.
    stream: Stream<A, Pages<A>>,
    interval: Interval<S, R, F, G>,
    rows: PhantomData<fn(K, B)>,
}

impl<K, A, B, S, R, F, G> fmt::Debug for IntervalJoinStream<K, A, B, S, R, F, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Interval { lower, upper, .. } = &self.interval;
        write!(f, "IntervalJoinStream({lower} to {upper} ms)")
    }
}

/// The head of a chain that joins two streams by key and time.
pub struct IntervalJoinPages<K, A, B, U, S, R, F, G, J> {
    function: J,
    interval: Interval<S, R, F, G>,
    rows: PhantomData<fn(K, A, B) -> U>,
}

impl<K, A, B, U, S, R, F, G, J> IntervalJoinPages<K, A, B, U, S, R, F, G, J> {
    pub(crate) fn new(function: J, interval: Interval<S, R, F, G>) -> Self {
        Self { function, interval, rows: PhantomData }
    }
}

impl<K, A, B, U, S, R, F, G, J> Clone for IntervalJoinPages<K, A, B, U, S, R, F, G, J>
where
    J: Clone,
    Interval<S, R, F, G>: Clone,
{
    fn clone(&self) -> Self {
        Self::new(self.function.clone(), self.interval.clone())
    }
}

impl<K, A, B, U, S, R, F, G, J> fmt::Debug for IntervalJoinPages<K, A, B, U, S, R, F, G, J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IntervalJoinPages")
    }
}

impl<K, A, B, U, S, R, F, G, J> Pipeline for IntervalJoinPages<K, A, B, U, S, R, F, G, J>
where
    K: Key + RowValue + Record,
    A: RowValue + Record,
    B: RowValue + Record,
    U: Value,
    S: for<'a> Fn(Row<'a, A>) -> K::View<'a> + Clone + Send + Sync + 'static,
    R: for<'a> Fn(Row<'a, B>) -> K::View<'a> + Clone + Send + Sync + 'static,
    F: for<'a> Fn(Row<'a, A>) -> i64 + Clone + Send + Sync + 'static,
    G: for<'a> Fn(Row<'a, B>) -> i64 + Clone + Send + Sync + 'static,
    J: FnMut(A::View<'_>, B::View<'_>) -> U + Clone + Send + Sync + 'static,
{
    type Out = U;

    fn chain<N: Stage<U>>(&self, next: N, info: &OpenInfo) -> Result<Box<dyn Chain>, TaskError> {
        let (function, interval) = (self.function.clone(), self.interval.clone());
        let chain: IntervalJoinChain<K, A, B, S, R, F, G, J, N> =
            IntervalJoinChain::new(function, interval, info, next)?;
        Ok(Box::new(chain))
    }
}

impl<A, P, K, S> KeyedStream<A, P, K, S>
where
    A: RowValue + Record,
    P: Pipeline<Out = A>,
    K: Key + RowValue + Record,
    S: for<'a> Fn(Row<'a, A>) -> K::View<'a> + Clone + Send + Sync + 'static,
{
    /// Joins each row with the rows of another stream that have the same key and whose time is near:
    /// the other's time less its own is within `bounds`, in milliseconds. `time` and `other_time` are
    /// the times of rows, the same that [watermarks](Stream::assign_watermarks) were made of. Rows
    /// behind the watermark are dropped. A lower bound above the upper one fails the job when it starts.
    pub fn interval_join<B, Q, R, F, G>(
        self,
        time: F,
        other: KeyedStream<B, Q, K, R>,
        other_time: G,
        bounds: RangeInclusive<i64>,
    ) -> IntervalJoinStream<K, A, B, S, R, F, G>
    where
        B: RowValue + Record,
        Q: Pipeline<Out = B>,
        R: for<'a> Fn(Row<'a, B>) -> K::View<'a> + Clone + Send + Sync + 'static,
        F: for<'a> Fn(Row<'a, A>) -> i64 + Clone + Send + Sync + 'static,
        G: for<'a> Fn(Row<'a, B>) -> i64 + Clone + Send + Sync + 'static,
    {
        let keys = (self.selector(), other.selector());
        let (lower, upper) = bounds.into_inner();
        let interval = Interval { keys, times: (time, other_time), lower, upper };
        let stream = self.exchange().meet(other.exchange());
        IntervalJoinStream { stream, interval, rows: PhantomData }
    }
}

impl<K, A, B, S, R, F, G> IntervalJoinStream<K, A, B, S, R, F, G>
where
    K: Key + RowValue + Record,
    A: RowValue + Record,
    B: RowValue + Record,
    S: for<'a> Fn(Row<'a, A>) -> K::View<'a> + Clone + Send + Sync + 'static,
    R: for<'a> Fn(Row<'a, B>) -> K::View<'a> + Clone + Send + Sync + 'static,
    F: for<'a> Fn(Row<'a, A>) -> i64 + Clone + Send + Sync + 'static,
    G: for<'a> Fn(Row<'a, B>) -> i64 + Clone + Send + Sync + 'static,
{
    /// Makes each pair into a row, as soon as both of its rows are there. A row may be in as many pairs
    /// as it likes.
    pub fn map<U, J>(self, function: J) -> Stream<U, IntervalJoinPages<K, A, B, U, S, R, F, G, J>>
    where
        U: Value,
        J: FnMut(A::View<'_>, B::View<'_>) -> U + Clone + Send + Sync + 'static,
    {
        let Self { stream, interval, .. } = self;
        stream.begin_stateful("interval_join", IntervalJoinPages::new(function, interval))
    }
}
