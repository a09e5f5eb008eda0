//! Pages that a plugin fills in segments of the host.

mod columns;
mod pages;

use std::{
    fmt,
    ops::{Deref, DerefMut, Range},
};

use millstream_abi::{FilledPage, Status};
use millstream_data::page::{ColumnKind, Full, Physical, RowBuilder};

pub(crate) use columns::Columns;
use columns::Set;
pub(crate) use pages::Pages;

/// The page that is being filled, in a segment that the host lends for the call: its columns are
/// those of the schema.
///
/// As long as the page [has room](Rows::has_room): write each cell of a row, then
/// [commit](Rows::commit) it. Rows that are committed are the page; one that is not is no part of
/// it. When a cell finds no room ([`Full`]) the page is done: return, and write the same row again,
/// from its first cell, into the page of the next call. Only who goes on with this page, with
/// another row, has to [roll back](Rows::roll_back) first.
///
/// Columns are numbered from 0, in the order of the schema. A nested row has no column if it is NOT
/// NULL, and one for its validity else; the columns of its fields follow, and want a cell even if
/// the row is NULL ([`Rows::put_blank`]). A list or map has one column, the columns of its element,
/// or of its key and value, follow. See [`Shape`](millstream_data::page::Shape).
///
/// ```
/// # use millstream_sdk::prelude::*;
/// /// `(id BIGINT NOT NULL, word STRING, numbers ARRAY<INT NOT NULL> NOT NULL)`
/// fn put(rows: &mut Rows<'_>, id: i64, word: Option<&str>, numbers: &[i32]) -> Result<(), Full> {
///     rows.put_fixed(0, id.to_le_bytes());
///     match word {
///         Some(word) => rows.put_str(1, word)?,
///         None => rows.put_null(1),
///     }
///     rows.begin_list(2);
///     for number in numbers {
///         rows.begin_element(2)?;
///         rows.put_fixed(3, number.to_le_bytes());
///     }
///     rows.commit();
///     Ok(())
/// }
/// ```
///
/// A reader that gets its rows from a format hands the page on, see
/// [`Decoder::fill`](crate::format::Decoder::fill).
pub struct Rows<'a> {
    builder: RowBuilder<&'a mut [u8]>,
    columns: &'a Columns,
    /// Which cells of the row that is being written are there, a bit for each column.
    written: Set,
    /// Somebody else has made a page in the segment, or tried to.
    handed: Option<Handed>,
}

/// What somebody else has made of a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handed {
    /// [`FILLED`](millstream_abi::FILLED), [`NOTHING`](millstream_abi::NOTHING) or
    /// [`TOO_SMALL`](millstream_abi::TOO_SMALL).
    pub(crate) status: Status,
    pub(crate) page: FilledPage,
}

/// Whether it is checked that each cell of a row is written: in builds with debug assertions, as
/// those of tests are. It takes a nanosecond a cell, which optimised builds do not spend.
const CHECKED: bool = cfg!(debug_assertions);

