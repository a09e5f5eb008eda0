//! Triggers: when a window is emitted, and whether it is emptied then.
//!
//! A [`Trigger`] is asked at each row of a window, and when a timer fires that it has registered.
//! What it remembers of a window is keyed state of that window. The engine itself forgets a window
//! at its end, and tells the trigger so that it [clears](Trigger::clear) what it kept.

mod continuous;
mod kinds;

use core::fmt;

use millstream_data::Value;
use millstream_state::{Key as StateKey, window::Window};

pub use continuous::{ContinuousEventTimeTrigger, ContinuousProcessingTimeTrigger};
pub use kinds::{
    CountTrigger, EventTimeTrigger, NeverTrigger, ProcessingTimeTrigger, PurgingTrigger,
};

use super::triggered::namespace;
use crate::{
    chain::TaskError,
    operator::process::{KeyContext, StateRegistry},
};

/// What becomes of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TriggerResult {
    /// Nothing.
    Continue,
    /// It is emitted, and keeps its rows.
    Fire,
    /// It loses its rows, and nothing is emitted.
    Purge,
    /// It is emitted and loses its rows.
    FireAndPurge,
}

impl TriggerResult {
    /// Whether the window is emitted.
    pub fn fires(self) -> bool {
        matches!(self, Self::Fire | Self::FireAndPurge)
    }

    /// Whether the window loses its rows.
    pub fn purges(self) -> bool {
        matches!(self, Self::Purge | Self::FireAndPurge)
    }
}

/// Says when windows of rows of `T` are emitted. Each subtask works with a clone of its own.
///
/// A trigger is one for all keys and windows: what differs between them has to be state.
pub trait Trigger<T: Value>: Clone + Send + Sync + 'static {
    /// The handles of the states that it keeps for each key and window; `()` if it keeps none.
    type States: Send + 'static;

    /// Adds its states, before the first row.
    ///
    /// # Errors
    /// What the registry says, or that the trigger cannot work as it was made.
    fn open(&mut self, states: &mut StateRegistry<'_>) -> Result<Self::States, TaskError>;

    /// A row was added to the window at hand. `time` is that of the row, in milliseconds.
    ///
    /// # Errors
    /// What a state or a timer says. The task fails with it.
    fn on_element(
        &mut self,
        states: &mut Self::States,
        row: T::View<'_>,
        time: i64,
        context: &mut TriggerContext<'_>,
    ) -> Result<TriggerResult, TaskError>;

    /// A timer of event time of the window at hand fires. It may be one that the engine registered,
    /// to forget the window.
    ///
    /// # Errors
    /// As [`on_element`](Self::on_element).
    fn on_event_time(
        &mut self,
        states: &mut Self::States,
        time: i64,
        context: &mut TriggerContext<'_>,
    ) -> Result<TriggerResult, TaskError> {
        let _ = (states, time, context);
        Ok(TriggerResult::Continue)
    }

    /// A timer of processing time of the window at hand fires. It may be one that the engine
    /// registered, to forget the window.
    ///
    /// # Errors
    /// As [`on_element`](Self::on_element).
    fn on_processing_time(
        &mut self,
        states: &mut Self::States,
        time: i64,
        context: &mut TriggerContext<'_>,
    ) -> Result<TriggerResult, TaskError> {
        let _ = (states, time, context);
        Ok(TriggerResult::Continue)
    }

    /// Whether it can be used with windows that merge.
    fn can_merge(&self) -> bool {
        false
    }

    /// The windows `gone` became the one at hand. What was kept [within](TriggerContext::within)
    /// them is cleared after this.
    ///
    /// # Errors
    /// As [`on_element`](Self::on_element).
    fn on_merge(
        &mut self,
        states: &mut Self::States,
        gone: &[Window],
        context: &mut TriggerContext<'_>,
    ) -> Result<(), TaskError> {
        let _ = (states, gone, context);
        Ok(())
    }

    /// The window at hand is forgotten: removes its states and timers.
    ///
    /// # Errors
    /// As [`on_element`](Self::on_element).
    fn clear(
        &mut self,
        states: &mut Self::States,
        context: &mut TriggerContext<'_>,
    ) -> Result<(), TaskError>;
}

/// What a [`Trigger`] is given: the key and window at hand. It is a [`KeyContext`], with states and
/// timers of that window.
pub struct TriggerContext<'a> {
    pub(super) keyed: KeyContext<'a>,
    pub(super) window: Window,
}

impl TriggerContext<'_> {
    /// The window at hand.
    pub fn window(&self) -> Window {
        self.window
    }

    /// Works on another window of the same key.
    pub fn within<R>(
        &mut self,
        window: Window,
        work: impl FnOnce(&mut TriggerContext<'_>) -> R,
    ) -> R {
        let namespace = namespace(&window);
        let KeyContext { state, timers, key } = &mut self.keyed;
        let key = StateKey { namespace: &namespace, ..*key };
        work(&mut TriggerContext { keyed: KeyContext { state, timers, key }, window })
    }
}

impl<'a> core::ops::Deref for TriggerContext<'a> {
    type Target = KeyContext<'a>;

    fn deref(&self) -> &KeyContext<'a> {
        &self.keyed
    }
}

impl<'a> core::ops::DerefMut for TriggerContext<'a> {
    fn deref_mut(&mut self) -> &mut KeyContext<'a> {
        &mut self.keyed
    }
}

impl fmt::Debug for TriggerContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TriggerContext({:?})", self.window)
    }
}
