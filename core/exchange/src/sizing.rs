//! How many segments gates and partitions need, before anything runs.
//!
//! With the pools' minima known, a scheduler can say before it deploys a job what the job needs,
//! instead of failing in the middle with too few buffers.

use core::fmt;

/// Exclusive buffers per channel, unless configured.
pub const EXCLUSIVE_BUFFERS_DEFAULT: u32 = 2;

/// Floating buffers per gate, unless configured.
pub const FLOATING_BUFFERS_DEFAULT: u32 = 8;

/// What a gate takes from the global pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateBuffers {
    /// Buffers of each channel's own: its initial credit.
    pub exclusive_per_channel: u32,
    /// Without this many floating buffers the gate does not start; at least 1.
    pub floating_required: u32,
    /// It uses up to this many.
    pub floating_max: u32,
    /// One more, or none: a segment for the jumbo row that must be able to proceed, where channels
    /// have none of their own (see [`JumboGate`](crate::gate::JumboGate)).
    pub aside: u32,
}

impl GateBuffers {
    /// Divides the buffers of a gate of `channels` channels.
    ///
    /// `required_max` limits what the gate insists on: a gate of very many channels then starts
    /// with fewer exclusive buffers, down to none, and lives on floating ones. Pipelined
    /// streaming has no such limit (`None`), batch uses 1000.
    ///
    /// # Errors
    /// [`SizingError`] when there would be no buffer to start with.
    pub fn plan(
        channels: u32,
        exclusive: u32,
        floating: u32,
        required_max: Option<u32>,
    ) -> Result<Self, SizingError> {
        let error = SizingError { channels, exclusive, floating, required_max };
        if channels == 0 || required_max == Some(0) {
            return Err(error);
        }
        let own = channels.checked_mul(exclusive).ok_or(error)?;
        let target = own.checked_add(floating).ok_or(error)?;
        let required = own.checked_add(1).ok_or(error)?.min(required_max.unwrap_or(u32::MAX));
        let exclusive_per_channel = exclusive.min((required - 1) / channels);
        let effective = exclusive_per_channel * channels;
        let floating_required = required - effective;
        // At least one buffer floats, also where none was configured to.
        let floating_max = (target - effective).max(floating_required);
        let aside = u32::from(exclusive_per_channel == 0);
        Ok(Self { exclusive_per_channel, floating_required, floating_max, aside })
    }
}

/// What a result partition takes from the global pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionBuffers {
    /// Without this many buffers the partition does not start.
    pub required: u32,
    /// It uses up to this many.
    pub max: u32,
}

impl PartitionBuffers {
    /// One buffer for each subpartition and one to go on with; at most two each and
    /// `floating` in common.
    ///
    /// # Errors
    /// [`SizingError`] when the sum is beyond all counting.
    pub fn plan(subpartitions: u32, floating: u32) -> Result<Self, SizingError> {
        let exclusive = EXCLUSIVE_BUFFERS_DEFAULT;
        let error =
            SizingError { channels: subpartitions, exclusive, floating, required_max: None };
        let required = subpartitions.checked_add(1).ok_or(error)?;
        let own = subpartitions.checked_mul(exclusive).ok_or(error)?;
        let max = own.checked_add(floating).ok_or(error)?.max(required);
        Ok(Self { required, max })
    }
}

/// No gate or partition can be made of these numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizingError {
    /// Channels of the gate, or subpartitions.
    pub channels: u32,
    /// Exclusive buffers per channel.
    pub exclusive: u32,
    /// Floating buffers.
    pub floating: u32,
    /// What the gate may insist on.
    pub required_max: Option<u32>,
}

impl fmt::Display for SizingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { channels, exclusive, floating, required_max } = self;
        write!(
            f,
            "no buffers for {channels} channels x {exclusive} exclusive + {floating} floating"
        )?;
        match required_max {
            Some(max) => write!(f, ", of which at most {max} may be required"),
            None => Ok(()),
        }
    }
}

impl core::error::Error for SizingError {}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    fn gate(channels: u32, exclusive: u32, floating: u32, max: Option<u32>) -> (u32, u32, u32) {
        let plan = GateBuffers::plan(channels, exclusive, floating, max).expect("sane numbers");
        assert_eq!(plan.aside == 1, plan.exclusive_per_channel == 0);
        (plan.exclusive_per_channel, plan.floating_required, plan.floating_max)
    }

    #[test]
    fn streaming_gates_get_what_is_configured() {
        assert_eq!(gate(4, 2, 8, None), (2, 1, 8));
        assert_eq!(gate(1, 0, 1, None), (0, 1, 1));
        assert_eq!(gate(3, 2, 0, None), (2, 1, 1), "one buffer always floats");
    }

    #[test]
    fn limited_gates_live_on_floating_buffers() {
        // Of what is required one must float: 999 are left to divide.
        assert_eq!(gate(499, 2, 8, Some(1000)), (2, 1, 8));
        assert_eq!(gate(500, 2, 8, Some(1000)), (1, 500, 508));
        assert_eq!(gate(900, 2, 8, Some(1000)), (1, 100, 908));
        assert_eq!(gate(1000, 2, 8, Some(1000)), (0, 1000, 2008));
    }

    #[test]
    fn impossible_numbers_are_refused() {
        assert!(GateBuffers::plan(0, 2, 8, None).is_err());
        assert!(GateBuffers::plan(1, 2, 8, Some(0)).is_err());
        assert!(GateBuffers::plan(1 << 31, 2, 8, None).is_err());
        assert!(PartitionBuffers::plan(u32::MAX, 8).is_err());
        let error = GateBuffers::plan(0, 2, 8, Some(3)).unwrap_err();
        let text = "no buffers for 0 channels x 2 exclusive + 8 floating, of which at most 3 may \
                    be required";
        assert_eq!(error.to_string(), text);
    }

    #[test]
    fn partitions_get_one_each_and_one_to_go_on_with() {
        assert_eq!(PartitionBuffers::plan(4, 8), Ok(PartitionBuffers { required: 5, max: 16 }));
        assert_eq!(PartitionBuffers::plan(1, 0), Ok(PartitionBuffers { required: 2, max: 2 }));
    }
}
