//! The channels that this end of a connection consumes.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::{ConnectionConfig, Notice, Outgoing, Payload, Place, ProtocolError};
use crate::credit::{Announce, BufferKind, ConsumerCredit, FloatingBuffers, Recycled};
use crate::event::Event;
use crate::frame::{ErrorCode, FrameHeader, FrameKind, Request};
use crate::id::ChannelId;

/// Channels by number, and those that have something to say.
#[derive(Debug)]
pub(super) struct Inbound {
    channels: BTreeMap<ChannelId, Channel>,
    next: u32,
    due: VecDeque<ChannelId>,
    patience: Duration,
    wait_max: Duration,
}

#[derive(Debug)]
struct Channel {
    request: Request,
    credit: ConsumerCredit,
    expected: u32,
    phase: Phase,
    within_row: bool,
    /// Whether the request has left, once at least.
    asked: bool,
    waited: Duration,
    due: Due,
    is_due: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Requested; data and events arrive.
    Open,
    /// A blocking event arrived and was not resumed.
    Blocked,
    /// The end of the partition arrived.
    Ended,
    /// Cancelled or failed, and released; a `Cancel` is still due.
    Closing,
}

/// Frames that a channel has to send. Each kind waits at most once, task events apart, so control
/// messages are bounded by the number of channels.
#[derive(Debug, Default)]
struct Due {
    request: bool,
    resume: bool,
    credit: bool,
    page_bytes: Option<u32>,
    acknowledge: bool,
    task_events: VecDeque<(u32, Box<[u8]>)>,
    cancel: bool,
}

/// Most task events that wait on one channel.
pub const TASK_EVENTS_MAX: usize = 64;

impl Inbound {
    pub(super) fn new(config: &ConnectionConfig) -> Self {
        Self {
            channels: BTreeMap::new(),
            next: 0,
            due: VecDeque::new(),
            patience: config.partition_timeout,
            wait_max: config.partition_wait_max,
        }
    }

    pub(super) fn open(&mut self, request: Request, initial_credit: u32) -> ChannelId {
        let id = ChannelId(self.next);
        self.next = self.next.checked_add(1).expect("2³² channels over one connection");
        let channel = Channel {
            request,
            credit: ConsumerCredit::new(id, initial_credit),
            expected: 0,
            phase: Phase::Open,
            within_row: false,
            asked: false,
            waited: Duration::ZERO,
            due: Due { request: true, ..Due::default() },
            is_due: false,
        };
        self.channels.insert(id, channel);
        self.mark_due(id);
        id
    }

    /// A header with a place in the order of its channel: says where the payload goes.
    pub(super) fn on_header(
        &mut self,
        header: &FrameHeader,
        pool: &mut impl FloatingBuffers,
    ) -> Result<Place, ProtocolError> {
        let (id, bytes) = (header.channel(), header.payload_bytes());
        let Some(channel) = self.live(header)? else { return Ok(Place::Discard { bytes }) };
        channel.check(header)?;
        channel.expected = channel.expected.wrapping_add(1);
        if header.kind().consumes_credit() {
            let sequence = header.sequence();
            let no_credit = ProtocolError::NoCredit { channel: id, sequence };
            let kind = channel.credit.on_data().ok_or(no_credit)?;
            channel.within_row = header.part().continues();
            let announce = channel.credit.on_backlog(header.backlog(), pool);
            self.note(id, announce);
            return Ok(Place::Buffer { channel: id, kind, bytes });
        }
        let announce = if header.has(FrameHeader::BLOCKING) {
            channel.phase = Phase::Blocked;
            channel.credit.on_blocking(pool)
        } else {
            channel.credit.on_backlog(header.backlog(), pool)
        };
        self.note(id, announce);
        Ok(Place::Control { bytes })
    }

    pub(super) fn on_announcement(
        &mut self,
        header: &FrameHeader,
        pool: &mut impl FloatingBuffers,
    ) -> Result<(), ProtocolError> {
        let Some(channel) = self.live(header)? else { return Ok(()) };
        let announce = channel.credit.on_backlog(header.backlog(), pool);
        self.note(header.channel(), announce);
        Ok(())
    }

    /// The payload of a data frame is complete.
    pub(super) fn on_data(&mut self, header: &FrameHeader, kind: BufferKind) -> Notice {
        let (id, bytes) = (header.channel(), header.payload_bytes());
        match self.channels.get(&id) {
            Some(channel) if channel.phase != Phase::Closing => {
                let (sequence, part) = (header.sequence(), header.part());
                Notice::Data { channel: id, sequence, part, bytes, kind }
            }
            _ => Notice::Orphaned { channel: id, kind },
        }
    }

