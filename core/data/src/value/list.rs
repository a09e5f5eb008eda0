//! Lists: `Vec<T>` as SQL's `ARRAY`.

use alloc::{boxed::Box, vec::Vec};
use core::fmt;

use super::{FixedColumn, Value, field};
use crate::{
    page::{Cells, ColumnCursor, Full, OffsetsColumn, Slot, SlotCursor},
    row::{RowList, RowReader},
    types::DataType,
};

/// A list that is read in place: in a page or a row, or in the `Vec` that will be written into one.
pub struct ListView<'a, T: Value>(Elements<'a, T>);

enum Elements<'a, T: Value> {
    /// Elements `start..end` of the columns.
    Page {
        columns: T::Columns<'a>,
        start: usize,
        end: usize,
    },
    Row {
        list: RowList<'a>,
        read: for<'b> fn(&mut RowReader<'b>) -> T::View<'b>,
    },
    Slice(&'a [T]),
}

impl<'a, T: Value> ListView<'a, T> {
    /// A view of owned values.
    pub fn of(values: &'a [T]) -> Self {
        Self(Elements::Slice(values))
    }

    /// A view of a list in a row, whose elements `read` reads.
    pub(crate) fn in_row(
        list: RowList<'a>,
        read: for<'b> fn(&mut RowReader<'b>) -> T::View<'b>,
    ) -> Self {
        Self(Elements::Row { list, read })
    }

    /// How many elements there are.
    #[inline]
    pub fn len(&self) -> usize {
        match self.0 {
            Elements::Page { start, end, .. } => end - start,
            Elements::Row { list, .. } => list.len(),
            Elements::Slice(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element at `index`, in place.
    #[inline]
    pub fn get(&self, index: usize) -> Option<T::View<'a>> {
        match &self.0 {
            Elements::Page { columns, start, end } => {
                (index < end - start).then(|| T::at(columns, start + index))
            }
            Elements::Row { list, read } => {
                (index < list.len()).then(|| read(&mut RowReader::of(list.at(index))))
            }
            Elements::Slice(values) => values.get(index).map(T::view),
        }
    }

    /// The elements, in place.
    #[inline]
    pub fn iter(&self) -> ListIter<'a, T> {
        ListIter { list: *self, next: 0, end: self.len() }
    }

    /// The elements as a slice, for those whose cells are the values themselves; `None` if they lie
    /// in a row, which does not align them.
    #[inline]
    pub fn as_slice(&self) -> Option<&'a [T]>
    where
        T: Value<Columns<'a> = FixedColumn<'a, T>>,
    {
        match self.0 {
            Elements::Page { columns, start, end } => Some(&columns[start..end]),
            Elements::Row { .. } => None,
            Elements::Slice(values) => Some(values),
        }
    }
}

/// The elements of a list, in place.
pub struct ListIter<'a, T: Value> {
    list: ListView<'a, T>,
    next: usize,
    end: usize,
}

impl<'a, T: Value> Iterator for ListIter<'a, T> {
    type Item = T::View<'a>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.next == self.end {
            return None;
        }
        self.next += 1;
        self.list.get(self.next - 1)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.end - self.next, Some(self.end - self.next))
    }
}

impl<T: Value> DoubleEndedIterator for ListIter<'_, T> {
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.next == self.end {
            return None;
        }
        self.end -= 1;
        self.list.get(self.end)
    }
}

impl<T: Value> ExactSizeIterator for ListIter<'_, T> {}

impl<'a, T: Value> IntoIterator for ListView<'a, T> {
    type Item = T::View<'a>;
    type IntoIter = ListIter<'a, T>;

    fn into_iter(self) -> ListIter<'a, T> {
        self.iter()
    }
}

// Not derived: a view is copied whether or not its elements can be.
impl<T: Value> Clone for ListView<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Value> Copy for ListView<'_, T> {}

impl<T: Value> Clone for Elements<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Value> Copy for Elements<'_, T> {}

impl<T: Value> Clone for ListIter<'_, T> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

impl<'a, T: Value<View<'a>: fmt::Debug>> fmt::Debug for ListView<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<T: Value> fmt::Debug for ListIter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ListIter({} of {})", self.next, self.list.len())
    }
}

impl<'a, 'b, T> PartialEq<ListView<'b, T>> for ListView<'a, T>
where
    T: Value<View<'a>: PartialEq<T::View<'b>>>,
{
    fn eq(&self, other: &ListView<'b, T>) -> bool {
        self.len() == other.len() && self.iter().zip(other.iter()).all(|(a, b)| a == b)
    }
}

/// The columns of a list: its bounds, and its elements.
#[derive(Debug)]
pub struct ListColumns<'a, C> {
    pub(super) lists: OffsetsColumn<'a>,
    pub(super) elements: C,
}

impl<C: Copy> Clone for ListColumns<'_, C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C: Copy> Copy for ListColumns<'_, C> {}

impl<T: Value> Value for Vec<T> {
    type View<'a> = ListView<'a, T>;
    type Slots = (Slot, T::Slots);
    type Columns<'a> = ListColumns<'a, T::Columns<'a>>;
    const LISTS: usize = 1 + T::LISTS;

    fn data_type() -> DataType {
        DataType::Array(Box::new(field::<T>("element")))
    }

    fn slots(cursor: &mut SlotCursor<'_>) -> Self::Slots {
        (cursor.next_slot(), T::slots(cursor))
    }

    fn columns<'a>(cursor: &mut ColumnCursor<'a>) -> Self::Columns<'a> {
        ListColumns { lists: cursor.next_column().lists(), elements: T::columns(cursor) }
    }

    #[inline]
    fn at<'a>(columns: &Self::Columns<'a>, row: usize) -> ListView<'a, T> {
        let range = columns.lists.at(row);
        let columns = columns.elements;
        ListView(Elements::Page { columns, start: range.start, end: range.end })
    }

    #[inline]
    fn view(&self) -> ListView<'_, T> {
        ListView::of(self)
    }

    fn own(view: ListView<'_, T>) -> Self {
        view.iter().map(T::own).collect()
    }

    fn put(
        view: ListView<'_, T>,
        (lists, elements): Self::Slots,
        row: usize,
        cells: &mut Cells<'_>,
    ) -> Result<(), Full> {
        let start = cells.put_list(lists, row, view.len())?;
        let places = start..;
        view.iter().zip(places).try_for_each(|(view, place)| T::put(view, elements, place, cells))
    }

    fn heap_bytes(view: ListView<'_, T>) -> usize {
        view.iter().map(T::heap_bytes).sum()
    }

    fn count_elements(view: ListView<'_, T>, domain: usize, elements: &mut [u32]) {
        count(view.len(), domain, elements);
        if T::LISTS > 0 {
            view.iter().for_each(|view| T::count_elements(view, domain + 1, elements));
        }
    }

    fn put_null((lists, _): Self::Slots, row: usize, cells: &mut Cells<'_>) {
        put_empty(lists, row, cells);
    }
}

/// Adds elements of one list; what no page can hold stays what no page can hold.
pub(super) fn count(length: usize, domain: usize, elements: &mut [u32]) {
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    elements[domain] = elements[domain].saturating_add(length);
}

/// Writes an empty list, which always has room.
pub(super) fn put_empty(lists: Slot, row: usize, cells: &mut Cells<'_>) {
    let _ = cells.put_list(lists, row, 0);
}
