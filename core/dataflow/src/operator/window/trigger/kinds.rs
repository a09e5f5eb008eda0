//! The triggers that there are: Flink's.

use alloc::format;

use millstream_data::Value;
use millstream_state::{
    time::WATERMARK_MAX,
    window::{Window, window_start},
};

use super::{
    Trigger, TriggerContext,
    TriggerResult::{self, Continue, Fire, FireAndPurge},
};
use crate::{
    chain::TaskError,
    operator::{
        process::{StateRegistry, ValueState},
        window::triggered::is_global,
    },
};

/// Fires when the watermark has reached the end of the window, and again for each row that comes later.
#[derive(Clone, Copy, Debug, Default)]
pub struct EventTimeTrigger;

impl<T: Value> Trigger<T> for EventTimeTrigger {
    type States = ();

    fn open(&mut self, _: &mut StateRegistry<'_>) -> Result<(), TaskError> {
        Ok(())
    }

    fn on_element(
        &mut self,
        (): &mut (),
        _: T::View<'_>,
        _: i64,
        context: &mut TriggerContext<'_>,
    ) -> Result<TriggerResult, TaskError> {
        let last = context.window().max_time();
        if last <= context.watermark() {
            return Ok(Fire);
        }
        context.register_timer(last)?;
        Ok(Continue)
    }

    fn on_event_time(
        &mut self,
        (): &mut (),
        time: i64,
        context: &mut TriggerContext<'_>,
    ) -> Result<TriggerResult, TaskError> {
        Ok(if time == context.window().max_time() { Fire } else { Continue })
    }

    fn can_merge(&self) -> bool {
        true
    }

    fn on_merge(
        &mut self,
        (): &mut (),
        _: &[Window],
        context: &mut TriggerContext<'_>,
    ) -> Result<(), TaskError> {
        let last = context.window().max_time();
        if last > context.watermark() { context.register_timer(last) } else { Ok(()) }
    }

    fn clear(&mut self, (): &mut (), context: &mut TriggerContext<'_>) -> Result<(), TaskError> {
        let last = context.window().max_time();
        context.delete_timer(last)
    }
}

/// Fires when the wall clock has reached the end of the window.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessingTimeTrigger;

impl<T: Value> Trigger<T> for ProcessingTimeTrigger {
    type States = ();

    fn open(&mut self, _: &mut StateRegistry<'_>) -> Result<(), TaskError> {
        Ok(())
    }

    fn on_element(
        &mut self,
        (): &mut (),
        _: T::View<'_>,
        _: i64,
        context: &mut TriggerContext<'_>,
    ) -> Result<TriggerResult, TaskError> {
        let last = context.window().max_time();
        context.register_processing_timer(last)?;
        Ok(Continue)
    }

    fn on_processing_time(
        &mut self,
        (): &mut (),
        time: i64,
        context: &mut TriggerContext<'_>,
    ) -> Result<TriggerResult, TaskError> {
        Ok(if time == context.window().max_time() { Fire } else { Continue })
    }

    fn can_merge(&self) -> bool {
        true
    }

    fn on_merge(
        &mut self,
        (): &mut (),
        _: &[Window],
        context: &mut TriggerContext<'_>,
    ) -> Result<(), TaskError> {
        let last = context.window().max_time();
        match last > context.processing_time() {
            true => context.register_processing_timer(last),
            false => Ok(()),
        }
    }

    fn clear(&mut self, (): &mut (), context: &mut TriggerContext<'_>) -> Result<(), TaskError> {
        let last = context.window().max_time();
        context.delete_processing_timer(last)
    }
}

/// Fires when a window has got so many rows since it last did.
#[derive(Clone, Copy, Debug)]
pub struct CountTrigger {
    rows: u64,
}

impl CountTrigger {
    /// Fires at every `rows`th row; 0 counts as 1.
    pub fn of(rows: u64) -> Self {
        Self { rows: rows.max(1) }
    }
}

impl<T: Value> Trigger<T> for CountTrigger {
    type States = ValueState<u64>;

    fn open(&mut self, states: &mut StateRegistry<'_>) -> Result<ValueState<u64>, TaskError> {
        states.value("trigger-count")
    }

    fn on_element(
        &mut self,
        count: &mut ValueState<u64>,
        _: T::View<'_>,
        _: i64,
        context: &mut TriggerContext<'_>,
    ) -> Result<TriggerResult, TaskError> {
        let rows = count.get(context)?.unwrap_or(0) + 1;
        if rows >= self.rows {
            count.clear(context)?;
            return Ok(Fire);
        }
        count.set(context, rows)?;
        Ok(Continue)
    }

    fn can_merge(&self) -> bool {
        true
    }