    /// The payload of an event's frame is complete.
    pub(super) fn on_event(
        &mut self,
        header: &FrameHeader,
        payload: &[u8],
    ) -> Result<Notice, ProtocolError> {
        let (id, sequence) = (header.channel(), header.sequence());
        let event = Event::decode(payload).map_err(|error| ProtocolError::Event {
            channel: id,
            sequence,
            error,
        })?;
        let (expected, found) = (FrameHeader::event_flags(&event), header.flags());
        if expected != found {
            return Err(ProtocolError::EventFlags { channel: id, sequence, expected, found });
        }
        if matches!(event, Event::Announcement { .. }) {
            let when = "that announces another, which only its receiver does";
            return Err(ProtocolError::Unexpected { kind: FrameKind::Event, when });
        }
        match self.channels.get_mut(&id) {
            Some(channel) if channel.phase != Phase::Closing => {
                if event == Event::EndOfPartition {
                    channel.phase = Phase::Ended;
                }
                Ok(Notice::Event { channel: id, sequence, event })
            }
            _ => Ok(Notice::None),
        }
    }

    /// The producer gave up on a channel.
    pub(super) fn on_error(
        &mut self,
        header: &FrameHeader,
        code: ErrorCode,
        text: String,
        pool: &mut impl FloatingBuffers,
    ) -> Result<Notice, ProtocolError> {
        let id = header.channel();
        let (patience, wait_max) = (self.patience, self.wait_max);
        let Some(channel) = self.live(header)? else { return Ok(Notice::None) };
        if code == ErrorCode::PartitionNotFound && channel.expected == 0 {
            // Ask again, until producers have waited long enough in sum.
            channel.waited = channel.waited.saturating_add(patience);
            if channel.waited < wait_max {
                channel.due.request = true;
                self.mark_due(id);
                return Ok(Notice::None);
            }
        }
        self.cancel(id, pool);
        Ok(Notice::ChannelFailed { channel: id, code, text })
    }

    pub(super) fn recycle(
        &mut self,
        id: ChannelId,
        kind: BufferKind,
        pool: &mut impl FloatingBuffers,
    ) -> Recycled {
        let Some(channel) = self.channels.get_mut(&id) else { return Recycled::Home };
        let (recycled, announce) = channel.credit.recycle(kind, pool);
        self.note(id, announce);
        recycled
    }

    pub(super) fn on_floating(&mut self, id: ChannelId, pool: &mut impl FloatingBuffers) -> bool {
        let taken = self.channels.get_mut(&id).and_then(|c| c.credit.on_floating(pool));
        if let Some(announce) = taken {
            self.note(id, announce);
        }
        taken.is_some()
    }

    pub(super) fn resume(&mut self, id: ChannelId) {
        let Some(channel) = self.open_channel(id) else { return };
        assert_eq!(channel.phase, Phase::Blocked, "{id} resumed");
        channel.phase = Phase::Open;
        channel.credit.resume();
        channel.due.resume = true;
        self.mark_due(id);
    }

    pub(super) fn acknowledge(&mut self, id: ChannelId) {
        let Some(channel) = self.open_channel(id) else { return };
        channel.due.acknowledge = true;
        self.mark_due(id);
    }

    pub(super) fn set_page_bytes(&mut self, id: ChannelId, bytes: u32) {
        let Some(channel) = self.open_channel(id) else { return };
        channel.due.page_bytes = Some(bytes);
        self.mark_due(id);
    }

    pub(super) fn send_task_event(&mut self, id: ChannelId, tag: u32, bytes: Box<[u8]>) -> bool {
        let Some(channel) = self.open_channel(id) else { return true };
        if channel.due.task_events.len() == TASK_EVENTS_MAX {
            return false;
        }
        channel.due.task_events.push_back((tag, bytes));
        self.mark_due(id);
        true
    }

    /// Ends a channel from this side, complete or not.
    pub(super) fn cancel(&mut self, id: ChannelId, pool: &mut impl FloatingBuffers) {
        let Some(channel) = self.open_channel(id) else { return };
        channel.credit.release(pool);
        channel.phase = Phase::Closing;
        channel.due.cancel = true;
        self.mark_due(id);
    }

    /// The next control frame of any channel.
    pub(super) fn next_frame<B>(&mut self) -> Option<Outgoing<B>> {
        while let Some(id) = self.due.front().copied() {
            if let Some(channel) = self.channels.get_mut(&id) {
                if let Some(frame) = channel.next_frame(id) {
                    return Some(frame);
                }
                channel.is_due = false;
                if channel.phase == Phase::Closing {
                    self.channels.remove(&id);
                }
            }
            self.due.pop_front();
        }
        None
    }

