//! Windows: rows of a key whose times are close, taken together.
//!
//! Windows that are the same for all keys are divided into **slices**, spans that lie in the same
//! windows (as in Flink SQL, after Carbone et al., "Cutty", CIKM 2016): a row is folded once, into its
//! slice, however many windows it is in, and a slice that has ended is merged into its windows. Where
//! each window is one slice, rows go into windows directly. **Sessions** are windows of each key's own.
//!
//! What cannot be folded so has **triggers**, which say when a window is emitted, **evictors**, which
//! say what of it is left out, and functions that see all of its rows ([`ProcessWindowFunction`]).

mod aggregate;
mod assigner;
mod co_group;
mod evictor;
mod function;
mod panes;
mod sessions;
#[cfg(test)]
mod tests;
mod trigger;
mod triggered;

pub(crate) use aggregate::Windowing;
pub use aggregate::{WindowAggregate, WindowChain};
pub use assigner::WindowAssigner;
pub(crate) use co_group::CoWindowing;
pub use co_group::{CoGroupChain, CoGroupFunction, Group};
pub use evictor::{CountEvictor, Evictor, NoEvictor, TimeEvictor};
pub use function::{ProcessWindowFunction, WindowContext, WindowRows, WindowTimes};
pub use sessions::SessionChain;
pub(crate) use sessions::SessionWindowing;
pub use trigger::{
    ContinuousEventTimeTrigger, ContinuousProcessingTimeTrigger, CountTrigger, EventTimeTrigger,
    NeverTrigger, ProcessingTimeTrigger, PurgingTrigger, Trigger, TriggerContext, TriggerResult,
};
pub use triggered::{
    AtOnce, CountWindows, EventTimeWindows, Folding, FoldingThen, GLOBAL_WINDOW, Gathering,
    GlobalWindows, Listing, ProcessingTimeWindows, SessionWindows, Windows,
};
pub(crate) use triggered::{Gather, TriggeredChain, Triggering};
