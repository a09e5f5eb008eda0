//! Triggers that fire again and again while a window is there.

use alloc::format;

use millstream_data::Value;
use millstream_state::{
    time::WATERMARK_MAX,
    window::{Window, window_start},
};

use super::{
    Trigger, TriggerContext,
    TriggerResult::{self, Continue, Fire},
};
use crate::{
    chain::TaskError,
    operator::{
        process::{StateRegistry, ValueState},
        window::triggered::is_global,
    },
};

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

/// Fires at every interval of event time as long as the window has not ended, and when it has.
/// Intervals begin at the epoch; the first that counts is the one of the window's first row.
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

/// Fires at every interval of the wall clock in which the window has rows, old or new. Intervals
/// begin at the epoch. Those that have passed while nothing ran are one.
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
