//! The readers that this end of a connection serves.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::{ConnectionConfig, Notice, Outgoing, Payload, Ports, ProtocolError};
use crate::credit::{Head, ProducerCredit};
use crate::event::Event;
use crate::frame::{ErrorCode, FrameHeader, FrameKind, Inline, Request};
use crate::id::{ChannelId, ReaderId};

/// Readers by number, those that can send, and those that have something to say.
#[derive(Debug)]
pub(super) struct Outbound {
    readers: BTreeMap<ReaderId, Reader>,
    runnable: VecDeque<ReaderId>,
    due: VecDeque<ReaderId>,
    waits: VecDeque<(Duration, ReaderId)>,
    patience: Duration,
    readers_max: usize,
}

#[derive(Debug)]
struct Reader {
    request: Request,
    credit: ProducerCredit,
    sequence: u32,
    phase: Phase,
    announcement_due: bool,
    error_due: Option<(ErrorCode, String)>,
    is_runnable: bool,
    is_due: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Requested and not answered.
    Asked,
    /// The partition is not there yet; waits until then at most.
    Waiting(Duration),
    /// Served.
    Active,
    /// The end of the partition was sent; the consumer will cancel.
    Ended,
    /// An error was sent or is due. The consumer will cancel, or ask again under the same number if
    /// the partition only did not appear.
    Failed,
}

impl Outbound {
    pub(super) fn new(config: &ConnectionConfig) -> Self {
        Self {
            readers: BTreeMap::new(),
            runnable: VecDeque::new(),
            due: VecDeque::new(),
            waits: VecDeque::new(),
            patience: config.partition_timeout,
            readers_max: config.readers_max,
        }
    }

    pub(super) fn on_request(
        &mut self,
        header: &FrameHeader,
        request: Request,
    ) -> Result<Notice, ProtocolError> {
        let id = ReaderId(header.channel().0);
        let before = self.readers.get(&id).map(|reader| reader.phase);
        if before.is_some_and(|phase| phase != Phase::Failed) {
            return Err(ProtocolError::DuplicateReader { reader: id });
        }
        if before.is_none() && self.readers.len() == self.readers_max {
            let max = self.readers_max;
            return Err(ProtocolError::TooManyReaders { reader: id, max });
        }
        let reader = Reader {
            request,
            credit: ProducerCredit::new(id.channel(), header.aux()),
            sequence: 0,
            phase: Phase::Asked,
            announcement_due: false,
            error_due: None,
            is_runnable: false,
            is_due: false,
        };
        self.readers.insert(id, reader);
        Ok(Notice::Requested { reader: id, request })
    }

    pub(super) fn accept(&mut self, id: ReaderId, ports: &mut impl Ports) -> bool {
        let Some(reader) = self.readers.get_mut(&id) else { return false };
        if !matches!(reader.phase, Phase::Asked | Phase::Waiting(_)) {
            return false;
        }
        reader.phase = Phase::Active;
        self.evaluate(id, ports);
        true
    }

    pub(super) fn hold(&mut self, id: ReaderId, now: Duration) {
        let Some(reader) = self.readers.get_mut(&id) else { return };
        if reader.phase == Phase::Asked {
            let deadline = now.saturating_add(self.patience);
            reader.phase = Phase::Waiting(deadline);
            self.waits.push_back((deadline, id));
        }
    }

    pub(super) fn fail(&mut self, id: ReaderId, code: ErrorCode, text: String) {
        let Some(reader) = self.readers.get_mut(&id) else { return };
        let before = core::mem::replace(&mut reader.phase, Phase::Failed);
        // The consumer of any other reader has everything, or knows already.
        if matches!(before, Phase::Asked | Phase::Waiting(_) | Phase::Active) {
            reader.error_due = Some((code, text));
            self.mark_due(id);
        }
    }

