//! How an LSM backend behaves, and how its budget is divided.

use millstream_storage::FileId;

use crate::block::BLOCK_MAX;

/// Segments for reading and writing, at least and at most.
const STAGING_MIN: u64 = 6;
const STAGING_MAX: u64 = 64;
/// Blocks of the cache at least.
const CACHE_MIN: u64 = 16;
/// Runs beyond the limit that stop writing until some are merged.
const RUNS_BEYOND: usize = 4;
/// Runs that are merged at once, at most.
const FAN_IN_MAX: usize = 16;

/// How an [`LsmBackend`](crate::LsmBackend) behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LsmConfig {
    /// Bytes of managed memory, for everything: write buffers, cache, indexes, filters, reading and
    /// writing. At least 16 segments.
    pub budget: u64,
    /// Files are named by numbers from this one on, of which none was ever used in the storage.
    pub first_file: FileId,
    /// Runs beyond this many are merged whatever their sizes are.
    pub runs_max: usize,
    /// Whether runs are merged. A backend that only reads need not.
    pub merges: bool,
}

impl LsmConfig {
    /// With so many bytes of managed memory.
    pub fn new(budget: u64) -> Self {
        Self { budget, first_file: FileId(1), runs_max: 12, merges: true }
    }

    /// Names files from this number on.
    #[must_use]
    pub fn first_file(self, file: FileId) -> Self {
        Self { first_file: file, ..self }
    }

    /// Leaves runs as they are, as a backend that only reads.
    #[must_use]
    pub fn without_merging(self) -> Self {
        Self { merges: false, ..self }
    }
}

/// The budget, divided. Index and filters take from the cache.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shares {
    /// Bytes in all.
    pub(crate) total: u64,
    /// Bytes of all write buffers: the one that is written to, and those that are being written to files.
    pub(crate) buffers: u64,
    /// Segments for reading and writing.
    pub(crate) staging: u64,
    pub(crate) segment: u64,
}

impl Shares {
    pub(crate) fn new(budget: u64, segment: usize) -> Self {
        let segment = segment as u64;
        let segments = budget / segment;
        let staging = (segments / 8).clamp(STAGING_MIN, STAGING_MAX);
        Self { total: budget, buffers: segments * 3 / 8 * segment, staging, segment }
    }

    /// Bytes of one write buffer.
    pub(crate) fn buffer(&self) -> u64 {
        self.buffers / 2
    }

    /// Segments of the cache, when so many bytes are taken by indexes and filters; `None` if that is
    /// too much.
    pub(crate) fn cache(&self, indexes: u64) -> Option<usize> {
        let taken = self.buffers + self.staging * self.segment + indexes;
        let segments = self.total.checked_sub(taken)? / self.segment;
        (segments * self.segment >= CACHE_MIN * BLOCK_MAX as u64).then_some(segments as usize)
    }

    /// Runs beyond which they are merged whatever their sizes are, and beyond which nothing is written
    /// before: a reader of all of them needs a block of each.
    pub(crate) fn runs(&self, config: &LsmConfig, cache_blocks: usize) -> (usize, usize) {
        let max = config.runs_max.min(cache_blocks / 4 - RUNS_BEYOND.min(cache_blocks / 8)).max(1);
        (max, max + RUNS_BEYOND)
    }

    /// Runs that are merged at once. The other segments are for two writers and for the cache.
    pub(crate) fn fan_in(&self) -> usize {
        (self.staging as usize - 4).min(FAN_IN_MAX)
    }
}
