//! When a source counts as idle.

/// Declares a source idle that has had no row for a time. Time in which it could not have one, because
/// it was blocked by backpressure or waited for others to catch up, does not count (as in Flink since
/// 2.0: otherwise a slow sink makes its sources idle, and their rows late).
///
/// Times are microseconds of one clock that never goes back.
#[derive(Clone, Copy, Debug)]
pub struct Idleness {
    timeout: u64,
    /// When the source would be idle, if nothing comes before.
    idle_at: u64,
    /// Since when it is blocked.
    blocked_since: Option<u64>,
    idle: bool,
}

impl Idleness {
    /// A source that begins now, and is idle after `timeout`. One that never has a row becomes idle,
    /// too.
    pub fn new(timeout: u64, now: u64) -> Self {
        let idle_at = now.saturating_add(timeout);
        Self { timeout, idle_at, blocked_since: None, idle: false }
    }

    /// There was a row; `true` if the source is active again.
    pub fn row(&mut self, now: u64) -> bool {
        self.idle_at = now.saturating_add(self.timeout);
        // A row that comes while the source is blocked begins the time anew when it no longer is.
        if let Some(since) = &mut self.blocked_since {
            *since = now;
        }
        core::mem::take(&mut self.idle)
    }

    /// From now on there can be no row.
    pub fn blocked(&mut self, now: u64) {
        self.blocked_since.get_or_insert(now);
    }

    /// From now on there can be rows again.
    pub fn unblocked(&mut self, now: u64) {
        if let Some(since) = self.blocked_since.take() {
            self.idle_at = self.idle_at.saturating_add(now.saturating_sub(since));
        }
    }

    /// When to [check](Self::check).
    pub fn deadline(&self) -> Option<u64> {
        (!self.idle && self.blocked_since.is_none()).then_some(self.idle_at)
    }

    /// `true` if the source has become idle.
    pub fn check(&mut self, now: u64) -> bool {
        let due = self.deadline().is_some_and(|at| at <= now);
        self.idle |= due;
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_without_rows_becomes_idle_once() {
        let mut idleness = Idleness::new(100, 0);
        assert_eq!(idleness.deadline(), Some(100));
        assert!(!idleness.check(99));
        assert!(!idleness.row(50));
        assert!(!idleness.check(149));
        assert!(idleness.check(150));
        assert!(!idleness.check(200), "it is idle already");
        assert_eq!(idleness.deadline(), None);
        assert!(idleness.row(300), "active again");
        assert_eq!(idleness.deadline(), Some(400));
    }

    #[test]
    fn time_in_which_it_was_blocked_does_not_count() {
        let mut idleness = Idleness::new(100, 0);
        idleness.blocked(40);
        idleness.blocked(60);
        assert_eq!(idleness.deadline(), None);
        assert!(!idleness.check(1000));
        idleness.unblocked(1040);
        assert_eq!(idleness.deadline(), Some(1100), "40 of 100 had passed");
        idleness.unblocked(1050);
        assert!(idleness.check(1100));
        // A row while it is blocked begins the time anew.
        assert!(idleness.row(1200));
        idleness.blocked(1210);
        assert!(!idleness.row(1300));
        idleness.unblocked(1400);
        assert_eq!(idleness.deadline(), Some(1500));
    }
}
