//! What an operator costs, to size network and managed memory before it runs.
//!
//! The cost of an operator is the sum of four terms: *input* and *output*, the segments of its
//! gates and partitions; *state*, what its keys occupy; and *operator*, what it works with (sort
//! buffers, hash tables). The first two come out of network memory and follow from the graph. The
//! third nobody can know beforehand: it is fitted from what running operators measured.

use alloc::vec::Vec;
use core::error::Error;
use core::fmt;

use crate::demand::{GateSegments, PartitionSegments};
use crate::model::{MemoryOptions, option};

/// The memory that one subtask of an operator needs, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Segments of its gates, as many as it can use.
    pub input: u64,
    /// Segments of its partitions, as many as it can use.
    pub output: u64,
    /// What its keys occupy.
    pub state: u64,
    /// What it works with.
    pub operator: u64,
    /// The part of `input` and `output` that it cannot start without.
    pub required: u64,
}

impl Cost {
    /// The cost with one more gate: segment size × segments of all its channels.
    #[must_use]
    pub fn with_gate(mut self, gate: GateSegments, segment_size: usize) -> Self {
        self.input += bytes(gate.target, segment_size);
        self.required += bytes(gate.required, segment_size);
        self
    }

    /// The cost with one more partition: segment size × segments of all its subpartitions.
    #[must_use]
    pub fn with_partition(mut self, partition: PartitionSegments, segment_size: usize) -> Self {
        self.output += bytes(partition.max, segment_size);
        self.required += bytes(partition.required, segment_size);
        self
    }

    /// The cost with the state that `model` expects of `keys` keys.
    #[must_use]
    pub fn with_state(mut self, model: &StateModel, keys: u64) -> Self {
        self.state += model.bytes(keys);
        self
    }

    /// Input + output + state + operator.
    pub fn total(&self) -> u64 {
        self.network() + self.managed()
    }

    /// What comes out of network memory: input + output.
    pub fn network(&self) -> u64 {
        self.input + self.output
    }

    /// What comes out of managed memory: state + operator.
    pub fn managed(&self) -> u64 {
        self.state + self.operator
    }
}

impl core::iter::Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        costs.fold(Self::default(), |sum, cost| Self {
            input: sum.input + cost.input,
            output: sum.output + cost.output,
            state: sum.state + cost.state,
            operator: sum.operator + cost.operator,
            required: sum.required + cost.required,
        })
    }
}

fn bytes(segments: usize, segment_size: usize) -> u64 {
    segments as u64 * segment_size as u64
}

/// The measured state of one subtask at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateSample {
    /// Keys that had state.
    pub keys: u64,
    /// Bytes that it occupied.
    pub bytes: u64,
}

/// How state grows with the number of keys: a base and so much per key.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StateModel {
    /// Bytes without any key: tables, indexes.
    pub base: f64,
    /// Bytes of each key.
    pub per_key: f64,
}

impl StateModel {
    /// The line through `samples` with the smallest squares of deviations.
    ///
    /// Where a line makes no sense (all samples have equally many keys, or the line would fall, or
    /// begin below zero) it is the mean size of a key. `None` when no sample has a key.
    pub fn fit(samples: &[StateSample]) -> Option<Self> {
        let keys: f64 = samples.iter().map(|sample| sample.keys as f64).sum();
        let bytes: f64 = samples.iter().map(|sample| sample.bytes as f64).sum();
        if keys == 0.0 {
            return None;
        }
        let n = samples.len() as f64;
        let (keys_mean, bytes_mean) = (keys / n, bytes / n);
        let (mut spread, mut product) = (0.0, 0.0);
        for sample in samples {
            let deviation = sample.keys as f64 - keys_mean;
            spread += deviation * deviation;
            product += deviation * (sample.bytes as f64 - bytes_mean);
        }
        let per_key = product / spread;
        let base = bytes_mean - per_key * keys_mean;
        if spread > 0.0 && per_key >= 0.0 && base >= 0.0 {
            Some(Self { base, per_key })
        } else {
            Some(Self { base: 0.0, per_key: bytes / keys })
        }
    }

