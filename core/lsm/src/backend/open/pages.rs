//! The pages of an index and a filter, read into memory one after the other.

use alloc::vec::Vec;
use core::ops::Range;

use millstream_state::StateError;

use crate::{
    compression::{Format, Stored},
    filter::Filter,
    run::{Index, IndexPage, RunFile, filter_page, filter_pages},
};

/// What was read so far of the index and the filter of a file.
#[derive(Debug)]
pub(super) struct Pages {
    file: RunFile,
    index: Index,
    words: Vec<u64>,
    /// Bytes of the budget for all of it.
    pub(super) reserved: u64,
    /// The page that is next; those of the filter are behind those of the index.
    next: u32,
    /// The pages that were asked for.
    asked: Range<u32>,
}

impl Pages {
    /// Of a file whose head was read, paid with some bytes.
    pub(super) fn new(file: RunFile, index: Index, reserved: u64) -> Self {
        Self { file, index, words: Vec::new(), reserved, next: 0, asked: 0..0 }
    }

    fn count(&self) -> u32 {
        self.index.pages.len() as u32 + filter_pages(self.index.lines)
    }

    /// Where in the file a page is.
    fn place(&self, page: u32) -> Range<u64> {
        let of_index = self.index.page_place(page).map(|place| (place, self.file.index_at));
        let (place, from) = of_index.unwrap_or_else(|| {
            let page = page.saturating_sub(self.index.pages.len() as u32);
            let from = self.file.index_at + u64::from(self.file.index_bytes);
            (filter_page(self.index.lines, page), from)
        });
        place.start + from..place.end + from
    }

    /// What is to be read next, in at most so many bytes; `None` if all was.
    pub(super) fn ask(&mut self, room: usize) -> Option<Range<u64>> {
        let first = self.place(self.next);
        let (mut end, mut last) = (first.start, self.next);
        while last < self.count() {
            let place = self.place(last);
            if place.end - first.start > room as u64 {
                break;
            }
            (end, last) = (place.end, last + 1);
        }
        self.asked = self.next..last;
        (last > self.next).then_some(first.start..end)
    }

    /// What was asked for has come.
    ///
    /// # Errors
    /// [`StateError::DamagedFile`].
    pub(super) fn arrived(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        let base = self.place(self.asked.start).start;
        for page in self.asked.clone() {
            let place = self.place(page);
            let damaged = |at: usize, what| {
                let offset = (place.start + at as u64).min(place.end);
                StateError::DamagedFile { file: self.file.file.0, offset, what }
            };
            let at = (place.start - base) as usize..(place.end - base) as usize;
            let stored = Stored::check(Format::Tagged, bytes.get(at).unwrap_or(&[]));
            let page_bytes = match stored.map_err(|error| damaged(error.at, error.what))? {
                Stored::Plain(bytes) => bytes,
                Stored::Compressed { .. } => return Err(damaged(0, "a page is compressed")),
            };
            if (page as usize) < self.index.pages.len() {
                let what = "a page of the index does not follow the one before";
                let opened = IndexPage::open(page_bytes).ok();
                let end = self.index.pages.get(page as usize).map(|page| page.end_block);
                let opened = opened.filter(|opened| Some(opened.blocks().end) == end);
                let appended = opened.and_then(|opened| opened.append_to(&mut self.index));
                appended.ok_or_else(|| damaged(0, what))?;
            } else {
                let words = page_bytes.as_chunks::<8>().0;
                self.words.extend(words.iter().map(|word| u64::from_le_bytes(*word)));
            }
        }
        self.next = self.asked.end;
        Ok(())
    }

    /// Index and filter.
    pub(super) fn into_parts(self) -> (Index, Filter) {
        let Self { mut index, words, .. } = self;
        index.pages = Vec::new();
        (index, Filter::from_words(words))
    }
}
