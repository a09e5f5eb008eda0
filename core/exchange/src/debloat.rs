//! Buffer debloating: how full pages should be, so that what is in flight takes a chosen time.
//!
//! Every period the consumer measures how fast it works and how many of its buffers are occupied,
//! and announces a page size at which they hold about as much as it consumes within the target
//! time. Less is then in flight under backpressure, so a barrier gets through sooner.
//!
//! Its limits: it works per subtask and not per input, it caps pages and frees no memory, and
//! above some 200 channels it mis-sizes unless there are as many floating buffers as producers.

use core::time::Duration;

/// The settings of a [`Debloater`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DebloatConfig {
    /// What is in flight should be consumed within this time.
    pub target: Duration,
    /// How often to measure.
    pub period: Duration,
    /// Over how many measurements the size is averaged, at least 1.
    pub samples: u32,
    /// The least change worth announcing, in percent of the size announced last.
    pub threshold_percent: u32,
    /// The smallest page in bytes.
    pub page_bytes_min: u32,
    /// The largest page in bytes: a segment.
    pub page_bytes_max: u32,
}

impl Default for DebloatConfig {
    /// 1 s, every 200 ms, 20 samples, 25 %, 256 bytes to 32 KiB.
    fn default() -> Self {
        Self {
            target: Duration::from_secs(1),
            period: Duration::from_millis(200),
            samples: 20,
            threshold_percent: 25,
            page_bytes_min: 256,
            page_bytes_max: 32 << 10,
        }
    }
}

/// Computes the page size of one subtask's inputs.
#[derive(Debug)]
pub struct Debloater {
    config: DebloatConfig,
    throughput_bytes_per_s: u64,
    smoothed_bytes: u32,
    announced_bytes: u32,
    time_to_consume: Duration,
    next: Duration,
}

impl Debloater {
    /// Starts at the largest page; the first measurement is due one period after `now`.
    pub fn new(config: DebloatConfig, now: Duration) -> Self {
        assert!(config.samples > 0, "an average over no sample");
        assert!(
            0 < config.page_bytes_min && config.page_bytes_min <= config.page_bytes_max,
            "no page size between {} and {}",
            config.page_bytes_min,
            config.page_bytes_max
        );
        Self {
            config,
            throughput_bytes_per_s: 0,
            smoothed_bytes: config.page_bytes_max,
            announced_bytes: config.page_bytes_max,
            time_to_consume: Duration::ZERO,
            next: now.saturating_add(config.period),
        }
    }

    /// When to call [`measure`](Self::measure) next.
    pub fn next_deadline(&self) -> Duration {
        self.next
    }

    /// Takes one measurement: what the subtask consumed since the last one, for how long it was
    /// busy with it (time without input does not count), and how many buffers its channels
    /// occupy ([`ConsumerCredit::occupied`](crate::credit::ConsumerCredit::occupied), summed).
    ///
    /// Returns the page size to announce to every producer, or `None` if the last one still
    /// fits. Before its deadline it does nothing: what was consumed then must be told again.
    pub fn measure(
        &mut self,
        now: Duration,
        bytes: u64,
        busy: Duration,
        buffers: u32,
    ) -> Option<u32> {
        if now < self.next {
            return None;
        }
        self.next = now.saturating_add(self.config.period);
        if let Some(throughput) = per_second(bytes, busy) {
            self.throughput_bytes_per_s = throughput;
        }
        let desired = u128::from(self.throughput_bytes_per_s) * self.config.target.as_millis();
        let desired = u64::try_from(desired / 1000).unwrap_or(u64::MAX);
        let buffers = buffers.max(1);
        self.smooth(desired / u64::from(buffers));
        let occupied = u64::from(self.smoothed_bytes) * u64::from(buffers) * 1000;
        self.time_to_consume = Duration::from_millis(occupied / self.throughput_bytes_per_s.max(1));
        if !self.is_worth_announcing() {
            return None;
        }
        self.announced_bytes = self.smoothed_bytes;
        Some(self.announced_bytes)
    }

    /// The size announced last, in bytes.
    pub fn page_bytes(&self) -> u32 {
        self.announced_bytes
    }

    /// How long the occupied buffers would take to consume, if all pages had the size that the
    /// last measurement asked for.
    pub fn time_to_consume(&self) -> Duration {
        self.time_to_consume
    }

