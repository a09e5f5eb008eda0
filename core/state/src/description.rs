//! What the bytes of a state mean, written beside them, so that a snapshot can be read without the program
//! that took it, and compared with a program that was changed.
//!
//! A snapshot has its descriptions in a chunk of its own, in front of the others, under the number
//! [`DESCRIPTIONS`]: an entry for each state, whose key is the number of the state, 16 bits, and whose
//! value is:
//!
//! ```text
//! kind u8 | name bytes | parts of keys, of namespaces, of map keys, of values
//! parts:  count u8, each: tag u8 | key, row: a schema snapshot, bytes | opaque: length u32, or 2^32 - 1
//!         | rows: count u32, a schema snapshot, bytes
//! bytes:  length u32 | so many
//! ```

use alloc::{string::String, vec::Vec};
use core::fmt;

use millstream_data::{
    evolution::{Role, Snapshot},
    row::RowLayout,
    types::Schema,
};

use crate::{
    Kind,
    format::{Chunk, ReadEntry},
};

/// The number under which a snapshot has descriptions, beside those of states.
pub const DESCRIPTIONS: u16 = u16::MAX - 1;
/// Parts that bytes consist of, at most.
const PARTS_MAX: usize = 16;

/// What the bytes of a state mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Its name, unique in its operator.
    pub name: String,
    /// What it keeps for a key and namespace.
    pub kind: Kind,
    /// What its keys consist of.
    pub key: Vec<Part>,
    /// What its namespaces consist of.
    pub namespace: Vec<Part>,
    /// What the map keys of a map consist of.
    pub map_key: Vec<Part>,
    /// What its values consist of, the elements of a list, or the values of a map.
    pub value: Vec<Part>,
}

/// A part of a key, namespace, map key or value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The stable hash of a key, 8 bytes.
    Hash,
    /// A byte that is 1 if there is a value.
    Flag,
    /// A time in milliseconds, its sign flipped, 8 bytes, big-endian.
    Time,
    /// Bytes that only the operator understands: so many, or whatever is left.
    Opaque(Option<u32>),
    /// A row that is the key of a stream.
    Key(Schema),
    /// Any other row.
    Row(Schema),
    /// So many rows of one size.
    Rows(Schema, u32),
}

impl Part {
    /// Its bytes, if all values have the same.
    pub fn width(&self) -> Option<usize> {
        match self {
            Self::Hash | Self::Time => Some(8),
            Self::Flag => Some(1),
            Self::Opaque(width) => width.map(|width| width as usize),
            Self::Key(schema) | Self::Row(schema) => {
                let layout = RowLayout::new(schema);
                layout.is_fixed().then(|| layout.fixed_bytes())
            }
            Self::Rows(schema, count) => {
                let layout = RowLayout::new(schema);
                let bytes = layout.fixed_bytes().checked_mul(*count as usize);
                bytes.filter(|_| layout.is_fixed())
            }
        }
    }
}

/// Bytes of what consists of these parts, if all values have the same.
pub fn width(parts: &[Part]) -> Option<usize> {
    parts.iter().map(Part::width).sum()
}

/// The bytes of each part, of which at most one has not always the same number; `None` if they are others.
pub fn split<'a>(parts: &[Part], bytes: &'a [u8]) -> Option<Vec<&'a [u8]>> {
    let widths: Vec<Option<usize>> = parts.iter().map(Part::width).collect();
    let fixed: usize = widths.iter().flatten().sum();
    let variable = bytes.len().checked_sub(fixed)?;
    let mut rest = bytes;
    let mut all = Vec::with_capacity(parts.len());
    let mut free = true;
    for width in widths {
        let length = match width {
            Some(width) => width,
            None if core::mem::replace(&mut free, false) => variable,
            None => return None,
        };
        let (part, behind) = rest.split_at_checked(length)?;
        all.push(part);
        rest = behind;
    }
    rest.is_empty().then_some(all)
}

impl Description {
    /// Adds itself, as that of the state with a number, to the chunk of descriptions.
    pub fn write(&self, state: u16, chunk: &mut Chunk<'_>) {
        let mut out = Vec::new();
        out.push(match self.kind {
            Kind::Value => 0,
            Kind::List => 1,
            Kind::Map => 2,
        });
        put_bytes(self.name.as_bytes(), &mut out);
        for parts in [&self.key, &self.namespace, &self.map_key, &self.value] {
            put_parts(parts, &mut out);
        }
        chunk.whole(&state.to_le_bytes(), &[], &out);
    }

    /// The number of a state and its description.
    ///
    /// # Errors
    /// [`DescriptionError`] if the entry is none.
    pub fn read(entry: &ReadEntry<'_>) -> Result<(u16, Self), DescriptionError> {
        let state =
            entry.key.try_into().map_err(|_| DescriptionError("it has no state's number"))?;
        let mut reader = Reader(entry.value);
        let kind = match reader.take(1)? {
            [0] => Kind::Value,
            [1] => Kind::List,
            [2] => Kind::Map,
            _ => return Err(DescriptionError("there is no such kind of state")),
        };
        let name = core::str::from_utf8(reader.bytes()?);
        let name = name.map_err(|_| DescriptionError("the name of a state is not UTF-8"))?.into();
        let (key, namespace) = (reader.parts()?, reader.parts()?);
        let (map_key, value) = (reader.parts()?, reader.parts()?);
        match reader.0 {
            [] => {
                let read = Self { name, kind, key, namespace, map_key, value };
                Ok((u16::from_le_bytes(state), read))
            }
            _ => Err(DescriptionError("there are bytes behind it")),
        }
    }
}

fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend((bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn put_parts(parts: &[Part], out: &mut Vec<u8>) {
    assert!(parts.len() <= PARTS_MAX, "a state of {} parts", parts.len());
    out.push(parts.len() as u8);
    for part in parts {
        match part {
            Part::Hash => out.push(0),
            Part::Flag => out.push(1),
            Part::Time => out.push(2),
            Part::Opaque(width) => {
                out.push(3);
                out.extend(width.unwrap_or(u32::MAX).to_le_bytes());
            }
            Part::Key(schema) => {
                out.push(4);
                put_bytes(&Snapshot::key(schema.clone()).encode(), out);
            }
            Part::Row(schema) => {
                out.push(5);
                put_bytes(&Snapshot::value(schema.clone()).encode(), out);
            }
            Part::Rows(schema, count) => {
                out.push(6);
                out.extend(count.to_le_bytes());
                put_bytes(&Snapshot::value(schema.clone()).encode(), out);
            }
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], DescriptionError> {
        let taken = self.0.split_at_checked(count);
        let (taken, rest) = taken.ok_or(DescriptionError("it ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u32, DescriptionError> {
        let bytes = self.take(4)?.first_chunk().copied().unwrap_or_default();
        Ok(u32::from_le_bytes(bytes))
    }

    fn bytes(&mut self) -> Result<&'a [u8], DescriptionError> {
        let length = self.number()?;
        self.take(length as usize)
    }

    fn schema(&mut self, role: Role) -> Result<Schema, DescriptionError> {
        match Snapshot::decode(self.bytes()?) {
            Ok(snapshot) if snapshot.role == role => Ok(snapshot.schema),
            _ => Err(DescriptionError("a schema is damaged")),
        }
    }

    fn parts(&mut self) -> Result<Vec<Part>, DescriptionError> {
        let count = self.take(1)?.first().map_or(0, |count| usize::from(*count));
        if count > PARTS_MAX {
            return Err(DescriptionError("it has too many parts"));
        }
        let mut parts = Vec::with_capacity(count);
        for _ in 0..count {
            parts.push(match self.take(1)? {
                [0] => Part::Hash,
                [1] => Part::Flag,
                [2] => Part::Time,
                [3] => Part::Opaque(Some(self.number()?).filter(|width| *width < u32::MAX)),
                [4] => Part::Key(self.schema(Role::Key)?),
                [5] => Part::Row(self.schema(Role::Value)?),
                [6] => {
                    let count = self.number()?;
                    Part::Rows(self.schema(Role::Value)?, count)
                }
                _ => return Err(DescriptionError("there is no such part of a state")),
            });
        }
        Ok(parts)
    }
}

/// Bytes that are no description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DescriptionError(pub &'static str);

impl fmt::Display for DescriptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the description of a state is damaged: {}; restore an older checkpoint", self.0)
    }
}

impl core::error::Error for DescriptionError {}

#[cfg(test)]
mod tests {
    use alloc::{string::ToString, vec};

    use millstream_data::types::{DataType, Field};

    use super::*;
    use crate::format::ReadChunk;

    fn description() -> Description {
        let field = |name: &str, data_type| Field::new(name, data_type);
        Description {
            name: "zählung".into(),
            kind: Kind::Map,
            key: vec![Part::Hash, Part::Key(Schema::new(vec![field("key", DataType::String)]))],
            namespace: vec![Part::Time],
            map_key: vec![Part::Opaque(Some(3)), Part::Opaque(None)],
            value: vec![Part::Flag, Part::Rows(Schema::new(vec![field("n", DataType::Int64)]), 3)],
        }
    }

    #[test]
    fn descriptions_round_trip_and_damage_is_seen() {
        let mut out = Vec::new();
        let mut chunk = Chunk::begin(DESCRIPTIONS, 3, &mut out);
        description().write(7, &mut chunk);
        chunk.end();
        let (chunk, _) = ReadChunk::read(&out, 0).unwrap();
        let entry = chunk.entries().next().unwrap();
        assert_eq!(Description::read(&entry), Ok((7, description())));
        for end in 0..entry.value.len() {
            let cut = ReadEntry { value: &entry.value[..end], ..entry };
            assert!(Description::read(&cut).is_err(), "cut at {end}");
        }
        for at in 0..entry.value.len() {
            for to in [0, 1, 17, 255] {
                let mut bad = entry.value.to_vec();
                bad[at] = to;
                let _ = Description::read(&ReadEntry { value: &bad, ..entry });
            }
        }
        let none = DescriptionError("it ends too early").to_string();
        assert!(none.contains("restore an older checkpoint"));
    }

    #[test]
    fn bytes_are_divided_into_their_parts() {
        let Description { key, map_key, value, .. } = description();
        assert_eq!((width(&key), width(&value)), (None, Some(25)));
        let bytes = b"hashhashrest of it";
        assert_eq!(split(&key, bytes), Some(vec![&b"hashhash"[..], b"rest of it"]));
        assert_eq!(split(&key, b"hash"), None);
        assert_eq!(split(&map_key, b"abcd"), Some(vec![&b"abc"[..], b"d"]));
        assert_eq!(split(&value, &[0; 10]), None);
        assert_eq!(split(&[Part::Opaque(None), Part::Opaque(None)], b"ab"), None);
        assert_eq!(split(&[], b""), Some(vec![]));
    }
}
