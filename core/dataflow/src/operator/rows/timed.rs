//! Rows of keys by their times: what joins of time keep.

use alloc::{format, vec, vec::Vec};

use millstream_data::{
    page::ValidPage,
    row::{PageRows, RowLayout},
    types::Schema,
};
use millstream_state::{
    Backend, Column, Key as StateKey, Kind, StateId, StateSpec, description::Part,
};

use super::{RowKeys, RowStates};
use crate::{
    chain::TaskError,
    state::{Contents, KeyedState, TIME, damaged, namespace, time_of},
};

/// Pairs that are compared at once.
const PAIRS: usize = 4096;
/// Bytes of what tells rows of a key apart: the time, and a number among those of the key.
const PLACE: usize = TIME + 8;

/// Which pairs of rows match, beside their keys and times.
pub trait RowPairs: Send + 'static {
    /// Appends to `holds` whether each pair of a left and a right row matches.
    ///
    /// # Errors
    /// If that cannot be computed for one of them.
    fn holds(
        &mut self,
        left: &[&[u8]],
        right: &[&[u8]],
        holds: &mut Vec<bool>,
    ) -> Result<(), TaskError>;
}

/// Which of some pairs, each of a left and a right row, match: all, if nothing is asked beside.
pub(super) fn matching(
    pairs: Option<&mut impl RowPairs>,
    found: &[[&[u8]; 2]],
) -> Result<Vec<bool>, TaskError> {
    let Some(pairs) = pairs else { return Ok(vec![true; found.len()]) };
    let mut holds = Vec::with_capacity(found.len());
    for part in found.chunks(PAIRS) {
        let (left, right): (Vec<&[u8]>, Vec<&[u8]>) =
            part.iter().map(|[left, right]| (*left, *right)).unzip();
        pairs.holds(&left, &right, &mut holds)?;
    }
    Ok(holds)
}

/// Where a row is among those of its key.
pub(super) type Place = [u8; PLACE];

/// A state: rows of each key in the order of their times, those of one time in the order in which they came.
/// With each goes a byte for its owner.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timed {
    rows: StateId,
    /// The number of the next row of a key.
    next: StateId,
}

/// Rows that were found in the state, one after another.
#[derive(Debug, Default)]
pub(super) struct Found {
    bytes: Vec<u8>,
    rows: Vec<FoundRow>,
}

/// A row that was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct FoundRow {
    /// What it was found for.
    pub(super) index: usize,
    pub(super) place: Place,
    pub(super) time: i64,
    pub(super) mark: u8,
    begin: usize,
    end: usize,
}

impl Found {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.rows.clear();
    }

    pub(super) fn rows(&self) -> &[FoundRow] {
        &self.rows
    }

    pub(super) fn bytes(&self, row: &FoundRow) -> &[u8] {
        self.bytes.get(row.begin..row.end).unwrap_or(&[])
    }

    /// How many bytes all rows have.
    pub(super) fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Keeps the rows for which it is true, in order.
    pub(super) fn retain(&mut self, mut holds: impl Iterator<Item = bool>) {
        self.rows.retain(|_| holds.next() == Some(true));
    }
}

/// The place of a row of this time and number.
fn place(time: i64, number: u64) -> Place {
    let mut place = [0; PLACE];
    place[..TIME].copy_from_slice(&namespace(time));
    place[TIME..].copy_from_slice(&number.to_be_bytes());
    place
}

impl Timed {
    /// Adds the state to those of a function.
    pub(super) fn open(
        states: &mut RowStates,
        name: &str,
        keys: &RowKeys,
        schema: &Schema,
    ) -> Result<Self, TaskError> {
        let state = &mut states.state;
        let key = keys.width();
        let rows = state.register(&StateSpec {
            name: name.into(),
            kind: Kind::Map,
            key,
            namespace: Some(0),
            value: None,
        })?;
        let map_key = vec![Part::Time, Part::Opaque(Some(8))];
        let value = vec![Part::Opaque(Some(1)), Part::Row(schema.clone())];
        state.describe(rows, Contents { map_key, value, ..Contents::default() });
        let next = state.register(&StateSpec {
            name: format!("{name} next"),
            kind: Kind::Value,
            key,
            namespace: Some(0),
            value: Some(8),
        })?;
        let value = vec![Part::Opaque(Some(8))];
        state.describe(next, Contents { value, ..Contents::default() });
        Ok(Self { rows, next })
    }

