//! The producing side of an exchange: what a task writes, until a connection or a local reader
//! takes it.
//!
//! A [`ResultPartition`] is the output of one subtask. Each of its [`Subpartition`]s feeds one
//! channel of one consumer and is a queue of sealed pages and events. The page that is still
//! being written is not in the queue: the task holds it, and the partition knows only that it is
//! there. Three things seal it: it is full, an event must follow it, or it waited long enough
//! (the [`FlushPolicy`]) while nothing else was queued.
//!
//! The task may write while [`ResultPartition::is_available`]: the pool has a free segment and no
//! subpartition holds its maximum. One slow consumer thus stops its producer before it takes the
//! segments of all others.
//!
//! Blocking partitions, which keep their pages for readers that come later, will be a second type
//! beside [`ResultPartition`] with the same [`Subpartition`] in front of the reader.

use alloc::vec::Vec;
use core::time::Duration;

use crate::element::Data;
use crate::event::Event;

mod flush;
mod subpartition;
#[cfg(test)]
mod tests;

pub use flush::{FlushPolicy, FlushTimer};
pub use subpartition::{Cleared, Queued, Subpartition, Wake};

/// Most segments that one subpartition holds: being written, queued and being sent together.
pub const SUBPARTITION_SEGMENTS_MAX: u32 = 10;

/// The output of one subtask.
///
/// `B` is the backend's handle of a segment.
#[derive(Debug)]
pub struct ResultPartition<B> {
    subpartitions: Vec<Subpartition<B>>,
    segments: Vec<u32>,
    segments_max: u32,
    at_max: usize,
    flush: FlushTimer,
    unacknowledged: Vec<bool>,
}

impl<B> ResultPartition<B> {
    /// A partition whose subpartitions hold at most `segments_max` segments each
    /// ([`SUBPARTITION_SEGMENTS_MAX`] is the usual number), in pages of at most `segment_bytes`.
    pub fn new(
        subpartitions: u32,
        segments_max: u32,
        segment_bytes: u32,
        policy: FlushPolicy,
    ) -> Self {
        assert!(subpartitions > 0 && segments_max > 0, "a partition without room");
        let count = subpartitions as usize;
        Self {
            subpartitions: (0..count).map(|_| Subpartition::new(segment_bytes)).collect(),
            segments: alloc::vec![0; count],
            segments_max,
            at_max: 0,
            flush: FlushTimer::new(policy),
            unacknowledged: alloc::vec![true; count],
        }
    }

    /// Whether the task may take another segment from its pool: the pool has a free one, and no
    /// subpartition is at its maximum. Ask again after [`recycle`](Self::recycle) and when the
    /// pool tells that a segment came back.
    pub fn is_available(&self, pool_has_free: bool) -> bool {
        pool_has_free && self.at_max == 0
    }

    /// A segment was taken for this subpartition. Beyond the maximum only a task may take that is
    /// in the middle of a row, from the overdraft that its pool grants for this.
    pub fn lease(&mut self, index: u32) {
        let held = &mut self.segments[index as usize];
        *held += 1;
        self.at_max += usize::from(*held == self.segments_max);
    }

    /// A segment of this subpartition went home. If [`is_available`](Self::is_available) became
    /// true, wake the task.
    pub fn recycle(&mut self, index: u32) {
        let held = &mut self.segments[index as usize];
        assert!(*held > 0, "subpartition {index}: recycled more than it leased");
        self.at_max -= usize::from(*held == self.segments_max);
        *held -= 1;
    }

    /// The first row was written to a fresh page. Changes [`next_deadline`](Self::next_deadline).
    pub fn page_opened(&mut self, index: u32, now: Duration) {
        self.subpartitions[index as usize].page_opened();
        self.flush.page_opened(now);
    }

    /// A row was written. Returns whether to seal the open page now, which can be so only where
    /// each record is flushed.
    pub fn row_written(&mut self, index: u32) -> bool {
        if !self.flush.each_record() {
            return false;
        }
        let subpartition = &mut self.subpartitions[index as usize];
        subpartition.request_flush();
        subpartition.wants_seal()
    }

    /// Queues a sealed page, which closes the open one, or a fragment of a jumbo row.
    ///
    /// # Errors
    /// Gives the data back when the consumer is gone: recycle it.
    pub fn push_data(&mut self, index: u32, data: Data<B>) -> Result<Wake, Data<B>> {
        self.subpartitions[index as usize].push_data(data)
    }

    /// Queues an event for one consumer. Open pages must be sealed before.
    pub fn push_event(&mut self, index: u32, event: Event) -> Wake {
        self.subpartitions[index as usize].push_event(event)
    }

    /// Queues an event for every consumer and says for each whether its reader must be woken.
    pub fn broadcast(&mut self, event: Event, mut wake: impl FnMut(u32, Wake)) {
        for (index, subpartition) in self.subpartitions.iter_mut().enumerate() {
            wake(index as u32, subpartition.push_event(event));
        }
    }

    /// When [`on_time`](Self::on_time) has something to do; `None` until a page is opened.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.flush.next_deadline()
    }

    /// Asks to flush all open pages if one of them has waited its time. Returns whether it did:
    /// then seal the open page of each subpartition that
    /// [`wants_seal`](Subpartition::wants_seal). Too early is a no-op.
    pub fn on_time(&mut self, now: Duration) -> bool {
        let due = self.flush.due(now);
        if due {
            self.subpartitions.iter_mut().for_each(Subpartition::request_flush);
        }
        due
    }

    /// The consumer of this subpartition has processed all its records. Returns whether all have,
    /// so that the task may end.
    pub fn acknowledge(&mut self, index: u32) -> bool {
        self.unacknowledged[index as usize] = false;
        !self.unacknowledged.contains(&true)
    }

    /// How many subpartitions there are, at least one.
    pub fn subpartitions(&self) -> u32 {
        self.subpartitions.len() as u32
    }

    /// Segments that this subpartition holds, wherever they are.
    pub fn segments(&self, index: u32) -> u32 {
        self.segments[index as usize]
    }

    /// One queue.
    pub fn subpartition(&self, index: u32) -> &Subpartition<B> {
        &self.subpartitions[index as usize]
    }

    /// One queue, for its reader.
    pub fn subpartition_mut(&mut self, index: u32) -> &mut Subpartition<B> {
        &mut self.subpartitions[index as usize]
    }
}
