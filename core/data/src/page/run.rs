//! Writing many rows at once, column by column: what vectorised expressions have made.

use core::{
    ops::{DerefMut, Range},
    str,
};

use super::{Column, ColumnKind, INLINE_BYTES, RowBuilder, RowKind};

/// A run of rows is written behind those that were committed, each column in one call, and is then
/// [committed](RowBuilder::commit_run) as a whole. In a shape with lists a run is one row, whose lists are written
/// as those of any row, and which is [committed](RowBuilder::commit) as such.
impl<B: DerefMut<Target = [u8]>> RowBuilder<B> {
    /// How many of the next `rows` rows fit, if row `i` of them takes `heap(i)` bytes beside its cells
    /// (see [`heap_bytes`]).
    pub fn room_for_run(&self, rows: usize, mut heap: impl FnMut(usize) -> usize) -> usize {
        let rows = rows.min((self.capacity - self.rows) as usize);
        let mut room = self.heap - self.layout.floor as usize;
        for row in 0..rows {
            match room.checked_sub(heap(row)) {
                Some(left) => room = left,
                None => return row,
            }
        }
        rows
    }

    /// As [`room_for_run`](Self::room_for_run), if that many rows, which are all or as many as there are cells for,
    /// take no more than `heap(rows)` bytes and find room; else `None`, and the rows have to be looked at one by one.
    pub fn room_for_all(&self, rows: usize, heap: impl FnOnce(usize) -> usize) -> Option<usize> {
        let rows = rows.min((self.capacity - self.rows) as usize);
        (heap(rows) <= self.heap - self.layout.floor as usize).then_some(rows)
    }

    /// [`room_for_run`](Self::room_for_run) of rows with lists, if row `i` adds the numbers of its elements with
    /// `count(i)`, by domain.
    pub fn room_for_lists(
        &self,
        rows: usize,
        heap: impl FnMut(usize) -> usize,
        mut count: impl FnMut(usize, &mut [u32]),
    ) -> usize {
        let rows = self.room_for_run(rows, heap);
        let mut lengths = self.lengths.clone();
        let fits = |lengths: &[u32]| {
            let mut both = lengths.iter().zip(&self.layout.capacities).skip(1);
            both.all(|(length, capacity)| length <= capacity)
        };
        (0..rows)
            .find(|row| {
                count(*row, &mut lengths);
                !fits(&lengths)
            })
            .unwrap_or(rows)
    }

    /// Writes cells of fixed width, little-endian as they are in `cells`.
    ///
    /// # Panics
    /// If the column is not of this kind, or the page has no room for the rows: ask
    /// [`room_for_run`](Self::room_for_run) before. So do the other functions of a run.
    pub fn put_fixed_run(&mut self, column: usize, cells: &[u8]) {
        let ColumnKind::Fixed(width) = self.shape.columns[column].kind else {
            panic!("column {column} is of fixed width");
        };
        let width = usize::from(width);
        self.check_run(column, cells.len() / width);
        let at = self.layout.slots[column].data as usize + self.rows() * width;
        self.buffer[at..at + cells.len()].copy_from_slice(cells);
    }

    /// Writes `rows` cells of fixed width, little-endian.
    pub fn put_fixed_each<const W: usize>(
        &mut self,
        column: usize,
        rows: usize,
        cell: impl Fn(usize) -> [u8; W],
    ) {
        assert_eq!(self.shape.columns[column].kind, ColumnKind::Fixed(W as u16), "column {column}");
        self.check_run(column, rows);
        let at = self.layout.slots[column].data as usize + self.rows() * W;
        let cells = self.buffer[at..at + rows * W].as_chunks_mut().0;
        cells.iter_mut().enumerate().for_each(|(row, place)| *place = cell(row));
    }

    /// Writes `rows` cells of one bit.
    pub fn put_bits_run(&mut self, column: usize, rows: usize, bit: impl Fn(usize) -> bool) {
        assert_eq!(self.shape.columns[column].kind, ColumnKind::Bit, "column {column}");
        self.check_run(column, rows);
        let begin = self.layout.slots[column].data as usize;
        let first = self.rows();
        set_bits(&mut self.buffer[begin..], first, rows, bit);
    }

