//! One connection between two worker processes, carrying all their channels in both directions.
//!
//! A [`Connection`] decides what is sent next and what becomes of what arrives. It does no I/O: a
//! transport receives bytes, asks it where they belong, and sends the frames that it names.
//! Payloads of data never pass through it.
//!
//! Three parts share the work and talk through this module only: the handshake, the inbound
//! channels (what this end consumes) and the outbound readers (what it serves). Frames leave in
//! this order: hello, control, then one element of each reader that can send, round-robin. So a
//! channel without credit holds up nobody, and control always passes.
//!
//! # The life of a channel
//!
//! | consumer | frame | producer |
//! |---|---|---|
//! | [`open`] | `Request` → | [`Notice::Requested`]: [`accept`], or [`hold`] until it appears |
//! | asks again, 20 s in sum | ← `Error` | 10 s without the partition |
//! | [`Notice::Data`], [`Notice::Event`] | ← `Data`, `Event` | [`next_frame`] |
//! | [`recycle`] | `Credit` → | sends on |
//! | [`resume`] | `Resume` → | [`Notice::Resumed`] |
//! | [`acknowledge`] | `AckAllRecords` → | [`Notice::AllRecordsProcessed`] |
//! | [`cancel`], also after the end | `Cancel` → | [`Notice::Cancelled`] |
//! | [`Notice::ChannelFailed`], cancels | ← `Error` | [`fail_reader`] |
//!
//! A channel's last frame is exactly one cancel, unless the connection ends before. So the producer
//! knows every reader that may still be spoken to, and any other is an error.
//!
//! # How a transport drives it
//!
//! Receiving, with `intake` an [`Intake`] and `place` the [`Place`] of the current payload:
//!
//! 1. one `recvmsg` into \[the missing rest of `place`, [`Intake::header_rest`]\];
//! 2. [`Intake::advance`] with the number of bytes received;
//! 3. if the payload is complete: [`on_payload`](Connection::on_payload);
//! 4. if the next header is complete: [`on_header`](Connection::on_header), then
//!    [`Intake::expect`] with the length of its place; choose the segment now.
//!
//! Sending, with room for a batch (eight pages, say): call [`next_frame`](Connection::next_frame)
//! until the batch is full or it returns `None`; encode each header into memory of its own beside
//! the [`Outgoing`]; submit headers and payloads as one vector of buffers (`writev`, `sendmsg`) or
//! as linked operations, without copying. Keep each [`Outgoing`] until the kernel reports its last
//! byte, with `SEND_ZC` until its notification; then drop it and recycle the segment to its
//! subpartition. What was taken is submitted: a priority event can overtake only what stays in the
//! queues, so do not take more than the socket is ready for.
//!
//! With `io_uring`, an [`Outgoing`] and its encoded header live in a slot of a slab from submission
//! to completion: sixteen slots are two linked chains of eight, the payload of each a registered
//! segment. One [`Intake`] and one receive operation per connection are enough, because segments
//! are chosen by header and not handed out beforehand. Frames are small where latency matters:
//! there a third receive buffer behind the header takes what follows (see [`Intake`]).
//!
//! A task on another thread than the connection hands its pages over through a ring: its own
//! [`Subpartition`] is read by a local reader whose credit is the ring's room, and the thread of
//! the connection pushes what it finds in the ring to the [`Subpartition`] that [`Ports::outlet`]
//! names. Credit returns as pages are sent, so the task sees its backlog, and a priority event
//! overtakes in both queues.
//!
//! Any call may make frames ready. After calling into the connection, look for frames again when
//! the socket is writable. A frame that came too late for its channel ([`Place::Discard`],
//! [`Notice::Orphaned`]) needs no answer.
//!
//! [`accept`]: Connection::accept
//! [`acknowledge`]: Connection::acknowledge
//! [`cancel`]: Connection::cancel
//! [`fail_reader`]: Connection::fail_reader
//! [`hold`]: Connection::hold
//! [`next_frame`]: Connection::next_frame
//! [`open`]: Connection::open
//! [`recycle`]: Connection::recycle
//! [`resume`]: Connection::resume

