//! Buffer debloating of a task's inputs.

use core::time::Duration;

use millstream_exchange::debloat::{DebloatConfig, Debloater};

use super::TaskCounts;

/// Measures how fast a task works, and says how full the pages should be that it is sent.
#[derive(Debug)]
pub(super) struct Debloating {
    config: DebloatConfig,
    /// From the first measurement on.
    debloater: Option<Debloater>,
    /// What had been counted at the measurement before.
    before: TaskCounts,
}

impl Debloating {
    pub(super) fn new(config: DebloatConfig) -> Self {
        Self { config, debloater: None, before: TaskCounts::default() }
    }

    /// The new size of pages in bytes of rows, if it changes. Call as often as you like.
    pub(super) fn measure(&mut self, now: u64, counts: &TaskCounts) -> Option<u32> {
        let now = Duration::from_micros(now);
        let debloater = self.debloater.get_or_insert_with(|| Debloater::new(self.config, now));
        if now < debloater.next_deadline() {
            return None;
        }
        let bytes = counts.bytes_in - self.before.bytes_in;
        // Time without input does not count, time without room downstream does.
        let worked = |counts: &TaskCounts| counts.busy_nanos + counts.backpressured_nanos;
        let busy = Duration::from_nanos(worked(counts) - worked(&self.before));
        self.before = *counts;
        debloater.measure(now, bytes, busy, u32::try_from(counts.queued_in).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_task_asks_for_smaller_pages_and_a_fast_one_for_full_ones() {
        let config = DebloatConfig { samples: 1, ..DebloatConfig::default() };
        let mut debloating = Debloating::new(config);
        let mut counts = TaskCounts { queued_in: 10, ..TaskCounts::default() };
        assert_eq!(debloating.measure(0, &counts), None);
        // 10 KB in a fifth of a second: 50 KB in the target time, divided over ten pages.
        counts.bytes_in = 10_000;
        counts.backpressured_nanos = 150_000_000;
        counts.busy_nanos = 50_000_000;
        assert_eq!(debloating.measure(200_000, &counts), Some(5000));
        assert_eq!(debloating.measure(399_999, &counts), None, "once in a period");
        counts.bytes_in += 100_000_000;
        counts.busy_nanos += 200_000_000;
        assert_eq!(debloating.measure(400_000, &counts), Some(10_000), "it grows in steps");
    }
}
