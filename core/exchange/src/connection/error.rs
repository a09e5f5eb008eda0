//! How a peer can break the protocol.

use core::fmt;

use crate::credit::CreditError;
use crate::event::EventError;
use crate::frame::{FrameError, FrameKind, PayloadError};
use crate::id::{ChannelId, ReaderId};

/// What a peer did that the protocol does not allow. It ends the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// A header is none.
    Frame(FrameError),
    /// The payload of a `Hello` or a `Request` is none.
    Payload(PayloadError),
    /// The payload of an event is none.
    Event {
        /// Whose.
        channel: ChannelId,
        /// The event's number.
        sequence: u32,
        /// What is wrong.
        error: EventError,
    },
    /// The flags of an event's frame are not those of the event.
    EventFlags {
        /// Whose.
        channel: ChannelId,
        /// The event's number.
        sequence: u32,
        /// The flags that the event should have.
        expected: u8,
        /// The flags of the frame.
        found: u8,
    },
    /// The two ends do not belong together.
    Incompatible {
        /// What differs.
        field: &'static str,
        /// Ours.
        expected: u64,
        /// The peer's.
        found: u64,
    },
    /// The peer did not introduce itself in time.
    Silent {
        /// How long it had, in milliseconds.
        expected_ms: u64,
    },
    /// A frame at a time when it cannot come.
    Unexpected {
        /// The frame.
        kind: FrameKind,
        /// Why not: it is before the hello, behind the close.
        when: &'static str,
    },
    /// A channel that was never opened.
    UnknownChannel {
        /// The frame.
        kind: FrameKind,
        /// Its channel.
        channel: ChannelId,
    },
    /// A reader that was never requested, or was cancelled.
    UnknownReader {
        /// The frame.
        kind: FrameKind,
        /// Its reader.
        reader: ReaderId,
    },
    /// A request with the number of another one.
    DuplicateReader {
        /// The number.
        reader: ReaderId,
    },
    /// More readers than this end serves at a time.
    TooManyReaders {
        /// The one too many.
        reader: ReaderId,
        /// How many there are.
        max: usize,
    },
    /// Something was lost, repeated or swapped.
    Sequence {
        /// On which channel.
        channel: ChannelId,
        /// The number that is next.
        expected: u32,
        /// The number that came.
        found: u32,
    },
    /// Data for which there is no buffer.
    NoCredit {
        /// On which channel.
        channel: ChannelId,
        /// The number of the frame.
        sequence: u32,
    },
    /// Something behind a blocking event, before it was resumed.
    Blocked {
        /// On which channel.
        channel: ChannelId,
        /// The number of the frame.
        sequence: u32,
    },
    /// Something behind the end of the partition.
    Ended {
        /// On which channel.
        channel: ChannelId,
        /// The number of the frame.
        sequence: u32,
    },
    /// A blocking event that claims a backlog.
    BlockingBacklog {
        /// On which channel.
        channel: ChannelId,
        /// The number of the frame.
        sequence: u32,
        /// The backlog, which must be 0.
        found: u32,
    },
    /// An event between the fragments of a row.
    WithinRow {
        /// On which channel.
        channel: ChannelId,
        /// The number of the frame.
        sequence: u32,
    },
    /// A resume of a reader that is not blocked.
    NotBlocked {
        /// Which.
        reader: ReaderId,
    },
    /// More credit than anybody can hold.
    Credit(CreditError),
}

impl From<FrameError> for ProtocolError {
    fn from(error: FrameError) -> Self {
        Self::Frame(error)
    }
}

impl From<PayloadError> for ProtocolError {
    fn from(error: PayloadError) -> Self {
        Self::Payload(error)
    }
}

impl From<CreditError> for ProtocolError {
    fn from(error: CreditError) -> Self {
        Self::Credit(error)
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(error) => error.fmt(f),
            Self::Payload(error) => error.fmt(f),
            Self::Event { channel, sequence, error } => {
                write!(f, "{channel}, frame {sequence}: {error}")
            }
            Self::EventFlags { channel, sequence, expected, found } => write!(
                f,
                "{channel}, frame {sequence}: event flags: expected {expected:#x}, found {found:#x}"
            ),
            Self::Incompatible { field, expected, found } => {
                write!(f, "peer's {field}: expected {expected:#x}, found {found:#x}")
            }
            Self::Silent { expected_ms } => {
                write!(f, "peer: expected a hello within {expected_ms} ms, found none")
            }
            Self::Unexpected { kind, when } => write!(f, "{kind:?} frame {when}"),
            Self::UnknownChannel { kind, channel } => {
                write!(f, "{kind:?} frame for {channel}, which was never opened")
            }
            Self::UnknownReader { kind, reader } => {
                write!(f, "{kind:?} frame for {reader}, which is not open")
            }
            Self::DuplicateReader { reader } => write!(f, "{reader} was requested twice"),
            Self::TooManyReaders { reader, max } => {
                write!(f, "{reader} was requested beyond the {max} that are open")
            }
            Self::Sequence { channel, expected, found } => {
                write!(f, "{channel}: expected frame {expected}, found frame {found}")
            }
            Self::NoCredit { channel, sequence } => {
                write!(f, "{channel}: frame {sequence} was sent without credit")
            }
            Self::Blocked { channel, sequence } => {
                write!(f, "{channel}: frame {sequence} was sent while the channel is blocked")
            }
            Self::Ended { channel, sequence } => {
                write!(f, "{channel}: frame {sequence} behind the end of the partition")
            }
            Self::BlockingBacklog { channel, sequence, found } => {
                write!(f, "{channel}: blocking event {sequence}: expected backlog 0, found {found}")
            }
            Self::WithinRow { channel, sequence } => {
                write!(f, "{channel}: event {sequence} between the fragments of a row")
            }
            Self::NotBlocked { reader } => {
                write!(f, "{reader} was resumed, but it is not blocked")
            }
            Self::Credit(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ProtocolError {}