use alloc::boxed::Box;
use alloc::string::String;
use core::time::Duration;

use crate::credit::{BufferKind, ConsumerCredit, FloatingBuffers, ProducerCredit, Recycled};
use crate::frame::{ERROR_TEXT_BYTES_MAX, ErrorCode, FrameHeader, FrameLimits, Hello, Request};
use crate::id::{ChannelId, ReaderId};
use crate::partition::Subpartition;

mod error;
mod handshake;
mod inbound;
mod intake;
mod message;
mod outbound;
mod receive;
#[cfg(test)]
mod tests;

pub use error::ProtocolError;
pub use inbound::TASK_EVENTS_MAX;
pub use intake::{Arrived, Intake};
pub use message::{Incoming, Lost, Notice, Outgoing, Payload, Place};

use handshake::Handshake;
use inbound::Inbound;
use outbound::Outbound;

/// What a connection needs from its worker: the queues it reads and the pools it fills.
///
/// One trait for both, so that production, simulation and tests each implement one type. The
/// methods of [`FloatingBuffers`] are about channels of this end, [`outlet`](Self::outlet) is
/// about readers of the peer.
pub trait Ports: FloatingBuffers {
    /// The handle of a segment.
    type Buffer;

    /// The queue that feeds a reader. It is asked for only between
    /// [`Connection::accept`] and the end of the reader: [`Notice::Cancelled`],
    /// [`Connection::fail_reader`] or [`Connection::on_lost`].
    fn outlet(&mut self, reader: ReaderId) -> &mut Subpartition<Self::Buffer>;
}

/// What a [`Connection`] is told at its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionConfig {
    /// Who we are. Segment and row sizes are limits for what is received, too.
    pub hello: Hello,
    /// The longest payload of a control frame in bytes, at least [`ERROR_TEXT_BYTES_MAX`].
    pub control_bytes_max: u32,
    /// How long the peer may take to introduce itself.
    pub handshake_timeout: Duration,
    /// How long a producer waits for a partition to appear. Equal on all workers.
    pub partition_timeout: Duration,
    /// How long a consumer lets producers wait in sum before its channel fails.
    pub partition_wait_max: Duration,
    /// Most readers that the peer may have at a time.
    pub readers_max: usize,
}

impl ConnectionConfig {
    /// The usual limits: 4 KiB of control payload, 10 s for the handshake, 10 s for a partition to
    /// appear, 20 s in sum, a million readers.
    pub fn new(hello: Hello) -> Self {
        Self {
            hello,
            control_bytes_max: FrameLimits::default().control_bytes_max,
            handshake_timeout: Duration::from_secs(10),
            partition_timeout: Duration::from_secs(10),
            partition_wait_max: Duration::from_secs(20),
            readers_max: 1 << 20,
        }
    }
}

/// One end of a connection.
#[derive(Debug)]
pub struct Connection {
    limits: FrameLimits,
    handshake: Handshake,
    inbound: Inbound,
    outbound: Outbound,
    receiving: Receiving,
    state: State,
    peer_closed: bool,
    farewell: Option<(ErrorCode, String)>,
}

/// The payload that is being received.
#[derive(Clone, Copy, Debug)]
enum Receiving {
    Nothing,
    Buffer(FrameHeader, BufferKind),
    Control(FrameHeader),
    Discard,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Frames go both ways.
    Running,
    /// Told to close; says so when the last channel and reader are gone.
    Closing,
    /// `Close` was sent, and nothing will be.
    Closed,
    /// The peer or we gave up. One fatal `Error` may still be due.
    Broken,
}

