//! Interval joins: each row of one stream meets the rows of another whose times are near its own.
//!
//! Both sides are kept in state, by key and time, until no row can come any more that would ask for
//! them: a timer says when. As in Flink, a row that is behind the watermark is dropped.
//!
//! A row may meet very many others. When the consumer is slow the chain stops among its pairs, and is
//! given the same row again: its page is not done before all of them are out, and so no snapshot comes
//! between.

mod buffer;
#[cfg(test)]
mod tests;

use alloc::format;
use core::{fmt, marker::PhantomData};

use millstream_data::{Key, Value, page::ValidPage, row::RowValue, value::Record};

use super::{
    Row, Stage,
    head::{KeyedHead, third_input},
    process_page,
    timers::{TimeKind, Timer, Timers},
};
use crate::{
    chain::{Context, OpenInfo, TaskError},
    state::{KeyBatch, KeyedState, damaged},
};
use buffer::{Buffer, Mark, SIDE};

/// Keys and times of two streams, and how far apart two rows may be.
#[derive(Clone)]
pub(crate) struct Interval<S, R, F, G> {
    pub(crate) keys: (S, R),
    pub(crate) times: (F, G),
    /// The time of the right row, less that of the left one: at least, and at most.
    pub(crate) lower: i64,
    pub(crate) upper: i64,
}

/// A chain that joins the rows of two streams, see
/// [`KeyedStream::interval_join`](crate::KeyedStream::interval_join).
pub struct IntervalJoinChain<K, A, B, S, R, F, G, J, N> {
    function: J,
    interval: Interval<S, R, F, G>,
    fingerprints: [u64; 2],
    state: KeyedState,
    timers: Timers,
    left: Buffer<A>,
    right: Buffer<B>,
    /// How far the pairs of the row at hand are out, if not all are.
    mark: Option<Mark>,
    /// The key at hand.
    batch: KeyBatch<K>,
    timer: Timer,
    next: N,
    rows: PhantomData<fn(A, B)>,
}

impl<K, A, B, S, R, F, G, J, N> IntervalJoinChain<K, A, B, S, R, F, G, J, N>
where
    K: Key + RowValue + Record,
    A: RowValue + Record,
    B: RowValue + Record,
{
    /// The chain of `function` and what follows it.
    pub(crate) fn new(
        function: J,
        interval: Interval<S, R, F, G>,
        info: &OpenInfo,
        next: N,
    ) -> Result<Self, TaskError> {
        let Interval { lower, upper, .. } = interval;
        if lower > upper {
            return Err(TaskError::new(format!(
                "an interval join from {lower} to {upper} ms can join nothing: give the lower bound \
                 first"
            )));
        }
        let mut state = KeyedState::open(info)?;
        state.keyed_by::<K>();
        let timers = Timers::open(&mut state, "event-timers", SIDE)?;
        let batch = KeyBatch::<K>::new();
        let key = batch.width();
        let left = Buffer::open(&mut state, key, (0, "left"), upper)?;
        let right = Buffer::open(&mut state, key, (1, "right"), lower.saturating_neg())?;
        Ok(Self {
            function,
            interval,
            fingerprints: [A::schema().fingerprint(), B::schema().fingerprint()],
            state,
            timers,
            left,
            right,
            mark: None,
            batch,
            timer: Timer::default(),
            next,
            rows: PhantomData,
        })
    }

    /// Whether a row of a time comes too late.
    fn is_late(&self, time: i64) -> bool {
        time < self.state.watermark
    }

    /// Forgets what the watermark has made useless.
    fn forget(&mut self) -> Result<(), TaskError> {
        let Self { state, timers, left, right, batch, timer, .. } = self;
        let watermark = state.watermark;
        while timers.next_due(state, watermark, timer)? {
            batch.clear();
            batch.push_bytes(timer.key());
            let (key, side, time) = (batch.keys().at(0), timer.namespace(), timer.time);
            if !left.clean(state, &key, side, time)? && !right.clean(state, &key, side, time)? {
                return Err(damaged("timer", &"it is for neither side of the join"));
            }
        }
        Ok(())
    }
}

