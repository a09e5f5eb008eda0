//! Blocks in memory.
//!
//! Frames of one block each, cut from segments. Which block is where stands in a table of each run. What
//! is evicted follows the clock algorithm (Corbató, *A Paging Experiment with the Multics System*, 1968).
//! Reading a block that is not there notes that it is wanted; nothing moves until the owner of the cache
//! lets it, so what was read stays where it is.
//!
//! Pages of the index and the filter of a run that has them in its file are blocks, too, whose numbers are those
//! behind the last block ([`cache::pages`](pages)).

mod pages;

use alloc::{boxed::Box, collections::BTreeMap, sync::Arc, vec, vec::Vec};
use core::{
    cell::{Cell, RefCell},
    ops::Range,
};

use millstream_memory::Segment;
use millstream_state::{Lease, StateError};

use crate::{
    block::{BLOCK_MAX, Block, BlockError},
    budget::Budget,
    compression::{Compression, Stored},
    run::Run,
};

/// The frame of a block that is not there, and of one that is being read.
const NONE: u32 = u32::MAX;
const READING: u32 = u32::MAX - 1;

#[derive(Debug)]
struct Frame {
    /// The run and the block in it; no run if it is free.
    run: u32,
    block: u32,
    length: u16,
    was_used: Cell<bool>,
}

#[derive(Debug)]
struct Table {
    run: Arc<Run>,
    frames: Frames,
}

/// The frames of the blocks of a run.
#[derive(Debug)]
enum Frames {
    /// By block.
    All(Box<[u32]>),
    /// Of those that are there, where a place for each would be too much.
    Some(BTreeMap<u32, u32>),
}

impl Frames {
    #[inline]
    fn of(&self, block: u32) -> Option<u32> {
        match self {
            Self::All(frames) => frames.get(block as usize).copied(),
            Self::Some(frames) => Some(frames.get(&block).copied().unwrap_or(NONE)),
        }
    }

    fn set(&mut self, block: u32, to: u32) {
        match self {
            Self::All(frames) => {
                if let Some(frame) = frames.get_mut(block as usize) {
                    *frame = to;
                }
            }
            Self::Some(frames) if to == NONE => {
                frames.remove(&block);
            }
            Self::Some(frames) => {
                frames.insert(block, to);
            }
        }
    }
}

/// A block that is to be read.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) run: Arc<Run>,
    pub(crate) block: u32,
    /// Where it is in the file.
    pub(crate) place: Range<u64>,
}

/// Blocks in memory.
#[derive(Debug)]
pub(crate) struct Cache<L: Lease> {
    budget: Budget<L>,
    segments: Vec<Segment>,
    /// Frames in a segment.
    per_segment: usize,
    segments_max: usize,
    frames: Vec<Frame>,
    free: Vec<u32>,
    hand: usize,
    /// By number of the run.
    tables: Vec<Option<Table>>,
    wanted: RefCell<Vec<(u32, u32, Range<u64>)>>,
    wanted_max: Cell<usize>,
    reading: usize,
}

impl<L: Lease> Cache<L> {
    pub(crate) fn new(budget: Budget<L>, segments_max: usize) -> Self {
        Self {
            per_segment: budget.segment_size() / BLOCK_MAX,
            budget,
            segments: Vec::new(),
            segments_max,
            frames: Vec::new(),
            free: Vec::new(),
            hand: 0,
            tables: Vec::new(),
            wanted: RefCell::new(Vec::new()),
            wanted_max: Cell::new(usize::MAX),
            reading: 0,
        }
    }

    /// Blocks that there may be.
    pub(crate) fn blocks_max(&self) -> usize {
        self.segments_max * self.per_segment
    }

    /// A run is there from now on. Its number is not used by another.
    pub(crate) fn add_run(&mut self, run: &Arc<Run>) {
        let number = run.number as usize;
        if self.tables.len() <= number {
            self.tables.resize_with(number + 1, || None);
        }
        let frames = match run.index.is_paged() {
            true => Frames::Some(BTreeMap::new()),
            false => Frames::All(vec![NONE; run.index.blocks_in_all() as usize].into()),
        };
        self.tables[number] = Some(Table { run: run.clone(), frames });
    }

