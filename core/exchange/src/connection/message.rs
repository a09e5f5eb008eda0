//! What goes in and out of a [`Connection`](super::Connection), as values.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use crate::credit::BufferKind;
use crate::element::Part;
use crate::event::Event;
use crate::frame::{ErrorCode, FrameHeader, Hello, Inline, Request};
use crate::id::{ChannelId, ReaderId};

/// A frame to send. It is on its way: nothing can overtake it or take it back.
#[derive(Debug)]
pub struct Outgoing<B> {
    /// Encode it into memory that stays in place until the kernel is done with it.
    pub header: FrameHeader,
    /// What follows, of [`FrameHeader::payload_bytes`] bytes.
    pub payload: Payload<B>,
}

/// The payload of a frame to send. Keep it until the kernel reports the send complete; a segment
/// goes home then.
#[derive(Debug)]
pub enum Payload<B> {
    /// The header is the whole frame.
    None,
    /// A few bytes.
    Inline(Inline),
    /// More bytes, of an error or a task's own event.
    Heap(Box<[u8]>),
    /// A segment, in as many pieces as its page has: they go out as one vector of buffers and
    /// arrive as one contiguous payload.
    Buffer(B),
}

impl<B> Outgoing<B> {
    /// The payload of a control frame; empty for a segment.
    pub fn control_bytes(&self) -> &[u8] {
        match &self.payload {
            Payload::None | Payload::Buffer(_) => &[],
            Payload::Inline(inline) => inline.as_slice(),
            Payload::Heap(bytes) => bytes,
        }
    }

    pub(super) fn bare(header: FrameHeader) -> Self {
        Self { header, payload: Payload::None }
    }

    pub(super) fn inline(header: FrameHeader, payload: Inline) -> Self {
        Self { header, payload: Payload::Inline(payload) }
    }

    pub(super) fn error(channel: Option<ChannelId>, code: ErrorCode, text: &str) -> Self {
        let text = crate::frame::error_text(text);
        let header = FrameHeader::error(channel, code, text.len() as u32);
        Self { header, payload: Payload::Heap(text.as_bytes().into()) }
    }
}

/// What a header that was received asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming {
    /// The frame is complete. The next bytes are a header.
    Complete(Notice),
    /// A payload follows. When it is complete, call
    /// [`on_payload`](super::Connection::on_payload).
    Payload(Place),
}

/// Where to receive a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Into a free segment of this channel and kind, which is reserved for it.
    Buffer {
        /// Whose segment.
        channel: ChannelId,
        /// Which of its free ones.
        kind: BufferKind,
        /// At most a segment.
        bytes: u32,
    },
    /// Into a scratch buffer of the connection, of
    /// [`control_bytes_max`](crate::frame::FrameLimits::control_bytes_max); its bytes are then
    /// handed to [`on_payload`](super::Connection::on_payload).
    Control {
        /// At most the limit.
        bytes: u32,
    },
    /// Anywhere, to be forgotten: it is about something that ended here while it was under way.
    Discard {
        /// At most a segment, or the limit of control bytes if that is more.
        bytes: u32,
    },
}

impl Place {
    /// Bytes to receive.
    pub fn bytes(&self) -> u32 {
        match self {
            Self::Buffer { bytes, .. } | Self::Control { bytes } | Self::Discard { bytes } => {
                *bytes
            }
        }
    }
}

/// What a frame that was received means for the world outside the connection.
///
/// After each, frames may have become ready to send.
#[derive(Debug, PartialEq, Eq)]
pub enum Notice {
    /// Nothing.
    None,
    /// The peer introduced itself and fits. Requests go out from now on.
    Opened(Hello),
    /// The peer wants a subpartition: find it, and answer with
    /// [`accept`](super::Connection::accept), [`hold`](super::Connection::hold) or
    /// [`fail_reader`](super::Connection::fail_reader).
    Requested {
        /// The new reader.
        reader: ReaderId,
        /// What it wants.
        request: Request,
    },
    /// The payload is in the segment that was chosen for it: give it to the channel's gate.
    Data {
        /// Whose.
        channel: ChannelId,
        /// Its place in the order of the channel.
        sequence: u32,
        /// Page or fragment.
        part: Part,
        /// Bytes in the segment.
        bytes: u32,
        /// To be named again when the segment is recycled.
        kind: BufferKind,
    },
    /// The payload is in a segment, but its channel ended meanwhile: send the segment home.
    Orphaned {
        /// Whose it was.
        channel: ChannelId,
        /// Its kind.
        kind: BufferKind,
    },
    /// An event for the channel's gate.
    Event {
        /// Whose.
        channel: ChannelId,
        /// Its place in the order of the channel.
        sequence: u32,
        /// The event.
        event: Event,
    },
    /// The consumer goes on behind a blocking event. The producing task may have an open page to
    /// seal.
    Resumed {
        /// Whose queue.
        reader: ReaderId,
    },
    /// The consumer wants other pages; its subpartition knows already.
    NewBufferSize {
        /// Whose queue.
        reader: ReaderId,
        /// At most a segment.
        bytes: u32,
    },
    /// The consumer has processed every record up to the end of data.
    AllRecordsProcessed {
        /// Whose queue.
        reader: ReaderId,
    },
    /// A message for the producing task: the payload in the scratch buffer.
    TaskEvent {
        /// Whose queue.
        reader: ReaderId,
        /// The task's own kind of it.
        tag: u32,
    },
    /// The consumer is done with the reader, which is forgotten: release its subpartition.
    Cancelled {
        /// Whose queue.
        reader: ReaderId,
        /// Whether everything up to the end of the partition was sent.
        complete: bool,
    },
    /// A channel failed and was released: fail its task.
    ChannelFailed {
        /// Which.
        channel: ChannelId,
        /// Why.
        code: ErrorCode,
        /// Why, in the words of the peer.
        text: String,
    },
    /// The peer gave up on the whole connection: close it and call
    /// [`on_lost`](super::Connection::on_lost).
    PeerFailed {
        /// Why.
        code: ErrorCode,
        /// Why, in the words of the peer.
        text: String,
    },
    /// The peer sends nothing more. Channels that were asked for in that very moment, and will get
    /// no answer, have failed and were released.
    Closed {
        /// The failed ones, usually none.
        failed: Vec<ChannelId>,
    },
}

/// Everything that ended with a connection.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Channels that were not complete, now released: fail their tasks.
    pub channels: Vec<ChannelId>,
    /// Readers that may have missed something: fail the tasks that produce for them.
    pub readers: Vec<ReaderId>,
}
