//! How to sort, and what a sorter says.

use millstream_storage::FileId;

/// How to sort.
#[derive(Clone, Copy, Debug)]
pub struct SortConfig {
    pub(super) segments_max: usize,
    pub(super) stable: bool,
    pub(super) first_file: u64,
    pub(super) fan_in_max: usize,
}

/// Flink's default.
const FAN_IN_MAX: usize = 128;

impl SortConfig {
    /// Sorts with at most `segments_max` segments.
    pub fn new(segments_max: usize) -> Self {
        Self { segments_max, stable: false, first_file: 0, fan_in_max: FAN_IN_MAX }
    }

    /// Keeps records that are equal in the order in which they were pushed.
    ///
    /// [`Rows`](crate::Rows) do so anyway, at no cost. For [`Fixed`](crate::Fixed) records, sorting
    /// the entries of one segment then allocates half as much for a moment.
    #[must_use]
    pub fn stable(self) -> Self {
        Self { stable: true, ..self }
    }

    /// Names files from this number on, where several share a storage.
    #[must_use]
    pub fn first_file(self, file: FileId) -> Self {
        Self { first_file: file.0, ..self }
    }

    /// Merges at most this many runs at once, at least 2; 128 if it is not said.
    #[must_use]
    pub fn fan_in_max(self, runs: usize) -> Self {
        Self { fan_in_max: runs.max(2), ..self }
    }
}

/// Whether a record was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a record that was not taken is lost unless it is pushed again"]
pub enum Push {
    /// It was.
    Taken,
    /// It was not: [`run`](crate::Sorter::run) until it accepts, and push it again.
    Full,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Push records, or say that there are no more.
    Accepts,
    /// Run again: there is more work than steps were allowed.
    More,
    /// Wait for a completion, and run again.
    Waits,
    /// Take records: all are sorted as far as is needed to hand out the first.
    Sorted,
}

/// The next record.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<'a, R: ?Sized> {
    /// It; valid until the sorter is used again.
    Record(&'a R),
    /// It has to be read: wait for a completion.
    Waits,
    /// There is none.
    End,
}

/// What sorting has cost so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SortMetrics {
    /// Records that were pushed.
    pub records: u64,
    /// Runs that were written because memory was used up.
    pub runs: u64,
    /// Runs that were made of shorter ones, because too many were there to merge them at once.
    pub merged_runs: u64,
    /// Bytes that were written.
    pub spilled_bytes: u64,
}
