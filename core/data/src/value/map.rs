//! Maps: `BTreeMap<K, V>` as SQL's `MAP`.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, btree_map},
};
use core::{fmt, ops::Range};

use super::{
    Key, ListColumns, Value, field,
    list::{count, put_empty},
};
use crate::{
    page::{Cells, ColumnCursor, Full, Slot, SlotCursor},
    row::{RowList, RowReader},
    types::DataType,
};

/// A map that is read in place: in a page or a row, or in the `BTreeMap` that will be written into
/// one.
///
/// The entries of a page or row come in the order in which they were written: sorted by key if a
/// `BTreeMap` was, in any order if a connector did.
pub struct MapView<'a, K: Value, V: Value>(Entries<'a, K, V>);

enum Entries<'a, K: Value, V: Value> {
    /// Entries `start..end` of the columns.
    Page {
        columns: (K::Columns<'a>, V::Columns<'a>),
        start: usize,
        end: usize,
    },
    Row {
        list: RowList<'a>,
        read: ReadEntry<K, V>,
    },
    Tree(&'a BTreeMap<K, V>),
}

/// Reads a key and its value.
type ReadEntry<K, V> =
    for<'b> fn(&mut RowReader<'b>) -> (<K as Value>::View<'b>, <V as Value>::View<'b>);

impl<'a, K: Value, V: Value> MapView<'a, K, V> {
    /// A view of an owned map.
    pub fn of(map: &'a BTreeMap<K, V>) -> Self {
        Self(Entries::Tree(map))
    }

    /// A view of a map in a row, whose entries `read` reads.
    pub(crate) fn in_row(list: RowList<'a>, read: ReadEntry<K, V>) -> Self {
        Self(Entries::Row { list, read })
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        match self.0 {
            Entries::Page { start, end, .. } => end - start,
            Entries::Row { list, .. } => list.len(),
            Entries::Tree(map) => map.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keys and values, in place.
    pub fn iter(&self) -> MapIter<'a, K, V> {
        MapIter(match self.0 {
            Entries::Page { columns, start, end } => Walk::Page { columns, rest: start..end },
            Entries::Row { list, read } => Walk::Row { list, read, rest: 0..list.len() },
            Entries::Tree(map) => Walk::Tree(map.iter()),
        })
    }

    /// The value of a key: of its last entry, should a connector have written several. Looks at
    /// every entry.
    pub fn get(&self, key: K::View<'_>) -> Option<V::View<'a>>
    where
        K: Key,
    {
        let same = |(found, _): &(K::View<'a>, V::View<'a>)| K::same(*found, key);
        self.iter().filter(same).last().map(|(_, value)| value)
    }
}

/// The entries of a map, in place.
pub struct MapIter<'a, K: Value, V: Value>(Walk<'a, K, V>);

enum Walk<'a, K: Value, V: Value> {
    Page { columns: (K::Columns<'a>, V::Columns<'a>), rest: Range<usize> },
    Row { list: RowList<'a>, read: ReadEntry<K, V>, rest: Range<usize> },
    Tree(btree_map::Iter<'a, K, V>),
}

impl<'a, K: Value, V: Value> Iterator for MapIter<'a, K, V> {
    type Item = (K::View<'a>, V::View<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Walk::Page { columns, rest } => {
                let entry = rest.next()?;
                Some((K::at(&columns.0, entry), V::at(&columns.1, entry)))
            }
            Walk::Row { list, read, rest } => Some(read(&mut RowReader::of(list.at(rest.next()?)))),
            Walk::Tree(entries) => entries.next().map(|(key, value)| (key.view(), value.view())),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.0 {
            Walk::Page { rest, .. } | Walk::Row { rest, .. } => rest.size_hint(),
            Walk::Tree(entries) => entries.size_hint(),
        }
    }
}

impl<K: Value, V: Value> ExactSizeIterator for MapIter<'_, K, V> {}

impl<'a, K: Value, V: Value> IntoIterator for MapView<'a, K, V> {
    type Item = (K::View<'a>, V::View<'a>);
    type IntoIter = MapIter<'a, K, V>;

