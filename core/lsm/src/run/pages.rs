//! Pages of an index and of a filter: what is read on demand.
//!
//! ```text
//! index page: first block u32 | begin u64 | blocks u16 | of each: end u32, last rank u64, name end u16 | names
//! filter page: up to 63 lines of the filter, 64 bytes each
//! ```
//!
//! Both are stored as [blocks](crate::compression) are, with a checksum each. `begin` is where the first block
//! of the page begins in the file; ends are counted from there. A block has a name here if its last rank goes
//! on in the next block: that of its last entry. No page has blocks of two states. Numbers are little-endian.

use alloc::{boxed::Box, vec::Vec};
use core::ops::Range;

use super::{Index, Span};
use crate::{
    block::{BLOCK_MAX, BlockError},
    compression::TAIL,
    filter::{LINE, LINES_OF_A_PAGE},
};

const HEADER: usize = 4 + 8 + 2;
const ENTRY: usize = 4 + 8 + 2;
/// Bytes of the longest page before it is stored.
const PAGE_MAX: usize = BLOCK_MAX - TAIL;
/// Lines of a filter in one page: as many as a block has room for.
const LINES: u64 = LINES_OF_A_PAGE as u64;
const _: () = assert!(LINES_OF_A_PAGE == PAGE_MAX / LINE);
/// Bytes of a page of a filter as it is stored, if it is not the last.
const FILTER_PAGE: u64 = LINES * LINE as u64 + TAIL as u64;

/// What is always in memory of a page of the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The block behind its last.
    pub end_block: u32,
    /// Where its last block ends in the file.
    pub end: u64,
    /// Where the page itself ends, counted from the first one's beginning.
    pub page_end: u32,
    /// The rank of the last entry of its last block.
    pub last: u64,
    /// The name of that entry if its rank goes on in the next page, else nothing.
    pub name: Box<[u8]>,
}

/// How many pages a filter of so many lines has.
pub fn filter_pages(lines: u32) -> u32 {
    u64::from(lines).div_ceil(LINES) as u32
}

/// Where a page of a filter of so many lines is, counted from the beginning of the filter.
pub fn filter_page(lines: u32, page: u32) -> Range<u64> {
    let end = u64::from(lines) * LINE as u64 + u64::from(filter_pages(lines)) * TAIL as u64;
    let begin = (u64::from(page) * FILTER_PAGE).min(end);
    begin..(begin + FILTER_PAGE).min(end)
}

/// The page of a filter that has a line, and where in it the line begins.
#[inline]
pub fn line_at(line: u64) -> (u32, usize) {
    ((line / LINES) as u32, (line % LINES) as usize * LINE)
}

/// Puts the page of an index that begins with a block into `out`; what is to be known of it.
pub fn put_page(index: &Index, first: u32, out: &mut Vec<u8>) -> Page {
    let section = index.sections.iter().find(|(_, blocks)| blocks.contains(&first));
    let section_end = section.map_or(first, |(_, blocks)| blocks.end);
    let begin = index.place(first).map_or(0, |place| place.start);
    let mut span = index.spans.partition_point(|span| span.block < first);
    let (mut names, mut last) = (Vec::new(), 0);
    let mut page =
        Page { end_block: first, end: begin, page_end: 0, last: 0, name: Box::default() };
    out.clear();
    out.resize(HEADER, 0);
    while page.end_block < section_end {
        let block = page.end_block;
        let found = index.spans.get(span).filter(|span| span.block == block);
        let name = found.map_or(&[][..], |span| &span.name);
        if out.len() + ENTRY + names.len() + name.len() > PAGE_MAX {
            break;
        }
        let Some(place) = index.place(block) else { break };
        last = index.last.get(block as usize).copied().unwrap_or(last);
        names.extend_from_slice(name);
        out.extend_from_slice(&((place.end - begin) as u32).to_le_bytes());
        out.extend_from_slice(&last.to_le_bytes());
        out.extend_from_slice(&(names.len() as u16).to_le_bytes());
        span += usize::from(found.is_some());
        page = Page { end_block: block + 1, end: place.end, last, name: name.into(), ..page };
    }
    out.extend_from_slice(&names);
    let count = (page.end_block - first) as u16;
    out[..4].copy_from_slice(&first.to_le_bytes());
    out[4..12].copy_from_slice(&begin.to_le_bytes());
    out[12..HEADER].copy_from_slice(&count.to_le_bytes());
    page
}

