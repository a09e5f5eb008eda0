//! How many segments a gate and a partition want.
//!
//! Pure arithmetic that sender, receiver, planner and configuration share, so that a job's demand
//! is known, and can be shown, before anything is deployed.

use core::error::Error;
use core::fmt;

/// Exclusive segments of each input channel by default.
pub const EXCLUSIVE_DEFAULT: usize = 2;
/// Floating segments of each gate by default.
pub const FLOATING_DEFAULT: usize = 8;
/// Required segments of one gate at most, for blocking exchanges; pipelined ones have no threshold.
pub const REQUIRED_MAX_BLOCKING: usize = 1000;
/// Segments queued in one subpartition at most.
pub const SUBPARTITION_SEGMENTS_MAX: usize = 10;

/// The segments of one input gate.
///
/// Each channel has exclusive ones, so that it always makes progress; floating ones go to the
/// channels with a backlog. When a gate has so many channels that their exclusive segments exceed
/// the threshold, some or all of these become floating, so that the gate can start with fewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GateSegments {
    /// What the gate uses when it can: the maximum of its pool.
    pub target: usize,
    /// What it cannot start without.
    pub required: usize,
    /// Exclusive segments of each channel, after the threshold.
    pub exclusive: usize,
    /// Floating segments that are part of `required`; at least 1.
    pub floating_required: usize,
    /// Floating segments in all.
    pub floating_total: usize,
    /// One segment beyond the pool where channels have none of their own, else 0: for the row of
    /// several fragments that has memory, which the others that wait for it must not starve.
    pub aside: usize,
}

impl GateSegments {
    /// Of a gate with `channels` channels, `exclusive` segments each and `floating` in common (at
    /// least 1), that may start with `required_max` segments (`None` for pipelined exchanges, which
    /// have no threshold).
    ///
    /// # Errors
    ///
    /// [`DemandError`] when a number is 0 that must not be, or the sum is absurd.
    pub fn new(
        channels: usize,
        exclusive: usize,
        floating: usize,
        required_max: Option<usize>,
    ) -> Result<Self, DemandError> {
        let required_max = required_max.unwrap_or(usize::MAX);
        if channels == 0 || required_max == 0 {
            return Err(DemandError::Nothing);
        }
        let floating = floating.max(1);
        let target = channels
            .checked_mul(exclusive)
            .and_then(|exclusive| exclusive.checked_add(floating))
            .filter(|target| *target <= SEGMENTS_MAX)
            .ok_or(DemandError::TooMany { channels })?;
        let required = required_max.min(channels * exclusive + 1);
        let exclusive = exclusive.min((required - 1) / channels);
        Ok(Self {
            target,
            required,
            exclusive,
            floating_required: required - exclusive * channels,
            floating_total: target - exclusive * channels,
            aside: usize::from(exclusive == 0),
        })
    }
}

/// The segments of one result partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionSegments {
    /// What the partition cannot start without: one to fill for each subpartition, and one more.
    pub required: usize,
    /// What it uses when it can.
    pub max: usize,
}

impl PartitionSegments {
    /// Of a partition with `subpartitions` subpartitions, `exclusive` segments for each and
    /// `floating` in common at most.
    ///
    /// # Errors
    ///
    /// [`DemandError`] when there is no subpartition, or the sum is absurd.
    pub fn new(
        subpartitions: usize,
        exclusive: usize,
        floating: usize,
    ) -> Result<Self, DemandError> {
        if subpartitions == 0 {
            return Err(DemandError::Nothing);
        }
        let too_many = DemandError::TooMany { channels: subpartitions };
        let max = subpartitions
            .checked_mul(exclusive)
            .and_then(|exclusive| exclusive.checked_add(floating))
            .filter(|max| *max <= SEGMENTS_MAX && subpartitions < SEGMENTS_MAX)
            .ok_or(too_many)?;
        let required = subpartitions + 1;
        Ok(Self { required, max: max.max(required) })
    }
}

/// The segments in flight that keep a connection busy: throughput × round trip / segment size,
/// rounded up; at least 1.
///
/// # Panics
///
/// When `segment_size` is 0.
pub fn segments_in_flight(
    bytes_per_second: u64,
    round_trip_microseconds: u64,
    segment_size: usize,
) -> u64 {
    assert!(segment_size > 0, "a segment has bytes");
    let bytes = u128::from(bytes_per_second) * u128::from(round_trip_microseconds) / 1_000_000;
    u64::try_from(bytes.div_ceil(segment_size as u128)).unwrap_or(u64::MAX).max(1)
}

/// More segments than a pool can have.
const SEGMENTS_MAX: usize = crate::store::SEGMENTS_MAX;