    /// Adds a row behind those of its time.
    pub(super) fn add(
        &self,
        state: &mut KeyedState,
        key: &StateKey<'_>,
        time: i64,
        (mark, row): (u8, &[u8]),
    ) -> Result<(), TaskError> {
        let mut number = 0;
        state.update(self.next, &key.batch(), &[0; 8], |_, next| {
            if let Some(next) = next.first_chunk_mut() {
                number = u64::from_le_bytes(*next);
                *next = number.wrapping_add(1).to_le_bytes();
            }
        })?;
        self.put(state, key, &place(time, number), (mark, row))
    }

    /// Sets the only row of its time.
    pub(super) fn set(
        &self,
        state: &mut KeyedState,
        key: &StateKey<'_>,
        time: i64,
        row: (u8, &[u8]),
    ) -> Result<(), TaskError> {
        self.put(state, key, &place(time, 0), row)
    }

    /// Sets the row of a place.
    pub(super) fn put(
        &self,
        state: &mut KeyedState,
        key: &StateKey<'_>,
        place: &Place,
        (mark, row): (u8, &[u8]),
    ) -> Result<(), TaskError> {
        let mut value = Vec::with_capacity(1 + row.len());
        value.push(mark);
        value.extend_from_slice(row);
        state.change(|store, _| {
            let (place, value) = (Column::Same(place), Column::Same(&value));
            store.put_entries(self.rows, &key.batch(), place, value)
        })
    }

    /// Adds the rows of a key whose times are from `first` to `last` to those that were found, for `index`;
    /// `true` if there are none behind them.
    pub(super) fn find(
        &self,
        state: &mut KeyedState,
        key: &StateKey<'_>,
        (first, last): (i64, i64),
        (index, found): (usize, &mut Found),
    ) -> Result<bool, TaskError> {
        let (mut whole, mut wrong) = (true, false);
        state.scan_map(self.rows, key, &place(first, 0), |at, value| {
            let time = at.get(..TIME).and_then(time_of);
            let (Some(time), Ok(place), Some((mark, row))) =
                (time, at.try_into(), value.split_first())
            else {
                wrong = true;
                return false;
            };
            if time > last {
                whole = false;
                return false;
            }
            let (mark, begin) = (*mark, found.bytes.len());
            found.bytes.extend_from_slice(row);
            let end = found.bytes.len();
            found.rows.push(FoundRow { index, place, time, mark, begin, end });
            true
        })?;
        match wrong {
            true => Err(damaged("row", &"its time or the row itself is missing")),
            false => Ok(whole),
        }
    }

    /// Removes a row.
    pub(super) fn remove(
        &self,
        state: &mut KeyedState,
        key: &StateKey<'_>,
        place: &Place,
    ) -> Result<(), TaskError> {
        let place = Column::Same(place);
        state.change(|store, _| store.remove_entries(self.rows, &key.batch(), place))
    }

    /// Removes all rows of a key.
    pub(super) fn forget(
        &self,
        state: &mut KeyedState,
        key: &StateKey<'_>,
    ) -> Result<(), TaskError> {
        state.change(|store, _| store.remove(self.rows, &key.batch()))?;
        state.change(|store, _| store.remove(self.next, &key.batch()))
    }
}

/// The rows of a page as rows of this layout.
pub(super) fn rows_of<'a>(
    layout: &'a RowLayout,
    page: &ValidPage<'a>,
) -> Result<PageRows<'a>, TaskError> {
    PageRows::new(layout, page).map_err(|error| damaged("page", &error))
}

/// The event time in a column of a row, in milliseconds.
pub(super) fn time_in(rows: &PageRows<'_>, row: usize, column: usize) -> Result<i64, TaskError> {
    match rows.at(row).is_null(column) {
        true => Err(TaskError::new(
            "the event time of a row is NULL, so that it cannot be joined by time: filter such rows, or give \
             them a time with COALESCE",
        )),
        false => Ok(i64::from_le_bytes(rows.at(row).fixed(column)).div_euclid(1000)),
    }
}
