//! Reading pages.

use core::{ops::Range, str};

use super::{
    Column, ColumnCursor, ColumnKind, ENTRY_BYTES, FLAG_ROW_KINDS, FLAG_VALIDITY, HEADER_BYTES,
    INLINE_BYTES, MAGIC, PageError, RowKind, Shape, VERSION, VIEW_BYTES,
    column::{Entry, view_word},
    read_u32,
};

/// A page that may be read: it was built in this process, or checked from end to end.
///
/// Reading is safe whatever the bytes are: a page that was vouched for wrongly gives wrong values
/// or panics, and never touches memory outside it.
#[derive(Clone, Copy, Debug)]
pub struct ValidPage<'a> {
    bytes: &'a [u8],
    rows: usize,
}

impl<'a> ValidPage<'a> {
    /// A page that one of this crate's builders sealed; `bytes` may go on behind its end.
    ///
    /// # Errors
    /// If the bytes are shorter than a header: nothing else is checked.
    pub fn trusted(bytes: &'a [u8]) -> Result<Self, PageError> {
        let rows = read_u32(bytes, 16).filter(|_| bytes.len() >= HEADER_BYTES);
        let rows = rows.ok_or(PageError::Short { needed: HEADER_BYTES, found: bytes.len() })?;
        Ok(Self { bytes, rows: rows as usize })
    }

    /// Checks a page from outside completely: header, directory, bounds, bitmaps, views, text and
    /// offsets. What passes can be read without a further check.
    ///
    /// # Errors
    /// The first thing that is wrong, with the column and row where it is.
    pub fn validate(bytes: &'a [u8], shape: &Shape) -> Result<Self, PageError> {
        let header = check_header(bytes, shape)?;
        let mut end = HEADER_BYTES + ENTRY_BYTES * shape.columns().len();
        let mut domains = [0usize; DOMAINS_MAX];
        if usize::from(shape.domains) > DOMAINS_MAX {
            return Err(PageError::TooManyLists { found: usize::from(shape.domains) });
        }
        domains[0] = header.rows;
        let mut next_domain = 1;
        for (index, column) in shape.columns().iter().enumerate() {
            let entry = Entry::read(bytes, index);
            let cells = domains[usize::from(column.domain)];
            check_entry(bytes, index, column, &entry, cells, header.heap.start, &mut end)?;
            let data = &bytes[entry.data..entry.data + column.kind.data_bytes(entry.length)];
            match column.kind {
                ColumnKind::String => check_views(bytes, index, data, &header, true)?,
                ColumnKind::Bytes => check_views(bytes, index, data, &header, false)?,
                ColumnKind::Offsets => {
                    domains[next_domain] = check_offsets(index, data)?;
                    next_domain += 1;
                }
                _ => {}
            }
        }
        let page = Self { bytes, rows: header.rows };
        page.check_row_kinds(shape)?;
        Ok(page)
    }

    /// Rows in the page.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The page's bytes, from its header on.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The fingerprint of the schema that the page was built with.
    pub fn fingerprint(&self) -> u64 {
        let low = u64::from(read_u32(self.bytes, 8).unwrap_or(0));
        low | u64::from(read_u32(self.bytes, 12).unwrap_or(0)) << 32
    }

    /// Whether the page carries the kind of each row.
    pub fn has_row_kinds(&self) -> bool {
        self.bytes[5] & FLAG_ROW_KINDS != 0
    }

    /// The kind of a row; [`RowKind::Insert`] where the page carries none.
    pub fn row_kind(&self, row: usize) -> RowKind {
        if !self.has_row_kinds() {
            return RowKind::Insert;
        }
        let kinds = self.column(self.columns() - 1);
        kinds.fixed::<u8>().get(row).and_then(|byte| RowKind::from_byte(*byte)).unwrap_or_default()
    }

    /// Physical columns in the directory.
    pub fn columns(&self) -> usize {
        usize::from(u16::from_le_bytes([self.bytes[6], self.bytes[7]]))
    }

    /// The physical column at `index`.
    ///
    /// # Panics
    /// If there is no such column.
    pub fn column(&self, index: usize) -> Column<'a> {
        assert!(index < self.columns(), "column {index} of {}", self.columns());
        Column { bytes: self.bytes, entry: Entry::read(self.bytes, index) }
    }

    /// The physical columns, one after the other.
    pub fn cursor(&self) -> ColumnCursor<'a> {
        ColumnCursor { page: *self, next: 0 }
    }

    fn check_row_kinds(&self, shape: &Shape) -> Result<(), PageError> {
        if !shape.row_kinds {
            return Ok(());
        }
        let column = self.columns() - 1;
        let kinds = self.column(column).fixed::<u8>();
        match kinds.iter().position(|byte| RowKind::from_byte(*byte).is_none()) {
            Some(row) => Err(PageError::Cell { column, row, what: "a row kind above 3" }),
            None => Ok(()),
        }
    }
}

/// The most list columns that a page from outside may have, plus one.
pub(super) const DOMAINS_MAX: usize = 64;

struct Header {
    rows: usize,
    heap: Range<usize>,
    /// Whether the heap is of ASCII, so that each text in it is UTF-8: most are, and this is found out much faster for
    /// all of them than for each. `false` if there are no texts.
    is_ascii: bool,
}

