//! The consuming side of an exchange: which channel a task reads next.
//!
//! An [`InputGate`] holds what arrived on the channels of one input and hands it to the task, one
//! element at a time: first whatever has priority, then round-robin over the channels that have
//! something, one element each, so that no busy channel starves the others.
//!
//! Data in a gate is bounded by credit. Events cost none, so neighbouring watermarks and statuses
//! merge, and a channel on which more than [`GATE_EVENTS_MAX`] others pile up is at fault.
//!
//! # Where alignment comes in
//!
//! The gate does not align barriers. A barrier leaves it like any event, and the channel that
//! delivered a blocking one stays [`ChannelState::Blocked`] until [`InputGate::resume`]. The
//! machine that counts barriers, says when the snapshot is taken and then resumes the channels is
//! between the gate and the task, the aligner of `millstream-checkpoint`. It is told of
//! [`Event::Announcement`], which reaches the task ahead of its barrier; [`InputGate::overtake`] turns
//! the announced barrier into one that overtakes, and [`InputGate::queued_data`] lists the in-flight
//! data of a channel.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;

use crate::element::{Data, Element};
use crate::event::{Alignment, Barrier, Event};
use crate::partition::Wake;

mod jumbo;
#[cfg(test)]
mod tests;

pub use jumbo::{JumboBudget, JumboError, JumboGate, Reservation, Step};

/// Most events in the queue of one channel.
pub const GATE_EVENTS_MAX: usize = 1 << 16;

/// One input of a task.
///
/// `B` is the backend's handle of a segment. It knows no time. After a `push_` returned
/// [`Wake::Reader`] the task should [`poll`](Self::poll) until `None`.
#[derive(Debug)]
pub struct InputGate<B> {
    channels: Vec<Channel<B>>,
    ready: VecDeque<u32>,
    urgent: VecDeque<u32>,
    data_ended: u32,
    drain: bool,
    ended: u32,
}

/// Whether a channel delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelState {
    /// It does.
    Open,
    /// It delivered a blocking event and its producer waits to be resumed.
    Blocked,
    /// Nothing will come any more.
    Ended,
}

/// What a task reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Polled<B> {
    /// The channel, counted from zero within the gate.
    pub channel: u32,
    /// The number under which it was sent.
    pub sequence: u32,
    /// The element itself.
    pub element: Element<B>,
}

#[derive(Debug)]
struct Channel<B> {
    priority: VecDeque<Urgent>,
    queue: VecDeque<Arrived<B>>,
    events: usize,
    state: ChannelState,
    paused: bool,
    data_ended: bool,
    is_ready: bool,
    is_urgent: bool,
}

#[derive(Debug)]
struct Urgent {
    sequence: u32,
    event: Event,
    /// Set where a barrier became urgent here: its producer is blocked all the same.
    blocks: bool,
}

#[derive(Debug)]
struct Arrived<B> {
    sequence: u32,
    element: Element<B>,
}

impl<B> InputGate<B> {
    /// A gate whose channels are all open.
    pub fn new(channels: u32) -> Self {
        assert!(channels > 0, "a gate without channels");
        Self {
            channels: (0..channels).map(|_| Channel::new()).collect(),
            ready: VecDeque::with_capacity(channels as usize),
            urgent: VecDeque::new(),
            data_ended: 0,
            drain: true,
            ended: 0,
        }
    }

    /// Data arrived.
    pub fn push_data(&mut self, channel: u32, sequence: u32, data: Data<B>) -> Wake {
        let element = Element::Data(data);
        self.channel_mut(channel).queue.push_back(Arrived { sequence, element });
        self.enqueue(channel)
    }

