//! How an LSM backend behaves, and how its budget is divided.

use millstream_storage::FileId;

use crate::{
    block::BLOCK_MAX,
    compression::{Levels, PACKER_BYTES},
};

/// Segments for reading, writing and what merging unpacks, at least and at most.
const STAGING_MIN: u64 = 6;
const STAGING_MAX: u64 = 64;
/// Blocks of the cache at least.
const CACHE_MIN: u64 = 16;
/// Bytes that are left for heads of runs, when all that may be read on demand is.
pub(crate) const HEADS_MIN: u64 = 32 << 10;
/// What a run that is merged takes: a block that is unpacked, and a page of its index.
const STREAM_BYTES: u64 = 2 * BLOCK_MAX as u64;
/// Runs beyond the limit that stop writing until some are merged.
const RUNS_BEYOND: usize = 4;
/// Runs that are merged at once, at most.
const FAN_IN_MAX: usize = 16;

/// How an [`LsmBackend`](crate::LsmBackend) behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LsmConfig {
    /// Bytes of managed memory, for everything: write buffers, cache, indexes, filters, reading and
    /// writing. [At least](Self::least_budget) what the size of segments asks for.
    pub budget: u64,
    /// Files are named by numbers from this one on, of which none was ever used in the storage.
    pub first_file: FileId,
    /// Runs beyond this many are merged whatever their sizes are.
    pub runs_max: usize,
    /// Bytes of the smallest slice: the oldest data is in one file for each thirty-second part of the state, but
    /// not in smaller ones than this. It is also what may lie about on the disk before it is worth merging
    /// by a quarter, and a new file has at least a sixteenth of it if there is as much.
    pub slice_min: u64,
    /// Whether runs are merged. A backend that only reads need not.
    pub merges: bool,
    /// How new files are compressed. Others are read, however they are.
    pub compression: Levels,
    /// Whether indexes and filters stay in memory where there is room; else they are read page by page, always.
    pub holds_indexes: bool,
}

impl LsmConfig {
    /// With so many bytes of managed memory.
    pub fn new(budget: u64) -> Self {
        Self {
            budget,
            first_file: FileId(1),
            runs_max: 12,
            slice_min: 4 << 20,
            merges: true,
            compression: Levels::default(),
            holds_indexes: true,
        }
    }

    /// Bytes of the smallest budget that is accepted, with segments of so many.
    pub fn least_budget(segment: usize) -> u64 {
        let is_enough = |count: &u64| {
            let budget = count * segment as u64;
            Shares::new(budget, segment).cache(HEADS_MIN).is_some()
        };
        let count = (1..1 << 20).find(is_enough);
        count.unwrap_or(1 << 20) * segment as u64
    }

    /// Names files from this number on.
    #[must_use]
    pub fn first_file(self, file: FileId) -> Self {
        Self { first_file: file, ..self }
    }

    /// With slices of at least so many bytes.
    #[must_use]
    pub fn slice_min(self, bytes: u64) -> Self {
        Self { slice_min: bytes.max(16), ..self }
    }

    /// Compresses new files like this.
    #[must_use]
    pub fn compression(self, compression: Levels) -> Self {
        Self { compression, ..self }
    }

    /// Reads indexes and filters page by page, even if there was room for them.
    #[must_use]
    pub fn without_indexes(self) -> Self {
        Self { holds_indexes: false, ..self }
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
    /// Runs that are merged at once.
    pub(crate) fan_in: usize,
    pub(crate) segment: u64,
    /// Bytes that Zstandard takes, if it is there.
    pub(crate) zstd: u64,
}

impl Shares {
    pub(crate) fn new(budget: u64, segment: usize) -> Self {
        let segment = segment as u64;
        let segments = budget / segment;
        let room = (segments / 8).clamp(STAGING_MIN, STAGING_MAX) * segment - PACKER_BYTES;
        // Besides a segment, a block and a page for each run there are segments for two writers and the cache.
        let fan_in = room.saturating_sub(4 * segment) / (segment + STREAM_BYTES);
        let fan_in = (fan_in as usize).clamp(2, FAN_IN_MAX);
        let taken = fan_in as u64 * STREAM_BYTES;
        let staging = (room.saturating_sub(taken) / segment).max(STAGING_MIN);
        let buffers = segments * 3 / 8 * segment;
        Self { total: budget, buffers, staging, fan_in, segment, zstd: 0 }
    }

    /// Bytes of one write buffer.
    pub(crate) fn buffer(&self) -> u64 {
        self.buffers / 2
    }

    /// Segments of the cache, when so many bytes are taken by indexes and filters; `None` if that is
    /// too much.
    pub(crate) fn cache(&self, indexes: u64) -> Option<usize> {
        let taken = self.buffers + self.staging * self.segment + self.scratch() + indexes;
        let segments = self.total.checked_sub(taken)? / self.segment;
        (segments * self.segment >= CACHE_MIN * BLOCK_MAX as u64).then_some(segments as usize)
    }

    /// Runs beyond which they are merged whatever their sizes are, and beyond which nothing is written
    /// before: a reader of all of them needs a block of each. So many blocks are what the cache has for that.
    pub(crate) fn runs(&self, config: &LsmConfig, cache_blocks: usize) -> (usize, usize) {
        let max = config.runs_max.min(cache_blocks / 4 - RUNS_BEYOND.min(cache_blocks / 8)).max(1);
        (max, max + RUNS_BEYOND.min(cache_blocks / 2))
    }

    /// Bytes for compressing and decompressing, and for pages of indexes: a block and a page of each run that is
    /// merged, besides what a packer has.
    pub(crate) fn scratch(&self) -> u64 {
        self.fan_in as u64 * STREAM_BYTES + PACKER_BYTES + self.zstd
    }
}