fn check_header(bytes: &[u8], shape: &Shape) -> Result<Header, PageError> {
    let needed = HEADER_BYTES + ENTRY_BYTES * shape.columns().len();
    if bytes.len() < needed {
        return Err(PageError::Short { needed, found: bytes.len() });
    }
    let word = |at| read_u32(bytes, at).unwrap_or(0);
    if bytes[..4] != MAGIC {
        return Err(PageError::Header { field: "magic", found: u64::from(word(0)) });
    }
    if bytes[4] != VERSION {
        return Err(PageError::Header { field: "version", found: u64::from(bytes[4]) });
    }
    if bytes[5] != if shape.row_kinds { FLAG_ROW_KINDS } else { 0 } {
        return Err(PageError::Header { field: "flags", found: u64::from(bytes[5]) });
    }
    let columns = usize::from(u16::from_le_bytes([bytes[6], bytes[7]]));
    if columns != shape.columns().len() {
        return Err(PageError::Header { field: "column count", found: columns as u64 });
    }
    let fingerprint = u64::from(word(8)) | u64::from(word(12)) << 32;
    if fingerprint != shape.fingerprint() {
        return Err(PageError::Schema { expected: shape.fingerprint(), found: fingerprint });
    }
    let (length, start, end) = (word(20) as usize, word(24) as usize, word(28) as usize);
    if length > bytes.len() {
        return Err(PageError::Short { needed: length, found: bytes.len() });
    }
    if start < needed || start > end || end != length {
        return Err(PageError::Header { field: "heap start", found: start as u64 });
    }
    let has_text = shape.columns().iter().any(|column| column.kind == ColumnKind::String);
    let is_ascii = has_text && bytes[start..end].is_ascii();
    Ok(Header { rows: word(16) as usize, heap: start..end, is_ascii })
}

fn check_entry(
    bytes: &[u8],
    index: usize,
    column: &super::Physical,
    entry: &Entry,
    cells: usize,
    limit: usize,
    end: &mut usize,
) -> Result<(), PageError> {
    let wrong = |what| Err(PageError::Column { column: index, what });
    let kind = column.kind;
    if entry.code != kind.code() || usize::from(entry.width) != kind.width() {
        return wrong("its kind is not that of the schema");
    }
    if entry.length != cells + usize::from(kind == ColumnKind::Offsets) {
        return wrong("its length is not the number of rows or elements");
    }
    if entry.flags & !FLAG_VALIDITY != 0 || (entry.flags != 0 && !column.nullable) {
        return wrong("it has flags that the schema does not allow");
    }
    let mut place = |start: usize, size: usize, alignment: usize| {
        let fits = start >= *end && start.is_multiple_of(alignment);
        let stop = start.checked_add(size).filter(|stop| fits && *stop <= limit);
        if let Some(stop) = stop {
            *end = stop;
        }
        stop.is_some()
    };
    if entry.flags & FLAG_VALIDITY != 0 && !place(entry.validity, cells.div_ceil(8), 8) {
        return wrong("its validity bitmap lies outside, unaligned, or over another column");
    }
    let aligned = bytes.as_ptr().addr().is_multiple_of(kind.alignment());
    // A width times a 32-bit length cannot overflow 64 bits.
    if !aligned || !place(entry.data, kind.data_bytes(entry.length), kind.alignment()) {
        return wrong("its data lie outside, unaligned, or over another column");
    }
    Ok(())
}

fn check_views(
    bytes: &[u8],
    column: usize,
    data: &[u8],
    header: &Header,
    text: bool,
) -> Result<(), PageError> {
    let (views, _) = data.as_chunks::<VIEW_BYTES>();
    let is_text = |value: &[u8]| value.is_ascii() || str::from_utf8(value).is_ok();
    for (row, view) in views.iter().enumerate() {
        let wrong = |what| Err(PageError::Cell { column, row, what });
        let length = view_word(view, 0);
        if length <= INLINE_BYTES {
            let word = u128::from_le_bytes(*view);
            // Of the longest there is nothing behind it.
            if word.checked_shr(32 + 8 * length as u32).is_some_and(|padding| padding != 0) {
                return wrong("a short string whose padding is not zero");
            }
            if text && (word >> 32) & HIGH_BITS != 0 && !is_text(&view[4..4 + length]) {
                return wrong(NOT_TEXT);
            }
            continue;
        }
        let (buffer, start) = (view_word(view, 8), view_word(view, 12));
        let end = start.checked_add(length).filter(|end| *end <= header.heap.end);
        let Some(end) = end.filter(|_| buffer == 0 && start >= header.heap.start) else {
            return wrong("a string that lies outside the heap");
        };
        if bytes[start..start + 4] != view[4..8] {
            return wrong("a string whose prefix is not its beginning");
        }
        if text && !header.is_ascii && !is_text(&bytes[start..end]) {
            return wrong(NOT_TEXT);
        }
    }
    Ok(())
}

/// The bit of each byte that ASCII has not.
const HIGH_BITS: u128 = 0x8080_8080_8080_8080_8080_8080_8080_8080;
const NOT_TEXT: &str = "text that is not UTF-8";

/// Gives the number of elements.
fn check_offsets(column: usize, data: &[u8]) -> Result<usize, PageError> {
    let (offsets, _) = data.as_chunks::<4>();
    let mut last = 0;
    for (row, offset) in offsets.iter().enumerate() {
        let offset = i32::from_le_bytes(*offset);
        if offset < last || (row == 0 && offset != 0) {
            return Err(PageError::Cell { column, row, what: "a list that ends before it begins" });
        }
        last = offset;
    }
    Ok(last as usize)
}