    /// One step of an exponential average with weight 2 / (samples + 1), truncated. Growth is
    /// capped so that it is no faster than shrinking.
    fn smooth(&mut self, instant: u64) {
        let last = u64::from(self.smoothed_bytes);
        let weight = u64::from(self.config.samples) + 1;
        let instant = instant.min(2 * last);
        let next = (last * (weight - 2) + 2 * instant) / weight;
        let (min, max) = (self.config.page_bytes_min, self.config.page_bytes_max);
        // At most twice the largest size, which is a u32.
        self.smoothed_bytes = next.clamp(min.into(), max.into()) as u32;
    }

    fn is_worth_announcing(&self) -> bool {
        let (new, last) = (self.smoothed_bytes, self.announced_bytes);
        if new == last {
            return false;
        }
        if new <= self.config.page_bytes_min || new >= self.config.page_bytes_max {
            return true;
        }
        let threshold = u64::from(last) * u64::from(self.config.threshold_percent) / 100;
        u64::from(new.abs_diff(last)) >= threshold
    }
}

/// `None` when no time passed: the throughput of before holds.
fn per_second(bytes: u64, busy: Duration) -> Option<u64> {
    let micros = busy.as_micros();
    if micros == 0 {
        return None;
    }
    Some(u64::try_from(u128::from(bytes) * 1_000_000 / micros).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn debloater() -> Debloater {
        Debloater::new(DebloatConfig::default(), Duration::ZERO)
    }

    /// Sizes before the threshold is applied.
    fn smoothed(debloater: &mut Debloater, instant: u64, steps: usize) -> Vec<u32> {
        (0..steps)
            .map(|_| {
                debloater.smooth(instant);
                debloater.smoothed_bytes
            })
            .collect()
    }

    #[test]
    fn golden_vectors() {
        let mut debloater = debloater();
        assert_eq!(smoothed(&mut debloater, 0, 5), [29647, 26823, 24268, 21956, 19864]);
        let growing = smoothed(&mut debloater, u64::MAX, 6);
        assert_eq!(growing, [21755, 23826, 26095, 28580, 31301, 32768]);
    }

    #[test]
    fn sizes_stay_within_their_bounds() {
        let mut debloater = debloater();
        assert_eq!(smoothed(&mut debloater, 0, 200).last(), Some(&256));
        assert_eq!(smoothed(&mut debloater, u64::MAX, 200).last(), Some(&32768));
    }

    #[test]
    fn small_changes_are_kept_back_until_they_add_up() {
        let mut debloater = debloater();
        let announced: Vec<_> =
            (1..=4).map(|n| debloater.measure(200 * n * MS, 0, 200 * MS, 10)).collect();
        // 29647, 26823 and then 24268, which is more than a quarter below 32768.
        assert_eq!(announced, [None, None, Some(24268), None]);
        assert_eq!(debloater.page_bytes(), 24268);
    }

    #[test]
    fn the_bounds_are_announced_however_small_the_step() {
        let config = DebloatConfig { samples: 1, ..DebloatConfig::default() };
        let mut debloater = Debloater::new(config, Duration::ZERO);
        assert_eq!(debloater.measure(200 * MS, 0, 200 * MS, 1), Some(256));
        let mut close = Debloater { announced_bytes: 300, smoothed_bytes: 300, ..debloater };
        assert_eq!(close.measure(400 * MS, 0, 200 * MS, 1), Some(256));
    }

    #[test]
    fn the_size_follows_throughput_and_occupied_buffers() {
        let config = DebloatConfig { samples: 1, ..DebloatConfig::default() };
        let mut debloater = Debloater::new(config, Duration::ZERO);
        // 100 kB/s for 1 s in 10 buffers.
        assert_eq!(debloater.measure(200 * MS, 20_000, 200 * MS, 10), Some(10_000));
        assert_eq!(debloater.time_to_consume(), Duration::from_secs(1));
        // No busy time: the throughput of before holds.
        assert_eq!(debloater.measure(400 * MS, 0, Duration::ZERO, 5), Some(20_000));
        // Half of it busy: twice as fast as it looks.
        assert_eq!(debloater.measure(600 * MS, 20_000, 100 * MS, 20), Some(10_000));
        assert_eq!(debloater.measure(800 * MS, 20_000, 100 * MS, 0), Some(20_000), "2 x the last");
    }

    #[test]
    fn too_early_is_a_no_op() {
        let mut debloater = debloater();
        assert_eq!(debloater.next_deadline(), 200 * MS);
        for _ in 0..100 {
            assert_eq!(debloater.measure(199 * MS, 0, 200 * MS, 10), None);
        }
        assert_eq!(debloater.page_bytes(), 32768);
        assert_eq!(debloater.smoothed_bytes, 32768);
        assert_eq!(debloater.next_deadline(), 200 * MS);
    }
}
