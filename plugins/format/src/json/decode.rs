//! From objects to rows.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use super::{largest, member::Member};
use crate::{Columns, RecordError, Rows, Step};

/// Decodes objects into the columns that a schema asks for, matched by name; other members are
/// skipped without being looked at. An absent member is NULL.
#[derive(Debug)]
pub struct Decoder {
    columns: Columns,
}

impl Decoder {
    /// A decoder for these columns.
    pub fn new(columns: Columns) -> Self {
        Self { columns }
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
        let rest = data.get(start..).unwrap_or(&[]);
        let (line, end) = match memchr::memchr(b'\n', rest) {
            Some(at) => (&rest[..at], start + at + 1),
            None if last => (rest, data.len()),
            None => return Ok(Step::Incomplete),
        };
        if line.iter().all(u8::is_ascii_whitespace) {
            return Ok(Step::Blank(end));
        }
        let mut full = false;
        let row = Row { columns: &self.columns, rows, full: &mut full };
        let mut json = serde_json::Deserializer::from_slice(line);
        let result = row.deserialize(&mut json).and_then(|()| json.end());
        match result {
            Ok(()) => {
                rows.commit();
                Ok(Step::Row(end))
            }
            Err(_) if full => Ok(Step::Full),
            Err(error) => Err(RecordError { message: explain(&error), lines: 0 }),
        }
    }

    /// The error for a record that is larger than `limit` bytes; `record` begins with it.
    pub fn too_large(&self, record: &[u8], limit: usize) -> RecordError {
        largest::member(record).error(limit)
    }
}

/// The error with its place in the line, which is the only one that the parser saw.
fn explain(error: &serde_json::Error) -> String {
    let said = error.to_string();
    let what = said.split(" at line ").next().unwrap_or(&said);
    match error.classify() {
        serde_json::error::Category::Data => what.to_owned(),
        serde_json::error::Category::Eof => {
            format!(
                "the JSON object does not end before the line does (character {})",
                error.column()
            )
        }
        _ => format!("no JSON at character {}: {what}", error.column()),
    }
}

/// Reads an object into the columns of a row.
pub(super) struct Row<'a, 'b, 'p> {
    pub(super) columns: &'a Columns,
    pub(super) rows: &'b mut Rows<'p>,
    pub(super) full: &'b mut bool,
}

impl<'de> DeserializeSeed<'de> for Row<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Row<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let Self { columns, rows, full } = self;
        let (mut map, fields) = (map, &columns.fields);
        // Members mostly come in the order of the columns, and all of them.
        let mut next = 0;
        let mut seen = Seen::new(fields.len());
        while let Some(found) = map.next_key_seed(Name { columns, next })? {
            let Some(index) = found else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            next = index + 1;
            let column = &fields[index];
            if !seen.first(index) {
                return Err(A::Error::custom(format!("the member `{}` comes twice", column.name)));
            }
            map.next_value_seed(Member { column, rows: &mut *rows, full: &mut *full })?;
        }
        for (index, column) in fields.iter().enumerate() {
            if !seen.has(index) && !column.put_null(rows) {
                return Err(A::Error::custom(format!(
                    "there is no member `{}`, and the column must not be NULL",
                    column.name
                )));
            }
        }
        Ok(())
    }
}

/// Finds the column of a member by its name; `None` if no column has it.
struct Name<'a> {
    columns: &'a Columns,
    /// The column that is expected.
    next: usize,
}

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Option<usize>, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Option<usize>, E> {
        let fields = &self.columns.fields;
        Ok(match fields.get(self.next) {
            Some(column) if column.name == name => Some(self.next),
            _ => fields.iter().position(|column| column.name == name),
        })
    }
}

/// Which columns were given a value: 64 at a time, mostly one word.
struct Seen {
    first: u64,
    rest: Vec<u64>,
}

impl Seen {
    fn new(columns: usize) -> Self {
        Self { first: 0, rest: vec![0; columns.saturating_sub(1) / 64] }
    }

    /// Notes the column; `false` if it was noted before.
    fn first(&mut self, column: usize) -> bool {
        let word = match column / 64 {
            0 => &mut self.first,
            word => &mut self.rest[word - 1],
        };
        let before = *word;
        *word |= 1 << (column % 64);
        before != *word
    }

    fn has(&self, column: usize) -> bool {
        let word = match column / 64 {
            0 => self.first,
            word => self.rest[word - 1],
        };
        word >> (column % 64) & 1 == 1
    }
}
