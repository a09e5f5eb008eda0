//! Windows: which ones a time falls into, when they end, and which merge.
//!
//! A [`Window`] is a span of time; [`Tumbling`], [`Sliding`] and [`Cumulating`] say which ones a time
//! falls into, [`Sessions`] which ones of a key become one. [`Lateness`] says when a row comes too late
//! and when a window may be forgotten. All of it is arithmetic of Flink's; state and timers are their
//! user's.

mod assign;
mod late;
mod session;

pub use assign::{Cumulating, Sliding, Tumbling, WindowError, window_start};
pub use late::Lateness;
pub use session::{Merged, Sessions};

/// Times from `start` to just before `end`, in the unit of the stream's time column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    /// The first time in it.
    pub start: i64,
    /// The first time behind it.
    pub end: i64,
}

impl Window {
    /// The last time in it.
    pub fn max_time(&self) -> i64 {
        self.end.saturating_sub(1)
    }

    /// Whether two windows have a time in common, or touch.
    pub fn touches(&self, other: &Self) -> bool {
        self.start <= other.end && self.end >= other.start
    }

    /// The window that covers both.
    pub fn cover(&self, other: &Self) -> Self {
        Self { start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}
