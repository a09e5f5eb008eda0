//! The columns of a page, read in place.

use bytemuck::AnyBitPattern;
use core::{ops::Range, str};

use super::{
    ColumnKind, ENTRY_BYTES, FLAG_VALIDITY, HEADER_BYTES, INLINE_BYTES, VIEW_BYTES, ValidPage,
};

/// Hands out the columns of a page in the order of the directory.
#[derive(Clone, Debug)]
pub struct ColumnCursor<'a> {
    pub(super) page: ValidPage<'a>,
    pub(super) next: usize,
}

impl<'a> ColumnCursor<'a> {
    /// The next column, taken.
    ///
    /// # Panics
    /// If the page has no more columns: it was not validated against the type that reads it.
    pub fn next_column(&mut self) -> Column<'a> {
        let column = self.peek();
        self.next += 1;
        column
    }

    /// The next column, left in place.
    ///
    /// # Panics
    /// As [`ColumnCursor::next_column`].
    pub fn peek(&self) -> Column<'a> {
        self.page.column(self.next)
    }
}

/// One physical column of a page.
#[derive(Clone, Copy, Debug)]
pub struct Column<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) entry: Entry,
}

impl<'a> Column<'a> {
    /// Elements of the column.
    pub fn length(&self) -> usize {
        self.entry.length
    }

    /// The cells of a fixed-width column, in place.
    ///
    /// # Panics
    /// If the column is of another width: the page was not validated against the type that reads it.
    pub fn fixed<T: AnyBitPattern>(&self) -> &'a [T] {
        let bytes = &self.bytes[self.entry.data..][..self.entry.length * size_of::<T>()];
        assert_eq!(usize::from(self.entry.width), size_of::<T>(), "width of the column");
        bytemuck::cast_slice(bytes)
    }

    /// The bytes of these cells of a column of fixed width, or of views; `None` for other columns.
    pub fn cells(&self, rows: Range<usize>) -> Option<&'a [u8]> {
        let width = usize::from(self.entry.width);
        let bytes = self.bytes.get(self.entry.data..)?;
        bytes.get(rows.start * width..rows.end * width).filter(|_| width > 0)
    }

    /// The bytes of the bits of a column of bits, the first row's the lowest of the first byte.
    pub fn bit_bytes(&self) -> &'a [u8] {
        &self.bytes[self.entry.data..][..self.entry.length.div_ceil(8)]
    }

    /// The cells of a column of bits.
    pub fn bits(&self) -> BitColumn<'a> {
        BitColumn { bits: &self.bytes[self.entry.data..][..self.entry.length.div_ceil(8)] }
    }

    /// The cells of a column of text, which is UTF-8.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use millstream_data::{Record, page::{Layout, PageBuilder, Shape, ValidPage}};
    /// # let shape = Arc::new(Shape::new(&String::schema()));
    /// # let layout = Arc::new(Layout::fitted(&shape, 4096, 0).unwrap());
    /// # let mut words = vec![0u128; 256];
    /// # let segment: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
    /// # let mut rows = PageBuilder::<String, _>::new(segment, &shape, &layout);
    /// # rows.append("grüße").unwrap();
    /// # let sealed = rows.seal(&shape, false);
    /// # let page = ValidPage::validate(&sealed.buffer[..sealed.length], &shape).unwrap();
    /// let words = page.column(0).strings();
    /// assert_eq!(words.at(0), "grüße");
    /// ```
    ///
    /// # Panics
    /// If the column is not one of text: the page was not validated against the type that reads it.
    pub fn strings(&self) -> StringColumn<'a> {
        assert_eq!(self.entry.code, ColumnKind::String.code(), "the column is one of text");
        StringColumn(self.views())
    }

    /// The cells of a column of strings or byte strings, as bytes; see [`Column::strings`].
    pub fn views(&self) -> ViewColumn<'a> {
        let data = &self.bytes[self.entry.data..][..self.entry.length * VIEW_BYTES];
        ViewColumn { views: data.as_chunks().0, bytes: self.bytes }
    }

    /// The cells of a column of lists or maps: where their elements are in the columns that follow.
    ///
    /// # Panics
    /// As [`Column::fixed`].
    pub fn lists(&self) -> OffsetsColumn<'a> {
        OffsetsColumn { offsets: self.fixed() }
    }

    /// Which cells are values and not NULL.
    pub fn validity(&self) -> Validity<'a> {
        let present = self.entry.flags & FLAG_VALIDITY != 0;
        // A column of offsets has one more than it has cells.
        let closing = usize::from(self.entry.code == ColumnKind::Offsets.code());
        let cells = self.entry.length - closing;
        Validity { bits: present.then(|| &self.bytes[self.entry.validity..][..cells.div_ceil(8)]) }
    }
}

