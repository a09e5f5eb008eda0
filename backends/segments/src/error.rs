//! Why an arena cannot be had.

use std::error::Error;
use std::{fmt, io};

use millstream_memory::segment::{SegmentSizeError, check_segment_size};

/// Why an arena cannot be had.
#[derive(Debug)]
#[non_exhaustive]
pub enum ArenaError {
    /// The size of the segments is not allowed.
    SegmentSize(SegmentSizeError),
    /// The number of segments is 0, or more than can be addressed.
    SegmentCount {
        /// Bytes in each segment.
        segment_size: usize,
        /// Number of segments asked for.
        segments: usize,
    },
    /// The machine has not that much memory.
    OutOfMemory {
        /// Bytes asked for.
        bytes: usize,
    },
    /// The operating system refused a mapping for another reason.
    MapRefused {
        /// Bytes asked for.
        bytes: usize,
        /// What the system said.
        cause: io::Error,
    },
    /// The operating system refused to lock the segments in memory.
    LockRefused {
        /// Bytes to lock.
        bytes: usize,
        /// The limit in bytes (`RLIMIT_MEMLOCK`); `None` when there is none.
        limit: Option<u64>,
        /// What the system said.
        cause: io::Error,
    },
}

impl fmt::Display for ArenaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SegmentSize(error) => error.fmt(f),
            Self::SegmentCount { segment_size, segments } => write!(
                f,
                "an arena cannot have {segments} segments of {segment_size} bytes; set the memory \
                 size to at least one segment, and to less than the address space"
            ),
            Self::OutOfMemory { bytes } => write!(
                f,
                "the machine has no {bytes} bytes for segments; lower `memory.process.size` or \
                 give the process more memory"
            ),
            Self::MapRefused { bytes, cause } => write!(
                f,
                "the system refused to map {bytes} bytes for segments ({cause}); use segments on \
                 the heap, or find out what forbids mmap here"
            ),
            Self::LockRefused { bytes, limit, cause } => {
                write!(f, "the system refused to lock {bytes} bytes of segments ({cause}); ")?;
                match limit {
                    Some(limit) => write!(f, "RLIMIT_MEMLOCK is {limit} bytes: raise it")?,
                    None => write!(f, "RLIMIT_MEMLOCK is not the reason: free memory")?,
                }
                write!(f, " (`ulimit -l`, LimitMEMLOCK= in systemd), or turn locking off")
            }
        }
    }
}

impl Error for ArenaError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::SegmentSize(error) => Some(error),
            Self::MapRefused { cause, .. } | Self::LockRefused { cause, .. } => Some(cause),
            Self::SegmentCount { .. } | Self::OutOfMemory { .. } => None,
        }
    }
}

/// The bytes in `segments` segments, with room to align them, if that is a possible arena.
pub(crate) fn arena_bytes(segment_size: usize, segments: usize) -> Result<usize, ArenaError> {
    check_segment_size(segment_size).map_err(ArenaError::SegmentSize)?;
    match segment_size.checked_mul(segments) {
        Some(bytes) if bytes > 0 && bytes <= isize::MAX as usize / 2 && segments < 1 << 31 => {
            Ok(bytes)
        }
        _ => Err(ArenaError::SegmentCount { segment_size, segments }),
    }
}
