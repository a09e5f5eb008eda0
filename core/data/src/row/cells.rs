//! Reading a row, and updating it in place.

use super::{RowColumn, RowLayout, RowList};

/// A row that may be read: it was made in this process, or checked from end to end.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    pub(super) layout: &'a RowLayout,
    pub(super) bytes: &'a [u8],
}

impl<'a> Row<'a> {
    /// Its bytes.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Its layout.
    pub fn layout(&self) -> &'a RowLayout {
        self.layout
    }

    /// Whether a column is NULL.
    ///
    /// # Panics
    /// If there is no such column.
    #[inline]
    pub fn is_null(&self, column: usize) -> bool {
        let bit = self.layout.columns[column].null_bit;
        bit.is_some_and(|bit| self.bytes[self.layout.nulls + bit / 8] >> (bit % 8) & 1 == 1)
    }

    /// The cell of a column of `W` bytes, little-endian; a boolean has one byte.
    ///
    /// # Panics
    /// If the column is not of this width.
    #[inline]
    pub fn fixed<const W: usize>(&self, column: usize) -> [u8; W] {
        let column = &self.layout.columns[column];
        assert!(column.width() == W && !column.is_variable(), "width of the column");
        slot(self.bytes, column)
    }

    /// The cell of a column of text or bytes; empty if it is NULL.
    ///
    /// # Panics
    /// If the column is of another kind.
    #[inline]
    pub fn variable(&self, column: usize) -> &'a [u8] {
        let column = &self.layout.columns[column];
        assert!(column.is_bytes(), "the column is text or bytes");
        self.placed(column)
    }

    /// The elements of a column of lists or maps; none if it is NULL.
    ///
    /// # Panics
    /// If the column is of another kind.
    #[inline]
    pub fn list(&self, column: usize) -> RowList<'a> {
        let column = &self.layout.columns[column];
        assert!(column.is_list(), "the column is a list or a map");
        RowList::new(&self.layout.lists[column.list], self.placed(column))
    }

    fn placed(&self, column: &RowColumn) -> &'a [u8] {
        let (start, length) = place(self.bytes, column);
        &self.bytes[start..start + length]
    }
}

/// The bytes of a column's slot.
#[inline]
pub(super) fn slot<const W: usize>(bytes: &[u8], column: &RowColumn) -> [u8; W] {
    let slot = bytes[column.offset..].first_chunk();
    *slot.expect("the fixed part is complete")
}

/// Where a column's variable bytes begin, and how many there are.
#[inline]
pub(super) fn place(bytes: &[u8], column: &RowColumn) -> (usize, usize) {
    let slot = u64::from_le_bytes(slot(bytes, column));
    (slot as u32 as usize, (slot >> 32) as usize)
}

/// The slot of variable bytes.
pub(super) fn place_slot(start: usize, length: usize) -> [u8; 8] {
    let word = |number: usize| u64::from(u32::try_from(number).expect("a row is below 4 GiB"));
    (word(start) | word(length) << 32).to_le_bytes()
}

/// The fixed part of a row, to be updated in place.
#[derive(Debug)]
pub struct RowMut<'a> {
    pub(super) layout: &'a RowLayout,
    pub(super) bytes: &'a mut [u8],
}

impl RowLayout {
    /// A row to be updated in place.
    ///
    /// # Errors
    ///
    /// As [`trusted`](Self::trusted).
    pub fn update<'a>(&'a self, bytes: &'a mut [u8]) -> Result<RowMut<'a>, super::RowError> {
        self.trusted(bytes)?;
        Ok(RowMut { layout: self, bytes })
    }
}

impl RowMut<'_> {
    /// Replaces the cell of a column of `W` bytes. If it was NULL, it becomes a value.
    ///
    /// # Panics
    /// If the column is not of this width.
    #[inline]
    pub fn set_fixed<const W: usize>(&mut self, column: usize, cell: [u8; W]) {
        let RowColumn { offset, null_bit, .. } = self.column::<W>(column);
        self.bytes[offset..offset + W].copy_from_slice(&cell);
        self.set_null_bit(null_bit, false);
    }

    /// Makes the cell of a column of `W` bytes NULL.
    ///
    /// # Panics
    /// If the column is not of this width, or not nullable.
    pub fn set_null<const W: usize>(&mut self, column: usize) {
        let RowColumn { offset, null_bit, .. } = self.column::<W>(column);
        assert!(null_bit.is_some(), "the column may be NULL");
        self.bytes[offset..offset + W].fill(0);
        self.set_null_bit(null_bit, true);
    }

    fn column<const W: usize>(&self, column: usize) -> RowColumn {
        let column = self.layout.columns[column];
        assert!(column.width() == W && !column.is_variable(), "width of the column");
        column
    }

    fn set_null_bit(&mut self, bit: Option<usize>, null: bool) {
        if let Some(bit) = bit {
            let byte = &mut self.bytes[self.layout.nulls + bit / 8];
            *byte = *byte & !(1 << (bit % 8)) | u8::from(null) << (bit % 8);
        }
    }
}
