//! Objects to rows: which member goes to which column.

use super::{
    cursor::{Cursor, Malformed, Number},
    prefix::Prefix,
    seen::Seen,
};
use crate::{
    Columns, Rows,
    cell::{Cell, CellError, Put},
    columns::{Column, Kind},
};

/// Why a row was not read.
#[derive(Debug)]
pub(super) enum Stop {
    /// The page has no room for it.
    Full,
    /// A value that its column cannot hold.
    Wrong(String),
    /// No JSON.
    Malformed(Malformed),
}

impl From<Malformed> for Stop {
    fn from(error: Malformed) -> Self {
        Self::Malformed(error)
    }
}

/// Reads objects into the columns of a row.
#[derive(Debug)]
pub(super) struct Object {
    fields: Vec<Member>,
    /// The members of objects before, in their order: mostly the next object has them, too.
    expected: Vec<Expected>,
}

/// A member that objects had.
#[derive(Debug)]
struct Expected {
    /// Its name as it was written, in quotes.
    quoted: Prefix,
    /// The field of the row that it is; `None` if nobody asks for it.
    field: Option<usize>,
}

/// Objects whose members have more names than this are not remembered.
const EXPECTED_MAX: usize = 256;

impl Object {
    pub(super) fn new(columns: &Columns) -> Self {
        Self { fields: columns.fields.iter().map(Member::new).collect(), expected: Vec::new() }
    }

    /// Reads an object; the cursor is at its bracket.
    pub(super) fn read(
        &mut self,
        cursor: &mut Cursor<'_>,
        rows: &mut Rows<'_>,
    ) -> Result<(), Stop> {
        cursor.expect(b'{', "expected an object")?;
        let mut seen = Seen::new(self.fields.len());
        let mut place = 0;
        let mut more = !cursor.takes(b'}');
        while more {
            let field = self.name(cursor, &mut place)?;
            cursor.expect(b':', "expected `:`")?;
            match field.and_then(|field| Some((field, self.fields.get_mut(field)?))) {
                Some((field, member)) => {
                    if !seen.first(field) {
                        let name = &member.column.name;
                        return Err(Stop::Wrong(format!("the member `{name}` comes twice")));
                    }
                    member.read(cursor, rows)?;
                }
                None => drop(cursor.skip()?),
            }
            more = cursor.another(b'}')?;
        }
        if seen.count() < self.fields.len() {
            self.absent(&seen, rows)?;
        }
        Ok(())
    }

    /// Goes over the name of a member and says which field it is. `place` is where it is expected.
    #[inline]
    fn name(&mut self, cursor: &mut Cursor<'_>, place: &mut usize) -> Result<Option<usize>, Stop> {
        match self.expected.get(*place) {
            Some(expected) if cursor.takes_text(&expected.quoted) => {
                *place += 1;
                Ok(expected.field)
            }
            _ => self.other_name(cursor, place),
        }
    }

    /// A name that is not the one that is expected.
    fn other_name(
        &mut self,
        cursor: &mut Cursor<'_>,
        place: &mut usize,
    ) -> Result<Option<usize>, Stop> {
        let known = self.expected.iter().position(|expected| cursor.takes_text(&expected.quoted));
        if let Some((known, expected)) = known.and_then(|at| Some((at, self.expected.get(at)?))) {
            *place = known + 1;
            return Ok(expected.field);
        }
        if cursor.peek() != Some(b'"') {
            return Err(cursor.malformed("expected the name of a member").into());
        }
        let quoted = cursor.string()?;
        let name = quoted.text()?;
        let field = self.fields.iter().position(|member| member.column.name == name);
        if self.expected.len() < EXPECTED_MAX {
            let quoted = Prefix::new(format!("\"{}\"", quoted.raw).into_bytes());
            let at = (*place).min(self.expected.len());
            self.expected.insert(at, Expected { quoted, field });
            *place = at + 1;
        }
        Ok(field)
    }

    /// Writes NULL for the members that did not come.
    fn absent(&self, seen: &Seen, rows: &mut Rows<'_>) -> Result<(), Stop> {
        for (field, Member { column, .. }) in self.fields.iter().enumerate() {
            if !seen.has(field) && !column.put_null(rows) {
                return Err(Stop::Wrong(format!(
                    "there is no member `{}`, and the column must not be NULL",
                    column.name
                )));
            }
        }
        Ok(())
    }
}

/// Reads a value into its column.
#[derive(Debug)]
struct Member {
    column: Column,
    value: Value,
}

/// What a value has to be.
#[derive(Debug)]
enum Value {
    Plain(Cell),
    Row(Object),
    List(Box<Member>),
    /// The cell of the keys, their column and the values.
    Map(Cell, Box<(Column, Member)>),
}