    fn on_merge(
        &mut self,
        count: &mut ValueState<u64>,
        gone: &[Window],
        context: &mut TriggerContext<'_>,
    ) -> Result<(), TaskError> {
        let mut rows = count.get(context)?.unwrap_or(0);
        for window in gone {
            rows += context.within(*window, |context| count.get(context))?.unwrap_or(0);
        }
        if rows > 0 { count.set(context, rows) } else { Ok(()) }
    }

    fn clear(
        &mut self,
        count: &mut ValueState<u64>,
        context: &mut TriggerContext<'_>,
    ) -> Result<(), TaskError> {
        count.clear(context)
    }
}

fn interval_of(millis: i64) -> Result<(), TaskError> {
    if millis > 0 {
        return Ok(());
    }
    Err(TaskError::new(format!(
        "the interval of a continuous trigger is {millis} ms: give it at least 1"
    )))
}

/// Takes the earliest of what windows that became one have kept.
fn earliest(
    next: &mut ValueState<i64>,
    gone: &[Window],
    context: &mut TriggerContext<'_>,
) -> Result<Option<i64>, TaskError> {
    let mut first = next.get(context)?;
    for window in gone {
        let other = context.within(*window, |context| next.get(context))?;
        first = first.into_iter().chain(other).min();
    }
    Ok(first)
}

/// Fires at every interval of event time as long as the window has not ended, and when it has. Intervals
/// begin at the epoch; the first that counts is the one of the window's first row.
#[derive(Clone, Copy, Debug)]
pub struct ContinuousEventTimeTrigger {
    millis: i64,
}

impl ContinuousEventTimeTrigger {
    /// Fires every so many milliseconds. An interval below 1 fails the job when it starts.
    pub fn of(millis: i64) -> Self {
        Self { millis }
    }

    /// Fires next one interval after `from`, but at the window's end at the latest.
    fn register_next(
        &self,
        next: &mut ValueState<i64>,
        from: i64,
        context: &mut TriggerContext<'_>,
    ) -> Result<(), TaskError> {
        let time = from.saturating_add(self.millis).min(context.window().max_time());
        next.set(context, time)?;
        context.register_timer(time)
    }
}

impl<T: Value> Trigger<T> for ContinuousEventTimeTrigger {
    type States = ValueState<i64>;

    fn open(&mut self, states: &mut StateRegistry<'_>) -> Result<ValueState<i64>, TaskError> {
        interval_of(self.millis)?;
        states.value("trigger-next")
    }

    fn on_element(
        &mut self,
        next: &mut ValueState<i64>,
        _: T::View<'_>,
        time: i64,
        context: &mut TriggerContext<'_>,
    ) -> Result<TriggerResult, TaskError> {
        let last = context.window().max_time();
        if last <= context.watermark() {
            return Ok(Fire);
        }
        context.register_timer(last)?;
        if next.get(context)?.is_none() {
            self.register_next(next, window_start(time, 0, self.millis), context)?;
        }
        Ok(Continue)
    }

    fn on_event_time(
        &mut self,
        next: &mut ValueState<i64>,
        time: i64,
        context: &mut TriggerContext<'_>,
    ) -> Result<TriggerResult, TaskError> {
        if time == context.window().max_time() {
            return Ok(Fire);
        }
        if next.get(context)? != Some(time) {
            return Ok(Continue);
        }
        next.clear(context)?;
        // At the end of all time a window without an end would go on for ever.
        if !(is_global(&context.window()) && context.watermark() == WATERMARK_MAX) {
            self.register_next(next, time, context)?;
        }
        Ok(Fire)
    }

    fn can_merge(&self) -> bool {
        true
    }

    fn on_merge(
        &mut self,
        next: &mut ValueState<i64>,
        gone: &[Window],
        context: &mut TriggerContext<'_>,
    ) -> Result<(), TaskError> {
        let last = context.window().max_time();
        if last > context.watermark() {
            context.register_timer(last)?;
        }
        let Some(time) = earliest(next, gone, context)? else { return Ok(()) };
        next.set(context, time)?;
        context.register_timer(time)
    }

    fn clear(
        &mut self,
        next: &mut ValueState<i64>,
        context: &mut TriggerContext<'_>,
    ) -> Result<(), TaskError> {
        let last = context.window().max_time();
        context.delete_timer(last)?;
        let Some(time) = next.get(context)? else { return Ok(()) };
        context.delete_timer(time)?;
        next.clear(context)
    }
}

/// Fires at every interval of the wall clock in which the window has rows, old or new. Intervals begin at
/// the epoch. Those that have passed while nothing ran are one.
#[derive(Clone, Copy, Debug)]
pub struct ContinuousProcessingTimeTrigger {
    millis: i64,
}

impl ContinuousProcessingTimeTrigger {
    /// Fires every so many milliseconds. An interval below 1 fails the job when it starts.
    pub fn of(millis: i64) -> Self {
        Self { millis }
    }

