//! The wire: a header of 32 bytes, then at most one payload.
//!
//! All numbers are little-endian. The header has a fixed length so that a receiver always knows
//! what to ask the kernel for: the rest of the current payload, straight into its segment, and the
//! next header behind it, in one `recvmsg` (see [`Intake`](crate::connection::Intake)).
//!
//! ```text
//!  0      4       5    6     7        8       12        16       20      24    28        32
//!  | magic| version| kind| flags| zero | channel| sequence| backlog| length| aux | checksum|
//! ```
//!
//! | kind | direction | sequence, backlog | aux | payload |
//! |---|---|---|---|---|
//! | `Hello` | both | - | - | [`Hello`] |
//! | `Request` | to producer | - | initial credit | [`Request`] |
//! | `Data` | to consumer | yes | - | a page |
//! | `Event` | to consumer | yes | - | an [`Event`] |
//! | `JumboFragment` | to consumer | yes | total or offset, bytes | part of a row |
//! | `Credit` | to producer | - | credits to add | - |
//! | `Resume`, `Cancel`, `AckAllRecords` | to producer | - | - | - |
//! | `Close` | both | - | - | - |
//! | `Error` | both | - | [`ErrorCode`] | text |
//! | `BacklogAnnouncement` | to consumer | backlog only | - | - |
//! | `NewBufferSize` | to producer | - | bytes | - |
//! | `TaskEvent` | to producer | - | kind of the task's own | bytes of the task's own |
//!
//! A field that a kind does not use is zero, and decoding insists on it: each header has exactly
//! one encoding. The checksum covers the 28 bytes before it. It finds a receiver that lost its
//! place in the stream and a bit that flipped on the way; it is no defence against a forger.
//!
//! A header of kind `Data` or `JumboFragment` cannot be made without a [`SendPermit`], which only
//! credit mints:
//!
//! ```compile_fail,E0451
//! # use millstream_exchange::{ChannelId, frame::FrameHeader, element::Part};
//! let permit = millstream_exchange::credit::SendPermit { channel: ChannelId(1) };
//! let header = FrameHeader::data(permit, 0, 0, 100, Part::Whole);
//! ```

use crate::credit::SendPermit;
use crate::element::Part;
use crate::event::Event;
use crate::id::ChannelId;

mod error;
mod kind;
mod payload;
#[cfg(test)]
mod tests;

pub use error::FrameError;
pub use kind::FrameKind;
pub use payload::{
    ERROR_TEXT_BYTES_MAX, ErrorCode, HELLO_BYTES, Hello, INLINE_BYTES_MAX, Inline, PayloadError,
    REQUEST_BYTES, Request,
};

pub(crate) use payload::error_text;

use kind::{Aux, PayloadClass};

/// Bytes of every header.
pub const HEADER_BYTES: usize = 32;

/// The first four bytes of every frame, "MILL" in memory order.
pub const MAGIC: u32 = u32::from_le_bytes(*b"MILL");

/// The protocol that this crate speaks. Another one is refused with both numbers.
pub const VERSION: u8 = 1;

const CHECKSUM_AT: usize = 28;

/// What a receiver accepts. Both ends of a connection state theirs in their [`Hello`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameLimits {
    /// The longest payload of a data frame, in bytes: a segment.
    pub segment_bytes: u32,
    /// The longest payload of any other frame, in bytes.
    pub control_bytes_max: u32,
    /// The longest jumbo row, in bytes.
    pub record_bytes_max: u32,
}

impl Default for FrameLimits {
    /// Segments of 32 KiB, 4 KiB of control payload, rows of at most 16 MiB.
    fn default() -> Self {
        Self { segment_bytes: 32 << 10, control_bytes_max: 4 << 10, record_bytes_max: 16 << 20 }
    }
}

/// A checked header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    kind: FrameKind,
    flags: u8,
    channel: ChannelId,
    sequence: u32,
    backlog: u32,
    payload_bytes: u32,
    aux: u32,
}

