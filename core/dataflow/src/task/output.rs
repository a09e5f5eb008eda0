//! Result partitions: what a task has written and nobody has read yet.

use alloc::{collections::VecDeque, format, vec::Vec};
use core::task::Waker;

use millstream_exchange::event::{Alignment, Barrier, Event, StreamStatus};
use millstream_memory::{JumboBudget, LocalPool, Segment};

use crate::{
    chain::{ALL, ChainIo, Lease, PageInfo, TaskError},
    channel::{Element, PAGES_PER_SUBPARTITION_MAX, Sender},
};

/// One output of a task: its pool, and a channel for each subpartition.
#[derive(Debug)]
pub struct ResultPartition {
    pool: LocalPool,
    subpartitions: Vec<Sender>,
    /// What a channel had no room for, in order; bounded, since the chain stops when there is any.
    waiting: VecDeque<(u32, Element)>,
    /// Some subpartition had all the pages it may hold when last looked at.
    full: bool,
    /// What is in flight could not be sent again to those alone who lack it, so that no barrier overtakes.
    is_shared: bool,
    /// Its readers are told of splits.
    passes_splits: bool,
}

impl ResultPartition {
    /// A partition whose pages come from `pool`.
    pub fn new(pool: LocalPool, subpartitions: Vec<Sender>) -> Self {
        let waiting = VecDeque::new();
        let (full, is_shared, passes_splits) = (false, false, false);
        Self { pool, subpartitions, waiting, full, is_shared, passes_splits }
    }

    /// Its pages go to several who share them: barriers do not overtake them.
    #[must_use]
    pub fn shared(self, is_shared: bool) -> Self {
        Self { is_shared, ..self }
    }

    /// Its readers are told of the splits that its rows are of, see
    /// [`passes_splits`](crate::graph::StreamGraph::passes_splits).
    #[must_use]
    pub fn of_splits(self, passes_splits: bool) -> Self {
        Self { passes_splits, ..self }
    }

    fn push(&mut self, subpartition: u32, element: Element) {
        let waits = self.waiting.iter().any(|(waits, _)| *waits == subpartition);
        let sender = &mut self.subpartitions[subpartition as usize];
        let refused = if waits { Some(element) } else { sender.push(element).err() };
        self.full |= sender.len() >= PAGES_PER_SUBPARTITION_MAX;
        self.waiting.extend(refused.map(|element| (subpartition, element)));
    }

    fn push_to_all(&mut self, event: Event) {
        let event = match event {
            Event::Barrier(barrier)
                if self.is_shared && matches!(barrier.alignment, Alignment::Timeout { .. }) =>
            {
                Event::Barrier(Barrier { alignment: Alignment::ForcedAligned, ..barrier })
            }
            event => event,
        };
        for subpartition in 0..self.subpartitions.len() as u32 {
            self.push(subpartition, Element::Event(event));
        }
    }

    /// Pushes what waits as far as there is room, each subpartition in order.
    fn push_waiting(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        for (subpartition, element) in core::mem::take(&mut self.waiting) {
            self.push(subpartition, element);
        }
    }

    /// The channels of a subpartition, or of [`ALL`].
    fn readers(&self, subpartition: u32) -> &[Sender] {
        match self.subpartitions.get(subpartition as usize) {
            Some(sender) => core::slice::from_ref(sender),
            None => &self.subpartitions,
        }
    }

    /// Whether a consumer of the subpartition has read all it was sent.
    fn is_read(&self, subpartition: u32) -> bool {
        self.readers(subpartition).iter().any(Sender::is_empty)
    }

    fn has_room(&mut self) -> bool {
        if self.full {
            let full = |sender: &Sender| {
                sender.len() >= PAGES_PER_SUBPARTITION_MAX && !sender.is_abandoned()
            };
            self.full = self.subpartitions.iter().any(full);
        }
        !self.full && self.waiting.is_empty()
    }

    fn is_ready(&mut self) -> bool {
        self.has_room() && self.pool.is_available()
    }

    fn notify(&self, waker: &Waker) {
        if !self.pool.is_available() {
            self.pool.register(waker);
        }
        for sender in &self.subpartitions {
            if sender.len() >= PAGES_PER_SUBPARTITION_MAX {
                sender.notify_room(waker);
            }
        }
    }
}

