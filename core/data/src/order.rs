//! The order of values, and keys whose bytes have it.
//!
//! A **normalized key** is a byte string that compares, byte by byte, as the values compare that it
//! was made of. Sorting, merging and ordered state then need no knowledge of types: they compare
//! bytes, or the first eight of them as one number.
//!
//! | type | key |
//! |---|---|
//! | signed integer, date, time, timestamp | sign bit flipped, big-endian |
//! | unsigned integer, boolean | big-endian |
//! | float | all bits flipped if negative, else the sign bit; big-endian |
//! | decimal of one scale | as a signed integer of 128 bits |
//! | text, bytes | each 0 becomes 0 255; then 0 0 |
//! | may be NULL | a byte before the value: 1; for NULL alone 0 if it is first, 2 if it is last |
//! | descending | the bytes of the value inverted; where NULL goes is a choice of its own |
//! | several fields | one after another |
//!
//! No key is the beginning of another one of its type, so keys of several fields compare field by
//! field. The encodings are those that ordered key-value stores have used since the 1990s (compare
//! Graefe, *Implementing Sorting in Database Systems*, 2006, section 3.2).
//!
//! Floats have the order of Java's `Double.compare`, which is Flink's: -0 is less than 0, and NaN,
//! whatever its bits, is equal to itself and greater than everything else. Text is ordered by its
//! bytes, which is the order of code points.
//!
//! [`Ordered`] is for Rust types, [`RowOrder`] for rows whose schema is known at run time, in pages
//! and in the row format. They agree, which the tests of this module prove.

mod encode;
mod schema;
mod sink;
mod typed;

pub use encode::KeyValue;
pub use schema::{Cells, OrderError, RowOrder};
pub use sink::{Inverted, KeySink, Prefix};
pub use typed::{Ordered, full_key, prefix};

/// Which values come first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The smallest.
    #[default]
    Ascending,
    /// The largest.
    Descending,
}

/// Where NULL goes, whatever the direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Nulls {
    /// Before all values.
    #[default]
    First,
    /// Behind all values.
    Last,
}

/// One field of a sort key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SortField {
    /// The position of the field in its schema, from 0.
    pub field: usize,
    /// Which values come first.
    pub direction: Direction,
    /// Where NULL goes.
    pub nulls: Nulls,
}

impl SortField {
    /// Smallest first, NULL before them: SQL's `ASC` as Flink reads it.
    pub fn ascending(field: usize) -> Self {
        Self { field, direction: Direction::Ascending, nulls: Nulls::First }
    }

    /// Largest first, NULL behind them: SQL's `DESC` as Flink reads it.
    pub fn descending(field: usize) -> Self {
        Self { field, direction: Direction::Descending, nulls: Nulls::Last }
    }

    /// The same field with NULL elsewhere.
    pub fn nulls(self, nulls: Nulls) -> Self {
        Self { nulls, ..self }
    }
}

impl Nulls {
    /// The byte of NULL; that of a value is [`VALUE`].
    fn byte(self) -> u8 {
        match self {
            Self::First => 0,
            Self::Last => 2,
        }
    }
}

/// The byte before a value that might have been NULL.
const VALUE: u8 = 1;

#[cfg(test)]
mod tests;
