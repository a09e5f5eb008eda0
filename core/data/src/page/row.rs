//! Building pages of a schema that is known only at run time.

use alloc::{sync::Arc, vec::Vec};
use core::{fmt, ops::DerefMut};

use super::{
    Cells, ColumnKind, Full, Layout, RowKind, Sealed, Shape, VIEW_BYTES,
    seal::{Lengths, clear_bitmaps, seal},
};

/// A page that is being filled cell by cell, for connectors, formats and SQL, which learn the
/// schema at run time.
///
/// Write each cell of a row, then [`RowBuilder::commit`]. A cell that is not written has whatever
/// value was there before; a row that is not committed is not part of the page.
pub struct RowBuilder<B> {
    buffer: B,
    shape: Arc<Shape>,
    layout: Arc<Layout>,
    rows: u32,
    heap: usize,
    /// Where the heap began before the row that is being written.
    heap_before_row: usize,
    lengths: Vec<u32>,
    /// A string found no room since the page was opened.
    full: bool,
}

impl<B: DerefMut<Target = [u8]>> RowBuilder<B> {
    /// An empty page in `buffer`, see [`PageBuilder::new`](super::PageBuilder::new).
    ///
    /// # Panics
    /// If the buffer is shorter than the layout's size.
    pub fn new(buffer: B, shape: &Arc<Shape>, layout: &Arc<Layout>) -> Self {
        let mut buffer = buffer;
        assert!(buffer.len() >= layout.size as usize, "the buffer is as long as the layout says");
        clear_bitmaps(&mut buffer, shape, layout);
        let heap = layout.size as usize;
        Self {
            buffer,
            rows: 0,
            heap,
            heap_before_row: heap,
            lengths: shape.list_lengths(),
            full: false,
            shape: Arc::clone(shape),
            layout: Arc::clone(layout),
        }
    }

    /// Whether another row fits as far as the columns are concerned; its strings may still not.
    pub fn has_room(&self) -> bool {
        self.rows < self.layout.capacities[0]
    }

    /// Rows so far.
    pub fn rows(&self) -> usize {
        self.rows as usize
    }

    /// Writes a cell of fixed width, little-endian. On a nullable column it becomes a value.
    ///
    /// # Panics
    /// If the column is not of this width, or the page has no room for the row: ask
    /// [`RowBuilder::has_room`] before each row.
    #[inline]
    pub fn put_fixed<const W: usize>(&mut self, column: usize, cell: [u8; W]) {
        assert_eq!(self.shape.columns[column].kind, ColumnKind::Fixed(W as u16), "column {column}");
        self.put(column, |cells, slot, row| cells.put_fixed(slot, row, cell));
    }

    /// Writes a cell of one bit.
    ///
    /// # Panics
    /// As [`RowBuilder::put_fixed`].
    #[inline]
    pub fn put_bool(&mut self, column: usize, value: bool) {
        assert_eq!(self.shape.columns[column].kind, ColumnKind::Bit, "column {column}");
        self.put(column, |cells, slot, row| cells.put_bit(slot, row, value));
    }

    /// Writes text.
    ///
    /// # Errors
    /// [`Full`] if the heap has no room for it; the row is not part of the page.
    ///
    /// # Panics
    /// As [`RowBuilder::put_fixed`].
    #[inline]
    pub fn put_str(&mut self, column: usize, value: &str) -> Result<(), Full> {
        assert_eq!(self.shape.columns[column].kind, ColumnKind::String, "column {column}");
        self.put_view(column, value.as_bytes())
    }

    /// Writes a byte string.
    ///
    /// # Errors
    /// As [`RowBuilder::put_str`].
    ///
    /// # Panics
    /// As [`RowBuilder::put_fixed`].
    #[inline]
    pub fn put_bytes(&mut self, column: usize, value: &[u8]) -> Result<(), Full> {
        assert_eq!(self.shape.columns[column].kind, ColumnKind::Bytes, "column {column}");
        self.put_view(column, value)
    }

