//! Making watermarks.

use super::WATERMARK_MIN;

/// The watermark of rows that are out of order by at most a bound: behind the largest time so far, the
/// bound, and one step. With a bound of 0 rows are in order (Flink's monotonous timestamps).
///
/// It is exact: [`Bounded::watermark`] is true at the row that raised it, so whether a row is late does
/// not depend on pages or on time between looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounded {
    bound: i64,
    largest: i64,
}

impl Bounded {
    /// The watermark before the first row. A negative bound counts as 0.
    pub fn new(bound: i64) -> Self {
        Self { bound: bound.max(0), largest: WATERMARK_MIN }
    }

    /// Takes the time of a row; `true` if it is behind the watermark of those before it.
    #[inline(always)]
    pub fn observe(&mut self, time: i64) -> bool {
        // In order is the usual case, and then there is nothing to compare with.
        if time >= self.largest {
            self.largest = time;
            return false;
        }
        time <= self.watermark()
    }

    /// The watermark of the rows so far.
    #[inline(always)]
    pub fn watermark(&self) -> i64 {
        self.largest.saturating_sub(self.bound).saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watermark_is_behind_the_largest_time_and_the_bound() {
        let mut bounded = Bounded::new(10);
        assert_eq!(bounded.watermark(), WATERMARK_MIN);
        assert!(!bounded.observe(100));
        assert_eq!(bounded.watermark(), 89);
        assert!(!bounded.observe(90) && bounded.observe(89));
        assert_eq!(bounded.watermark(), 89);
        assert!(!bounded.observe(200) && bounded.observe(100));
    }

    #[test]
    fn the_ends_of_time_do_not_overflow() {
        let mut bounded = Bounded::new(i64::MAX);
        assert!(!bounded.observe(i64::MIN));
        assert_eq!(bounded.watermark(), WATERMARK_MIN);
        assert!(!bounded.observe(i64::MAX));
        assert_eq!(bounded.watermark(), -1);
    }
}
