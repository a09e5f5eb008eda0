//! Triggers that fire at the end of a window, at a count, never, or when another one does.

use millstream_data::Value;
use millstream_state::window::Window;

use super::{
    Trigger, TriggerContext,
    TriggerResult::{self, Continue, Fire, FireAndPurge},
};
use crate::{
    chain::TaskError,
    operator::process::{StateRegistry, ValueState},
};

/// Fires when the watermark has reached the end of the window, and again for each row that comes
/// later.
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
