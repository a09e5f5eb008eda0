//! From bytes to rows.

use millstream_sdk::Error;

use super::{Scanner, largest};
use crate::{
    Columns, RecordError, Rows, Step,
    cell::{Cell, CellError, Put},
    columns::{Column, Kind},
};

/// How a CSV file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// Between fields.
    pub delimiter: u8,
    /// Around fields that contain delimiters, quotes or line ends.
    pub quote: u8,
    /// Between the elements of a list. An element that contains it cannot be told from two.
    pub element_delimiter: u8,
}

impl Dialect {
    /// Commas, double quotes, and semicolons within lists.
    pub const DEFAULT: Self = Self { delimiter: b',', quote: b'"', element_delimiter: b';' };
}

impl Default for Dialect {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Where a field of a record goes.
#[derive(Clone, Copy, Debug)]
enum Target {
    /// Nowhere: no column asks for it.
    Skip,
    Cell(usize, Cell),
    List(List),
}

/// A column of lists.
#[derive(Clone, Copy, Debug)]
struct List {
    column: usize,
    nullable: bool,
    elements: usize,
    element: Cell,
}

impl Target {
    /// `None` for what a field cannot hold.
    fn of(column: &Column) -> Option<Self> {
        match &column.kind {
            Kind::Cell(cell) => Some(Self::Cell(column.index, *cell)),
            Kind::List(elements) => match elements.kind {
                Kind::Cell(element) => Some(Self::List(List {
                    column: column.index,
                    nullable: column.nullable,
                    elements: elements.index,
                    element,
                })),
                _ => None,
            },
            Kind::Row(_) | Kind::Map(..) => None,
        }
    }
}

impl List {
    /// Writes a list whose elements stand between delimiters. An empty field is NULL, or no
    /// element; an empty element is NULL, or the empty text.
    fn put(
        &self,
        rows: &mut Rows<'_>,
        text: &[u8],
        quoted: bool,
        delimiter: u8,
    ) -> Result<Put, CellError> {
        if text.is_empty() && self.nullable && !quoted {
            rows.put_null(self.column);
            return Ok(Put::Done);
        }
        rows.begin_list(self.column);
        if text.is_empty() {
            return Ok(Put::Done);
        }
        for element in text.split(|byte| *byte == delimiter) {
            if rows.begin_element(self.column).is_err()
                || self.element.put(rows, self.elements, element, false)? == Put::Full
            {
                return Ok(Put::Full);
            }
        }
        Ok(Put::Done)
    }
}

/// Whether CSV can hold these columns.
///
/// # Errors
/// The first that it cannot: nested rows, maps, and lists of anything nested.
pub fn check(columns: &Columns) -> Result<(), Error> {
    match columns.fields.iter().find(|column| Target::of(column).is_none()) {
        None => Ok(()),
        Some(column) => Err(Error::new(format!(
            "CSV cannot hold the nested column `{}`, which is {}: use JSON",
            column.name, column.data_type
        ))),
    }
}

/// Decodes records into the columns that a schema asks for.
#[derive(Debug)]
pub struct Decoder {
    dialect: Dialect,
    scanner: Scanner,
    /// By field of a record: the column that it goes to, if any.
    targets: Vec<Target>,
    /// By field of a record: its name.
    names: Vec<String>,
    /// Whether a quoted field may contain line ends.
    multiline: bool,
    /// Columns that no field of the file goes to: always NULL.
    absent: Vec<usize>,
    /// What stands for NULL, beside an empty field.
    null: Option<Vec<u8>>,
    /// The value of a quoted field with quotes in it.
    unquoted: Vec<u8>,
}

impl Decoder {
    /// A decoder for files with these header fields.
    ///
    /// # Errors
    /// If a column that must not be NULL is not among them, or one is nested.
    pub fn new(dialect: Dialect, header: &[String], columns: &Columns) -> Result<Self, Error> {
        check(columns)?;
        let mut targets = vec![Target::Skip; header.len()];
        let mut absent = Vec::new();
        for column in &columns.fields {
            let name = &column.name;
            match header.iter().position(|field| field == name) {
                Some(field) => targets[field] = Target::of(column).unwrap_or(Target::Skip),
                None if column.nullable => absent.push(column.index),
                None => {
                    return Err(Error::new(format!(
                        "there is no column `{name}`; the header has {}",
                        header.join(", ")
                    )));
                }
            }
        }
        let scanner = Scanner::new(dialect.delimiter, dialect.quote);
        let names = header.to_vec();
        let (null, unquoted) = (None, Vec::new());
        Ok(Self { dialect, scanner, targets, names, absent, multiline: true, null, unquoted })
    }

