//! The head of a run: what is always in memory of its index, at the end of the file.
//!
//! ```text
//! magic "MSLR" | format u16 | states u16 | blocks u32 | pages u32 | lines u32 | cleared u32 | entries u64
//! bytes of spans u32
//! states: number u16 | blocks u32
//! pages: behind its blocks u32 | end of those u64 | end of the page u32 | last rank u64 | length u16 | name
//! cleared: state u16 | length u16 | namespace
//! ```

use alloc::{boxed::Box, vec::Vec};

use super::{
    Index, IndexError, Page, RunFile,
    codec::{MAGIC, put_cleared, put_sections, read_cleared, read_sections},
    filter_page, filter_pages,
};
use crate::{block::BLOCK_MAX, bytes::Reader, compression::Format};

fn version(format: Format) -> Option<u16> {
    match format {
        Format::Untagged => None,
        Format::Tagged => Some(4),
        Format::WithZstd => Some(5),
    }
}

/// Appends the head of an index whose pages are known to `out`.
pub fn encode_head(index: &Index, out: &mut Vec<u8>) {
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&version(index.format).unwrap_or(0).to_le_bytes());
    out.extend_from_slice(&(index.sections.len() as u16).to_le_bytes());
    for count in [index.blocks_in_all(), index.pages.len() as u32, index.lines] {
        out.extend_from_slice(&count.to_le_bytes());
    }
    out.extend_from_slice(&(index.cleared.len() as u32).to_le_bytes());
    out.extend_from_slice(&index.entries.to_le_bytes());
    out.extend_from_slice(&index.span_bytes.to_le_bytes());
    put_sections(index, out);
    for page in &index.pages {
        out.extend_from_slice(&page.end_block.to_le_bytes());
        out.extend_from_slice(&page.end.to_le_bytes());
        out.extend_from_slice(&page.page_end.to_le_bytes());
        out.extend_from_slice(&page.last.to_le_bytes());
        out.extend_from_slice(&(page.name.len() as u16).to_le_bytes());
        out.extend_from_slice(&page.name);
    }
    put_cleared(index, out);
}

/// Reads the head of a file. Everything is checked here.
///
/// # Errors
/// [`IndexError`] says where the bytes are none.
pub fn decode_head(bytes: &[u8], file: &RunFile) -> Result<Index, IndexError> {
    let mut reader = Reader::new(bytes);
    let magic: [u8; 4] = reader.array()?;
    reader.check(magic == MAGIC, "no index begins like this")?;
    let version = reader.u16()?;
    let what = "it has a format that this program does not read";
    let formats = [Format::Tagged, Format::WithZstd];
    let format = formats.into_iter().find(|format| self::version(*format) == Some(version));
    let format = format.ok_or(IndexError { at: reader.at, what })?;
    let states = reader.u16()?;
    let (count, pages, lines) = (reader.u32()?, reader.u32()?, reader.u32()?);
    let cleared = reader.u32()?;
    let (entries, span_bytes) = (reader.u64()?, reader.u32()?);
    let mut index = Index { format, entries, lines, span_bytes, ..Index::default() };
    read_sections(&mut reader, states, count, &mut index)?;
    read_pages(&mut reader, (pages, count), file, &mut index)?;
    read_cleared(&mut reader, cleared, &mut index)?;
    reader.check(reader.left() == 0, "there are bytes behind the head")?;
    let filter = filter_pages(lines).checked_sub(1).map_or(0, |last| filter_page(lines, last).end);
    let whole = [file.index_at, file.index_bytes.into(), filter, file.head_bytes.into()];
    let whole = whole.into_iter().try_fold(0u64, u64::checked_add);
    reader.check(whole == Some(file.length), "its filter has another length")?;
    Ok(index)
}

fn read_pages(
    reader: &mut Reader<'_>,
    (pages, count): (u32, u32),
    file: &RunFile,
    index: &mut Index,
) -> Result<(), IndexError> {
    let (mut first, mut begin, mut page_begin) = (0u32, 0u64, 0u32);
    for _ in 0..pages {
        let (end_block, end) = (reader.u32()?, reader.u64()?);
        let (page_end, last, length) = (reader.u32()?, reader.u64()?, reader.u16()?);
        let name = Box::from(reader.take(usize::from(length))?);
        let at = index.sections.partition_point(|(_, blocks)| blocks.end <= first);
        let section = index.sections.get(at).map_or(0..0, |section| section.1.clone());
        let blocks = u64::from(end_block.saturating_sub(first));
        let most = blocks.saturating_mul(BLOCK_MAX as u64);
        let is_block = first < end_block && begin < end && end - begin <= most;
        reader.check(is_block && end_block <= section.end, "a page is of blocks that are none")?;
        let is_page = page_begin < page_end && page_end - page_begin <= BLOCK_MAX as u32;
        reader.check(is_page, "a page is where none can be")?;
        let is_next = first == section.start
            || index.pages.last().is_none_or(|before: &Page| before.last <= last);
        reader.check(is_next, "its pages are not in order")?;
        index.pages.push(Page { end_block, end, page_end, last, name });
        (first, begin, page_begin) = (end_block, end, page_end);
    }
    let is_all = first == count && begin == file.index_at && page_begin == file.index_bytes;
    reader.check(is_all, "its pages are not those of all blocks")
}