impl Connection {
    /// Starts at the moment at which the transport connected. There is a hello to send.
    pub fn new(config: &ConnectionConfig, now: Duration) -> Self {
        assert!(config.control_bytes_max as usize >= ERROR_TEXT_BYTES_MAX, "no room for an error");
        let limits = FrameLimits {
            segment_bytes: config.hello.segment_bytes,
            control_bytes_max: config.control_bytes_max,
            record_bytes_max: config.hello.record_bytes_max,
        };
        Self {
            limits,
            handshake: Handshake::new(config.hello, config.handshake_timeout, now),
            inbound: Inbound::new(config),
            outbound: Outbound::new(config),
            receiving: Receiving::Nothing,
            state: State::Running,
            farewell: None,
            peer_closed: false,
        }
    }
    /// Asks the peer for a subpartition, with the credit of `initial_credit` exclusive segments,
    /// which the caller has taken from the global pool. The request leaves when the peer has
    /// introduced itself. `None` when the connection takes no more channels: it is closing, closed
    /// or lost.
    pub fn open(&mut self, request: Request, initial_credit: u32) -> Option<ChannelId> {
        let takes = self.state == State::Running && !self.peer_closed;
        takes.then(|| self.inbound.open(request, initial_credit))
    }

    /// The page in a segment was read. Says where the segment goes.
    pub fn recycle(
        &mut self,
        channel: ChannelId,
        kind: BufferKind,
        pool: &mut impl FloatingBuffers,
    ) -> Recycled {
        self.inbound.recycle(channel, kind, pool)
    }

    /// The pool offers a floating segment to a channel that waits for one. Returns whether the
    /// channel takes it, among its free ones; if not, offer it to the next.
    pub fn offer(&mut self, channel: ChannelId, pool: &mut impl FloatingBuffers) -> bool {
        self.inbound.on_floating(channel, pool)
    }

    /// Lets the producer go on behind a blocking event that was delivered. No effect on a channel
    /// that ended meanwhile.
    pub fn resume(&mut self, channel: ChannelId) {
        self.inbound.resume(channel);
    }

    /// Tells the producer that every record up to the end of data was processed.
    pub fn acknowledge(&mut self, channel: ChannelId) {
        self.inbound.acknowledge(channel);
    }

    /// Asks the producer for pages of at most `bytes` bytes, at least 1 and at most a segment.
    /// Only the newest wish is sent.
    pub fn set_page_bytes(&mut self, channel: ChannelId, bytes: u32) {
        assert!(0 < bytes && bytes <= self.limits.segment_bytes, "pages of {bytes} bytes");
        self.inbound.set_page_bytes(channel, bytes);
    }

    /// Sends a message to the producing task. Returns `false` while [`TASK_EVENTS_MAX`] wait: send
    /// it later.
    pub fn send_task_event(&mut self, channel: ChannelId, tag: u32, bytes: Box<[u8]>) -> bool {
        let max = self.limits.control_bytes_max as usize;
        assert!(bytes.len() <= max, "a task event of {} bytes, at most {max}", bytes.len());
        self.inbound.send_task_event(channel, tag, bytes)
    }

    /// Ends a channel: its task stopped early, or has read the end of the partition. All its free
    /// segments go home now, those in use as they are recycled.
    pub fn cancel(&mut self, channel: ChannelId, pool: &mut impl FloatingBuffers) {
        self.inbound.cancel(channel, pool);
    }

    /// The credit of a channel that was not cancelled, for metrics and checks.
    pub fn channel_credit(&self, channel: ChannelId) -> Option<&ConsumerCredit> {
        self.inbound.credit(channel)
    }

    /// Starts to serve a reader: from now on [`Ports::outlet`] knows its queue. Returns `false` if
    /// the consumer has gone meanwhile.
    pub fn accept(&mut self, reader: ReaderId, ports: &mut impl Ports) -> bool {
        self.outbound.accept(reader, ports)
    }

    /// The partition is not there yet: lets the reader wait for it. If
    /// [`accept`](Self::accept) does not follow in time, the consumer is told. Changes
    /// [`next_deadline`](Self::next_deadline).
    pub fn hold(&mut self, reader: ReaderId, now: Duration) {
        self.outbound.hold(reader, now);
    }

    /// Readers that wait for their partition, to be looked at when one is registered.
    pub fn waiting(&self) -> impl Iterator<Item = (ReaderId, &Request)> {
        self.outbound.waiting()
    }

