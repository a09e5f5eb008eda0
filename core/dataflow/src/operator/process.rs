//! Process functions: rows of a key one after another, with state and timers of that key.
//!
//! A [`KeyedProcessFunction`] is given each row with a [`ProcessContext`]: the key, its state, the
//! watermark, timers and where to emit. State belongs to the key at hand; the function itself should
//! keep nothing between calls that must outlive a failure.
//!
//! A timer of event time fires when the watermark has reached it, and the watermark goes on
//! downstream once all timers that it made due have fired. A timer of processing time fires when
//! the wall clock has reached it, or soon after if the task is busy or held back; those that are
//! left when the input has ended do not fire, as in Flink. Both are state: a job that goes on from
//! a checkpoint has them, and those of processing time that came due meanwhile fire at once.
//!
//! State may have a [time to live](StateRegistry::living). Two streams with keys of one type share
//! state and timers in a [`KeyedCoProcessFunction`]; in a [`KeyedBroadcastProcessFunction`] the
//! second stream's rows go to every subtask, and say what is done with those of the first. Without keys a
//! [`ProcessFunction`] keeps lists of its subtask's own.
//!
//! ```
//! use millstream_dataflow::{
//!     Environment, TaskError,
//!     operator::process::{KeyedProcessFunction, ProcessContext, StateRegistry, ValueState},
//! };
//! use millstream_state::time::Bounded;
//!
//! /// Emits how often a key was seen, once it was not seen for a minute.
//! #[derive(Clone)]
//! struct Visits;
//!
//! struct Seen {
//!     count: ValueState<u64>,
//!     last: ValueState<i64>,
//! }
//!
//! const MINUTE: i64 = 60_000;
//!
//! impl KeyedProcessFunction for Visits {
//!     type Key = u64;
//!     type In = (u64, i64);
//!     type Out = (u64, u64);
//!     type States = Seen;
//!
//!     fn open(&mut self, states: &mut StateRegistry<'_>) -> Result<Seen, TaskError> {
//!         Ok(Seen { count: states.value("count")?, last: states.value("last")? })
//!     }
//!
//!     fn process(
//!         &mut self,
//!         seen: &mut Seen,
//!         (_, time): (u64, i64),
//!         context: &mut ProcessContext<'_, Self>,
//!     ) -> Result<(), TaskError> {
//!         seen.count.replace(context, |count| count.unwrap_or(0) + 1)?;
//!         seen.last.replace(context, |last| last.unwrap_or(time).max(time))?;
//!         context.register_timer(time + MINUTE)
//!     }
//!
//!     fn on_timer(
//!         &mut self,
//!         seen: &mut Seen,
//!         time: i64,
//!         context: &mut ProcessContext<'_, Self>,
//!     ) -> Result<(), TaskError> {
//!         if seen.last.get(context)?.is_none_or(|last| last + MINUTE > time) {
//!             return Ok(());
//!         }
//!         let count = seen.count.get(context)?.unwrap_or(0);
//!         context.emit((context.key(), count));
//!         seen.count.clear(context)?;
//!         seen.last.clear(context)
//!     }
//! }
//!
//! let env = Environment::new("visits");
//! env.generate(|_, _| (0..1000u64).map(|number| (number % 7, number as i64 * 100)))
//!     .assign_watermarks(Bounded::new(0), |row| row.1)
//!     .key_by::<u64, _>(|row| row.0)
//!     .process(Visits)
//!     .result();
//! ```

mod broadcast;
mod chain;
mod co;
mod context;
mod lists;
mod operator;
mod parts;
mod states;
#[cfg(test)]
mod tests;

use millstream_data::{Key, Value, row::RowValue, value::Record};

pub use broadcast::{
    BroadcastContext, BroadcastProcessChain, BroadcastRegistry, BroadcastState, BroadcastStates,
    KeyedBroadcastContext, KeyedBroadcastProcessFunction,
};
pub use chain::ProcessChain;
pub use co::{CoProcessChain, CoProcessContext, KeyedCoProcessFunction};
pub use context::{FunctionContext, KeyContext};
pub use lists::{ListSplit, OperatorList, OperatorRegistry, OperatorStates};
pub use operator::{OperatorProcessChain, ProcessFunction};
pub use states::{ListState, MapState, StateRegistry, ValueState};

use crate::chain::TaskError;

/// What a [`KeyedProcessFunction`] is given beside a row or a timer.
pub type ProcessContext<'a, F> =
    FunctionContext<'a, <F as KeyedProcessFunction>::Key, <F as KeyedProcessFunction>::Out>;

/// What is done with the rows of each key. Each subtask works with a clone of its own.
pub trait KeyedProcessFunction: Clone + Send + Sync + 'static {
    /// The key of the rows. Its row has at most 504 bytes, 496 where timers are registered.
    type Key: Key + RowValue + Record;
    /// The rows that it takes.
    type In: Value;
    /// What it emits.
    type Out: Value;
    /// The handles of the states that it keeps for each key; `()` if it keeps none.
    type States: Send + 'static;

    /// Adds its states, before the first row: `states.value("count")?`. A job that goes on from a
    /// checkpoint must add the same ones in the same order.
    ///
    /// # Errors
    /// What the registry says, or the function's own. The task fails with it.
    fn open(&mut self, states: &mut StateRegistry<'_>) -> Result<Self::States, TaskError>;

    /// Takes a row. What is emitted has to find room at once.
    ///
    /// # Errors
    /// What a state or a timer says, or the function's own. The task fails with it.
    fn process(
        &mut self,
        states: &mut Self::States,
        row: <Self::In as Value>::View<'_>,
        context: &mut ProcessContext<'_, Self>,
    ) -> Result<(), TaskError>;

    /// A timer of event time of the key at hand fires: the watermark has reached `time`, in
    /// milliseconds. The timer is gone. Timers fire in the order of time; one that is registered
    /// here and is due already, too, fires before the watermark goes on.
    ///
    /// # Errors
    /// As [`process`](Self::process).
    fn on_timer(
        &mut self,
        states: &mut Self::States,
        time: i64,
        context: &mut ProcessContext<'_, Self>,
    ) -> Result<(), TaskError> {
        let _ = (states, time, context);
        Ok(())
    }

    /// A timer of processing time of the key at hand fires: the wall clock has reached `time`, in
    /// milliseconds since the epoch. The timer is gone. Timers fire in the order of time; one that
    /// is registered here and is due already fires, too.
    ///
    /// # Errors
    /// As [`process`](Self::process).
    fn on_processing_timer(
        &mut self,
        states: &mut Self::States,
        time: i64,
        context: &mut ProcessContext<'_, Self>,
    ) -> Result<(), TaskError> {
        let _ = (states, time, context);
        Ok(())
    }
}