    /// The same decoder for files in which `literal` stands for NULL, with quotes or without. An empty field without
    /// quotes is NULL, too, but in columns of texts only if `empty_is_null`.
    pub fn null_literal(self, literal: Option<&str>, empty_is_null: bool) -> Self {
        let mut targets = self.targets;
        if !empty_is_null {
            for target in &mut targets {
                if let Target::Cell(_, cell) = target {
                    cell.keep_empty_text();
                }
            }
        }
        Self { targets, null: literal.map(|literal| literal.as_bytes().to_vec()), ..self }
    }

    /// The same decoder, which refuses line ends within quoted fields if `allowed` is false: a file
    /// that is read in parts cannot tell them from the ends of records.
    pub fn multiline(self, allowed: bool) -> Self {
        Self { multiline: allowed, ..self }
    }

    /// Begins at `start` of new data.
    pub fn seek(&mut self, data: &[u8], start: usize) {
        self.scanner.seek(data, start);
    }

    /// Decodes the record that begins at `start`, where the decoder is. With `last` the end of the
    /// data ends the record, too. After anything but a row or a blank line, [`Decoder::seek`].
    ///
    /// # Errors
    /// If the record is malformed or a field is not of its column's type.
    pub fn record(
        &mut self,
        data: &[u8],
        start: usize,
        last: bool,
        rows: &mut Rows<'_>,
    ) -> Result<Step, RecordError> {
        let mut begin = start;
        let mut field = 0;
        let mut lines = 0;
        loop {
            let found = self.scanner.next(data);
            let (end, ends_record) = match found {
                Some(at) if data[at] == self.dialect.delimiter => (at, false),
                Some(at) if data[at] == b'\n' => (at, true),
                Some(at) if at == begin => {
                    let Some(end) = self.quoted(data, at, last, &mut lines) else {
                        return self.unterminated(last, lines);
                    };
                    if !self.multiline && lines > 0 {
                        return Err(self.spans_lines(field));
                    }
                    let ends = end >= data.len() || data[end] == b'\n';
                    if end >= data.len() && !last {
                        return Ok(Step::Incomplete);
                    }
                    let close = if end >= data.len() { end } else { end + 1 };
                    let value = std::mem::take(&mut self.unquoted);
                    let put = self.put(rows, field, &value, true, lines);
                    self.unquoted = value;
                    if put? == Put::Full {
                        return Ok(Step::Full);
                    }
                    field += 1;
                    begin = close;
                    if ends {
                        return self.complete(rows, field, close, lines);
                    }
                    continue;
                }
                // A quote inside an unquoted field is part of it.
                Some(_) => continue,
                None if last => (data.len(), true),
                None => return Ok(Step::Incomplete),
            };
            let mut value = &data[begin..end];
            if ends_record && value.last() == Some(&b'\r') {
                value = &value[..value.len() - 1];
            }
            let close = (end + 1).min(data.len());
            if ends_record && field == 0 && value.is_empty() {
                return Ok(Step::Blank(close));
            }
            if self.put(rows, field, value, false, lines)? == Put::Full {
                return Ok(Step::Full);
            }
            field += 1;
            begin = close;
            if ends_record {
                return self.complete(rows, field, close, lines);
            }
        }
    }

