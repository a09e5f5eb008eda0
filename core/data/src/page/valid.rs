//! Reading pages.

use bytemuck::AnyBitPattern;
use core::{fmt, ops::Range, str};

use super::{
    ColumnKind, ENTRY_BYTES, FLAG_ROW_KINDS, FLAG_VALIDITY, HEADER_BYTES, INLINE_BYTES, MAGIC,
    RowKind, Shape, VERSION, VIEW_BYTES, read_u32,
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
const DOMAINS_MAX: usize = 64;

struct Header {
    rows: usize,
    heap: Range<usize>,
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
    Ok(Header { rows: word(16) as usize, heap: start..end })
}

/// One line of the directory.
#[derive(Clone, Copy, Debug)]
struct Entry {
    code: u8,
    flags: u8,
    width: u16,
    length: usize,
    data: usize,
    validity: usize,
}

impl Entry {
    fn read(bytes: &[u8], index: usize) -> Self {
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
    for (row, view) in views.iter().enumerate() {
        let wrong = |what| Err(PageError::Cell { column, row, what });
        let length = view_word(view, 0);
        let value = if length <= INLINE_BYTES {
            if view[4 + length..].iter().any(|byte| *byte != 0) {
                return wrong("a short string whose padding is not zero");
            }
            &view[4..4 + length]
        } else {
            let (buffer, start) = (view_word(view, 8), view_word(view, 12));
            let end = start.checked_add(length).filter(|end| *end <= header.heap.end);
            let Some(end) = end.filter(|_| buffer == 0 && start >= header.heap.start) else {
                return wrong("a string that lies outside the heap");
            };
            if bytes[start..start + 4] != view[4..8] {
                return wrong("a string whose prefix is not its beginning");
            }
            &bytes[start..end]
        };
        if text && !value.is_ascii() && str::from_utf8(value).is_err() {
            return wrong("text that is not UTF-8");
        }
    }
    Ok(())
}

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

fn view_word(view: &[u8; VIEW_BYTES], at: usize) -> usize {
    u32::from_le_bytes([view[at], view[at + 1], view[at + 2], view[at + 3]]) as usize
}

/// Hands out the columns of a page in the order of the directory.
#[derive(Clone, Debug)]
pub struct ColumnCursor<'a> {
    page: ValidPage<'a>,
    next: usize,
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
    bytes: &'a [u8],
    entry: Entry,
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

    /// The cells of a column of bits.
    pub fn bits(&self) -> BitColumn<'a> {
        BitColumn { bits: &self.bytes[self.entry.data..][..self.entry.length.div_ceil(8)] }
    }

    /// The cells of a column of strings or byte strings.
    pub fn views(&self) -> ViewColumn<'a> {
        let data = &self.bytes[self.entry.data..][..self.entry.length * VIEW_BYTES];
        ViewColumn { views: data.as_chunks().0, bytes: self.bytes }
    }

    /// Which cells are values and not NULL.
    pub fn validity(&self) -> Validity<'a> {
        let present = self.entry.flags & FLAG_VALIDITY != 0;
        Validity {
            bits: present
                .then(|| &self.bytes[self.entry.validity..][..self.entry.length.div_ceil(8)]),
        }
    }
}

/// Which cells of a column are values and not NULL.
#[derive(Clone, Copy, Debug)]
pub struct Validity<'a> {
    bits: Option<&'a [u8]>,
}

impl Validity<'_> {
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

/// What is wrong with a page from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PageError {
    /// There are fewer bytes than the page needs.
    Short {
        /// Bytes that the page needs.
        needed: usize,
        /// Bytes that there are.
        found: usize,
    },
    /// A field of the header is wrong.
    Header {
        /// The field.
        field: &'static str,
        /// Its value.
        found: u64,
    },
    /// The page holds rows of another schema.
    Schema {
        /// Fingerprint of the schema that the reader expects.
        expected: u64,
        /// Fingerprint in the page.
        found: u64,
    },
    /// A line of the directory is wrong.
    Column {
        /// The physical column, from 0.
        column: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// A cell is wrong.
    Cell {
        /// The physical column, from 0.
        column: usize,
        /// The row or element, from 0.
        row: usize,
        /// What it is.
        what: &'static str,
    },
    /// The schema has more list columns than a page from outside may have.
    TooManyLists {
        /// How many it has.
        found: usize,
    },
}

impl fmt::Display for PageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { needed, found } => {
                write!(f, "the page needs {needed} bytes, but there are {found}")
            }
            Self::Header { field, found } => {
                write!(f, "the page's {field} is wrong: {found:#x}")
            }
            Self::Schema { expected, found } => write!(
                f,
                "the page holds rows of another schema: fingerprint {found:#018x}, expected \
                 {expected:#018x}; rebuild the part that wrote it with the same record type"
            ),
            Self::Column { column, what } => write!(f, "column {column} of the page: {what}"),
            Self::Cell { column, row, what } => {
                write!(f, "row {row} of column {column} of the page is {what}")
            }
            Self::TooManyLists { found } => {
                write!(f, "the schema has {found} list columns, the limit is {}", DOMAINS_MAX - 1)
            }
        }
    }
}

impl core::error::Error for PageError {}
