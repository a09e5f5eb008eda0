//! What can go wrong with views.

use core::error::Error;
use core::fmt;

/// Why a value cannot be read or written; offsets are in bytes from the beginning of the view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ViewError {
    /// The data ends within the value.
    EndOfData {
        /// Where the value begins.
        offset: u64,
        /// Bytes that it needs.
        wanted: u64,
        /// Bytes that are left.
        available: u64,
    },
    /// There is no room for the value: the slice is full, or no segment can be had.
    OutOfSpace {
        /// Where the first byte without room would have been.
        offset: u64,
        /// Bytes without room.
        wanted: u64,
    },
    /// A varint with more bits than its type.
    VarintTooLong {
        /// Where the varint begins.
        offset: u64,
        /// Bits of its type.
        bits: u32,
    },
    /// A boolean that is neither 0 nor 1.
    NotBool {
        /// Where it is.
        offset: u64,
        /// What is there.
        value: u8,
    },
    /// Text that is not UTF-8.
    NotUtf8 {
        /// Where the text begins.
        offset: u64,
    },
    /// A position outside of what a view holds.
    OutOfRange {
        /// The position.
        offset: u64,
        /// The length of the view.
        len: u64,
    },
}

impl fmt::Display for ViewError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EndOfData { offset, wanted, available } => write!(
                f,
                "the data ends within a value: {wanted} bytes are needed at offset {offset}, \
                 {available} are left; the data is cut off, or was written with another schema"
            ),
            Self::OutOfSpace { offset, wanted } => write!(
                f,
                "no room for {wanted} more bytes at offset {offset}; use a larger target, or wait \
                 for segments"
            ),
            Self::VarintTooLong { offset, bits } => write!(
                f,
                "the number at offset {offset} does not fit {bits} bits; the data is damaged, or \
                 was written with another schema"
            ),
            Self::NotBool { offset, value } => write!(
                f,
                "the boolean at offset {offset} is {value}, not 0 or 1; the data is damaged, or \
                 was written with another schema"
            ),
            Self::NotUtf8 { offset } => write!(
                f,
                "the text at offset {offset} is not UTF-8; read it as bytes, or convert it at \
                 the source"
            ),
            Self::OutOfRange { offset, len } => write!(
                f,
                "offset {offset} is outside of a view of {len} bytes; stay within its length"
            ),
        }
    }
}

impl Error for ViewError {}
