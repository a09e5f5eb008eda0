//! Key groups: from a key's hash to its group, from the group to a subtask.
//!
//! The ranges are Flink's (`KeyGroupRangeAssignment`): subtask `i` of `p` owns the groups
//! `ceil(i * max / p)` to `ceil((i + 1) * max / p) - 1`. The group of a hash is not: Flink reduces
//! a murmur of Java's 32-bit `hashCode`, we scale our own 64-bit hash, see `millstream-data::hash`.

use alloc::{boxed::Box, vec::Vec};
use core::ops::Range;

/// The largest maximum parallelism.
pub const MAX_PARALLELISM_LIMIT: u32 = 32768;

const MAX_PARALLELISM_FLOOR: u32 = 128;

/// The maximum parallelism of an operator for which none is set: the next power of two above one
/// and a half times its parallelism, at least 128, at most [`MAX_PARALLELISM_LIMIT`].
pub fn default_max_parallelism(parallelism: u32) -> u32 {
    let ample = parallelism.saturating_add(parallelism / 2).min(MAX_PARALLELISM_LIMIT);
    ample.next_power_of_two().clamp(MAX_PARALLELISM_FLOOR, MAX_PARALLELISM_LIMIT)
}

/// The key groups of an operator and the subtasks that own them.
#[derive(Clone, Debug)]
pub struct KeyGroups {
    parallelism: u32,
    /// By key group: the subtask that owns it.
    owners: Box<[u16]>,
}

impl KeyGroups {
    /// The key groups of an operator.
    ///
    /// # Panics
    /// If `parallelism` is 0 or above `max_parallelism`, or that above [`MAX_PARALLELISM_LIMIT`]:
    /// the job graph has checked both.
    pub fn new(parallelism: u32, max_parallelism: u32) -> Self {
        assert!(0 < parallelism && parallelism <= max_parallelism, "parallelism {parallelism}");
        assert!(max_parallelism <= MAX_PARALLELISM_LIMIT, "max parallelism {max_parallelism}");
        let owner = |group: u32| {
            (u64::from(group) * u64::from(parallelism) / u64::from(max_parallelism)) as u16
        };
        let owners: Vec<_> = (0..max_parallelism).map(owner).collect();
        Self { parallelism, owners: owners.into() }
    }

    /// The number of key groups.
    pub fn max_parallelism(&self) -> u32 {
        self.owners.len() as u32
    }

    /// The number of subtasks.
    pub fn parallelism(&self) -> u32 {
        self.parallelism
    }

    /// The key group of a hash.
    #[inline(always)]
    pub fn group(&self, hash: u64) -> u32 {
        ((u128::from(hash) * self.owners.len() as u128) >> 64) as u32
    }

    /// The subtask that owns the key group of a hash.
    #[inline(always)]
    pub fn owner(&self, hash: u64) -> u32 {
        u32::from(self.owners[self.group(hash) as usize])
    }

    /// The key groups that `subtask` owns.
    pub fn range(&self, subtask: u32) -> Range<u32> {
        let bound = |subtask: u32| {
            let max = u64::from(self.max_parallelism());
            (u64::from(subtask) * max).div_ceil(u64::from(self.parallelism)) as u32
        };
        bound(subtask)..bound(subtask + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_max_parallelism_is_flinks() {
        for (parallelism, max) in
            [(1, 128), (85, 128), (86, 256), (171, 256), (200, 512), (20000, 32768)]
        {
            assert_eq!(default_max_parallelism(parallelism), max, "at {parallelism}");
        }
    }

    #[test]
    fn ranges_are_flinks() {
        let groups = KeyGroups::new(3, 128);
        assert_eq!([0, 1, 2].map(|i| groups.range(i)), [0..43, 43..86, 86..128]);
    }

    #[test]
    fn every_group_has_one_owner_and_lies_in_its_range() {
        for (parallelism, max) in [(1, 1), (2, 128), (3, 128), (7, 10), (128, 128), (5, 32768)] {
            let groups = KeyGroups::new(parallelism, max);
            for group in 0..max {
                // The smallest hash of the group.
                let hash = ((u128::from(group) << 64).div_ceil(u128::from(max))) as u64;
                assert_eq!(groups.group(hash), group);
                assert!(groups.range(groups.owner(hash)).contains(&group), "{group} of {max}");
            }
        }
    }
}
