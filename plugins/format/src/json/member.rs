//! From the members of an object to the cells of a row.

use std::{borrow::Cow, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::decode::Row;
use crate::{
    Rows,
    cell::{Cell, Put},
    columns::{Column, Kind},
};

/// Reads a member into its column.
pub(super) struct Member<'a, 'b, 'p> {
    pub(super) column: &'a Column,
    pub(super) rows: &'b mut Rows<'p>,
    pub(super) full: &'b mut bool,
}

impl<'de> DeserializeSeed<'de> for Member<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        let Self { column, rows, full } = self;
        match &column.kind {
            Kind::Row(_) | Kind::List(_) | Kind::Map(..) => {
                json.deserialize_option(Nested { column, rows, full })
            }
            Kind::Cell(cell) if cell.is_fractional() => {
                let raw = <&'de RawValue as serde::Deserialize>::deserialize(json)?.get();
                let scalar = Scalar { column, cell, rows, full };
                match raw {
                    "null" => scalar.visit_unit(),
                    raw => scalar.put(&plain(raw).map_err(D::Error::custom)?),
                }
            }
            Kind::Cell(cell) => json.deserialize_any(Scalar { column, cell, rows, full }),
        }
    }
}

/// Reads a value into a cell.
struct Scalar<'a, 'b, 'p> {
    column: &'a Column,
    cell: &'a Cell,
    rows: &'b mut Rows<'p>,
    full: &'b mut bool,
}

impl Scalar<'_, '_, '_> {
    #[inline]
    fn put<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        let Self { column, cell, rows, full } = self;
        // Quoted: an empty text is one, and not NULL.
        match cell.put(rows, column.index, text.as_bytes(), true) {
            Ok(Put::Done) => Ok(()),
            Ok(Put::Full) => {
                *full = true;
                Err(E::custom("the page is full"))
            }
            Err(error) => Err(E::custom(format!("column `{}`: {error}", column.name))),
        }
    }
}

impl Visitor<'_> for Scalar<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a plain value for column `{}`", self.column.name)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        self.put(text)
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<(), E> {
        match self.cell.put_integer(self.rows, self.column.index, number) {
            true => Ok(()),
            false => self.put(&number.to_string()),
        }
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<(), E> {
        match i64::try_from(number) {
            Ok(number) => self.visit_i64(number),
            Err(_) => self.put(&number.to_string()),
        }
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<(), E> {
        self.put(&number.to_string())
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        self.put(if value { "true" } else { "false" })
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        let column = self.column;
        match column.put_null(self.rows) {
            true => Ok(()),
            false => Err(is_null(column)),
        }
    }
}

#[cold]
fn is_null<E: serde::de::Error>(column: &Column) -> E {
    E::custom(format!("column `{}`: null, but the column must not be NULL", column.name))
}

/// The text of a value: what a string says, or how a number, boolean, array or object is written.
fn plain(raw: &str) -> Result<Cow<'_, str>, serde_json::Error> {
    let inner = raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"'));
    match inner {
        Some(inner) if !inner.contains('\\') => Ok(Cow::Borrowed(inner)),
        Some(_) => serde_json::from_str::<String>(raw).map(Cow::Owned),
        None => Ok(Cow::Borrowed(raw)),
    }
}

/// Reads an object, an array or null into a nested row, a list or a map.
struct Nested<'a, 'b, 'p> {
    column: &'a Column,
    rows: &'b mut Rows<'p>,
    full: &'b mut bool,
}

impl<'de> Visitor<'de> for Nested<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if matches!(self.column.kind, Kind::List(_)) { "array" } else { "object" };
        write!(f, "an {what} for column `{}`", self.column.name)
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<(), E> {
        let column = self.column;
        match column.put_null(self.rows) {
            true => Ok(()),
            false => Err(is_null(column)),
        }
    }

    fn visit_some<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        let Self { column, rows, full } = self;
        match &column.kind {
            Kind::Row(columns) => {
                if column.nullable {
                    rows.put_group(column.index);
                }
                json.deserialize_map(Row { columns, rows, full })
            }
            Kind::List(_) => json.deserialize_seq(Elements { column, rows, full }),
            _ => json.deserialize_map(Elements { column, rows, full }),
        }
    }
}

/// Reads an array into a list, or an object into a map. A member that comes twice is two entries of
/// the map, of which readers take the last.
struct Elements<'a, 'b, 'p> {
    column: &'a Column,
    rows: &'b mut Rows<'p>,
    full: &'b mut bool,
}

impl Elements<'_, '_, '_> {
    fn begin<E: serde::de::Error>(&mut self) -> Result<(), E> {
        self.rows.begin_element(self.column.index).map_err(|_| {
            *self.full = true;
            E::custom("the page is full")
        })
    }
}

impl<'de> Visitor<'de> for Elements<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if matches!(self.column.kind, Kind::List(_)) { "array" } else { "object" };
        write!(f, "an {what} for column `{}`", self.column.name)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, array: A) -> Result<(), A::Error> {
        let mut array = array;
        let Kind::List(element) = &self.column.kind else {
            return Err(A::Error::custom(format!("column `{}` is no list", self.column.name)));
        };
        self.rows.begin_list(self.column.index);
        while array.next_element_seed(Element { elements: &mut self, column: element })?.is_some() {
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, map: A) -> Result<(), A::Error> {
        let mut map = map;
        let Kind::Map(cell, columns) = &self.column.kind else {
            return Err(A::Error::custom(format!("column `{}` is no map", self.column.name)));
        };
        let [key, value] = &**columns;
        self.rows.begin_list(self.column.index);
        while map.next_key_seed(EntryKey { elements: &mut self, column: key, cell })?.is_some() {
            let (rows, full) = (&mut *self.rows, &mut *self.full);
            map.next_value_seed(Member { column: value, rows, full })?;
        }
        Ok(())
    }
}

/// Begins an element of a list and reads it.
struct Element<'a, 'e, 'b, 'p> {
    elements: &'e mut Elements<'a, 'b, 'p>,
    column: &'a Column,
}

impl<'de> DeserializeSeed<'de> for Element<'_, '_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        let Self { elements, column } = self;
        elements.begin()?;
        Member { column, rows: elements.rows, full: elements.full }.deserialize(json)
    }
}

/// Begins an entry of a map and reads its key, the name of a member.
struct EntryKey<'a, 'e, 'b, 'p> {
    elements: &'e mut Elements<'a, 'b, 'p>,
    column: &'a Column,
    cell: &'a Cell,
}

impl<'de> DeserializeSeed<'de> for EntryKey<'_, '_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        let Self { elements, column, cell } = self;
        elements.begin()?;
        json.deserialize_str(Scalar { column, cell, rows: elements.rows, full: elements.full })
    }
}