impl FrameHeader {
    /// The overtaking kind of event.
    pub const PRIORITY: u8 = 1;
    /// The kind of event that stops its producer.
    pub const BLOCKING: u8 = 2;
    /// The kind of event that the receiver announces to its task.
    pub const ANNOUNCE: u8 = 4;
    /// The first fragment of a jumbo row.
    pub const FIRST: u8 = 8;
    /// The fragment that completes a jumbo row.
    pub const LAST: u8 = 16;
    /// An error that ends the connection and not only a channel.
    pub const FATAL: u8 = 32;

    /// A page or a fragment of a jumbo row, for the channel that the permit was minted for.
    pub fn data(
        permit: SendPermit,
        sequence: u32,
        backlog: u32,
        payload_bytes: u32,
        part: Part,
    ) -> Self {
        let (kind, flags, aux) = match part {
            Part::Whole => (FrameKind::Data, 0, 0),
            Part::First { total_bytes } => (FrameKind::JumboFragment, Self::FIRST, total_bytes),
            Part::Middle { offset_bytes } => (FrameKind::JumboFragment, 0, offset_bytes),
            Part::Last { offset_bytes } => (FrameKind::JumboFragment, Self::LAST, offset_bytes),
        };
        let channel = permit.redeem();
        Self { kind, flags, channel, sequence, backlog, payload_bytes, aux }
    }

    /// An event whose encoding takes `payload_bytes` bytes.
    pub fn event(
        channel: ChannelId,
        sequence: u32,
        backlog: u32,
        event: &Event,
        payload_bytes: u32,
    ) -> Self {
        let flags = Self::event_flags(event);
        Self { kind: FrameKind::Event, flags, channel, sequence, backlog, payload_bytes, aux: 0 }
    }

    /// The flags that an event's frame must carry.
    pub fn event_flags(event: &Event) -> u8 {
        let mut flags = 0;
        if event.has_priority() {
            flags |= Self::PRIORITY;
        }
        if event.blocks_upstream() {
            flags |= Self::BLOCKING;
        }
        if event.requires_announcement() {
            flags |= Self::ANNOUNCE;
        }
        flags
    }

    /// The first frame of each direction, before its payload of [`HELLO_BYTES`].
    pub fn hello() -> Self {
        Self { payload_bytes: HELLO_BYTES as u32, ..Self::bare(FrameKind::Hello, ChannelId(0)) }
    }

    /// Asks for a subpartition, before a payload of [`REQUEST_BYTES`].
    pub fn request(channel: ChannelId, initial_credit: u32) -> Self {
        Self {
            payload_bytes: REQUEST_BYTES as u32,
            aux: initial_credit,
            ..Self::bare(FrameKind::Request, channel)
        }
    }

    /// Adds credit to what the producer has, at least 1.
    pub fn credit(channel: ChannelId, delta: u32) -> Self {
        Self { aux: delta, ..Self::bare(FrameKind::Credit, channel) }
    }

    /// Lets a blocked producer go on.
    pub fn resume(channel: ChannelId) -> Self {
        Self::bare(FrameKind::Resume, channel)
    }

    /// Ends a channel from the consumer's side. The last frame about it.
    pub fn cancel(channel: ChannelId) -> Self {
        Self::bare(FrameKind::Cancel, channel)
    }

    /// Says that the sender has no channel left and opens none.
    pub fn close() -> Self {
        Self::bare(FrameKind::Close, ChannelId(0))
    }

    /// An error of one channel, or of the connection if there is none, before its text.
    pub fn error(channel: Option<ChannelId>, code: ErrorCode, text_bytes: u32) -> Self {
        let flags = if channel.is_none() { Self::FATAL } else { 0 };
        Self {
            flags,
            payload_bytes: text_bytes,
            aux: code as u32,
            ..Self::bare(FrameKind::Error, channel.unwrap_or(ChannelId(0)))
        }
    }

