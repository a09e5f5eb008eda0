//! Blocks as they are stored: compressed where that pays, with a checksum.
//!
//! ```text
//! plain:      the block | 0 | checksum u64
//! compressed: bytes | how many the block has u16 | codec u8 | checksum u64
//! ```
//!
//! A block is stored compressed if that saves at least an eighth of it. The checksum is that of all bytes in
//! front of it as they are stored, so that what is damaged never reaches a decompressor. Its length says how
//! much memory a block will take, and is checked before: at most [`BLOCK_MAX`]. Files of the first
//! format have neither codec nor length, see [`Format`]. Numbers are little-endian.

use alloc::{vec, vec::Vec};
use core::{fmt, str::FromStr};

use lz4_flex::block::{
    CompressTable, compress_into_with_table, decompress_into, get_maximum_output_size,
};

use crate::block::{BLOCK_MAX, BlockError, checksum};

const CHECKSUM: usize = 8;
/// Bytes behind a block that is stored as it is.
pub(crate) const TAIL: usize = 1 + CHECKSUM;
/// Bytes behind one that is compressed.
const TAIL_COMPRESSED: usize = 2 + TAIL;
/// What is compressed is at least this part of the block smaller.
const SAVES: usize = 8;
/// Bytes that compression may need for its output.
const SCRATCH: usize = get_maximum_output_size(BLOCK_MAX) + TAIL_COMPRESSED;
/// Bytes of memory that a [`Packer`] takes: its output, and the table of LZ4, which has 4096 places of two.
pub(crate) const PACKER_BYTES: u64 = SCRATCH as u64 + 8192;

/// How a block is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Codec {
    /// Not at all.
    #[default]
    Plain,
    /// LZ4 blocks.
    Lz4,
    /// Frames of Zstandard, for which there must be a [`Compression`].
    Zstd,
}

impl Codec {
    fn of(tag: u8) -> Option<Self> {
        match tag {
            0 => Some(Self::Plain),
            1 => Some(Self::Lz4),
            2 => Some(Self::Zstd),
            _ => None,
        }
    }

    fn tag(self) -> u8 {
        match self {
            Self::Plain => 0,
            Self::Lz4 => 1,
            Self::Zstd => 2,
        }
    }
}

/// How new files are compressed, by where they lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Levels {
    /// Files that are young: written often, and read until they are merged.
    pub upper: Codec,
    /// The files under all others, which have most of the state, and are written least.
    pub bottom: Codec,
}

impl FromStr for Codec {
    type Err = NoCodec;

    fn from_str(text: &str) -> Result<Self, NoCodec> {
        match text {
            "none" => Ok(Self::Plain),
            "lz4" => Ok(Self::Lz4),
            "zstd" => Ok(Self::Zstd),
            _ => Err(NoCodec),
        }
    }
}

/// One codec for all files, or two with a comma between: of [upper](Levels::upper) files, and of those at the
/// [bottom](Levels::bottom).
impl FromStr for Levels {
    type Err = NoCodec;

    fn from_str(text: &str) -> Result<Self, NoCodec> {
        let (upper, bottom) = text.split_once(',').unwrap_or((text, text));
        Ok(Self { upper: upper.trim().parse()?, bottom: bottom.trim().parse()? })
    }
}

/// A text that names no codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoCodec;

impl fmt::Display for NoCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`none`, `lz4` or `zstd`, or two of them with a comma between")
    }
}

impl core::error::Error for NoCodec {}

/// Zstandard, which a host brings, as core has no C. It may be called by several threads.
pub trait Compression: Send + Sync + fmt::Debug {
    /// Bytes of memory that it takes at most.
    fn memory(&self) -> u64;

    /// Compresses a block of at most [`BLOCK_MAX`] bytes into `into`: how many bytes that has become. `None` if
    /// they have no room, or if it cannot.
    fn compress(&self, plain: &[u8], into: &mut [u8]) -> Option<usize>;

    /// Decompresses into `into`: how many bytes came out. `None` if these are more than there is room for, or
    /// if what is `stored` is no frame.
    fn decompress(&self, stored: &[u8], into: &mut [u8]) -> Option<usize>;
}

/// How the blocks of a file are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Each as it is, with its checksum.
    Untagged,
    /// As the [module](self) says, and none with Zstandard.
    #[default]
    Tagged,
    /// As the module says.
    WithZstd,
}

/// Stores blocks.
pub struct Packer {
    table: CompressTable,
    out: Vec<u8>,
}

impl Default for Packer {
    fn default() -> Self {
        Self { table: CompressTable::small(), out: vec![0; SCRATCH] }
    }
}

impl fmt::Debug for Packer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packer").finish_non_exhaustive()
    }
}