    fn into_iter(self) -> MapIter<'a, K, V> {
        self.iter()
    }
}

// Not derived: a view is copied whether or not its entries can be.
impl<K: Value, V: Value> Clone for MapView<'_, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K: Value, V: Value> Copy for MapView<'_, K, V> {}

impl<K: Value, V: Value> Clone for Entries<'_, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K: Value, V: Value> Copy for Entries<'_, K, V> {}

impl<'a, K, V> fmt::Debug for MapView<'a, K, V>
where
    K: Value<View<'a>: fmt::Debug>,
    V: Value<View<'a>: fmt::Debug>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: Value, V: Value> fmt::Debug for MapIter<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MapIter({} to come)", self.len())
    }
}

/// Equal if they have the same entries in the same order.
impl<'a, 'b, K, V> PartialEq<MapView<'b, K, V>> for MapView<'a, K, V>
where
    K: Value<View<'a>: PartialEq<K::View<'b>>>,
    V: Value<View<'a>: PartialEq<V::View<'b>>>,
{
    fn eq(&self, other: &MapView<'b, K, V>) -> bool {
        let mut pairs = self.iter().zip(other.iter());
        self.len() == other.len() && pairs.all(|(a, b)| a.0 == b.0 && a.1 == b.1)
    }
}

/// The columns of a map: its bounds, its keys and its values.
pub type MapColumns<'a, K, V> = ListColumns<'a, (K, V)>;

impl<K: Value + Ord, V: Value> Value for BTreeMap<K, V> {
    type View<'a> = MapView<'a, K, V>;
    type Slots = (Slot, K::Slots, V::Slots);
    type Columns<'a> = MapColumns<'a, K::Columns<'a>, V::Columns<'a>>;
    const LISTS: usize = 1 + K::LISTS + V::LISTS;

    fn data_type() -> DataType {
        const { assert!(!K::NULLABLE, "a key of a map is never NULL") };
        DataType::Map(Box::new(field::<K>("key")), Box::new(field::<V>("value")))
    }

    fn slots(cursor: &mut SlotCursor<'_>) -> Self::Slots {
        (cursor.next_slot(), K::slots(cursor), V::slots(cursor))
    }

    fn columns<'a>(cursor: &mut ColumnCursor<'a>) -> Self::Columns<'a> {
        let lists = cursor.next_column().lists();
        ListColumns { lists, elements: (K::columns(cursor), V::columns(cursor)) }
    }

    fn at<'a>(columns: &Self::Columns<'a>, row: usize) -> MapView<'a, K, V> {
        let range = columns.lists.at(row);
        let columns = columns.elements;
        MapView(Entries::Page { columns, start: range.start, end: range.end })
    }

    fn view(&self) -> MapView<'_, K, V> {
        MapView::of(self)
    }

    fn own(view: MapView<'_, K, V>) -> Self {
        view.iter().map(|(key, value)| (K::own(key), V::own(value))).collect()
    }

    fn put(
        view: MapView<'_, K, V>,
        (lists, keys, values): Self::Slots,
        row: usize,
        cells: &mut Cells<'_>,
    ) -> Result<(), Full> {
        let start = cells.put_list(lists, row, view.len())?;
        let places = start..;
        view.iter().zip(places).try_for_each(|((key, value), place)| {
            K::put(key, keys, place, cells)?;
            V::put(value, values, place, cells)
        })
    }

    fn heap_bytes(view: MapView<'_, K, V>) -> usize {
        view.iter().map(|(key, value)| K::heap_bytes(key) + V::heap_bytes(value)).sum()
    }

    fn count_elements(view: MapView<'_, K, V>, domain: usize, elements: &mut [u32]) {
        count(view.len(), domain, elements);
        if K::LISTS + V::LISTS > 0 {
            for (key, value) in view.iter() {
                K::count_elements(key, domain + 1, elements);
                V::count_elements(value, domain + 1 + K::LISTS, elements);
            }
        }
    }

    fn put_null((lists, ..): Self::Slots, row: usize, cells: &mut Cells<'_>) {
        put_empty(lists, row, cells);
    }
}
