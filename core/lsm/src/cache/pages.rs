//! Indexes and filters through the cache.
//!
//! What of a run is in memory answers at once. Else a question is one for a page, which waits like any other
//! block that is not there: a point read needs a page of the filter, and if that lets it pass one of the index
//! and the block.

use core::ops::Range;

use millstream_state::{Lease, StateError};

use super::{Cache, damaged, damaged_at};
use crate::{
    block::BlockError,
    filter::{LINE, line_may_have, place},
    run::{IndexPage, Run, filter_page, line_at},
};

/// Pages and the block that a search in one run needs.
const PAGES_OF_A_SEARCH: usize = 3;

impl<L: Lease> Cache<L> {
    /// Whether a run may have a key with a fingerprint.
    ///
    /// # Errors
    /// [`StateError::Waits`] if the page of its filter is not there; [`StateError::DamagedFile`].
    #[inline]
    pub(crate) fn may_have(&self, run: &Run, print: u64) -> Result<bool, StateError> {
        match run.index.is_paged() {
            true => self.page_may_have(run, print),
            false => Ok(run.filter.may_have(print)),
        }
    }

    fn page_may_have(&self, run: &Run, print: u64) -> Result<bool, StateError> {
        let index = &run.index;
        if index.lines == 0 {
            return Ok(true);
        }
        let (line, bits) = place(print, index.lines.into());
        let (page, at) = line_at(line);
        let number = index.blocks_in_all() + index.pages.len() as u32 + page;
        let frame = self.used(run, number)?;
        let line = self.frame(frame).get(at..at + LINE).and_then(<[u8]>::first_chunk);
        let what = "a page of the filter is longer";
        let line = line.ok_or_else(|| damaged(run, number, BlockError { at, what }))?;
        Ok(line_may_have(line, bits))
    }

    /// The block of a run with the first entry of a state that is not below a name; `None` if there is none.
    ///
    /// # Errors
    /// As [`may_have`](Self::may_have).
    #[inline]
    pub(crate) fn locate(
        &self,
        run: &Run,
        state: u16,
        rank: u64,
        name: &[u8],
    ) -> Result<Option<u32>, StateError> {
        if !run.index.is_paged() {
            return Ok(run.index.locate(state, rank, name));
        }
        let Some(page) = run.index.page_for(state, rank, name) else { return Ok(None) };
        let block = self.index_page(run, page)?.locate(rank, name);
        Ok(Some(block).filter(|block| *block < run.index.section(state).end))
    }

    /// Whether the last rank of a block goes on in the next.
    ///
    /// # Errors
    /// As [`may_have`](Self::may_have).
    pub(crate) fn goes_on(&self, run: &Run, block: u32) -> Result<bool, StateError> {
        match run.index.is_paged() {
            true => Ok(self.index_page(run, run.index.page_of(block))?.goes_on(block)),
            false => Ok(run.index.goes_on(block)),
        }
    }

    /// A page of the index of a run.
    ///
    /// # Errors
    /// As [`may_have`](Self::may_have).
    pub(crate) fn index_page(&self, run: &Run, page: u32) -> Result<IndexPage<'_>, StateError> {
        let number = run.index.blocks_in_all() + page;
        let frame = self.used(run, number)?;
        IndexPage::open(self.frame(frame)).map_err(|error| damaged(run, number, error))
    }

    /// Where in its file a block or a page is.
    ///
    /// # Errors
    /// As [`may_have`](Self::may_have).
    pub(super) fn place(&self, run: &Run, block: u32) -> Result<Range<u64>, StateError> {
        let (index, file) = (&run.index, &run.place);
        let what = "a page of an index does not tell of a block that it has";
        let wrong = |place: Range<u64>| damaged_at(run, &place, BlockError { at: 0, what });
        let shifted = |place: Range<u64>, by: u64| place.start + by..place.end + by;
        if !index.is_paged() {
            return index.place(block).ok_or_else(|| wrong(0..0));
        }
        let Some(page) = block.checked_sub(index.blocks_in_all()) else {
            let found = self.index_page(run, index.page_of(block))?.place(block);
            let around = index.around(block);
            let found = found.filter(|at| around.start <= at.start && at.end <= around.end);
            return found.ok_or_else(|| wrong(around));
        };
        if let Some(place) = index.page_place(page) {
            return Ok(shifted(place, file.index_at));
        }
        let of_filter = filter_page(index.lines, page - index.pages.len() as u32);
        Ok(shifted(of_filter, file.index_at + u64::from(file.index_bytes)))
    }

    /// Blocks that there may be, if runs are searched that need several of them.
    pub(crate) fn reads_max(&self) -> usize {
        let is_paged = self.tables.iter().flatten().any(|table| table.run.index.is_paged());
        self.blocks_max() / if is_paged { PAGES_OF_A_SEARCH } else { 1 }
    }
}
