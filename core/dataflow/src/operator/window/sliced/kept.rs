//! The states of sliced windows: cells by key and block, and which keys and blocks there are.

use alloc::{collections::BTreeMap, vec, vec::Vec};
use core::ops::Range;

use millstream_data::{Key, row::RowValue, value::Record};
use millstream_state::{
    Backend, Column, Key as StateKey, Keys, Kind, StateId, StateSpec, description::Part, list,
};

use crate::{
    chain::TaskError,
    state::{Contents, KeyBatch, KeyedState, TIME, namespace, time_of},
};

/// Keys that are visited together.
pub(super) const STEP: usize = 64;

/// A block with cells.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    /// When its last window ends.
    pub(super) last: i64,
    /// Whether all of its cells are turned.
    pub(super) is_turned: bool,
}

/// Cells by key and block.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) cells: StateId,
    /// By key group: the keys that have a cell, each once.
    keys: StateId,
    /// By key group and block, if the block has cells: whether they are turned.
    blocks: StateId,
    /// Bytes of a key, if all have the same.
    width: Option<usize>,
    /// By their begins.
    pub(super) live: BTreeMap<i64, Block>,
    entered: Entered,
}

/// Keys that are entered, as columns.
#[derive(Debug, Default)]
struct Entered {
    hashes: Vec<u64>,
    groups: Vec<u8>,
    keys: Vec<u8>,
    ends: Vec<u32>,
}

impl Kept {
    /// Adds the states to those of a chain: for keys of `width` bytes and cells of so many, if all have
    /// the same.
    pub(super) fn register(
        state: &mut KeyedState,
        width: Option<usize>,
        cell: Option<usize>,
    ) -> Result<Self, TaskError> {
        let mut add = |name: &str, kind, key, namespace, value| {
            let namespace = Some(namespace);
            state.register(&StateSpec { name: name.into(), kind, key, namespace, value })
        };
        let cells = add("cells", Kind::Value, width, TIME, cell)?;
        let keys = add("keys", Kind::List, Some(8), 0, width)?;
        let blocks = add("blocks", Kind::Value, Some(8), TIME, Some(1))?;
        let (live, entered) = (BTreeMap::new(), Entered::default());
        Ok(Self { cells, keys, blocks, width, live, entered })
    }

    /// Says what the bytes mean; those of cells are `value`.
    pub(super) fn describe(&self, state: &mut KeyedState, value: Vec<Part>) {
        let namespace = vec![Part::Time];
        let cells = Contents { namespace: namespace.clone(), value, ..Contents::default() };
        state.describe(self.cells, cells);
        let value = state.key_parts().into();
        state.describe(self.keys, Contents { of_group: true, value, ..Contents::default() });
        let value = vec![Part::Opaque(Some(1))];
        let blocks = Contents { of_group: true, namespace, value, ..Contents::default() };
        state.describe(self.blocks, blocks);
    }

    /// A block has its first cell; its last window ends at `last`.
    pub(super) fn begin(
        &mut self,
        state: &mut KeyedState,
        block: i64,
        last: i64,
    ) -> Result<(), TaskError> {
        self.live.insert(block, Block { last, is_turned: false });
        self.mark(state, block, Some(false))
    }

    /// All cells of a block are turned.
    pub(super) fn turned(&mut self, state: &mut KeyedState, block: i64) -> Result<(), TaskError> {
        if let Some(found) = self.live.get_mut(&block) {
            found.is_turned = true;
        }
        self.mark(state, block, Some(true))
    }

    /// A block has no cells any more.
    pub(super) fn ended(&mut self, state: &mut KeyedState, block: i64) -> Result<(), TaskError> {
        self.live.remove(&block);
        self.mark(state, block, None)
    }

    /// Writes down, in every key group, what is known of a block, or that nothing is.
    fn mark(
        &self,
        state: &mut KeyedState,
        block: i64,
        is_turned: Option<bool>,
    ) -> Result<(), TaskError> {
        let value = is_turned.map(|is| [u8::from(is)]);
        state.mark(self.blocks, &namespace(block), value.as_ref().map(|value| &value[..]))
    }

    /// Finds out which blocks have cells, after state was put back; `last` says when the last window of a
    /// block ends.
    pub(super) fn restored(
        &mut self,
        state: &mut KeyedState,
        last: impl Fn(i64) -> i64,
    ) -> Result<(), TaskError> {
        for group in state.groups() {
            let mut blocks = Vec::new();
            state.scan(self.blocks, group, |entry| blocks.extend(time_of(entry.namespace)))?;
            for block in blocks {
                let (key, namespace) = (state.group_key(group), namespace(block));
                let mut flag = Vec::new();
                state.read(self.blocks, &key.within(&namespace), &mut flag)?;
                let is_turned = flag == [1];
                let new = Block { last: last(block), is_turned };
                self.live.entry(block).or_insert(new).is_turned &= is_turned;
            }
        }
        Ok(())
    }

