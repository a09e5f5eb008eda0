//! Windows that are made of slices, whose rows are folded as they come.
//!
//! A row is folded once, into the accumulator of its key and slice, however many windows the slice is in. Those
//! of some slices, a [block](blocks), are kept together in a [cell](cell) with sums of them, so that a window
//! is merged from few parts: two, if its accumulators fit a cell, which does not depend on the slide.

mod blocks;
mod cell;
mod due;
mod kept;
#[cfg(test)]
mod tests;

use alloc::{vec, vec::Vec};
use core::fmt;

use millstream_data::{Key, Value, hash::SEED, page::ValidPage, row::RowLayout, value::Record};
use millstream_state::{
    Backend, Column,
    description::Part,
    window::{Lateness, Window},
};

use super::{Slices, WindowAggregate, WindowAssigner, Windowing};
use crate::{
    chain::{Context, OpenInfo, Signal, TaskError},
    operator::{Row, Stage, check_schema, head::KeyedHead, stateless::Emitter, timers::TimeKind},
    state::{KeyBatch, KeyedState, TIME, damaged, namespace},
    writer::{PartitionWriter, Single},
};
use blocks::Blocks;
use cell::Cells;
use due::Due;
use kept::{Kept, Walk};

/// Rows of a page that are folded together: their cache misses overlap.
const BLOCK: usize = 256;

/// A chain that folds the rows of windows by slice, and emits when a window has ended: when the watermark
/// has reached its last time.
pub struct SlicedChain<A: WindowAggregate, S, F, W, N> {
    function: A,
    key: S,
    time: F,
    assigner: W,
    lateness: Lateness,
    fingerprint: u64,
    state: KeyedState,
    blocks: Blocks,
    cells: Cells,
    /// A cell without rows, if cells have slots.
    empty: Option<Vec<u8>>,
    kept: Kept,
    /// All windows that end up to here were emitted.
    done: i64,
    /// What is due, and how far it is.
    due: Option<(Due, Walk)>,
    /// Keys at hand.
    batch: KeyBatch<A::Key>,
    /// Some of them.
    some: KeyBatch<A::Key>,
    scratch: Scratch,
    /// What a window comes to, for each key at hand.
    found: Vec<Option<A::Accumulator>>,
    /// The slot that the last row fell into.
    last: Place,
    next: N,
    /// Where rows go that are too late for all of their windows, if they go anywhere.
    late: Option<PartitionWriter<A::In, Single>>,
}

/// Space that is used again in each call.
#[derive(Debug, Default)]
struct Scratch {
    /// Of the keys at hand: their rows, and where those belong.
    rows: Vec<u32>,
    blocks: Vec<i64>,
    namespaces: Vec<u8>,
    /// Slots, how many of the block have ended, and where in a cell the slots are.
    slots: Vec<(u8, u8)>,
    offsets: Vec<u16>,
    /// Numbers of keys that have got a new cell.
    created: Vec<u32>,
    is_gone: Vec<bool>,
    old: Vec<u8>,
    new: Vec<u8>,
}

/// Where rows of some time belong.
#[derive(Clone, Copy, Debug)]
struct Place {
    slice: Window,
    /// Whether it is part of any window.
    counts: bool,
    block: i64,
    slot: usize,
    /// How many slots of the block have ended at a watermark.
    ended: (usize, i64),
}

