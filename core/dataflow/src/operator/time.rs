//! Where event time comes from.

mod aligned;
mod idle;

use core::{fmt, marker::PhantomData};

use millstream_data::Value;
use millstream_exchange::event::{Event, StreamStatus};
use millstream_state::time::{Bounded, WATERMARK_MAX, WATERMARK_MIN};

use super::{Operator, Row, Stage, stateless::opaque};
use crate::{
    chain::{Context, OpenInfo, Signal, TaskError},
    graph::alignment::SourceAlignment,
};
pub use aligned::WithAlignment;
pub(in crate::operator) use idle::Watch;
pub use idle::WithIdleness;

/// How the watermark follows from rows and their times. Each split of a source has a clone of its own.
pub trait WatermarkStrategy<T: Value>: Clone + Send + Sync + 'static {
    /// Takes a row and its time; `true` if it is behind the watermark of those before it.
    fn observe(&mut self, row: T::View<'_>, time: i64) -> bool;

    /// The watermark of the rows so far: those at or before it that still follow are late.
    fn watermark(&self) -> i64;

    /// After how many milliseconds without a row a subtask counts as idle; `None` if it never does. See
    /// [`WithIdleness`].
    fn idle_after(&self) -> Option<u64> {
        None
    }

    /// For which others its source waits, if for any. See [`WithAlignment`].
    fn alignment(&self) -> Option<&SourceAlignment> {
        None
    }
}

impl<T: Value> WatermarkStrategy<T> for Bounded {
    #[inline(always)]
    fn observe(&mut self, _row: T::View<'_>, time: i64) -> bool {
        Self::observe(self, time)
    }

    #[inline(always)]
    fn watermark(&self) -> i64 {
        Self::watermark(self)
    }
}

/// Watermarks that some rows carry: a function says whether a row does, and which.
pub struct Punctuated<F, T> {
    function: F,
    watermark: i64,
    rows: PhantomData<fn(T)>,
}

opaque! { Punctuated<F, T> }

impl<F, T> Punctuated<F, T> {
    /// The watermark is the largest that `function` gave for a row, from behind that row on.
    pub fn new(function: F) -> Self {
        Self { function, watermark: WATERMARK_MIN, rows: PhantomData }
    }
}

impl<F: Clone, T> Clone for Punctuated<F, T> {
    fn clone(&self) -> Self {
        Self { function: self.function.clone(), watermark: self.watermark, rows: PhantomData }
    }
}

impl<T, F> WatermarkStrategy<T> for Punctuated<F, T>
where
    T: Value,
    F: FnMut(T::View<'_>, i64) -> Option<i64> + Clone + Send + Sync + 'static,
{
    fn observe(&mut self, row: T::View<'_>, time: i64) -> bool {
        let late = time <= self.watermark && self.watermark > WATERMARK_MIN;
        if let Some(watermark) = (self.function)(row, time) {
            self.watermark = self.watermark.max(watermark);
        }
        late
    }

    fn watermark(&self) -> i64 {
        self.watermark
    }
}

/// Makes watermarks, see [`Stream::assign_watermarks`](crate::Stream::assign_watermarks).
#[derive(Clone)]
pub struct AssignWatermarks<W, F, T> {
    strategy: W,
    time: F,
    rows: PhantomData<fn(T)>,
}

opaque! { AssignWatermarks<W, F, T> }

impl<W, F, T> AssignWatermarks<W, F, T> {
    /// The operator that takes the time of rows with `time`.
    pub fn new(strategy: W, time: F) -> Self {
        Self { strategy, time, rows: PhantomData }
    }
}

impl<W, F, T> Operator for AssignWatermarks<W, F, T>
where
    T: Value,
    W: WatermarkStrategy<T>,
    F: for<'a> Fn(Row<'a, T>) -> i64 + Clone + Send + Sync + 'static,
{
    type In = T;
    type Out = T;
    type Stage<N: Stage<T>> = AssignWatermarksStage<W, F, T, N>;
    const NAME: &'static str = "watermarks";

    fn attach<N: Stage<T>>(self, next: N, _info: &OpenInfo) -> Result<Self::Stage<N>, TaskError> {
        let current = self.strategy.clone();
        let is_aligned = current.alignment().is_some();
        let watch = current.idle_after().map(Watch::new);
        Ok(AssignWatermarksStage {
            operator: self,
            current,
            said: WATERMARK_MIN,
            held: false,
            is_aligned,
            watch,
            next,
        })
    }
}

