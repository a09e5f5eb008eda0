//! Contradictions between the options.

use core::error::Error;
use core::fmt;

use super::option;
use super::table::Bytes;
use crate::segment::SegmentSizeError;

/// Why no memory table can be derived; sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemoryError {
    /// No total is given, and not both of task and managed.
    NoSize,
    /// A size is absurd.
    TooLarge {
        /// Which.
        option: &'static str,
        /// Its value.
        bytes: u64,
    },
    /// A minimum above its maximum.
    MinAboveMax {
        /// Prefix of both options.
        option: &'static str,
        /// The minimum.
        min: u64,
        /// The maximum.
        max: u64,
    },
    /// The parts of the engine exceed its size.
    EngineTooSmall {
        /// Size of the engine.
        engine: u64,
        /// The engine's own structures.
        framework: u64,
        /// Operators and user code, if given.
        task: u64,
        /// Network memory, if it was computed before.
        network: u64,
        /// Managed memory.
        managed: u64,
    },
    /// Engine, metaspace and overhead do not fit the process.
    ProcessTooSmall {
        /// Size of the process.
        process: u64,
        /// Size of the engine, if given.
        engine: u64,
        /// Metaspace.
        metaspace: u64,
        /// Overhead, if it was computed before.
        overhead: u64,
    },
    /// What the given sizes leave to a part is not within its limits.
    OutsideLimits {
        /// Prefix of the limits.
        option: &'static str,
        /// What is left to it.
        bytes: u64,
        /// The minimum.
        min: u64,
        /// The maximum.
        max: u64,
        /// The sizes that leave it just that.
        because: &'static str,
    },
    /// The size of a segment is not allowed.
    SegmentSize(SegmentSizeError),
    /// Network memory has not one segment.
    NoNetworkSegment {
        /// Network memory.
        network: u64,
        /// Bytes in a segment.
        segment_size: usize,
    },
}

impl fmt::Display for MemoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSize => write!(
                f,
                "no memory size is given; set `{}` (the whole process), or `{}`, or both `{}` and \
                 `{}`",
                option::PROCESS,
                option::ENGINE,
                option::TASK,
                option::MANAGED
            ),
            Self::TooLarge { option, bytes } => {
                write!(f, "`{option}` is {bytes} bytes, which no machine has; check its unit")
            }
            Self::MinAboveMax { option, min, max } => write!(
                f,
                "`{option}.min` ({}) exceeds `{option}.max` ({}); lower the first or raise the \
                 second",
                Bytes(*min),
                Bytes(*max)
            ),
            Self::EngineTooSmall { engine, framework, task, network, managed } => {
                write!(f, "the engine has {}, but ", Bytes(*engine))?;
                let sum = parts(
                    f,
                    &[
                        (option::FRAMEWORK, *framework),
                        (option::TASK, *task),
                        (option::MANAGED, *managed),
                        (option::NETWORK, *network),
                    ],
                )?;
                write!(
                    f,
                    " need more; raise `{}` or `{}` by {}, or lower a part",
                    option::ENGINE,
                    option::PROCESS,
                    Bytes(sum.saturating_sub(*engine))
                )
            }
            Self::ProcessTooSmall { process, engine, metaspace, overhead } => {
                write!(f, "the process has {}, but ", Bytes(*process))?;
                parts(
                    f,
                    &[
                        (option::ENGINE, *engine),
                        (option::METASPACE, *metaspace),
                        (option::OVERHEAD, *overhead),
                    ],
                )?;
                write!(f, " need more; raise `{}`, or lower a part", option::PROCESS)
            }
            Self::OutsideLimits { option, bytes, min, max, because } => {
                write!(f, "{because} leave {} to `{option}`, which must have ", Bytes(*bytes))?;
                match *max {
                    u64::MAX => write!(f, "at least {}", Bytes(*min))?,
                    max => write!(f, "from {} to {}", Bytes(*min), Bytes(max))?,
                }
                write!(f, "; change these sizes, or `{option}.min` and `{option}.max`")
            }
            Self::SegmentSize(error) => error.fmt(f),
            Self::NoNetworkSegment { network, segment_size } => write!(
                f,
                "network memory of {} has no room for one segment of {}; raise `{}.min` or lower \
                 `{}`",
                Bytes(*network),
                Bytes(*segment_size as u64),
                option::NETWORK,
                option::SEGMENT_SIZE
            ),
        }
    }
}

/// Writes the parts that are there, and their sum.
fn parts(f: &mut fmt::Formatter<'_>, parts: &[(&str, u64)]) -> Result<u64, fmt::Error> {
    let mut sum = 0;
    for (name, bytes) in parts.iter().filter(|(_, bytes)| *bytes > 0) {
        let lead = if sum == 0 { "" } else { " + " };
        write!(f, "{lead}`{name}` {}", Bytes(*bytes))?;
        sum += bytes;
    }
    write!(f, " = {}", Bytes(sum))?;
    Ok(sum)
}

impl Error for MemoryError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::SegmentSize(error) => Some(error),
            _ => None,
        }
    }
}