    /// The bytes that `keys` keys will occupy, rounded to the nearest.
    pub fn bytes(&self, keys: u64) -> u64 {
        // Saturates at the ends of the integers, as casts of floating-point numbers do.
        (self.base + self.per_key * keys as f64 + 0.5) as u64
    }
}

/// How much of the engine's memory goes to network and how much to managed memory, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizing {
    /// Network memory.
    pub network: u64,
    /// Managed memory.
    pub managed: u64,
    /// What network memory lacks of what the operators can use: they run, with less in flight.
    pub network_short: u64,
    /// What managed memory lacks of the expected state and work: they run, and spill.
    pub managed_short: u64,
}

impl Sizing {
    /// Shares `available` bytes out to the operators of one process with the costs `costs`.
    ///
    /// With enough for all, network memory gets what it can use and managed memory everything
    /// else, since state grows and data in flight should not. With less, both give up in
    /// proportion, but network memory keeps what the operators cannot start without.
    ///
    /// # Errors
    ///
    /// [`SizingError`] when the required segments alone exceed `available`.
    pub fn plan(
        costs: impl IntoIterator<Item = Cost>,
        available: u64,
    ) -> Result<Self, SizingError> {
        let cost: Cost = costs.into_iter().sum();
        let (network, managed, required) = (cost.network(), cost.managed(), cost.required);
        if required > available {
            return Err(SizingError { required, available });
        }
        let network_now = if network + managed <= available {
            network
        } else {
            let part = u128::from(available) * u128::from(network) / u128::from(network + managed);
            (part as u64).max(required)
        };
        let managed_now = available - network_now;
        Ok(Self {
            network: network_now,
            managed: managed_now,
            network_short: network.saturating_sub(network_now),
            managed_short: managed.saturating_sub(managed_now),
        })
    }

    /// The options with these shares instead of fractions.
    #[must_use]
    pub fn apply(&self, mut options: MemoryOptions) -> MemoryOptions {
        (options.network.min, options.network.max) = (self.network, self.network);
        options.managed = Some(self.managed);
        options
    }
}

/// The operators cannot start with the memory there is; sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizingError {
    /// What they cannot start without.
    pub required: u64,
    /// What there is.
    pub available: u64,
}

impl fmt::Display for SizingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the operators need {} bytes of network memory to start, but only {} bytes can be \
             shared out: {} are missing; raise `{}`, or lower the parallelism or `{}`",
            self.required,
            self.available,
            self.required - self.available,
            option::PROCESS,
            option::SEGMENT_SIZE
        )
    }
}

impl Error for SizingError {}

/// The weight of state among the uses of managed memory in one slot.
pub const WEIGHT_STATE: u32 = 70;
/// The weight of sorting and hashing.
pub const WEIGHT_OPERATOR: u32 = 70;
/// The weight of Python processes.
pub const WEIGHT_PYTHON: u32 = 30;

/// Splits `total` bytes in proportion to `weights`, without a remainder.
///
/// Weights of uses that a slot does not have are left out, so that those that it has share all.
/// Nobody gets anything when all weights are 0.
pub fn split_by_weight(total: u64, weights: &[u32]) -> Vec<u64> {
    let sum: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
    let (mut weight_so_far, mut given_so_far) = (0, 0);
    weights
        .iter()
        .map(|weight| {
            weight_so_far += u128::from(*weight);
            let given_now = match sum {
                0 => 0,
                _ => (u128::from(total) * weight_so_far / sum) as u64,
            };
            let part = given_now - given_so_far;
            given_so_far = given_now;
            part
        })
        .collect()
}

#[cfg(all(test, not(loom)))]
mod tests {
    use alloc::string::ToString;

    use super::{Cost, Sizing, StateModel, StateSample, split_by_weight};
    use crate::demand::{GateSegments, PartitionSegments};
    use crate::model::{MIB, MemoryOptions};

    fn samples(points: &[(u64, u64)]) -> alloc::vec::Vec<StateSample> {
        points.iter().map(|&(keys, bytes)| StateSample { keys, bytes }).collect()
    }