    /// Releases every channel and names those that were not complete.
    pub(super) fn lose(&mut self, pool: &mut impl FloatingBuffers) -> Vec<ChannelId> {
        self.due.clear();
        let mut failed = Vec::new();
        for (id, mut channel) in core::mem::take(&mut self.channels) {
            if channel.phase != Phase::Closing {
                channel.credit.release(pool);
                failed.push(id);
            }
        }
        failed
    }

    /// Whether every channel is gone, its `Cancel` sent.
    pub(super) fn is_empty(&self) -> bool {
        self.channels.is_empty()
    }

    pub(super) fn credit(&self, id: ChannelId) -> Option<&ConsumerCredit> {
        self.channels.get(&id).filter(|c| c.phase != Phase::Closing).map(|c| &c.credit)
    }

    #[cfg(test)]
    pub(super) fn set_expected(&mut self, id: ChannelId, sequence: u32) {
        self.channels.get_mut(&id).expect("an open channel").expected = sequence;
    }

    /// The channel of a frame; `None` if it was opened once and is gone.
    fn live(&mut self, header: &FrameHeader) -> Result<Option<&mut Channel>, ProtocolError> {
        let (id, kind) = (header.channel(), header.kind());
        if id.0 >= self.next {
            return Err(ProtocolError::UnknownChannel { kind, channel: id });
        }
        Ok(self.open_channel(id))
    }

    fn open_channel(&mut self, id: ChannelId) -> Option<&mut Channel> {
        self.channels.get_mut(&id).filter(|channel| channel.phase != Phase::Closing)
    }

    fn note(&mut self, id: ChannelId, announce: Announce) {
        if announce == Announce::Nothing {
            return;
        }
        if let Some(channel) = self.channels.get_mut(&id) {
            channel.due.credit = true;
            self.mark_due(id);
        }
    }

    fn mark_due(&mut self, id: ChannelId) {
        if let Some(channel) = self.channels.get_mut(&id)
            && !channel.is_due
        {
            channel.is_due = true;
            self.due.push_back(id);
        }
    }
}

impl Channel {
    /// Holds a frame of this channel against what may come now.
    fn check(&self, header: &FrameHeader) -> Result<(), ProtocolError> {
        let (channel, found) = (header.channel(), header.sequence());
        if found != self.expected {
            return Err(ProtocolError::Sequence { channel, expected: self.expected, found });
        }
        match self.phase {
            Phase::Blocked => return Err(ProtocolError::Blocked { channel, sequence: found }),
            Phase::Ended => return Err(ProtocolError::Ended { channel, sequence: found }),
            Phase::Open | Phase::Closing => {}
        }
        if header.has(FrameHeader::BLOCKING) && header.backlog() != 0 {
            let (sequence, found) = (found, header.backlog());
            return Err(ProtocolError::BlockingBacklog { channel, sequence, found });
        }
        let in_order = header.kind() == FrameKind::Event && !header.has(FrameHeader::PRIORITY);
        if self.within_row && in_order {
            return Err(ProtocolError::WithinRow { channel, sequence: found });
        }
        Ok(())
    }

    /// The frames that are due, in the one order that is always right: a resume voids credit that
    /// was announced before it, so none may be announced between the two.
    fn next_frame<B>(&mut self, id: ChannelId) -> Option<Outgoing<B>> {
        let due = &mut self.due;
        if self.phase == Phase::Closing {
            // A producer that was never asked need not be told.
            let cancel = due.cancel && self.asked;
            let acknowledge = due.acknowledge && self.asked;
            *due = Due { acknowledge, cancel, ..Due::default() };
        }
        if core::mem::take(&mut due.request) {
            self.asked = true;
            let header = FrameHeader::request(id, self.credit.initial());
            return Some(Outgoing::inline(header, self.request.encode()));
        }
        if core::mem::take(&mut due.resume) {
            return Some(Outgoing::bare(FrameHeader::resume(id)));
        }
        // Behind the end no credit is of use.
        if core::mem::take(&mut due.credit) && self.phase != Phase::Ended {
            let credit = self.credit.take_unannounced();
            if credit > 0 {
                return Some(Outgoing::bare(FrameHeader::credit(id, credit)));
            }
        }
        if let Some(bytes) = due.page_bytes.take() {
            return Some(Outgoing::bare(FrameHeader::new_buffer_size(id, bytes)));
        }
        if core::mem::take(&mut due.acknowledge) {
            return Some(Outgoing::bare(FrameHeader::ack_all_records(id)));
        }
        if let Some((tag, bytes)) = due.task_events.pop_front() {
            let header = FrameHeader::task_event(id, tag, bytes.len() as u32);
            return Some(Outgoing { header, payload: Payload::Heap(bytes) });
        }
        core::mem::take(&mut due.cancel).then(|| Outgoing::bare(FrameHeader::cancel(id)))
    }
}