impl<A, S, F, W, N> SlicedChain<A, S, F, W, N>
where
    A: WindowAggregate,
    W: WindowAssigner,
{
    /// The chain of `function`, on windows of such slices, and what follows it.
    pub(crate) fn new(
        function: A,
        windowing: Windowing<S, F, W>,
        slices: Slices,
        info: &OpenInfo,
        next: N,
    ) -> Result<Self, TaskError> {
        let Windowing { key, time, assigner, lateness, late } = windowing;
        let late = late.map(|output| PartitionWriter::new(&Single, output, info));
        let mut state = KeyedState::open(info)?;
        state.keyed_by::<A::Key>();
        let (batch, some) = (KeyBatch::new(), KeyBatch::new());
        let row = RowLayout::new(&A::Accumulator::schema());
        let room = cell::room(&row, batch.width());
        let blocks = Blocks::new(slices, room);
        let cells = Cells::new(row, blocks.slots(), room);
        let empty = cells.empty(&function);
        let kept = Kept::register(&mut state, batch.width(), empty.as_ref().map(Vec::len))?;
        let schema = A::Accumulator::schema();
        let parts = match cells.header() {
            Some(header) => {
                let rows = Part::Rows(schema, 1 + blocks.slots() as u32);
                vec![Part::Opaque(Some(header as u32)), rows]
            }
            None => vec![Part::Row(schema)],
        };
        kept.describe(&mut state, parts);
        let nowhere = Window { start: i64::MAX, end: i64::MIN };
        Ok(Self {
            function,
            key,
            time,
            assigner,
            lateness,
            fingerprint: A::In::schema().fingerprint(),
            state,
            blocks,
            cells,
            empty,
            kept,
            done: i64::MIN,
            due: None,
            batch,
            some,
            scratch: Scratch::default(),
            found: Vec::new(),
            last: Place { slice: nowhere, counts: false, block: 0, slot: 0, ended: (0, 0) },
            next,
            late: late.transpose()?,
        })
    }

    /// Where a row belongs. Most follow one of the same slice.
    #[inline]
    fn place(&mut self, time: i64) -> Place {
        if time < self.last.slice.start || time >= self.last.slice.end {
            let slice = self.assigner.slice(time);
            let (block, slot) = self.blocks.slot(time);
            let mut counts = false;
            self.assigner.windows(slice, &mut |_| counts = true);
            self.last = Place { slice, counts, block, slot, ended: (0, i64::MIN) };
        }
        let watermark = self.state.watermark;
        if self.last.ended.1 != watermark {
            let ended = self.blocks.ended(self.last.block, watermark.saturating_add(1));
            self.last.ended = (ended, watermark);
        }
        self.last
    }

    /// Puts a row's place behind the others, for its key that was put into the batch.
    fn push(&mut self, row: usize, place: Place) {
        let Scratch { rows, blocks, namespaces, slots, offsets, .. } = &mut self.scratch;
        rows.push(row as u32);
        blocks.push(place.block);
        namespaces.extend(namespace(place.block));
        // There are at most 64.
        slots.push((place.slot as u8, place.ended.0 as u8));
        offsets.push(self.cells.offset(place.slot));
    }

    fn clear(&mut self) {
        self.batch.clear();
        let Scratch { rows, blocks, namespaces, slots, offsets, .. } = &mut self.scratch;
        rows.clear();
        blocks.clear();
        namespaces.clear();
        slots.clear();
        offsets.clear();
    }

    /// Folds the rows at hand into the cells of their keys.
    fn fold<'a>(
        &mut self,
        row: impl Fn(u32) -> <A::In as Value>::View<'a>,
    ) -> Result<(), TaskError> {
        let Self { function, state, cells, empty, kept, batch, scratch, .. } = self;
        let Scratch { rows, blocks, namespaces, slots, offsets, created, old, new, .. } = scratch;
        created.clear();
        let namespaces = Column::Fixed { width: TIME, bytes: namespaces };
        let all = batch.keys().within(namespaces).looking_at(offsets);
        let wrong = |error: &_| damaged("window", error);
        match empty {
            Some(empty) => {
                let mut error = None;
                state.update(kept.cells, &all, empty, |index, cell| {
                    let (slot, ended) = slots[index];
                    let place = (slot.into(), ended.into());
                    match cells.fold(function, cell, place, row(rows[index])) {
                        Ok(true) => created.push(index as u32),
                        Ok(false) => {}
                        Err(found) => error = Some(wrong(&found)),
                    }
                })?;
                error.map_or(Ok(()), Err)?;
            }
            None => {
                for (index, number) in rows.iter().enumerate() {
                    let key = all.at(index);
                    let is_there = state.read(kept.cells, &key, old)?;
                    if !is_there {
                        created.push(index as u32);
                    }
                    new.clear();
                    let old = is_there.then_some(&**old);
                    let folded = cells.fold_alone(function, old, row(*number), new);
                    folded.map_err(|error| wrong(&error))?;
                    let cell = Column::Same(new);
                    state.change(|store, _| store.put(kept.cells, &key.batch(), cell))?;
                }
            }
        }
        if created.is_empty() {
            return Ok(());
        }
        for index in created.iter() {
            let block = blocks[*index as usize];
            if !kept.live.contains_key(&block) {
                let last = last_end(&self.assigner, &self.blocks, block);
                kept.begin(state, block, last)?;
            }
        }
        kept.enter(state, batch, blocks, created)
    }

    /// A row whose slice has ended, for its key group: it goes into those of its windows that are kept, each
    /// of which, if it has ended, too, is emitted anew. `false` if there is none. The key is the only one
    /// at hand.
    fn take_late(
        &mut self,
        (place, time, watermark): (Place, i64, i64),
        row: <A::In as Value>::View<'_>,
        context: &mut Context<'_>,
    ) -> Result<bool, TaskError>
    where
        N: Stage<A::Out>,
    {
        let mut targets = Vec::new();
        let lateness = self.lateness;
        self.assigner.windows(place.slice, &mut |window| {
            if !lateness.is_late(&window, watermark) {
                targets.push(window);
            }
        });
        if targets.is_empty() {
            return Ok(!lateness.is_row_late(time, watermark));
        }
        self.push(0, place);
        self.fold(|_| row)?;
        for window in targets.into_iter().filter(|window| window.max_time() <= watermark) {
            self.find(window)?;
            let Self { function, batch, found, next, .. } = self;
            let key = batch.decode(batch.at(0))?;
            if let Some(Some(sum)) = found.first() {
                function.finish(key, window, sum.view(), &mut Emitter { next, context });
            }
        }
        Ok(true)
    }

    /// Merges a window for each key at hand.
    fn find(&mut self, window: Window) -> Result<(), TaskError> {
        let Self { function, state, blocks, cells, kept, batch, found, .. } = self;
        found.clear();
        found.resize_with(batch.len(), || None);
        let (first, _) = blocks.slot(window.start);
        for block in kept.live.range(first..window.end).map(|(block, _)| *block) {
            let part = blocks.within(block, window);
            let namespace = namespace(block);
            // The slot that an open cell has not summed yet, or the one that a turned cell is read at.
            let slot = if part.0 == 0 { part.1.saturating_sub(1) } else { part.0 };
            let offsets = [cells.offset(slot); kept::STEP];
            let keys = batch.keys().within(Column::Same(&namespace)).looking_at(&offsets);
            state.read_each(kept.cells, &keys, |index, cell| {
                if let (Some(cell), Some(found)) = (cell, found.get_mut(index)) {
                    let merged = cells.part(function, cell, part, found);
                    merged.map_err(|error| damaged("window", &error))?;
                }
                Ok(true)
            })?;
        }
        Ok(())
    }
}

