//! The keys of rows of a page.

use alloc::vec::Vec;
use millstream_state::{Column, Keys};

use crate::{
    chain::TaskError,
    state::{HASH, KeyBuffer, damaged, hash_of},
};
use millstream_data::{
    hash::SEED,
    page::ValidPage,
    row::{PageRows, RowLayout},
    types::{Field, Schema},
};

/// The keys of some rows of a page, as they are in the state: a hash, and the row of the key's columns.
#[derive(Clone, Debug)]
pub struct RowKeys {
    schema: Schema,
    layout: RowLayout,
    keys: KeyBuffer,
    rows: Vec<u32>,
}

impl AsRef<KeyBuffer> for RowKeys {
    fn as_ref(&self) -> &KeyBuffer {
        &self.keys
    }
}

impl AsMut<KeyBuffer> for RowKeys {
    fn as_mut(&mut self) -> &mut KeyBuffer {
        &mut self.keys
    }
}

impl RowKeys {
    /// No keys yet: of these columns of rows of `input`. Those of states are made by
    /// [`RowStates::keys`](super::RowStates::keys).
    ///
    /// # Panics
    /// If there is no such column.
    pub fn new(input: &Schema, columns: &[usize], nulls: bool) -> Self {
        let field = |column: &usize| {
            let field = &input.fields[*column];
            Field { nullable: field.nullable && nulls, ..field.clone() }
        };
        let schema = Schema::new(columns.iter().map(field).collect());
        let layout = RowLayout::projected(input, columns, nulls);
        Self { schema, keys: KeyBuffer::new(&layout), layout, rows: Vec::new() }
    }

    /// The columns of a key.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Takes the keys of up to `most` rows from `start` on; gives the row behind them.
    ///
    /// # Errors
    /// If the page is not of the input's schema.
    pub fn take(
        &mut self,
        page: &ValidPage<'_>,
        start: usize,
        most: usize,
    ) -> Result<usize, TaskError> {
        let Self { schema, layout, keys, rows: numbers } = self;
        keys.clear();
        numbers.clear();
        let rows = PageRows::new(layout, page).map_err(|error| damaged("page", &error))?;
        let end = page.rows().min(start + most);
        let columns = layout.columns();
        let is_null = |row| (0..columns).any(|column| rows.at(row).is_null(column));
        let may_be_null = schema.fields.iter().any(|field| field.nullable);
        for row in (start..end).filter(|row| may_be_null || !is_null(*row)) {
            keys.push_with(rows.hash(row), |bytes| {
                rows.gather(row, bytes);
            });
            numbers.push(row as u32);
        }
        Ok(end)
    }

    /// Takes the key without columns, that of all rows of an input without keys.
    pub fn take_whole(&mut self) {
        let Self { layout, keys, rows, .. } = self;
        keys.clear();
        rows.clear();
        keys.push_with(SEED, |bytes| layout.write(bytes, |_| {}));
        rows.push(0);
    }

    /// Finds which keys are equal.
    pub fn find_equal(&self, groups: &mut EqualKeys) {
        groups.clear(self.len());
        for index in 0..self.len() {
            let mut slot = self.hash(index) as usize;
            let group = loop {
                slot &= groups.slots.len() - 1;
                let Some(found) = groups.slots.get_mut(slot) else { break 0 };
                match groups.firsts.get(*found as usize) {
                    Some(first) if self.at(*first as usize) == self.at(index) => break *found,
                    Some(_) => slot += 1,
                    None => {
                        *found = groups.firsts.len() as u32;
                        groups.firsts.push(index as u32);
                        break *found;
                    }
                }
            };
            groups.of.push(group);
        }
    }

    /// Keeps the first keys only.
    pub fn truncate(&mut self, keys: usize) {
        self.keys.truncate(keys);
        self.rows.truncate(keys);
    }

    /// The rows of the page that have keys.
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of each key, if all have the same.
    pub(super) fn width(&self) -> Option<usize> {
        self.keys.width()
    }

