//! The index of a run as bytes, whole: that of files whose indexes have no pages.

use alloc::{boxed::Box, vec::Vec};
use core::fmt;

use super::{Index, Span};
use crate::{block::BLOCK_MAX, bytes::Reader, compression::Format};

pub(super) const MAGIC: [u8; 4] = *b"MSLR";

fn version(format: Format) -> u16 {
    match format {
        Format::Untagged => 1,
        Format::Tagged => 2,
        Format::WithZstd => 3,
    }
}

/// Appends an index to `out`.
pub fn encode(index: &Index, out: &mut Vec<u8>) {
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&version(index.format).to_le_bytes());
    out.extend_from_slice(&(index.sections.len() as u16).to_le_bytes());
    out.extend_from_slice(&(index.ends.len() as u32).to_le_bytes());
    out.extend_from_slice(&(index.spans.len() as u32).to_le_bytes());
    out.extend_from_slice(&(index.cleared.len() as u32).to_le_bytes());
    out.extend_from_slice(&index.entries.to_le_bytes());
    put_sections(index, out);
    for (end, last) in index.ends.iter().zip(&index.last) {
        out.extend_from_slice(&end.to_le_bytes());
        out.extend_from_slice(&last.to_le_bytes());
    }
    for Span { block, name } in &index.spans {
        out.extend_from_slice(&block.to_le_bytes());
        out.extend_from_slice(&(name.len() as u16).to_le_bytes());
        out.extend_from_slice(name);
    }
    put_cleared(index, out);
}

pub(super) fn put_sections(index: &Index, out: &mut Vec<u8>) {
    for (state, blocks) in &index.sections {
        out.extend_from_slice(&state.to_le_bytes());
        out.extend_from_slice(&(blocks.end - blocks.start).to_le_bytes());
    }
}

pub(super) fn put_cleared(index: &Index, out: &mut Vec<u8>) {
    for (state, namespace) in &index.cleared {
        out.extend_from_slice(&state.to_le_bytes());
        out.extend_from_slice(&(namespace.len() as u16).to_le_bytes());
        out.extend_from_slice(namespace);
    }
}

/// Bytes that are no index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexError {
    /// Where, in bytes from the beginning of the index.
    pub at: usize,
    /// What is wrong.
    pub what: &'static str,
}

impl fmt::Display for IndexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an index is damaged at its byte {}: {}", self.at, self.what)
    }
}

impl core::error::Error for IndexError {}

/// Reads an index whose blocks have `blocks` bytes in all. Everything is checked here.
///
/// # Errors
/// [`IndexError`] says where the bytes are no index.
pub fn decode(bytes: &[u8], blocks: u64) -> Result<Index, IndexError> {
    let mut reader = Reader::new(bytes);
    let magic: [u8; 4] = reader.array()?;
    reader.check(magic == MAGIC, "no index begins like this")?;
    let version = reader.u16()?;
    let what = "it has a format that this program does not read";
    let formats = [Format::Untagged, Format::Tagged, Format::WithZstd];
    let format = formats.into_iter().find(|format| self::version(*format) == version);
    let format = format.ok_or(IndexError { at: reader.at, what })?;
    let states = reader.u16()?;
    let (count, spans, cleared) = (reader.u32()?, reader.u32()?, reader.u32()?);
    let mut index = Index { format, entries: reader.u64()?, ..Index::default() };
    // Nothing is allocated for what the bytes cannot have.
    reader.check(reader.left() / 16 >= count as usize, "it has more blocks than bytes")?;
    read_sections(&mut reader, states, count, &mut index)?;
    places(&mut reader, count, blocks, &mut index)?;
    for _ in 0..spans {
        let (block, length) = (reader.u32()?, reader.u16()?);
        let name = Box::from(reader.take(usize::from(length))?);
        let is_next = index.spans.last().is_none_or(|before| before.block < block);
        let at = index.sections.partition_point(|(_, blocks)| blocks.end <= block);
        let goes_on = index.sections.get(at).is_some_and(|(_, blocks)| block + 1 < blocks.end);
        reader.check(is_next && goes_on, "a span is where none can be")?;
        index.span_bytes += super::span_bytes(usize::from(length));
        index.spans.push(Span { block, name });
    }
    read_cleared(&mut reader, cleared, &mut index)?;
    reader.check(reader.left() == 0, "there are bytes behind the index")?;
    Ok(index)
}

pub(super) fn read_cleared(
    reader: &mut Reader<'_>,
    cleared: u32,
    index: &mut Index,
) -> Result<(), IndexError> {
    for _ in 0..cleared {
        let (state, length) = (reader.u16()?, reader.u16()?);
        let namespace: Box<[u8]> = reader.take(usize::from(length))?.into();
        let before = index.cleared.last();
        let is_next = before.is_none_or(|(s, n)| (*s, &**n) < (state, &*namespace));
        reader.check(is_next, "its namespaces are not in order")?;
        index.cleared.push((state, namespace));
    }
    Ok(())
}

pub(super) fn read_sections(
    reader: &mut Reader<'_>,
    states: u16,
    count: u32,
    index: &mut Index,
) -> Result<(), IndexError> {
    let mut first = 0u32;
    for _ in 0..states {
        let (state, blocks) = (reader.u16()?, reader.u32()?);
        let is_next = index.sections.last().is_none_or(|before| before.0 < state);
        let end = first.checked_add(blocks).filter(|end| *end <= count && is_next && blocks > 0);
        let what = "its states are not in order";
        let end = end.ok_or(IndexError { at: reader.at, what })?;
        index.sections.push((state, first..end));
        first = end;
    }
    reader.check(first == count, "a block belongs to no state")
}

fn places(
    reader: &mut Reader<'_>,
    count: u32,
    blocks: u64,
    index: &mut Index,
) -> Result<(), IndexError> {
    index.ends.reserve_exact(count as usize);
    index.last.reserve_exact(count as usize);
    let mut begin = 0;
    for _ in 0..count {
        let (end, last) = (reader.u64()?, reader.u64()?);
        let is_block = begin < end && end <= blocks && end - begin <= BLOCK_MAX as u64;
        reader.check(is_block, "a block is where none can be")?;
        index.ends.push(end);
        index.last.push(last);
        begin = end;
    }
    reader.check(begin == blocks, "there are bytes behind the last block")?;
    for (_, blocks) in &index.sections {
        let last = index.last.get(blocks.start as usize..blocks.end as usize).unwrap_or(&[]);
        reader.check(last.is_sorted(), "its blocks are not in order")?;
    }
    Ok(())
}
