//! The accumulators of keys, as the values of a state.

use alloc::vec::Vec;
use core::ops::Range;

use millstream_data::{
    Value,
    row::{RowError, RowLayout, RowValue},
    value::Record,
};
use millstream_state::{Backend, Column, IN_PLACE_MAX, Kind, StateId, StateSpec};

use super::{
    AggregateFunction,
    long_keys::{KEY_MAX, LongKeys},
};
use crate::{
    chain::TaskError,
    state::{Contents, KeyBatch, KeyedState, damaged},
};

/// Rows of a page that are folded together: their cache misses overlap.
pub(super) const BLOCK: usize = 256;

/// The accumulator of each key.
pub(super) struct Accumulators<A: AggregateFunction> {
    pub(super) values: StateId,
    /// Those of keys that are too long for it, if there may be any.
    pub(super) long: Option<LongKeys>,
    layout: RowLayout,
    /// The accumulator before the first row, if all are of one size and changed in place.
    initial: Option<Vec<u8>>,
    /// The keys of the rows at hand.
    pub(super) batch: KeyBatch<A::Key>,
    old: Vec<u8>,
    new: Vec<u8>,
    ends: Vec<u32>,
}

impl<A: AggregateFunction> Accumulators<A> {
    /// Adds the state that they are in.
    pub(super) fn register(function: &A, state: &mut KeyedState) -> Result<Self, TaskError> {
        state.keyed_by::<A::Key>();
        let layout = RowLayout::new(&A::Accumulator::schema());
        let batch = KeyBatch::new();
        let key = batch.width();
        let in_place = |bytes: &usize| key.unwrap_or(KEY_MAX) + bytes <= IN_PLACE_MAX;
        let value = layout.is_fixed().then(|| layout.fixed_bytes()).filter(in_place);
        let initial = value.map(|_| {
            let mut initial = Vec::new();
            layout.encode::<A::Accumulator>(function.create().view(), &mut initial);
            initial
        });
        let (name, kind, namespace) = ("values".into(), Kind::Value, Some(0));
        let values = state.register(&StateSpec { name, kind, key, namespace, value })?;
        state.describe(values, Contents::rows::<A::Accumulator>());
        let long = match key {
            Some(_) => None,
            None => Some(LongKeys::register(A::Accumulator::schema().fingerprint(), state)?),
        };
        Ok(Self {
            values,
            long,
            layout,
            initial,
            batch,
            old: Vec::new(),
            new: Vec::new(),
            ends: Vec::new(),
        })
    }

    /// Folds the rows whose keys are at hand, in order: `fold` is given the number of the row and the accumulator
    /// of its key, until it answers `false`; how many rows that were. A key of a row behind those may have
    /// its first accumulator already.
    #[inline(always)]
    pub(super) fn fold(
        &mut self,
        function: &A,
        state: &mut KeyedState,
        fold: impl FnMut(usize, &mut A::Accumulator) -> bool,
    ) -> Result<usize, TaskError> {
        match self.initial {
            Some(_) if self.are_short() => self.fold_in_place(state, fold),
            _ => self.fold_apart(function, state, fold),
        }
    }

    #[inline(always)]
    fn fold_in_place(
        &mut self,
        state: &mut KeyedState,
        mut fold: impl FnMut(usize, &mut A::Accumulator) -> bool,
    ) -> Result<usize, TaskError> {
        let Self { values, layout, initial, batch, new, .. } = self;
        let initial = initial.as_deref().unwrap_or(&[]);
        let (mut served, mut goes_on, mut wrong) = (0, true, None);
        state.update(*values, &batch.keys(), initial, |index, value| {
            if !goes_on {
                return;
            }
            served = index + 1;
            if let Some(bytes) = value.as_chunks_mut().0.first_mut()
                && let Some(word) = A::Accumulator::of_word(u64::from_le_bytes(*bytes))
            {
                let mut accumulator = A::Accumulator::own(word);
                goes_on = fold(index, &mut accumulator);
                let word = A::Accumulator::to_word(accumulator.view());
                *bytes = word.map_or(*bytes, u64::to_le_bytes);
                return;
            }
            let row = match layout.trusted(value) {
                Ok(row) => row,
                Err(error) => {
                    (goes_on, wrong) = (false, Some(error));
                    return;
                }
            };
            let mut accumulator = A::Accumulator::own(layout.decode::<A::Accumulator>(row));
            goes_on = fold(index, &mut accumulator);
            new.clear();
            layout.encode::<A::Accumulator>(accumulator.view(), new);
            // The layout says that all rows are of this size.
            if new.len() == value.len() {
                value.copy_from_slice(new);
            }
        })?;
        wrong.map_or(Ok(served), |error| Err(unreadable(&error)))
    }

