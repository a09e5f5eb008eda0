//! Rows of Rust types, without a page between.

use alloc::{collections::BTreeMap, string::String, vec::Vec};
use core::str;

use super::{
    Row, RowLayout, RowList,
    cells::{self, place_slot},
    list,
};
use crate::{
    Decimal, Value,
    value::{Bytes, Date, ListView, MapView, Time, Timestamp, TimestampLtz},
};

/// A value that rows hold, column by column in the order of its physical columns.
pub trait RowValue: Value {
    /// Writes the value's cells.
    fn write(view: Self::View<'_>, row: &mut RowWriter<'_>);

    /// Writes cells of a value that is not there: zeros, and NULL where that is possible.
    fn write_absent(row: &mut RowWriter<'_>);

    /// Reads the value's cells.
    fn read<'a>(row: &mut RowReader<'a>) -> Self::View<'a>;

    /// The row of just this value, as a little-endian number, if it always has eight bytes and is one number:
    /// whoever reads and writes many such rows need not look at a layout for each of them.
    #[inline(always)]
    fn to_word(view: Self::View<'_>) -> Option<u64> {
        let _ = view;
        None
    }

    /// The value of such a row; `None` if rows of this type are something else.
    #[inline(always)]
    fn of_word<'a>(word: u64) -> Option<Self::View<'a>> {
        let _ = word;
        None
    }
}

/// Writes a row, one column after another.
#[derive(Debug)]
pub struct RowWriter<'a> {
    layout: &'a RowLayout,
    /// The row's own bytes begin here.
    begin: usize,
    out: &'a mut Vec<u8>,
    column: usize,
}

/// Reads a row, one column after another.
#[derive(Debug)]
pub struct RowReader<'a> {
    row: Row<'a>,
    column: usize,
}

impl RowLayout {
    /// Appends the bytes of a value to `out`; gives how many.
    ///
    /// # Panics
    ///
    /// If the layout is not that of `T`'s schema.
    #[inline]
    pub fn encode<T: RowValue>(&self, view: T::View<'_>, out: &mut Vec<u8>) -> usize {
        let begin = out.len();
        self.write(out, |writer| T::write(view, writer));
        out.len() - begin
    }

    /// Appends the bytes of a row to `out`, whose columns `write` writes one after another.
    ///
    /// # Panics
    /// If it writes more or fewer of them, or one of another width.
    #[inline]
    pub fn write(&self, out: &mut Vec<u8>, write: impl FnOnce(&mut RowWriter<'_>)) {
        let begin = out.len();
        out.resize(begin + self.fixed_bytes, 0);
        let mut writer = RowWriter { layout: self, begin, out, column: 0 };
        write(&mut writer);
        assert_eq!(writer.column, self.columns.len(), "columns of the schema");
    }

    /// The value of a row, in place.
    ///
    /// # Panics
    ///
    /// If the layout is not that of `T`'s schema.
    #[inline(always)]
    pub fn decode<'a, T: RowValue>(&self, row: Row<'a>) -> T::View<'a> {
        let mut reader = RowReader::of(row);
        let view = T::read(&mut reader);
        assert_eq!(reader.column, self.columns.len(), "columns of the schema");
        view
    }
}

