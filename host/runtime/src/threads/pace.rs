//! Sources that read no faster than they should.

use std::{
    num::NonZero,
    thread,
    time::{Duration, Instant},
};

/// How long a source waits at most before it looks whether something else is to be done.
const WAIT_MAX: Duration = Duration::from_millis(1);
/// Bytes of a page in which a row of some numbers finds room, and few of them.
const PAGE_BYTES: usize = 256;

/// Row number `n` is read when `n` by the rate seconds have passed since the first. Pages are small, so
/// that rows come one by one and not a second's worth at a time.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Rows a second.
    rate: NonZero<u64>,
    /// When the first row was read.
    begin: Option<Instant>,
    /// Rows that were read.
    made: u64,
    /// Bytes that the next page may have.
    bytes: usize,
}

impl Pace {
    /// So many rows a second.
    pub(crate) fn new(rate: NonZero<u64>) -> Self {
        Self { rate, begin: None, made: 0, bytes: PAGE_BYTES }
    }

    /// Whether the next row is due. If not, this thread has waited a little.
    pub(super) fn is_due(&self) -> bool {
        let passed = self.begin.map(|begin| begin.elapsed()).unwrap_or_default();
        let left = self.due().saturating_sub(passed);
        if !left.is_zero() {
            thread::sleep(left.min(WAIT_MAX));
        }
        left.is_zero()
    }

    /// When the next row is due, after the first.
    fn due(&self) -> Duration {
        let nanos = u128::from(self.made) * 1_000_000_000 / u128::from(self.rate.get());
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// How many of a segment's bytes the next page may have.
    pub(crate) fn bytes(&self, segment: usize) -> usize {
        self.bytes.min(segment)
    }

    /// A row needs so many.
    pub(crate) fn needs(&mut self, bytes: usize) {
        self.bytes = self.bytes.max(bytes);
    }

    /// So many rows were read.
    pub(super) fn made(&mut self, rows: usize) {
        self.begin.get_or_insert_with(Instant::now);
        self.made += rows as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_due_one_after_the_other() {
        let mut pace = Pace::new(NonZero::new(4).unwrap());
        assert!(pace.is_due(), "the first one at once");
        pace.made(3);
        assert_eq!(pace.due(), Duration::from_millis(750));
        assert!(!pace.is_due());
        pace.begin = pace.begin.and_then(|begin| begin.checked_sub(pace.due()));
        assert!(pace.is_due());
    }

    #[test]
    fn a_row_that_is_larger_gets_what_it_needs() {
        let mut pace = Pace::new(NonZero::new(1).unwrap());
        assert_eq!((pace.bytes(100), pace.bytes(1 << 15)), (100, PAGE_BYTES));
        pace.needs(1000);
        assert_eq!(pace.bytes(1 << 15), 1000);
    }
}