    pub(super) fn waiting(&self) -> impl Iterator<Item = (ReaderId, &Request)> {
        self.readers
            .iter()
            .filter(|(_, reader)| matches!(reader.phase, Phase::Waiting(_)))
            .map(|(id, reader)| (*id, &reader.request))
    }

    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.waits.front().map(|(deadline, _)| *deadline)
    }

    /// Gives up on partitions that did not appear.
    pub(super) fn on_time(&mut self, now: Duration) {
        while let Some((deadline, id)) = self.waits.front().copied() {
            let waits = self.readers.get(&id).map(|reader| reader.phase);
            if waits != Some(Phase::Waiting(deadline)) {
                self.waits.pop_front();
                continue;
            }
            if deadline > now {
                return;
            }
            self.waits.pop_front();
            let request = self.readers[&id].request;
            let text = alloc::format!("{request} did not appear");
            self.fail(id, ErrorCode::PartitionNotFound, text);
        }
    }

    /// A frame of the consumer about one of its channels, without payload.
    pub(super) fn on_control(
        &mut self,
        header: &FrameHeader,
        ports: &mut impl Ports,
    ) -> Result<Notice, ProtocolError> {
        let (id, kind) = (ReaderId(header.channel().0), header.kind());
        let Some(reader) = self.readers.get_mut(&id) else {
            return match kind {
                FrameKind::NewBufferSize => Ok(Notice::None),
                _ => Err(ProtocolError::UnknownReader { kind, reader: id }),
            };
        };
        if kind == FrameKind::Cancel {
            let complete = reader.phase == Phase::Ended;
            self.readers.remove(&id);
            return Ok(Notice::Cancelled { reader: id, complete });
        }
        if reader.phase == Phase::Failed {
            // It crossed our error.
            return Ok(Notice::None);
        }
        match kind {
            FrameKind::Credit => {
                reader.credit.add(header.aux())?;
                self.evaluate(id, ports);
                Ok(Notice::None)
            }
            FrameKind::Resume => {
                let not_blocked = ProtocolError::NotBlocked { reader: id };
                if reader.phase != Phase::Active || !ports.outlet(id).resume() {
                    return Err(not_blocked);
                }
                reader.credit.on_resume();
                self.evaluate(id, ports);
                Ok(Notice::Resumed { reader: id })
            }
            FrameKind::NewBufferSize => {
                if reader.phase != Phase::Active {
                    return Ok(Notice::None);
                }
                let bytes = header.aux();
                ports.outlet(id).set_page_bytes(bytes);
                Ok(Notice::NewBufferSize { reader: id, bytes })
            }
            FrameKind::AckAllRecords => Ok(Notice::AllRecordsProcessed { reader: id }),
            _ => unreachable!("{kind:?} has a payload or another direction"),
        }
    }

    pub(super) fn on_task_event(&mut self, header: &FrameHeader) -> Result<Notice, ProtocolError> {
        let id = ReaderId(header.channel().0);
        match self.readers.get(&id) {
            Some(Reader { phase: Phase::Failed, .. }) => Ok(Notice::None),
            Some(_) => Ok(Notice::TaskEvent { reader: id, tag: header.aux() }),
            None => Err(ProtocolError::UnknownReader { kind: header.kind(), reader: id }),
        }
    }

    /// The head of a reader's queue may have changed.
    pub(super) fn evaluate(&mut self, id: ReaderId, ports: &mut impl Ports) {
        let Some(reader) = self.readers.get_mut(&id) else { return };
        if reader.phase != Phase::Active || reader.is_runnable {
            return;
        }
        let outlet = ports.outlet(id);
        if reader.credit.is_runnable(outlet.head()) {
            reader.is_runnable = true;
            self.runnable.push_back(id);
        } else if reader.credit.must_announce(outlet.backlog()) {
            reader.announcement_due = true;
            self.mark_due(id);
        }
    }

    /// The next control frame of any reader.
    pub(super) fn next_control<P: Ports>(&mut self, ports: &mut P) -> Option<Outgoing<P::Buffer>> {
        while let Some(id) = self.due.pop_front() {
            let Some(reader) = self.readers.get_mut(&id) else { continue };
            reader.is_due = false;
            let announces = core::mem::take(&mut reader.announcement_due);
            if let Some((code, text)) = reader.error_due.take() {
                return Some(Outgoing::error(Some(id.channel()), code, &text));
            }
            if !announces || reader.phase != Phase::Active {
                continue;
            }
            let backlog = ports.outlet(id).backlog();
            if reader.credit.must_announce(backlog) {
                let header = FrameHeader::backlog_announcement(id.channel(), backlog);
                return Some(Outgoing::bare(header));
            }
        }
        None
    }

    /// The next element of whichever reader's turn it is.
    pub(super) fn next_element<P: Ports>(&mut self, ports: &mut P) -> Option<Outgoing<P::Buffer>> {
        while let Some(id) = self.runnable.pop_front() {
            let Some(reader) = self.readers.get_mut(&id) else { continue };
            reader.is_runnable = false;
            if reader.phase != Phase::Active {
                continue;
            }
            if let Some(frame) = reader.next_element(id.channel(), ports.outlet(id)) {
                self.evaluate(id, ports);
                return Some(frame);
            }
        }
        None
    }

    /// Forgets every reader and names those that may have missed something.
    pub(super) fn lose(&mut self) -> Vec<ReaderId> {
        self.runnable.clear();
        self.due.clear();
        self.waits.clear();
        core::mem::take(&mut self.readers).into_keys().collect()
    }

    /// Whether no reader is left.
    pub(super) fn is_empty(&self) -> bool {
        self.readers.is_empty()
    }

    pub(super) fn credit(&self, id: ReaderId) -> Option<&ProducerCredit> {
        let reader = self.readers.get(&id)?;
        (reader.phase != Phase::Failed).then_some(&reader.credit)
    }

    #[cfg(test)]
    pub(super) fn set_sequence(&mut self, id: ReaderId, sequence: u32) {
        self.readers.get_mut(&id).expect("a reader").sequence = sequence;
    }

    fn mark_due(&mut self, id: ReaderId) {
        if let Some(reader) = self.readers.get_mut(&id)
            && !reader.is_due
        {
            reader.is_due = true;
            self.due.push_back(id);
        }
    }
}

impl Reader {
    /// Takes what the queue and the credit allow; `None` if the turn came too late.
    fn next_element<B>(
        &mut self,
        channel: ChannelId,
        outlet: &mut crate::partition::Subpartition<B>,
    ) -> Option<Outgoing<B>> {
        match outlet.head() {
            Head::Nothing => None,
            Head::Event => {
                let queued = outlet.take_event()?;
                if queued.event == Event::EndOfPartition {
                    self.phase = Phase::Ended;
                }
                let payload = Inline::event(&queued.event);
                let length = payload.as_slice().len() as u32;
                let sequence = self.advance();
                let header =
                    FrameHeader::event(channel, sequence, queued.backlog, &queued.event, length);
                Some(Outgoing::inline(header, payload))
            }
            Head::Data => {
                let cleared = outlet.take_data(self.credit.permit()?);
                let sequence = self.advance();
                let data = cleared.data;
                let header = FrameHeader::data(
                    cleared.permit,
                    sequence,
                    cleared.backlog,
                    data.bytes,
                    data.part,
                );
                Some(Outgoing { header, payload: Payload::Buffer(data.buffer) })
            }
        }
    }

    fn advance(&mut self) -> u32 {
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        sequence
    }
}