#[doc(hidden)]
#[derive(Debug)]
pub struct AssignWatermarksStage<W, F, T, N> {
    operator: AssignWatermarks<W, F, T>,
    /// The strategy of the split that is being read.
    current: W,
    /// The last watermark that was passed on.
    said: i64,
    /// Splits are left that somebody has yet to begin. Nobody knows their times, so there is no
    /// watermark.
    held: bool,
    /// Sources wait for one another, so that the runner wants to know the watermark.
    is_aligned: bool,
    watch: Option<Watch>,
    next: N,
}

impl<W, F, T, N> AssignWatermarksStage<W, F, T, N>
where
    T: Value,
    W: WatermarkStrategy<T>,
    N: Stage<T>,
{
    /// Tells the runner, if others wait for this source.
    #[inline(always)]
    fn tell(&self, event: Event, context: &mut Context<'_>) {
        if self.is_aligned {
            context.tell_time(event);
        }
    }

    /// Passes the watermark on, if it has risen. Not while the rows before it are kept back.
    #[inline(always)]
    fn say(&mut self, context: &mut Context<'_>) {
        let watermark = self.current.watermark();
        if watermark > self.said && !self.held && !context.is_blocked() {
            self.said = watermark;
            self.tell(Event::Watermark(watermark), context);
            // What follows in a chain answers a signal at once.
            self.next.signal(Signal::Watermark(watermark), context);
        }
    }
}

impl<W, F, T, N> Stage<T> for AssignWatermarksStage<W, F, T, N>
where
    T: Value,
    W: WatermarkStrategy<T>,
    F: for<'a> Fn(Row<'a, T>) -> i64 + Send + 'static,
    N: Stage<T>,
{
    #[inline(always)]
    fn push(&mut self, row: T::View<'_>, context: &mut Context<'_>) {
        let time = (self.operator.time)(Row::new(row));
        if self.current.observe(row, time) && !self.held {
            self.next.signal(Signal::Late, context);
        }
        if let Some(watch) = &mut self.watch
            && watch.row(context)
        {
            self.tell(Event::Status(StreamStatus::Active), context);
            self.next.signal(Signal::Active, context);
        }
        self.next.push(row, context);
        self.say(context);
        if let Some(watch) = &mut self.watch
            && context.is_blocked()
        {
            watch.blocked(context);
        }
    }

    fn resume(&mut self, context: &mut Context<'_>) -> bool {
        let resumed = self.next.resume(context);
        if resumed {
            self.say(context);
            if let Some(watch) = &mut self.watch {
                watch.called(context);
            }
        }
        resumed
    }

    fn finish(&mut self, context: &mut Context<'_>) -> bool {
        self.next.finish(context)
    }

    fn signal(&mut self, signal: Signal, context: &mut Context<'_>) -> bool {
        match signal {
            // Time begins here: that of streams before counts only when they end.
            Signal::Watermark(WATERMARK_MAX) => {
                self.tell(Event::Watermark(WATERMARK_MAX), context);
                if self.watch.as_mut().is_some_and(|watch| core::mem::take(&mut watch.is_idle)) {
                    self.next.signal(Signal::Active, context);
                }
                self.next.signal(signal, context)
            }
            Signal::Watermark(_) | Signal::Late => true,
            Signal::SplitBegins => {
                self.current = self.operator.strategy.clone();
                self.held = true;
                true
            }
            Signal::LastSplit => {
                self.held = false;
                self.say(context);
                true
            }
            Signal::Time(_) => {
                // Nobody knows the times of splits that are left.
                if let Some(watch) = &mut self.watch
                    && watch.check(self.held, context)
                {
                    self.tell(Event::Status(StreamStatus::Idle), context);
                    self.next.signal(Signal::Idle, context);
                }
                self.next.signal(signal, context)
            }
            // Who has a time of its own for it decides that here.
            Signal::Idle | Signal::Active if self.watch.is_some() => true,
            Signal::Idle | Signal::Active | Signal::Barrier => self.next.signal(signal, context),
        }
    }

    fn flush(&mut self, force: bool, context: &mut Context<'_>) {
        self.next.flush(force, context);
    }
}
