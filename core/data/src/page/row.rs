//! Building pages of a schema that is known only at run time.

use alloc::{sync::Arc, vec::Vec};
use core::{
    fmt,
    ops::{DerefMut, Range},
};

use super::{
    Cells, ColumnKind, Demand, Full, Layout, Physical, RowKind, Sealed, Shape, Shortage, Slot,
    VIEW_BYTES,
    run::text,
    seal::{Lengths, clear_bitmaps, seal},
};

/// A page that is being filled cell by cell, for connectors, formats and SQL, which learn the
/// schema at run time.
///
/// Write each cell of a row, then [`RowBuilder::commit`]. A cell that is not written has whatever
/// value was there before; a row that is not committed is not part of the page.
///
/// A list is begun in its own column; each element is begun there, too, and then written into the
/// columns that follow. Those of a map are the key and the value of an entry.
///
/// ```
/// # use std::sync::Arc;
/// # use millstream_data::{Record, Value, page::{Layout, RowBuilder, Shape, ValidPage}};
/// type Row = (u64, Vec<i32>);
/// let shape = Arc::new(Shape::new(&Row::schema()));
/// let layout = Arc::new(Layout::fitted(&shape, 4096, 0).unwrap());
/// # let mut words = vec![0u128; 256];
/// # let segment: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
/// let mut rows = RowBuilder::new(segment, &shape, &layout);
/// rows.put_fixed(0, 7u64.to_le_bytes());
/// rows.begin_list(1);
/// for number in [1i32, 2, 3] {
///     rows.begin_element(1)?;
///     rows.put_fixed(2, number.to_le_bytes());
/// }
/// rows.commit();
/// # let sealed = rows.seal(false);
/// let page = ValidPage::validate(&sealed.buffer[..sealed.length], &shape).unwrap();
/// let (id, numbers) = Row::at(&Row::bind(&page), 0);
/// assert_eq!((id, numbers.as_slice()), (7, Some(&[1, 2, 3][..])));
/// # Ok::<_, millstream_data::page::Full>(())
/// ```
pub struct RowBuilder<B> {
    pub(super) buffer: B,
    pub(super) shape: Arc<Shape>,
    pub(super) layout: Arc<Layout>,
    pub(super) rows: u32,
    /// Rows that the page has at most.
    pub(super) capacity: u32,
    pub(super) heap: usize,
    /// Where the heap began before the row that is being written.
    pub(super) heap_before_row: usize,
    /// Elements so far, by list domain, those begun included; empty for a shape without lists.
    pub(super) lengths: Vec<u32>,
    /// The same before the row that is being written.
    lengths_before_row: Vec<u32>,
    /// What found no room last since the page was opened.
    shortage: Option<Shortage>,
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
            capacity: layout.capacities[0],
            heap,
            heap_before_row: heap,
            lengths: shape.list_lengths(),
            lengths_before_row: shape.list_lengths(),
            shortage: None,
            shape: Arc::clone(shape),
            layout: Arc::clone(layout),
        }
    }

    /// Whether another row fits as far as its own cells are concerned; its strings and elements may
    /// still not.
    pub fn has_room(&self) -> bool {
        self.rows < self.capacity
    }

    /// Lets the page have at most so many rows, and at least one.
    pub fn limit(&mut self, rows: u32) {
        self.capacity = self.capacity.min(rows.max(1));
    }

    /// The shape of the rows.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Bytes of the buffer that rows may use.
    pub fn size(&self) -> usize {
        self.layout.size()
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
    /// [`Full`] if the heap has no room for it. Until it is committed the row is not part of the
    /// page: roll it back to go on with another one, or seal the page as it is.
    ///
    /// # Panics
    /// As [`RowBuilder::put_fixed`].
    #[inline]
    pub fn put_str(&mut self, column: usize, value: &str) -> Result<(), Full> {
        assert_eq!(self.shape.columns[column].kind, ColumnKind::String, "column {column}");
        self.put_view(column, value.as_bytes())
    }

    /// Writes [text] of a valid row.
    #[inline]
    pub(crate) fn put_text(&mut self, column: usize, value: &[u8]) -> Result<(), Full> {
        assert_eq!(self.shape.columns[column].kind, ColumnKind::String, "column {column}");
        self.put_view(column, text(value))
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

    /// Begins a list or map, which is empty so far.
    ///
    /// # Panics
    /// As [`RowBuilder::put_fixed`].
    pub fn begin_list(&mut self, column: usize) {
        self.put(column, |cells, slot, row| cells.put_list(slot, row, 0))
            .expect("an empty list always has room");
    }

    /// Begins an element of the list or map that was begun last in this column: what is now written
    /// into the columns of its elements belongs to it.
    ///
    /// # Errors
    /// [`Full`] if the columns of elements have no room for it, see [`RowBuilder::put_str`].
    ///
    /// # Panics
    /// If the column is not one of lists, or no list was begun.
    #[inline]
    pub fn begin_element(&mut self, column: usize) -> Result<(), Full> {
        let physical = self.shape.columns[column];
        assert_eq!(physical.kind, ColumnKind::Offsets, "column {column}");
        let (slot, row) = (self.layout.slots[column], self.position(physical.domain, column));
        let result = self.cells().put_element(slot, row);
        if result.is_err() {
            self.shortage = Some(Shortage::Elements(slot.elements));
        }
        result
    }

    /// Writes NULL, zeros below it; a list that is NULL is empty.
    ///
    /// # Panics
    /// If the column is not nullable, or the page has no room for the row.
    #[inline]
    pub fn put_null(&mut self, column: usize) {
        let physical = self.shape.columns[column];
        assert!(physical.nullable, "column {column} is NOT NULL");
        self.put(column, |cells, slot, row| {
            put_zero(physical.kind, cells, slot, row);
            cells.put_valid(slot, row, false);
        });
    }

    /// Writes a value that is zero, false, empty, or present in case of a nested row, whose fields
    /// have columns of their own.
    ///
    /// # Panics
    /// As [`RowBuilder::put_fixed`].
    pub fn put_zero(&mut self, column: usize) {
        let kind = self.shape.columns[column].kind;
        self.put(column, |cells, slot, row| put_zero(kind, cells, slot, row));
    }

    /// Writes NULL into those of these columns that may hold it and zero into the others: what
    /// stands below a nested row that is NULL. Columns of elements of lists stay as they are.
    ///
    /// # Panics
    /// As [`RowBuilder::put_fixed`].
    pub fn put_blank(&mut self, columns: Range<usize>) {
        let Some(first) = self.shape.columns.get(columns.start).copied() else { return };
        for column in columns {
            let Physical { nullable, domain, .. } = self.shape.columns[column];
            match domain == first.domain {
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
        assert!(self.has_room(), "the page has no room for another row: ask `has_room` first");
        self.rows += 1;
        self.heap_before_row = self.heap;
        self.lengths_before_row.copy_from_slice(&self.lengths);
    }

    /// Forgets the cells of a row that is not committed.
    pub fn roll_back(&mut self) {
        self.heap = self.heap_before_row;
        self.lengths.copy_from_slice(&self.lengths_before_row);
    }

    /// The whole buffer, for somebody else to make a page in. What this builder has written so far
    /// is lost: do not seal it.
    pub fn buffer_mut(&mut self) -> &mut [u8] {
        &mut self.buffer
    }

    /// Gives the buffer back without a page.
    pub fn abandon(self) -> B {
        self.buffer
    }

    /// Completes the page, see [`PageBuilder::seal`](super::PageBuilder::seal).
    pub fn seal(self, compact: bool) -> Sealed<B> {
        let Self { mut buffer, shape, layout, rows, heap_before_row: heap, .. } = self;
        let elements = self.lengths_before_row;
        let lengths = Lengths { rows, lists: &elements };
        let length = seal(&mut buffer, &shape, &layout, lengths, heap, compact);
        let demand = Demand { heap_bytes: layout.size as usize - heap, elements };
        Sealed { buffer, length, rows: rows as usize, demand, shortage: self.shortage }
    }

    #[inline]
    fn put_view(&mut self, column: usize, value: &[u8]) -> Result<(), Full> {
        let result = self.put(column, |cells, slot, row| cells.put_view(slot, row, value));
        if result.is_err() {
            self.shortage = Some(Shortage::Heap);
        }
        result
    }

    #[inline]
    fn put<R>(&mut self, column: usize, write: impl FnOnce(&mut Cells<'_>, Slot, usize) -> R) -> R {
        assert!(
            self.rows < self.capacity,
            "the page has no room for another row: ask `has_room` first"
        );
        let (slot, physical) = (self.layout.slots[column], self.shape.columns[column]);
        let row = self.position(physical.domain, column);
        let mut cells = self.cells();
        if physical.nullable {
            cells.put_valid(slot, row, true);
        }
        let result = write(&mut cells, slot, row);
        self.heap = cells.heap;
        result
    }

    /// Where in its column the cell is that is written next.
    #[inline]
    fn position(&self, domain: u16, column: usize) -> usize {
        let domain = usize::from(domain);
        if domain == 0 {
            return self.rows as usize;
        }
        let begun = self.lengths[domain];
        assert!(begun > self.lengths_before_row[domain], "column {column} is within an element");
        begun as usize - 1
    }

    #[inline]
    pub(super) fn cells(&mut self) -> Cells<'_> {
        Cells {
            bytes: &mut self.buffer,
            heap: self.heap,
            floor: self.layout.floor as usize,
            lengths: &mut self.lengths,
            capacities: &self.layout.capacities,
        }
    }
}

/// Writes zero, false, the empty text or the empty list.
fn put_zero(kind: ColumnKind, cells: &mut Cells<'_>, slot: Slot, row: usize) {
    match kind {
        ColumnKind::Bit => cells.put_bit(slot, row, false),
        ColumnKind::Fixed(1) => cells.put_fixed(slot, row, [0; 1]),
        ColumnKind::Fixed(2) => cells.put_fixed(slot, row, [0; 2]),
        ColumnKind::Fixed(4) => cells.put_fixed(slot, row, [0; 4]),
        ColumnKind::Fixed(8) => cells.put_fixed(slot, row, [0; 8]),
        ColumnKind::Fixed(_) | ColumnKind::String | ColumnKind::Bytes => {
            cells.put_fixed(slot, row, [0; VIEW_BYTES]);
        }
        // An empty list always has room.
        ColumnKind::Offsets => drop(cells.put_list(slot, row, 0)),
        ColumnKind::Group => {}
    }
}

impl<B> fmt::Debug for RowBuilder<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowBuilder").field("rows", &self.rows).finish_non_exhaustive()
    }
}
