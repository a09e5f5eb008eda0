//! Blocks: sorted entries, what is read at a time.
//!
//! ```text
//! entries | where those begin that share nothing, u16 each | how many u16
//! entry: flags u8 | shared | rest | piece | value | rest of the name | bytes of the value
//! ```
//!
//! The lower two bits of the flags are the [`Op`]; the third says that there is a piece number. `shared`
//! is how many bytes the name has in common with the one before, `rest` how many follow; these, the piece
//! and the length of the value are LEB128. Every sixteenth entry shares nothing, and a search begins
//! there: the layout is that of LevelDB's tables (`doc/table_format.md`). What is too long for a block
//! is in several entries of one name, its **pieces**. How blocks are stored, with a checksum, is told in
//! [`compression`](crate::compression). Numbers are little-endian.

mod cursor;

use alloc::vec::Vec;
use core::fmt;

use millstream_data::hash;

use crate::compression::TAIL;

pub use cursor::{BlockCursor, Found, More};

/// Bytes of the longest block, as it is stored too.
pub const BLOCK_MAX: usize = 4096;
/// Bytes of the longest piece of a value.
pub const PIECE_MAX: usize = 2048;
/// Entries from one that shares nothing to the next.
const INTERVAL: usize = 16;
/// Bytes behind the entries of a block with one of them, when it is stored.
const TRAILER_MIN: usize = 2 + 2 + TAIL;
const OP: u8 = 3;
const PIECE: u8 = 4;

/// What an entry does to older ones of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// It is all that there is.
    Whole,
    /// It is appended to what is older.
    Add,
    /// There is nothing; of a map's own name, older entries of the map are gone.
    Gone,
}

impl Op {
    fn of(flags: u8) -> Option<Self> {
        match flags & OP {
            0 => Some(Self::Whole),
            1 => Some(Self::Add),
            2 => Some(Self::Gone),
            _ => None,
        }
    }

    fn bits(self) -> u8 {
        match self {
            Self::Whole => 0,
            Self::Add => 1,
            Self::Gone => 2,
        }
    }
}

/// A block that is being filled.
#[derive(Debug, Default)]
pub struct BlockBuilder {
    bytes: Vec<u8>,
    restarts: Vec<u16>,
    entries: usize,
    /// Of the last entry.
    name: Vec<u8>,
}

impl BlockBuilder {
    /// Whether there is room for an entry. An empty block has room for any whose name has at most
    /// [`NAME_MAX`](crate::name::NAME_MAX) bytes and whose value at most [`PIECE_MAX`].
    pub fn has_room(&self, name: &[u8], value: &[u8]) -> bool {
        // Flags and numbers take at most 1 + 2 + 2 + 5 + 2 bytes.
        let entry = 12 + name.len() + value.len();
        self.bytes.len() + 2 * self.restarts.len() + entry + TRAILER_MIN <= BLOCK_MAX
    }

    /// Adds an entry, which has room, behind the last.
    pub fn push(&mut self, name: &[u8], piece: u32, op: Op, value: &[u8]) {
        let mut shared = 0;
        if self.entries.is_multiple_of(INTERVAL) {
            self.restarts.push(self.bytes.len() as u16);
        } else {
            shared = in_common(&self.name, name);
        }
        let numbered = if piece == 0 { 0 } else { PIECE };
        self.bytes.push(op.bits() | numbered);
        put_number(shared as u32, &mut self.bytes);
        put_number((name.len() - shared) as u32, &mut self.bytes);
        if piece != 0 {
            put_number(piece, &mut self.bytes);
        }
        put_number(value.len() as u32, &mut self.bytes);
        self.bytes.extend_from_slice(&name[shared..]);
        self.bytes.extend_from_slice(value);
        self.name.truncate(shared);
        self.name.extend_from_slice(&name[shared..]);
        self.entries += 1;
    }

    /// Whether it has no entries.
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// The name of the last entry.
    pub fn last_name(&self) -> &[u8] {
        &self.name
    }

    /// Ends the block; gives its bytes. [`clear`](Self::clear) begins the next.
    pub fn finish(&mut self) -> &[u8] {
        for restart in &self.restarts {
            self.bytes.extend_from_slice(&restart.to_le_bytes());
        }
        self.bytes.extend_from_slice(&(self.restarts.len() as u16).to_le_bytes());
        &self.bytes
    }

    /// Makes the block empty.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.restarts.clear();
        self.name.clear();
        self.entries = 0;
    }
}

/// The checksum of a block: the bytes are dealt to four hashes, eight at a time, which a processor
/// computes side by side; what is left after the last 32 bytes, and the length, follow.
pub fn checksum(bytes: &[u8]) -> u64 {
    let (stripes, rest) = bytes.as_chunks::<32>();
    let mut lanes = [0, 1, 2, 3].map(|lane| hash::word(hash::SEED, lane));
    for stripe in stripes {
        for (lane, word) in lanes.iter_mut().zip(stripe.as_chunks::<8>().0) {
            *lane = hash::word(*lane, u64::from_le_bytes(*word));
        }
    }
    let sum = lanes.into_iter().fold(bytes.len() as u64, hash::word);
    hash::bytes(sum, rest)
}

/// Bytes that two names begin with.
#[inline]
fn in_common(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

fn put_number(number: u32, out: &mut Vec<u8>) {
    let mut rest = number;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// A block that was read. Its checksum was right, or is of no interest; everything else is checked
/// where it is used.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    entries: &'a [u8],
    restarts: &'a [[u8; 2]],
}

impl<'a> Block<'a> {
    /// The parts of a block.
    ///
    /// # Errors
    /// [`BlockError`] if it ends in a way that no block does.
    #[inline]
    pub fn open(bytes: &'a [u8]) -> Result<Self, BlockError> {
        let parts = || {
            let (rest, count) = bytes.split_last_chunk::<2>()?;
            let restarts = 2 * usize::from(u16::from_le_bytes(*count));
            let (entries, restarts) = rest.split_at_checked(rest.len().checked_sub(restarts)?)?;
            Some(Self { entries, restarts: restarts.as_chunks().0 })
        };
        let what = "it has more places to begin at than bytes";
        parts().ok_or(BlockError { at: bytes.len().saturating_sub(2), what })
    }

    /// Where the entry begins that shares nothing and has this number among those.
    #[inline]
    fn restart(&self, number: usize) -> Option<usize> {
        self.restarts.get(number).map(|at| usize::from(u16::from_le_bytes(*at)))
    }

    /// Bytes of a value, where a cursor or a search says.
    #[inline]
    pub fn value(&self, at: core::ops::Range<usize>) -> &'a [u8] {
        self.entries.get(at).unwrap_or(&[])
    }
}

/// Bytes that are no block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockError {
    /// Where, in bytes from the beginning of the block.
    pub at: usize,
    /// What is wrong.
    pub what: &'static str,
}

impl fmt::Display for BlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a block is damaged at its byte {}: {}", self.at, self.what)
    }
}

impl core::error::Error for BlockError {}

#[cfg(test)]
mod tests;
