//! Where the columns of a page lie.

use alloc::{vec, vec::Vec};

use super::{Demand, ENTRY_BYTES, HEADER_BYTES, Shape, sizing::Means};

/// Where one column's cells and validity bits begin, in bytes from the start of the page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// Start of the cells.
    pub data: u32,
    /// Start of the validity bitmap; 0 if the column has none.
    pub validity: u32,
    /// The column's list domain, for a column of offsets: which lengths its children follow.
    pub elements: u16,
}

/// The places of a shape's columns in a page of a given size, for given numbers of elements.
#[derive(Clone, Debug)]
pub struct Layout {
    pub(super) slots: Vec<Slot>,
    /// Room for elements, by domain; the first is the row capacity.
    pub(super) capacities: Vec<u32>,
    /// End of the columns: the heap may grow down to here.
    pub(super) floor: u32,
    /// Bytes of the page.
    pub(super) size: u32,
}

impl Layout {
    /// Places the columns of `shape` in `size` bytes, with room for `capacities` elements by
    /// domain. `None` if they do not fit.
    pub fn new(shape: &Shape, size: usize, capacities: &[u32]) -> Option<Self> {
        debug_assert_eq!(capacities.len(), usize::from(shape.domains));
        let mut end = HEADER_BYTES + ENTRY_BYTES * shape.columns.len();
        let mut slots = Vec::with_capacity(shape.columns.len());
        let mut next_domain = 1;
        for column in &shape.columns {
            let mut slot = Slot::default();
            // Offsets are signed: there cannot be more elements.
            let length = *capacities.get(usize::from(column.domain))?;
            let mut length = i32::try_from(length).ok()? as usize;
            if column.nullable {
                slot.validity = u32::try_from(end).ok()?;
                end = (end + length.div_ceil(8)).next_multiple_of(8);
            }
            if column.kind == super::ColumnKind::Offsets {
                slot.elements = next_domain;
                next_domain += 1;
                length += 1;
            }
            end = end.next_multiple_of(column.kind.alignment());
            slot.data = u32::try_from(end).ok()?;
            end = (end + column.kind.data_bytes(length)).next_multiple_of(8);
            slots.push(slot);
        }
        let floor = u32::try_from(end).ok()?;
        let size = u32::try_from(size).ok()?;
        (floor <= size).then(|| Self { slots, capacities: capacities.to_vec(), floor, size })
    }

    /// Rows of the usual size that `bytes` of the page hold.
    pub fn rows_within(&self, bytes: u32) -> u32 {
        let rows = self.capacities.first().copied().unwrap_or(0);
        let within = u64::from(rows) * u64::from(bytes) / u64::from(self.size.max(1));
        u32::try_from(within).unwrap_or(u32::MAX)
    }

    /// Places the columns of `shape` in `size` bytes for rows that take `heap_bytes` of heap, and a
    /// few elements in each list. `None` if not even one row fits.
    pub fn fitted(shape: &Shape, size: usize, heap_bytes: usize) -> Option<Self> {
        Self::for_means(shape, size, &Means::guess(shape, heap_bytes))
    }

    pub(super) fn for_means(shape: &Shape, size: usize, means: &Means) -> Option<Self> {
        let mut rows = shape.capacity(size, means);
        loop {
            let capacities = means.capacities(rows);
            if let Some(layout) = capacities.and_then(|room| Self::new(shape, size, &room)) {
                return Some(layout);
            }
            if rows == 1 {
                return None;
            }
            rows = (rows - rows / 16).min(rows - 1);
        }
    }

    /// The layout of a page of its own for one row that takes this: as large as it needs. `None` if
    /// that is 4 GiB or more.
    pub fn jumbo(shape: &Shape, demand: &Demand) -> Option<Self> {
        let mut capacities = vec![0; usize::from(shape.domains)];
        for (capacity, elements) in capacities.iter_mut().zip(&demand.elements) {
            *capacity = *elements;
        }
        capacities[0] = 1;
        let columns = Self::new(shape, u32::MAX as usize, &capacities)?;
        let size = (columns.floor as usize).checked_add(demand.heap_bytes)?;
        let size = u32::try_from(size.checked_next_multiple_of(16)?).ok()?;
        Some(Self { size, ..columns })
    }

    /// Whether a row that takes this fits an empty page.
    pub(super) fn holds(&self, demand: &Demand) -> bool {
        let elements = self.capacities.iter().zip(&demand.elements).skip(1);
        (self.size - self.floor) as usize >= demand.heap_bytes
            && elements.into_iter().all(|(capacity, elements)| capacity >= elements)
    }

    /// Bytes of the page.
    pub fn size(&self) -> usize {
        self.size as usize
    }

    /// Room for rows.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.capacities[0] as usize
    }

    /// The slots of the columns, in the order of the directory.
    pub fn cursor(&self) -> SlotCursor<'_> {
        SlotCursor { slots: &self.slots }
    }
}

/// Hands out the slots of a layout in the order of the directory.
#[derive(Debug)]
pub struct SlotCursor<'a> {
    slots: &'a [Slot],
}

impl SlotCursor<'_> {
    /// The next column's slot, taken.
    ///
    /// # Panics
    /// If the type asks for more columns than the layout has: its `data_type` and its `slots`
    /// disagree.
    pub fn next_slot(&mut self) -> Slot {
        let slot = self.peek();
        self.slots = &self.slots[1..];
        slot
    }

    /// The next column's slot, left in place.
    ///
    /// # Panics
    /// As [`SlotCursor::next_slot`].
    pub fn peek(&self) -> Slot {
        *self.slots.first().expect("a type asks for as many slots as its data type has columns")
    }
}