impl RowWriter<'_> {
    /// Writes the next column, of `W` bytes.
    #[inline]
    pub fn put_fixed<const W: usize>(&mut self, cell: [u8; W]) {
        let column = &self.layout.columns[self.column];
        assert!(column.width() == W, "width of the column");
        let at = self.begin + column.offset;
        self.out[at..at + W].copy_from_slice(&cell);
        self.column += 1;
    }

    /// Writes the next column, of text or bytes.
    #[inline]
    pub fn put_variable(&mut self, bytes: &[u8]) {
        assert!(self.layout.columns[self.column].is_bytes(), "the column is text or bytes");
        self.put_fixed(place_slot(self.out.len() - self.begin, bytes.len()));
        self.out.extend_from_slice(bytes);
    }

    /// Writes the next column, of lists or maps: `write` writes each element.
    pub fn put_list<I>(
        &mut self,
        elements: impl ExactSizeIterator<Item = I>,
        mut write: impl FnMut(I, &mut RowWriter<'_>),
    ) {
        let layout = self.layout;
        let column = &layout.columns[self.column];
        assert!(column.is_list(), "the column is a list or a map");
        let (start, mut elements) = (self.out.len(), elements);
        let inner = &layout.lists[column.list];
        list::put(inner, elements.len(), self.out, |_, out| {
            let element = elements.next().expect("as many elements as the iterator said");
            inner.write(out, |writer| write(element, writer));
        });
        self.put_fixed(place_slot(start - self.begin, self.out.len() - start));
    }

    /// The next column is the validity of a nested row: passes over it, so that the row is there.
    pub fn pass(&mut self) {
        self.column += 1;
    }

    /// Writes a column of another row as the next one, which is of the same type and may be NULL if it may.
    ///
    /// # Panics
    /// If there is no such column, or the types differ.
    pub fn copy(&mut self, row: &Row<'_>, column: usize) {
        let (from, to) = (&row.layout.columns[column], &self.layout.columns[self.column]);
        assert_eq!(from.kind, to.kind, "the columns are of one type");
        if row.is_null(column) {
            return self.leave_empty();
        }
        if from.is_variable() {
            let (start, length) = cells::place(row.bytes, from);
            self.put_fixed(place_slot(self.out.len() - self.begin, length));
            self.out.extend_from_slice(&row.bytes[start..start + length]);
            return;
        }
        let at = self.begin + to.offset;
        let cell = &row.bytes[from.offset..from.offset + from.width()];
        self.out[at..at + cell.len()].copy_from_slice(cell);
        self.column += 1;
    }

    /// Makes a column NULL.
    #[inline]
    fn set_null(&mut self, column: usize) {
        if let Some(bit) = self.layout.columns[column].null_bit {
            self.out[self.begin + self.layout.nulls + bit / 8] |= 1 << (bit % 8);
        }
    }

    /// Makes the next column NULL, or zero if it may not be NULL.
    pub fn leave_empty(&mut self) {
        self.set_null(self.column);
        self.column += 1;
    }
}

impl<'a> RowReader<'a> {
    /// Reads a row from its first column on.
    pub(crate) fn of(row: Row<'a>) -> Self {
        Self { row, column: 0 }
    }

    /// Reads the next column, of `W` bytes.
    #[inline]
    pub fn take_fixed<const W: usize>(&mut self) -> [u8; W] {
        let column = &self.row.layout.columns[self.column];
        assert!(column.width() == W, "width of the column");
        self.column += 1;
        cells::slot(self.row.bytes, column)
    }

    /// Reads the next column, of text or bytes.
    #[inline]
    pub fn take_variable(&mut self) -> &'a [u8] {
        let bytes = self.row.variable(self.column);
        self.column += 1;
        bytes
    }

    /// Reads the next column, of lists or maps.
    #[inline]
    pub fn take_list(&mut self) -> RowList<'a> {
        let list = self.row.list(self.column);
        self.column += 1;
        list
    }
}

macro_rules! fixed {
    ($($type:ty $(where const $p:ident)?, $bits:ty, $from:expr, $to:expr;)*) => {$(
        impl$(<const $p: u8>)? RowValue for $type {
            #[inline(always)]
            fn write(view: Self, row: &mut RowWriter<'_>) {
                row.put_fixed(<$bits>::to_le_bytes($to(view)));
            }

            fn write_absent(row: &mut RowWriter<'_>) {
                row.leave_empty();
            }

            #[inline(always)]
            fn read<'a>(row: &mut RowReader<'a>) -> Self {
                $from(<$bits>::from_le_bytes(row.take_fixed()))
            }

            #[inline(always)]
            fn to_word(view: Self) -> Option<u64> {
                let bytes = <$bits>::to_le_bytes($to(view));
                bytes.first_chunk().map(|word| u64::from_le_bytes(*word))
            }

            #[inline(always)]
            fn of_word<'a>(word: u64) -> Option<<Self as Value>::View<'a>> {
                let bytes = word.to_le_bytes();
                let is_word = size_of::<$bits>() == bytes.len();
                bytes.first_chunk().filter(|_| is_word).map(|bytes| $from(<$bits>::from_le_bytes(*bytes)))
            }
        }
    )*};
}

fn same<T>(value: T) -> T {
    value
}

fixed! {
    bool, u8, |byte| byte != 0, u8::from;
    i8, i8, same, same;
    i16, i16, same, same;
    i32, i32, same, same;
    i64, i64, same, same;
    u8, u8, same, same;
    u16, u16, same, same;
    u32, u32, same, same;
    u64, u64, same, same;
    f32, f32, same, same;
    f64, f64, same, same;
    Date, i32, Date, |date: Date| date.0;
    Time, i32, Time, |time: Time| time.0;
    Timestamp<P> where const P, i64, Self, |at: Self| at.0;
    TimestampLtz<P> where const P, i64, Self, |at: Self| at.0;
}

