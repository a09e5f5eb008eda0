//! Reading a state of a run from front to back, past the cache.

use alloc::{sync::Arc, vec::Vec};
use core::ops::Range;

use millstream_memory::Segment;
use millstream_state::{Lease, StateError};

use crate::{
    block::{BLOCK_MAX, Block, BlockCursor, BlockError},
    budget::Staging,
    cache::{Cache, damaged},
    compression::{Compression, Stored},
    merge::Source,
    name::Order,
    run::{IndexPage, Run},
    stack::Part,
    transfers::{Ticket, Transfers},
    writer::Entry,
};

/// Blocks that lie in memory one behind the other.
#[derive(Debug)]
struct Window {
    blocks: Range<u32>,
    segment: Segment,
}

/// Where a block lies.
#[derive(Clone, Debug)]
enum At {
    Window(Range<usize>),
    Unpacked,
}

/// Reads a state of a run from front to back.
#[derive(Debug)]
pub(crate) struct Stream {
    number: u32,
    run: Arc<Run>,
    ranks: Range<u64>,
    order: Order,
    state: u16,
    /// The blocks that may have what is looked for.
    section: Range<u32>,
    /// The block that is being read.
    block: u32,
    window: Option<Window>,
    /// Where the block lies, when that is known.
    at: Option<At>,
    /// The block, if it was compressed.
    unpacked: Vec<u8>,
    zstd: Option<Arc<dyn Compression>>,
    /// The blocks that were asked for.
    asked: Option<Range<u32>>,
    /// Of a run whose index is not in memory: the page of the block that is being read.
    page: Vec<u8>,
    /// Whether blocks in front of the first that is seen may be passed over.
    is_beginning: bool,
    cursor: BlockCursor,
    /// Whether the cursor stands at an entry that was not taken, and its rank.
    has_entry: bool,
    rank: u64,
}

