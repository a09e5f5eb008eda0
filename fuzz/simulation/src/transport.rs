//! What a transport backend does, with byte queues in the place of sockets.

use std::collections::VecDeque;

use millstream_exchange::connection::{Incoming, Notice, Outgoing, Payload, Place};
use millstream_exchange::credit::{ProducerCredit, SendPermit};
use millstream_exchange::element::Data;
use millstream_exchange::frame::{ErrorCode, FrameHeader, FrameKind, HEADER_BYTES};
use millstream_exchange::{ChannelId, ReaderId};

use crate::bug::Bug;
use crate::consumer::{ConsumerState, Held};
use crate::producer::ProducerState;
use crate::worker::{EndpointPhase, Shared, Submitted, Target, Worker};
use crate::world::Context;

/// One direction of a connection.
#[derive(Debug, Default)]
pub(crate) struct Pipe {
    pub(crate) bytes: VecDeque<u8>,
    /// Bytes that ever left it.
    pub(crate) read: u64,
    written: u64,
}

impl Pipe {
    fn write(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
        self.written += bytes.len() as u64;
    }

    /// The stream breaks: what was not read may be lost from any byte on.
    pub(crate) fn cut(&mut self, at: usize) {
        self.bytes.truncate(at);
    }
}

impl Worker {
    /// Submits a batch of frames.
    pub(crate) fn send(
        &mut self,
        peer: usize,
        pipe: &mut Pipe,
        cx: &mut Context,
    ) -> Result<(), String> {
        for _ in 0..cx.plan.batch {
            if pipe.bytes.len() >= cx.plan.pipe_bytes {
                break;
            }
            let Some(frame) = self.next_frame(peer) else { break };
            if frame.header.kind().consumes_credit() && cx.saboteur.strikes(Bug::ReorderPages) {
                let Some(other) = self.next_frame(peer) else {
                    self.submit(peer, frame, pipe, cx)?;
                    break;
                };
                let (first, second) = swapped(frame, other);
                self.submit(peer, first, pipe, cx)?;
                self.submit(peer, second, pipe, cx)?;
                continue;
            }
            self.submit(peer, frame, pipe, cx)?;
        }
        Ok(())
    }

    /// Receives what one `recvmsg` would: at most the rest of the payload and a header.
    pub(crate) fn receive(
        &mut self,
        peer: usize,
        pipe: &mut Pipe,
        cx: &mut Context,
    ) -> Result<(), String> {
        let endpoint = self.endpoints.get_mut(&peer).expect("a peer");
        let left = endpoint.intake.payload_left();
        let room = left + endpoint.intake.header_rest().len();
        let most = room.min(pipe.bytes.len());
        let count = if cx.random.percent(50) { most } else { 1 + cx.random.index(most) };
        let of_payload = count.min(left);
        for byte in pipe.bytes.drain(..of_payload) {
            match endpoint.target.segment {
                Some(segment) => {
                    self.shared.memory.segment_mut(segment)[endpoint.target.filled] = byte;
                }
                None => endpoint.scratch[endpoint.target.filled] = byte,
            }
            endpoint.target.filled += 1;
        }
        let rest = endpoint.intake.header_rest();
        for (slot, byte) in rest.iter_mut().zip(pipe.bytes.drain(..count - of_payload)) {
            *slot = byte;
        }
        pipe.read += count as u64;
        let arrived = endpoint.intake.advance(count);
        if arrived.payload {
            self.on_payload(peer, cx)?;
        }
        if let Some(header) = arrived.header {
            self.on_header(peer, &header, cx)?;
        }
        Ok(())
    }

    /// The kernel reports the oldest submitted segment as sent.
    pub(crate) fn complete(&mut self, peer: usize, cx: &mut Context) {
        let endpoint = self.endpoints.get_mut(&peer).expect("a peer");
        let Some(done) = endpoint.submitted.pop_front() else { return };
        if cx.saboteur.strikes(Bug::LeakSegment) {
            return;
        }
        let Shared { producers, memory, .. } = &mut self.shared;
        producers[done.producer].recycle(done.output, done.segment, memory);
    }

    /// This end gives up: it says so, and hangs up.
    pub(crate) fn give_up(
        &mut self,
        peer: usize,
        pipe: &mut Pipe,
        cx: &mut Context,
    ) -> Result<(), String> {
        let endpoint = self.endpoints.get_mut(&peer).expect("a peer");
        if endpoint.phase != EndpointPhase::Open || endpoint.connection.is_closed() {
            return Ok(());
        }
        cx.note("worker # gives up its connection to #", &[self.index as u64, peer as u64]);
        cx.losses += 1;
        endpoint.connection.fail(ErrorCode::Shutdown, "simulated shutdown");
        while let Some(frame) = self.next_frame(peer) {
            self.submit(peer, frame, pipe, cx)?;
        }
        self.notice_loss(peer, cx)
    }