    fn register_next(
        &self,
        next: &mut ValueState<i64>,
        context: &mut TriggerContext<'_>,
    ) -> Result<(), TaskError> {
        let begin = window_start(context.processing_time(), 0, self.millis);
        let time = begin.saturating_add(self.millis);
        next.set(context, time)?;
        context.register_processing_timer(time)
    }
}

impl<T: Value> Trigger<T> for ContinuousProcessingTimeTrigger {
    type States = ValueState<i64>;

    fn open(&mut self, states: &mut StateRegistry<'_>) -> Result<ValueState<i64>, TaskError> {
        interval_of(self.millis)?;
        states.value("trigger-next")
    }

    fn on_element(
        &mut self,
        next: &mut ValueState<i64>,
        _: T::View<'_>,
        _: i64,
        context: &mut TriggerContext<'_>,
    ) -> Result<TriggerResult, TaskError> {
        if next.get(context)?.is_none() {
            self.register_next(next, context)?;
        }
        Ok(Continue)
    }

    fn on_processing_time(
        &mut self,
        next: &mut ValueState<i64>,
        time: i64,
        context: &mut TriggerContext<'_>,
    ) -> Result<TriggerResult, TaskError> {
        if next.get(context)? != Some(time) {
            return Ok(Continue);
        }
        self.register_next(next, context)?;
        Ok(Fire)
    }

    fn can_merge(&self) -> bool {
        true
    }

    fn on_merge(
        &mut self,
        next: &mut ValueState<i64>,
        gone: &[Window],
        context: &mut TriggerContext<'_>,
    ) -> Result<(), TaskError> {
        let Some(time) = earliest(next, gone, context)? else { return Ok(()) };
        next.set(context, time)?;
        context.register_processing_timer(time)
    }

    fn clear(
        &mut self,
        next: &mut ValueState<i64>,
        context: &mut TriggerContext<'_>,
    ) -> Result<(), TaskError> {
        let Some(time) = next.get(context)? else { return Ok(()) };
        context.delete_processing_timer(time)?;
        next.clear(context)
    }
}

/// Fires when another trigger does, and empties the window then.
#[derive(Clone, Copy, Debug)]
pub struct PurgingTrigger<G> {
    trigger: G,
}

impl<G> PurgingTrigger<G> {
    /// When `trigger` fires, the window loses its rows.
    pub fn of(trigger: G) -> Self {
        Self { trigger }
    }
}

fn purging(result: TriggerResult) -> TriggerResult {
    if result == Fire { FireAndPurge } else { result }
}

impl<T: Value, G: Trigger<T>> Trigger<T> for PurgingTrigger<G> {
    type States = G::States;

    fn open(&mut self, states: &mut StateRegistry<'_>) -> Result<G::States, TaskError> {
        self.trigger.open(states)
    }

    fn on_element(
        &mut self,
        states: &mut G::States,
        row: T::View<'_>,
        time: i64,
        context: &mut TriggerContext<'_>,
    ) -> Result<TriggerResult, TaskError> {
        self.trigger.on_element(states, row, time, context).map(purging)
    }

    fn on_event_time(
        &mut self,
        states: &mut G::States,
        time: i64,
        context: &mut TriggerContext<'_>,
    ) -> Result<TriggerResult, TaskError> {
        self.trigger.on_event_time(states, time, context).map(purging)
    }

    fn on_processing_time(
        &mut self,
        states: &mut G::States,
        time: i64,
        context: &mut TriggerContext<'_>,
    ) -> Result<TriggerResult, TaskError> {
        self.trigger.on_processing_time(states, time, context).map(purging)
    }

    fn can_merge(&self) -> bool {
        self.trigger.can_merge()
    }

    fn on_merge(
        &mut self,
        states: &mut G::States,
        gone: &[Window],
        context: &mut TriggerContext<'_>,
    ) -> Result<(), TaskError> {
        self.trigger.on_merge(states, gone, context)
    }

    fn clear(
        &mut self,
        states: &mut G::States,
        context: &mut TriggerContext<'_>,
    ) -> Result<(), TaskError> {
        self.trigger.clear(states, context)
    }
}

/// Never fires: what a global window has if it is given no trigger.
#[derive(Clone, Copy, Debug, Default)]
pub struct NeverTrigger;

impl<T: Value> Trigger<T> for NeverTrigger {
    type States = ();

    fn open(&mut self, _: &mut StateRegistry<'_>) -> Result<(), TaskError> {
        Ok(())
    }

    fn on_element(
        &mut self,
        (): &mut (),
        _: T::View<'_>,
        _: i64,
        _: &mut TriggerContext<'_>,
    ) -> Result<TriggerResult, TaskError> {
        Ok(Continue)
    }

    fn can_merge(&self) -> bool {
        true
    }

    fn clear(&mut self, (): &mut (), _: &mut TriggerContext<'_>) -> Result<(), TaskError> {
        Ok(())
    }
}
