//! The columns of a schema that have cells: nested rows are taken apart.

use std::{error::Error, fmt};

use arrow_schema::{DataType as Arrow, TimeUnit};
use millstream_data::{
    page::Shape,
    row::RowLayout,
    types::{DataType, Field, Schema},
};

/// A column that has cells: one of a schema's, or of a row nested in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The names of the rows that it is nested in, the outermost first, and its own.
    pub path: Vec<String>,
    /// Its type; BYTES of what is nested.
    pub data_type: DataType,
    /// How the bytes of its values lie, if it is a list, a map or a whole row: each is a row of one column.
    pub nested: Option<RowLayout>,
    /// Whether it may be NULL: itself, or a row that it is nested in.
    pub nullable: bool,
    /// The physical column.
    pub(crate) column: usize,
    /// The physical columns with the validity of the rows that it is nested in.
    pub(crate) groups: Vec<usize>,
    /// Whether its own column has a validity.
    pub(crate) own: bool,
    /// Whether it is a whole row.
    is_row: bool,
}

/// A column that has no array here.
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
    /// If a column is of a type that only the typed API has.
    pub fn of(schema: &Schema) -> Result<Vec<Self>, Unsupported> {
        let all = Self::with_rows(schema)?;
        let is_row = |leaf: &Self| leaf.nested.is_some() && leaf.is_row;
        Ok(all.into_iter().filter(|leaf| !is_row(leaf)).collect())
    }

    /// The leaves, and in front of those of each nested row the row as a whole.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub fn with_rows(schema: &Schema) -> Result<Vec<Self>, Unsupported> {
        let fingerprint = schema.fingerprint();
        let mut walk =
            Walk { fingerprint, next: 0, path: Vec::new(), groups: Vec::new(), leaves: Vec::new() };
        schema.fields.iter().try_for_each(|field| walk.field(field))?;
        Ok(walk.leaves)
    }
}

struct Walk {
    fingerprint: u64,
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
            let whole = self.leaf(field, DataType::Bytes, Some(self.nested(field)));
            self.leaves.push(whole);
            if field.nullable {
                self.groups.push(self.next);
                self.next += 1;
            }
            fields.iter().try_for_each(|field| self.field(field))?;
            if field.nullable {
                self.groups.pop();
            }
        } else if matches!(field.data_type, DataType::Array(_) | DataType::Map(..)) {
            let nested = self.nested(field);
            let list = self.leaf(field, DataType::Bytes, Some(nested));
            self.leaves.push(list);
            self.next += physical_columns(field);
        } else {
            if arrow_type(&field.data_type).is_none() {
                let (path, data_type) = (self.path.clone(), field.data_type.clone());
                return Err(Unsupported { path, data_type });
            }
            let leaf = self.leaf(field, field.data_type.clone(), None);
            self.leaves.push(leaf);
            self.next += 1;
        }
        self.path.pop();
        Ok(())
    }

    fn leaf(&self, field: &Field, data_type: DataType, nested: Option<RowLayout>) -> Leaf {
        Leaf {
            path: self.path.clone(),
            data_type,
            is_row: nested.is_some() && matches!(field.data_type, DataType::Row(_)),
            nested,
            nullable: field.nullable || !self.groups.is_empty(),
            column: self.next,
            groups: self.groups.clone(),
            own: field.nullable,
        }
    }

    /// How the bytes of a nested value lie that begins with the next column.
    fn nested(&self, field: &Field) -> RowLayout {
        let is_group = field.nullable && matches!(field.data_type, DataType::Row(_));
        let value = Field { nullable: false, ..field.clone() };
        RowLayout::of_field(&value, self.next + usize::from(is_group), self.fingerprint)
    }
}

/// How many physical columns a field has.
pub(crate) fn physical_columns(field: &Field) -> usize {
    Shape::new(&Schema::new(vec![field.clone()])).columns().len()
}

/// The type of the arrays of a column; `None` for types that only the typed API has. Lists, maps and nested rows
/// are bytes, those of a row of one column: equal values are equal bytes.
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
        DataType::Bytes | DataType::Array(_) | DataType::Map(..) | DataType::Row(_) => {
            Arrow::BinaryView
        }
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
    fn lists_and_whole_rows_are_leaves() {
        let list = DataType::Array(Box::new(Field::new("element", DataType::Int32)));
        let row = DataType::Row(vec![Field::new("tags", list)]);
        let fields = vec![Field::new("item", row).nullable(), Field::new("n", DataType::Int8)];
        let leaves = Leaf::with_rows(&Schema::new(fields)).unwrap();
        let seen: Vec<_> = leaves
            .iter()
            .map(|leaf| (leaf.path.join("."), leaf.column, leaf.nested.is_some(), leaf.nullable))
            .collect();
        let expected =
            [("item", 0, true, true), ("item.tags", 1, true, true), ("n", 3, false, false)];
        assert_eq!(seen, expected.map(|(path, at, nested, null)| (path.into(), at, nested, null)));
    }

    #[test]
    fn types_without_arrays_are_named() {
        let row = DataType::Row(vec![Field::new("n", DataType::UInt8)]);
        let error = Leaf::of(&Schema::new(vec![Field::new("item", row)])).unwrap_err();
        assert_eq!(error.to_string(), "the column `item.n` is UNSIGNED TINYINT");
    }
}