impl Stream {
    pub(crate) fn new(
        number: u32,
        part: Part,
        order: Order,
        zstd: Option<Arc<dyn Compression>>,
    ) -> Self {
        Self {
            number,
            run: part.run,
            ranks: part.ranks,
            order,
            state: 0,
            section: 0..0,
            block: 0,
            window: None,
            at: None,
            unpacked: Vec::new(),
            zstd,
            asked: None,
            page: Vec::new(),
            is_beginning: false,
            cursor: BlockCursor::default(),
            has_entry: false,
            rank: 0,
        }
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// Goes to the first entry of a state that is seen.
    pub(crate) fn begin(&mut self, state: u16) {
        self.state = state;
        let index = &self.run.index;
        self.section = index.blocks(&index.section(state), &self.ranks);
        self.block = self.section.start;
        self.at = None;
        self.has_entry = false;
        self.is_beginning = true;
        self.cursor.rewind();
    }

    /// Where a block is, if that is known: that of the page at hand, if the index is not in memory.
    fn place(&self, block: u32) -> Option<Range<u64>> {
        match self.run.index.is_paged() {
            true => IndexPage::open(&self.page).ok()?.place(block),
            false => self.run.index.place(block),
        }
    }

    /// Takes the page of the next block, if it is in the cache and needed.
    fn turn_page<L: Lease>(&mut self, cache: &Cache<L>) -> Result<(), StateError> {
        if !self.run.index.is_paged() || self.place(self.block).is_some() {
            return Ok(());
        }
        let page = cache.index_page(&self.run, self.run.index.page_of(self.block))?;
        if self.is_beginning {
            let first = page.from_rank(self.ranks.start);
            self.block = self.block.max(first).min(self.section.end);
        }
        if self.block < self.section.end && page.place(self.block).is_none() {
            let what = "a page of an index does not tell of a block that it has";
            return Err(damaged(&self.run, self.block, BlockError { at: 0, what }));
        }
        self.is_beginning = false;
        self.page.clear();
        // The bytes are those that `Shares` has set aside for each stream.
        self.page.reserve_exact(BLOCK_MAX);
        self.page.extend_from_slice(page.bytes());
        Ok(())
    }

    /// Asks for the next blocks if they are needed; whether nothing hinders that.
    ///
    /// # Errors
    /// [`StateError::DamagedFile`].
    pub(crate) fn ask<L: Lease>(
        &mut self,
        cache: &Cache<L>,
        staging: &mut Staging<L>,
        transfers: &mut Transfers,
    ) -> Result<bool, StateError> {
        if self.asked.is_some() || self.has_entry || self.block >= self.section.end {
            return Ok(true);
        }
        if self.window.as_ref().is_some_and(|window| window.blocks.contains(&self.block)) {
            return Ok(true);
        }
        match self.turn_page(cache) {
            Err(StateError::Waits) => return Ok(false),
            turned => turned?,
        }
        if self.block >= self.section.end {
            return Ok(true);
        }
        self.at = None;
        let segment = match self.window.take() {
            Some(window) => Some(window.segment),
            None => staging.take(),
        };
        let Some(segment) = segment else { return Ok(false) };
        let begin = self.place(self.block).map_or(0, |place| place.start);
        let (mut end, mut last) = (begin, self.block);
        while last < self.section.end
            && let Some(place) = self.place(last)
            && place.end - begin <= segment.len() as u64
        {
            (end, last) = (place.end, last + 1);
        }
        self.asked = Some(self.block..last);
        let ticket = Ticket::Stream { stream: self.number };
        let length = (end - begin) as usize;
        transfers.read(ticket, self.run.place.file, begin, length, segment);
        Ok(true)
    }

    /// What was asked for has come.
    pub(crate) fn arrived(&mut self, segment: Segment) {
        if let Some(blocks) = self.asked.take() {
            self.window = Some(Window { blocks, segment });
        }
    }

    /// Gives the segment back that it reads from.
    pub(crate) fn end<L: Lease>(&mut self, staging: &mut Staging<L>) {
        self.at = None;
        if let Some(window) = self.window.take() {
            staging.give(window.segment);
        }
    }

    /// The bytes of the block that is being read.
    #[inline]
    fn bytes(&self) -> Option<&[u8]> {
        match self.at.clone()? {
            At::Window(range) => self.window.as_ref()?.segment.get(range),
            At::Unpacked => Some(&self.unpacked),
        }
    }

    /// Where in the window the block is, as it is stored.
    fn in_window(&self) -> Option<(&Window, Range<usize>)> {
        let window = self.window.as_ref().filter(|window| window.blocks.contains(&self.block))?;
        let base = self.place(window.blocks.start)?.start;
        let place = self.place(self.block)?;
        Some((window, (place.start - base) as usize..(place.end - base) as usize))
    }

    /// Finds the block in the window, and unpacks it if it is compressed.
    fn locate(&mut self) -> Result<(), StateError> {
        let mut unpacked = core::mem::take(&mut self.unpacked);
        let at = self.unpack(&mut unpacked);
        self.unpacked = unpacked;
        self.at = Some(at?);
        Ok(())
    }

    fn unpack(&self, into: &mut Vec<u8>) -> Result<At, StateError> {
        let (window, at) = self.in_window().ok_or(StateError::Waits)?;
        let bytes = window.segment.get(at.clone()).unwrap_or(&[]);
        let stored = Stored::check(self.run.index.format, bytes);
        let stored = stored.map_err(|error| damaged(&self.run, self.block, error))?;
        if let Stored::Plain(plain) = stored {
            return Ok(At::Window(at.start..at.start + plain.len()));
        }
        // The bytes are those that `Shares` has set aside for each stream.
        into.reserve_exact(BLOCK_MAX.saturating_sub(into.len()));
        into.resize(stored.length(), 0);
        let unpacked = stored.unpack(self.zstd.as_deref(), into);
        unpacked.map_err(|error| damaged(&self.run, self.block, error)).map(|()| At::Unpacked)
    }
}

impl Source for Stream {
    fn fill(&mut self) -> Result<bool, StateError> {
        while !self.has_entry {
            if self.block >= self.section.end {
                return Ok(false);
            }
            if self.at.is_none() {
                self.locate()?;
            }
            // The cursor goes through bytes of the window, and is not part of it.
            let mut cursor = core::mem::take(&mut self.cursor);
            let advanced = self.advance_in_block(&mut cursor);
            self.cursor = cursor;
            match advanced? {
                true => {
                    let rank = self.order.rank_of(self.cursor.name());
                    let what = "an entry has a name that is none";
                    let wrong = BlockError { at: 0, what };
                    self.rank = rank.ok_or_else(|| damaged(&self.run, self.block, wrong))?;
                    if self.rank >= self.ranks.end {
                        self.block = self.section.end;
                        return Ok(false);
                    }
                    self.has_entry = self.rank >= self.ranks.start;
                }
                false => {
                    self.block += 1;
                    self.at = None;
                    self.cursor.rewind();
                }
            }
        }
        Ok(true)
    }

    #[inline]
    fn entry(&self) -> Entry<'_> {
        // A value lies where the cursor has found it.
        let value = self.bytes().and_then(|bytes| bytes.get(self.cursor.value()));
        Entry {
            rank: self.rank,
            name: self.cursor.name(),
            piece: self.cursor.piece(),
            op: self.cursor.op(),
            value: value.unwrap_or(&[]),
        }
    }

    fn take(&mut self) {
        self.has_entry = false;
    }

    fn hides(&self, rank: u64, namespace: &[u8]) -> bool {
        self.run.index.hides(self.state, namespace) && self.ranks.contains(&rank)
    }
}

impl Stream {
    fn advance_in_block(&self, cursor: &mut BlockCursor) -> Result<bool, StateError> {
        let bytes = self.bytes().ok_or(StateError::Waits)?;
        let wrong = |error| damaged(&self.run, self.block, error);
        let block = Block::open(bytes).map_err(wrong)?;
        cursor.advance(&block).map_err(wrong)
    }
}