impl Packer {
    /// A block of at most [`BLOCK_MAX`] - 9 bytes as it is stored, in at most [`BLOCK_MAX`]. Without `zstd` LZ4
    /// takes its place.
    pub fn pack(&mut self, codec: Codec, zstd: Option<&dyn Compression>, block: &[u8]) -> &[u8] {
        let length = self.fill(codec, zstd, block);
        let sum = checksum(self.out.get(..length).unwrap_or(&[]));
        let end = self.put(length, &sum.to_le_bytes());
        self.out.get(..end).unwrap_or(&[])
    }

    /// Everything but the checksum: how many bytes that is.
    fn fill(&mut self, codec: Codec, zstd: Option<&dyn Compression>, block: &[u8]) -> usize {
        let (codec, compressed) = match (codec, zstd) {
            (Codec::Plain, _) => (codec, None),
            (Codec::Zstd, Some(zstd)) => (codec, zstd.compress(block, &mut self.out)),
            (Codec::Lz4 | Codec::Zstd, _) => {
                let packed = compress_into_with_table(block, &mut self.out, &mut self.table);
                (Codec::Lz4, packed.ok())
            }
        };
        let most = block.len() - block.len() / SAVES;
        match compressed.filter(|length| length + TAIL_COMPRESSED <= most + TAIL) {
            Some(length) => {
                let [low, high] = (block.len() as u16).to_le_bytes();
                self.put(length, &[low, high, codec.tag()])
            }
            None => {
                let at = self.put(0, block);
                self.put(at, &[Codec::Plain.tag()])
            }
        }
    }

    /// Puts bytes into the output; where they end.
    fn put(&mut self, at: usize, bytes: &[u8]) -> usize {
        if let Some(place) = self.out.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
        at + bytes.len()
    }
}

/// A block as it was read, whose checksum is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored<'a> {
    /// It is here.
    Plain(&'a [u8]),
    /// It is compressed.
    Compressed {
        /// How.
        codec: Codec,
        /// What it was compressed to.
        bytes: &'a [u8],
        /// How many bytes it has: at most [`BLOCK_MAX`].
        length: usize,
    },
}

impl<'a> Stored<'a> {
    /// Checks that bytes are as they were written.
    ///
    /// # Errors
    /// [`BlockError`].
    pub fn check(format: Format, bytes: &'a [u8]) -> Result<Self, BlockError> {
        let wrong = |at: usize, what| Err(BlockError { at, what });
        let Some((summed, sum)) = bytes.split_last_chunk::<CHECKSUM>() else {
            return wrong(bytes.len(), "a block is longer");
        };
        if checksum(summed) != u64::from_le_bytes(*sum) {
            let what = "the checksum of the block is not that of its bytes";
            return wrong(summed.len(), what);
        }
        if format == Format::Untagged {
            return Ok(Self::Plain(summed));
        }
        let Some((tag, rest)) = summed.split_last() else {
            return wrong(0, "a block is longer");
        };
        match Codec::of(*tag) {
            Some(Codec::Plain) => Ok(Self::Plain(rest)),
            Some(codec) => match rest.split_last_chunk::<2>() {
                Some((bytes, length)) if usize::from(u16::from_le_bytes(*length)) <= BLOCK_MAX => {
                    let length = usize::from(u16::from_le_bytes(*length));
                    Ok(Self::Compressed { codec, bytes, length })
                }
                _ => wrong(rest.len().saturating_sub(2), "a block is larger than any is"),
            },
            None => wrong(rest.len(), "a block is compressed in a way that is not known"),
        }
    }

    /// How many bytes the block has.
    pub fn length(&self) -> usize {
        match self {
            Self::Plain(bytes) => bytes.len(),
            Self::Compressed { length, .. } => *length,
        }
    }

    /// Puts the block into `into`, which has its [length](Self::length).
    ///
    /// # Errors
    /// [`BlockError`].
    pub fn unpack(
        &self,
        zstd: Option<&dyn Compression>,
        into: &mut [u8],
    ) -> Result<(), BlockError> {
        let wrong = |what| BlockError { at: 0, what };
        let (codec, bytes) = match self {
            Self::Plain(bytes) => (Codec::Plain, *bytes),
            Self::Compressed { codec, bytes, .. } => (*codec, *bytes),
        };
        let length = match codec {
            Codec::Plain => into.get_mut(..bytes.len()).map(|place| {
                place.copy_from_slice(bytes);
                bytes.len()
            }),
            Codec::Lz4 => decompress_into(bytes, into).ok(),
            Codec::Zstd => {
                let zstd = zstd.ok_or(wrong("its file has none that are compressed with zstd"))?;
                zstd.decompress(bytes, into)
            }
        };
        match length == Some(into.len()) {
            true => Ok(()),
            false => Err(wrong("what is compressed is not the block that its length says")),
        }
    }
}

#[cfg(test)]
mod tests;