    /// Writes NULL, zeros below it.
    ///
    /// # Panics
    /// If the column is not nullable, or a list, or the page has no room for the row.
    #[inline]
    pub fn put_null(&mut self, column: usize) {
        let physical = self.shape.columns[column];
        assert!(physical.nullable, "column {column} is NOT NULL");
        self.put(column, |cells, slot, row| {
            match physical.kind {
                ColumnKind::Bit => cells.put_bit(slot, row, false),
                ColumnKind::Fixed(1) => cells.put_fixed(slot, row, [0; 1]),
                ColumnKind::Fixed(2) => cells.put_fixed(slot, row, [0; 2]),
                ColumnKind::Fixed(4) => cells.put_fixed(slot, row, [0; 4]),
                ColumnKind::Fixed(8) => cells.put_fixed(slot, row, [0; 8]),
                ColumnKind::Fixed(_) | ColumnKind::String | ColumnKind::Bytes => {
                    cells.put_fixed(slot, row, [0; VIEW_BYTES]);
                }
                ColumnKind::Offsets | ColumnKind::Group => {}
            }
            cells.put_valid(slot, row, false);
        });
    }

    /// Marks a nested row as present; its fields have columns of their own.
    ///
    /// # Panics
    /// If the column is not the validity of a nested row, or the page has no room for the row.
    #[inline]
    pub fn put_group(&mut self, column: usize) {
        assert_eq!(self.shape.columns[column].kind, ColumnKind::Group, "column {column}");
        self.put(column, |_, _, _| ());
    }

    /// Writes the kind of the row.
    ///
    /// # Panics
    /// If the shape has no row kinds.
    pub fn put_kind(&mut self, kind: RowKind) {
        assert!(self.shape.row_kinds, "the shape has row kinds");
        self.put_fixed(self.shape.columns.len() - 1, [kind as u8]);
    }

    /// The row is complete and part of the page.
    #[inline]
    pub fn commit(&mut self) {
        assert!(self.has_room(), "the page has room for the row");
        self.rows += 1;
        self.heap_before_row = self.heap;
    }

    /// Forgets the cells of a row that is not committed.
    pub fn roll_back(&mut self) {
        self.heap = self.heap_before_row;
    }

    /// Gives the buffer back without a page.
    pub fn abandon(self) -> B {
        self.buffer
    }

    /// Completes the page, see [`PageBuilder::seal`](super::PageBuilder::seal).
    pub fn seal(self, compact: bool) -> Sealed<B> {
        let Self { mut buffer, shape, layout, rows, heap_before_row: heap, lengths, full, .. } =
            self;
        let heap_bytes = layout.size as usize - heap;
        let lengths = Lengths { rows, lists: &lengths };
        let length = seal(&mut buffer, &shape, &layout, lengths, heap, compact);
        Sealed { buffer, length, rows: rows as usize, heap_bytes, full }
    }

    #[inline]
    fn put_view(&mut self, column: usize, value: &[u8]) -> Result<(), Full> {
        let result = self.put(column, |cells, slot, row| cells.put_view(slot, row, value));
        self.full |= result.is_err();
        result
    }

    #[inline]
    fn put<R>(
        &mut self,
        column: usize,
        write: impl FnOnce(&mut Cells<'_>, super::Slot, usize) -> R,
    ) -> R {
        assert!(self.rows < self.layout.capacities[0], "the page has room for the row");
        let slot = self.layout.slots[column];
        let mut cells = Cells {
            bytes: &mut self.buffer,
            heap: self.heap,
            floor: self.layout.floor as usize,
            lengths: &mut self.lengths,
            capacities: &self.layout.capacities,
        };
        if self.shape.columns[column].nullable {
            cells.put_valid(slot, self.rows as usize, true);
        }
        let result = write(&mut cells, slot, self.rows as usize);
        self.heap = cells.heap;
        result
    }
}

impl<B> fmt::Debug for RowBuilder<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowBuilder").field("rows", &self.rows).finish_non_exhaustive()
    }
}
