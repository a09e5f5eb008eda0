//! What is kept for a key and a block: an accumulator for each slot.
//!
//! ```text
//! form u8 | summed u8 | bits u64 | sum | an accumulator for each slot
//! ```
//!
//! A cell is **open** as long as windows may end within its block. Such a window begins with the block or
//! before it, and so takes the first slots, up to some. The sum has those that had ended when the last row
//! was folded: what a window takes is the sum and the few slots that have ended since. When no window
//! ends within the block any more the cell is **turned**: each slot becomes the sum of itself and all
//! behind it, which is what a window takes that begins within the block. So a slot takes part in two sums,
//! however many windows there are. (Gil and Werman, *Computing 2-D Min, Median, and Max Filters*, 1993,
//! with rows that come out of order.)
//!
//! Accumulators that have not always the same size, or too many bytes, are kept alone: one slot for each
//! block, and nothing in front.

use alloc::vec::Vec;
use core::ops::Range;

use millstream_data::{
    Value,
    row::{RowError, RowLayout, RowValue},
};
use millstream_state::IN_PLACE_MAX;

use super::blocks::SLOTS_MAX;
use crate::{operator::window::WindowAggregate, state::TIME};

const HEADER: usize = 10;
/// The sum, among the accumulators of a cell; that of a slot is one further than the slot.
const SUM: usize = 0;
const OPEN: u8 = 1;
const TURNED: u8 = 2;

/// How cells are laid out.
#[derive(Debug)]
pub(super) struct Cells {
    row: RowLayout,
    slots: usize,
    /// Bytes of an accumulator, if cells have slots.
    width: Option<usize>,
    scratch: Vec<u8>,
}

/// What the first bytes of a cell say.
#[derive(Clone, Copy, Debug)]
struct Header {
    /// 0 as long as there is no row.
    form: u8,
    /// How many slots the sum has.
    summed: usize,
    /// Slots that have an accumulator.
    bits: u64,
}

impl Header {
    fn read(cell: &[u8]) -> Self {
        let header = cell.first_chunk::<HEADER>().copied().unwrap_or_default();
        let [form, summed, bits @ ..] = header;
        Self { form, summed: summed.into(), bits: u64::from_le_bytes(bits) }
    }

    fn write(self, cell: &mut [u8]) {
        if let Some([form, summed, bits @ ..]) = cell.first_chunk_mut::<HEADER>() {
            (*form, *summed, *bits) = (self.form, self.summed as u8, self.bits.to_le_bytes());
        }
    }

    /// Which of these slots have an accumulator.
    fn of(self, slots: Range<usize>) -> u64 {
        self.bits & below(slots.end) & !below(slots.start)
    }
}

/// A bit for each slot below this one.
fn below(slot: usize) -> u64 {
    if slot < SLOTS_MAX { (1 << slot) - 1 } else { u64::MAX }
}

/// The slots of some bits, in order.
fn each(bits: u64) -> impl Iterator<Item = usize> {
    let rest = |bits: &u64| Some(bits & (bits - 1)).filter(|rest| *rest != 0);
    let all = core::iter::successors((bits != 0).then_some(bits), rest);
    all.map(|bits| bits.trailing_zeros() as usize)
}

/// Of accumulators that are rows of `row`, under keys of `key` bytes, if all have the same, how many fit one
/// cell; 0 if they are to be kept alone.
pub(super) fn room(row: &RowLayout, key: Option<usize>) -> usize {
    let (Some(key), true) = (key, row.is_fixed()) else { return 0 };
    let taken = key + TIME + HEADER;
    // One of them is for the sum.
    (IN_PLACE_MAX.saturating_sub(taken) / row.fixed_bytes().max(1)).saturating_sub(1)
}

impl Cells {
    /// Cells of so many slots; of one, whose accumulator is kept alone, if there is no [`room`].
    pub(super) fn new(row: RowLayout, slots: usize, room: usize) -> Self {
        let width = (room >= slots).then(|| row.fixed_bytes());
        Self { row, slots, width, scratch: Vec::new() }
    }

    /// Bytes in front of a cell's accumulators, the sum and those of slots; `None` if they are kept alone.
    pub(super) fn header(&self) -> Option<usize> {
        self.width.map(|_| HEADER)
    }

    /// A cell without rows, if it has slots.
    pub(super) fn empty<A: WindowAggregate>(&self, function: &A) -> Option<Vec<u8>> {
        let mut cell = alloc::vec![0; self.header()?];
        let none = function.create();
        for _ in 0..1 + self.slots {
            self.row.encode::<A::Accumulator>(none.view(), &mut cell);
        }
        Some(cell)
    }

    /// Folds a row into a slot, of a block of which so many slots have ended. `true` if it is the first
    /// row of the cell.
    pub(super) fn fold<A: WindowAggregate>(
        &mut self,
        function: &A,
        cell: &mut [u8],
        (slot, ended): (usize, usize),
        row: <A::In as Value>::View<'_>,
    ) -> Result<bool, RowError> {
        let header = Header::read(cell);
        let fold = |accumulator: &mut A::Accumulator| function.add(accumulator, row);
        let bit = 1 << slot;
        if header.form == TURNED {
            for slot in 0..=slot {
                self.change(function, cell, 1 + slot, header.bits & (1 << slot) != 0, fold)?;
            }
            Header { bits: header.bits | below(slot + 1), ..header }.write(cell);
            return Ok(false);
        }
        let summed = self.sum(function, cell, ended)?;
        self.change(function, cell, 1 + slot, header.bits & bit != 0, fold)?;
        if slot < summed {
            let is_there = header.of(0..summed) != 0;
            self.change(function, cell, SUM, is_there, fold)?;
        }
        Header { form: OPEN, summed, bits: header.bits | bit }.write(cell);
        Ok(header.form == 0)
    }

