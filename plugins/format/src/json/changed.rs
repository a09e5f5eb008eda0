//! From objects that say what becomes of a row to rows with kinds.

use millstream_sdk::data::page::RowKind;
use simdutf8::compat::from_utf8;

use super::{
    cursor::Cursor,
    decode::{self, explain},
    largest,
    object::{Object, Stop},
};
use crate::{Columns, RecordError, Rows, Step};

/// Which objects they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeLines {
    /// `{"data":{...},"op":"+I"}`
    Changelog,
    /// `{"before":...,"after":...,"op":"u"}`, within `{"payload":{...}}` if they come `with_schema`.
    Debezium {
        /// Whether the schema is in each line.
        with_schema: bool,
    },
}

/// Decodes a line into a row with its kind, or two: as it was and as it is.
#[derive(Debug)]
pub struct ChangeDecoder {
    object: Object,
    lines: ChangeLines,
    /// Whether lines that are wrong are passed over.
    lenient: bool,
    /// The first of the two rows of the line at hand is written.
    half: bool,
}

/// What a line says: rows as text, each with its kind.
type Said<'a> = [Option<(RowKind, &'a str)>; 2];

impl ChangeDecoder {
    /// A decoder for these columns; a `lenient` one passes over lines that are wrong.
    pub fn new(columns: &Columns, lines: ChangeLines, lenient: bool) -> Self {
        Self { object: Object::new(columns), lines, lenient, half: false }
    }

    /// Decodes the line that begins at `start`, one row with each call. With `last` the end of the data ends it,
    /// too.
    ///
    /// # Errors
    /// If the line is no change, or a member is not of its column's type.
    pub fn record(
        &mut self,
        data: &[u8],
        start: usize,
        last: bool,
        rows: &mut Rows<'_>,
    ) -> Result<Step, RecordError> {
        let Some((line, end)) = decode::line(data, start, last) else {
            return Ok(Step::Incomplete);
        };
        let outcome = match from_utf8(line) {
            Ok(line) if line.trim_ascii().is_empty() => return Ok(Step::Blank(end)),
            Ok(line) => self.line(line, rows),
            Err(_) => Err(RecordError::new("the line is not UTF-8 text")),
        };
        match outcome {
            Ok(Some(true)) => Ok(Step::Row(start)),
            Ok(Some(false)) => Ok(Step::Row(end)),
            Ok(None) => Ok(Step::Full),
            Err(_) if self.lenient && !self.half => {
                rows.roll_back();
                Ok(Step::Blank(end))
            }
            Err(error) => Err(error),
        }
    }

    /// Writes the next row of a line: whether there is another one. `None` if there is no room.
    fn line(&mut self, line: &str, rows: &mut Rows<'_>) -> Result<Option<bool>, RecordError> {
        let wrong = |stop: Stop, text: &str| match stop {
            Stop::Full => None,
            Stop::Wrong(message) => Some(RecordError::new(message)),
            Stop::Malformed(error) => Some(RecordError::new(explain(error, text))),
        };
        let said = match self.said(line) {
            Ok([Some(first), second]) => [Some(first), second],
            Ok(_) => return Err(RecordError::new("the line says nothing of a row")),
            Err(stop) => return wrong(stop, line).map_or(Ok(None), Err),
        };
        let both = said[1].is_some();
        // Two rows of a line are in one page if they can be: what is read again begins with the first.
        let needs = |_| line.len() + 64;
        if both && !self.half && rows.rows() > 0 && rows.room_for_run(2, needs) < 2 {
            return Ok(None);
        }
        let Some((kind, text)) = said[usize::from(self.half)] else {
            return Err(RecordError::new("the line has one row"));
        };
        if let Err(stop) = self.object.read(&mut Cursor::new(text), rows) {
            return wrong(stop, text).map_or(Ok(None), Err);
        }
        if rows.shape().has_row_kinds() {
            rows.put_kind(kind);
        }
        rows.commit();
        self.half = both && !self.half;
        Ok(Some(self.half))
    }

    fn said<'l>(&self, line: &'l str) -> Result<Said<'l>, Stop> {
        let text = match self.lines {
            ChangeLines::Debezium { with_schema: true } => {
                let [payload] = members(line, ["payload"])?;
                payload.ok_or_else(|| Stop::Wrong("there is no member `payload`".into()))?
            }
            _ => line,
        };
        match self.lines {
            ChangeLines::Changelog => {
                let [data, op] = members(text, ["data", "op"])?;
                let kind = match op {
                    Some("\"+I\"") => RowKind::Insert,
                    Some("\"-U\"") => RowKind::UpdateBefore,
                    Some("\"+U\"") => RowKind::UpdateAfter,
                    Some("\"-D\"") => RowKind::Delete,
                    other => return Err(unknown(other, "\"+I\", \"-U\", \"+U\" or \"-D\"")),
                };
                Ok([Some((kind, present(data, "data")?)), None])
            }
            ChangeLines::Debezium { .. } => {
                let [before, after, op] = members(text, ["before", "after", "op"])?;
                match op {
                    Some("\"c\"" | "\"r\"") => {
                        Ok([Some((RowKind::Insert, present(after, "after")?)), None])
                    }
                    Some("\"u\"") => {
                        let before = (RowKind::UpdateBefore, present(before, "before")?);
                        Ok([Some(before), Some((RowKind::UpdateAfter, present(after, "after")?))])
                    }
                    Some("\"d\"") => {
                        Ok([Some((RowKind::Delete, present(before, "before")?)), None])
                    }
                    other => Err(unknown(other, "\"c\", \"r\", \"u\" or \"d\"")),
                }
            }
        }
    }

    /// The error for a record that is larger than `limit` bytes; `record` begins with it.
    pub fn too_large(&self, record: &[u8], limit: usize) -> RecordError {
        largest::member(record).error(limit)
    }
}

fn unknown(op: Option<&str>, known: &str) -> Stop {
    Stop::Wrong(match op {
        Some(op) => format!("the member `op` is {op}, and not {known}"),
        None => format!("there is no member `op`, which is {known}"),
    })
}

fn present<'l>(row: Option<&'l str>, name: &str) -> Result<&'l str, Stop> {
    row.filter(|row| *row != "null").ok_or_else(|| {
        Stop::Wrong(format!(
            "the member `{name}` is missing, or null: the source must say whole rows"
        ))
    })
}

/// The members of an object, as text.
fn members<'l, const N: usize>(
    text: &'l str,
    names: [&str; N],
) -> Result<[Option<&'l str>; N], Stop> {
    let mut cursor = Cursor::new(text);
    let mut found = [None; N];
    cursor.expect(b'{', "expected an object")?;
    let mut more = !cursor.takes(b'}');
    while more {
        if cursor.peek() != Some(b'"') {
            return Err(cursor.malformed("expected the name of a member").into());
        }
        let name = cursor.string()?.text()?;
        cursor.expect(b':', "expected `:`")?;
        cursor.peek();
        let place = cursor.place();
        cursor.skip()?;
        if let Some(at) = names.iter().position(|wanted| *wanted == name) {
            found[at] = Some(cursor.since(place).trim_ascii());
        }
        more = cursor.another(b'}')?;
    }
    match cursor.is_done() {
        true => Ok(found),
        false => Err(cursor.malformed("something behind the object").into()),
    }
}