    #[inline(always)]
    fn put(
        &self,
        rows: &mut Rows<'_>,
        field: usize,
        value: &[u8],
        quoted: bool,
        lines: usize,
    ) -> Result<Put, RecordError> {
        match self.targets.get(field) {
            Some(Target::Cell(column, cell))
                if self.null.as_deref() == Some(value) && cell.nullable =>
            {
                rows.put_null(*column);
                Ok(Put::Done)
            }
            Some(Target::Cell(column, cell)) => {
                let put = cell.put(rows, *column, value, quoted);
                put.map_err(|error| self.wrong(field, &error, lines))
            }
            Some(Target::List(list)) => {
                let put = list.put(rows, value, quoted, self.dialect.element_delimiter);
                put.map_err(|error| self.wrong(field, &error, lines))
            }
            Some(Target::Skip) | None => Ok(Put::Done),
        }
    }

    #[cold]
    fn wrong(&self, field: usize, error: &CellError, lines: usize) -> RecordError {
        let name = self.names.get(field).map_or("", String::as_str);
        RecordError { message: format!("column `{name}`: {error}"), lines }
    }

    fn complete(
        &self,
        rows: &mut Rows<'_>,
        fields: usize,
        end: usize,
        lines: usize,
    ) -> Result<Step, RecordError> {
        if fields != self.targets.len() {
            let message =
                format!("the record has {fields} fields, the header has {}", self.targets.len());
            return Err(RecordError { message, lines });
        }
        self.absent.iter().for_each(|column| rows.put_null(*column));
        rows.commit();
        Ok(Step::Row(end))
    }

    /// Reads the quoted field whose opening quote is at `open` into `unquoted`, and gives where its
    /// delimiter, line feed, or the end of the data is. `None` if it does not end.
    fn quoted(&mut self, data: &[u8], open: usize, last: bool, lines: &mut usize) -> Option<usize> {
        let quote = self.dialect.quote;
        self.unquoted.clear();
        let mut begin = open + 1;
        loop {
            let at = begin + memchr::memchr(quote, data.get(begin..)?)?;
            self.unquoted.extend(&data[begin..at]);
            if data.get(at + 1) == Some(&quote) {
                self.unquoted.push(quote);
                begin = at + 2;
                continue;
            }
            if at + 1 >= data.len() && !last {
                return None;
            }
            *lines += memchr::memchr_iter(b'\n', &data[open..at]).count();
            let rest = &data[at + 1..];
            // What stands between the closing quote and the delimiter belongs to the field, too.
            let end = memchr::memchr2(self.dialect.delimiter, b'\n', rest).unwrap_or(rest.len());
            let tail = &rest[..end];
            self.unquoted.extend(tail.strip_suffix(b"\r").unwrap_or(tail));
            let end = at + 1 + end;
            self.scanner.seek(data, (end + 1).min(data.len()));
            return Some(end);
        }
    }

    /// The error for a record that is larger than `limit` bytes; `record` begins with it.
    pub fn too_large(&self, record: &[u8], limit: usize) -> RecordError {
        largest::field(record, self.dialect, &self.names).error(limit)
    }

    #[cold]
    fn spans_lines(&self, field: usize) -> RecordError {
        let name = self.names.get(field).map_or("", String::as_str);
        let message = format!(
            "column `{name}`: a quoted field contains a line end, and the file is read in parts; \
             set `csv.multiline` to true to read each file as a whole"
        );
        RecordError { message, lines: 0 }
    }

    fn unterminated(&self, last: bool, lines: usize) -> Result<Step, RecordError> {
        if !last {
            return Ok(Step::Incomplete);
        }
        let message = "a quoted field does not end before the file does".into();
        Err(RecordError { message, lines })
    }
}

/// The fields of a header line.
pub fn header_columns(line: &[u8], dialect: Dialect) -> Result<Vec<String>, Error> {
    let line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    line.split(|byte| *byte == dialect.delimiter)
        .map(|field| {
            let quote = dialect.quote;
            let inner = field.strip_prefix(&[quote]).and_then(|f| f.strip_suffix(&[quote]));
            let text = std::str::from_utf8(inner.unwrap_or(field));
            text.map(|name| name.trim().to_owned())
                .map_err(|_| Error::new("the header line is not UTF-8"))
        })
        .collect()
}
