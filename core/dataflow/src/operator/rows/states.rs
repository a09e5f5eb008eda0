//! The states of a function.

use alloc::{vec, vec::Vec};
use core::ops::Range;

use millstream_data::{hash::SEED, row::RowLayout, types::Schema};
use millstream_state::{
    Backend, Column, IN_PLACE_MAX, Kind, StateId, StateSpec,
    description::Part,
    list::{elements, frame},
    time::WATERMARK_MAX,
    ttl::{STAMP, Ttl},
};

use super::{
    EntryKeys, RowKeys, WindowClock,
    living::{self, Living, stamp},
};
use crate::{
    chain::{OpenInfo, TaskError},
    state::{Contents, HASH, KeyedState},
};

/// The keyed states of a function.
#[derive(Debug)]
pub struct RowStates {
    pub(super) state: KeyedState,
    /// What its times are of: watermarks, and processing time.
    pub(super) clock: WindowClock,
    /// How long states live that are added next; `None` for ever.
    pub(super) ttl: Option<Ttl>,
    /// Those that expire.
    pub(super) living: Vec<Living>,
    /// What is written, with times in front.
    pub(super) stamped: Vec<u8>,
}

/// Of a state that expires: its number among those that do. `None`: it does not.
pub(super) type Life = Option<u16>;

/// A state: one value for each key.
#[derive(Clone, Copy, Debug)]
pub struct Values(StateId, Life);

/// A state: a list of rows for each key.
#[derive(Clone, Copy, Debug)]
pub struct Lists(StateId, Option<usize>, Life);

/// A state: a map for each key.
#[derive(Clone, Copy, Debug)]
pub struct Maps(pub(super) StateId, pub(super) Life);

/// A state: entries for each key, each with a name and a value. Other than those of [`Maps`] they are found and
/// changed many at a time, and have no order; name and key are in memory with each value, so that both should
/// be short.
#[derive(Clone, Copy, Debug)]
pub struct Entries(StateId, Life);

/// Bytes of the key, the name and the value of an entry, at most: with the time of one that expires it is in
/// place.
pub const ENTRY_BYTES_MAX: usize = IN_PLACE_MAX - STAMP;

impl RowStates {
    /// The states of a subtask, none yet.
    ///
    /// # Errors
    /// If the graph does not say that the node has state, or there is no memory for it.
    pub fn open(info: &OpenInfo) -> Result<Self, TaskError> {
        Ok(Self {
            state: KeyedState::open(info)?,
            clock: WindowClock::default(),
            ttl: None,
            living: Vec::new(),
            stamped: Vec::new(),
        })
    }

    /// The function goes by this clock: watermarks and processing time are what it shows. Of windows whose times
    /// are instants.
    pub fn go_by(&mut self, clock: WindowClock) {
        self.clock = clock;
    }

    /// The keys that these columns of rows of `input` are, of the states that are added next. Without
    /// `nulls` rows that have NULL in one of them have no key.
    ///
    /// # Panics
    /// If there is no such column.
    pub fn keys(&mut self, input: &Schema, columns: &[usize], nulls: bool) -> RowKeys {
        let keys = RowKeys::new(input, columns, nulls);
        self.state.keyed_by_rows_of(keys.schema().clone());
        keys
    }

    /// Adds one value for each key, of `width` bytes if all have as many.
    ///
    /// # Errors
    /// If there is a state of this name, or no memory for it.
    pub fn values(
        &mut self,
        name: &str,
        keys: &RowKeys,
        width: Option<usize>,
    ) -> Result<Values, TaskError> {
        let value = vec![Part::Opaque(width.map(|width| width as u32))];
        let contents = Contents { value, ..Contents::default() };
        let (id, life) = self.add(name, (Kind::Value, width), (keys, Some(0)), contents)?;
        Ok(Values(id, life))
    }

    /// Adds a list of rows of `schema` for each key.
    ///
    /// # Errors
    /// As [`values`](Self::values).
    pub fn lists(
        &mut self,
        name: &str,
        keys: &RowKeys,
        schema: &Schema,
    ) -> Result<Lists, TaskError> {
        let layout = RowLayout::new(schema);
        let width = layout.is_fixed().then(|| layout.fixed_bytes());
        let value = vec![Part::Row(schema.clone())];
        let contents = Contents { value, ..Contents::default() };
        let (id, life) = self.add(name, (Kind::List, width), (keys, Some(0)), contents)?;
        Ok(Lists(id, width.map(|width| width + stamp(life)), life))
    }

    /// Adds a map for each key, from bytes to values of `width` bytes.
    ///
    /// # Errors
    /// As [`values`](Self::values).
    pub fn maps(&mut self, name: &str, keys: &RowKeys, width: usize) -> Result<Maps, TaskError> {
        let value = vec![Part::Opaque(Some(width as u32))];
        let contents = Contents { map_key: vec![Part::Opaque(None)], value, ..Contents::default() };
        let (id, life) = self.add(name, (Kind::Map, Some(width)), (keys, Some(0)), contents)?;
        Ok(Maps(id, life))
    }