    #[test]
    fn the_cost_is_the_sum_of_its_terms() {
        let gate = GateSegments::new(4, 2, 8, None).unwrap();
        let partition = PartitionSegments::new(3, 2, 8).unwrap();
        let model = StateModel { base: 1000.0, per_key: 50.0 };
        let cost = Cost { operator: 7, ..Cost::default() }
            .with_gate(gate, 4096)
            .with_partition(partition, 4096)
            .with_state(&model, 100);
        assert_eq!((cost.input, cost.output), (16 * 4096, 14 * 4096));
        assert_eq!((cost.state, cost.required), (6000, (9 + 4) * 4096));
        assert_eq!(cost.total(), 30 * 4096 + 6007);
    }

    #[test]
    fn state_is_a_line_through_the_samples() {
        let model = StateModel::fit(&samples(&[(10, 700), (20, 1200), (30, 1700)])).unwrap();
        assert_eq!((model.bytes(0), model.bytes(100)), (200, 5200));
        // Scattered around bytes = 100 + 10 keys.
        let model =
            StateModel::fit(&samples(&[(10, 190), (20, 310), (30, 390), (40, 510)])).unwrap();
        assert_eq!((model.bytes(0), model.bytes(100)), (90, 1130));
    }

    #[test]
    fn state_is_a_mean_where_a_line_makes_no_sense() {
        assert_eq!(StateModel::fit(&[]), None);
        assert_eq!(StateModel::fit(&samples(&[(0, 500)])), None);
        let mean = |points: &[(u64, u64)]| StateModel::fit(&samples(points)).unwrap().bytes(10);
        assert_eq!(mean(&[(100, 2500)]), 250, "one sample");
        assert_eq!(mean(&[(10, 300), (10, 100)]), 200, "equally many keys");
        assert_eq!(mean(&[(10, 300), (30, 100)]), 100, "a line that falls");
        assert_eq!(mean(&[(10, 10), (20, 50)]), 20, "a line that begins below zero");
        let huge = StateModel { base: 0.0, per_key: f64::MAX };
        assert_eq!(huge.bytes(u64::MAX), u64::MAX);
    }

    #[test]
    fn memory_is_shared_out_by_cost() {
        let cost = |input, state, required| Cost { input, state, required, ..Cost::default() };
        let plan = |available| Sizing::plan([cost(20, 40, 5), cost(10, 20, 5)], available);
        let sizing = |network, managed, network_short, managed_short| {
            Ok(Sizing { network, managed, network_short, managed_short })
        };
        assert_eq!(plan(100), sizing(30, 70, 0, 0), "state takes what is over");
        assert_eq!(plan(90), sizing(30, 60, 0, 0));
        assert_eq!(plan(45), sizing(15, 30, 15, 30), "both give up in proportion");
        assert_eq!(plan(12), sizing(10, 2, 20, 58), "what is required stays");
        assert_eq!(plan(10), sizing(10, 0, 20, 60));
        let error = plan(9).unwrap_err();
        assert!(
            error.to_string().contains("1 are missing; raise `memory.process.size`"),
            "{error}"
        );
    }

    #[test]
    fn a_plan_becomes_a_configuration() {
        let sizing =
            Sizing { network: 100 * MIB, managed: 300 * MIB, network_short: 0, managed_short: 0 };
        let options = MemoryOptions { process: Some(512 * MIB), ..MemoryOptions::default() };
        let table = sizing.apply(options).derive().unwrap();
        assert_eq!((table.network.bytes, table.managed.bytes), (100 * MIB, 300 * MIB));
    }

    #[test]
    fn weights_share_without_a_remainder() {
        assert_eq!(split_by_weight(170, &[70, 70, 30]), [70, 70, 30]);
        assert_eq!(split_by_weight(10, &[1, 1, 1]), [3, 3, 4]);
        assert_eq!(split_by_weight(10, &[0, 0]), [0, 0]);
        assert_eq!(split_by_weight(u64::MAX, &[70]), [u64::MAX]);
        assert!(split_by_weight(10, &[]).is_empty());
    }
}