    /// Writes `rows` texts or byte strings.
    ///
    /// # Panics
    /// As [`put_fixed_run`](Self::put_fixed_run). Text must be UTF-8, which is not checked here but when
    /// the page is validated.
    pub fn put_views_run<'a>(
        &mut self,
        column: usize,
        rows: usize,
        value: impl Fn(usize) -> &'a [u8],
    ) {
        let kind = self.shape.columns[column].kind;
        assert!(matches!(kind, ColumnKind::String | ColumnKind::Bytes), "column {column}");
        self.check_run(column, rows);
        let first = self.rows();
        let slot = self.layout.slots[column];
        let mut cells = self.cells();
        for row in 0..rows {
            let written = cells.put_view(slot, first + row, value(row));
            assert!(written.is_ok(), "the page has no room for the rows of the run");
        }
        self.heap = cells.heap;
    }

    /// Says which of `rows` cells are values and not NULL, with zeros below what is NULL; behind the
    /// cells themselves.
    pub fn put_validity_run(&mut self, column: usize, rows: usize, valid: impl Fn(usize) -> bool) {
        let physical = self.shape.columns[column];
        assert!(physical.nullable, "column {column} is NOT NULL");
        self.check_run(column, rows);
        let first = self.rows();
        let slot = self.layout.slots[column];
        let width = physical.kind.width();
        let (bits, data) = (slot.validity as usize, slot.data as usize);
        if set_bits(&mut self.buffer[bits..], first, rows, &valid) || width == 0 {
            return;
        }
        for row in (0..rows).filter(|row| !valid(*row)) {
            let at = data + (first + row) * width;
            self.buffer[at..at + width].fill(0);
        }
    }

    /// Writes cells of another page, `rows` of them: values, and which of them are NULL.
    ///
    /// # Panics
    /// If `from` is not of the column's type, has no such rows, or is one of lists.
    pub fn put_column_run(&mut self, column: usize, from: &Column<'_>, rows: Range<usize>) {
        let physical = self.shape.columns[column];
        let (start, length) = (rows.start, rows.len());
        match physical.kind {
            ColumnKind::String | ColumnKind::Bytes => {
                let views = from.views();
                self.put_views_run(column, length, |row| views.at(start + row));
            }
            ColumnKind::Bit => {
                let bits = from.bits();
                self.put_bits_run(column, length, |row| bits.at(start + row));
            }
            ColumnKind::Fixed(_) => {
                let cells = from.cells(rows).expect("the other page has these rows");
                self.put_fixed_run(column, cells);
            }
            ColumnKind::Offsets => panic!("column {column} is one of lists"),
            ColumnKind::Group => {}
        }
        if physical.nullable {
            let validity = from.validity();
            self.put_validity_run(column, length, |row| validity.is_valid(start + row));
        }
    }

    /// Writes the kinds of `rows` rows.
    ///
    /// # Panics
    /// If the shape has no row kinds, or as [`put_fixed_run`](Self::put_fixed_run).
    pub fn put_kinds_run(&mut self, rows: usize, kind: impl Fn(usize) -> RowKind) {
        assert!(self.shape.row_kinds, "the shape has row kinds");
        let column = self.shape.columns.len() - 1;
        self.check_run(column, rows);
        let at = self.layout.slots[column].data as usize + self.rows();
        for (row, cell) in self.buffer[at..at + rows].iter_mut().enumerate() {
            *cell = kind(row) as u8;
        }
    }

    /// The rows of the run are complete and part of the page.
    pub fn commit_run(&mut self, rows: usize) {
        assert!(self.rows() + rows <= self.capacity as usize, "the page has room for the run");
        self.rows += rows as u32;
        self.heap_before_row = self.heap;
    }

    fn check_run(&self, column: usize, rows: usize) {
        let domain = self.shape.columns[column].domain;
        let room = (self.capacity - self.rows) as usize;
        assert!(domain == 0 && rows <= room, "column {column}: the page has room for the run");
    }
}

/// Sets `rows` bits from bit `first` on, eight at a time where they are a byte; whether all are set then.
fn set_bits(bytes: &mut [u8], first: usize, rows: usize, bit: impl Fn(usize) -> bool) -> bool {
    let (mut row, mut all) = (0, true);
    while row < rows {
        let at = first + row;
        let count = if at.is_multiple_of(8) { 8.min(rows - row) } else { 1 };
        let mut made = 0;
        (0..count).for_each(|i| made |= u8::from(bit(row + i)) << i);
        let mask = u8::MAX >> (8 - count);
        all &= made == mask;
        let place = &mut bytes[at / 8];
        *place = *place & !(mask << (at % 8)) | made << (at % 8);
        row += count;
    }
    all
}

