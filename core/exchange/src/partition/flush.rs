//! When a page that is not full is sealed anyway.

use core::time::Duration;

/// How long a row may wait in a page that is not full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushPolicy {
    /// At most this many milliseconds; 0 is [`EachRecord`](Self::EachRecord).
    Millis(u32),
    /// Not at all.
    EachRecord,
    /// Until the page is full or an event follows it.
    OnlyFull,
}

impl FlushPolicy {
    /// The policy that users write as one number: milliseconds, 0 for each record, −1 for full
    /// pages only. `None` for any other number.
    pub fn from_millis(millis: i64) -> Option<Self> {
        match millis {
            -1 => Some(Self::OnlyFull),
            0 => Some(Self::EachRecord),
            _ => u32::try_from(millis).ok().map(Self::Millis),
        }
    }
}

impl Default for FlushPolicy {
    /// 100 ms.
    fn default() -> Self {
        Self::Millis(100)
    }
}

/// The clockwork of a [`FlushPolicy`] for all pages of a partition together.
///
/// The time runs from the first row that no flush has covered yet, so no row waits longer than the
/// policy says; a younger page is flushed along with the oldest.
#[derive(Debug)]
pub struct FlushTimer {
    policy: FlushPolicy,
    deadline: Option<Duration>,
}

impl FlushTimer {
    /// A timer that is not running.
    pub fn new(policy: FlushPolicy) -> Self {
        let policy =
            if policy == FlushPolicy::Millis(0) { FlushPolicy::EachRecord } else { policy };
        Self { policy, deadline: None }
    }

    /// Whether every row is flushed as soon as it is written.
    pub fn each_record(&self) -> bool {
        self.policy == FlushPolicy::EachRecord
    }

    /// The first row of a page was written. Starts the timer unless it runs.
    pub fn page_opened(&mut self, now: Duration) {
        if let FlushPolicy::Millis(millis) = self.policy {
            let deadline = now.saturating_add(Duration::from_millis(millis.into()));
            self.deadline.get_or_insert(deadline);
        }
    }

    /// When [`due`](Self::due) becomes true.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// Whether to flush now; true once per deadline.
    pub fn due(&mut self, now: Duration) -> bool {
        self.deadline.take_if(|deadline| *deadline <= now).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_oldest_row_sets_the_deadline() {
        let mut timer = FlushTimer::new(FlushPolicy::Millis(100));
        assert_eq!(timer.next_deadline(), None);
        timer.page_opened(5 * MS);
        timer.page_opened(50 * MS);
        assert_eq!(timer.next_deadline(), Some(105 * MS));
        assert!(!timer.due(104 * MS));
        assert!(timer.due(105 * MS));
        assert!(!timer.due(300 * MS), "once per deadline");
        timer.page_opened(300 * MS);
        assert_eq!(timer.next_deadline(), Some(400 * MS));
        assert!(!timer.each_record());
    }

    #[test]
    fn the_other_policies_need_no_timer() {
        for policy in [FlushPolicy::EachRecord, FlushPolicy::Millis(0), FlushPolicy::OnlyFull] {
            let mut timer = FlushTimer::new(policy);
            timer.page_opened(MS);
            assert_eq!(timer.next_deadline(), None);
            assert!(!timer.due(Duration::MAX));
            assert_eq!(timer.each_record(), policy != FlushPolicy::OnlyFull);
        }
    }

    #[test]
    fn users_write_one_number() {
        assert_eq!(FlushPolicy::from_millis(100), Some(FlushPolicy::default()));
        assert_eq!(FlushPolicy::from_millis(0), Some(FlushPolicy::EachRecord));
        assert_eq!(FlushPolicy::from_millis(-1), Some(FlushPolicy::OnlyFull));
        assert_eq!(FlushPolicy::from_millis(-2), None);
        assert_eq!(FlushPolicy::from_millis(1 << 32), None);
    }
}
