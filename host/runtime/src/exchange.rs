//! How pages travel between tasks.

use std::num::NonZero;

use millstream_exchange::debloat::DebloatConfig;
use millstream_memory::demand::{
    DemandError, EXCLUSIVE_DEFAULT, FLOATING_DEFAULT, PartitionSegments,
};
use millstream_net::ZeroCopy;

/// The numbers of the exchange; the defaults are Flink's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExchangeOptions {
    /// Segments that each channel from another process has for itself, at least 1, and that each
    /// subpartition adds to what its partition may use.
    pub exclusive_segments: usize,
    /// Segments that such a channel may borrow beyond those, and that each partition may use beyond
    /// those of its subpartitions.
    pub floating_segments: usize,
    /// The most bytes of a row.
    pub record_bytes_max: u32,
    /// Whether io_uring sends large pages without copying them first.
    pub zero_copy: ZeroCopy,
    /// Keeps what is in flight towards a task to what it processes within a time, by smaller pages
    /// under backpressure; pages are then at most as large as a segment, whatever is set here.
    pub debloat: Option<DebloatConfig>,
    /// Rows a second that each subtask of a source reads at most.
    pub source_rate: Option<NonZero<u64>>,
}

impl Default for ExchangeOptions {
    fn default() -> Self {
        Self {
            exclusive_segments: EXCLUSIVE_DEFAULT,
            floating_segments: FLOATING_DEFAULT,
            record_bytes_max: 16 << 20,
            zero_copy: ZeroCopy::default(),
            debloat: None,
            source_rate: None,
        }
    }
}

/// Segments that a source cannot start without: one to fill, and one that is on its way.
pub(crate) const SOURCE_SEGMENTS: usize = 2;

impl ExchangeOptions {
    /// The segments of a partition.
    pub(crate) fn partition(&self, subpartitions: usize) -> Result<PartitionSegments, DemandError> {
        PartitionSegments::new(subpartitions, self.exclusive_segments, self.floating_segments)
    }
}
