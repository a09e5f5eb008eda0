//! The memory model: from one number to a share for every use.
//!
//! A process is given a total, and everything in it must fit:
//!
//! ```text
//! process
//! ├── engine
//! │   ├── framework   the engine's own structures
//! │   ├── task        operators, user code, client libraries
//! │   ├── network     segments that flow between tasks
//! │   └── managed     pages for state, sorting, hashing
//! ├── metaspace       only to mirror a JVM's model; 0 here
//! └── overhead        what nobody counts: stacks, the allocator, libraries
//! ```
//!
//! Which sizes are given decides what is computed from what:
//!
//! * task *and* managed: the engine is the sum of its parts, and network memory its fraction of
//!   that sum (or, when the engine's size is given too, the rest);
//! * else the engine's size: its parts are fractions of it, and the task takes the rest;
//! * else the process's size: overhead and metaspace are taken off, and the rest is the engine's.
//!
//! Numbers that contradict each other are an error that names the options: nothing is silently
//! adjusted. [`MemoryOptions::flink`] has Apache Flink's defaults and reproduces its results.
//!
//! ```
//! use millstream_memory::model::{MIB, MemoryOptions};
//!
//! let options = MemoryOptions { process: Some(1728 * MIB), ..MemoryOptions::flink() };
//! let table = options.derive()?;
//! assert_eq!(table.network.bytes, 128 * MIB);
//! assert_eq!(table.managed.bytes, 512 * MIB);
//! println!("{table}");
//! # Ok::<(), millstream_memory::model::MemoryError>(())
//! ```

mod derive;
mod error;
mod fraction;
mod table;

pub use error::MemoryError;
pub use fraction::{Fraction, FractionError};
pub use table::{MemoryTable, Part, Row, Source};

use crate::segment::SEGMENT_SIZE_DEFAULT;

/// Bytes in a KiB.
pub const KIB: u64 = 1 << 10;
/// Bytes in a MiB.
pub const MIB: u64 = 1 << 20;
/// Bytes in a GiB.
pub const GIB: u64 = 1 << 30;
/// Bytes of a segment of Flink's.
const FLINK_SEGMENT: usize = 32 << 10;

/// The largest size that can be configured, in bytes.
pub const SIZE_MAX: u64 = 1 << 56;

/// The names of the options, for configuration files and errors.
///
/// Flink's names without the leading `taskmanager.`, where `jvm-overhead` is `overhead`,
/// `jvm-metaspace` is `metaspace`, `flink` is `engine`, and heap and off-heap are one.
pub mod option {
    /// Total of the process.
    pub const PROCESS: &str = "memory.process.size";
    /// Total of the engine.
    pub const ENGINE: &str = "memory.engine.size";
    /// The engine's own structures.
    pub const FRAMEWORK: &str = "memory.framework.size";
    /// Operators and user code.
    pub const TASK: &str = "memory.task.size";
    /// Managed memory.
    pub const MANAGED: &str = "memory.managed.size";
    /// Managed memory as a fraction of the engine.
    pub const MANAGED_FRACTION: &str = "memory.managed.fraction";
    /// Prefix of `fraction`, `min` and `max` of network memory.
    pub const NETWORK: &str = "memory.network";
    /// Prefix of `fraction`, `min` and `max` of the overhead.
    pub const OVERHEAD: &str = "memory.overhead";
    /// A JVM's metaspace.
    pub const METASPACE: &str = "memory.metaspace.size";
    /// Bytes in a segment.
    pub const SEGMENT_SIZE: &str = "memory.segment-size";
}

/// What is configured; sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryOptions {
    /// Total of the process.
    pub process: Option<u64>,
    /// Total of the engine.
    pub engine: Option<u64>,
    /// The engine's own structures.
    pub framework: u64,
    /// Operators and user code; the rest when not given.
    pub task: Option<u64>,
    /// Managed memory; by fraction when not given.
    pub managed: Option<u64>,
    /// Managed memory as a fraction of the engine.
    pub managed_fraction: Fraction,
    /// Network memory, of the engine.
    pub network: Share,
    /// A JVM's metaspace; 0 unless its model is mirrored.
    pub metaspace: u64,
    /// What nobody counts, of the process.
    pub overhead: Share,
    /// Bytes in a segment, of network and managed memory.
    pub segment_size: usize,
}

/// A fraction of a total that stays within limits; sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// The fraction.
    pub fraction: Fraction,
    /// At least this.
    pub min: u64,
    /// At most this; `u64::MAX` for no limit.
    pub max: u64,
}

impl MemoryOptions {
    /// The defaults of Apache Flink 1.20, whose JVM needs a metaspace and a large framework.
    pub fn flink() -> Self {
        Self {
            process: None,
            engine: None,
            framework: 256 * MIB,
            task: None,
            managed: None,
            managed_fraction: Fraction::percent(40),
            network: Share { fraction: Fraction::percent(10), min: 64 * MIB, max: u64::MAX },
            metaspace: 256 * MIB,
            overhead: Share { fraction: Fraction::percent(10), min: 192 * MIB, max: GIB },
            segment_size: FLINK_SEGMENT,
        }
    }

    /// With the network memory of the first engines of this kind: 2048 segments of 32 KiB.
    #[must_use]
    pub fn with_classic_network(mut self) -> Self {
        self.segment_size = FLINK_SEGMENT;
        (self.network.min, self.network.max) = (64 * MIB, 64 * MIB);
        self
    }

    /// Computes every part.
    ///
    /// # Errors
    ///
    /// [`MemoryError`] when no total is given or the numbers contradict each other.
    pub fn derive(&self) -> Result<MemoryTable, MemoryError> {
        derive::derive(self)
    }
}

/// Our own defaults: no metaspace, a small framework, 1 GiB of network memory at most, since more
/// data in flight only makes checkpoints slower. A process of 64 MiB is possible.
impl Default for MemoryOptions {
    fn default() -> Self {
        Self {
            framework: 16 * MIB,
            network: Share { fraction: Fraction::percent(10), min: 16 * MIB, max: GIB },
            metaspace: 0,
            overhead: Share { fraction: Fraction::percent(10), min: 8 * MIB, max: GIB },
            segment_size: SEGMENT_SIZE_DEFAULT,
            ..Self::flink()
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
