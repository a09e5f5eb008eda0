//! Reading a state of a run through the cache.

use alloc::{sync::Arc, vec::Vec};
use core::ops::Range;

use millstream_state::{Lease, StateError};

use crate::{
    block::{BlockCursor, BlockError},
    cache::{Cache, damaged},
    merge::Source,
    name::Order,
    run::Run,
    stack::Part,
    writer::Entry,
};

/// Where in a state of a run a reader stands.
#[derive(Debug)]
pub(crate) struct RunCursor {
    run: Arc<Run>,
    ranks: Range<u64>,
    order: Order,
    state: u16,
    block: u32,
    end: u32,
    /// Whether the block to begin with is known.
    is_located: bool,
    /// The rank and name to begin at, as long as the cursor is not there.
    from: Option<(u64, Vec<u8>)>,
    cursor: BlockCursor,
    has_entry: bool,
    rank: u64,
}

impl RunCursor {
    /// In front of the first entry that is not below a name.
    pub(crate) fn new(part: &Part, order: Order, state: u16, rank: u64, name: &[u8]) -> Self {
        let Part { run, ranks, .. } = part;
        let end = run.index.blocks(&run.index.section(state), ranks).end;
        // Entries that are not seen are passed over.
        let (rank, name) = match ranks.start {
            first if first > rank => (first, &[][..]),
            _ => (rank, name),
        };
        let (cursor, from) = (BlockCursor::default(), Some((rank, name.to_vec())));
        let (run, ranks) = (run.clone(), ranks.clone());
        let (block, is_located, has_entry) = (end, false, false);
        Self { run, ranks, order, state, block, end, is_located, from, cursor, has_entry, rank: 0 }
    }

    fn fill<L: Lease>(&mut self, cache: &Cache<L>) -> Result<bool, StateError> {
        if let Some((rank, name)) = self.from.as_ref().filter(|_| !self.is_located) {
            let block = cache.locate(&self.run, self.state, *rank, name)?;
            self.block = block.unwrap_or(self.end);
            self.is_located = true;
        }
        loop {
            if self.block >= self.end {
                return Ok(false);
            }
            // The block of an entry that was not taken may have been evicted meanwhile.
            let (_, block) = cache.block_and_next(&self.run, self.block)?;
            if self.has_entry {
                return Ok(true);
            }
            let wrong = |error| damaged(&self.run, self.block, error);
            let found = match self.from.take() {
                Some((rank, name)) => self.cursor.seek(&block, &self.order, rank, &name),
                None => self.cursor.advance(&block),
            };
            if found.map_err(wrong)? {
                let rank = self.order.rank_of(self.cursor.name());
                let what = "an entry has a name that is none";
                self.rank = rank.ok_or_else(|| wrong(BlockError { at: 0, what }))?;
                if self.rank >= self.ranks.end {
                    self.block = self.end;
                    return Ok(false);
                }
                self.has_entry = true;
            } else {
                self.block += 1;
                self.cursor.rewind();
            }
        }
    }
}

/// A run as a source of one state.
#[derive(Debug)]
pub(crate) struct Cached<'a, L: Lease> {
    pub(crate) cache: &'a Cache<L>,
    pub(crate) cursor: &'a mut RunCursor,
}

impl<L: Lease> Cached<'_, L> {
    /// Where the value of the entry is: its frame, from which byte to which.
    pub(crate) fn place(&self) -> Result<(u32, Range<usize>), StateError> {
        let (frame, _) = self.cache.block(&self.cursor.run, self.cursor.block)?;
        Ok((frame, self.cursor.cursor.value()))
    }
}

impl<L: Lease> Source for Cached<'_, L> {
    fn fill(&mut self) -> Result<bool, StateError> {
        self.cursor.fill(self.cache)
    }

    fn entry(&self) -> Entry<'_> {
        let RunCursor { run, block, cursor, rank, .. } = &*self.cursor;
        let block = self.cache.block(run, *block);
        Entry {
            rank: *rank,
            name: cursor.name(),
            piece: cursor.piece(),
            op: cursor.op(),
            value: block.map_or(&[], |(_, block)| block.value(cursor.value())),
        }
    }

    fn take(&mut self) {
        self.cursor.has_entry = false;
    }

    fn hides(&self, rank: u64, namespace: &[u8]) -> bool {
        let RunCursor { run, ranks, state, .. } = &*self.cursor;
        run.index.hides(*state, namespace) && ranks.contains(&rank)
    }
}
