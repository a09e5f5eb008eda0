//! Time for tasks.

use std::time::{Duration, Instant, SystemTime};

/// Microseconds since the clock was made, and never back.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    /// What the wall clock was then: microseconds since the epoch.
    epoch: i64,
}

impl Clock {
    /// A clock that begins at zero now.
    pub fn start() -> Self {
        let epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let epoch = epoch.map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX));
        Self { start: Instant::now(), epoch }
    }

    /// The time.
    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// What the wall clock was when this one began: microseconds since the epoch, 0 if it was
    /// before. What is done to the wall clock later does not show: processing time never goes back.
    pub fn epoch(&self) -> i64 {
        self.epoch
    }
}