impl<K, A, B, U, S, R, F, G, J, N> IntervalJoinChain<K, A, B, S, R, F, G, J, N>
where
    K: Key + RowValue + Record,
    A: RowValue + Record,
    B: RowValue + Record,
    U: Value,
    S: for<'a> Fn(Row<'a, A>) -> K::View<'a>,
    R: for<'a> Fn(Row<'a, B>) -> K::View<'a>,
    F: for<'a> Fn(Row<'a, A>) -> i64,
    G: for<'a> Fn(Row<'a, B>) -> i64,
    J: FnMut(A::View<'_>, B::View<'_>) -> U,
    N: Stage<U>,
{
    /// Takes a left row; `false` if it has to be given again.
    fn take_left(
        &mut self,
        row: A::View<'_>,
        context: &mut Context<'_>,
    ) -> Result<bool, TaskError> {
        let time = (self.interval.times.0)(Row::new(row));
        if self.is_late(time) {
            return Ok(true);
        }
        let Self { function, interval, state, timers, left, right, mark, batch, next, .. } = self;
        batch.clear();
        batch.push((interval.keys.0)(Row::new(row)));
        let key = batch.keys().at(0);
        if mark.is_none() {
            left.add(state, timers, &key, time, row)?;
        }
        let near = (time.saturating_add(interval.lower), time.saturating_add(interval.upper));
        right.read(state, &key, near, mark, |other| {
            next.push(function(row, other).view(), context);
            !context.is_blocked()
        })
    }

    /// Takes a right row; `false` if it has to be given again.
    fn take_right(
        &mut self,
        row: B::View<'_>,
        context: &mut Context<'_>,
    ) -> Result<bool, TaskError> {
        let time = (self.interval.times.1)(Row::new(row));
        if self.is_late(time) {
            return Ok(true);
        }
        let Self { function, interval, state, timers, left, right, mark, batch, next, .. } = self;
        batch.clear();
        batch.push((interval.keys.1)(Row::new(row)));
        let key = batch.keys().at(0);
        if mark.is_none() {
            right.add(state, timers, &key, time, row)?;
        }
        let near = (time.saturating_sub(interval.upper), time.saturating_sub(interval.lower));
        left.read(state, &key, near, mark, |other| {
            next.push(function(other, row).view(), context);
            !context.is_blocked()
        })
    }
}

/// Hands the rows of a page from `start` on to `take`, and gives the row to go on with: the one that was
/// handed over last, if it has to be given again.
fn take_page<T: Value>(
    page: &ValidPage<'_>,
    fingerprint: u64,
    start: usize,
    context: &mut Context<'_>,
    mut take: impl FnMut(T::View<'_>, &mut Context<'_>) -> Result<bool, TaskError>,
) -> usize {
    let mut again = false;
    let row = process_page::<T>(page, fingerprint, start, context, |row, context| {
        match take(row, context) {
            Ok(done) => again = !done,
            Err(error) => context.fail(error),
        }
    });
    row - usize::from(again)
}

impl<K, A, B, U, S, R, F, G, J, N> KeyedHead for IntervalJoinChain<K, A, B, S, R, F, G, J, N>
where
    K: Key + RowValue + Record,
    A: RowValue + Record,
    B: RowValue + Record,
    U: Value,
    S: for<'a> Fn(Row<'a, A>) -> K::View<'a> + Send + 'static,
    R: for<'a> Fn(Row<'a, B>) -> K::View<'a> + Send + 'static,
    F: for<'a> Fn(Row<'a, A>) -> i64 + Send + 'static,
    G: for<'a> Fn(Row<'a, B>) -> i64 + Send + 'static,
    J: FnMut(A::View<'_>, B::View<'_>) -> U + Send + 'static,
    N: Stage<U>,
{
    type Out = U;
    type Next = N;

    fn next(&mut self) -> &mut N {
        &mut self.next
    }

    fn state(&mut self) -> &mut KeyedState {
        &mut self.state
    }

    fn take(
        &mut self,
        input: u16,
        page: &ValidPage<'_>,
        start: usize,
        context: &mut Context<'_>,
    ) -> Result<usize, TaskError> {
        let [left, right] = self.fingerprints;
        Ok(match input {
            0 => take_page::<A>(page, left, start, context, |row, context| {
                self.take_left(row, context)
            }),
            1 => take_page::<B>(page, right, start, context, |row, context| {
                self.take_right(row, context)
            }),
            _ => return Err(third_input()),
        })
    }

    fn advance(&mut self, kind: TimeKind, _: &mut Context<'_>) -> Result<bool, TaskError> {
        match kind {
            TimeKind::Event => self.forget().map(|()| true),
            TimeKind::Processing => Ok(true),
        }
    }

    fn restored(&mut self) -> Result<(), TaskError> {
        self.timers.restored(&mut self.state)
    }
}

impl<K, A, B, S, R, F, G, J, N> fmt::Debug for IntervalJoinChain<K, A, B, S, R, F, G, J, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Interval { lower, upper, .. } = &self.interval;
        write!(f, "IntervalJoinChain({lower} to {upper} ms)")
    }
}