impl Member {
    fn new(column: &Column) -> Self {
        let value = match &column.kind {
            Kind::Cell(cell) => Value::Plain(*cell),
            Kind::Row(columns) => Value::Row(Object::new(columns)),
            Kind::List(element) => Value::List(Box::new(Self::new(element))),
            Kind::Map(cell, columns) => {
                let [key, value] = &**columns;
                Value::Map(*cell, Box::new((key.clone(), Self::new(value))))
            }
        };
        Self { column: column.clone(), value }
    }

    #[inline]
    fn read(&mut self, cursor: &mut Cursor<'_>, rows: &mut Rows<'_>) -> Result<(), Stop> {
        let Self { column, value } = self;
        let first = cursor.peek();
        match (value, first) {
            (Value::Plain(cell), Some(b'"')) => put(rows, column, cell, &cursor.string()?.text()?),
            (Value::Plain(cell), Some(b'-' | b'0'..=b'9')) => {
                put_number(rows, column, cell, cursor)
            }
            (_, Some(b'n')) => {
                cursor.word("null")?;
                match column.put_null(rows) {
                    true => Ok(()),
                    false => Err(is_null(column)),
                }
            }
            (Value::Row(object), Some(b'{')) => {
                if column.nullable {
                    rows.put_group(column.index);
                }
                object.read(cursor, rows)
            }
            (Value::List(element), Some(b'[')) => {
                cursor.expect(b'[', "expected an array")?;
                rows.begin_list(column.index);
                let mut more = !cursor.takes(b']');
                while more {
                    rows.begin_element(column.index).map_err(|_| Stop::Full)?;
                    element.read(cursor, rows)?;
                    more = cursor.another(b']')?;
                }
                Ok(())
            }
            // A member that comes twice is two entries of the map, of which readers take the last.
            (Value::Map(cell, entry), Some(b'{')) => {
                let (key, value) = &mut **entry;
                cursor.expect(b'{', "expected an object")?;
                rows.begin_list(column.index);
                let mut more = !cursor.takes(b'}');
                while more {
                    rows.begin_element(column.index).map_err(|_| Stop::Full)?;
                    if cursor.peek() != Some(b'"') {
                        return Err(cursor.malformed("expected the name of a member").into());
                    }
                    put(rows, key, cell, &cursor.string()?.text()?)?;
                    cursor.expect(b':', "expected `:`")?;
                    value.read(cursor, rows)?;
                    more = cursor.another(b'}')?;
                }
                Ok(())
            }
            (Value::Plain(cell), Some(b't')) => put(rows, column, cell, cursor.word("true")?),
            (Value::Plain(cell), Some(b'f')) => put(rows, column, cell, cursor.word("false")?),
            // Text takes what is nested as it is written, as in Flink.
            (Value::Plain(cell), Some(b'{' | b'[')) if cell.is_text() => {
                put(rows, column, cell, cursor.skip()?)
            }
            (value, _) => Err(misplaced(column, value, cursor)),
        }
    }
}

#[inline]
fn put(rows: &mut Rows<'_>, column: &Column, cell: &Cell, text: &str) -> Result<(), Stop> {
    match cell.put_text(rows, column.index, text) {
        Ok(Put::Done) => Ok(()),
        Ok(Put::Full) => Err(Stop::Full),
        Err(error) => Err(wrong(column, &error)),
    }
}

#[inline]
fn put_number(
    rows: &mut Rows<'_>,
    column: &Column,
    cell: &Cell,
    cursor: &mut Cursor<'_>,
) -> Result<(), Stop> {
    let before = cursor.place();
    match cursor.number()? {
        Number::Integer(number) if cell.put_integer(rows, column.index, number) => Ok(()),
        // A whole number may be written with a point or an exponent.
        Number::Other(text) if cell.is_integer() && text.contains(['.', 'e', 'E']) => {
            let number = text.parse::<f64>().map_or_else(|_| text.to_owned(), |n| n.to_string());
            put(rows, column, cell, &number)
        }
        _ => put(rows, column, cell, cursor.since(before)),
    }
}

#[cold]
fn wrong(column: &Column, error: &CellError) -> Stop {
    Stop::Wrong(format!("column `{}`: {error}", column.name))
}

#[cold]
fn is_null(column: &Column) -> Stop {
    Stop::Wrong(format!("column `{}`: null, but the column must not be NULL", column.name))
}

/// A value of another kind than the column's, or none at all.
#[cold]
fn misplaced(column: &Column, value: &Value, cursor: &mut Cursor<'_>) -> Stop {
    let found = match cursor.peek() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b'-' | b'0'..=b'9') => "a number",
        Some(b't' | b'f') => "a boolean",
        _ => return cursor.malformed("expected a value").into(),
    };
    let wanted = match value {
        Value::Plain(_) => "a plain value",
        Value::Row(_) | Value::Map(..) => "an object",
        Value::List(_) => "an array",
    };
    let name = &column.name;
    Stop::Wrong(format!("expected {wanted} for column `{name}`, and found {found}"))
}
