//! Values made of values: options and tuples.

use super::{Key, Value, tuple_fields};
use crate::{
    hash,
    page::{Cells, ColumnCursor, Full, Slot, SlotCursor, Validity},
    types::DataType,
};

/// The columns of a value that may be NULL.
#[derive(Clone, Copy, Debug)]
pub struct OptionColumns<'a, C> {
    validity: Validity<'a>,
    inner: C,
}

impl<T: Value> Value for Option<T> {
    type View<'a> = Option<T::View<'a>>;
    type Slots = (Slot, T::Slots);
    type Columns<'a> = OptionColumns<'a, T::Columns<'a>>;
    const NULLABLE: bool = true;
    const LISTS: usize = T::LISTS;

    fn data_type() -> DataType {
        const { assert!(!T::NULLABLE, "an Option of an Option is not a column: use one Option") };
        T::data_type()
    }

    fn slots(cursor: &mut SlotCursor<'_>) -> Self::Slots {
        // A nested row has a column of its own for its validity, a plain value shares its own.
        let validity = if T::NESTED { cursor.next_slot() } else { cursor.peek() };
        (validity, T::slots(cursor))
    }

    fn columns<'a>(cursor: &mut ColumnCursor<'a>) -> Self::Columns<'a> {
        let column = if T::NESTED { cursor.next_column() } else { cursor.peek() };
        OptionColumns { validity: column.validity(), inner: T::columns(cursor) }
    }

    #[inline]
    fn at<'a>(columns: &Self::Columns<'a>, row: usize) -> Self::View<'a> {
        columns.validity.is_valid(row).then(|| T::at(&columns.inner, row))
    }

    fn view(&self) -> Self::View<'_> {
        self.as_ref().map(T::view)
    }

    fn own(view: Self::View<'_>) -> Self {
        view.map(T::own)
    }

    #[inline]
    fn put(
        view: Self::View<'_>,
        (validity, slots): Self::Slots,
        row: usize,
        cells: &mut Cells<'_>,
    ) -> Result<(), Full> {
        cells.put_valid(validity, row, view.is_some());
        match view {
            Some(value) => T::put(value, slots, row, cells),
            None => {
                T::put_null(slots, row, cells);
                Ok(())
            }
        }
    }

    #[inline]
    fn heap_bytes(view: Self::View<'_>) -> usize {
        view.map_or(0, T::heap_bytes)
    }

    fn count_elements(view: Self::View<'_>, domain: usize, elements: &mut [u32]) {
        if let Some(value) = view {
            T::count_elements(value, domain, elements);
        }
    }

    fn put_null((validity, slots): Self::Slots, row: usize, cells: &mut Cells<'_>) {
        cells.put_valid(validity, row, false);
        T::put_null(slots, row, cells);
    }
}

impl<T: Key> Key for Option<T> {
    fn hash(view: Self::View<'_>, state: u64) -> u64 {
        match view {
            Some(value) => T::hash(value, hash::word(state, 1)),
            None => hash::word(state, 0),
        }
    }

    fn same(a: Self::View<'_>, b: Self::View<'_>) -> bool {
        match (a, b) {
            (Some(a), Some(b)) => T::same(a, b),
            (None, None) => true,
            _ => false,
        }
    }
}

macro_rules! tuples {
    ($($($name:ident $index:tt),+;)*) => {$(
        impl<$($name: Value),+> Value for ($($name,)+) {
            type View<'a> = ($($name::View<'a>,)+);
            type Slots = ($($name::Slots,)+);
            type Columns<'a> = ($($name::Columns<'a>,)+);
            const NESTED: bool = true;
            const LISTS: usize = 0 $(+ $name::LISTS)+;

            fn data_type() -> DataType {
                DataType::Row(tuple_fields(&[$(($name::data_type(), $name::NULLABLE)),+]))
            }

            fn slots(cursor: &mut SlotCursor<'_>) -> Self::Slots {
                ($($name::slots(cursor),)+)
            }

            fn columns<'a>(cursor: &mut ColumnCursor<'a>) -> Self::Columns<'a> {
                ($($name::columns(cursor),)+)
            }

            #[inline]
            fn at<'a>(columns: &Self::Columns<'a>, row: usize) -> Self::View<'a> {
                ($($name::at(&columns.$index, row),)+)
            }

            #[inline]
            fn view(&self) -> Self::View<'_> {
                ($(self.$index.view(),)+)
            }

            fn own(view: Self::View<'_>) -> Self {
                ($($name::own(view.$index),)+)
            }

            #[inline]
            fn put(
                view: Self::View<'_>,
                slots: Self::Slots,
                row: usize,
                cells: &mut Cells<'_>,
            ) -> Result<(), Full> {
                $($name::put(view.$index, slots.$index, row, cells)?;)+
                Ok(())
            }

            #[inline]
            fn heap_bytes(view: Self::View<'_>) -> usize {
                0 $(+ $name::heap_bytes(view.$index))+
            }

            fn count_elements(view: Self::View<'_>, domain: usize, elements: &mut [u32]) {
                let mut next = domain;
                $(
                    $name::count_elements(view.$index, next, elements);
                    next += $name::LISTS;
                )+
                debug_assert_eq!(next, domain + Self::LISTS);
            }

            fn put_null(slots: Self::Slots, row: usize, cells: &mut Cells<'_>) {
                $($name::put_null(slots.$index, row, cells);)+
            }
        }

        impl<$($name: Key),+> Key for ($($name,)+) {
            #[inline]
            fn hash(view: Self::View<'_>, state: u64) -> u64 {
                $(let state = $name::hash(view.$index, state);)+
                state
            }

            #[inline]
            fn same(a: Self::View<'_>, b: Self::View<'_>) -> bool {
                $($name::same(a.$index, b.$index))&&+
            }
        }
    )*};
}

tuples! {
    A 0;
    A 0, B 1;
    A 0, B 1, C 2;
    A 0, B 1, C 2, D 3;
    A 0, B 1, C 2, D 3, E 4;
    A 0, B 1, C 2, D 3, E 4, F 5;
}
