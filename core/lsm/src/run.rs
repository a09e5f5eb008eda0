//! A sorted file: what is known of it without reading blocks.
//!
//! ```text
//! blocks | pages of the index | pages of the filter | head
//! ```
//!
//! The [head](encode_head) is always in memory, and says where blocks and [pages](Page) are. Index and
//! filter are in memory, too, if the budget has room for them; else their pages are read when they are needed,
//! like blocks. The head has a checksum in the [manifest](crate::manifest). Before there were pages, files were
//!
//! ```text
//! blocks | index | words of the filter
//! index: magic "MSLR" | format u16 | states u16 | blocks u32 | spans u32 | cleared u32 | entries u64
//!        states: number u16 | blocks u32       blocks: end u64 | rank of the last entry u64
//!        spans: block u32 | length u16 | name  cleared: state u16 | length u16 | namespace
//! ```
//!
//! Sections of states are in the order of their numbers. A **span** is a block whose last entry has the
//! rank with which the next block begins, with the name of that entry: so a search for one name ends in
//! one block, even within a map that fills many. **Cleared** namespaces have nothing in older files. The
//! format says how blocks are [stored](crate::compression::Format).
//! Numbers are little-endian. Index and filter of files without pages have a checksum in the manifest.

mod codec;
mod head;
mod pages;
#[cfg(test)]
mod tests;

use alloc::{boxed::Box, vec::Vec};
use core::ops::Range;

use millstream_storage::FileId;

pub use codec::{IndexError, decode, encode};
pub use head::{decode_head, encode_head};
pub use pages::{IndexPage, Page, filter_page, filter_pages, line_at, put_page};

use crate::{compression::Format, filter::Filter};

/// Where in storage a run is, as the manifest has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunFile {
    /// The file.
    pub file: FileId,
    /// Its bytes.
    pub length: u64,
    /// The [checksum](crate::sum) of all of them.
    pub checksum: u64,
    /// Where the index begins: bytes of all blocks.
    pub index_at: u64,
    /// Bytes of the index, or of its pages.
    pub index_bytes: u32,
    /// Bytes of the head, at the end of the file; none if the index has no pages.
    pub head_bytes: u32,
    /// The checksum of the head, or of the index and the filter.
    pub index_sum: u64,
    /// Of a thousand of its keys, how many had something in older files when it was written, about: what it
    /// hides of them is room on the disk that a merge gives back.
    pub hiding: u16,
    /// The first [rank](crate::name) that is seen. Others are in newer files by now, or somebody else's.
    pub first_rank: u64,
    /// The rank behind the last that is seen.
    pub end_rank: u64,
}

impl RunFile {
    /// Where the head begins.
    pub fn head_at(&self) -> u64 {
        self.length.saturating_sub(self.head_bytes.into())
    }

    /// The ranks that are seen.
    pub fn ranks(&self) -> Range<u64> {
        self.first_rank..self.end_rank
    }
}

/// What the index of a run says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    /// How the blocks are stored.
    pub format: Format,
    /// Number of each state, and its first block and the one behind its last.
    pub sections: Vec<(u16, Range<u32>)>,
    /// By block: where it ends in the file.
    pub ends: Vec<u64>,
    /// By block: the rank of its last entry.
    pub last: Vec<u64>,
    /// Blocks whose last rank goes on in the next, in order.
    pub spans: Vec<Span>,
    /// States and namespaces of which older runs have nothing, in order.
    pub cleared: Vec<(u16, Box<[u8]>)>,
    /// How many keys and namespaces it has, gone ones included.
    pub entries: u64,
    /// What is known of the pages. Where it is a page's turn to be read, `ends`, `last` and `spans` are empty.
    pub pages: Vec<Page>,
    /// Lines of the filter, if it is in pages.
    pub lines: u32,
    /// Bytes in memory that the spans take.
    pub span_bytes: u32,
}

/// A block whose last rank goes on in the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The block.
    pub block: u32,
    /// The name of its last entry.
    pub name: Box<[u8]>,
}

impl Index {
    /// How many blocks there are.
    pub fn blocks_in_all(&self) -> u32 {
        self.sections.last().map_or(0, |section| section.1.end)
    }

    /// Whether its pages, and those of the filter, are read when they are needed.
    #[inline]
    pub fn is_paged(&self) -> bool {
        !self.pages.is_empty()
    }

    /// The blocks of a state.
    #[inline]
    pub fn section(&self, state: u16) -> Range<u32> {
        let at = self.sections.binary_search_by_key(&state, |section| section.0);
        at.ok().and_then(|at| self.sections.get(at)).map_or(0..0, |section| section.1.clone())
    }

    /// The block with the first entry that is not below a name; `None` if there is none.
    #[inline]
    pub fn locate(&self, state: u16, rank: u64, name: &[u8]) -> Option<u32> {
        let section = self.section(state);
        let last = self.last.get(section.start as usize..section.end as usize)?;
        let block = section.start + last.partition_point(|last| *last < rank) as u32;
        if block >= section.end {
            return None;
        }
        let first = self.spans.partition_point(|span| span.block < block);
        let of_rank = |span: &Span| {
            span.block < section.end && self.last.get(span.block as usize) == Some(&rank)
        };
        let spans = self.spans.get(first..).unwrap_or(&[]);
        if spans.first().is_none_or(|span| span.block != block || !of_rank(span)) {
            return Some(block);
        }
        let spans = spans.get(..spans.partition_point(of_rank)).unwrap_or(&[]);
        match spans.get(spans.partition_point(|span| &*span.name < name)) {
            Some(span) => Some(span.block),
            None => spans.last().map(|span| span.block + 1),
        }
    }