impl<const P: u8, const S: u8> RowValue for Decimal<P, S> {
    fn write(view: Self, row: &mut RowWriter<'_>) {
        row.put_fixed(view.0.to_le_bytes());
    }

    fn write_absent(row: &mut RowWriter<'_>) {
        row.leave_empty();
    }

    fn read<'a>(row: &mut RowReader<'a>) -> Self {
        Self(i128::from_le_bytes(row.take_fixed()))
    }
}

impl RowValue for String {
    #[inline]
    fn write(view: &str, row: &mut RowWriter<'_>) {
        row.put_variable(view.as_bytes());
    }

    fn write_absent(row: &mut RowWriter<'_>) {
        row.write_absent_variable();
    }

    #[inline]
    fn read<'a>(row: &mut RowReader<'a>) -> &'a str {
        // Checked again, as text of pages is: that keeps this crate free of unsafe code.
        str::from_utf8(row.take_variable()).unwrap_or("\u{FFFD}")
    }
}

impl RowValue for Bytes {
    #[inline]
    fn write(view: &[u8], row: &mut RowWriter<'_>) {
        row.put_variable(view);
    }

    fn write_absent(row: &mut RowWriter<'_>) {
        row.write_absent_variable();
    }

    #[inline]
    fn read<'a>(row: &mut RowReader<'a>) -> &'a [u8] {
        row.take_variable()
    }
}

impl RowWriter<'_> {
    /// What is NULL has an empty slot; text and lists that cannot be are empty.
    fn write_absent_variable(&mut self) {
        match self.layout.columns[self.column].null_bit {
            Some(_) => self.leave_empty(),
            None => self.put_fixed(place_slot(self.out.len() - self.begin, 0)),
        }
    }
}

impl<T: RowValue> RowValue for Vec<T> {
    fn write(view: ListView<'_, T>, row: &mut RowWriter<'_>) {
        row.put_list(view.iter(), T::write);
    }

    fn write_absent(row: &mut RowWriter<'_>) {
        row.write_absent_variable();
    }

    #[inline]
    fn read<'a>(row: &mut RowReader<'a>) -> ListView<'a, T> {
        ListView::in_row(row.take_list(), T::read)
    }
}

impl<K: RowValue + Ord, V: RowValue> RowValue for BTreeMap<K, V> {
    fn write(view: MapView<'_, K, V>, row: &mut RowWriter<'_>) {
        row.put_list(view.iter(), |(key, value), row| {
            K::write(key, row);
            V::write(value, row);
        });
    }

    fn write_absent(row: &mut RowWriter<'_>) {
        row.write_absent_variable();
    }

    #[inline]
    fn read<'a>(row: &mut RowReader<'a>) -> MapView<'a, K, V> {
        MapView::in_row(row.take_list(), |row| (K::read(row), V::read(row)))
    }
}

impl<T: RowValue> RowValue for Option<T> {
    #[inline]
    fn write(view: Self::View<'_>, row: &mut RowWriter<'_>) {
        match view {
            Some(value) => {
                if T::NESTED {
                    row.pass();
                }
                T::write(value, row);
            }
            None => Self::write_absent(row),
        }
    }

    fn write_absent(row: &mut RowWriter<'_>) {
        if T::NESTED {
            row.leave_empty();
        }
        T::write_absent(row);
    }

    #[inline]
    fn read<'a>(row: &mut RowReader<'a>) -> Self::View<'a> {
        let null = row.row.is_null(row.column);
        if T::NESTED {
            row.column += 1;
        }
        let value = T::read(row);
        (!null).then_some(value)
    }
}

macro_rules! tuples {
    ($($($name:ident $index:tt),+;)*) => {$(
        impl<$($name: RowValue),+> RowValue for ($($name,)+) {
            #[inline]
            fn write(view: Self::View<'_>, row: &mut RowWriter<'_>) {
                $($name::write(view.$index, row);)+
            }

            fn write_absent(row: &mut RowWriter<'_>) {
                $($name::write_absent(row);)+
            }

            #[inline]
            fn read<'a>(row: &mut RowReader<'a>) -> Self::View<'a> {
                ($($name::read(row),)+)
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