    /// This end notices that the stream broke.
    pub(crate) fn notice_loss(&mut self, peer: usize, cx: &mut Context) -> Result<(), String> {
        cx.note("worker # loses its connection to #", &[self.index as u64, peer as u64]);
        while !self.endpoints[&peer].submitted.is_empty() {
            self.complete(peer, cx);
        }
        let endpoint = self.endpoints.get_mut(&peer).expect("a peer");
        if let Some(segment) = endpoint.target.segment.take() {
            self.discard(peer, segment);
        }
        let endpoint = self.endpoints.get_mut(&peer).expect("a peer");
        let mut open: Vec<_> = (self.shared.channels.keys())
            .filter(|(of, channel)| {
                *of == peer && endpoint.connection.channel_credit(*channel).is_some()
            })
            .map(|(_, channel)| *channel)
            .collect();
        let served: Vec<_> =
            self.shared.readers.keys().filter(|(of, _)| *of == peer).map(|key| key.1).collect();
        let mut lost = endpoint.connection.on_lost(&mut self.shared.view(peer));
        endpoint.phase = EndpointPhase::Lost;
        if cx.saboteur.strikes(Bug::ForgetLoss) {
            lost.channels.pop();
        }
        open.retain(|channel| !lost.channels.contains(channel));
        if let Some(channel) = open.first() {
            return Err(format!("{channel} was not told that its connection is lost"));
        }
        if let Some(reader) = served.iter().find(|reader| !lost.readers.contains(reader)) {
            return Err(format!("{reader} was not told that its connection is lost"));
        }
        for channel in lost.channels {
            self.fail_channel(peer, channel, cx);
        }
        for reader in lost.readers {
            if let Some((producer, _)) = self.shared.readers.remove(&(peer, reader)) {
                self.fail_producer(producer, cx);
            }
        }
        Ok(())
    }

    /// A task's input failed, and so the task.
    fn fail_channel(&mut self, peer: usize, channel: ChannelId, cx: &mut Context) {
        let (consumer, _) = self.shared.channels[&(peer, channel)];
        self.stop_consumer(consumer, ConsumerState::Failed, cx);
    }

    fn next_frame(&mut self, peer: usize) -> Option<Outgoing<u32>> {
        let endpoint = self.endpoints.get_mut(&peer).expect("a peer");
        let frame = endpoint.connection.next_frame(&mut self.shared.view(peer));
        endpoint.ready = frame.is_some();
        frame
    }

    fn submit(
        &mut self,
        peer: usize,
        mut frame: Outgoing<u32>,
        pipe: &mut Pipe,
        cx: &mut Context,
    ) -> Result<(), String> {
        let header = &mut frame.header;
        let (kind, channel) = (header.kind(), header.channel());
        cx.note_frame(true, self.index, peer, header);
        let lost = match kind {
            FrameKind::Credit => cx.saboteur.strikes(Bug::LoseCredit),
            FrameKind::Resume => cx.saboteur.strikes(Bug::LoseResume),
            _ => false,
        };
        if let Some(edge) = cx.edge(self.index, peer, header) {
            let ledger = &mut cx.ledgers[edge];
            if matches!(kind, FrameKind::Data | FrameKind::JumboFragment | FrameKind::Event) {
                ledger.sent(header.has(FrameHeader::PRIORITY))?;
            }
            match kind {
                FrameKind::Credit => ledger.credit_under_way += header.aux(),
                FrameKind::Request => ledger.request_under_way = true,
                FrameKind::Data | FrameKind::JumboFragment => ledger.data_under_way += 1,
                _ => {}
            }
        }
        if kind == FrameKind::Credit && cx.saboteur.strikes(Bug::SendWithoutCredit) {
            *header = FrameHeader::credit(channel, header.aux() + 1);
        }
        if lost {
            return Ok(());
        }
        let mut bytes = [0; HEADER_BYTES];
        frame.header.encode(&mut bytes);
        pipe.write(&bytes);
        pipe.write(frame.control_bytes());
        let Payload::Buffer(segment) = frame.payload else { return Ok(()) };
        let length = frame.header.payload_bytes() as usize;
        pipe.write(&self.shared.memory.segment(segment)[..length]);
        let (producer, output) = self.shared.readers[&(peer, ReaderId(channel.0))];
        let endpoint = self.endpoints.get_mut(&peer).expect("a peer");
        endpoint.submitted.push_back(Submitted { end: pipe.written, producer, output, segment });
        Ok(())
    }

