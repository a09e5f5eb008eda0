//! Rust types as columns.
//!
//! [`Value`] ties a Rust type to the columns that hold it: how it is written into a page, how it is
//! read there without a copy, and what its zero-copy view is. `#[derive(Record)]` implements it for
//! a struct and generates the struct's view, `NameView<'a>`.

mod fixed;
mod list;
mod map;
mod nested;
mod text;

use alloc::{vec, vec::Vec};

pub use fixed::{Date, FixedColumn, Time, Timestamp, TimestampLtz};
pub use list::{ListColumns, ListIter, ListView};
pub use map::{MapColumns, MapIter, MapView};
pub use nested::OptionColumns;
pub use text::Bytes;

use crate::{
    page::{Cells, ColumnCursor, Full, SlotCursor, ValidPage},
    types::{DataType, Field, Schema},
};

/// A Rust type that pages can hold.
///
/// `data_type`, `slots` and `columns` describe the same columns in the same order.
pub trait Value: Clone + Send + 'static {
    /// The value as it is read in place: a number, a `&str`, a struct of views.
    type View<'a>: Copy;
    /// Where the value's cells begin in a page that is being built.
    type Slots: Copy + Send;
    /// The value's columns in a valid page.
    type Columns<'a>: Copy;
    /// Whether the value may be NULL.
    const NULLABLE: bool = false;
    /// Whether the value is a nested row.
    const NESTED: bool = false;
    /// List columns that the value contains, those within lists included.
    const LISTS: usize = 0;

    /// The value's SQL type.
    fn data_type() -> DataType;

    /// Takes the value's slots.
    fn slots(cursor: &mut SlotCursor<'_>) -> Self::Slots;

    /// Takes the value's columns.
    fn columns<'a>(cursor: &mut ColumnCursor<'a>) -> Self::Columns<'a>;

    /// The value in a row, in place.
    ///
    /// # Panics
    /// If there is no such row.
    fn at<'a>(columns: &Self::Columns<'a>, row: usize) -> Self::View<'a>;

    /// The view of an owned value.
    fn view(&self) -> Self::View<'_>;

    /// The owned value of a view.
    fn own(view: Self::View<'_>) -> Self;

    /// Writes the value's cells in a row.
    ///
    /// # Errors
    /// [`Full`] if the page has no room; what was written is then not part of the page.
    fn put(
        view: Self::View<'_>,
        slots: Self::Slots,
        row: usize,
        cells: &mut Cells<'_>,
    ) -> Result<(), Full>;

    /// Bytes of heap that the value takes beside its cells.
    #[inline]
    fn heap_bytes(view: Self::View<'_>) -> usize {
        let _ = view;
        0
    }

    /// Adds the elements that the value's lists have, by domain; `domain` is that of the value's
    /// first list column.
    #[inline]
    fn count_elements(view: Self::View<'_>, domain: usize, elements: &mut [u32]) {
        let _ = (view, domain, elements);
    }

    /// Writes the cells of a NULL: zeros, so that equal pages have equal bytes.
    fn put_null(slots: Self::Slots, row: usize, cells: &mut Cells<'_>);
}

/// A value that can be a stream's element: its columns are those of a row.
///
/// Every [`Value`] is one. A struct becomes one with `#[derive(Record)]`, which needs named fields
/// and `Clone`. Each field is a column, which has the field's name; connectors match columns by
/// name. Beside `Flight` the derive generates `FlightView<'_>`, the row as it is read in place:
/// functions are given views, and [`Flight::own(view)`](Value::own) makes a struct of one.
///
/// ```
/// use millstream_data::{Record, Value};
///
/// #[derive(Clone, Debug, PartialEq, Record)]
/// struct Flight {
///     carrier: String,
///     delay: Option<i32>,
///     r#type: u8,
/// }
///
/// let flight = Flight { carrier: "AA".into(), delay: None, r#type: 7 };
/// let view: FlightView<'_> = flight.view();
/// assert_eq!((view.carrier, view.delay, view.r#type), ("AA", None, 7));
/// assert_eq!(Flight::own(view), flight);
/// assert_eq!(
///     Flight::schema().to_string(),
///     "carrier STRING NOT NULL, delay INT, type UNSIGNED TINYINT NOT NULL"
/// );
/// ```
///
/// | Rust | SQL | view |
/// |---|---|---|
/// | `bool` | `BOOLEAN` | itself |
/// | `i8`, `i16`, `i32`, `i64` | `TINYINT`, `SMALLINT`, `INT`, `BIGINT` | itself |
/// | `u8`, `u16`, `u32`, `u64` | `UNSIGNED TINYINT` and so on, the typed API only | itself |
/// | `f32`, `f64` | `FLOAT`, `DOUBLE` | itself |
/// | [`Decimal<P, S>`](crate::Decimal) | `DECIMAL(P, S)` | itself |
/// | [`Date`], [`Time`] | `DATE`, `TIME` | itself |
/// | [`Timestamp`] | `TIMESTAMP(3)`; holds microseconds all the same | itself |
/// | [`TimestampLtz`] | `TIMESTAMP_LTZ(3)`; holds microseconds all the same | itself |
/// | `String` | `STRING` | `&str` |
/// | [`Bytes`] | `BYTES` | `&[u8]` |
/// | `Vec<T>` | `ARRAY<T>`; `Vec<u8>` is `ARRAY<UNSIGNED TINYINT>`, not `BYTES` | [`ListView`] |
/// | `BTreeMap<K, V>` | `MAP<K, V>` | [`MapView`] |
/// | `Option<T>` | nullable; everything else is `NOT NULL` | `Option` of the view |
/// | a tuple, of up to six | `ROW<f0 …, f1 …>` | tuple of the views |
/// | a struct that derives `Record` | `ROW<…>`, a field for each of its own | its view |
///
/// Tuples and structs that are the element of a stream are its columns; any other value is a single
/// column called `value`.
///
/// The derive also implements [`RowValue`](crate::row::RowValue), which state, sorting and the
/// accumulators of functions need, and with `#[record(key)]` on the struct [`Key`].
pub trait Record: Value {
    /// The columns of the record. A value that is not a row is a single column called `value`.
    fn schema() -> Schema {
        match Self::data_type() {
            DataType::Row(fields) if !Self::NULLABLE => Schema::new(fields),
            data_type => {
                let field = Field { name: "value".into(), data_type, nullable: Self::NULLABLE };
                Schema::new(vec![field])
            }
        }
    }

    /// The record's columns in a page.
    fn bind<'a>(page: &ValidPage<'a>) -> Self::Columns<'a> {
        Self::columns(&mut page.cursor())
    }
}

impl<T: Value> Record for T {}

/// A value that records can be grouped by. Implemented by `#[derive(Record)]` for a struct that is
/// marked `#[record(key)]`, and by integers, booleans, strings and tuples of them.
pub trait Key: Value {
    /// Mixes the key into a stable hash, see [`hash`](crate::hash).
    fn hash(view: Self::View<'_>, state: u64) -> u64;

    /// Whether two keys are the same.
    fn same(a: Self::View<'_>, b: Self::View<'_>) -> bool;
}

/// The field of a struct's column; the derive calls it.
#[doc(hidden)]
pub fn field<T: Value>(name: &str) -> Field {
    Field { name: name.into(), data_type: T::data_type(), nullable: T::NULLABLE }
}

/// The fields of a tuple: `f0`, `f1` and so on, as in Flink.
fn tuple_fields(types: &[(DataType, bool)]) -> Vec<Field> {
    let name = |i: usize| alloc::format!("f{i}");
    let field = |(i, (data_type, nullable)): (usize, &(DataType, bool))| Field {
        name: name(i),
        data_type: data_type.clone(),
        nullable: *nullable,
    };
    types.iter().enumerate().map(field).collect()
}