    /// Whether the last rank of a block goes on in the next.
    pub fn goes_on(&self, block: u32) -> bool {
        self.spans.binary_search_by_key(&block, |span| span.block).is_ok()
    }

    /// Where in the file a block is.
    #[inline]
    pub fn place(&self, block: u32) -> Option<Range<u64>> {
        let begin = match block.checked_sub(1) {
            Some(before) => *self.ends.get(before as usize)?,
            None => 0,
        };
        Some(begin..*self.ends.get(block as usize)?)
    }

    /// Whether older runs have nothing of a namespace.
    #[inline]
    pub fn hides(&self, state: u16, namespace: &[u8]) -> bool {
        let compared = |at: &(u16, Box<[u8]>)| (at.0, &*at.1).cmp(&(state, namespace));
        !self.cleared.is_empty() && self.cleared.binary_search_by(compared).is_ok()
    }

    /// The blocks of a section that may have entries with one of these ranks.
    pub fn blocks(&self, section: &Range<u32>, ranks: &Range<u64>) -> Range<u32> {
        if self.is_paged() {
            return self.page_blocks(section, ranks);
        }
        let last = self.last.get(section.start as usize..section.end as usize).unwrap_or(&[]);
        let first = last.partition_point(|last| *last < ranks.start) as u32;
        // The block whose last rank is not below the end may begin below it.
        let end = last.partition_point(|last| *last < ranks.end) as u32 + 1;
        section.start + first..(section.start + end).min(section.end)
    }

    /// Bytes of blocks of all states with these ranks, about.
    pub fn bytes_of(&self, ranks: &Range<u64>) -> u64 {
        let bytes = |(_, section): &(u16, Range<u32>)| {
            if self.is_paged() {
                return self.page_bytes(section, ranks);
            }
            let blocks = self.blocks(section, ranks);
            let begin = self.place(blocks.start).map_or(0, |place| place.start);
            let end = blocks.end.checked_sub(1).and_then(|last| self.place(last));
            end.map_or(0, |end| end.end.saturating_sub(begin))
        };
        self.sections.iter().map(bytes).sum()
    }

    /// The last ranks of about so many blocks, or of all pages: how the keys are spread.
    pub fn samples(&self, section: &Range<u32>, ranks: &Range<u64>, count: u32) -> Vec<(u64, u64)> {
        if self.is_paged() {
            let mut begin = section.start;
            let pages = self.pages.iter().filter(|page| section.contains(&(page.end_block - 1)));
            let weighed = pages.map(|page| {
                let blocks = page.end_block - begin;
                begin = page.end_block;
                (page.last, u64::from(blocks))
            });
            return weighed.filter(|(last, _)| ranks.contains(last)).collect();
        }
        let step = (self.ends.len() as u32 / count).max(1);
        let blocks = self.blocks(section, ranks).step_by(step as usize);
        let last = |block: u32| self.last.get(block as usize).copied().unwrap_or(0);
        blocks.map(|block| (last(block), u64::from(step))).collect()
    }

    /// Bytes in memory, about, when all of it is there, with what a cache keeps for each block.
    pub fn bytes(&self) -> u64 {
        let cleared = self.cleared.iter().map(|cleared| 32 + cleared.1.len()).sum::<usize>();
        let blocks = u64::from(self.blocks_in_all()) * 20;
        (self.sections.len() * 16 + cleared) as u64 + blocks + u64::from(self.span_bytes)
    }

    /// Bytes in memory, about, of what is always there when pages are read as they are needed.
    pub fn head_bytes(&self) -> u64 {
        let cleared = self.cleared.iter().map(|cleared| 32 + cleared.1.len()).sum::<usize>();
        let pages = self.pages.iter().map(|page| 48 + page.name.len()).sum::<usize>();
        (self.sections.len() * 16 + cleared + pages) as u64
    }

    /// Leaves what is always in memory, if there are pages to read.
    pub fn forget_pages(&mut self) {
        (self.ends, self.last, self.spans) = (Vec::new(), Vec::new(), Vec::new());
    }
}

/// Bytes in memory that a span takes whose name has so many.
pub fn span_bytes(name: usize) -> u32 {
    32 + name as u32
}

/// A sorted file, never changed. It is read by whoever has a reference to it, and deleted when nobody
/// has.
#[derive(Debug)]
pub(crate) struct Run {
    /// Its number in the backend: no two runs that are there at a time have the same.
    pub(crate) number: u32,
    pub(crate) place: RunFile,
    pub(crate) index: Index,
    pub(crate) filter: Filter,
    /// Bytes of the budget that index and filter take.
    pub(crate) reserved: u64,
    /// Whether somebody else has written it, who may still need it.
    pub(crate) is_restored: bool,
}