    /// An event arrived. One that requires an announcement announces itself.
    ///
    /// # Errors
    /// [`GateError`] when the channel sends events faster than anybody could read them.
    pub fn push_event(
        &mut self,
        channel: u32,
        sequence: u32,
        event: Event,
    ) -> Result<Wake, GateError> {
        let target = self.channel_mut(channel);
        if target.events + target.priority.len() >= GATE_EVENTS_MAX {
            return Err(GateError { channel, sequence });
        }
        if event.has_priority() {
            target.priority.push_back(Urgent { sequence, event, blocks: false });
            return Ok(self.enqueue_urgent(channel));
        }
        if let Some(Arrived { element: Element::Event(last), .. }) = target.queue.back_mut()
            && let Some(merged) = last.merge(&event)
        {
            *last = merged;
            return Ok(Wake::Nobody);
        }
        target.queue.push_back(Arrived { sequence, element: Element::Event(event) });
        target.events += 1;
        let wake = self.enqueue(channel);
        match event {
            Event::Barrier(barrier) if event.requires_announcement() => {
                let event = Event::Announcement { barrier, sequence };
                let urgent = Urgent { sequence, event, blocks: false };
                self.channel_mut(channel).priority.push_back(urgent);
                Ok(wake.or(self.enqueue_urgent(channel)))
            }
            _ => Ok(wake),
        }
    }

    /// The next element for the task; `None` when nothing may be read, until a `push_`,
    /// [`unpause`](Self::unpause) or [`overtake`](Self::overtake) says [`Wake::Reader`].
    pub fn poll(&mut self) -> Option<Polled<B>> {
        if let Some(polled) = self.poll_urgent() {
            return Some(polled);
        }
        while let Some(index) = self.ready.pop_front() {
            let channel = &mut self.channels[index as usize];
            channel.is_ready = false;
            if channel.paused {
                continue;
            }
            let Some(Arrived { sequence, element }) = channel.queue.pop_front() else { continue };
            let _ = self.enqueue(index);
            if let Element::Event(event) = &element {
                self.channels[index as usize].events -= 1;
                self.on_event(index, event);
            }
            return Some(Polled { channel: index, sequence, element });
        }
        None
    }

    /// Whether [`poll`](Self::poll) would look at a channel.
    pub fn is_available(&self) -> bool {
        !self.urgent.is_empty() || !self.ready.is_empty()
    }

    /// Stops reading from a channel, priority events excepted: a jumbo row waits for memory.
    pub fn pause(&mut self, channel: u32) {
        self.channels[channel as usize].paused = true;
    }

    /// Reads from a paused channel again.
    pub fn unpause(&mut self, channel: u32) -> Wake {
        self.channels[channel as usize].paused = false;
        self.enqueue(channel)
    }

    /// The task goes on behind a blocking event. The connection must be told, too: its `resume`
    /// lets the producer send.
    pub fn resume(&mut self, channel: u32) {
        let state = &mut self.channels[channel as usize].state;
        assert_eq!(*state, ChannelState::Blocked, "input {channel} resumed");
        *state = ChannelState::Open;
    }

    /// Lets the barrier of this checkpoint overtake on one channel, if it waits in the queue there.
    /// Returns how many of [`queued_data`](Self::queued_data) it overtook, from the first on: they
    /// belong to the checkpoint. Its announcement, if still unread, is gone. The channel will be
    /// blocked when the barrier was read: its producer stopped behind it.
    pub fn overtake(&mut self, channel: u32, checkpoint: u64) -> Option<(usize, Wake)> {
        let target = &mut self.channels[channel as usize];
        let at = target.queue.iter().position(|arrived| {
            matches!(arrived.element, Element::Event(Event::Barrier(Barrier {
                checkpoint: id,
                alignment: Alignment::Timeout { .. },
                ..
            })) if id == checkpoint)
        })?;
        let Some(Arrived { sequence, element: Element::Event(Event::Barrier(barrier)) }) =
            target.queue.remove(at)
        else {
            unreachable!("the position of a barrier")
        };
        target.events -= 1;
        target.priority.retain(|urgent| {
            !matches!(urgent.event, Event::Announcement { barrier: announced, .. }
                if announced.checkpoint == checkpoint)
        });
        let event = Event::Barrier(barrier.unaligned());
        target.priority.push_back(Urgent { sequence, event, blocks: true });
        let overtaken =
            target.queue.iter().take(at).filter(|a| matches!(a.element, Element::Data(_))).count();
        Some((overtaken, self.enqueue_urgent(channel)))
    }