/// A page of an index. Its checksum was right, or is of no interest; all else is checked where it is used.
#[derive(Clone, Copy, Debug)]
pub struct IndexPage<'a> {
    bytes: &'a [u8],
    first: u32,
    begin: u64,
    entries: &'a [[u8; ENTRY]],
    names: &'a [u8],
}

impl<'a> IndexPage<'a> {
    /// The parts of a page.
    ///
    /// # Errors
    /// [`BlockError`] if it is shorter than it says.
    pub fn open(bytes: &'a [u8]) -> Result<Self, BlockError> {
        let parts = || {
            let (first, rest) = bytes.split_first_chunk()?;
            let (begin, rest) = rest.split_first_chunk()?;
            let (count, rest) = rest.split_first_chunk()?;
            let count = usize::from(u16::from_le_bytes(*count));
            let (entries, names) = rest.split_at_checked(count * ENTRY)?;
            let (first, begin) = (u32::from_le_bytes(*first), u64::from_le_bytes(*begin));
            Some(Self { bytes, first, begin, entries: entries.as_chunks().0, names })
        };
        parts().ok_or(BlockError { at: 0, what: "a page of an index is longer" })
    }

    /// All of it.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The blocks that it tells of.
    pub fn blocks(&self) -> Range<u32> {
        self.first..self.first.saturating_add(self.entries.len() as u32)
    }

    fn entry(&self, at: usize) -> Option<(u32, u64, u16)> {
        let (end, rest) = self.entries.get(at)?.split_first_chunk()?;
        let (last, rest) = rest.split_first_chunk()?;
        let name_end = u16::from_le_bytes(*rest.first_chunk()?);
        Some((u32::from_le_bytes(*end), u64::from_le_bytes(*last), name_end))
    }

    /// The rank of the last entry of a block, by its number in the page.
    fn last(&self, at: usize) -> u64 {
        self.entry(at).map_or(0, |entry| entry.1)
    }

