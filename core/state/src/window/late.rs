//! Rows that come too late, and windows that may be forgotten.

use super::Window;

/// How long a window is kept beyond its end for rows that come late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lateness {
    allowed: i64,
}

impl Lateness {
    /// Rows may be late by so much. A negative lateness counts as 0.
    pub fn of(allowed: i64) -> Self {
        Self { allowed: allowed.max(0) }
    }

    /// When a window may be forgotten: once the watermark has reached this time.
    #[inline]
    pub fn cleanup_time(&self, window: &Window) -> i64 {
        window.max_time().saturating_add(self.allowed)
    }

    /// Whether a row for this window comes too late.
    #[inline]
    pub fn is_late(&self, window: &Window, watermark: i64) -> bool {
        self.cleanup_time(window) <= watermark
    }

    /// Whether a row that found all of its windows [late](Self::is_late), or none at all, is late itself
    /// and so goes to the side output. One that fell between windows is not.
    #[inline]
    pub fn is_row_late(&self, time: i64, watermark: i64) -> bool {
        time.saturating_add(self.allowed) <= watermark
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_late_once_the_watermark_has_reached_its_last_time() {
        let window = Window { start: 0, end: 10 };
        let strict = Lateness::default();
        assert_eq!(strict.cleanup_time(&window), 9);
        assert!(!strict.is_late(&window, 8) && strict.is_late(&window, 9));
        let patient = Lateness::of(5);
        assert!(!patient.is_late(&window, 13) && patient.is_late(&window, 14));
        assert!(!patient.is_row_late(3, 7) && patient.is_row_late(3, 8));
    }

    #[test]
    fn the_end_of_time_is_never_late_by_overflow() {
        let last = Window { start: i64::MAX - 5, end: i64::MAX };
        assert_eq!(Lateness::of(i64::MAX).cleanup_time(&last), i64::MAX);
        assert!(!Lateness::of(10).is_late(&last, i64::MAX - 1));
    }
}
