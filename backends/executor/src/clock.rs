//! Time for tasks.

use std::time::{Duration, Instant};

/// Microseconds since the clock was made, and never back.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that begins at zero now.
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// The time.
    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }
}
