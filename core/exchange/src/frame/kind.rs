//! The kinds of frame, and the shape of each as data.

use super::payload::{HELLO_BYTES, REQUEST_BYTES};
use super::{ERROR_TEXT_BYTES_MAX, FrameHeader};

/// What a frame is. The discriminant is its byte on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FrameKind {
    /// The first frame of each direction: who is there, and for which job.
    Hello = 1,
    /// A consumer asks for a subpartition and grants its initial credit.
    Request = 2,
    /// A page.
    Data = 3,
    /// An event.
    Event = 4,
    /// A fragment of a row that no segment holds.
    JumboFragment = 5,
    /// A consumer grants more credit.
    Credit = 6,
    /// A consumer lets a blocked producer go on.
    Resume = 7,
    /// A consumer is done with a channel.
    Cancel = 8,
    /// No channel of the sender is left.
    Close = 9,
    /// A channel, or the connection, failed.
    Error = 10,
    /// What waits for a consumer that holds no buffer at all.
    BacklogAnnouncement = 11,
    /// A consumer asks for smaller or larger pages.
    NewBufferSize = 12,
    /// A consumer has processed all records.
    AckAllRecords = 13,
    /// A message between tasks, against the direction of the data.
    TaskEvent = 14,
}

impl FrameKind {
    /// All kinds, in the order of their bytes.
    pub const ALL: [Self; 14] = [
        Self::Hello,
        Self::Request,
        Self::Data,
        Self::Event,
        Self::JumboFragment,
        Self::Credit,
        Self::Resume,
        Self::Cancel,
        Self::Close,
        Self::Error,
        Self::BacklogAnnouncement,
        Self::NewBufferSize,
        Self::AckAllRecords,
        Self::TaskEvent,
    ];

    /// The kind with this byte.
    pub fn from_byte(byte: u8) -> Option<Self> {
        let index = usize::from(byte).checked_sub(1)?;
        Self::ALL.get(index).copied()
    }

    /// Whether a frame of this kind takes a credit.
    pub fn consumes_credit(self) -> bool {
        matches!(self, Self::Data | Self::JumboFragment)
    }

    /// Whether it goes from a consumer to a producer, about a channel in the consumer's numbering.
    pub fn is_to_producer(self) -> bool {
        matches!(
            self,
            Self::Request
                | Self::Credit
                | Self::Resume
                | Self::Cancel
                | Self::NewBufferSize
                | Self::AckAllRecords
                | Self::TaskEvent
        )
    }

    pub(super) fn shape(self) -> Shape {
        let bare = Shape {
            flags: 0,
            channel: true,
            sequence: false,
            backlog: false,
            payload: PayloadClass::None,
            aux: Aux::Zero,
        };
        match self {
            Self::Hello => {
                let payload = PayloadClass::Exactly(HELLO_BYTES as u32);
                Shape { channel: false, payload, ..bare }
            }
            Self::Request => {
                let payload = PayloadClass::Exactly(REQUEST_BYTES as u32);
                Shape { payload, aux: Aux::Any, ..bare }
            }
            Self::Data => {
                let payload = PayloadClass::Segment;
                Shape { sequence: true, backlog: true, payload, ..bare }
            }
            Self::Event => {
                let flags = FrameHeader::PRIORITY | FrameHeader::BLOCKING | FrameHeader::ANNOUNCE;
                let payload = PayloadClass::Control { min: 1 };
                Shape { flags, sequence: true, backlog: true, payload, ..bare }
            }
            Self::JumboFragment => {
                let flags = FrameHeader::FIRST | FrameHeader::LAST;
                let payload = PayloadClass::Segment;
                Shape { flags, sequence: true, backlog: true, payload, aux: Aux::Fragment, ..bare }
            }
            Self::Credit => Shape { aux: Aux::Positive, ..bare },
            Self::NewBufferSize => Shape { aux: Aux::Segment, ..bare },
            Self::Resume | Self::Cancel | Self::AckAllRecords => bare,
            Self::Close => Shape { channel: false, ..bare },
            Self::Error => {
                let payload = PayloadClass::UpTo(ERROR_TEXT_BYTES_MAX as u32);
                Shape { flags: FrameHeader::FATAL, payload, aux: Aux::Error, ..bare }
            }
            Self::BacklogAnnouncement => Shape { backlog: true, ..bare },
            Self::TaskEvent => {
                Shape { payload: PayloadClass::Control { min: 0 }, aux: Aux::Any, ..bare }
            }
        }
    }
}

/// Which fields a kind uses.
pub(super) struct Shape {
    /// The flags that may be set.
    pub(super) flags: u8,
    /// Whether it is about one channel.
    pub(super) channel: bool,
    /// Whether it has a place in the order of its channel.
    pub(super) sequence: bool,
    /// Whether it tells a backlog.
    pub(super) backlog: bool,
    /// What follows the header.
    pub(super) payload: PayloadClass,
    /// What `aux` may be.
    pub(super) aux: Aux,
}

/// What follows a header.
pub(super) enum PayloadClass {
    /// Nothing.
    None,
    /// A payload of one length in bytes.
    Exactly(u32),
    /// At most this many bytes.
    UpTo(u32),
    /// Control bytes within the receiver's limit.
    Control {
        /// The least number of bytes.
        min: u32,
    },
    /// 1 byte to a segment.
    Segment,
}

/// What `aux` may be.
pub(super) enum Aux {
    /// Unused.
    Zero,
    /// Every value has a meaning.
    Any,
    /// At least 1.
    Positive,
    /// 1 byte to a segment.
    Segment,
    /// An [`ErrorCode`](super::ErrorCode).
    Error,
    /// The total of a first fragment, the offset of any other.
    Fragment,
}
