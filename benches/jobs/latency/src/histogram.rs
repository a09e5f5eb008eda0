//! Counts of times, in buckets that are at most 1/64 wide of what they hold.

const STEPS: u32 = 64;
const BUCKETS: usize = (64 - 6 + 1) * STEPS as usize;

/// How often each time was seen.
#[derive(Clone)]
pub(crate) struct Histogram {
    buckets: Vec<u64>,
    len: u64,
    max: u64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self { buckets: vec![0; BUCKETS], len: 0, max: 0 }
    }

    pub(crate) fn record(&mut self, nanos: u64) {
        self.buckets[bucket(nanos)] += 1;
        self.len += 1;
        self.max = self.max.max(nanos);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The time that this share of all did not exceed.
    pub(crate) fn quantile(&self, share: f64) -> u64 {
        let rank = ((self.len as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return upper(index).min(self.max);
            }
        }
        self.max
    }
}

fn bucket(nanos: u64) -> usize {
    let shift = (64 - nanos.leading_zeros()).saturating_sub(7);
    (shift * STEPS) as usize + (nanos >> shift) as usize
}

/// The longest time of a bucket.
fn upper(index: usize) -> u64 {
    let steps = STEPS as usize;
    let shift = (index / steps).saturating_sub(1);
    let step = (index - shift * steps) as u128 + 1;
    u64::try_from((step << shift) - 1).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_is_in_its_bucket() {
        for nanos in (0..5000).chain([u64::MAX, u64::MAX / 2, 1 << 40, (1 << 40) - 1]) {
            let index = bucket(nanos);
            assert!(index < BUCKETS && upper(index) >= nanos, "{nanos}");
            assert!(index == 0 || upper(index - 1) < nanos, "{nanos}");
        }
    }

    #[test]
    fn quantiles_are_those_of_the_times() {
        let mut histogram = Histogram::new();
        (1..=1000).for_each(|nanos| histogram.record(nanos));
        for (share, exact) in [(0.5, 500.0), (0.99, 990.0), (1.0, 1000.0)] {
            let quantile = histogram.quantile(share) as f64;
            assert!(
                (exact..=exact * (1.0 + 1.0 / 64.0)).contains(&quantile),
                "{share}: {quantile}"
            );
        }
    }
}
