//! Accumulators that are in use, as values, in front of the state.
//!
//! Of few keys, or some that are much more frequent than others, nearly all rows find the accumulator of their
//! key here, so that it need not be made of bytes and become bytes again. All of them are written to the
//! state when there are too many, before a snapshot and when the input has ended. Where most rows do not find
//! theirs it is left empty, and looked at again later.

use core::fmt;

use hashbrown::HashTable;
use millstream_data::{Key, Value, hash};

use super::{AggregateFunction, accumulators::Accumulators};
use crate::{chain::TaskError, state::KeyedState};

/// Keys that it has at most.
const KEYS: usize = if cfg!(test) { 100 } else { 4096 };
/// Rows after which accumulators of no fixed size are written: what they can have grown by.
const ROWS: u32 = 1 << 16;
/// It is left empty if fewer rows of an accumulator than this came before there were too many.
const ROWS_OF_EACH: u32 = 4;
/// Bytes of all accumulators above which it is left empty.
const BYTES: usize = 1 << 20;
/// Rows for which it is left empty then.
const PAUSE: u32 = if cfg!(test) { 300 } else { 1 << 20 };

/// What keys are found with. Not the seed that key groups are found with: the keys of one subtask have hashes
/// of its groups, which share their highest bits, and the table tells keys of one bucket apart by just these.
const SEED: u64 = hash::SEED.rotate_left(29);

/// The accumulators of some keys, which count more than what the state has for them.
pub(super) struct Front<A: AggregateFunction> {
    entries: HashTable<(A::Key, A::Accumulator)>,
    /// Rows since all was written.
    rows: u32,
    /// Rows for which it is left empty.
    pause: u32,
}

impl<A: AggregateFunction> Front<A> {
    pub(super) fn new() -> Self {
        Self { entries: HashTable::new(), rows: 0, pause: 0 }
    }

    /// Whether it is in use for the next rows, at most so many. What it must not keep is written.
    pub(super) fn is_used(
        &mut self,
        rows: usize,
        accumulators: &mut Accumulators<A>,
        state: &mut KeyedState,
    ) -> Result<bool, TaskError> {
        let rows = rows as u32;
        if self.pause > 0 {
            self.pause = self.pause.saturating_sub(rows);
            return Ok(false);
        }
        let is_full = self.entries.len() + rows as usize > KEYS;
        if is_full || self.rows > ROWS && !accumulators.are_fixed() {
            let few = is_full && self.rows / ROWS_OF_EACH < self.entries.len() as u32;
            let bytes = self.write(accumulators, state)?;
            if few || bytes > BYTES {
                self.pause = PAUSE;
                return Ok(false);
            }
        }
        self.rows = self.rows.saturating_add(rows);
        Ok(true)
    }

    /// The accumulator of a key, if it is here.
    #[inline(always)]
    pub(super) fn find(&mut self, key: <A::Key as Value>::View<'_>) -> Option<&mut A::Accumulator> {
        let hash = A::Key::hash(key, SEED);
        let entry = self.entries.find_mut(hash, |entry| A::Key::same(entry.0.view(), key))?;
        Some(&mut entry.1)
    }

    /// Brings the accumulator of a key that is not here.
    #[cold]
    #[inline(never)]
    pub(super) fn bring(
        &mut self,
        function: &A,
        key: <A::Key as Value>::View<'_>,
        accumulators: &mut Accumulators<A>,
        state: &mut KeyedState,
    ) -> Result<&mut A::Accumulator, TaskError> {
        let accumulator = accumulators.read(function, state, key)?;
        let rehash = |entry: &(A::Key, A::Accumulator)| A::Key::hash(entry.0.view(), SEED);
        let (hash, entry) = (A::Key::hash(key, SEED), (A::Key::own(key), accumulator));
        Ok(&mut self.entries.insert_unique(hash, entry, rehash).into_mut().1)
    }

    /// Writes all of them to the state, and has none any more; gives their bytes.
    pub(super) fn write(
        &mut self,
        accumulators: &mut Accumulators<A>,
        state: &mut KeyedState,
    ) -> Result<usize, TaskError> {
        self.rows = 0;
        let bytes = accumulators
            .put(state, self.entries.iter().map(|entry| (entry.0.view(), entry.1.view())))?;
        self.entries.clear();
        Ok(bytes)
    }
}

impl<A: AggregateFunction> fmt::Debug for Front<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Front({} keys)", self.entries.len())
    }
}