    /// Forgets all blocks of a run.
    pub(crate) fn forget_run(&mut self, run: &Run) {
        let Some(table) = self.tables.get_mut(run.number as usize).and_then(Option::take) else {
            return;
        };
        let frames: Vec<u32> = match table.frames {
            Frames::All(frames) => frames.into(),
            Frames::Some(frames) => frames.into_values().collect(),
        };
        for frame in frames.into_iter().filter(|frame| *frame < READING) {
            if let Some(known) = self.frames.get_mut(frame as usize) {
                known.run = NONE;
                self.free.push(frame);
            }
        }
    }

    /// A number for a run.
    pub(crate) fn free_number(&self) -> u32 {
        let free = self.tables.iter().position(Option::is_none);
        free.unwrap_or(self.tables.len()) as u32
    }

    fn frame_of(&self, run: u32, block: u32) -> Option<u32> {
        self.tables.get(run as usize)?.as_ref()?.frames.of(block)
    }

    /// The bytes of a frame.
    #[inline]
    pub(crate) fn frame(&self, frame: u32) -> &[u8] {
        let per = self.per_segment;
        let length = self.frames.get(frame as usize).map_or(0, |frame| usize::from(frame.length));
        let at = (frame as usize % per) * BLOCK_MAX;
        let segment = self.segments.get(frame as usize / per);
        segment.and_then(|segment| segment.get(at..at + length)).unwrap_or(&[])
    }

    /// A block and its frame.
    ///
    /// # Errors
    /// [`StateError::Waits`] if it is not there; then it is wanted.
    #[inline]
    pub(crate) fn block(&self, run: &Run, block: u32) -> Result<(u32, Block<'_>), StateError> {
        let frame = self.used(run, block)?;
        let block_of = Block::open(self.frame(frame));
        block_of.map(|block| (frame, block)).map_err(|error| damaged(run, block, error))
    }

    /// The frame of a block or a page, which is used.
    #[inline]
    fn used(&self, run: &Run, block: u32) -> Result<u32, StateError> {
        let frame = self.frame_of(run.number, block).unwrap_or(NONE);
        if frame >= READING {
            if frame == NONE {
                self.want(run, block)?;
            }
            return Err(StateError::Waits);
        }
        if let Some(frame) = self.frames.get(frame as usize) {
            frame.was_used.set(true);
        }
        Ok(frame)
    }

    /// A block and its frame; if it is not there, those behind it are wanted, too.
    ///
    /// # Errors
    /// As [`block`](Self::block).
    pub(crate) fn block_and_next(
        &self,
        run: &Run,
        block: u32,
    ) -> Result<(u32, Block<'_>), StateError> {
        let found = self.block(run, block);
        if matches!(found, Err(StateError::Waits)) {
            let ahead = (self.blocks_max() / 16).min(7) as u32;
            for next in block + 1..=block + ahead {
                let is_block = next < run.index.blocks_in_all();
                if is_block && self.frame_of(run.number, next) == Some(NONE) {
                    self.want(run, next)?;
                }
            }
        }
        found
    }

    /// Notes that a block is wanted, if it is not there.
    #[cold]
    fn want(&self, run: &Run, block: u32) -> Result<(), StateError> {
        let place = self.place(run, block)?;
        let mut wanted = self.wanted.borrow_mut();
        // The first are read first; others are asked for again.
        let is_known = wanted.iter().any(|known| (known.0, known.1) == (run.number, block));
        if wanted.len() < self.wanted_max.get() && !is_known {
            wanted.push((run.number, block, place));
        }
        Ok(())
    }

    /// Whether more blocks may be wanted while so many are being read.
    pub(crate) fn has_room_to_want(&self, reading: usize) -> bool {
        self.wanted.borrow().len() + reading < self.wanted_max.get()
    }

    /// Whether there is anything to read.
    pub(crate) fn is_wanted(&self) -> bool {
        !self.wanted.borrow().is_empty()
    }

    /// The next block to be read. It is being read then, until it [comes](Self::insert) or
    /// [does not](Self::missed).
    pub(crate) fn next_wanted(&mut self) -> Option<Wanted> {
        // Never so many that one would evict another before it was used.
        self.wanted_max.set((self.reads_max() / 4).clamp(1, 256));
        loop {
            if self.reading >= self.wanted_max.get() {
                return None;
            }
            let wanted = self.wanted.get_mut();
            if wanted.is_empty() {
                return None;
            }
            let (run, block, place) = wanted.remove(0);
            let table = self.tables.get_mut(run as usize).and_then(Option::as_mut);
            let Some(table) = table else { continue };
            if table.frames.of(block) == Some(NONE) {
                table.frames.set(block, READING);
                self.reading += 1;
                return Some(Wanted { run: table.run.clone(), block, place });
            }
        }
    }