    /// Tells a consumer without any buffer what waits for it, at least 1.
    pub fn backlog_announcement(channel: ChannelId, backlog: u32) -> Self {
        Self { backlog, ..Self::bare(FrameKind::BacklogAnnouncement, channel) }
    }

    /// Asks the producer to fill its pages to at most `bytes` bytes: 1 byte to a segment.
    pub fn new_buffer_size(channel: ChannelId, bytes: u32) -> Self {
        Self { aux: bytes, ..Self::bare(FrameKind::NewBufferSize, channel) }
    }

    /// Says that the consumer has processed every record up to the end of data.
    pub fn ack_all_records(channel: ChannelId) -> Self {
        Self::bare(FrameKind::AckAllRecords, channel)
    }

    /// A message from the consuming to the producing task, before its payload.
    pub fn task_event(channel: ChannelId, tag: u32, payload_bytes: u32) -> Self {
        Self { aux: tag, payload_bytes, ..Self::bare(FrameKind::TaskEvent, channel) }
    }

    /// What the frame is.
    pub fn kind(&self) -> FrameKind {
        self.kind
    }

    /// Whether all bits of `flag` are set.
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag == flag
    }

    /// The flags together.
    pub fn flags(&self) -> u8 {
        self.flags
    }

    /// The channel, or channel 0 in a frame about the whole connection.
    pub fn channel(&self) -> ChannelId {
        self.channel
    }

    /// The place among the data and events of the channel; wraps around at 2³².
    pub fn sequence(&self) -> u32 {
        self.sequence
    }

    /// Data buffers that wait at the producer.
    pub fn backlog(&self) -> u32 {
        self.backlog
    }

    /// Bytes that follow the header.
    pub fn payload_bytes(&self) -> u32 {
        self.payload_bytes
    }

    /// The number that the kind defines: see the table above.
    pub fn aux(&self) -> u32 {
        self.aux
    }

    /// The place of a data frame within a jumbo row; [`Part::Whole`] for every other frame.
    pub fn part(&self) -> Part {
        match self.kind {
            FrameKind::JumboFragment if self.has(Self::FIRST) => {
                Part::First { total_bytes: self.aux }
            }
            FrameKind::JumboFragment if self.has(Self::LAST) => {
                Part::Last { offset_bytes: self.aux }
            }
            FrameKind::JumboFragment => Part::Middle { offset_bytes: self.aux },
            _ => Part::Whole,
        }
    }

    /// Writes the header.
    pub fn encode(&self, target: &mut [u8; HEADER_BYTES]) {
        target[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        target[4] = VERSION;
        target[5] = self.kind as u8;
        target[6] = self.flags;
        target[7] = 0;
        target[8..12].copy_from_slice(&self.channel.0.to_le_bytes());
        target[12..16].copy_from_slice(&self.sequence.to_le_bytes());
        target[16..20].copy_from_slice(&self.backlog.to_le_bytes());
        target[20..24].copy_from_slice(&self.payload_bytes.to_le_bytes());
        target[24..28].copy_from_slice(&self.aux.to_le_bytes());
        let sum = checksum(target);
        target[CHECKSUM_AT..].copy_from_slice(&sum.to_le_bytes());
    }

    /// Reads and checks a header that came from a peer.
    ///
    /// # Errors
    /// [`FrameError`] with what was expected and found. The stream has no defined place to go on
    /// from: the connection must end.
    pub fn decode(source: &[u8; HEADER_BYTES], limits: &FrameLimits) -> Result<Self, FrameError> {
        if word(source, 0) != MAGIC {
            return Err(FrameError::Magic { found: word(source, 0) });
        }
        if source[4] != VERSION {
            return Err(FrameError::Version { found: source[4] });
        }
        let (expected, found) = (checksum(source), word(source, CHECKSUM_AT));
        if expected != found {
            return Err(FrameError::Checksum { expected, found });
        }
        let kind = FrameKind::from_byte(source[5]).ok_or(FrameError::Kind { found: source[5] })?;
        let header = Self {
            kind,
            flags: source[6],
            channel: ChannelId(word(source, 8)),
            sequence: word(source, 12),
            backlog: word(source, 16),
            payload_bytes: word(source, 20),
            aux: word(source, 24),
        };
        if source[7] != 0 {
            return Err(header.misfit("reserved", source[7].into()));
        }
        header.check(limits)?;
        Ok(header)
    }

    fn bare(kind: FrameKind, channel: ChannelId) -> Self {
        Self { kind, flags: 0, channel, sequence: 0, backlog: 0, payload_bytes: 0, aux: 0 }
    }

    /// Holds the fields against the shape of their kind.
    fn check(&self, limits: &FrameLimits) -> Result<(), FrameError> {
        let shape = self.kind.shape();
        let exclusive = self.has(Self::PRIORITY) && self.flags != Self::PRIORITY
            || self.has(Self::FIRST | Self::LAST);
        if self.flags & !shape.flags != 0 || exclusive {
            return Err(self.misfit("flags", self.flags.into()));
        }
        let about_connection = !shape.channel || self.has(Self::FATAL);
        if about_connection && self.channel.0 != 0 {
            return Err(self.misfit("channel", self.channel.0));
        }
        if !shape.sequence && self.sequence != 0 {
            return Err(self.misfit("sequence", self.sequence));
        }
        let announces = self.kind == FrameKind::BacklogAnnouncement;
        if !shape.backlog && self.backlog != 0 || announces && self.backlog == 0 {
            return Err(self.misfit("backlog", self.backlog));
        }
        self.check_length(shape.payload, limits)?;
        self.check_aux(shape.aux, limits)
    }

    fn check_length(&self, class: PayloadClass, limits: &FrameLimits) -> Result<(), FrameError> {
        let (min, max) = match class {
            PayloadClass::None => (0, 0),
            PayloadClass::Exactly(bytes) => (bytes, bytes),
            PayloadClass::UpTo(bytes) => (0, bytes),
            PayloadClass::Control { min } => (min, limits.control_bytes_max),
            PayloadClass::Segment => (1, limits.segment_bytes),
        };
        if self.payload_bytes < min || self.payload_bytes > max {
            let (kind, found) = (self.kind, self.payload_bytes);
            return Err(FrameError::Length { kind, min, max, found });
        }
        Ok(())
    }

    fn check_aux(&self, rule: Aux, limits: &FrameLimits) -> Result<(), FrameError> {
        let fits = match rule {
            Aux::Zero => self.aux == 0,
            Aux::Any => true,
            Aux::Positive => self.aux != 0,
            Aux::Segment => self.aux != 0 && self.aux <= limits.segment_bytes,
            Aux::Error => ErrorCode::from_aux(self.aux).is_some(),
            Aux::Fragment if self.has(Self::FIRST) => {
                self.aux > self.payload_bytes && self.aux <= limits.record_bytes_max
            }
            Aux::Fragment => {
                let end = self.aux.checked_add(self.payload_bytes);
                self.aux != 0 && end.is_some_and(|end| end <= limits.record_bytes_max)
            }
        };
        if fits { Ok(()) } else { Err(self.misfit("aux", self.aux)) }
    }

    fn misfit(&self, field: &'static str, found: u32) -> FrameError {
        FrameError::Field { kind: self.kind, channel: self.channel, field, found }
    }
}

fn word(source: &[u8; HEADER_BYTES], at: usize) -> u32 {
    u32::from_le_bytes([source[at], source[at + 1], source[at + 2], source[at + 3]])
}

/// Mixes the seven words before the checksum; a few nanoseconds, without a table.
fn checksum(header: &[u8; HEADER_BYTES]) -> u32 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut mixed = FACTOR;
    for at in (0..CHECKSUM_AT).step_by(4) {
        mixed = (mixed ^ u64::from(word(header, at))).wrapping_mul(FACTOR);
        mixed ^= mixed >> 32;
    }
    (mixed ^ (mixed >> 29)) as u32
}
