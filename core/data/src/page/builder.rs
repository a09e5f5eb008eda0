//! Building pages, row by row.

use alloc::{sync::Arc, vec::Vec};
use core::{fmt, ops::DerefMut};

use super::{
    Cells, Demand, Full, Layout, Shape, Shortage,
    seal::{Lengths, clear_bitmaps, seal},
};
use crate::value::Value;

/// A page that is being filled with records of type `T`, in a buffer that it owns.
///
/// The buffer is a memory segment in production and a `Vec<u8>` in tests; it must be as long as the
/// layout says, start 16-byte aligned, and be filled with initialised bytes (any).
pub struct PageBuilder<T: Value, B> {
    buffer: B,
    slots: T::Slots,
    rows: u32,
    capacity: u32,
    heap: u32,
    floor: u32,
    layout: Arc<Layout>,
    /// Elements so far, by list domain, and behind them those before the row that is being written:
    /// one field for both keeps the builder of rows without lists small. Empty for those.
    lengths: Vec<u32>,
}

/// A page that is complete.
#[derive(Debug)]
pub struct Sealed<B> {
    /// The buffer whose first `length` bytes are the page.
    pub buffer: B,
    /// Bytes of the page.
    pub length: usize,
    /// Rows in the page.
    pub rows: usize,
    /// What the rows took beside their cells.
    pub demand: Demand,
    /// What the last row that was refused found no room for, where that is known.
    pub shortage: Option<Shortage>,
}

impl<T: Value, B: DerefMut<Target = [u8]>> PageBuilder<T, B> {
    /// An empty page in `buffer`.
    ///
    /// # Panics
    /// If the buffer is shorter than the layout's size.
    pub fn new(buffer: B, shape: &Shape, layout: &Arc<Layout>) -> Self {
        let mut buffer = buffer;
        assert!(buffer.len() >= layout.size as usize, "the buffer is as long as the layout says");
        clear_bitmaps(&mut buffer, shape, layout);
        Self {
            slots: T::slots(&mut layout.cursor()),
            buffer,
            rows: 0,
            capacity: layout.capacities[0],
            heap: layout.size,
            floor: layout.floor,
            lengths: shape.list_lengths().repeat(2),
            layout: Arc::clone(layout),
        }
    }

    /// Adds a row.
    ///
    /// # Errors
    /// [`Full`] if the page has no room for it; the page is as it was.
    #[inline(always)]
    pub fn append(&mut self, row: T::View<'_>) -> Result<(), Full> {
        if self.rows == self.capacity {
            return Err(Full);
        }
        if T::LISTS > 0 {
            return self.append_with_lists(row);
        }
        let mut cells = Cells {
            bytes: &mut self.buffer,
            heap: self.heap as usize,
            floor: self.floor as usize,
            lengths: &mut self.lengths,
            capacities: &self.layout.capacities,
        };
        T::put(row, self.slots, self.rows as usize, &mut cells)?;
        self.heap = cells.heap as u32;
        self.rows += 1;
        Ok(())
    }

    /// Lists written before the row turned out not to fit are taken back.
    fn append_with_lists(&mut self, row: T::View<'_>) -> Result<(), Full> {
        let domains = self.lengths.len() / 2;
        self.lengths.copy_within(..domains, domains);
        let mut cells = Cells {
            bytes: &mut self.buffer,
            heap: self.heap as usize,
            floor: self.floor as usize,
            lengths: &mut self.lengths,
            capacities: &self.layout.capacities,
        };
        let result = T::put(row, self.slots, self.rows as usize, &mut cells);
        let heap = cells.heap as u32;
        match result {
            Ok(()) => {
                self.heap = heap;
                self.rows += 1;
            }
            Err(Full) => self.lengths.copy_within(domains.., 0),
        }
        result
    }

    /// Lets the page have at most so many rows, and at least one.
    pub fn limit(&mut self, rows: u32) {
        self.capacity = self.capacity.min(rows.max(1));
    }

    /// Rows so far.
    pub fn rows(&self) -> usize {
        self.rows as usize
    }

    /// Gives the buffer back without a page.
    pub fn abandon(self) -> B {
        self.buffer
    }

    /// Completes the page. A `compact` page has no gap between columns and heap, which pays where
    /// its bytes are sent or stored.
    pub fn seal(self, shape: &Shape, compact: bool) -> Sealed<B> {
        let Self { mut buffer, rows, heap, mut lengths, layout, .. } = self;
        lengths.truncate(lengths.len() / 2);
        let counts = Lengths { rows, lists: &lengths };
        let length = seal(&mut buffer, shape, &layout, counts, heap as usize, compact);
        let demand = Demand { heap_bytes: (layout.size - heap) as usize, elements: lengths };
        Sealed { buffer, length, rows: rows as usize, demand, shortage: None }
    }
}

impl<T: Value, B> fmt::Debug for PageBuilder<T, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("PageBuilder");
        out.field("rows", &self.rows).field("capacity", &self.capacity).finish_non_exhaustive()
    }
}
