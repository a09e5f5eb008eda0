//! From a page to rows, and back.

use alloc::vec::Vec;
use core::{ops::DerefMut, str};

use super::{Row, RowError, RowLayout, cells::place_slot};
use crate::page::{BitColumn, ColumnKind, Full, RowBuilder, ValidPage, Validity, ViewColumn};

/// The rows of a page, to be gathered one by one.
#[derive(Debug)]
pub struct PageRows<'a> {
    layout: &'a RowLayout,
    columns: Vec<(Cells<'a>, Validity<'a>)>,
    rows: usize,
}

/// The cells of a column.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cells<'a> {
    Bit(BitColumn<'a>),
    One(&'a [[u8; 1]]),
    Two(&'a [[u8; 2]]),
    Four(&'a [[u8; 4]]),
    Eight(&'a [[u8; 8]]),
    Sixteen(&'a [[u8; 16]]),
    Views(ViewColumn<'a>),
    None,
}

impl<'a> Cells<'a> {
    /// The cells of a page's column, which is of this kind.
    pub(crate) fn of(page: &ValidPage<'a>, column: usize, kind: ColumnKind) -> Self {
        let cells = page.column(column);
        match kind {
            ColumnKind::Bit => Self::Bit(cells.bits()),
            ColumnKind::Fixed(1) => Self::One(cells.fixed()),
            ColumnKind::Fixed(2) => Self::Two(cells.fixed()),
            ColumnKind::Fixed(4) => Self::Four(cells.fixed()),
            ColumnKind::Fixed(8) => Self::Eight(cells.fixed()),
            ColumnKind::Fixed(_) => Self::Sixteen(cells.fixed()),
            ColumnKind::String | ColumnKind::Bytes => Self::Views(cells.views()),
            ColumnKind::Offsets | ColumnKind::Group => Self::None,
        }
    }
}

impl<'a> PageRows<'a> {
    /// The rows of `page`, which may have row kinds: they are not part of rows.
    ///
    /// # Errors
    ///
    /// [`RowError::Column`] if the page is not of the layout's schema.
    pub fn new(layout: &'a RowLayout, page: &ValidPage<'a>) -> Result<Self, RowError> {
        let columns = page.columns() - usize::from(page.has_row_kinds());
        if page.fingerprint() != layout.fingerprint || columns != layout.columns.len() {
            return Err(RowError::Column {
                column: columns.min(layout.columns.len()),
                what: "is of another schema than the page",
            });
        }
        let columns = layout.columns.iter().enumerate();
        let columns = columns
            .map(|(i, column)| (Cells::of(page, i, column.kind), page.column(i).validity()))
            .collect();
        Ok(Self { layout, columns, rows: page.rows() })
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// A row, in place.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn at(&self, row: usize) -> PageRow<'_> {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        PageRow { page: self, row }
    }

    /// Appends a row's bytes to `out`; gives how many.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn gather(&self, row: usize, out: &mut Vec<u8>) -> usize {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        let begin = out.len();
        out.resize(begin + self.layout.fixed_bytes, 0);
        let mut length = self.layout.fixed_bytes;
        for (column, (cells, validity)) in self.layout.columns.iter().zip(&self.columns) {
            if let Some(bit) = column.null_bit
                && !validity.is_valid(row)
            {
                out[begin + self.layout.nulls + bit / 8] |= 1 << (bit % 8);
                continue;
            }
            let at = begin + column.offset;
            match cells {
                Cells::Bit(bits) => out[at] = u8::from(bits.at(row)),
                Cells::One(cells) => out[at..at + 1].copy_from_slice(&cells[row]),
                Cells::Two(cells) => out[at..at + 2].copy_from_slice(&cells[row]),
                Cells::Four(cells) => out[at..at + 4].copy_from_slice(&cells[row]),
                Cells::Eight(cells) => out[at..at + 8].copy_from_slice(&cells[row]),
                Cells::Sixteen(cells) => out[at..at + 16].copy_from_slice(&cells[row]),
                Cells::Views(views) => {
                    let bytes = views.at(row);
                    out[at..at + 8].copy_from_slice(&place_slot(length, bytes.len()));
                    out.extend_from_slice(bytes);
                    length += bytes.len();
                }
                Cells::None => {}
            }
        }
        length
    }
}

/// A row of a page, in place, column by column.
#[derive(Clone, Copy, Debug)]
pub struct PageRow<'a> {
    page: &'a PageRows<'a>,
    row: usize,
}

impl<'a> PageRow<'a> {
    /// Whether a column is NULL.
    ///
    /// # Panics
    /// If there is no such column.
    #[inline]
    pub fn is_null(&self, column: usize) -> bool {
        !self.page.columns[column].1.is_valid(self.row)
    }

    /// The cell of a column of `W` bytes, little-endian; a boolean has one byte.
    ///
    /// # Panics
    /// If the column is not of this width.
    #[inline]
    pub fn fixed<const W: usize>(&self, column: usize) -> [u8; W] {
        let row = self.row;
        let bit;
        let cell: &[u8] = match &self.page.columns[column].0 {
            Cells::Bit(bits) => {
                bit = [u8::from(bits.at(row))];
                &bit
            }
            Cells::One(cells) => &cells[row],
            Cells::Two(cells) => &cells[row],
            Cells::Four(cells) => &cells[row],
            Cells::Eight(cells) => &cells[row],
            Cells::Sixteen(cells) => &cells[row],
            Cells::Views(_) | Cells::None => &[],
        };
        cell.try_into().expect("width of the column")
    }

    /// The cell of a column of text or bytes.
    ///
    /// # Panics
    /// If the column is of another kind.
    #[inline]
    pub fn variable(&self, column: usize) -> &'a [u8] {
        match &self.page.columns[column].0 {
            Cells::Views(views) => views.at(self.row),
            _ => panic!("column {column} is text or bytes"),
        }
    }
}

/// Writes a row into a page that is being built, and commits it there.
///
/// # Errors
///
/// [`Full`] if the page has no room; it is as it was before.
///
/// # Panics
///
/// If the page is not of the row's schema.
pub fn scatter<B: DerefMut<Target = [u8]>>(
    row: &Row<'_>,
    page: &mut RowBuilder<B>,
) -> Result<(), Full> {
    if !page.has_room() {
        return Err(Full);
    }
    match put_cells(row, page) {
        Ok(()) => {
            page.commit();
            Ok(())
        }
        Err(full) => {
            page.roll_back();
            Err(full)
        }
    }
}

fn put_cells<B: DerefMut<Target = [u8]>>(
    row: &Row<'_>,
    page: &mut RowBuilder<B>,
) -> Result<(), Full> {
    for (index, column) in row.layout.columns.iter().enumerate() {
        if row.is_null(index) {
            page.put_null(index);
            continue;
        }
        match column.kind {
            ColumnKind::Bit => page.put_bool(index, row.fixed(index) != [0]),
            ColumnKind::Fixed(1) => page.put_fixed::<1>(index, row.fixed(index)),
            ColumnKind::Fixed(2) => page.put_fixed::<2>(index, row.fixed(index)),
            ColumnKind::Fixed(4) => page.put_fixed::<4>(index, row.fixed(index)),
            ColumnKind::Fixed(8) => page.put_fixed::<8>(index, row.fixed(index)),
            ColumnKind::Fixed(_) => page.put_fixed::<16>(index, row.fixed(index)),
            ColumnKind::String => {
                // Text of a valid row is UTF-8, as that of a valid page.
                let text = str::from_utf8(row.variable(index)).unwrap_or("\u{FFFD}");
                page.put_str(index, text)?;
            }
            ColumnKind::Bytes => page.put_bytes(index, row.variable(index))?,
            ColumnKind::Group => page.put_group(index),
            ColumnKind::Offsets => {}
        }
    }
    Ok(())
}