/// Numbers from which no demand can be computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DemandError {
    /// No channel, no subpartition, or a threshold of 0.
    Nothing,
    /// More segments than any pool has.
    TooMany {
        /// Channels or subpartitions.
        channels: usize,
    },
}

impl fmt::Display for DemandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str(
                "an exchange needs at least one channel and one segment; check the parallelism and \
                 the options of `exchange`",
            ),
            Self::TooMany { channels } => write!(
                f,
                "an exchange of {channels} channels would need more segments than a pool can have; \
                 lower the parallelism or the segments of each channel"
            ),
        }
    }
}

impl Error for DemandError {}

#[cfg(all(test, not(loom)))]
mod tests {
    use proptest::prelude::*;

    use super::{
        DemandError, EXCLUSIVE_DEFAULT, FLOATING_DEFAULT, GateSegments, PartitionSegments,
        REQUIRED_MAX_BLOCKING, segments_in_flight,
    };

    fn gate(channels: usize, required_max: Option<usize>) -> [usize; 5] {
        let gate =
            GateSegments::new(channels, EXCLUSIVE_DEFAULT, FLOATING_DEFAULT, required_max).unwrap();
        assert_eq!(gate.aside == 1, gate.exclusive == 0);
        let GateSegments { target, required, exclusive, floating_required, floating_total, .. } =
            gate;
        [target, required, exclusive, floating_required, floating_total]
    }

    #[test]
    fn golden_vectors_of_gates() {
        assert_eq!(gate(1, None), [10, 3, 2, 1, 8]);
        assert_eq!(gate(4, None), [16, 9, 2, 1, 8]);
        assert_eq!(gate(600, None), [1208, 1201, 2, 1, 8]);
        let threshold = Some(REQUIRED_MAX_BLOCKING);
        assert_eq!(gate(499, threshold), [1006, 999, 2, 1, 8]);
        assert_eq!(gate(500, threshold), [1008, 1000, 1, 500, 508], "one below 2 × 500 + 1");
        assert_eq!(gate(999, threshold), [2006, 1000, 1, 1, 1007]);
        assert_eq!(gate(1000, threshold), [2008, 1000, 0, 1000, 2008]);
        assert_eq!(gate(4, Some(1)), [16, 1, 0, 1, 16]);
    }

    #[test]
    fn golden_vectors_of_partitions() {
        let partition = |n, exclusive, floating| {
            let PartitionSegments { required, max } =
                PartitionSegments::new(n, exclusive, floating).unwrap();
            (required, max)
        };
        assert_eq!(partition(1, 2, 8), (2, 10));
        assert_eq!(partition(100, 2, 8), (101, 208));
        assert_eq!(partition(3, 0, 2), (4, 4), "the maximum is never below the minimum");
    }

    #[test]
    fn a_rule_of_thumb_for_connections() {
        assert_eq!(segments_in_flight(320_000_000, 1_000, 32 << 10), 10);
        assert_eq!(segments_in_flight(0, 1_000, 32 << 10), 1);
        assert_eq!(segments_in_flight(u64::MAX, u64::MAX, 1), u64::MAX);
    }

    #[test]
    fn impossible_numbers_are_refused() {
        assert_eq!(GateSegments::new(0, 2, 8, None), Err(DemandError::Nothing));
        assert_eq!(GateSegments::new(1, 2, 8, Some(0)), Err(DemandError::Nothing));
        let too_many = DemandError::TooMany { channels: usize::MAX };
        assert_eq!(GateSegments::new(usize::MAX, 2, 8, None), Err(too_many));
        assert_eq!(PartitionSegments::new(usize::MAX, 0, 0), Err(too_many));
        assert_eq!(PartitionSegments::new(0, 2, 8), Err(DemandError::Nothing));
    }

    proptest! {
        #[test]
        fn a_gate_always_has_a_floating_segment_and_adds_up(
            channels in 1usize..3_000,
            exclusive in 0usize..5,
            floating in 0usize..20,
            required_max in proptest::option::of(1usize..3_000),
        ) {
            let gate = GateSegments::new(channels, exclusive, floating, required_max).unwrap();
            prop_assert!(gate.floating_required >= 1);
            prop_assert!(gate.floating_required <= gate.floating_total);
            prop_assert_eq!(gate.exclusive * channels + gate.floating_total, gate.target);
            prop_assert_eq!(gate.exclusive * channels + gate.floating_required, gate.required);
            prop_assert!(gate.exclusive <= exclusive);
            prop_assert!(gate.required <= required_max.unwrap_or(usize::MAX));
        }
    }
}
