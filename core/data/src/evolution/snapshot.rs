//! Schemas as bytes.
//!
//! Little-endian: magic `MSSS`; version, 1 byte; role, 1 byte; fields; fingerprint of the schema, 8
//! bytes. Fields are a 32-bit count and then each field: length of the name (32 bits), name,
//! nullability (1 byte), type. A type is its code (1 byte) and what its kind has: precision and
//! scale (a byte each), the fields of a row, the one or two fields of an array or map.

use alloc::{boxed::Box, string::String, vec::Vec};
use core::fmt;

use crate::types::{DataType, Field, Schema};

const MAGIC: [u8; 4] = *b"MSSS";
const VERSION: u8 = 1;
/// Types nest at most so deep.
const DEPTH_MAX: u32 = 32;

/// What rows are used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// As keys: they decide where state is, and must never change.
    Key,
    /// As values.
    Value,
}

/// The schema that rows were written with, to be stored beside them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The schema.
    pub schema: Schema,
    /// What the rows are used for.
    pub role: Role,
}

impl Snapshot {
    /// A snapshot of the schema of values.
    pub fn value(schema: Schema) -> Self {
        Self { schema, role: Role::Value }
    }

    /// A snapshot of the schema of keys.
    pub fn key(schema: Schema) -> Self {
        Self { schema, role: Role::Key }
    }

    /// The snapshot as bytes, which describe themselves.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::from(MAGIC);
        out.push(VERSION);
        out.push(match self.role {
            Role::Key => 0,
            Role::Value => 1,
        });
        push_fields(&mut out, &self.schema.fields);
        out.extend(self.schema.fingerprint().to_le_bytes());
        out
    }

    /// The snapshot that [`Snapshot::encode`] made bytes of.
    ///
    /// # Errors
    /// If the bytes are none, or of another version: every byte is checked.
    pub fn decode(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let mut input = Input { bytes, offset: 0 };
        if input.take(4)? != MAGIC {
            return Err(SnapshotError::Damaged { offset: 0, what: "no snapshot begins like this" });
        }
        match input.byte()? {
            VERSION => {}
            found => return Err(SnapshotError::Version { found }),
        }
        let role = match input.byte()? {
            0 => Role::Key,
            1 => Role::Value,
            _ => return input.wrong("an unknown role"),
        };
        let schema = Schema::new(input.fields(0)?);
        let sum = input.offset;
        let found = input.take(8)?;
        if found != schema.fingerprint().to_le_bytes() {
            let what = "the schema has another fingerprint";
            return Err(SnapshotError::Damaged { offset: sum, what });
        }
        if input.offset != bytes.len() {
            return input.wrong("bytes behind the end");
        }
        Ok(Self { schema, role })
    }
}

/// Why bytes are not a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SnapshotError {
    /// A program with another format wrote it.
    Version {
        /// The version that it has.
        found: u8,
    },
    /// A byte is wrong, or missing.
    Damaged {
        /// Which, from 0.
        offset: usize,
        /// What is wrong.
        what: &'static str,
    },
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version { found } => write!(
                f,
                "the serializer snapshot has version {found}, this program reads version \
                 {VERSION}: restore it with the release that wrote it"
            ),
            Self::Damaged { offset, what } => {
                write!(f, "the serializer snapshot is damaged at byte {offset}: {what}")
            }
        }
    }
}

impl core::error::Error for SnapshotError {}

fn push_fields(out: &mut Vec<u8>, fields: &[Field]) {
    out.extend((fields.len() as u32).to_le_bytes());
    fields.iter().for_each(|field| push_field(out, field));
}

fn push_field(out: &mut Vec<u8>, field: &Field) {
    out.extend((field.name.len() as u32).to_le_bytes());
    out.extend(field.name.as_bytes());
    out.push(u8::from(field.nullable));
    out.push(field.data_type.code() as u8);
    match &field.data_type {
        DataType::Decimal { precision, scale } => out.extend([*precision, *scale]),
        DataType::Timestamp { precision } | DataType::TimestampLtz { precision } => {
            out.push(*precision);
        }
        DataType::Array(element) => push_field(out, element),
        DataType::Map(key, value) => {
            push_field(out, key);
            push_field(out, value);
        }
        DataType::Row(fields) => push_fields(out, fields),
        _ => {}
    }
}