    fn fold_apart(
        &mut self,
        function: &A,
        state: &mut KeyedState,
        mut fold: impl FnMut(usize, &mut A::Accumulator) -> bool,
    ) -> Result<usize, TaskError> {
        state.read_ahead(self.values, &self.batch.keys());
        for index in 0..self.batch.len() {
            let mut accumulator = match self.load(state, index)? {
                true => self.decode(&self.old)?,
                false => function.create(),
            };
            let goes_on = fold(index, &mut accumulator);
            self.new.clear();
            self.layout.encode::<A::Accumulator>(accumulator.view(), &mut self.new);
            self.save(state, index, 0..self.new.len())?;
            if !goes_on {
                return Ok(index + 1);
            }
        }
        Ok(self.batch.len())
    }

    /// Reads the accumulator of a key at hand into `old`; `false` if there is none.
    fn load(&mut self, state: &mut KeyedState, index: usize) -> Result<bool, TaskError> {
        let Self { values, long, batch, old, .. } = self;
        let key = batch.keys().at(index);
        match long {
            Some(long) if key.key.len() > KEY_MAX => long.read(state, key.key, old),
            _ => state.read(*values, &key, old),
        }
    }

    /// Sets the accumulator of a key at hand to bytes of `new`.
    fn save(
        &mut self,
        state: &mut KeyedState,
        index: usize,
        bytes: Range<usize>,
    ) -> Result<(), TaskError> {
        let Self { values, long, batch, new, .. } = self;
        let (key, value) = (batch.keys().at(index), new.get(bytes).unwrap_or(&[]));
        match long {
            Some(long) if key.key.len() > KEY_MAX => long.put(state, key.key, value),
            _ => state.set(*values, &key, value),
        }
    }

    /// Whether a backend takes all keys at hand.
    fn are_short(&self) -> bool {
        let is_short = |index| self.batch.at(index).len() <= KEY_MAX;
        self.long.is_none() || (0..self.batch.len()).all(is_short)
    }

    /// Whether all of them have one size.
    pub(super) fn are_fixed(&self) -> bool {
        self.layout.is_fixed()
    }

    /// The accumulator of a key.
    pub(super) fn read(
        &mut self,
        function: &A,
        state: &mut KeyedState,
        key: <A::Key as Value>::View<'_>,
    ) -> Result<A::Accumulator, TaskError> {
        self.batch.clear();
        self.batch.push(key);
        match self.load(state, 0)? {
            true => self.decode(&self.old),
            false => Ok(function.create()),
        }
    }

    /// Sets the accumulators of keys; gives their bytes.
    pub(super) fn put<'a>(
        &mut self,
        state: &mut KeyedState,
        all: impl Iterator<Item = (<A::Key as Value>::View<'a>, <A::Accumulator as Value>::View<'a>)>,
    ) -> Result<usize, TaskError> {
        let Self { layout, batch, new, ends, .. } = self;
        batch.clear();
        new.clear();
        ends.clear();
        for (key, accumulator) in all {
            batch.push(key);
            layout.encode::<A::Accumulator>(accumulator, new);
            ends.push(new.len() as u32);
        }
        if !self.are_short() {
            let mut begin = 0;
            for index in 0..self.batch.len() {
                let end = self.ends.get(index).map_or(begin, |end| *end as usize);
                self.save(state, index, begin..end)?;
                begin = end;
            }
            return Ok(self.new.len());
        }
        let Self { values, batch, new, ends, .. } = self;
        let keys = batch.keys();
        let column = Column::Variable { begin: 0, ends, bytes: new };
        state.change(|store, done| store.put(*values, &keys.skip(done), column.skip(done)))?;
        Ok(new.len())
    }

    /// The accumulator that these bytes are.
    pub(super) fn decode(&self, value: &[u8]) -> Result<A::Accumulator, TaskError> {
        let row = self.layout.trusted(value).map_err(|error| unreadable(&error))?;
        Ok(A::Accumulator::own(self.layout.decode::<A::Accumulator>(row)))
    }
}

#[cold]
fn unreadable(error: &RowError) -> TaskError {
    damaged("value", error)
}
