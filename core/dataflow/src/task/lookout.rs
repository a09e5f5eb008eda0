//! Looking for barriers in channels before the task gets to them.
//!
//! A barrier keeps its place among the pages of its channel. The consumer sees it there, since what waits
//! in a ring can be looked at; so what overtakes is not the barrier but the look.

use alloc::vec::Vec;

use millstream_exchange::event::{Alignment, Barrier};

use super::in_flight::Origin;
use crate::channel::{Element, Receiver};

/// What is known of the channels of a task.
#[derive(Debug)]
pub(super) struct Lookout {
    channels: Vec<Channel>,
    /// The barrier that was announced last, as of this task's clock.
    announced: Option<Barrier>,
}

#[derive(Debug)]
struct Channel {
    origin: Origin,
    /// Elements that wait and were looked at.
    seen: usize,
    /// Whether what comes is in flight.
    captures: bool,
    /// Checkpoints whose barriers have overtaken, and are still in the channel.
    overtook: Vec<u64>,
}

impl Lookout {
    pub(super) fn new(origins: Vec<Origin>) -> Self {
        let channel = |origin| Channel { origin, seen: 0, captures: false, overtook: Vec::new() };
        Self { channels: origins.into_iter().map(channel).collect(), announced: None }
    }

    pub(super) fn origin(&self, channel: usize) -> Origin {
        self.channels.get(channel).map_or(Origin::default(), |channel| channel.origin)
    }

    /// The next element of a channel that was not looked at.
    pub(super) fn next<'a>(
        &mut self,
        channel: usize,
        receiver: &'a mut Receiver,
    ) -> Option<&'a Element> {
        let channel = self.channels.get_mut(channel)?;
        let element = receiver.peek_at(channel.seen)?;
        channel.seen += 1;
        Some(element)
    }

    /// The next element was taken; whether it had been looked at.
    pub(super) fn popped(&mut self, channel: usize) -> bool {
        let Some(channel) = self.channels.get_mut(channel) else { return false };
        let was_seen = channel.seen > 0;
        channel.seen = channel.seen.saturating_sub(1);
        was_seen
    }

    /// Looks at a channel again, from its beginning.
    pub(super) fn begin(&mut self, channel: usize) {
        if let Some(channel) = self.channels.get_mut(channel) {
            channel.seen = 0;
        }
    }

    pub(super) fn is_capturing(&self, channel: usize) -> bool {
        self.channels.get(channel).is_some_and(|channel| channel.captures)
    }

    pub(super) fn capture(&mut self, channel: usize, captures: bool) {
        if let Some(channel) = self.channels.get_mut(channel) {
            channel.captures = captures;
        }
    }

    /// Nothing is in flight any more.
    pub(super) fn stop(&mut self) {
        self.channels.iter_mut().for_each(|channel| channel.captures = false);
    }

    /// A barrier was seen; gives it with the time at which that of its checkpoint was first, since its own
    /// is of another clock.
    pub(super) fn announce(&mut self, now: u64, barrier: Barrier) -> Barrier {
        match self.announced {
            Some(first) if first.checkpoint == barrier.checkpoint => {
                Barrier { timestamp_ms: first.timestamp_ms, ..barrier }
            }
            _ => {
                // One that waits for nothing is late at once.
                let now = (now / 1000) as i64;
                let is_at_once = barrier.alignment == Alignment::Timeout { timeout_ms: 1 };
                let timestamp_ms = if is_at_once { now - 2 } else { now };
                let barrier = Barrier { timestamp_ms, ..barrier };
                self.announced = Some(barrier);
                barrier
            }
        }
    }

    pub(super) fn announced(&self) -> Option<Barrier> {
        self.announced
    }

    /// The barrier of a checkpoint has overtaken what is in front of it on a channel.
    pub(super) fn overtook(&mut self, channel: usize, checkpoint: u64) {
        if let Some(channel) = self.channels.get_mut(channel) {
            channel.overtook.push(checkpoint);
            channel.captures = false;
        }
    }

    pub(super) fn has_overtaken(&self, channel: usize, checkpoint: u64) -> bool {
        self.channels.get(channel).is_some_and(|channel| channel.overtook.contains(&checkpoint))
    }

    /// The barrier of a checkpoint was taken; whether it has overtaken. What is older is gone, too.
    pub(super) fn passed(&mut self, channel: usize, checkpoint: u64) -> bool {
        let Some(channel) = self.channels.get_mut(channel) else { return false };
        let has_overtaken = channel.overtook.contains(&checkpoint);
        channel.overtook.retain(|other| *other > checkpoint);
        has_overtaken
    }
}
