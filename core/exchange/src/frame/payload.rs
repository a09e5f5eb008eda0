//! The payloads of `Hello`, `Request` and `Error` frames.

use core::fmt;

use crate::bytes::{Reader, Truncated, Writer};
use crate::event::{EVENT_BYTES_MAX, Event};
use crate::id::{PartitionId, WorkerId};

/// Bytes of a [`Hello`].
pub const HELLO_BYTES: usize = 8 + 4 + 4 + 4;

/// Bytes of a [`Request`].
pub const REQUEST_BYTES: usize = 8 + 4 + 4 + 4;

/// The longest text of an error in bytes; what is longer is cut.
pub const ERROR_TEXT_BYTES_MAX: usize = 1024;

/// The longest payload in bytes that travels inside an [`Inline`].
pub const INLINE_BYTES_MAX: usize = max(max(HELLO_BYTES, REQUEST_BYTES), EVENT_BYTES_MAX);

/// What each end of a connection says first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// A hash of the job graph, the arguments and the libraries: equal on all workers of a job.
    pub job: u64,
    /// Who speaks.
    pub worker: WorkerId,
    /// The speaker's segment size in bytes. Both must be equal, so that each page fits.
    pub segment_bytes: u32,
    /// The longest jumbo row that the speaker takes, in bytes. Both must be equal.
    pub record_bytes_max: u32,
}

impl Hello {
    /// The bytes of the payload.
    pub fn encode(&self) -> Inline {
        Inline::write(|writer| {
            writer.u64(self.job);
            writer.u32(self.worker.0);
            writer.u32(self.segment_bytes);
            writer.u32(self.record_bytes_max);
        })
    }

    /// Reads a payload that has exactly [`HELLO_BYTES`].
    ///
    /// # Errors
    /// [`PayloadError`] when the length differs or a size is zero.
    pub fn decode(source: &[u8]) -> Result<Self, PayloadError> {
        let mut reader = exactly(source, HELLO_BYTES)?;
        let hello = Self {
            job: reader.u64()?,
            worker: WorkerId(reader.u32()?),
            segment_bytes: reader.u32()?,
            record_bytes_max: reader.u32()?,
        };
        match hello {
            Self { segment_bytes: 0, .. } => Err(PayloadError::Zero { field: "segment size" }),
            Self { record_bytes_max: 0, .. } => Err(PayloadError::Zero { field: "record size" }),
            _ => Ok(hello),
        }
    }
}

/// What a consumer asks a producer for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    /// Whose output.
    pub partition: PartitionId,
    /// Which part of it.
    pub subpartition: u32,
}

impl Request {
    /// The bytes of the payload.
    pub fn encode(&self) -> Inline {
        Inline::write(|writer| {
            writer.u64(self.partition.result);
            writer.u32(self.partition.subtask);
            writer.u32(self.partition.attempt);
            writer.u32(self.subpartition);
        })
    }

    /// Reads a payload that has exactly [`REQUEST_BYTES`].
    ///
    /// # Errors
    /// [`PayloadError`] when the length differs.
    pub fn decode(source: &[u8]) -> Result<Self, PayloadError> {
        let mut reader = exactly(source, REQUEST_BYTES)?;
        let result = reader.u64()?;
        let partition = PartitionId { result, subtask: reader.u32()?, attempt: reader.u32()? };
        Ok(Self { partition, subpartition: reader.u32()? })
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} subpartition {}", self.partition, self.subpartition)
    }
}

/// Why a channel or a connection failed. The discriminant is the `aux` of the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum ErrorCode {
    /// The partition was not registered within the timeout. The consumer asks again.
    PartitionNotFound = 1,
    /// The partition is there, but not for this consumer: released, or no such subpartition.
    PartitionRefused = 2,
    /// The producing task failed.
    ProducerFailed = 3,
    /// The peer broke the protocol.
    Protocol = 4,
    /// The two ends of the connection do not belong together.
    Incompatible = 5,
    /// The worker stops.
    Shutdown = 6,
}

impl ErrorCode {
    /// The code with this number.
    pub fn from_aux(aux: u32) -> Option<Self> {
        match aux {
            1 => Some(Self::PartitionNotFound),
            2 => Some(Self::PartitionRefused),
            3 => Some(Self::ProducerFailed),
            4 => Some(Self::Protocol),
            5 => Some(Self::Incompatible),
            6 => Some(Self::Shutdown),
            _ => None,
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PartitionNotFound => "partition not found",
            Self::PartitionRefused => "partition refused",
            Self::ProducerFailed => "producer failed",
            Self::Protocol => "protocol error",
            Self::Incompatible => "incompatible peer",
            Self::Shutdown => "shutdown",
        })
    }
}

/// A small control payload by value: no allocation for an event.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Inline {
    bytes: [u8; INLINE_BYTES_MAX],
    len: u8,
}

impl Inline {
    /// The bytes of an event.
    pub fn event(event: &Event) -> Self {
        let mut encoded = [0; EVENT_BYTES_MAX];
        let len = event.encode(&mut encoded);
        let mut bytes = [0; INLINE_BYTES_MAX];
        bytes[..len].copy_from_slice(&encoded[..len]);
        Self { bytes, len: len as u8 }
    }

    /// The payload.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len.into()]
    }

    fn write(fill: impl FnOnce(&mut Writer<'_>)) -> Self {
        let mut bytes = [0; INLINE_BYTES_MAX];
        let mut writer = Writer::new(&mut bytes);
        fill(&mut writer);
        let len = writer.len() as u8;
        Self { bytes, len }
    }
}

impl fmt::Debug for Inline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Inline").field(&self.as_slice()).finish()
    }
}

/// Why bytes are not the payload of a `Hello` or a `Request`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadError {
    /// The payload has another length.
    Length {
        /// In bytes.
        expected: usize,
        /// In bytes.
        found: usize,
    },
    /// A size is zero.
    Zero {
        /// Which.
        field: &'static str,
    },
}

impl From<Truncated> for PayloadError {
    fn from(_: Truncated) -> Self {
        unreachable!("the length was checked before the first field")
    }
}

impl fmt::Display for PayloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { expected, found } => {
                write!(f, "control payload: expected {expected} bytes, found {found}")
            }
            Self::Zero { field } => write!(f, "{field}: expected at least 1 byte, found 0"),
        }
    }
}

impl core::error::Error for PayloadError {}

/// The longest prefix of `text` that an error frame carries.
pub(crate) fn error_text(text: &str) -> &str {
    &text[..text.floor_char_boundary(ERROR_TEXT_BYTES_MAX)]
}

fn exactly(source: &[u8], expected: usize) -> Result<Reader<'_>, PayloadError> {
    if source.len() != expected {
        return Err(PayloadError::Length { expected, found: source.len() });
    }
    Ok(Reader::new(source))
}

const fn max(a: usize, b: usize) -> usize {
    if a > b { a } else { b }
}