    /// Gives up on one reader and tells its consumer why, unless that has everything already. The
    /// queue is not asked for any more: release it. [`Notice::Cancelled`] follows, and no other
    /// notice of this reader.
    pub fn fail_reader(&mut self, reader: ReaderId, code: ErrorCode, text: &str) {
        self.outbound.fail(reader, code, text.into());
    }

    /// The head of a reader's queue may have changed: call it when pushing said
    /// [`Wake::Reader`](crate::partition::Wake::Reader). Without need it does nothing.
    pub fn notify(&mut self, reader: ReaderId, ports: &mut impl Ports) {
        self.outbound.evaluate(reader, ports);
    }

    /// The credit of a reader that neither failed nor was cancelled, for metrics and checks.
    pub fn reader_credit(&self, reader: ReaderId) -> Option<&ProducerCredit> {
        self.outbound.credit(reader)
    }

    /// The next frame to send. `None` until something else is called; work done is bounded by the
    /// readers that lost their turn.
    pub fn next_frame<P: Ports>(&mut self, ports: &mut P) -> Option<Outgoing<P::Buffer>> {
        if let Some((code, text)) = self.farewell.take() {
            return Some(Outgoing::error(None, code, &text));
        }
        if matches!(self.state, State::Closed | State::Broken) {
            return None;
        }
        if let Some(hello) = self.handshake.next() {
            return Some(Outgoing::inline(FrameHeader::hello(), hello.encode()));
        }
        if !self.handshake.is_open() {
            return None;
        }
        let frame = self
            .inbound
            .next_frame()
            .or_else(|| self.outbound.next_control(ports))
            .or_else(|| self.outbound.next_element(ports));
        let idle = frame.is_none() && self.inbound.is_empty() && self.outbound.is_empty();
        if idle && self.state == State::Closing {
            self.state = State::Closed;
            return Some(Outgoing::bare(FrameHeader::close()));
        }
        frame
    }

    /// When [`on_time`](Self::on_time) has something to do. Changed by
    /// [`hold`](Self::hold) and by what is received.
    pub fn next_deadline(&self) -> Option<Duration> {
        let waits = self.outbound.next_deadline();
        match (self.handshake.next_deadline(), waits) {
            (Some(hello), Some(wait)) => Some(hello.min(wait)),
            (hello, wait) => hello.or(wait),
        }
    }

    /// Time has passed. Too early is a no-op; frames may be ready after it.
    ///
    /// # Errors
    /// [`ProtocolError::Silent`] when the peer did not introduce itself in time. Send what is
    /// ready, close the connection and call [`on_lost`](Self::on_lost).
    pub fn on_time(&mut self, now: Duration) -> Result<(), ProtocolError> {
        self.outbound.on_time(now);
        let checked = self.handshake.on_time(now);
        checked.map_err(|error| self.break_off(error))
    }

    /// No more channels will be opened. When the last channel and reader are gone, `Close` is
    /// sent; when both ends have sent it, the connection [is closed](Self::is_closed).
    pub fn close(&mut self) {
        if self.state == State::Running {
            self.state = State::Closing;
        }
    }

    /// Whether both ends said that nothing follows. The end of the byte stream is then in order.
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed && self.peer_closed
    }

    /// Gives up on the whole connection. Send what is ready (one last frame with `text`), close it
    /// and call [`on_lost`](Self::on_lost).
    pub fn fail(&mut self, code: ErrorCode, text: &str) {
        let before = core::mem::replace(&mut self.state, State::Broken);
        // Behind our close nothing may follow, and after a failure nothing new.
        if matches!(before, State::Running | State::Closing) {
            self.farewell = Some((code, text.into()));
        }
    }

    /// The byte stream is gone, whoever ended it: every channel is released and every reader
    /// forgotten. Returns those that this interrupts; none if the connection
    /// [is closed](Self::is_closed), none when called again.
    ///
    /// A payload that was being received stays half: send its segment home.
    pub fn on_lost(&mut self, pool: &mut impl FloatingBuffers) -> Lost {
        if !self.is_closed() {
            self.state = State::Broken;
        }
        self.farewell = None;
        self.receiving = Receiving::Nothing;
        Lost { channels: self.inbound.lose(pool), readers: self.outbound.lose() }
    }
}