/// When the last window ends that a block is part of; never, if it is part of none.
fn last_end(assigner: &impl WindowAssigner, blocks: &Blocks, block: i64) -> i64 {
    let mut time = blocks.end(block).saturating_sub(1);
    loop {
        let slice = assigner.slice(time);
        let mut last = None;
        assigner.windows(slice, &mut |window| last = last.max(Some(window.end)));
        match last {
            Some(last) => return last,
            None if slice.start <= block => return i64::MIN,
            None => time = slice.start - 1,
        }
    }
}

impl<A, S, F, W, N> SlicedChain<A, S, F, W, N>
where
    A: WindowAggregate,
    S: for<'a> Fn(Row<'a, A::In>) -> <A::Key as Value>::View<'a> + Send + 'static,
    F: for<'a> Fn(Row<'a, A::In>) -> i64 + Send + 'static,
    W: WindowAssigner,
    N: Stage<A::Out>,
{
    fn take_rows(
        &mut self,
        page: &ValidPage<'_>,
        start: usize,
        context: &mut Context<'_>,
    ) -> Result<usize, TaskError> {
        let columns = A::In::bind(page);
        let mut row = start;
        while row < page.rows() && !context.is_blocked() {
            self.clear();
            let block = page.rows().min(row + BLOCK);
            let mut late = None;
            while row < block && late.is_none() {
                let view = A::In::at(&columns, row);
                let time = (self.time)(Row::new(view));
                let key = (self.key)(Row::new(view));
                let place = self.place(time);
                let watermark = self.state.watermark_of(|| A::Key::hash(key, SEED));
                if place.slice.max_time() <= watermark {
                    late = Some((place, time, watermark, row));
                } else if place.counts {
                    self.batch.push(key);
                    self.push(row, place);
                }
                row += 1;
            }
            self.fold(|row| A::In::at(&columns, row as usize))?;
            if let Some((place, time, watermark, row)) = late {
                let view = A::In::at(&columns, row);
                self.clear();
                self.batch.push((self.key)(Row::new(view)));
                if !self.take_late((place, time, watermark), view, context)?
                    && let Some(side) = &mut self.late
                {
                    side.push(view, context);
                }
            }
        }
        Ok(row)
    }
}

impl<A, S, F, W, N> KeyedHead for SlicedChain<A, S, F, W, N>
where
    A: WindowAggregate,
    S: for<'a> Fn(Row<'a, A::In>) -> <A::Key as Value>::View<'a> + Send + 'static,
    F: for<'a> Fn(Row<'a, A::In>) -> i64 + Send + 'static,
    W: WindowAssigner,
    N: Stage<A::Out>,
{
    type Out = A::Out;
    type Next = N;

    fn next(&mut self) -> &mut N {
        &mut self.next
    }

    fn state(&mut self) -> &mut KeyedState {
        &mut self.state
    }

    fn take(
        &mut self,
        _input: u16,
        page: &ValidPage<'_>,
        start: usize,
        context: &mut Context<'_>,
    ) -> Result<usize, TaskError> {
        check_schema::<A::In>(page, self.fingerprint)?;
        self.take_rows(page, start, context)
    }

    fn advance(&mut self, kind: TimeKind, context: &mut Context<'_>) -> Result<bool, TaskError> {
        match kind {
            TimeKind::Event => self.do_due(context),
            TimeKind::Processing => Ok(true),
        }
    }

    fn restored(&mut self) -> Result<(), TaskError> {
        let Self { assigner, blocks, .. } = self;
        self.kept.restored(&mut self.state, |block| last_end(assigner, blocks, block))?;
        self.done = self.state.watermark.saturating_add(1);
        Ok(())
    }

    fn signal_side(&mut self, signal: Signal, context: &mut Context<'_>) {
        if let Some(late) = &mut self.late {
            late.signal(signal, context);
        }
    }

    fn flush_side(&mut self, force: bool, context: &mut Context<'_>) {
        if let Some(late) = &mut self.late {
            late.flush(force, context);
        }
    }
}

impl<A: WindowAggregate, S, F, W, N> fmt::Debug for SlicedChain<A, S, F, W, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SlicedChain({} blocks)", self.kept.live.len())
    }
}
