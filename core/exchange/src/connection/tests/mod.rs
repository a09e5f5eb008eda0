use std::collections::{BTreeMap, VecDeque};
use std::vec::Vec;

use super::*;
use crate::element::Data;
use crate::event::{Alignment, Barrier, Event, Purpose};
use crate::frame::{FrameKind, HEADER_BYTES};
use crate::id::{PartitionId, WorkerId};
use crate::partition::Wake;

mod lifecycle;
mod violations;

const S: Duration = Duration::from_secs(1);

fn hello(worker: u32) -> Hello {
    Hello { job: 7, worker: WorkerId(worker), segment_bytes: 1024, record_bytes_max: 1 << 20 }
}

fn request(subpartition: u32) -> Request {
    Request { partition: PartitionId { result: 1, subtask: 2, attempt: 0 }, subpartition }
}

fn barrier(checkpoint: u64, alignment: Alignment) -> Event {
    let purpose = Purpose::Checkpoint;
    Event::Barrier(Barrier { checkpoint, timestamp_ms: 0, alignment, purpose })
}

/// The world of one end: queues to read, a pool to fill, frames on their way.
struct Worker {
    connection: Connection,
    ports: Queues,
    wire: VecDeque<Outgoing<u32>>,
    notices: Vec<Notice>,
}

#[derive(Default)]
struct Queues {
    queues: BTreeMap<ReaderId, Subpartition<u32>>,
    floating: u32,
    waiting: Vec<ChannelId>,
    released: Vec<ChannelId>,
}

impl FloatingBuffers for Queues {
    fn take_or_listen(&mut self, channel: ChannelId, _: u32) -> bool {
        let taken = self.floating > 0;
        self.floating -= u32::from(taken);
        if !taken {
            self.waiting.push(channel);
        }
        taken
    }

    fn give_back(&mut self, _: ChannelId) {
        self.floating += 1;
    }

    fn release(&mut self, channel: ChannelId) {
        self.released.push(channel);
    }
}

impl Ports for Queues {
    type Buffer = u32;

    fn outlet(&mut self, reader: ReaderId) -> &mut Subpartition<u32> {
        self.queues.get_mut(&reader).expect("a reader that was accepted")
    }
}

impl Worker {
    fn new(worker: u32) -> Self {
        let config = ConnectionConfig::new(hello(worker));
        Self {
            connection: Connection::new(&config, Duration::ZERO),
            ports: Queues::default(),
            wire: VecDeque::new(),
            notices: Vec::new(),
        }
    }

    fn open(&mut self, subpartition: u32, credit: u32) -> ChannelId {
        self.connection.open(request(subpartition), credit).expect("running")
    }

    fn accept(&mut self, reader: ReaderId) {
        self.ports.queues.insert(reader, Subpartition::new(1024));
        assert!(self.connection.accept(reader, &mut self.ports));
    }

    /// Queues a page and tells the connection if that is called for.
    fn push(&mut self, reader: ReaderId, page: u32) {
        let queue = self.ports.outlet(reader);
        if queue.push_data(Data::page(page, 100)).expect("not released") == Wake::Reader {
            self.connection.notify(reader, &mut self.ports);
        }
    }

    fn event(&mut self, reader: ReaderId, event: Event) {
        if self.ports.outlet(reader).push_event(event) == Wake::Reader {
            self.connection.notify(reader, &mut self.ports);
        }
    }

    /// Puts everything that can be sent on the wire.
    fn send(&mut self) {
        while let Some(frame) = self.connection.next_frame(&mut self.ports) {
            self.wire.push_back(frame);
        }
    }

    /// The kinds of frame that leave now, taken off the wire.
    fn sent(&mut self) -> Vec<FrameKind> {
        self.send();
        self.wire.drain(..).map(|frame| frame.header.kind()).collect()
    }

    /// Receives one frame.
    fn receive(&mut self, header: &FrameHeader, payload: &[u8]) -> Result<Notice, ProtocolError> {
        let mut bytes = [0; HEADER_BYTES];
        header.encode(&mut bytes);
        match self.connection.on_header(&bytes, &mut self.ports)? {
            Incoming::Complete(notice) => Ok(notice),
            Incoming::Payload(place) => {
                assert_eq!(place.bytes(), header.payload_bytes());
                let control = if matches!(place, Place::Control { .. }) { payload } else { &[] };
                self.connection.on_payload(control, &mut self.ports)
            }
        }
    }

    /// Receives everything on the other's wire.
    fn take_from(&mut self, other: &mut Self) {
        for frame in core::mem::take(&mut other.wire) {
            let notice = self.receive(&frame.header, frame.control_bytes());
            match notice.expect("a peer that keeps the protocol") {
                Notice::None => {}
                notice => self.notices.push(notice),
            }
        }
    }

    fn notices(&mut self) -> Vec<Notice> {
        core::mem::take(&mut self.notices)
    }

    /// The numbers of the frames with data that arrived.
    fn data(&mut self) -> Vec<(ChannelId, u32)> {
        self.notices()
            .iter()
            .map(|notice| match notice {
                Notice::Data { channel, sequence, .. } => (*channel, *sequence),
                other => panic!("{other:?}"),
            })
            .collect()
    }
}

/// Sends and receives until nothing moves.
fn settle(a: &mut Worker, b: &mut Worker) {
    loop {
        a.send();
        b.send();
        if a.wire.is_empty() && b.wire.is_empty() {
            return;
        }
        b.take_from(a);
        a.take_from(b);
    }
}

/// Two workers that know each other.
fn pair() -> (Worker, Worker) {
    let (mut a, mut b) = (Worker::new(1), Worker::new(2));
    settle(&mut a, &mut b);
    assert_eq!(a.notices(), [Notice::Opened(hello(2))]);
    assert_eq!(b.notices(), [Notice::Opened(hello(1))]);
    (a, b)
}

/// A consumer and a producer with channels of these credits between them.
fn channels<const N: usize>(credits: [u32; N]) -> (Worker, Worker, [ChannelId; N]) {
    let (mut consumer, mut producer) = pair();
    let channels = credits.map(|credit| consumer.open(0, credit));
    settle(&mut consumer, &mut producer);
    for notice in producer.notices() {
        let Notice::Requested { reader, .. } = notice else { panic!("{notice:?}") };
        producer.accept(reader);
    }
    (consumer, producer, channels)
}
