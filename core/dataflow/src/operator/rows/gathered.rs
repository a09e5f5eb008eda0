//! What is gathered beside what is kept of windows: lists, to which rows are appended without reading them.
//!
//! A list that has grown to twice of what was needed of it is read, and what is not needed is left out, so that a row
//! costs the same however long its list is.

use alloc::{format, vec, vec::Vec};

use millstream_data::row::PageRows;
use millstream_state::{Backend, Column, Key, Keys, Kind, StateId, StateSpec, description::Part};

use super::{RowFold, RowKeys};
use crate::{
    chain::TaskError,
    state::{Contents, KeyedState, TIME},
};

/// Elements that a list may have before it is read.
const LEAST: u32 = 256;
/// Bytes of how many elements a list has, and how many it may have.
const SIZE: usize = 8;

/// The lists of a fold, by key and a time: that of a window, a slice or a session.
pub(super) struct Gathered {
    lists: Vec<List>,
    /// Those of rows at hand that add an element: their keys and times, and the elements.
    keys: RowKeys,
    times: Vec<u8>,
    ends: Vec<u32>,
    elements: Vec<u8>,
    /// Lists that have grown.
    grown: Vec<usize>,
    read: Vec<u8>,
    /// What was asked for last.
    taken: Vec<Vec<u8>>,
}

struct List {
    elements: StateId,
    /// Bytes of an element; `None`: each is behind its length.
    width: Option<usize>,
    sizes: StateId,
}

impl Gathered {
    /// Those that a fold asks for; `None` if it has none.
    pub(super) fn open(
        fold: &impl RowFold,
        keys: &RowKeys,
        state: &mut KeyedState,
    ) -> Result<Option<Self>, TaskError> {
        let mut lists = Vec::new();
        for (number, width) in fold.lists().into_iter().enumerate() {
            let mut add = |name, kind, value: Option<usize>| {
                let (key, namespace) = (keys.width(), Some(TIME));
                let id = state.register(&StateSpec { name, kind, key, namespace, value })?;
                let value = vec![Part::Opaque(value.map(|value| value as u32))];
                let namespace = vec![Part::Time];
                state.describe(id, Contents { namespace, value, ..Contents::default() });
                Ok::<_, TaskError>(id)
            };
            let elements = add(format!("gathered {number}"), Kind::List, width)?;
            let sizes = add(format!("gathered {number}, sizes"), Kind::Value, Some(SIZE))?;
            lists.push(List { elements, width, sizes });
        }
        let taken = vec![Vec::new(); lists.len()];
        Ok((!lists.is_empty()).then(|| Self {
            lists,
            keys: keys.clone(),
            times: Vec::new(),
            ends: Vec::new(),
            elements: Vec::new(),
            grown: Vec::new(),
            read: Vec::new(),
            taken,
        }))
    }

    /// Adds what rows of a page have for the lists of their keys and times.
    pub(super) fn add(
        &mut self,
        state: &mut KeyedState,
        fold: &mut impl RowFold,
        rows: &PageRows<'_>,
        (batch, times): (&RowKeys, &[u8]),
    ) -> Result<(), TaskError> {
        let Self { lists, keys, times: of, ends, elements, grown, read, .. } = self;
        for (number, list) in lists.iter().enumerate() {
            keys.clear();
            of.clear();
            ends.clear();
            elements.clear();
            for (index, (row, time)) in batch.rows().iter().zip(times.chunks(TIME)).enumerate() {
                if fold.gather(number, rows, *row as usize, elements) {
                    keys.push(batch.at(index), *row);
                    of.extend_from_slice(time);
                    ends.push(elements.len() as u32);
                }
            }
            let new = match list.width {
                Some(width) => Column::Fixed { width, bytes: elements },
                None => Column::Variable { begin: 0, ends, bytes: elements },
            };
            let all = keys.keys().within(Column::Fixed { width: TIME, bytes: of });
            state.change(|store, done| {
                store.append(list.elements, &all.skip(done), new.skip(done))
            })?;
            grown.clear();
            state.update(list.sizes, &all, &[0; SIZE], |index, size| {
                let (elements, most) = sizes(size);
                let elements = elements.saturating_add(1);
                set_sizes(size, elements, most);
                if elements == most.saturating_add(1) {
                    grown.push(index);
                }
            })?;
            for index in grown.drain(..) {
                state.read(list.elements, &all.at(index), read)?;
                list.shrink(state, (fold, number), &all.at(index), read)?;
            }
        }
        Ok(())
    }

    /// The lists of a key and time, as the state has them.
    pub(super) fn take(
        &mut self,
        state: &mut KeyedState,
        key: &Key<'_>,
    ) -> Result<&[Vec<u8>], TaskError> {
        for (list, taken) in self.lists.iter().zip(&mut self.taken) {
            taken.clear();
            state.read(list.elements, key, taken)?;
        }
        Ok(&self.taken)
    }

    /// Removes those of keys and times.
    pub(super) fn remove(&self, state: &mut KeyedState, keys: &Keys<'_>) -> Result<(), TaskError> {
        for list in &self.lists {
            for id in [list.elements, list.sizes] {
                state.change(|store, done| store.remove(id, &keys.skip(done)))?;
            }
        }
        Ok(())
    }

    /// Adds those of a key and other times to those of a time, behind them.
    pub(super) fn join(
        &mut self,
        state: &mut KeyedState,
        fold: &mut impl RowFold,
        key: &Key<'_>,
        others: impl Iterator<Item = [u8; TIME]> + Clone,
    ) -> Result<(), TaskError> {
        let Self { lists, elements, read, .. } = self;
        for (number, list) in lists.iter().enumerate() {
            elements.clear();
            for other in others.clone() {
                let other = Key { namespace: &other, ..*key };
                read.clear();
                state.read(list.elements, &other, read)?;
                elements.extend_from_slice(read);
            }
            if elements.is_empty() {
                continue;
            }
            read.clear();
            state.read(list.elements, key, read)?;
            read.extend_from_slice(elements);
            list.shrink(state, (fold, number), key, read)?;
        }
        for other in others {
            self.remove(state, &Key { namespace: &other, ..*key }.batch())?;
        }
        Ok(())
    }
}

impl List {
    /// Keeps of elements of a key what is needed.
    fn shrink(
        &self,
        state: &mut KeyedState,
        (fold, number): (&mut impl RowFold, usize),
        key: &Key<'_>,
        elements: &[u8],
    ) -> Result<(), TaskError> {
        let mut needed = Vec::new();
        let left = u32::try_from(fold.shrink(number, elements, &mut needed)).unwrap_or(u32::MAX);
        state.set_list(self.elements, key, &needed)?;
        let mut size = [0; SIZE];
        set_sizes(&mut size, left, left.saturating_mul(2));
        state.set(self.sizes, key, &size)
    }
}

/// How many elements a list has, and how many it may have.
fn sizes(size: &[u8]) -> (u32, u32) {
    let number = |bytes: Option<&[u8; 4]>| bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes));
    (number(size.first_chunk()), number(size.last_chunk()).max(LEAST))
}

fn set_sizes(size: &mut [u8], elements: u32, most: u32) {
    let [elements, most] = [elements, most].map(u32::to_le_bytes);
    size.iter_mut().zip(elements.into_iter().chain(most)).for_each(|(to, from)| *to = from);
}

#[cfg(test)]
mod tests;
