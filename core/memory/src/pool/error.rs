//! What can go wrong with pools.

use alloc::string::String;
use core::error::Error;
use core::fmt;

/// Why a pool cannot be opened or segments cannot be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PoolError {
    /// The arena has not enough segments that are not promised to others.
    NotEnough {
        /// Who asked; may be empty.
        name: String,
        /// Segments asked for.
        required: usize,
        /// Segments promised to others.
        promised: usize,
        /// Segments in the arena.
        total: usize,
        /// Bytes in each segment.
        segment_size: usize,
    },
    /// Enough segments are unpromised, but pools that must shrink still hold them.
    NotYetFree {
        /// Segments asked for.
        wanted: usize,
        /// Segments that were not free.
        missing: usize,
    },
    /// A local pool whose maximum is below what it requires.
    MaxBelowRequired {
        /// Who asked; may be empty.
        name: String,
        /// Segments required.
        required: usize,
        /// Largest number of segments.
        max: usize,
    },
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotEnough { name, required, promised, total, segment_size } => {
                let missing = required.saturating_sub(total.saturating_sub(*promised));
                write!(
                    f,
                    "{}needs {required} network segments, but of {total} segments of \
                     {segment_size} bytes {promised} are promised already: {missing} are missing; \
                     raise `memory.network.min` and `memory.network.max` by {} bytes or more, or \
                     lower the parallelism",
                    Subject(name),
                    missing * segment_size,
                )
            }
            Self::NotYetFree { wanted, missing } => write!(
                f,
                "{missing} of {wanted} exclusive segments are still held by pools that must shrink \
                 first; ask again when they have returned them, or open a local pool and wait",
            ),
            Self::MaxBelowRequired { name, required, max } => write!(
                f,
                "{}requires {required} network segments but may have only {max}; raise its maximum \
                 to at least {required}",
                Subject(name),
            ),
        }
    }
}

impl Error for PoolError {}

/// The beginning of a sentence about a pool that may have no name.
struct Subject<'a>(&'a str);

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { f.write_str("a local pool ") } else { write!(f, "`{}` ", self.0) }
    }
}
