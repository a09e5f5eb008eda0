//! Pages: columns inside one memory segment (PAX).
//!
//! [`Shape`] is what a schema needs: its physical columns. [`Layout`] places them in a segment of a
//! given size for a given number of rows. [`PageBuilder`] fills a page row by row with a typed
//! record, [`RowBuilder`] with values whose types are known only at run time. [`ValidPage`] reads.
//!
//! Little-endian throughout. The header has [`HEADER_BYTES`] bytes:
//!
//! | offset | size | meaning |
//! |---|---|---|
//! | 0 | 4 | magic `MSPG` |
//! | 4 | 1 | version, 1 |
//! | 5 | 1 | flags: 1 = the last column is the row kind |
//! | 6 | 2 | columns in the directory |
//! | 8 | 8 | fingerprint of the schema |
//! | 16 | 4 | rows |
//! | 20 | 4 | length of the page in bytes |
//! | 24 | 4 | start of the heap |
//! | 28 | 4 | end of the heap |
//! | 32 | 16 | reserved, zero |
//!
//! A directory entry has [`ENTRY_BYTES`] bytes: kind (1), flags (1; 1 = the validity bitmap is
//! present), width (2), length in elements (4), offset of the data (4), offset of the validity (4).

mod builder;
mod cells;
mod column;
mod error;
mod layout;
mod row;
mod run;
mod seal;
mod shape;
mod sizing;
mod valid;

pub use builder::{PageBuilder, Sealed};
pub use cells::{Cells, Full};
pub use column::{
    BitColumn, BytesColumn, Column, ColumnCursor, OffsetsColumn, StringColumn, Validity, ViewColumn,
};
pub use error::PageError;
pub use layout::{Layout, Slot, SlotCursor};
pub use row::RowBuilder;
pub use run::heap_bytes;
pub(crate) use run::text;
pub use shape::{ColumnKind, Physical, Shape};
pub use sizing::{Demand, Shortage, Sizing};
pub use valid::ValidPage;

/// Bytes of a page's header.
pub const HEADER_BYTES: usize = 48;
/// Bytes of one directory entry.
pub const ENTRY_BYTES: usize = 16;
/// The first four bytes of a page.
pub const MAGIC: [u8; 4] = *b"MSPG";
/// The version of the page format.
pub const VERSION: u8 = 1;
/// Bytes of the view of a string or byte string.
pub const VIEW_BYTES: usize = 16;
/// The longest string that lives in its view.
pub const INLINE_BYTES: usize = 12;

/// Header flag: the last column holds the kind of each row.
const FLAG_ROW_KINDS: u8 = 1;
/// Directory flag: the validity bitmap is present.
const FLAG_VALIDITY: u8 = 1;

/// What a row of a changelog does to the table it describes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RowKind {
    /// `+I`: the row is new.
    #[default]
    Insert = 0,
    /// `-U`: the row as it was before an update.
    UpdateBefore = 1,
    /// `+U`: the row as it is after an update.
    UpdateAfter = 2,
    /// `-D`: the row is gone.
    Delete = 3,
}

impl RowKind {
    /// The kind that this byte stands for.
    pub fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Insert),
            1 => Some(Self::UpdateBefore),
            2 => Some(Self::UpdateAfter),
            3 => Some(Self::Delete),
            _ => None,
        }
    }
}

fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|chunk| u32::from_le_bytes(*chunk))
}

fn write_u32(bytes: &mut [u8], at: usize, value: usize) {
    let value = u32::try_from(value).expect("a page is shorter than 4 GiB");
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

#[cfg(test)]
mod tests;
