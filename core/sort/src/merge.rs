//! Merging runs.

mod reader;
mod tree;

use alloc::vec::Vec;

use millstream_memory::Segment;
use millstream_storage::Submit;

pub(crate) use tree::LoserTree;

use crate::{
    SortError,
    budget::{Budget, Lease},
    format::Format,
    run::Run,
    transfer::Transfers,
};
use reader::{Loaded, Reader};

/// Blocks that each reader needs: one to read from, one in flight.
pub(crate) const BLOCKS_MIN: usize = 2;
/// Blocks beyond which reading ahead is of no more use.
const BLOCKS_MAX: usize = 16;

/// Runs that are being merged.
pub(crate) struct Merge {
    readers: Vec<Reader>,
    tree: Option<LoserTree>,
    /// The reader whose record was handed out, and is still looked at.
    handed: Option<usize>,
    /// The reader that waits for a block.
    loading: Option<usize>,
    /// Blocks for each reader.
    depth: usize,
}

/// Where the next record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// At the head of this reader.
    Record(usize),
    /// In a block that was not read yet.
    Waits,
    /// Nowhere.
    End,
}

impl Merge {
    /// Merges `runs`, which are in the order of their records' arrival, with `segments` of memory.
    pub(crate) fn new(runs: impl IntoIterator<Item = Run>, segments: usize) -> Self {
        let readers: Vec<_> =
            runs.into_iter().enumerate().map(|(i, run)| Reader::new(i as u32, run)).collect();
        let depth = segments / readers.len().max(1);
        let depth = depth.clamp(BLOCKS_MIN, BLOCKS_MAX);
        Self { readers, tree: None, handed: None, loading: None, depth }
    }

    /// Segments that are of use.
    pub(crate) fn segments(&self) -> usize {
        self.readers.len() * self.depth
    }

    /// Finds the next record.
    #[inline]
    pub(crate) fn find<F: Format, L: Lease>(
        &mut self,
        format: &F,
        budget: &mut Budget<L>,
        transfers: &mut Transfers,
        io: &mut impl Submit,
    ) -> Result<Found, SortError> {
        if let (Some(handed), Some(tree)) = (self.handed.take(), &mut self.tree) {
            match self.readers[handed].skip(format)? {
                Some(word) => {
                    let readers = &self.readers;
                    tree.replace(Some(word), format.first_word_decides(), |a, b| {
                        reader::compare(format, &readers[a], &readers[b])
                    });
                }
                None => self.loading = Some(handed),
            }
        }
        if (self.loading.is_some() || self.tree.is_none())
            && !self.load(format, budget, transfers, io)?
        {
            return Ok(Found::Waits);
        }
        let winner = self.tree.as_ref().and_then(LoserTree::winner);
        Ok(winner.map_or(Found::End, Found::Record))
    }

    /// The record at the head of a reader; it is passed over by the next [`find`](Self::find).
    #[inline]
    pub(crate) fn hand_out<F: Format>(&mut self, reader: usize, format: &F) -> Option<&F::Record> {
        self.handed = Some(reader);
        self.readers[reader].head(format)
    }

    /// The record at the head of a reader.
    pub(crate) fn head<F: Format>(&self, reader: usize, format: &F) -> Option<&F::Record> {
        self.readers[reader].head(format)
    }

    /// Passes over the record at the head of a reader.
    pub(crate) fn pass(&mut self, reader: usize) {
        self.handed = Some(reader);
    }

    /// A block has been read. Gives the segment back if nobody waits for it.
    pub(crate) fn arrived(&mut self, reader: u32, block: u32, segment: Segment) -> Option<Segment> {
        match self.readers.get_mut(reader as usize) {
            Some(reader) => reader.arrived(block, segment),
            None => Some(segment),
        }
    }

    /// The runs that were not read to their end.
    pub(crate) fn runs(&self) -> impl Iterator<Item = Run> {
        self.readers.iter().filter_map(Reader::unfinished)
    }

    /// Goes on where a block was missing; `false` if it still is.
    #[cold]
    fn load<F: Format, L: Lease>(
        &mut self,
        format: &F,
        budget: &mut Budget<L>,
        transfers: &mut Transfers,
        io: &mut impl Submit,
    ) -> Result<bool, SortError> {
        let decides = format.first_word_decides();
        if let (Some(loading), Some(tree)) = (self.loading, &mut self.tree) {
            let reader = &mut self.readers[loading];
            let loaded = reader.load(format, self.depth, budget, transfers, io)?;
            let head = match loaded {
                Loaded::Waits => return Ok(false),
                Loaded::Head(word) => Some(word),
                Loaded::End => None,
            };
            self.loading = None;
            let readers = &self.readers;
            tree.replace(head, decides, |a, b| reader::compare(format, &readers[a], &readers[b]));
            return Ok(true);
        }
        let mut heads = Vec::with_capacity(self.readers.len());
        for reader in &mut self.readers {
            match reader.load(format, self.depth, budget, transfers, io)? {
                Loaded::Waits => {}
                Loaded::Head(word) => heads.push(Some(word)),
                Loaded::End => heads.push(None),
            }
        }
        // All have asked for their blocks, even if one has to wait.
        if heads.len() < self.readers.len() {
            return Ok(false);
        }
        let readers = &self.readers;
        self.tree = Some(LoserTree::new(&heads, decides, |a, b| {
            reader::compare(format, &readers[a], &readers[b])
        }));
        Ok(true)
    }
}