    /// A block that was being read was not.
    pub(crate) fn missed(&mut self, run: u32, block: u32) {
        self.reading = self.reading.saturating_sub(1);
        self.set(run, block, NONE);
    }

    fn set(&mut self, run: u32, block: u32, to: u32) {
        let table = self.tables.get_mut(run as usize).and_then(Option::as_mut);
        if let Some(table) = table {
            table.frames.set(block, to);
        }
    }

    /// Takes in a block that was read.
    ///
    /// # Errors
    /// [`StateError::DamagedFile`] if it is not as it was written; [`StateError::OutOfBudget`] if there
    /// is not one frame.
    pub(crate) fn insert(
        &mut self,
        wanted: &Wanted,
        bytes: &[u8],
        zstd: Option<&dyn Compression>,
    ) -> Result<(), StateError> {
        let (run, block) = (wanted.run.number, wanted.block);
        self.missed(run, block);
        // The run may be gone meanwhile, or another may have its number.
        let known = self.tables.get(run as usize).and_then(Option::as_ref);
        if !known.is_some_and(|table| Arc::ptr_eq(&table.run, &wanted.run)) {
            return Ok(());
        }
        let damaged = |error| damaged_at(&wanted.run, &wanted.place, error);
        let stored = Stored::check(wanted.run.index.format, bytes).map_err(damaged)?;
        let length = stored.length();
        let Some(frame) = self.free_frame() else {
            let state = "cache of blocks".into();
            return Err(StateError::OutOfBudget { state, held: self.budget.held() });
        };
        let per = self.per_segment;
        let at = (frame as usize % per) * BLOCK_MAX;
        if let Some(segment) = self.segments.get_mut(frame as usize / per)
            && let Some(place) = segment.get_mut(at..at + length)
            && let Err(error) = stored.unpack(zstd, place)
        {
            self.free.push(frame);
            return Err(damaged(error));
        }
        if let Some(known) = self.frames.get_mut(frame as usize) {
            let length = length as u16;
            *known = Frame { run, block, length, was_used: Cell::new(true) };
        }
        self.set(run, block, frame);
        Ok(())
    }

    fn free_frame(&mut self) -> Option<u32> {
        if let Some(frame) = self.free.pop() {
            return Some(frame);
        }
        if self.segments.len() < self.segments_max
            && let Some(segment) = self.budget.lease()
        {
            self.segments.push(segment);
            let first = self.frames.len() as u32;
            for _ in 0..self.per_segment {
                let was_used = Cell::new(false);
                self.frames.push(Frame { run: NONE, block: 0, length: 0, was_used });
            }
            self.free.extend((first..self.frames.len() as u32).rev());
            return self.free.pop();
        }
        self.evict()
    }

    /// The frame of a block that was not used for long.
    fn evict(&mut self) -> Option<u32> {
        for _ in 0..2 * self.frames.len() {
            let at = self.hand % self.frames.len();
            self.hand = at + 1;
            let frame = self.frames.get(at)?;
            if frame.run != NONE && !frame.was_used.replace(false) {
                self.set(frame.run, frame.block, NONE);
                return Some(at as u32);
            }
        }
        None
    }

    /// Keeps at most so many segments from now on.
    pub(crate) fn limit(&mut self, segments_max: usize) {
        self.segments_max = segments_max;
        while self.segments.len() > segments_max {
            let first = (self.segments.len() - 1) * self.per_segment;
            for frame in self.frames.split_off(first) {
                if frame.run != NONE {
                    self.set(frame.run, frame.block, NONE);
                }
            }
            self.free.retain(|frame| (*frame as usize) < first);
            self.segments.pop();
            self.budget.gave_back(1);
        }
    }
}

impl<L: Lease> Drop for Cache<L> {
    fn drop(&mut self) {
        self.budget.gave_back(self.segments.len());
    }
}

/// The error of a block that is not as it was written.
pub(crate) fn damaged(run: &Run, block: u32, error: BlockError) -> StateError {
    let place = match run.index.is_paged() {
        true => run.index.around(block),
        false => run.index.place(block).unwrap_or(0..0),
    };
    damaged_at(run, &place, error)
}

fn damaged_at(run: &Run, place: &Range<u64>, error: BlockError) -> StateError {
    // What is wrong in a block that was compressed is somewhere in what is stored.
    let (file, offset) = (run.place.file.0, (place.start + error.at as u64).min(place.end));
    StateError::DamagedFile { file, offset, what: error.what }
}