    /// Adds entries for each key: with names of `name_width` bytes if all have as many, and values of `width`
    /// bytes. Also gives what calls for many of them are made with.
    ///
    /// # Errors
    /// As [`values`](Self::values).
    pub fn entries(
        &mut self,
        name: &str,
        keys: &RowKeys,
        name_width: Option<usize>,
        width: usize,
    ) -> Result<(Entries, EntryKeys), TaskError> {
        let opaque = |width: Option<usize>| vec![Part::Opaque(width.map(|width| width as u32))];
        let (namespace, value) = (opaque(name_width), opaque(Some(width)));
        let contents = Contents { namespace, value, ..Contents::default() };
        let (id, life) =
            self.add(name, (Kind::Value, Some(width)), (keys, name_width), contents)?;
        Ok((Entries(id, life), EntryKeys::new(keys, name_width)))
    }

    pub(super) fn add(
        &mut self,
        name: &str,
        (kind, value): (Kind, Option<usize>),
        (keys, namespace): (&RowKeys, Option<usize>),
        mut contents: Contents,
    ) -> Result<(StateId, Life), TaskError> {
        let stamp = self.ttl.map_or(0, |_| STAMP);
        let value = value.map(|width| width + stamp);
        let spec = StateSpec { name: name.into(), kind, key: keys.width(), namespace, value };
        let id = self.state.register(&spec)?;
        if stamp > 0 {
            contents.value.insert(0, Part::Opaque(Some(STAMP as u32)));
        }
        self.state.describe(id, contents);
        Ok((id, self.expires(id)))
    }

    /// Calls `each` for each key, in order, with its number and its value of fixed size, `initial` if there
    /// was none, to be changed in place.
    ///
    /// # Errors
    /// If there is no memory for a value. So do the other functions.
    pub fn update(
        &mut self,
        values: Values,
        keys: &RowKeys,
        initial: &[u8],
        each: impl FnMut(usize, &mut [u8]),
    ) -> Result<(), TaskError> {
        match values.1 {
            None => self.state.update(values.0, &keys.keys(), initial, each),
            Some(life) => self.update_living((values.0, life), &keys.keys(), initial, each),
        }
    }

    /// Asks for the values of these keys, which will be [read](Self::read) or [put](Self::put) one by one: so the
    /// waits for memory overlap.
    pub fn read_ahead(&self, values: Values, keys: &RowKeys) {
        self.state.read_ahead(values.0, &keys.keys());
    }

