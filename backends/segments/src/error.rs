//! Why an arena cannot be had.

use core::error::Error;
use core::fmt;

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
        }
    }
}

impl Error for ArenaError {}

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
