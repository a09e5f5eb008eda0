//! Event time: watermarks, who holds them back, and who does not.
//!
//! A **watermark** says that no row at or before it follows; it is a time in the unit of the stream's
//! time column, and the least step of time is 1. Sources make watermarks ([`Bounded`]), a task takes
//! those of its channels together ([`Valve`]), a source without rows declares itself idle
//! ([`Idleness`]), and one that is far ahead of the others waits for them ([`Drift`]).

mod drift;
mod idleness;
mod strategy;
mod valve;

pub use drift::Drift;
pub use idleness::Idleness;
pub use strategy::Bounded;
pub use valve::{Valve, ValveOutput};

/// The watermark before any row.
pub const WATERMARK_MIN: i64 = i64::MIN;
/// The watermark behind all rows: the stream has ended.
pub const WATERMARK_MAX: i64 = i64::MAX;