    /// Adds slots that have ended to the sum; how many it has then.
    fn sum<A: WindowAggregate>(
        &mut self,
        function: &A,
        cell: &mut [u8],
        ended: usize,
    ) -> Result<usize, RowError> {
        let header = Header::read(cell);
        if ended <= header.summed {
            return Ok(header.summed);
        }
        let mut sum = None;
        self.part(function, cell, (0, ended), &mut sum)?;
        if let Some(sum) = sum {
            self.write(cell, SUM, &sum);
        }
        Ok(ended)
    }

    /// No window ends within the block any more.
    pub(super) fn turn<A: WindowAggregate>(
        &mut self,
        function: &A,
        cell: &mut [u8],
    ) -> Result<(), RowError> {
        let mut header = Header::read(cell);
        if header.form != OPEN {
            return Ok(());
        }
        let mut sum: Option<A::Accumulator> = None;
        for slot in (0..self.slots).rev() {
            let mut whole = None;
            if header.bits & (1 << slot) != 0 {
                self.merge_slot(function, cell, 1 + slot, &mut whole)?;
            }
            // In the order of time, for those who care.
            match (&mut whole, &sum) {
                (Some(whole), Some(behind)) => function.merge(whole, behind.view()),
                (None, Some(_)) => whole = sum.take(),
                (_, None) => {}
            }
            if let Some(whole) = &whole {
                self.write(cell, 1 + slot, whole);
                header.bits |= 1 << slot;
            }
            sum = whole;
        }
        Header { form: TURNED, ..header }.write(cell);
        Ok(())
    }

    /// Merges the slots from one on, up to another, into an accumulator.
    pub(super) fn part<A: WindowAggregate>(
        &self,
        function: &A,
        cell: &[u8],
        (from, to): (usize, usize),
        into: &mut Option<A::Accumulator>,
    ) -> Result<(), RowError> {
        if self.width.is_none() {
            return self.merge_row(function, cell, into);
        }
        let header = Header::read(cell);
        let mut slots = header.of(from..to);
        if header.form == TURNED {
            // The first one has the others.
            slots &= 1 << from;
        } else if from == 0 && to >= header.summed && header.of(0..header.summed) != 0 {
            self.merge_slot(function, cell, SUM, into)?;
            slots &= !below(header.summed);
        }
        each(slots).try_for_each(|slot| self.merge_slot(function, cell, 1 + slot, into))
    }

    /// Where in a cell the accumulator of a slot is, in bytes.
    pub(super) fn offset(&self, slot: usize) -> u16 {
        self.place(1 + slot).start as u16
    }

    /// The bytes of the sum, which is the first, or of the accumulator of a slot.
    fn place(&self, number: usize) -> Range<usize> {
        let width = self.width.unwrap_or(0);
        let begin = HEADER + width * number;
        begin..begin + width
    }

    fn merge_slot<A: WindowAggregate>(
        &self,
        function: &A,
        cell: &[u8],
        number: usize,
        into: &mut Option<A::Accumulator>,
    ) -> Result<(), RowError> {
        self.merge_row(function, cell.get(self.place(number)).unwrap_or(&[]), into)
    }

    /// Merges an accumulator into one that there may be.
    fn merge_row<A: WindowAggregate>(
        &self,
        function: &A,
        row: &[u8],
        into: &mut Option<A::Accumulator>,
    ) -> Result<(), RowError> {
        let view = self.row.decode::<A::Accumulator>(self.row.trusted(row)?);
        match into {
            None => *into = Some(A::Accumulator::own(view)),
            Some(into) => function.merge(into, view),
        }
        Ok(())
    }

    fn write<T: RowValue>(&mut self, cell: &mut [u8], number: usize, value: &T) {
        self.scratch.clear();
        self.row.encode::<T>(value.view(), &mut self.scratch);
        if let Some(place) = cell.get_mut(self.place(number))
            && place.len() == self.scratch.len()
        {
            place.copy_from_slice(&self.scratch);
        }
    }

    /// Changes the sum, or the accumulator of a slot, which begins if it is not there.
    fn change<A: WindowAggregate>(
        &mut self,
        function: &A,
        cell: &mut [u8],
        number: usize,
        is_there: bool,
        change: impl FnOnce(&mut A::Accumulator),
    ) -> Result<(), RowError> {
        let mut accumulator = None;
        if is_there {
            self.merge_slot(function, cell, number, &mut accumulator)?;
        }
        let mut accumulator = accumulator.unwrap_or_else(|| function.create());
        change(&mut accumulator);
        self.write(cell, number, &accumulator);
        Ok(())
    }

    /// Folds a row into the bytes of an accumulator that is kept alone, if there is one, and appends those of
    /// the new one.
    pub(super) fn fold_alone<A: WindowAggregate>(
        &self,
        function: &A,
        old: Option<&[u8]>,
        row: <A::In as Value>::View<'_>,
        new: &mut Vec<u8>,
    ) -> Result<(), RowError> {
        let mut accumulator = None;
        if let Some(old) = old {
            self.merge_row(function, old, &mut accumulator)?;
        }
        let mut accumulator = accumulator.unwrap_or_else(|| function.create());
        function.add(&mut accumulator, row);
        self.row.encode::<A::Accumulator>(accumulator.view(), new);
        Ok(())
    }
}
