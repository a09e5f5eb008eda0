//! Functions over bytes, for a fuzzer and for the tests that replay what it found.
//!
//! Each panics if the code under test is wrong and returns otherwise, whatever the bytes are.

use std::collections::BTreeMap;
use std::time::Duration;

use millstream_exchange::connection::{
    Connection, ConnectionConfig, Incoming, Intake, Notice, Place, Ports,
};
use millstream_exchange::credit::{FloatingBuffers, ProducerCredit};
use millstream_exchange::element::{Data, Part};
use millstream_exchange::event::{Alignment, Barrier, EVENT_BYTES_MAX, Event, Purpose};
use millstream_exchange::frame::{
    ErrorCode, FrameHeader, FrameLimits, HEADER_BYTES, Hello, Inline, Request,
};
use millstream_exchange::partition::Subpartition;
use millstream_exchange::{ChannelId, PartitionId, ReaderId, WorkerId};

const SEGMENT_BYTES: u32 = 64;
const RECORD_BYTES_MAX: u32 = 1024;

/// Any 32 bytes are refused, or are the one encoding of what they decode to.
pub fn frame(data: &[u8]) {
    let Some(bytes) = data.first_chunk::<HEADER_BYTES>() else { return };
    if let Ok(header) = FrameHeader::decode(bytes, &FrameLimits::default()) {
        let mut again = [0; HEADER_BYTES];
        header.encode(&mut again);
        assert_eq!(bytes, &again, "{header:?}");
    }
}

/// Any bytes are no event, or are the one encoding of what they decode to.
pub fn event(data: &[u8]) {
    if let Ok(event) = Event::decode(data) {
        let mut again = [0; EVENT_BYTES_MAX];
        let length = event.encode(&mut again);
        assert_eq!(data, &again[..length], "{event}");
    }
}

/// The same for the payloads of the frames that open connections and channels.
pub fn payload(data: &[u8]) {
    if let Ok(hello) = Hello::decode(data) {
        assert_eq!(data, hello.encode().as_slice());
    }
    if let Ok(request) = Request::decode(data) {
        assert_eq!(data, request.encode().as_slice());
    }
}

/// Whatever a peer sends in the place of frames, in whatever pieces: a connection answers with an
/// error at worst, and everything ends with it.
///
/// The bytes are orders: which plausible frame comes next, and what its fields are.
pub fn connection(data: &[u8]) {
    let mut orders = Orders(data);
    let mut victim = Victim::new(u32::from(orders.next()) % 4);
    let mut forger = Forger::default();
    while !orders.0.is_empty() && victim.get(&forger.frame(&mut orders), &mut orders).is_some() {
        while victim.connection.next_frame(&mut victim.queues).is_some() {}
    }
    let lost = victim.connection.on_lost(&mut victim.queues);
    for channel in lost.channels {
        assert!(victim.queues.released.contains(&channel), "{channel} is lost, not released");
    }
    assert!(victim.connection.next_frame(&mut victim.queues).is_none());
}

/// The fuzzer's bytes, read one by one, zero behind their end.
struct Orders<'a>(&'a [u8]);

impl Orders<'_> {
    fn next(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    fn small(&mut self, end: u32) -> u32 {
        u32::from(self.next()) % end
    }
}

/// A worker with a few channels and readers.
struct Victim {
    connection: Connection,
    queues: Queues,
}

#[derive(Default)]
struct Queues {
    queues: BTreeMap<ReaderId, Subpartition<u32>>,
    floating: u32,
    released: Vec<ChannelId>,
}

impl FloatingBuffers for Queues {
    fn take_or_listen(&mut self, _: ChannelId, _: u32) -> bool {
        let rest = self.floating.checked_sub(1);
        self.floating = rest.unwrap_or(0);
        rest.is_some()
    }

    fn give_back(&mut self, _: ChannelId) {
        self.floating += 1;
    }

    fn release(&mut self, channel: ChannelId) {
        assert!(!self.released.contains(&channel), "{channel} is released twice");
        self.released.push(channel);
    }
}

impl Ports for Queues {
    type Buffer = u32;

    fn outlet(&mut self, reader: ReaderId) -> &mut Subpartition<u32> {
        self.queues.get_mut(&reader).expect("asked for a reader that was accepted")
    }
}

impl Victim {
    fn new(credit: u32) -> Self {
        let config = ConnectionConfig::new(hello(1));
        let mut connection = Connection::new(&config, Duration::ZERO);
        for subpartition in 0..3 {
            let opened = connection.open(request(subpartition), credit);
            assert_eq!(opened, Some(ChannelId(subpartition)));
        }
        let mut victim = Self { connection, queues: Queues { floating: 2, ..Queues::default() } };
        let hello = (FrameHeader::hello(), hello(2).encode().as_slice().to_vec());
        assert!(victim.get(&encode(&hello), &mut Orders(&[])).is_some());
        victim
    }

