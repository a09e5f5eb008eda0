//! From lines to rows.

use simdutf8::compat::from_utf8;

use super::{
    cursor::{Cursor, Malformed},
    largest,
    object::{Object, Stop},
};
use crate::{Columns, RecordError, Rows, Step};

/// Decodes objects into the columns that a schema asks for, matched by name; of other members only
/// the extent is looked at. An absent member is NULL.
///
/// Written here because it is most of the work of many jobs: what it reads goes straight into the
/// page, and the order of the members of one record is the guess for the next.
#[derive(Debug)]
pub struct Decoder {
    object: Object,
}

impl Decoder {
    /// A decoder for these columns.
    pub fn new(columns: &Columns) -> Self {
        Self { object: Object::new(columns) }
    }

    /// Decodes the line that begins at `start`. With `last` the end of the data ends it, too.
    ///
    /// # Errors
    /// If the line is no object, or a member is not of its column's type.
    pub fn record(
        &mut self,
        data: &[u8],
        start: usize,
        last: bool,
        rows: &mut Rows<'_>,
    ) -> Result<Step, RecordError> {
        let Some((line, end)) = line(data, start, last) else { return Ok(Step::Incomplete) };
        let line = from_utf8(line).map_err(|error| RecordError {
            message: format!("the line is not UTF-8 text from byte {} on", error.valid_up_to() + 1),
            lines: 0,
        })?;
        let mut cursor = Cursor::new(line);
        if cursor.is_done() {
            return Ok(Step::Blank(end));
        }
        match self.line(&mut cursor, rows) {
            Ok(()) => {
                rows.commit();
                Ok(Step::Row(end))
            }
            Err(Stop::Full) => Ok(Step::Full),
            Err(Stop::Wrong(message)) => Err(RecordError { message, lines: 0 }),
            Err(Stop::Malformed(error)) => {
                Err(RecordError { message: explain(error, line), lines: 0 })
            }
        }
    }

    #[inline]
    fn line(&mut self, cursor: &mut Cursor<'_>, rows: &mut Rows<'_>) -> Result<(), Stop> {
        if cursor.peek() != Some(b'{') {
            return Err(cursor.malformed("expected an object").into());
        }
        self.object.read(cursor, rows)?;
        match cursor.is_done() {
            true => Ok(()),
            false => Err(cursor.malformed("something behind the object").into()),
        }
    }

    /// The error for a record that is larger than `limit` bytes; `record` begins with it.
    pub fn too_large(&self, record: &[u8], limit: usize) -> RecordError {
        largest::member(record).error(limit)
    }
}

/// The line that begins at `start`, and where the next one does; `None` if its end is missing.
pub(super) fn line(data: &[u8], start: usize, last: bool) -> Option<(&[u8], usize)> {
    let rest = data.get(start..).unwrap_or(&[]);
    match memchr::memchr(b'\n', rest) {
        Some(at) => Some((rest.get(..at).unwrap_or(rest), start + at + 1)),
        None => last.then_some((rest, data.len())),
    }
}

/// The error with its place in the line.
#[cold]
pub(super) fn explain(error: Malformed, line: &str) -> String {
    let Malformed { at, what } = error;
    let before = line.char_indices().take_while(|(index, _)| *index < at).count();
    match at < line.trim_ascii_end().len() {
        true => format!("no JSON at character {}: {what}", before + 1),
        false => {
            format!("the JSON object does not end before the line does (character {before})")
        }
    }
}
