//! Values of fixed width.

use super::{Key, Value};
use crate::{
    decimal::Decimal,
    hash,
    page::{BitColumn, Cells, ColumnCursor, Full, Slot, SlotCursor},
    types::DataType,
};

/// A column of fixed-width cells, in place.
pub type FixedColumn<'a, T> = &'a [T];

#[cfg(target_endian = "big")]
compile_error!("pages are read in place and little-endian; big-endian machines need a conversion");

/// Implements [`Value`] for a type that is its own view and whose bytes are its cell.
macro_rules! fixed {
    ($($type:ty $(where const $p:ident)?, $bits:ty, $data_type:expr, $from:expr, $to:expr;)*) => {$(
        impl$(<const $p: u8>)? Value for $type {
            type View<'a> = Self;
            type Slots = Slot;
            type Columns<'a> = FixedColumn<'a, $bits>;

            fn data_type() -> DataType {
                $data_type
            }

            fn slots(cursor: &mut SlotCursor<'_>) -> Slot {
                cursor.next_slot()
            }

            fn columns<'a>(cursor: &mut ColumnCursor<'a>) -> Self::Columns<'a> {
                cursor.next_column().fixed()
            }

            #[inline(always)]
            fn at<'a>(columns: &Self::Columns<'a>, row: usize) -> Self::View<'a> {
                $from(columns[row])
            }

            #[inline(always)]
            fn view(&self) -> Self {
                *self
            }

            #[inline(always)]
            fn own(view: Self) -> Self {
                view
            }

            #[inline(always)]
            fn put(
                view: Self,
                slots: Slot,
                row: usize,
                cells: &mut Cells<'_>,
            ) -> Result<(), Full> {
                cells.put_fixed(slots, row, <$bits>::to_le_bytes($to(view)));
                Ok(())
            }

            fn put_null(slots: Slot, row: usize, cells: &mut Cells<'_>) {
                cells.put_fixed(slots, row, [0; size_of::<$bits>()]);
            }
        }
    )*};
}

fn same<T>(value: T) -> T {
    value
}

fixed! {
    i8, i8, DataType::Int8, same, same;
    i16, i16, DataType::Int16, same, same;
    i32, i32, DataType::Int32, same, same;
    i64, i64, DataType::Int64, same, same;
    u8, u8, DataType::UInt8, same, same;
    u16, u16, DataType::UInt16, same, same;
    u32, u32, DataType::UInt32, same, same;
    u64, u64, DataType::UInt64, same, same;
    f32, f32, DataType::Float32, same, same;
    f64, f64, DataType::Float64, same, same;
    Date, i32, DataType::Date, Date, |date: Date| date.0;
    Time, i32, DataType::Time, Time, |time: Time| time.0;
    Timestamp<P> where const P, i64, DataType::Timestamp { precision: P }, Self, |at: Self| at.0;
    TimestampLtz<P> where const P, i64, DataType::TimestampLtz { precision: P }, Self,
        |at: Self| at.0;
}

/// Days since 1970-01-01, a column of `DATE`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(pub i32);

/// Milliseconds since midnight, a column of `TIME`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub i32);

/// Date and time of day without zone: microseconds since 1970-01-01T00:00.
///
/// As a column: [`DataType::Timestamp`] with precision `P`, SQL's `TIMESTAMP(P)`, by default
/// `TIMESTAMP(3)`. The cell is the number of microseconds whatever the precision is, which is only what
/// is shown: a source should match `DataType::Timestamp { .. }`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp<const P: u8 = 3>(pub i64);

impl<const P: u8> Timestamp<P> {
    /// The moment so many milliseconds after 1970-01-01T00:00. Beyond what there is, the last one.
    pub fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1000))
    }

    /// Milliseconds since 1970-01-01T00:00, the unit of event time.
    pub fn millis(self) -> i64 {
        self.0.div_euclid(1000)
    }
}

/// An instant: microseconds since 1970-01-01T00:00Z.
///
/// As a column: [`DataType::TimestampLtz`] with precision `P`, SQL's `TIMESTAMP_LTZ(P)`, by default
/// `TIMESTAMP_LTZ(3)`. The cell is the number of microseconds whatever the precision is, which is only
/// what is shown: a source should match `DataType::TimestampLtz { .. }`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimestampLtz<const P: u8 = 3>(pub i64);

