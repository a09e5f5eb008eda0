//! Windows: rows of a key whose times are close, taken together.
//!
//! Windows that are the same for all keys are divided into **slices**, spans that lie in the same
//! windows (as in Flink SQL, after Carbone et al., "Cutty", CIKM 2016): a row is folded once, into its
//! slice, however many windows it is in, and sums of neighbouring slices are shared by all windows
//! ([`SlicedChain`]). Where each window is one slice, rows go into windows directly ([`WindowChain`]).
//! **Sessions** are windows of each key's own.
//!
//! What cannot be folded so has **triggers**, which say when a window is emitted, **evictors**,
//! which say what of it is left out, and functions that see all of its rows
//! ([`ProcessWindowFunction`]).
//!
//! ```
//! use millstream_dataflow::{
//!     Environment, TaskError,
//!     operator::window::{
//!         ContinuousEventTimeTrigger, ProcessWindowFunction, WindowContext, WindowRows,
//!     },
//! };
//! use millstream_state::{time::Bounded, window::Tumbling};
//!
//! /// Emits the median of the numbers of each key and hour.
//! #[derive(Clone)]
//! struct Median;
//!
//! impl ProcessWindowFunction for Median {
//!     type Key = u64;
//!     type In = (u64, i64);
//!     type Out = (u64, i64, i64);
//!
//!     fn process(
//!         &mut self,
//!         rows: &WindowRows<'_, (u64, i64)>,
//!         context: &mut WindowContext<'_, Self>,
//!     ) -> Result<(), TaskError> {
//!         let mut numbers: Vec<i64> = rows.iter().map(|row| row.1).collect();
//!         numbers.sort_unstable();
//!         let (key, start) = (context.key(), context.window().start);
//!         if let Some(median) = numbers.get(numbers.len() / 2) {
//!             context.emit((key, start, *median));
//!         }
//!         Ok(())
//!     }
//! }
//!
//! const HOUR: i64 = 3_600_000;
//!
//! let env = Environment::new("median");
//! env.generate(|_, _| (0..1000u64).map(|number| (number % 7, number as i64 * 60_000)))
//!     .assign_watermarks(Bounded::new(0), |row| row.1)
//!     .key_by::<u64, _>(|row| row.0)
//!     .window(Tumbling::of(HOUR)?, |row| row.1)
//!     // Every ten minutes what there is so far.
//!     .trigger(ContinuousEventTimeTrigger::of(HOUR / 6))
//!     .process(Median)
//!     .result();
//! # Ok::<(), millstream_state::window::WindowError>(())
//! ```

mod aggregate;
mod assigner;
mod co_group;
mod evictor;
mod function;
mod join;
pub(super) mod panes;
pub(super) mod sessions;
mod sliced;
#[cfg(test)]
mod tests;
mod trigger;
mod triggered;

pub(crate) use aggregate::Windowing;
pub use aggregate::{WindowAggregate, WindowChain};
pub use assigner::{Slices, WindowAssigner};
pub(crate) use co_group::CoWindowing;
pub use co_group::{CoGroupChain, CoGroupFunction, Group};
pub use evictor::{CountEvictor, Evictor, NoEvictor, TimeEvictor};
pub use function::{ProcessWindowFunction, WindowContext, WindowRows, WindowTimes};
pub use join::WindowJoin;
pub use sessions::SessionChain;
pub(crate) use sessions::SessionWindowing;
pub use sliced::SlicedChain;
pub use trigger::{
    ContinuousEventTimeTrigger, ContinuousProcessingTimeTrigger, CountTrigger, EventTimeTrigger,
    NeverTrigger, ProcessingTimeTrigger, PurgingTrigger, Trigger, TriggerContext, TriggerResult,
};
pub use triggered::{
    AtOnce, CountWindows, EventTimeWindows, Folding, FoldingThen, GLOBAL_WINDOW, Gathering,
    GlobalWindows, Listing, ProcessingTimeSessionWindows, ProcessingTimeWindows, SessionWindows,
    Windows,
};
pub(crate) use triggered::{Gather, TriggeredChain, Triggering};