    fn on_header(
        &mut self,
        peer: usize,
        bytes: &[u8; HEADER_BYTES],
        cx: &mut Context,
    ) -> Result<(), String> {
        let limits = cx.plan.limits();
        let header = FrameHeader::decode(bytes, &limits).map_err(|error| error.to_string())?;
        cx.note_frame(false, self.index, peer, &header);
        if let Some(edge) = cx.edge(peer, self.index, &header) {
            let ledger = &mut cx.ledgers[edge];
            match header.kind() {
                FrameKind::Credit => {
                    // A planted bug may have made more of it.
                    ledger.credit_under_way = ledger.credit_under_way.saturating_sub(header.aux());
                }
                FrameKind::Request => ledger.request_under_way = false,
                FrameKind::Resume => ledger.void = false,
                FrameKind::Data | FrameKind::JumboFragment => ledger.data_under_way -= 1,
                FrameKind::Event if header.has(FrameHeader::BLOCKING) => ledger.void = true,
                _ => {}
            }
        }
        let endpoint = self.endpoints.get_mut(&peer).expect("a peer");
        let incoming = endpoint.connection.on_header(bytes, &mut self.shared.view(peer));
        endpoint.ready = true;
        match incoming.map_err(|error| error.to_string())? {
            Incoming::Complete(notice) => self.on_notice(peer, notice, cx),
            Incoming::Payload(place) => {
                let segment = match place {
                    Place::Buffer { channel, kind, .. } => {
                        Some(self.shared.arriving(peer, channel, kind))
                    }
                    Place::Control { .. } => None,
                    Place::Discard { .. } => {
                        cx.note("payload of a channel that ended", &[]);
                        None
                    }
                };
                let endpoint = self.endpoints.get_mut(&peer).expect("a peer");
                endpoint.intake.expect(place.bytes());
                endpoint.target = Target { place: Some(place), segment, filled: 0 };
                Ok(())
            }
        }
    }

    fn on_payload(&mut self, peer: usize, cx: &mut Context) -> Result<(), String> {
        let endpoint = self.endpoints.get_mut(&peer).expect("a peer");
        let control = match endpoint.target.place {
            Some(Place::Control { bytes }) => &endpoint.scratch[..bytes as usize],
            _ => &[],
        };
        let notice = endpoint.connection.on_payload(control, &mut self.shared.view(peer));
        endpoint.ready = true;
        self.on_notice(peer, notice.map_err(|error| error.to_string())?, cx)
    }

    fn on_notice(&mut self, peer: usize, notice: Notice, cx: &mut Context) -> Result<(), String> {
        match notice {
            Notice::None | Notice::Opened(_) | Notice::NewBufferSize { .. } => {}
            Notice::Requested { reader, .. } => self.find_partition(peer, reader, cx),
            Notice::Resumed { reader } => {
                let (producer, _) = self.shared.readers[&(peer, reader)];
                cx.note("task # is resumed", &[self.shared.producers[producer].task as u64]);
            }
            Notice::Data { channel, sequence, part, bytes, kind } => {
                let endpoint = self.endpoints.get_mut(&peer).expect("a peer");
                let segment = endpoint.target.segment.take().expect("received into a segment");
                let (consumer, input) = self.shared.channels[&(peer, channel)];
                let task = &mut self.shared.consumers[consumer];
                let buffer = Held { segment, kind };
                let wake = task.gate.push_data(input, sequence, Data { buffer, bytes, part });
                task.wake(wake);
            }
            Notice::Orphaned { .. } => {
                cx.note("segment of a channel that ended", &[]);
                let endpoint = self.endpoints.get_mut(&peer).expect("a peer");
                let segment = endpoint.target.segment.take().expect("received into a segment");
                self.discard(peer, segment);
            }
            Notice::Event { channel, sequence, event } => {
                let (consumer, input) = self.shared.channels[&(peer, channel)];
                let task = &mut self.shared.consumers[consumer];
                cx.ledgers[task.inputs[input as usize].edge].arrived(&event);
                let wake = task.gate.push_event(input, sequence, event);
                task.wake(wake.map_err(|error| error.to_string())?);
            }
            Notice::AllRecordsProcessed { reader } => {
                let (producer, output) = self.shared.readers[&(peer, reader)];
                self.shared.producers[producer].result.acknowledge(output);
            }
            Notice::TaskEvent { reader, tag } => {
                let Some((producer, output)) = self.shared.readers.get(&(peer, reader)) else {
                    return Ok(());
                };
                let output = &mut self.shared.producers[*producer].outputs[*output as usize];
                if tag <= output.task_tag {
                    return Err(format!("task event {tag} after {}", output.task_tag));
                }
                output.task_tag = tag;
            }
            Notice::Cancelled { reader, complete } => self.on_cancelled(peer, reader, complete),
            Notice::ChannelFailed { channel, .. } => self.fail_channel(peer, channel, cx),
            Notice::PeerFailed { code: ErrorCode::Shutdown, .. } => {
                let endpoint = self.endpoints.get_mut(&peer).expect("a peer");
                endpoint.phase = EndpointPhase::Doomed;
                cx.losses += 1;
            }
            Notice::PeerFailed { code, text } => return Err(format!("peer: {code}: {text}")),
            Notice::Closed { failed } => {
                for channel in failed {
                    cx.note("request that crossed a close", &[]);
                    self.fail_channel(peer, channel, cx);
                }
            }
        }
        Ok(())
    }