impl Rows<'_> {
    /// Whether another row fits as far as its own cells are concerned; its strings and elements may
    /// still not.
    #[inline]
    pub fn has_room(&self) -> bool {
        self.builder.has_room()
    }

    /// Rows of the page so far.
    #[inline]
    pub fn rows(&self) -> usize {
        self.builder.rows()
    }

    /// Writes a cell of fixed width, little-endian: `rows.put_fixed(0, number.to_le_bytes())`.
    ///
    /// # Panics
    /// If the column is not of this width, or the page has no room for the row: ask
    /// [`Rows::has_room`] before each row.
    #[inline]
    #[track_caller]
    pub fn put_fixed<const W: usize>(&mut self, column: usize, cell: [u8; W]) {
        self.check(column, "put_fixed", ColumnKind::Fixed(W as u16));
        self.builder.put_fixed(column, cell);
        self.mark(column);
    }

    /// Writes a BOOLEAN.
    ///
    /// # Panics
    /// As [`Rows::put_fixed`].
    #[inline]
    #[track_caller]
    pub fn put_bool(&mut self, column: usize, value: bool) {
        self.check(column, "put_bool", ColumnKind::Bit);
        self.builder.put_bool(column, value);
        self.mark(column);
    }

    /// Writes text.
    ///
    /// # Errors
    /// [`Full`] if the page has no room for it: the row goes to the next page, from its first cell.
    ///
    /// # Panics
    /// As [`Rows::put_fixed`].
    #[inline]
    #[track_caller]
    pub fn put_str(&mut self, column: usize, value: &str) -> Result<(), Full> {
        self.check(column, "put_str", ColumnKind::String);
        self.builder.put_str(column, value)?;
        self.mark(column);
        Ok(())
    }

    /// Writes a byte string.
    ///
    /// # Errors
    /// As [`Rows::put_str`].
    ///
    /// # Panics
    /// As [`Rows::put_fixed`].
    #[inline]
    #[track_caller]
    pub fn put_bytes(&mut self, column: usize, value: &[u8]) -> Result<(), Full> {
        self.check(column, "put_bytes", ColumnKind::Bytes);
        self.builder.put_bytes(column, value)?;
        self.mark(column);
        Ok(())
    }

    /// Begins a list or map, which is empty so far.
    ///
    /// # Panics
    /// As [`Rows::put_fixed`].
    #[track_caller]
    pub fn begin_list(&mut self, column: usize) {
        self.check(column, "begin_list", ColumnKind::Offsets);
        self.builder.begin_list(column);
        self.mark(column);
    }

    /// Begins an element of the list or map that was begun last in this column: what is now written
    /// into the columns that follow belongs to it.
    ///
    /// # Errors
    /// As [`Rows::put_str`].
    ///
    /// # Panics
    /// If the column is not one of lists, no list was begun, or a cell of the element before was
    /// not written: see [`Rows::commit`].
    #[inline]
    #[track_caller]
    pub fn begin_element(&mut self, column: usize) -> Result<(), Full> {
        self.check(column, "begin_element", ColumnKind::Offsets);
        if let Some(element) = self.columns.of_element(column) {
            if CHECKED && !self.written.holds(element) {
                self.columns.missing(&self.written, element, self.builder.rows());
            }
            self.written.remove(element);
        }
        self.builder.begin_element(column)
    }

    /// Writes NULL; a list that is NULL is empty, and of a nested row it is the validity, below
    /// which its fields want cells, too: [`Rows::put_blank`].
    ///
    /// # Panics
    /// If the column is NOT NULL, or the page has no room for the row.
    #[inline]
    #[track_caller]
    pub fn put_null(&mut self, column: usize) {
        if !self.physical(column).nullable {
            self.columns.not_null(column);
        }
        self.mark(column);
        self.builder.put_null(column);
    }

    /// Writes a value that is zero, false, empty, or present in case of a nested row, whose fields
    /// have columns of their own.
    ///
    /// # Panics
    /// As [`Rows::put_fixed`].
    #[track_caller]
    pub fn put_zero(&mut self, column: usize) {
        self.physical(column);
        self.mark(column);
        self.builder.put_zero(column);
    }

    /// Writes NULL into those of these columns that may hold it and zero into the others: what
    /// stands below a nested row that is NULL. Columns of elements of lists stay as they are.
    ///
    /// # Panics
    /// As [`Rows::put_fixed`].
    #[track_caller]
    pub fn put_blank(&mut self, columns: Range<usize>) {
        for column in columns.clone() {
            let Physical { nullable, domain, .. } = self.physical(column);
            match domain == self.physical(columns.start).domain {
                true if nullable => self.put_null(column),
                true => self.put_zero(column),
                false => {}
            }
        }
    }

    /// Marks a nested row as present; its fields have columns of their own.
    ///
    /// # Panics
    /// If the column is not the validity of a nested row, or the page has no room for the row.
    #[inline]
    #[track_caller]
    pub fn put_group(&mut self, column: usize) {
        self.check(column, "put_group", ColumnKind::Group);
        self.builder.put_group(column);
        self.mark(column);
    }

    /// The row is complete and part of the page.
    ///
    /// # Panics
    /// If the page has no room for the row, or a cell of it was not written. The second is found in
    /// builds with debug assertions, such as those of tests; without them the cell has whatever
    /// value was in the segment before.
    #[inline]
    #[track_caller]
    pub fn commit(&mut self) {
        if CHECKED && !self.written.holds(&self.columns.all) {
            self.columns.missing(&self.written, &self.columns.all, self.builder.rows());
        }
        self.builder.commit();
        self.begin_row();
    }

    /// Forgets the cells of a row that is not committed.
    #[inline]
    pub fn roll_back(&mut self) {
        self.builder.roll_back();
        self.begin_row();
    }

    /// Lets somebody else make the page.
    pub(crate) fn hand_over<E>(
        &mut self,
        make: impl FnOnce(&mut [u8]) -> Result<Handed, E>,
    ) -> Result<(), E> {
        self.handed = Some(make(self.builder.buffer_mut())?);
        Ok(())
    }

    /// Whether nothing was written or handed over yet.
    pub(crate) fn is_untouched(&self) -> bool {
        self.builder.rows() == 0 && self.handed.is_none()
    }

    /// Checks that `function`, which writes cells of this kind, may write a cell of the column.
    #[inline(always)]
    #[track_caller]
    fn check(&self, column: usize, function: &str, kind: ColumnKind) {
        if self.physical(column).kind != kind {
            self.columns.mistaken(column, function, kind);
        }
    }

    #[inline(always)]
    #[track_caller]
    fn physical(&self, column: usize) -> Physical {
        match self.builder.shape().columns().get(column) {
            Some(physical) => *physical,
            None => self.columns.absent(column),
        }
    }

    #[inline(always)]
    fn mark(&mut self, column: usize) {
        if CHECKED {
            self.written.insert(column);
        }
    }

    /// The next cell is the first of a row.
    #[inline(always)]
    fn begin_row(&mut self) {
        if CHECKED {
            self.written.set(&self.columns.at_first);
        }
    }
}

// Hidden: what authors need stands above.
#[doc(hidden)]
impl<'a> Deref for Rows<'a> {
    type Target = RowBuilder<&'a mut [u8]>;

    #[inline(always)]
    fn deref(&self) -> &Self::Target {
        &self.builder
    }
}

/// For code that writes rows of any [`RowBuilder`]. What it leaves out of a row is not found.
#[doc(hidden)]
impl DerefMut for Rows<'_> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut Self::Target {
        // Which cells are written from here on is not known.
        if CHECKED {
            self.written.set(&self.columns.all);
        }
        &mut self.builder
    }
}

impl fmt::Debug for Rows<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.builder.fmt(f)
    }
}
