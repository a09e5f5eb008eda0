//! Windows: rows of a key whose times are close, taken together.
//!
//! Windows that are the same for all keys are divided into **slices**, spans that lie in the same
//! windows (as in Flink SQL, after Carbone et al., "Cutty", CIKM 2016): a row is folded once, into its
//! slice, however many windows it is in, and a slice that has ended is merged into its windows. Where
//! each window is one slice, rows go into windows directly. **Sessions** are windows of each key's own.

mod aggregate;
mod assigner;
mod co_group;
mod panes;
mod sessions;
#[cfg(test)]
mod tests;

pub(crate) use aggregate::Windowing;
pub use aggregate::{WindowAggregate, WindowChain};
pub use assigner::WindowAssigner;
pub(crate) use co_group::CoWindowing;
pub use co_group::{CoGroupChain, CoGroupFunction, Group};
pub use sessions::SessionChain;
pub(crate) use sessions::SessionWindowing;
