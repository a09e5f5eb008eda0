//! The cells of a page that is being built.

use super::{INLINE_BYTES, Slot, VIEW_BYTES};

/// The page has no room for the row; it is sealed, and the row goes to the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Write access to the cells of a page that is being built.
///
/// Offsets come from the page's own layout; an offset out of the page is a bug and panics.
#[derive(Debug)]
pub struct Cells<'a> {
    pub(super) bytes: &'a mut [u8],
    /// The lowest byte of the heap in use.
    pub(super) heap: usize,
    /// The heap may not grow below this.
    pub(super) floor: usize,
    /// Elements so far, by domain.
    pub(super) lengths: &'a mut [u32],
    /// Room for elements, by domain.
    pub(super) capacities: &'a [u32],
}

impl Cells<'_> {
    /// Writes a cell of `W` bytes.
    #[inline(always)]
    pub fn put_fixed<const W: usize>(&mut self, slot: Slot, row: usize, cell: [u8; W]) {
        let at = slot.data as usize + row * W;
        self.bytes[at..at + W].copy_from_slice(&cell);
    }

    /// Writes a cell of one bit.
    #[inline]
    pub fn put_bit(&mut self, slot: Slot, row: usize, bit: bool) {
        set_bit(self.bytes, slot.data as usize, row, bit);
    }

    /// Marks the cell as a value or as NULL.
    #[inline]
    pub fn put_valid(&mut self, slot: Slot, row: usize, valid: bool) {
        set_bit(self.bytes, slot.validity as usize, row, valid);
    }

    /// Writes a string or byte string: into the view up to [`INLINE_BYTES`], else into the heap.
    ///
    /// # Errors
    /// [`Full`] if the heap has no room for it.
    #[inline]
    pub fn put_view(&mut self, slot: Slot, row: usize, value: &[u8]) -> Result<(), Full> {
        let mut view = [0; VIEW_BYTES];
        view[..4].copy_from_slice(&(value.len() as u32).to_le_bytes());
        if value.len() <= INLINE_BYTES {
            view[4..4 + value.len()].copy_from_slice(value);
        } else {
            let Some(heap) = self.heap.checked_sub(value.len()).filter(|heap| *heap >= self.floor)
            else {
                return Err(Full);
            };
            self.heap = heap;
            self.bytes[heap..heap + value.len()].copy_from_slice(value);
            view[4..8].copy_from_slice(&value[..4]);
            view[12..].copy_from_slice(&(heap as u32).to_le_bytes());
        }
        self.put_fixed(slot, row, view);
        Ok(())
    }

    /// Opens a list of `length` elements in a column of offsets and gives the position of its first
    /// element; the caller writes the elements from there.
    ///
    /// # Errors
    /// [`Full`] if the child columns have no room for them.
    pub fn put_list(&mut self, slot: Slot, row: usize, length: usize) -> Result<usize, Full> {
        let domain = usize::from(slot.elements);
        let start = self.lengths[domain] as usize;
        let end = start.saturating_add(length);
        if end > self.capacities[domain] as usize {
            return Err(Full);
        }
        self.lengths[domain] = end as u32;
        self.put_fixed(slot, row, (start as i32).to_le_bytes());
        self.put_fixed(slot, row + 1, (end as i32).to_le_bytes());
        Ok(start)
    }

    /// Adds an element to the list that was opened last in a column of offsets.
    ///
    /// # Errors
    /// As [`Cells::put_list`].
    #[inline]
    pub(super) fn put_element(&mut self, slot: Slot, row: usize) -> Result<(), Full> {
        let domain = usize::from(slot.elements);
        let end = self.lengths[domain] + 1;
        if end > self.capacities[domain] {
            return Err(Full);
        }
        self.lengths[domain] = end;
        self.put_fixed(slot, row + 1, (end as i32).to_le_bytes());
        Ok(())
    }
}

#[inline]
fn set_bit(bytes: &mut [u8], base: usize, row: usize, bit: bool) {
    let byte = &mut bytes[base + row / 8];
    let mask = 1 << (row % 8);
    if bit {
        *byte |= mask;
    } else {
        *byte &= !mask;
    }
}
