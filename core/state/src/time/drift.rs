//! Sources that wait for one another.

use alloc::collections::BTreeMap;

use super::WATERMARK_MAX;

/// How far the members of a group, sources or splits, may be ahead of the one that is furthest behind:
/// Flink's watermark alignment. Who is further waits, so that what the others have not read yet need
/// not be kept for it in state.
#[derive(Clone, Debug)]
pub struct Drift {
    largest: i64,
    /// Watermarks by member; idle ones have none.
    members: BTreeMap<u64, Option<i64>>,
}

impl Drift {
    /// A group whose members may be ahead by so much. A negative drift counts as 0.
    pub fn new(largest: i64) -> Self {
        Self { largest: largest.max(0), members: BTreeMap::new() }
    }

    /// A member has come so far; `None` if it is idle, and so holds nobody back.
    pub fn report(&mut self, member: u64, watermark: Option<i64>) {
        self.members.insert(member, watermark);
    }

    /// A member has ended, or left the group.
    pub fn leave(&mut self, member: u64) {
        self.members.remove(&member);
    }

    /// How far the last has come; `None` if nobody has reported who is not idle.
    pub fn least(&self) -> Option<i64> {
        self.members.values().flatten().min().copied()
    }

    /// How far anybody may go: who is beyond waits. Everybody may go on if nobody has reported.
    pub fn allowed(&self) -> i64 {
        let least = self.least();
        least.map_or(WATERMARK_MAX, |least| least.saturating_add(self.largest))
    }

    /// Whether who has come so far has to wait.
    pub fn has_to_wait(&self, watermark: i64) -> bool {
        watermark > self.allowed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_too_far_ahead_waits_for_the_last() {
        let mut group = Drift::new(10);
        assert!(!group.has_to_wait(i64::MAX), "nobody is behind");
        group.report(1, Some(100));
        group.report(2, Some(105));
        assert_eq!((group.least(), group.allowed()), (Some(100), 110));
        assert!(!group.has_to_wait(110) && group.has_to_wait(111));
        group.report(1, Some(120));
        assert_eq!(group.allowed(), 115);
        // Who is idle or gone holds nobody back.
        group.report(2, None);
        assert_eq!(group.allowed(), 130);
        group.report(2, Some(121));
        group.leave(1);
        assert_eq!(group.allowed(), 131);
        group.report(3, Some(i64::MAX));
        group.leave(2);
        assert_eq!(group.allowed(), i64::MAX);
    }
}