/// Whether pages that were due stayed open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Declined {
    /// None did.
    None,
    /// Some did; the task is woken when a consumer reads.
    WhenRead,
    /// Some did, and a consumer has read meanwhile.
    TryNow,
}

/// What a source says of its splits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Split {
    /// What follows is of another one.
    Begins,
    /// No subtask will begin another one.
    IsLast,
}

/// What was submitted since last asked.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sent {
    pub(super) rows: u64,
    pub(super) bytes: u64,
    pub(super) pages: u64,
    /// What the chain has said of event time, if anything.
    pub(super) watermark: Option<i64>,
    pub(super) is_idle: Option<bool>,
}

/// All outputs of a task.
#[derive(Debug)]
pub struct Outputs {
    partitions: Vec<ResultPartition>,
    jumbo: JumboBudget,
    sent: Sent,
    /// When the call of the chain began.
    now: u64,
    /// The wall clock when the clock of `now` began: microseconds since the epoch.
    epoch: i64,
    /// The earliest processing time at which the chain wants to be told, in milliseconds.
    wake_at: Option<i64>,
    /// The pages, by output and subpartition, that were due and stayed open, since their consumers
    /// had others to read.
    declined: Vec<(u16, u32)>,
}

impl Outputs {
    /// The outputs of a task. Segments beyond a pool's overdraft come from `jumbo`: the rows that
    /// one input row makes always find room, up to that budget.
    pub fn new(partitions: Vec<ResultPartition>, jumbo: JumboBudget) -> Self {
        let (sent, declined) = (Sent::default(), Vec::new());
        Self { partitions, jumbo, sent, now: 0, epoch: 0, wake_at: None, declined }
    }

    /// Whether the chain may run; if not, `waker` is woken when it may.
    pub(super) fn is_ready_or_notifies(&mut self, waker: &Waker) -> bool {
        for partition in &mut self.partitions {
            partition.push_waiting();
            if !partition.is_ready() {
                partition.notify(waker);
                // Room may have come between the look and the registration.
                partition.push_waiting();
                if !partition.is_ready() {
                    return false;
                }
            }
        }
        true
    }

    /// Whether every channel has taken what was written for it; if not, `waker` is woken when one
    /// may.
    pub(super) fn is_drained_or_notifies(&mut self, waker: &Waker) -> bool {
        for partition in &mut self.partitions {
            partition.push_waiting();
            if !partition.waiting.is_empty() {
                partition.notify(waker);
                partition.push_waiting();
            }
        }
        self.partitions.iter().all(|partition| partition.waiting.is_empty())
    }

    /// Whether pages that were due stayed open, since last asked, and when to try again.
    pub(super) fn take_declined(&mut self, waker: &Waker) -> Declined {
        if self.declined.is_empty() {
            return Declined::None;
        }
        for (output, subpartition) in &self.declined {
            let partition = &self.partitions[usize::from(*output)];
            partition.readers(*subpartition).iter().for_each(|sender| sender.notify_room(waker));
        }
        // A consumer may have read between the look and the registration.
        let is_read =
            |(output, subpartition)| self.partitions[usize::from(output)].is_read(subpartition);
        if self.declined.drain(..).any(is_read) { Declined::TryNow } else { Declined::WhenRead }
    }

    /// Sets the time that the chain is told.
    pub(super) fn set_now(&mut self, now: u64) {
        self.now = now;
    }

    /// Sets what the wall clock was when that time began, in microseconds since the epoch.
    pub(super) fn set_epoch(&mut self, epoch: i64) {
        self.epoch = epoch;
    }

    /// When the chain wants to be told the time, on the clock of [`set_now`](Self::set_now).
    pub(super) fn take_wake(&mut self) -> Option<u64> {
        let since = self.wake_at.take()?.saturating_mul(1000).saturating_sub(self.epoch);
        Some(u64::try_from(since).unwrap_or(0))
    }

    /// Says on every channel that nothing follows.
    pub(super) fn end(&mut self) {
        self.event_to_all(Event::EndOfPartition);
    }

    /// Sends an event on every channel.
    pub(super) fn event_to_all(&mut self, event: Event) {
        for partition in &mut self.partitions {
            partition.push_to_all(event);
        }
    }

    /// Whether readers of any output are told of splits.
    pub(super) fn pass_splits(&self) -> bool {
        self.partitions.iter().any(|partition| partition.passes_splits)
    }

