//! Strings and byte strings.

use alloc::{string::String, vec::Vec};

use super::{Key, Value};
use crate::{
    hash,
    page::{
        BytesColumn, Cells, ColumnCursor, Full, INLINE_BYTES, Slot, SlotCursor, StringColumn,
        VIEW_BYTES,
    },
    types::DataType,
};

impl Value for String {
    type View<'a> = &'a str;
    type Slots = Slot;
    type Columns<'a> = StringColumn<'a>;

    fn data_type() -> DataType {
        DataType::String
    }

    fn slots(cursor: &mut SlotCursor<'_>) -> Slot {
        cursor.next_slot()
    }

    fn columns<'a>(cursor: &mut ColumnCursor<'a>) -> Self::Columns<'a> {
        StringColumn(cursor.next_column().views())
    }

    #[inline]
    fn at<'a>(columns: &Self::Columns<'a>, row: usize) -> Self::View<'a> {
        columns.at(row)
    }

    #[inline]
    fn view(&self) -> &str {
        self
    }

    fn own(view: &str) -> Self {
        view.into()
    }

    #[inline]
    fn put(view: &str, slots: Slot, row: usize, cells: &mut Cells<'_>) -> Result<(), Full> {
        cells.put_view(slots, row, view.as_bytes())
    }

    #[inline]
    fn heap_bytes(view: Self::View<'_>) -> usize {
        if view.len() > INLINE_BYTES { view.len() } else { 0 }
    }

    fn put_null(slots: Slot, row: usize, cells: &mut Cells<'_>) {
        cells.put_fixed(slots, row, [0; VIEW_BYTES]);
    }
}

impl Key for String {
    #[inline]
    fn hash(view: &str, state: u64) -> u64 {
        hash::bytes(state, view.as_bytes())
    }

    #[inline]
    fn same(a: &str, b: &str) -> bool {
        a == b
    }
}

/// A byte string, a column of `BYTES`.
///
/// A `Vec<u8>` is no byte string but a list, a column of `ARRAY<UNSIGNED TINYINT>`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub Vec<u8>);

impl Value for Bytes {
    type View<'a> = &'a [u8];
    type Slots = Slot;
    type Columns<'a> = BytesColumn<'a>;

    fn data_type() -> DataType {
        DataType::Bytes
    }

    fn slots(cursor: &mut SlotCursor<'_>) -> Slot {
        cursor.next_slot()
    }

    fn columns<'a>(cursor: &mut ColumnCursor<'a>) -> Self::Columns<'a> {
        cursor.next_column().views()
    }

    #[inline]
    fn at<'a>(columns: &Self::Columns<'a>, row: usize) -> Self::View<'a> {
        columns.at(row)
    }

    #[inline]
    fn view(&self) -> &[u8] {
        &self.0
    }

    fn own(view: &[u8]) -> Self {
        Self(view.into())
    }

    #[inline]
    fn put(view: &[u8], slots: Slot, row: usize, cells: &mut Cells<'_>) -> Result<(), Full> {
        cells.put_view(slots, row, view)
    }

    #[inline]
    fn heap_bytes(view: Self::View<'_>) -> usize {
        if view.len() > INLINE_BYTES { view.len() } else { 0 }
    }

    fn put_null(slots: Slot, row: usize, cells: &mut Cells<'_>) {
        cells.put_fixed(slots, row, [0; VIEW_BYTES]);
    }
}

impl Key for Bytes {
    #[inline]
    fn hash(view: &[u8], state: u64) -> u64 {
        hash::bytes(state, view)
    }

    #[inline]
    fn same(a: &[u8], b: &[u8]) -> bool {
        a == b
    }
}