    /// The data of a channel that was not read yet, first to last, with the numbers under which they
    /// were sent.
    pub fn queued_data(&self, channel: u32) -> impl Iterator<Item = (u32, &Data<B>)> {
        self.channels[channel as usize].queue.iter().filter_map(|arrived| match &arrived.element {
            Element::Data(data) => Some((arrived.sequence, data)),
            Element::Event(_) => None,
        })
    }

    /// Gives up what a channel has queued, and ends it: it was cancelled or failed.
    pub fn release(&mut self, channel: u32) -> impl Iterator<Item = Data<B>> + '_ {
        let target = &mut self.channels[channel as usize];
        target.priority.clear();
        target.events = 0;
        self.ended += u32::from(target.state != ChannelState::Ended);
        target.state = ChannelState::Ended;
        target.queue.drain(..).filter_map(|arrived| match arrived.element {
            Element::Data(data) => Some(data),
            Element::Event(_) => None,
        })
    }

    /// How many channels there are, at least one.
    pub fn channels(&self) -> u32 {
        self.channels.len() as u32
    }

    /// Whether a channel delivers.
    pub fn state(&self, channel: u32) -> ChannelState {
        self.channels[channel as usize].state
    }

    /// Whether every channel delivered its end of data, and if so whether to drain: only if all
    /// said so.
    pub fn end_of_data(&self) -> Option<bool> {
        (self.data_ended == self.channels()).then_some(self.drain)
    }

    /// Whether every channel has ended.
    pub fn is_ended(&self) -> bool {
        self.ended == self.channels()
    }

    fn poll_urgent(&mut self) -> Option<Polled<B>> {
        while let Some(index) = self.urgent.pop_front() {
            let channel = &mut self.channels[index as usize];
            channel.is_urgent = false;
            let Some(Urgent { sequence, event, blocks }) = channel.priority.pop_front() else {
                continue;
            };
            if blocks {
                channel.state = ChannelState::Blocked;
            }
            let _ = self.enqueue_urgent(index);
            return Some(Polled { channel: index, sequence, element: Element::Event(event) });
        }
        None
    }

    fn on_event(&mut self, index: u32, event: &Event) {
        let channel = &mut self.channels[index as usize];
        match event {
            _ if event.blocks_upstream() => channel.state = ChannelState::Blocked,
            Event::EndOfData { drain } if !channel.data_ended => {
                channel.data_ended = true;
                self.data_ended += 1;
                self.drain &= drain;
            }
            Event::EndOfPartition => {
                channel.state = ChannelState::Ended;
                self.ended += 1;
            }
            _ => {}
        }
    }

    fn enqueue(&mut self, index: u32) -> Wake {
        let channel = &mut self.channels[index as usize];
        if channel.is_ready || channel.paused || channel.queue.is_empty() {
            return Wake::Nobody;
        }
        channel.is_ready = true;
        self.ready.push_back(index);
        if self.ready.len() + self.urgent.len() == 1 { Wake::Reader } else { Wake::Nobody }
    }

    fn enqueue_urgent(&mut self, index: u32) -> Wake {
        let channel = &mut self.channels[index as usize];
        if channel.is_urgent || channel.priority.is_empty() {
            return Wake::Nobody;
        }
        channel.is_urgent = true;
        self.urgent.push_back(index);
        if self.ready.len() + self.urgent.len() == 1 { Wake::Reader } else { Wake::Nobody }
    }

    fn channel_mut(&mut self, index: u32) -> &mut Channel<B> {
        let channel = &mut self.channels[index as usize];
        assert_ne!(channel.state, ChannelState::Ended, "input {index}: data behind its end");
        channel
    }
}

impl<B> Channel<B> {
    fn new() -> Self {
        Self {
            priority: VecDeque::new(),
            queue: VecDeque::new(),
            events: 0,
            state: ChannelState::Open,
            paused: false,
            data_ended: false,
            is_ready: false,
            is_urgent: false,
        }
    }
}

/// More than [`GATE_EVENTS_MAX`] events wait on one channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateError {
    /// The channel of the gate.
    pub channel: u32,
    /// The event that found no place.
    pub sequence: u32,
}

impl fmt::Display for GateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { channel, sequence } = self;
        write!(f, "input {channel}: event {sequence} behind {GATE_EVENTS_MAX} that nobody read")
    }
}

impl core::error::Error for GateError {}