    /// Tells them: those of one output, or of all.
    pub(super) fn tell_of_split(&mut self, split: Split, output: Option<u16>) {
        for (partition, number) in self.partitions.iter_mut().zip(0..) {
            let is_meant = output.is_none_or(|output| output == number);
            if !partition.passes_splits || !is_meant {
                continue;
            }
            for subpartition in 0..partition.subpartitions.len() as u32 {
                partition.push(
                    subpartition,
                    match split {
                        Split::Begins => Element::SplitBegins,
                        Split::IsLast => Element::LastSplit,
                    },
                );
            }
        }
    }

    /// The segments that the partitions hold, and how many they may hold.
    pub(super) fn segments(&self) -> (usize, usize) {
        let pools = self.partitions.iter().map(|partition| &partition.pool);
        pools.fold((0, 0), |(used, size), pool| (used + pool.used(), size + pool.size()))
    }

    pub(super) fn take_counts(&mut self) -> Sent {
        core::mem::take(&mut self.sent)
    }
}

impl ChainIo for Outputs {
    fn now(&self) -> u64 {
        self.now
    }

    fn time(&self) -> i64 {
        self.epoch.saturating_add_unsigned(self.now).div_euclid(1000)
    }

    fn wake_at(&mut self, time: i64) {
        self.wake_at = Some(self.wake_at.map_or(time, |earlier| earlier.min(time)));
    }

    fn lease(&mut self, output: u16, subpartition: u32) -> Result<Lease, TaskError> {
        let Some(partition) = self.partitions.get(usize::from(output)) else {
            return Err(no_output(output));
        };
        let pool = &partition.pool;
        // One page for all is as full as the slowest of them wants it.
        let wanted = partition.readers(subpartition).iter().map(Sender::page_bytes);
        let page_bytes = wanted.min().unwrap_or(u32::MAX);
        if let Some(segment) = pool.request().or_else(|| pool.request_overdraft()) {
            return Ok(Lease { segment, page_bytes });
        }
        let size = pool.segment_size();
        let burst = self.jumbo.reserve(size as u64).and_then(|lease| Segment::jumbo(lease, size));
        let segment = burst.map_err(|error| {
            TaskError::new(format!(
                "the rows made of a single row exceed the buffers of output {output}: {error}"
            ))
        })?;
        Ok(Lease { segment, page_bytes })
    }

    fn lease_jumbo(&mut self, output: u16, bytes: usize) -> Result<Segment, TaskError> {
        let row = self.jumbo.reserve(bytes as u64);
        row.and_then(|lease| Segment::jumbo(lease, bytes)).map_err(|error| {
            TaskError::new(format!("a row of {bytes} bytes at output {output}: {error}"))
        })
    }

    fn submit(&mut self, output: u16, subpartition: u32, segment: Segment, page: PageInfo) {
        let partition = &mut self.partitions[usize::from(output)];
        let buffer = segment.freeze(page.length as usize);
        let mut copies = 1;
        if subpartition == ALL {
            copies = partition.subpartitions.len() as u64;
            for subpartition in 0..partition.subpartitions.len() as u32 {
                partition.push(subpartition, Element::Page(buffer.clone()));
            }
        } else {
            partition.push(subpartition, Element::Page(buffer));
        }
        self.sent.rows += u64::from(page.rows) * copies;
        self.sent.bytes += u64::from(page.length) * copies;
        self.sent.pages += copies;
    }

    fn event(&mut self, output: u16, subpartition: u32, event: Event) {
        match event {
            Event::Watermark(time) => self.sent.watermark = self.sent.watermark.max(Some(time)),
            Event::Status(status) => self.sent.is_idle = Some(status == StreamStatus::Idle),
            _ => {}
        }
        let Some(partition) = self.partitions.get_mut(usize::from(output)) else { return };
        match subpartition {
            ALL => partition.push_to_all(event),
            one => partition.push(one, Element::Event(event)),
        }
    }

    fn ready(&mut self) -> bool {
        self.partitions.iter_mut().all(ResultPartition::is_ready)
    }

    fn wants_flush(&mut self, output: u16, subpartition: u32) -> bool {
        let Some(partition) = self.partitions.get(usize::from(output)) else { return false };
        let wants = partition.is_read(subpartition);
        if !wants {
            self.declined.push((output, subpartition));
        }
        wants
    }
}

fn no_output(output: u16) -> TaskError {
    TaskError::new(format!("the chain writes to output {output}, which the job graph has not"))
}
