//! Views: reading and writing values one after the other, over one segment or many.
//!
//! An [`Output`] takes bytes in order, an [`Input`] gives them back; everything else (integers,
//! strings, lengths) is built on that, once, here. [`SliceWriter`] and [`SliceReader`] work on one
//! slice; [`OutputView`] fills segment after segment from a pool, and [`InputView`] reads across
//! the seams, so a record may be longer than a segment.
//!
//! All numbers are little-endian. Lengths and counts are usually small, so they are written as
//! LEB128 (seven bits per byte, lowest first), signed ones after zigzag.
//!
//! Bytes may come from a disk or another process: reading past the end, an impossible varint or
//! length, text that is not UTF-8, all are a [`ViewError`] with the offset, never a panic, and no
//! memory is allocated for a length before it was compared with what is there.

mod error;
mod input;
mod output;
mod slice;

pub use error::ViewError;
pub use input::{Input, InputView};
pub use output::{Output, OutputView};
pub use slice::{SliceReader, SliceWriter};

#[cfg(all(test, not(loom)))]
#[expect(unsafe_code, reason = "segments as small as a test likes")]
mod tests;