    fn name(&self, at: usize) -> &'a [u8] {
        let end = |at| self.entry(at).map_or(0, |entry| usize::from(entry.2));
        let begin = at.checked_sub(1).map_or(0, end);
        self.names.get(begin..end(at)).unwrap_or(&[])
    }

    /// Where in the file a block is: never longer than a block can be.
    pub fn place(&self, block: u32) -> Option<Range<u64>> {
        let at = block.checked_sub(self.first)? as usize;
        let end = |at| self.entry(at).map(|entry| self.begin.saturating_add(entry.0.into()));
        let begin = at.checked_sub(1).map_or(Some(self.begin), end)?;
        let place = begin..end(at)?;
        let is_block = place.start < place.end && place.end - place.start <= BLOCK_MAX as u64;
        is_block.then_some(place)
    }

    /// Whether the last rank of a block goes on in the next.
    pub fn goes_on(&self, block: u32) -> bool {
        let at = block.checked_sub(self.first);
        at.is_some_and(|at| !self.name(at as usize).is_empty())
    }

    /// The first block whose last entry is not below a name; that behind all of them if there is none.
    pub fn locate(&self, rank: u64, name: &[u8]) -> u32 {
        self.search(|at| is_below(self.last(at), self.name(at), rank, name))
    }

    /// The first block whose last rank is not below one.
    pub fn from_rank(&self, rank: u64) -> u32 {
        self.search(|at| self.last(at) < rank)
    }

    /// The first block that is not below what is looked for.
    fn search(&self, is_below: impl Fn(usize) -> bool) -> u32 {
        let (mut low, mut high) = (0, self.entries.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match is_below(middle) {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        self.first.saturating_add(low as u32)
    }

    /// Appends what it tells of its blocks to an index that has all blocks in front of them; `None` if they
    /// cannot follow those.
    pub fn append_to(&self, index: &mut Index) -> Option<()> {
        let (first, begin) = (index.ends.len(), index.ends.last().copied().unwrap_or(0));
        if first != self.first as usize || begin != self.begin {
            return None;
        }
        for block in self.blocks() {
            let at = (block - self.first) as usize;
            let name = self.name(at);
            index.ends.push(self.place(block)?.end);
            index.last.push(self.last(at));
            if !name.is_empty() {
                index.spans.push(Span { block, name: name.into() });
            }
        }
        Some(())
    }
}

/// Whether what ends with a rank, and with a name if the rank goes on, is all below a name.
#[inline]
fn is_below(last: u64, last_name: &[u8], rank: u64, name: &[u8]) -> bool {
    last < rank || last == rank && !last_name.is_empty() && last_name < name
}

impl Index {
    /// The pages with blocks of a section.
    fn pages_of(&self, section: &Range<u32>) -> Range<usize> {
        let first = self.pages.partition_point(|page| page.end_block <= section.start);
        first..self.pages.partition_point(|page| page.end_block <= section.end)
    }

    /// The page with the block with the first entry of a state that is not below a name.
    pub fn page_for(&self, state: u16, rank: u64, name: &[u8]) -> Option<u32> {
        let pages = self.pages_of(&self.section(state));
        let of_state = self.pages.get(pages.clone())?;
        let below = of_state.partition_point(|page| is_below(page.last, &page.name, rank, name));
        (below < of_state.len()).then_some((pages.start + below) as u32)
    }

    /// The page that tells where a block is.
    pub fn page_of(&self, block: u32) -> u32 {
        self.pages.partition_point(|page| page.end_block <= block) as u32
    }

    /// Where a page is, counted from the first one's beginning.
    pub fn page_place(&self, page: u32) -> Option<Range<u64>> {
        let before = page.checked_sub(1).and_then(|before| self.pages.get(before as usize));
        let begin = before.map_or(0, |before| before.page_end);
        Some(begin.into()..self.pages.get(page as usize)?.page_end.into())
    }

    /// Where the blocks are in the file that a page tells of.
    pub fn around(&self, block: u32) -> Range<u64> {
        let page = self.page_of(block) as usize;
        let before = page.checked_sub(1).and_then(|before| self.pages.get(before));
        before.map_or(0, |before| before.end)..self.pages.get(page).map_or(0, |page| page.end)
    }

    /// The blocks of pages that may have entries of a section with one of these ranks, each page with its
    /// last rank.
    pub(super) fn page_blocks(&self, section: &Range<u32>, ranks: &Range<u64>) -> Range<u32> {
        let pages = self.pages_of(section);
        let of_state = self.pages.get(pages.clone()).unwrap_or(&[]);
        let first = of_state.partition_point(|page| page.last < ranks.start);
        let end = (of_state.partition_point(|page| page.last < ranks.end) + 1).min(of_state.len());
        let begins = |at: usize| match (pages.start + at).checked_sub(1) {
            Some(before) if at > 0 => self.pages.get(before).map_or(0, |page| page.end_block),
            _ => section.start,
        };
        begins(first)..begins(end).max(begins(first))
    }

    /// Bytes of blocks with these ranks, about, by what is known without reading pages: keys are spread evenly
    /// over the ranks of a page.
    pub(super) fn page_bytes(&self, section: &Range<u32>, ranks: &Range<u64>) -> u64 {
        let pages = self.pages_of(section);
        let mut before = pages.start.checked_sub(1).and_then(|before| self.pages.get(before));
        let (mut sum, mut first_rank) = (0, None);
        for page in self.pages.get(pages).unwrap_or(&[]) {
            let bytes = page.end - before.map_or(0, |before| before.end);
            // Where the first page begins nobody knows; it has about as many ranks as blocks in the rest.
            let from = first_rank.unwrap_or(page.last.min(ranks.start));
            let seen = page.last.min(ranks.end).saturating_sub(from.max(ranks.start));
            let all = page.last.saturating_sub(from);
            let share = u128::from(bytes) * u128::from(seen);
            sum += match all {
                0 if ranks.contains(&page.last) => bytes,
                _ => share.checked_div(all.into()).unwrap_or(0) as u64,
            };
            (before, first_rank) = (Some(page), Some(page.last));
        }
        sum
    }
}