    /// Receives bytes in pieces; `None` when the connection is over.
    fn get(&mut self, bytes: &[u8], orders: &mut Orders<'_>) -> Option<()> {
        let mut intake = Intake::new();
        let (mut rest, mut control, mut place) = (bytes, Vec::new(), None);
        while !rest.is_empty() {
            let left = intake.payload_left();
            let room = (left + intake.header_rest().len()).min(rest.len());
            let (now, later) = rest.split_at((1 + orders.next() as usize).min(room));
            let of_payload = now.len().min(left);
            control.extend_from_slice(&now[..of_payload]);
            intake.header_rest()[..now.len() - of_payload].copy_from_slice(&now[of_payload..]);
            rest = later;
            let arrived = intake.advance(now.len());
            if arrived.payload {
                let bytes = core::mem::take(&mut control);
                let is_control = matches!(place.take(), Some(Place::Control { .. }));
                let bytes = if is_control { &bytes[..] } else { &[] };
                let notice = self.connection.on_payload(bytes, &mut self.queues).ok()?;
                self.heed(&notice);
            }
            if let Some(header) = arrived.header {
                match self.connection.on_header(&header, &mut self.queues).ok()? {
                    Incoming::Complete(notice) => self.heed(&notice),
                    Incoming::Payload(next) => {
                        intake.expect(next.bytes());
                        place = Some(next);
                    }
                }
            }
        }
        // A forged length may ask for more than was sent: the peer hangs up in the middle.
        (intake.payload_left() == 0 && intake.header_rest().len() == HEADER_BYTES).then_some(())
    }

    /// Does what a worker would do.
    fn heed(&mut self, notice: &Notice) {
        match notice {
            Notice::Requested { reader, .. } => {
                let mut queue = Subpartition::new(SEGMENT_BYTES);
                let _ = queue.push_data(Data::page(1, 8));
                let _ = queue.push_event(barrier(Alignment::Aligned));
                let _ = queue.push_data(Data::page(2, 8));
                self.queues.queues.insert(*reader, queue);
                assert!(self.connection.accept(*reader, &mut self.queues));
            }
            Notice::Data { channel, kind, .. } => {
                let _ = self.connection.recycle(*channel, *kind, &mut self.queues);
            }
            Notice::Event { channel, event, .. } if event.blocks_upstream() => {
                self.connection.resume(*channel);
            }
            Notice::Event { channel, event: Event::EndOfPartition, .. } => {
                self.connection.cancel(*channel, &mut self.queues);
            }
            _ => {}
        }
    }
}

/// A peer that knows the protocol and keeps to it most of the time.
#[derive(Default)]
struct Forger {
    sequences: [u32; 4],
    requested: u32,
}

impl Forger {
    /// A frame that a peer could send, or nearly.
    fn frame(&mut self, orders: &mut Orders<'_>) -> Vec<u8> {
        let kind = orders.next() % 16;
        let bare = |header| (header, Vec::new());
        let frame = match kind {
            0 => {
                let known = orders.next() >= 250;
                let id = if known { self.reader(orders) } else { ChannelId(self.requested) };
                self.requested += u32::from(!known);
                let payload = request(0).encode().as_slice().to_vec();
                (FrameHeader::request(id, orders.small(4)), payload)
            }
            1..=4 => self.data(orders),
            5..=7 => {
                let event = any_event(orders);
                let payload = Inline::event(&event).as_slice().to_vec();
                let (length, (id, sequence)) = (payload.len() as u32, self.place(orders));
                let backlog = if event.blocks_upstream() { 0 } else { orders.small(3) };
                (FrameHeader::event(id, sequence, backlog, &event, length), payload)
            }
            8 => bare(FrameHeader::credit(self.reader(orders), 1 + orders.small(5))),
            9 => bare(FrameHeader::resume(self.reader(orders))),
            10 => bare(FrameHeader::cancel(self.reader(orders))),
            11 => bare(FrameHeader::backlog_announcement(self.place(orders).0, 1)),
            12 => bare(FrameHeader::new_buffer_size(self.reader(orders), 1 + orders.small(64))),
            13 => bare(FrameHeader::ack_all_records(self.reader(orders))),
            14 => (FrameHeader::task_event(self.reader(orders), 1, 2), vec![1, 2]),
            _ => {
                let id = ChannelId(orders.small(3));
                let code = ErrorCode::from_aux(orders.small(7));
                let code = code.unwrap_or(ErrorCode::PartitionNotFound);
                bare(FrameHeader::error(Some(id), code, 0))
            }
        };
        let mut bytes = encode(&frame);
        // Now and then a byte is wrong.
        if orders.next() == 0xff {
            let at = orders.next() as usize % bytes.len();
            bytes[at] ^= orders.next();
        }
        bytes
    }