    /// Reads the value of a key; `false` if there is none.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub fn read(
        &mut self,
        values: Values,
        keys: &RowKeys,
        index: usize,
        value: &mut Vec<u8>,
    ) -> Result<bool, TaskError> {
        let found = self.state.read(values.0, &keys.keys().at(index), value)?;
        Ok(found && self.lives(values.1, value)?)
    }

    /// Sets the value of a key.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub fn put(
        &mut self,
        values: Values,
        keys: &RowKeys,
        index: usize,
        value: &[u8],
    ) -> Result<(), TaskError> {
        let key = keys.keys().at(index);
        let Self { state, stamped, .. } = self;
        let value = living::stamped(values.1, state.time, value, stamped);
        state.change(|store, _| store.put(values.0, &key.batch(), Column::Same(value)))
    }

    /// Removes the value of a key.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub fn remove(
        &mut self,
        values: Values,
        keys: &RowKeys,
        index: usize,
    ) -> Result<(), TaskError> {
        let key = keys.keys().at(index);
        self.state.change(|store, _| store.remove(values.0, &key.batch()))
    }

    /// The key groups of the subtask.
    pub fn groups(&self) -> Range<u32> {
        self.state.groups()
    }

    /// Whether the key without columns, that of all rows of an input without keys, is one of the subtask's.
    pub fn has_whole(&self) -> bool {
        self.groups().contains(&self.state.group_of(SEED))
    }

    /// Whether the input has ended.
    pub fn is_over(&self) -> bool {
        self.state.watermark == WATERMARK_MAX
    }

    /// Removes the values of all keys of a key group, and calls `each` with the row of each key and its value.
    /// `keys` has the keys afterwards.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub fn drain(
        &mut self,
        values: Values,
        group: u32,
        keys: &mut RowKeys,
        mut each: impl FnMut(&[u8], &[u8]),
    ) -> Result<(), TaskError> {
        keys.clear();
        self.state.scan_values(values.0, group, |key, value| {
            keys.push(key, 0);
            each(key.get(HASH..).unwrap_or(&[]), value.get(stamp(values.1)..).unwrap_or(&[]));
        })?;
        let keys = keys.keys();
        self.state.change(|store, done| store.remove(values.0, &keys.skip(done)))
    }

    /// Appends a row to the list of each key: they end in `bytes` where `ends` says.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub fn append(
        &mut self,
        lists: Lists,
        keys: &RowKeys,
        ends: &[u32],
        bytes: &[u8],
    ) -> Result<(), TaskError> {
        if let Some(life) = lists.2 {
            return self.append_living((lists.0, lists.1, life), &keys.keys(), ends, bytes);
        }
        let rows = match lists.1 {
            Some(width) => Column::Fixed { width, bytes },
            None => Column::Variable { begin: 0, ends, bytes },
        };
        let keys = keys.keys();
        self.state
            .change(|store, served| store.append(lists.0, &keys.skip(served), rows.skip(served)))
    }

    /// Calls `each` with the number of a key and a row of its list, for each row of each key in order, up
    /// to a key at whose last row it answers `false`; gives how many keys that were.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub fn rows(
        &mut self,
        lists: Lists,
        keys: &RowKeys,
        mut each: impl FnMut(usize, &[u8]) -> bool,
    ) -> Result<usize, TaskError> {
        let living = self.life(lists.2, keys.len())?;
        let all = |number, list: Option<&[u8]>| {
            let mut go_on = true;
            let rows = elements(list.unwrap_or(&[]), lists.1);
            rows.filter_map(|row| living.seen(row)).for_each(|row| go_on = each(number, row));
            Ok(go_on)
        };
        self.state.read_each(lists.0, &keys.keys(), all)
    }

    /// Removes the first row of the list of a key that is equal to this one; `false` if there is none.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub fn remove_row(
        &mut self,
        lists: Lists,
        keys: &RowKeys,
        index: usize,
        row: &[u8],
    ) -> Result<bool, TaskError> {
        let key = keys.keys().at(index);
        let living = self.life(lists.2, 1)?;
        let mut list = Vec::new();
        self.state.read(lists.0, &key, &mut list)?;
        let mut left = Vec::with_capacity(list.len());
        let mut found = false;
        for element in elements(&list, lists.1) {
            if !found && living.seen(element) == Some(row) {
                found = true;
            } else {
                match lists.1 {
                    Some(_) => left.extend_from_slice(element),
                    None => frame(element, &mut left),
                }
            }
        }
        if found {
            self.state.set_list(lists.0, &key, &left)?;
        }
        Ok(found)
    }

    /// Reads the value of a map key of a key; `false` if there is none.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub fn entry(
        &mut self,
        maps: Maps,
        keys: &RowKeys,
        (index, map_key): (usize, &[u8]),
        value: &mut Vec<u8>,
    ) -> Result<bool, TaskError> {
        let found = self.state.read_entry(maps.0, &keys.keys().at(index), map_key, value)?;
        Ok(found && self.lives(maps.1, value)?)
    }

    /// Sets the value of a map key of a key, or removes it.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub fn put_entry(
        &mut self,
        maps: Maps,
        keys: &RowKeys,
        (index, map_key): (usize, &[u8]),
        value: Option<&[u8]>,
    ) -> Result<(), TaskError> {
        let key = keys.keys().at(index);
        let map_key = Column::Same(map_key);
        let Self { state, stamped, .. } = self;
        let value = value.map(|value| living::stamped(maps.1, state.time, value, stamped));
        state.change(|store, _| match value {
            Some(value) => store.put_entries(maps.0, &key.batch(), map_key, Column::Same(value)),
            None => store.remove_entries(maps.0, &key.batch(), map_key),
        })
    }

    /// Calls `each` for each key and name, in order, with its number and its value, `initial` if there was none,
    /// to be changed in place.
    ///
    /// # Errors
    /// As [`update`](Self::update), and if an entry has more than [`ENTRY_BYTES_MAX`].
    pub fn update_entries(
        &mut self,
        entries: Entries,
        keys: &EntryKeys,
        initial: &[u8],
        each: impl FnMut(usize, &mut [u8]),
    ) -> Result<(), TaskError> {
        match entries.1 {
            None => self.state.update(entries.0, &keys.keys(), initial, each),
            Some(life) => self.update_living((entries.0, life), &keys.keys(), initial, each),
        }
    }

    /// Reads the value of the entry of one of these keys and names; `false` if there is none.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub fn read_entry(
        &mut self,
        entries: Entries,
        keys: &EntryKeys,
        index: usize,
        value: &mut Vec<u8>,
    ) -> Result<bool, TaskError> {
        let found = self.state.read(entries.0, &keys.keys().at(index), value)?;
        Ok(found && self.lives(entries.1, value)?)
    }

    /// Removes the entry of one of these keys and names.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub fn remove_entry(
        &mut self,
        entries: Entries,
        keys: &EntryKeys,
        index: usize,
    ) -> Result<(), TaskError> {
        let key = keys.keys().at(index);
        self.state.change(|store, _| store.remove(entries.0, &key.batch()))
    }
}