/// Which cells of a column are values and not NULL.
#[derive(Clone, Copy, Debug)]
pub struct Validity<'a> {
    bits: Option<&'a [u8]>,
}

impl<'a> Validity<'a> {
    /// The bytes of the bits, the first row's the lowest of the first byte; `None` if no cell is NULL.
    pub fn bytes(&self) -> Option<&'a [u8]> {
        self.bits
    }

    /// Whether the cell is a value.
    #[inline]
    pub fn is_valid(&self, row: usize) -> bool {
        self.bits.is_none_or(|bits| bits[row / 8] >> (row % 8) & 1 == 1)
    }
}

/// A column of bits.
#[derive(Clone, Copy, Debug)]
pub struct BitColumn<'a> {
    bits: &'a [u8],
}

impl BitColumn<'_> {
    /// The bit of a row.
    #[inline]
    pub fn at(&self, row: usize) -> bool {
        self.bits[row / 8] >> (row % 8) & 1 == 1
    }
}

/// A column of strings or byte strings, as Arrow's views.
#[derive(Clone, Copy, Debug)]
pub struct ViewColumn<'a> {
    views: &'a [[u8; VIEW_BYTES]],
    bytes: &'a [u8],
}

impl<'a> ViewColumn<'a> {
    /// The bytes of a row, in place.
    #[inline]
    pub fn at(&self, row: usize) -> &'a [u8] {
        let view = &self.views[row];
        let length = view_word(view, 0);
        if length <= INLINE_BYTES {
            &view[4..4 + length]
        } else {
            &self.bytes[view_word(view, 12)..][..length]
        }
    }
}

/// A column of lists or maps.
#[derive(Clone, Copy, Debug)]
pub struct OffsetsColumn<'a> {
    /// One more than there are lists; each list ends where the next one begins.
    offsets: &'a [i32],
}

impl OffsetsColumn<'_> {
    /// The elements of a row, as positions in the columns of elements.
    #[inline]
    pub fn at(&self, row: usize) -> Range<usize> {
        self.offsets[row] as usize..self.offsets[row + 1] as usize
    }
}

/// A column of text.
#[derive(Clone, Copy, Debug)]
pub struct StringColumn<'a>(pub(crate) ViewColumn<'a>);

impl<'a> StringColumn<'a> {
    /// The text of a row, in place.
    #[inline]
    pub fn at(&self, row: usize) -> &'a str {
        // Text in a valid page is UTF-8. Checking it again costs a few nanoseconds and keeps this
        // crate free of unsafe code; the replacement character is never seen.
        str::from_utf8(self.0.at(row)).unwrap_or("\u{FFFD}")
    }
}

/// A column of byte strings.
pub type BytesColumn<'a> = ViewColumn<'a>;

/// One line of the directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) code: u8,
    pub(super) flags: u8,
    pub(super) width: u16,
    pub(super) length: usize,
    pub(super) data: usize,
    pub(super) validity: usize,
}

impl Entry {
    pub(super) fn read(bytes: &[u8], index: usize) -> Self {
        let at = HEADER_BYTES + ENTRY_BYTES * index;
        let entry = bytes[at..].first_chunk::<ENTRY_BYTES>().expect("the directory is complete");
        let word = |at: usize| {
            u32::from_le_bytes([entry[at], entry[at + 1], entry[at + 2], entry[at + 3]]) as usize
        };
        Self {
            code: entry[0],
            flags: entry[1],
            width: u16::from_le_bytes([entry[2], entry[3]]),
            length: word(4),
            data: word(8),
            validity: word(12),
        }
    }
}

pub(super) fn view_word(view: &[u8; VIEW_BYTES], at: usize) -> usize {
    u32::from_le_bytes([view[at], view[at + 1], view[at + 2], view[at + 3]]) as usize
}