    /// A channel of the victim and its next number, now and then another one.
    fn place(&mut self, orders: &mut Orders<'_>) -> (ChannelId, u32) {
        let id = orders.small(3);
        let next = &mut self.sequences[id as usize];
        let sequence = *next;
        *next += 1;
        if orders.next() < 250 {
            (ChannelId(id), sequence)
        } else {
            (ChannelId(orders.small(4)), orders.small(9))
        }
    }

    /// A reader that was requested, now and then one that was not.
    fn reader(&self, orders: &mut Orders<'_>) -> ChannelId {
        let end = if orders.next() < 250 { self.requested.max(1) } else { 9 };
        ChannelId(orders.small(end))
    }

    fn data(&mut self, orders: &mut Orders<'_>) -> (FrameHeader, Vec<u8>) {
        let (id, sequence) = self.place(orders);
        let permit = ProducerCredit::new(id, 1).permit().expect("one credit, one permit");
        let length = 1 + orders.small(SEGMENT_BYTES);
        let part = match orders.next() {
            0..16 => Part::First { total_bytes: length + 1 + orders.small(64) },
            16..32 => Part::Middle { offset_bytes: 1 + orders.small(64) },
            32..48 => Part::Last { offset_bytes: 1 + orders.small(64) },
            _ => Part::Whole,
        };
        let header = FrameHeader::data(permit, sequence, orders.small(4), length, part);
        (header, vec![0; length as usize])
    }
}

fn any_event(orders: &mut Orders<'_>) -> Event {
    match orders.next() % 6 {
        0 => Event::EndOfPartition,
        1 => Event::EndOfData { drain: true },
        2 => barrier(Alignment::Aligned),
        3 => barrier(Alignment::Unaligned),
        4 => barrier(Alignment::Timeout { timeout_ms: 1 }),
        _ => Event::Watermark(orders.next().into()),
    }
}

fn encode((header, payload): &(FrameHeader, Vec<u8>)) -> Vec<u8> {
    let mut bytes = [0; HEADER_BYTES];
    header.encode(&mut bytes);
    [&bytes[..], payload].concat()
}

fn barrier(alignment: Alignment) -> Event {
    let purpose = Purpose::Checkpoint;
    Event::Barrier(Barrier { checkpoint: 1, timestamp_ms: 0, alignment, purpose })
}

fn hello(worker: u32) -> Hello {
    Hello {
        job: 1,
        worker: WorkerId(worker),
        segment_bytes: SEGMENT_BYTES,
        record_bytes_max: RECORD_BYTES_MAX,
    }
}

fn request(subpartition: u32) -> Request {
    let partition = PartitionId { result: 1, subtask: 0, attempt: 0 };
    Request { partition, subpartition }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Random;

    /// Bytes that a mutating fuzzer would get to: random, with runs of small numbers.
    fn inputs(seed: u64, count: usize) -> impl Iterator<Item = Vec<u8>> {
        let mut random = Random::new(seed);
        (0..count).map(move |_| {
            let length = random.index(200);
            let end = [256, 16, 4][random.index(3)];
            (0..length).map(|_| random.below(end) as u8).collect()
        })
    }

    #[test]
    fn random_bytes_harm_nothing() {
        for bytes in inputs(1, 20_000) {
            frame(&bytes);
            event(&bytes);
            payload(&bytes);
            connection(&bytes);
        }
    }

    /// Most of what [`connection`] does is not refused at the first frame: the test above means
    /// something.
    #[test]
    fn forged_frames_get_far() {
        let mut accepted = 0;
        for bytes in inputs(2, 500) {
            let mut orders = Orders(&bytes);
            let (mut victim, mut forger) = (Victim::new(2), Forger::default());
            while !orders.0.is_empty()
                && victim.get(&forger.frame(&mut orders), &mut orders).is_some()
            {
                accepted += 1;
            }
        }
        assert!(accepted > 1000, "{accepted} frames of 500 streams");
    }

    #[test]
    fn encodings_of_frames_pass_the_frame_function() {
        let bytes = encode(&(FrameHeader::credit(ChannelId(1), 2), Vec::new()));
        frame(&bytes);
        assert!(
            FrameHeader::decode(bytes.first_chunk().expect("32"), &FrameLimits::default()).is_ok()
        );
    }
}