    /// Writes down the keys that have got their first cell: of those at hand, whose blocks are given, the ones
    /// with these numbers have a new cell.
    pub(super) fn enter<K: Key + RowValue + Record>(
        &mut self,
        state: &mut KeyedState,
        batch: &KeyBatch<K>,
        blocks: &[i64],
        created: &[u32],
    ) -> Result<(), TaskError> {
        let mut entered = core::mem::take(&mut self.entered);
        let Entered { hashes, groups, keys, ends } = &mut entered;
        hashes.clear();
        groups.clear();
        keys.clear();
        ends.clear();
        let block_of = |index: u32| blocks.get(index as usize).copied().unwrap_or(0);
        let all = batch.keys();
        for (at, index) in created.iter().enumerate() {
            let key = all.at(*index as usize);
            let later = created.get(at + 1..).unwrap_or(&[]);
            // What this call has created does not count, unless it was before.
            let is_later = |block: i64| {
                later.iter().any(|other| {
                    block_of(*other) == block && all.at(*other as usize).key == key.key
                })
            };
            let own = block_of(*index);
            if self.has_another(state, &key, own, is_later)? {
                continue;
            }
            let group = state.group_key_of(key.hash);
            hashes.push(group.hash);
            groups.extend(group.bytes);
            keys.extend_from_slice(key.key);
            ends.push(keys.len() as u32);
        }
        if !hashes.is_empty() {
            let lists = Keys::fixed(hashes, 8, groups);
            let elements = Column::Variable { begin: 0, ends, bytes: keys };
            state.change(|store, done| {
                store.append(self.keys, &lists.skip(done), elements.skip(done))
            })?;
        }
        self.entered = entered;
        Ok(())
    }

    /// Whether a key has a cell in a block that is neither its own nor left out.
    fn has_another(
        &self,
        state: &mut KeyedState,
        key: &StateKey<'_>,
        own: i64,
        leaves_out: impl Fn(i64) -> bool,
    ) -> Result<bool, TaskError> {
        for block in self.live.keys().rev().copied().filter(|block| *block != own) {
            let namespace = namespace(block);
            let key = StateKey { namespace: &namespace, ..*key };
            if state.has(self.cells, &key)? && !leaves_out(block) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes the cells of a block from the keys at hand; which keys have no other is written to `is_gone`.
    pub(super) fn remove<K: Key + RowValue + Record>(
        &self,
        state: &mut KeyedState,
        batch: &KeyBatch<K>,
        block: i64,
        is_gone: &mut Vec<bool>,
    ) -> Result<(), TaskError> {
        is_gone.clear();
        is_gone.resize(batch.len(), true);
        for other in self.live.keys().rev().filter(|other| **other != block) {
            if !is_gone.contains(&true) {
                break;
            }
            let namespace = namespace(*other);
            let keys = batch.keys().within(Column::Same(&namespace));
            state.read_each(self.cells, &keys, |index, cell| {
                if let Some(is_gone) = is_gone.get_mut(index) {
                    *is_gone &= cell.is_none();
                }
                Ok(true)
            })?;
        }
        let namespace = namespace(block);
        let keys = batch.keys().within(Column::Same(&namespace));
        state.change(|store, done| store.remove(self.cells, &keys.skip(done)))
    }
}

/// A walk over all keys that have cells. It may stop after any key and go on later.
#[derive(Debug)]
pub(super) struct Walk {
    groups: Range<u32>,
    group: Option<u32>,
    /// The keys of the group at hand, and how far the walk is.
    keys: Vec<u8>,
    at: usize,
    /// Those that stay, if some do not.
    stay: Vec<u8>,
    has_dropped: bool,
}

impl Walk {
    pub(super) fn begin(state: &KeyedState) -> Self {
        let (keys, stay) = (Vec::new(), Vec::new());
        Self { groups: state.groups(), group: None, keys, at: 0, stay, has_dropped: false }
    }

    /// Puts the next keys into `batch`; `false` if there are none. Key groups that `skips` says are left out.
    pub(super) fn fill<K: Key + RowValue + Record>(
        &mut self,
        kept: &Kept,
        state: &mut KeyedState,
        batch: &mut KeyBatch<K>,
        skips: impl Fn(&KeyedState, u32) -> bool,
    ) -> Result<bool, TaskError> {
        loop {
            if let Some(group) = self.group {
                if self.at < self.keys.len() {
                    break;
                }
                self.leave(kept, state, group)?;
            }
            let Some(group) = self.groups.next() else { return Ok(false) };
            if skips(state, group) {
                continue;
            }
            let key = state.group_key(group);
            (self.at, self.has_dropped) = (0, false);
            self.stay.clear();
            if state.read(kept.keys, &key.within(&[]), &mut self.keys)? {
                self.group = Some(group);
            }
        }
        batch.clear();
        let left = self.keys.get(self.at..).unwrap_or(&[]);
        list::elements(left, kept.width).take(STEP).for_each(|key| batch.push_bytes(key));
        Ok(true)
    }

    /// Goes past so many keys; those stay that `stays` says by their number.
    pub(super) fn advance(&mut self, kept: &Kept, keys: usize, stays: impl Fn(usize) -> bool) {
        for number in 0..keys {
            let left = self.keys.get(self.at..).unwrap_or(&[]);
            let Some((_, behind)) = list::split_first(left, kept.width) else { break };
            let (element, _) = left.split_at(left.len() - behind.len());
            match stays(number) {
                true => self.stay.extend_from_slice(element),
                false => self.has_dropped = true,
            }
            self.at = self.keys.len() - behind.len();
        }
    }

    /// Is done with a group.
    fn leave(&mut self, kept: &Kept, state: &mut KeyedState, group: u32) -> Result<(), TaskError> {
        self.group = None;
        if !self.has_dropped {
            return Ok(());
        }
        let key = state.group_key(group);
        state.set_list(kept.keys, &key.within(&[]), &self.stay)
    }
}