    /// All of them for a call of the state.
    pub(super) fn keys(&self) -> Keys<'_> {
        self.keys.keys()
    }

    /// The bytes of a key as it is in the state.
    pub(super) fn at(&self, index: usize) -> &[u8] {
        self.keys.at(index)
    }

    /// The row of a key's columns.
    pub fn row(&self, index: usize) -> &[u8] {
        self.keys.at(index).get(HASH..).unwrap_or(&[])
    }

    /// Checks that keys which come from the state are keys.
    pub(super) fn check(&self) -> Result<(), TaskError> {
        (0..self.keys.len()).try_for_each(|index| {
            let checked = self.layout.validate(self.row(index));
            checked.map(|_| ()).map_err(|error| damaged("key", &error))
        })
    }

    /// The hash of a key.
    pub(super) fn hash(&self, index: usize) -> u64 {
        hash_of(self.keys.at(index))
    }

    /// Removes all keys.
    pub(super) fn clear(&mut self) {
        self.keys.clear();
        self.rows.clear();
    }

    /// Adds a key as it is in the state, of this row.
    pub(super) fn push(&mut self, key: &[u8], row: u32) {
        self.keys.push_bytes(key);
        self.rows.push(row);
    }
}

/// Which of some keys are equal, see [`RowKeys::find_equal`].
#[derive(Clone, Debug, Default)]
pub struct EqualKeys {
    /// A hash table of twice as many slots as there are keys: groups, or more than there are.
    slots: Vec<u32>,
    firsts: Vec<u32>,
    of: Vec<u32>,
}

impl EqualKeys {
    fn clear(&mut self, keys: usize) {
        self.slots.clear();
        self.slots.resize((2 * keys).next_power_of_two(), u32::MAX);
        self.firsts.clear();
        self.of.clear();
    }

    /// The group of each key: a number from 0.
    pub fn of(&self) -> &[u32] {
        &self.of
    }

    /// The first key of each group.
    pub fn firsts(&self) -> &[u32] {
        &self.firsts
    }
}

/// Some keys, each with the name of an entry, see [`Entries`](super::Entries).
#[derive(Clone, Debug)]
pub struct EntryKeys {
    keys: KeyBuffer,
    /// Bytes of each name, if all have the same.
    width: Option<usize>,
    ends: Vec<u32>,
    names: Vec<u8>,
    indexes: Vec<u32>,
}

impl EntryKeys {
    pub(super) fn new(keys: &RowKeys, width: Option<usize>) -> Self {
        let mut keys = keys.keys.clone();
        keys.clear();
        Self { keys, width, ends: Vec::new(), names: Vec::new(), indexes: Vec::new() }
    }

    /// Removes all.
    pub fn clear(&mut self) {
        self.keys.clear();
        self.ends.clear();
        self.names.clear();
        self.indexes.clear();
    }

    /// Adds one of some keys with a name.
    pub fn push(&mut self, keys: &RowKeys, index: usize, name: &[u8]) {
        self.keys.push_bytes(keys.at(index));
        self.names.extend_from_slice(name);
        self.ends.push(self.names.len() as u32);
        self.indexes.push(index as u32);
    }

    /// The number that each key has among those that it was added from.
    pub fn indexes(&self) -> &[u32] {
        &self.indexes
    }

    /// All of them for a call of the state.
    pub(super) fn keys(&self) -> Keys<'_> {
        let names = match self.width {
            Some(width) => Column::Fixed { width, bytes: &self.names },
            None => Column::Variable { begin: 0, ends: &self.ends, bytes: &self.names },
        };
        self.keys.keys().within(names)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use millstream_data::types::DataType;

    use super::*;

    #[test]
    fn equal_keys_are_one_group() {
        let schema = Schema::new(vec![Field::new("word", DataType::String)]);
        let mut keys = RowKeys::new(&schema, &[0], true);
        // All begin at the same slot.
        for word in ["b", "a", "b", "c", "a", "a"] {
            keys.keys.push_with(7, |bytes| bytes.extend_from_slice(word.as_bytes()));
        }
        let mut groups = EqualKeys::default();
        for _ in 0..2 {
            keys.find_equal(&mut groups);
            assert_eq!((groups.of(), groups.firsts()), (&[0, 1, 0, 2, 1, 1][..], &[0, 1, 3][..]));
        }
        keys.clear();
        keys.find_equal(&mut groups);
        assert!(groups.of().is_empty() && groups.firsts().is_empty());
    }
}
