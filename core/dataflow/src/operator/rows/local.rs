//! Windows of local time: what the clocks of a place show.

use core::fmt;

use alloc::sync::Arc;

use millstream_state::time::{WATERMARK_MAX, WATERMARK_MIN};

/// How the clocks of a place go, where an hour may be skipped or come twice. All times are milliseconds: an
/// instant since 1970 in UTC, what clocks show since 1970 as they would show it.
pub trait LocalTime: fmt::Debug + Send + Sync {
    /// What they show at an instant.
    fn at(&self, instant: i64) -> i64;

    /// The instant at which they show a time: the first one, if they show it twice; where it is skipped, as long
    /// after the one at which they do so.
    fn instant(&self, local: i64) -> i64;

    /// The instant from which on they show later times than this one only: the second one, if they show it
    /// twice; where it is skipped the one at which they do so.
    fn over(&self, local: i64) -> i64;
}

/// The clock that windows go by: that of a place, or UTC.
#[derive(Clone, Debug, Default)]
pub struct WindowClock(Option<Arc<dyn LocalTime>>);

impl WindowClock {
    /// That of a place.
    pub fn of(place: Arc<dyn LocalTime>) -> Self {
        Self(Some(place))
    }

    /// What it shows at an instant.
    pub(super) fn at(&self, instant: i64) -> i64 {
        match &self.0 {
            Some(place) if !is_bound(instant) => place.at(instant),
            _ => instant,
        }
    }

    /// The instant at which it shows a time.
    pub(super) fn instant(&self, local: i64) -> i64 {
        match &self.0 {
            Some(place) if !is_bound(local) => place.instant(local),
            _ => local,
        }
    }

    /// The last time that has passed at an instant, and will not be shown again: an hour that comes twice has
    /// not passed before it has come twice.
    pub(super) fn passed(&self, instant: i64) -> i64 {
        match &self.0 {
            Some(place) if !is_bound(instant) => {
                let shown = place.at(instant);
                if place.over(shown) <= instant {
                    return shown;
                }
                // It is shown for the first time: clocks have got no further than to where that began.
                let (mut passed, mut not_yet) = (shown.saturating_sub(DAY), shown);
                while not_yet.saturating_sub(passed) > 1 {
                    let between = passed + (not_yet - passed) / 2;
                    match place.over(between) <= instant {
                        true => passed = between,
                        false => not_yet = between,
                    }
                }
                passed
            }
            _ => instant,
        }
    }

    /// The end of the windows that have ended last at an instant of processing time.
    pub(super) fn reached(&self, instant: i64) -> i64 {
        match self.0 {
            Some(_) => self.passed(instant.saturating_sub(1)).saturating_add(1),
            None => instant,
        }
    }

    /// The instant at which a window that ends at this time has ended.
    pub(super) fn ended(&self, end: i64) -> i64 {
        match &self.0 {
            Some(place) if !is_bound(end) => place.over(end.saturating_sub(1)).saturating_add(1),
            _ => end,
        }
    }
}

/// More than clocks are ever set back by, in milliseconds.
const DAY: i64 = 86_400_000;

/// Whether it stands for no time.
fn is_bound(time: i64) -> bool {
    matches!(time, WATERMARK_MIN | WATERMARK_MAX)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::operator::rows) const HOUR: i64 = 3_600_000;

    /// Clocks that are put back by an hour at 10:00 of their own, and are those of UTC then; at 20:00 they are
    /// put forward by an hour.
    #[derive(Debug)]
    pub(in crate::operator::rows) struct Autumn;

    impl LocalTime for Autumn {
        fn at(&self, instant: i64) -> i64 {
            let is_utc = (9 * HOUR..20 * HOUR).contains(&instant);
            if is_utc { instant } else { instant + HOUR }
        }

        fn instant(&self, local: i64) -> i64 {
            let is_utc = (10 * HOUR..20 * HOUR).contains(&local);
            if is_utc { local } else { local - HOUR }
        }

        fn over(&self, local: i64) -> i64 {
            match local {
                ..32_400_000 => local - HOUR,
                32_400_000..72_000_000 => local,
                72_000_000..75_600_000 => 20 * HOUR,
                _ => local - HOUR,
            }
        }
    }

    #[test]
    fn what_comes_twice_has_passed_the_second_time() {
        let clock = WindowClock::of(Arc::new(Autumn));
        for (instant, shown, passed) in [
            (7 * HOUR, 8 * HOUR, 8 * HOUR),
            (8 * HOUR - 1, 9 * HOUR - 1, 9 * HOUR - 1),
            (8 * HOUR, 9 * HOUR, 9 * HOUR - 1),
            (9 * HOUR - 1, 10 * HOUR - 1, 9 * HOUR - 1),
            (9 * HOUR, 9 * HOUR, 9 * HOUR),
            (10 * HOUR, 10 * HOUR, 10 * HOUR),
            (20 * HOUR - 1, 20 * HOUR - 1, 20 * HOUR - 1),
            (20 * HOUR, 21 * HOUR, 21 * HOUR),
            (WATERMARK_MIN, WATERMARK_MIN, WATERMARK_MIN),
            (WATERMARK_MAX, WATERMARK_MAX, WATERMARK_MAX),
        ] {
            assert_eq!((clock.at(instant), clock.passed(instant)), (shown, passed), "{instant}");
        }
        assert_eq!((clock.instant(9 * HOUR), clock.instant(10 * HOUR)), (8 * HOUR, 10 * HOUR));
        assert_eq!((clock.reached(9 * HOUR - 1), clock.reached(8 * HOUR)), (9 * HOUR, 9 * HOUR));
        assert_eq!(clock.ended(9 * HOUR), 8 * HOUR);
        assert_eq!(clock.ended(10 * HOUR), 10 * HOUR);
        assert_eq!(clock.ended(21 * HOUR), 20 * HOUR + 1);
    }

    #[test]
    fn without_a_place_times_are_those_of_utc() {
        let clock = WindowClock::default();
        assert_eq!((clock.at(5), clock.instant(5), clock.passed(5)), (5, 5, 5));
        assert_eq!((clock.reached(5), clock.ended(5)), (5, 5));
    }
}