/// Text of a valid row, which is UTF-8, for a page, where text always is: what is not is one character that says so.
#[inline]
pub(crate) fn text(value: &[u8]) -> &[u8] {
    // Most is ASCII, which is found out many bytes at a time.
    let is_text = value.is_ascii() || str::from_utf8(value).is_ok();
    if is_text { value } else { "\u{FFFD}".as_bytes() }
}

/// The bytes of the heap that a text or byte string takes.
#[inline]
pub fn heap_bytes(value: &[u8]) -> usize {
    if value.len() <= INLINE_BYTES { 0 } else { value.len() }
}

#[cfg(test)]
mod tests {
    use alloc::{string::String, sync::Arc, vec, vec::Vec};

    use super::*;
    use crate::{
        Record, Value,
        page::{Layout, Shape, ValidPage},
    };

    type Row = (i64, Option<String>, bool, Option<i32>);

    fn write(rows: &[Row], from: usize, page: &mut RowBuilder<&mut [u8]>) -> usize {
        let rows = &rows[from..];
        let text = |row: usize| rows[row].1.as_deref().unwrap_or("").as_bytes();
        let fit = page.room_for_run(rows.len(), |row| heap_bytes(text(row)));
        let rows = &rows[..fit];
        let numbers: Vec<u8> = rows.iter().flat_map(|row| row.0.to_le_bytes()).collect();
        let optional: Vec<u8> =
            rows.iter().flat_map(|row| row.3.unwrap_or(7).to_le_bytes()).collect();
        page.put_fixed_run(0, &numbers);
        page.put_views_run(1, fit, text);
        page.put_validity_run(1, fit, |row| rows[row].1.is_some());
        page.put_bits_run(2, fit, |row| rows[row].2);
        page.put_fixed_run(3, &optional);
        page.put_validity_run(3, fit, |row| rows[row].3.is_some());
        page.commit_run(fit);
        fit
    }

    #[test]
    fn runs_are_read_as_rows_and_end_where_the_page_does() {
        let row = |i: usize| -> Row {
            let text = (!i.is_multiple_of(5)).then(|| "grüße ".repeat(i % 7));
            (i as i64, text, i.is_multiple_of(3), (i % 4 != 1).then_some(i as i32))
        };
        let rows: Vec<Row> = (0..700).map(row).collect();
        let shape = Arc::new(Shape::new(&Row::schema()));
        let layout = Arc::new(Layout::fitted(&shape, 4096, 12).unwrap());
        let mut from = 0;
        let mut pages = 0;
        while from < rows.len() {
            let mut words = vec![0u128; 256];
            let segment: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
            let mut page = RowBuilder::new(segment, &shape, &layout);
            // In two runs, so that the second one begins within a byte of the bitmaps.
            let upto = rows.len().min(from + 13);
            let fit = write(&rows[..upto], from, &mut page);
            let fit = fit + if fit == 13 { write(&rows, from + 13, &mut page) } else { 0 };
            assert!(fit > 0);
            let sealed = page.seal(true);
            let page = ValidPage::validate(&sealed.buffer[..sealed.length], &shape).unwrap();
            let columns = Row::bind(&page);
            assert_eq!(page.rows(), fit);
            for i in 0..fit {
                let (number, text, bit, optional) = Row::at(&columns, i);
                let read = (number, text.map(String::from), bit, optional);
                assert_eq!(read, rows[from + i]);
            }
            from += fit;
            pages += 1;
        }
        assert!(pages > 3);
    }

    #[test]
    #[should_panic(expected = "room for the run")]
    fn a_run_never_leaves_its_page() {
        let shape = Arc::new(Shape::new(&i64::schema()));
        let layout = Arc::new(Layout::fitted(&shape, 256, 0).unwrap());
        let mut words = vec![0u128; 16];
        let mut page = RowBuilder::new(bytemuck::cast_slice_mut(&mut words), &shape, &layout);
        page.put_fixed_run(0, &vec![0; 8 * (layout.capacity() + 1)]);
    }
}
