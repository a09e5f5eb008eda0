//! What a task counts.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The counters of one subtask, written by its worker, read by anyone.
///
/// Only the worker that runs the task writes, so an addition is a load and a store.
#[derive(Debug, Default)]
pub struct TaskMetrics {
    rows_in: AtomicU64,
    bytes_in: AtomicU64,
    rows_out: AtomicU64,
    bytes_out: AtomicU64,
    pages_out: AtomicU64,
    busy_nanos: AtomicU64,
    idle_nanos: AtomicU64,
    backpressured_nanos: AtomicU64,
}

/// The values of [`TaskMetrics`] at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskCounts {
    /// Rows taken from input channels.
    pub rows_in: u64,
    /// Bytes of the pages that they came in.
    pub bytes_in: u64,
    /// Rows in the pages that were submitted.
    pub rows_out: u64,
    /// Bytes of those pages.
    pub bytes_out: u64,
    /// Those pages.
    pub pages_out: u64,
    /// Time spent in polls, in nanoseconds.
    pub busy_nanos: u64,
    /// Time spent waiting for input, in nanoseconds.
    pub idle_nanos: u64,
    /// Time spent waiting for room downstream, in nanoseconds.
    pub backpressured_nanos: u64,
}

impl TaskMetrics {
    /// The values now.
    pub fn counts(&self) -> TaskCounts {
        TaskCounts {
            rows_in: self.rows_in.load(Relaxed),
            bytes_in: self.bytes_in.load(Relaxed),
            rows_out: self.rows_out.load(Relaxed),
            bytes_out: self.bytes_out.load(Relaxed),
            pages_out: self.pages_out.load(Relaxed),
            busy_nanos: self.busy_nanos.load(Relaxed),
            idle_nanos: self.idle_nanos.load(Relaxed),
            backpressured_nanos: self.backpressured_nanos.load(Relaxed),
        }
    }

    /// Adds time, in nanoseconds; the executor has the clock.
    pub fn spent(&self, busy: u64, idle: u64, backpressured: u64) {
        add(&self.busy_nanos, busy);
        add(&self.idle_nanos, idle);
        add(&self.backpressured_nanos, backpressured);
    }

    /// Counts a page that a source has read.
    pub fn emitted(&self, rows: usize, bytes: usize) {
        add(&self.rows_out, rows as u64);
        add(&self.bytes_out, bytes as u64);
        add(&self.pages_out, 1);
    }

    /// Counts a page that a sink has written.
    pub fn consumed(&self, rows: usize, bytes: usize) {
        add(&self.rows_in, rows as u64);
        add(&self.bytes_in, bytes as u64);
    }

    pub(super) fn received(&self, bytes: usize) {
        add(&self.bytes_in, bytes as u64);
    }

    pub(super) fn processed(&self, rows: usize) {
        add(&self.rows_in, rows as u64);
    }

    pub(super) fn sent(&self, sent: super::output::Sent) {
        if sent.pages > 0 {
            add(&self.rows_out, sent.rows);
            add(&self.bytes_out, sent.bytes);
            add(&self.pages_out, sent.pages);
        }
    }
}

fn add(counter: &AtomicU64, value: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(value), Relaxed);
}
