//! From a page to rows, and back.

use alloc::vec::Vec;
use core::ops::DerefMut;

use super::{Row, RowError, RowLayout, cells::place_slot, list};
use crate::{
    hash,
    page::{
        BitColumn, ColumnKind, Demand, Full, OffsetsColumn, RowBuilder, Shape, ValidPage, Validity,
        ViewColumn, heap_bytes,
    },
};

/// The rows of a page, to be gathered one by one.
#[derive(Debug)]
pub struct PageRows<'a> {
    columns: Columns<'a>,
    rows: usize,
}

/// The columns of rows, or of the elements of a list.
#[derive(Debug)]
struct Columns<'a> {
    layout: &'a RowLayout,
    cells: Vec<(Cells<'a>, Validity<'a>)>,
    lists: Vec<Self>,
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
    Lists(OffsetsColumn<'a>),
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
            ColumnKind::Offsets => Self::Lists(cells.lists()),
            ColumnKind::Group => Self::None,
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
        if page.fingerprint() != layout.fingerprint {
            let columns = page.columns() - usize::from(page.has_row_kinds());
            return Err(RowError::Column {
                column: columns.min(layout.columns.len()),
                what: "is of another schema than the page",
            });
        }
        Ok(Self { columns: Columns::new(layout, page), rows: page.rows() })
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

    /// The [hash](crate::hash) of a row's columns that are neither lists nor maps: that of
    /// [`Row::hash`].
    ///
    /// # Panics
    /// If there is no such row.
    pub fn hash(&self, row: usize) -> u64 {
        let columns = self.columns.layout.columns.iter().zip(&self.columns.cells);
        columns.fold(hash::SEED, |state, (column, (cells, validity))| match cells {
            _ if column.null_bit.is_some() && !validity.is_valid(row) => hash::null(state),
            Cells::Bit(bits) => hash::cell(state, &[u8::from(bits.at(row))]),
            Cells::One(cells) => hash::cell(state, &cells[row]),
            Cells::Two(cells) => hash::cell(state, &cells[row]),
            Cells::Four(cells) => hash::cell(state, &cells[row]),
            Cells::Eight(cells) => hash::cell(state, &cells[row]),
            Cells::Sixteen(cells) => hash::cell(state, &cells[row]),
            Cells::Views(views) => hash::bytes(state, views.at(row)),
            Cells::Lists(_) | Cells::None => state,
        })
    }

    /// Appends a row's bytes to `out`; gives how many.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn gather(&self, row: usize, out: &mut Vec<u8>) -> usize {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        self.columns.gather(row, out)
    }
}

impl<'a> Columns<'a> {
    fn new(layout: &'a RowLayout, page: &ValidPage<'a>) -> Self {
        let cells = layout.columns.iter().map(|column| {
            (Cells::of(page, column.page, column.kind), page.column(column.page).validity())
        });
        let lists = layout.lists.iter().map(|layout| Self::new(layout, page));
        Self { layout, cells: cells.collect(), lists: lists.collect() }
    }

    /// Appends the bytes of a row or element; gives how many.
    fn gather(&self, row: usize, out: &mut Vec<u8>) -> usize {
        let begin = out.len();
        out.resize(begin + self.layout.fixed_bytes, 0);
        for (column, (cells, validity)) in self.layout.columns.iter().zip(&self.cells) {
            if let Some(bit) = column.null_bit
                && !validity.is_valid(row)
            {
                out[begin + self.layout.nulls + bit / 8] |= 1 << (bit % 8);
                continue;
            }
            let at = begin + column.offset;
            let start = out.len();
            match cells {
                Cells::Bit(bits) => out[at] = u8::from(bits.at(row)),
                Cells::One(cells) => out[at..at + 1].copy_from_slice(&cells[row]),
                Cells::Two(cells) => out[at..at + 2].copy_from_slice(&cells[row]),
                Cells::Four(cells) => out[at..at + 4].copy_from_slice(&cells[row]),
                Cells::Eight(cells) => out[at..at + 8].copy_from_slice(&cells[row]),
                Cells::Sixteen(cells) => out[at..at + 16].copy_from_slice(&cells[row]),
                Cells::Views(views) => out.extend_from_slice(views.at(row)),
                Cells::Lists(lists) => {
                    let elements = &self.lists[column.list];
                    let range = lists.at(row);
                    list::put(elements.layout, range.len(), out, |index, out| {
                        elements.gather(range.start + index, out);
                    });
                }
                Cells::None => {}
            }
            if column.is_variable() {
                let slot = place_slot(start - begin, out.len() - start);
                out[at..at + slot.len()].copy_from_slice(&slot);
            }
        }
        out.len() - begin
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
        !self.page.columns.cells[column].1.is_valid(self.row)
    }

