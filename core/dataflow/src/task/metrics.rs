//! What a task counts.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use millstream_state::time::WATERMARK_MIN;

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
    /// Elements that waited in its input channels after its last poll.
    pub queued_in: u64,
    /// Segments that its partitions held after its last poll.
    pub segments_used: u64,
    /// Segments that its partitions might have held then.
    pub segments_max: u64,
}

/// How many values there are.
const COUNTS: usize = 11;

impl TaskCounts {
    /// The values, in the order of the fields.
    pub fn to_array(&self) -> [u64; COUNTS] {
        [
            self.rows_in,
            self.bytes_in,
            self.rows_out,
            self.bytes_out,
            self.pages_out,
            self.busy_nanos,
            self.idle_nanos,
            self.backpressured_nanos,
            self.queued_in,
            self.segments_used,
            self.segments_max,
        ]
    }

    /// What [`TaskCounts::to_array`] gave.
    pub fn from_array(values: [u64; COUNTS]) -> Self {
        let [rows_in, bytes_in, rows_out, bytes_out, pages_out, ref rest @ ..] = values;
        let [busy_nanos, idle_nanos, backpressured_nanos, queued_in, segments_used, segments_max] =
            *rest;
        Self {
            rows_in,
            bytes_in,
            rows_out,
            bytes_out,
            pages_out,
            busy_nanos,
            idle_nanos,
            backpressured_nanos,
            queued_in,
            segments_used,
            segments_max,
        }
    }
}

/// The counters of one subtask, written by its worker, read by anyone.
///
/// Only the worker that runs the task writes, so an addition is a load and a store.
#[derive(Debug, Default)]
pub struct TaskMetrics {
    /// In the order of the fields of [`TaskCounts`].
    values: [AtomicU64; COUNTS],
    /// The last watermark that was sent on, counted from the first that there can be.
    watermark: AtomicU64,
    is_idle: AtomicBool,
}

const ROWS_IN: usize = 0;
const BYTES_IN: usize = 1;
const ROWS_OUT: usize = 2;
const BYTES_OUT: usize = 3;
const PAGES_OUT: usize = 4;
const BUSY: usize = 5;
const IDLE: usize = 6;
const BACKPRESSURED: usize = 7;
const QUEUED_IN: usize = 8;
const SEGMENTS_USED: usize = 9;
const SEGMENTS_MAX: usize = 10;

impl TaskMetrics {
    /// The values now.
    pub fn counts(&self) -> TaskCounts {
        TaskCounts::from_array(core::array::from_fn(|index| self.values[index].load(Relaxed)))
    }

    /// Adds time, in nanoseconds; the executor has the clock.
    pub fn spent(&self, busy: u64, idle: u64, backpressured: u64) {
        self.add(BUSY, busy);
        self.add(IDLE, idle);
        self.add(BACKPRESSURED, backpressured);
    }

    /// Counts a page that a source has read.
    pub fn emitted(&self, rows: usize, bytes: usize) {
        self.add(ROWS_OUT, rows as u64);
        self.add(BYTES_OUT, bytes as u64);
        self.add(PAGES_OUT, 1);
    }

    /// Counts a page that a sink has written.
    pub fn consumed(&self, rows: usize, bytes: usize) {
        self.add(ROWS_IN, rows as u64);
        self.add(BYTES_IN, bytes as u64);
    }

    pub(super) fn received(&self, bytes: usize) {
        self.add(BYTES_IN, bytes as u64);
    }

    pub(super) fn processed(&self, rows: usize) {
        self.add(ROWS_IN, rows as u64);
    }

    pub(super) fn sent(&self, sent: super::output::Sent) {
        self.told(sent.watermark, sent.is_idle);
        if sent.pages > 0 {
            self.add(ROWS_OUT, sent.rows);
            self.add(BYTES_OUT, sent.bytes);
            self.add(PAGES_OUT, sent.pages);
        }
    }

    /// Notes how long the task's queues are, in elements, and how many segments it holds and may.
    pub(super) fn holds(&self, queued: usize, segments: (usize, usize)) {
        let noted = [(QUEUED_IN, queued), (SEGMENTS_USED, segments.0), (SEGMENTS_MAX, segments.1)];
        for (index, value) in noted {
            self.values[index].store(value as u64, Relaxed);
        }
    }

    /// How far event time has come in what was sent on; `None` as long as the task says that nobody should wait
    /// for it.
    pub fn event_time(&self) -> Option<i64> {
        let watermark = (self.watermark.load(Relaxed) as i64).wrapping_add(WATERMARK_MIN);
        (!self.is_idle.load(Relaxed)).then_some(watermark)
    }

    /// Notes what was said of event time.
    pub fn told(&self, watermark: Option<i64>, is_idle: Option<bool>) {
        if let Some(watermark) = watermark {
            self.watermark.store(watermark.wrapping_sub(WATERMARK_MIN) as u64, Relaxed);
        }
        if let Some(is_idle) = is_idle {
            self.is_idle.store(is_idle, Relaxed);
        }
    }

    fn add(&self, index: usize, value: u64) {
        let counter = &self.values[index];
        counter.store(counter.load(Relaxed).wrapping_add(value), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_count_is_where_its_name_says() {
        let values = core::array::from_fn(|index| index as u64 + 1);
        assert_eq!(TaskCounts::from_array(values).to_array(), values);
        let metrics = TaskMetrics::default();
        metrics.spent(1, 2, 3);
        metrics.emitted(4, 5);
        metrics.consumed(6, 7);
        metrics.holds(8, (9, 10));
        let expected = TaskCounts {
            rows_in: 6,
            bytes_in: 7,
            rows_out: 4,
            bytes_out: 5,
            pages_out: 1,
            busy_nanos: 1,
            idle_nanos: 2,
            backpressured_nanos: 3,
            queued_in: 8,
            segments_used: 9,
            segments_max: 10,
        };
        assert_eq!(metrics.counts(), expected);
    }
}
