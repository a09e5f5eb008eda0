//! Why 32 bytes are not a header.

use core::fmt;

use super::{FrameKind, MAGIC, VERSION};
use crate::id::ChannelId;

/// Why 32 bytes are not a header. The stream behind them cannot be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// The peer speaks something else, or the receiver lost its place.
    Magic {
        /// The first four bytes.
        found: u32,
    },
    /// The peer speaks another version of this protocol.
    Version {
        /// The peer's version.
        found: u8,
    },
    /// The header changed on the way, or the receiver lost its place.
    Checksum {
        /// What the header's bytes add up to.
        expected: u32,
        /// What the header says.
        found: u32,
    },
    /// No kind has this byte.
    Kind {
        /// The byte.
        found: u8,
    },
    /// The payload is shorter or longer than the kind and the receiver's limits allow.
    Length {
        /// The frame's kind.
        kind: FrameKind,
        /// The least, in bytes.
        min: u32,
        /// The most, in bytes.
        max: u32,
        /// What the header says, in bytes.
        found: u32,
    },
    /// A field has a value that it cannot have in a frame of this kind.
    Field {
        /// The frame's kind.
        kind: FrameKind,
        /// The frame's channel as written.
        channel: ChannelId,
        /// Which field.
        field: &'static str,
        /// Its value.
        found: u32,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic { found } => {
                write!(f, "frame magic: expected {MAGIC:#010x}, found {found:#010x}")
            }
            Self::Version { found } => {
                write!(f, "protocol version: expected {VERSION}, found {found}")
            }
            Self::Checksum { expected, found } => {
                write!(f, "frame checksum: expected {expected:#010x}, found {found:#010x}")
            }
            Self::Kind { found } => write!(f, "frame kind: expected 1 to 14, found {found}"),
            Self::Length { kind, min, max, found } => {
                write!(f, "{kind:?} payload: expected {min} to {max} bytes, found {found}")
            }
            Self::Field { kind, channel, field, found } => {
                write!(f, "{kind:?} frame of {channel}: {field} cannot be {found}")
            }
        }
    }
}

impl core::error::Error for FrameError {}