struct Input<'a> {
    bytes: &'a [u8],
    offset: usize,
}

type Decoded<T> = Result<T, SnapshotError>;

impl<'a> Input<'a> {
    fn wrong<T>(&self, what: &'static str) -> Decoded<T> {
        Err(SnapshotError::Damaged { offset: self.offset, what })
    }

    fn take(&mut self, count: usize) -> Decoded<&'a [u8]> {
        let rest = self.bytes.get(self.offset..).unwrap_or(&[]);
        let Some(taken) = rest.get(..count) else { return self.wrong("it ends too early") };
        self.offset += count;
        Ok(taken)
    }

    fn byte(&mut self) -> Decoded<u8> {
        self.take(1).map(|bytes| bytes.first().copied().unwrap_or(0))
    }

    fn count(&mut self) -> Decoded<usize> {
        let before = self.offset;
        let word = self.take(4)?.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        // Whatever is counted takes at least a byte: a count that lies makes nobody allocate.
        let rest = self.bytes.len() - self.offset;
        usize::try_from(word).ok().filter(|count| *count <= rest).ok_or({
            SnapshotError::Damaged { offset: before, what: "it counts more than there is" }
        })
    }

    fn fields(&mut self, depth: u32) -> Decoded<Vec<Field>> {
        let count = self.count()?;
        let mut fields: Vec<Field> = Vec::new();
        for _ in 0..count {
            let field = self.field(depth)?;
            if fields.iter().any(|before| before.name == field.name) {
                return self.wrong("two fields have the same name");
            }
            fields.push(field);
        }
        Ok(fields)
    }

    fn field(&mut self, depth: u32) -> Decoded<Field> {
        let length = self.count()?;
        let name = match core::str::from_utf8(self.take(length)?) {
            Ok(name) => String::from(name),
            Err(_) => return self.wrong("a name that is not UTF-8"),
        };
        let nullable = match self.byte()? {
            0 => false,
            1 => true,
            _ => return self.wrong("a field that is neither nullable nor not"),
        };
        Ok(Field { name, nullable, data_type: self.data_type(depth)? })
    }

    fn data_type(&mut self, depth: u32) -> Decoded<DataType> {
        if depth > DEPTH_MAX {
            return self.wrong("types within types within types");
        }
        let (code, depth) = (self.byte()?, depth + 1);
        if let Some(simple) = SIMPLE.iter().find(|simple| simple.code() == u64::from(code)) {
            return Ok(simple.clone());
        }
        Ok(match code {
            12 => match (self.byte()?, self.byte()?) {
                (precision @ 1..=38, scale) if scale <= precision => {
                    DataType::Decimal { precision, scale }
                }
                _ => return self.wrong("a precision or scale that no DECIMAL has"),
            },
            15 => DataType::Timestamp { precision: self.precision()? },
            16 => DataType::TimestampLtz { precision: self.precision()? },
            19 => DataType::Array(Box::new(self.field(depth)?)),
            20 => DataType::Map(Box::new(self.field(depth)?), Box::new(self.field(depth)?)),
            21 => DataType::Row(self.fields(depth)?),
            _ => return self.wrong("an unknown type"),
        })
    }

    fn precision(&mut self) -> Decoded<u8> {
        match self.byte()? {
            precision @ 0..=6 => Ok(precision),
            _ => self.wrong("a precision that no timestamp has"),
        }
    }
}

/// The types that are their code alone.
const SIMPLE: [DataType; 15] = [
    DataType::Boolean,
    DataType::Int8,
    DataType::Int16,
    DataType::Int32,
    DataType::Int64,
    DataType::UInt8,
    DataType::UInt16,
    DataType::UInt32,
    DataType::UInt64,
    DataType::Float32,
    DataType::Float64,
    DataType::Date,
    DataType::Time,
    DataType::String,
    DataType::Bytes,
];