    /// The cell of a column of `W` bytes, little-endian; a boolean has one byte.
    ///
    /// # Panics
    /// If the column is not of this width.
    #[inline]
    pub fn fixed<const W: usize>(&self, column: usize) -> [u8; W] {
        let row = self.row;
        let bit;
        let cell: &[u8] = match &self.page.columns.cells[column].0 {
            Cells::Bit(bits) => {
                bit = [u8::from(bits.at(row))];
                &bit
            }
            Cells::One(cells) => &cells[row],
            Cells::Two(cells) => &cells[row],
            Cells::Four(cells) => &cells[row],
            Cells::Eight(cells) => &cells[row],
            Cells::Sixteen(cells) => &cells[row],
            Cells::Views(_) | Cells::Lists(_) | Cells::None => &[],
        };
        cell.try_into().expect("width of the column")
    }

    /// The cell of a column of text or bytes.
    ///
    /// # Panics
    /// If the column is of another kind.
    #[inline]
    pub fn variable(&self, column: usize) -> &'a [u8] {
        match &self.page.columns.cells[column].0 {
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
    match put_cells(row, 0, page) {
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

impl Row<'_> {
    /// Mixes a column that is neither a list nor a map into a [hash](crate::hash).
    ///
    /// # Panics
    /// If there is no such column.
    pub fn hash(&self, column: usize, state: u64) -> u64 {
        let at = &self.layout.columns[column];
        match at.kind {
            _ if self.is_null(column) => hash::null(state),
            ColumnKind::String | ColumnKind::Bytes => hash::bytes(state, self.variable(column)),
            ColumnKind::Offsets | ColumnKind::Group => state,
            ColumnKind::Bit | ColumnKind::Fixed(_) => {
                hash::cell(state, &self.bytes[at.offset..at.offset + at.width()])
            }
        }
    }

    /// Bytes of a page's heap that its texts and byte strings take.
    pub fn heap_bytes(&self) -> usize {
        let columns = self.layout.columns.iter().enumerate();
        let texts = columns.filter(|(_, column)| column.is_bytes());
        texts.map(|(column, _)| heap_bytes(self.variable(column))).sum()
    }

    /// What the row takes at most of a page of this shape beside its own cells.
    pub fn demand(&self, shape: &Shape) -> Demand {
        // At most: short strings need no heap.
        let mut demand = Demand { heap_bytes: self.bytes.len(), elements: shape.list_lengths() };
        self.count_elements(0, shape, &mut demand.elements);
        demand
    }

    /// Adds the elements of its lists to their numbers in a page of this shape, by domain; its columns begin there
    /// with number `first`.
    pub fn count_elements(&self, first: usize, shape: &Shape, elements: &mut [u32]) {
        count_elements(self, first, shape, elements);
    }
}

fn count_elements(row: &Row<'_>, begin: usize, shape: &Shape, elements: &mut [u32]) {
    for (index, column) in row.layout.columns.iter().enumerate().filter(|(_, c)| c.is_list()) {
        let list = row.list(index);
        // The column of elements that comes first follows that of their list.
        let domain = shape.columns().get(begin + column.page + 1).map_or(0, |first| first.domain);
        let Some(count) = elements.get_mut(usize::from(domain)) else { continue };
        *count = count.saturating_add(u32::try_from(list.len()).unwrap_or(u32::MAX));
        if !row.layout.lists[column.list].lists.is_empty() {
            let each = |element| count_elements(&list.at(element), begin, shape, elements);
            (0..list.len()).for_each(each);
        }
    }
}

/// Writes the cells of a row into those columns of the page's next row that begin with number `first`,
/// and leaves it to the caller to write the others and to commit.
///
/// # Errors
///
/// [`Full`] if the page has no room: the caller rolls back.
///
/// # Panics
///
/// If these columns are not the row's.
pub fn put_cells<B: DerefMut<Target = [u8]>>(
    row: &Row<'_>,
    first: usize,
    page: &mut RowBuilder<B>,
) -> Result<(), Full> {
    for (index, column) in row.layout.columns.iter().enumerate() {
        let target = first + column.page;
        if row.is_null(index) {
            page.put_null(target);
            continue;
        }
        match column.kind {
            ColumnKind::Bit => page.put_bool(target, row.fixed(index) != [0]),
            ColumnKind::Fixed(1) => page.put_fixed::<1>(target, row.fixed(index)),
            ColumnKind::Fixed(2) => page.put_fixed::<2>(target, row.fixed(index)),
            ColumnKind::Fixed(4) => page.put_fixed::<4>(target, row.fixed(index)),
            ColumnKind::Fixed(8) => page.put_fixed::<8>(target, row.fixed(index)),
            ColumnKind::Fixed(_) => page.put_fixed::<16>(target, row.fixed(index)),
            ColumnKind::String => {
                page.put_text(target, row.variable(index))?;
            }
            ColumnKind::Bytes => page.put_bytes(target, row.variable(index))?,
            ColumnKind::Group => page.put_group(target),
            ColumnKind::Offsets => {
                page.begin_list(target);
                let list = row.list(index);
                for element in 0..list.len() {
                    page.begin_element(target)?;
                    put_cells(&list.at(element), first, page)?;
                }
            }
        }
    }
    Ok(())
}
