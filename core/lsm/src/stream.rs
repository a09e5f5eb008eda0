//! Reading a state of a run from front to back, past the cache.

use alloc::sync::Arc;
use core::ops::Range;

use millstream_memory::Segment;
use millstream_state::{Lease, StateError};

use crate::{
    block::{Block, BlockCursor},
    budget::Staging,
    cache::damaged,
    merge::Source,
    name::Order,
    run::Run,
    transfers::{Ticket, Transfers},
    writer::Entry,
};

/// Blocks that lie in memory one behind the other.
#[derive(Debug)]
struct Window {
    blocks: Range<u32>,
    segment: Segment,
}

/// Reads a state of a run from front to back.
#[derive(Debug)]
pub(crate) struct Stream {
    number: u32,
    run: Arc<Run>,
    order: Order,
    state: u16,
    section: Range<u32>,
    /// The block that is being read.
    block: u32,
    window: Option<Window>,
    /// The blocks that were asked for.
    asked: Option<Range<u32>>,
    cursor: BlockCursor,
    /// Whether the cursor stands at an entry that was not taken, and its rank.
    has_entry: bool,
    rank: u64,
}

impl Stream {
    pub(crate) fn new(number: u32, run: Arc<Run>, order: Order) -> Self {
        Self {
            number,
            run,
            order,
            state: 0,
            section: 0..0,
            block: 0,
            window: None,
            asked: None,
            cursor: BlockCursor::default(),
            has_entry: false,
            rank: 0,
        }
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// Goes to the first entry of a state that belongs to a key group that is seen.
    pub(crate) fn begin(&mut self, state: u16) {
        self.state = state;
        self.section = self.run.index.section(state);
        let first = self.run.index.locate(state, self.run.ranks().start, &[]);
        self.block = first.unwrap_or(self.section.end);
        self.has_entry = false;
        self.cursor.rewind();
    }

    /// Asks for the next blocks if they are needed; whether nothing hinders that.
    pub(crate) fn ask<L: Lease>(
        &mut self,
        staging: &mut Staging<L>,
        transfers: &mut Transfers,
    ) -> bool {
        if self.asked.is_some() || self.has_entry || self.block >= self.section.end {
            return true;
        }
        if self.window.as_ref().is_some_and(|window| window.blocks.contains(&self.block)) {
            return true;
        }
        let segment = match self.window.take() {
            Some(window) => Some(window.segment),
            None => staging.take(),
        };
        let Some(segment) = segment else { return false };
        let begin = self.run.index.place(self.block).map_or(0, |place| place.start);
        let (mut end, mut last) = (begin, self.block);
        while last < self.section.end
            && let Some(place) = self.run.index.place(last)
            && place.end - begin <= segment.len() as u64
        {
            (end, last) = (place.end, last + 1);
        }
        self.asked = Some(self.block..last);
        let ticket = Ticket::Stream { stream: self.number };
        let length = (end - begin) as usize;
        transfers.read(ticket, self.run.place.file, begin, length, segment);
        true
    }

    /// What was asked for has come.
    pub(crate) fn arrived(&mut self, segment: Segment) {
        if let Some(blocks) = self.asked.take() {
            self.window = Some(Window { blocks, segment });
        }
    }

    /// Gives the segment back that it reads from.
    pub(crate) fn end<L: Lease>(&mut self, staging: &mut Staging<L>) {
        if let Some(window) = self.window.take() {
            staging.give(window.segment);
        }
    }

    /// The bytes of the block that is being read.
    fn bytes(&self) -> Option<&[u8]> {
        let window = self.window.as_ref().filter(|window| window.blocks.contains(&self.block))?;
        let base = self.run.index.place(window.blocks.start)?.start;
        let place = self.run.index.place(self.block)?;
        window.segment.get((place.start - base) as usize..(place.end - base) as usize)
    }
}

impl Source for Stream {
    fn fill(&mut self) -> Result<bool, StateError> {
        while !self.has_entry {
            if self.block >= self.section.end {
                return Ok(false);
            }
            // The cursor goes through bytes of the window, and is not part of it.
            let mut cursor = core::mem::take(&mut self.cursor);
            let advanced = self.advance_in_block(&mut cursor);
            self.cursor = cursor;
            match advanced? {
                true => {
                    let rank = self.order.rank_of(self.cursor.name());
                    let what = "an entry has a name that is none";
                    let wrong = crate::block::BlockError { at: 0, what };
                    self.rank = rank.ok_or_else(|| damaged(&self.run, self.block, wrong))?;
                    let ranks = self.run.ranks();
                    if self.rank >= ranks.end {
                        self.block = self.section.end;
                        return Ok(false);
                    }
                    self.has_entry = self.rank >= ranks.start;
                }
                false => {
                    self.block += 1;
                    self.cursor.rewind();
                }
            }
        }
        Ok(true)
    }

    fn entry(&self) -> Entry<'_> {
        let value = self.bytes().and_then(|bytes| Block::open(bytes).ok());
        Entry {
            rank: self.rank,
            name: self.cursor.name(),
            piece: self.cursor.piece(),
            op: self.cursor.op(),
            value: value.map_or(&[], |block| block.value(self.cursor.value())),
        }
    }

    fn take(&mut self) {
        self.has_entry = false;
    }

    fn hides(&self, rank: u64, namespace: &[u8]) -> bool {
        self.run.hides(self.state, rank, namespace)
    }
}

impl Stream {
    fn advance_in_block(&self, cursor: &mut BlockCursor) -> Result<bool, StateError> {
        let bytes = self.bytes().ok_or(StateError::Waits)?;
        let wrong = |error| damaged(&self.run, self.block, error);
        if cursor.is_rewound() {
            Block::check(bytes).map_err(wrong)?;
        }
        let block = Block::open(bytes).map_err(wrong)?;
        cursor.advance(&block).map_err(wrong)
    }
}
