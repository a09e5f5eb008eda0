//! Why sorting fails.

use core::fmt;

use millstream_storage::{FileId, StorageError};

use crate::SEGMENTS_MIN;

/// Why sorting fails.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SortError {
    /// There is not enough memory to begin with.
    Memory {
        /// Segments that could be leased.
        found: usize,
    },
    /// The segments do not begin at multiples of eight bytes.
    Unaligned,
    /// A record does not fit into a segment.
    RecordTooLarge {
        /// Bytes of the record.
        bytes: usize,
        /// Bytes that fit.
        max: usize,
    },
    /// Spilling failed.
    Storage(StorageError),
    /// What was read back is not what was written.
    Damaged {
        /// The file.
        file: FileId,
        /// The block, from 0.
        block: u32,
    },
    /// What was read back is less than what was written.
    Lost {
        /// Records that were pushed.
        pushed: u64,
        /// Records that came out.
        sorted: u64,
    },
}

impl fmt::Display for SortError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory { found } => write!(
                f,
                "sorting needs {SEGMENTS_MIN} segments of managed memory at least, but got {found}; \
                 raise `memory.managed.size`, or lower the parallelism"
            ),
            Self::Unaligned => {
                f.write_str("sorting needs segments that begin at multiples of 8 bytes")
            }
            Self::RecordTooLarge { bytes, max } => write!(
                f,
                "a record of {bytes} bytes is too large to be sorted, the limit is {max}; raise \
                 `memory.segment-size`"
            ),
            Self::Storage(error) => write!(f, "spilling while sorting: {error}"),
            Self::Damaged { file, block } => write!(
                f,
                "block {block} of spill file {} is not what was written; somebody has changed the \
                 file, or the disk is faulty",
                file.0
            ),
            Self::Lost { pushed, sorted } => write!(
                f,
                "{pushed} records were sorted, but {sorted} came back; somebody has changed a spill \
                 file, or the disk is faulty"
            ),
        }
    }
}

impl core::error::Error for SortError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Storage(error) => Some(error),
            _ => None,
        }
    }
}

impl From<StorageError> for SortError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}