    fn on_cancelled(&mut self, peer: usize, reader: ReaderId, complete: bool) {
        let Some((producer, output)) = self.shared.readers.remove(&(peer, reader)) else { return };
        let Shared { producers, memory, .. } = &mut self.shared;
        let task = &mut producers[producer];
        task.outputs[output as usize].reader = None;
        if complete {
            task.confirm(output);
        } else {
            task.release(output, memory);
        }
    }

    /// Connects a reader to its queue, if it is there.
    pub(crate) fn find_partition(&mut self, peer: usize, reader: ReaderId, cx: &mut Context) {
        let endpoint = self.endpoints.get_mut(&peer).expect("a peer");
        endpoint.connection.hold(reader, cx.now);
        let waiting = endpoint.connection.waiting().find(|(id, _)| *id == reader);
        let Some(request) = waiting.map(|(_, request)| *request) else { return };
        let tasks = self.shared.producers.iter().enumerate();
        let Some((index, task)) = tasks
            .filter(|(_, task)| task.state != ProducerState::Absent)
            .find(|(_, task)| task.partition == request.partition)
        else {
            cx.note("request before its partition", &[]);
            return;
        };
        let output = &task.outputs[request.subpartition as usize];
        let over = task.state == ProducerState::Failed;
        if over || output.done || output.reader.is_some() {
            let code = if over { ErrorCode::ProducerFailed } else { ErrorCode::PartitionRefused };
            cx.note("request that is refused", &[]);
            endpoint.connection.fail_reader(reader, code, "no such output any more");
            return;
        }
        self.shared.readers.insert((peer, reader), (index, request.subpartition));
        let task = &mut self.shared.producers[index];
        task.outputs[request.subpartition as usize].reader = Some((peer, reader));
        let accepted = endpoint.connection.accept(reader, &mut self.shared.view(peer));
        assert!(accepted, "{reader} was waiting");
    }

    /// A segment that was received for a channel that is gone.
    fn discard(&mut self, peer: usize, segment: u32) {
        let target = self.endpoints[&peer].target;
        let Some(Place::Buffer { channel, kind, .. }) = target.place else {
            unreachable!("only data has a segment")
        };
        let (consumer, _) = self.shared.channels[&(peer, channel)];
        self.shared.send_home(consumer, Held { segment, kind });
    }
}

/// Two frames with their payloads exchanged, if they are data of one channel.
fn swapped(first: Outgoing<u32>, second: Outgoing<u32>) -> (Outgoing<u32>, Outgoing<u32>) {
    let (a, b) = (&first.header, &second.header);
    let data = a.kind().consumes_credit() && b.kind().consumes_credit();
    if !data || a.channel() != b.channel() {
        return (first, second);
    }
    let forged = |place: &FrameHeader, content: &FrameHeader| {
        let permit = permit(place.channel());
        let (sequence, backlog) = (place.sequence(), place.backlog());
        FrameHeader::data(permit, sequence, backlog, content.payload_bytes(), content.part())
    };
    let (one, two) = (forged(a, b), forged(b, a));
    let early = Outgoing { header: one, payload: second.payload };
    (early, Outgoing { header: two, payload: first.payload })
}

fn permit(channel: ChannelId) -> SendPermit {
    ProducerCredit::new(channel, 1).permit().expect("one credit, one permit")
}
