//! The columns of a schema that have cells: nested rows are taken apart.

use std::{error::Error, fmt};

use arrow_schema::{DataType as Arrow, TimeUnit};
use millstream_data::types::{DataType, Field, Schema};

/// A column that has cells: one of a schema's, or of a row nested in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The names of the rows that it is nested in, the outermost first, and its own.
    pub path: Vec<String>,
    /// Its type.
    pub data_type: DataType,
    /// Whether it may be NULL: itself, or a row that it is nested in.
    pub nullable: bool,
    /// The physical column.
    pub(crate) column: usize,
    /// The physical columns with the validity of the rows that it is nested in.
    pub(crate) groups: Vec<usize>,
    /// Whether its own column has a validity.
    pub(crate) own: bool,
}

/// A column that has no array here: a list or a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported {
    /// The column.
    pub path: Vec<String>,
    /// Its type.
    pub data_type: DataType,
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the column `{}` is {}", self.path.join("."), self.data_type)
    }
}

impl Error for Unsupported {}

impl Leaf {
    /// The leaves of a schema, in the order of the physical columns.
    ///
    /// # Errors
    /// If a column is a list or a map, or of a type that only the typed API has.
    pub fn of(schema: &Schema) -> Result<Vec<Self>, Unsupported> {
        let mut walk = Walk { next: 0, path: Vec::new(), groups: Vec::new(), leaves: Vec::new() };
        schema.fields.iter().try_for_each(|field| walk.field(field))?;
        Ok(walk.leaves)
    }
}

struct Walk {
    /// The next physical column.
    next: usize,
    path: Vec<String>,
    groups: Vec<usize>,
    leaves: Vec<Leaf>,
}

impl Walk {
    fn field(&mut self, field: &Field) -> Result<(), Unsupported> {
        self.path.push(field.name.clone());
        if let DataType::Row(fields) = &field.data_type {
            if field.nullable {
                self.groups.push(self.next);
                self.next += 1;
            }
            fields.iter().try_for_each(|field| self.field(field))?;
            if field.nullable {
                self.groups.pop();
            }
        } else {
            if arrow_type(&field.data_type).is_none() {
                let (path, data_type) = (self.path.clone(), field.data_type.clone());
                return Err(Unsupported { path, data_type });
            }
            self.leaves.push(Leaf {
                path: self.path.clone(),
                data_type: field.data_type.clone(),
                nullable: field.nullable || !self.groups.is_empty(),
                column: self.next,
                groups: self.groups.clone(),
                own: field.nullable,
            });
            self.next += 1;
        }
        self.path.pop();
        Ok(())
    }
}

/// The type of the arrays of a column; `None` for lists, maps, nested rows and types that only the typed API
/// has.
pub fn arrow_type(data_type: &DataType) -> Option<Arrow> {
    Some(match data_type {
        DataType::Boolean => Arrow::Boolean,
        DataType::Int8 => Arrow::Int8,
        DataType::Int16 => Arrow::Int16,
        DataType::Int32 => Arrow::Int32,
        DataType::Int64 => Arrow::Int64,
        DataType::Float32 => Arrow::Float32,
        DataType::Float64 => Arrow::Float64,
        DataType::Decimal { precision, scale } => {
            Arrow::Decimal128(*precision, i8::try_from(*scale).ok()?)
        }
        DataType::Date => Arrow::Date32,
        DataType::Time => Arrow::Time32(TimeUnit::Millisecond),
        DataType::Timestamp { .. } => Arrow::Timestamp(TimeUnit::Microsecond, None),
        DataType::TimestampLtz { .. } => {
            Arrow::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
        }
        DataType::String => Arrow::Utf8View,
        DataType::Bytes => Arrow::BinaryView,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_rows_are_taken_apart() {
        let leaf = |name| Field::new(name, DataType::Int64);
        let inner = Field::new("inner", DataType::Row(vec![leaf("a"), leaf("b").nullable()]));
        let outer = DataType::Row(vec![leaf("x"), inner, leaf("y")]);
        let fields = vec![leaf("first"), Field::new("outer", outer).nullable(), leaf("last")];
        let leaves = Leaf::of(&Schema::new(fields)).unwrap();
        let seen: Vec<_> = leaves
            .iter()
            .map(|leaf| (leaf.path.join("."), leaf.column, leaf.groups.clone(), leaf.nullable))
            .collect();
        let expected = [
            ("first", 0, vec![], false),
            ("outer.x", 2, vec![1], true),
            ("outer.inner.a", 3, vec![1], true),
            ("outer.inner.b", 4, vec![1], true),
            ("outer.y", 5, vec![1], true),
            ("last", 6, vec![], false),
        ];
        assert_eq!(seen, expected.map(|(path, at, groups, null)| (path.into(), at, groups, null)));
    }

    #[test]
    fn lists_are_named() {
        let list = DataType::Array(Box::new(Field::new("element", DataType::Int32)));
        let row = DataType::Row(vec![Field::new("tags", list)]);
        let error = Leaf::of(&Schema::new(vec![Field::new("item", row)])).unwrap_err();
        assert_eq!(error.to_string(), "the column `item.tags` is ARRAY<INT>");
    }
}