impl<const P: u8> TimestampLtz<P> {
    /// The instant so many milliseconds after 1970-01-01T00:00Z. Beyond what there is, the last one.
    pub fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1000))
    }

    /// Milliseconds since 1970-01-01T00:00Z, the unit of event time.
    pub fn millis(self) -> i64 {
        self.0.div_euclid(1000)
    }
}

macro_rules! keys {
    ($($type:ty $(where const $p:ident)?, $word:expr;)*) => {$(
        impl$(<const $p: u8>)? Key for $type {
            #[inline(always)]
            fn hash(view: Self, state: u64) -> u64 {
                hash::word(state, $word(view))
            }

            #[inline(always)]
            fn same(a: Self, b: Self) -> bool {
                a == b
            }
        }
    )*};
}

// Signed keys are sign-extended: the same number hashes alike in every width.
keys! {
    i8, |key| i64::from(key) as u64;
    i16, |key| i64::from(key) as u64;
    i32, |key| i64::from(key) as u64;
    i64, |key| key as u64;
    u8, u64::from;
    u16, u64::from;
    u32, u64::from;
    u64, same;
    bool, u64::from;
    Date, |key: Date| i64::from(key.0) as u64;
    Time, |key: Time| i64::from(key.0) as u64;
    Timestamp<P> where const P, |key: Self| key.0 as u64;
    TimestampLtz<P> where const P, |key: Self| key.0 as u64;
}

/// The value of two little-endian words.
const fn low_first(words: [u64; 2]) -> i128 {
    (((words[1] as u128) << 64) | words[0] as u128) as i128
}

impl<const P: u8, const S: u8> Value for Decimal<P, S> {
    type View<'a> = Self;
    type Slots = Slot;
    type Columns<'a> = FixedColumn<'a, [u64; 2]>;

    fn data_type() -> DataType {
        DataType::Decimal { precision: P, scale: S }
    }

    fn slots(cursor: &mut SlotCursor<'_>) -> Slot {
        cursor.next_slot()
    }

    fn columns<'a>(cursor: &mut ColumnCursor<'a>) -> Self::Columns<'a> {
        cursor.next_column().fixed()
    }

    #[inline]
    fn at<'a>(columns: &Self::Columns<'a>, row: usize) -> Self::View<'a> {
        Self(low_first(columns[row]))
    }

    fn view(&self) -> Self {
        *self
    }

    fn own(view: Self) -> Self {
        view
    }

    #[inline]
    fn put(view: Self, slots: Slot, row: usize, cells: &mut Cells<'_>) -> Result<(), Full> {
        cells.put_fixed(slots, row, view.0.to_le_bytes());
        Ok(())
    }

    fn put_null(slots: Slot, row: usize, cells: &mut Cells<'_>) {
        cells.put_fixed(slots, row, [0; 16]);
    }
}

impl<const P: u8, const S: u8> Key for Decimal<P, S> {
    fn hash(view: Self, state: u64) -> u64 {
        hash::word(hash::word(state, view.0 as u64), (view.0 >> 64) as u64)
    }

    fn same(a: Self, b: Self) -> bool {
        a == b
    }
}

impl Value for bool {
    type View<'a> = Self;
    type Slots = Slot;
    type Columns<'a> = BitColumn<'a>;

    fn data_type() -> DataType {
        DataType::Boolean
    }

    fn slots(cursor: &mut SlotCursor<'_>) -> Slot {
        cursor.next_slot()
    }

    fn columns<'a>(cursor: &mut ColumnCursor<'a>) -> Self::Columns<'a> {
        cursor.next_column().bits()
    }

    #[inline]
    fn at<'a>(columns: &Self::Columns<'a>, row: usize) -> Self::View<'a> {
        columns.at(row)
    }

    fn view(&self) -> Self {
        *self
    }

    fn own(view: Self) -> Self {
        view
    }

    #[inline]
    fn put(view: Self, slots: Slot, row: usize, cells: &mut Cells<'_>) -> Result<(), Full> {
        cells.put_bit(slots, row, view);
        Ok(())
    }

    fn put_null(slots: Slot, row: usize, cells: &mut Cells<'_>) {
        cells.put_bit(slots, row, false);
    }
}
