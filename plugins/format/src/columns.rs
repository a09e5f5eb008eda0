//! The physical columns of a schema's fields.

use millstream_sdk::{
    Error,
    data::types::{DataType, Field, Schema},
};

use crate::{Rows, cell::Cell};

/// The fields of a row, with where their cells are in a page: nested rows included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns {
    pub(crate) fields: Vec<Column>,
}

/// A field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) nullable: bool,
    /// The physical column; of a nested row that may be NULL, the one of its validity; of a list or
    /// map, the one of its bounds.
    pub(crate) index: usize,
    pub(crate) data_type: DataType,
}

/// What a field holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One cell.
    Cell(Cell),
    /// A nested row.
    Row(Columns),
    /// A list: the column of its elements.
    List(Box<Column>),
    /// A map: the columns of its keys and values.
    Map(Cell, Box<[Column; 2]>),
}

impl Columns {
    /// The columns of a schema.
    ///
    /// # Errors
    /// If the keys of a map are nested: text has names of members for them.
    pub fn new(schema: &Schema) -> Result<Self, Error> {
        Self::of(&schema.fields, &mut 0)
    }

    /// Each column alone, with the first of its physical columns.
    pub fn apart(self) -> impl Iterator<Item = (usize, Self)> {
        self.fields.into_iter().map(|column| (column.index, Self { fields: vec![column] }))
    }

    fn of(fields: &[Field], next: &mut usize) -> Result<Self, Error> {
        let columns = fields.iter().map(|field| Column::of(field, field.name.clone(), next));
        Ok(Self { fields: columns.collect::<Result<_, _>>()? })
    }
}

impl Column {
    /// The column of a field that messages call `name`; takes the physical columns from `next` on.
    fn of(field: &Field, name: String, next: &mut usize) -> Result<Self, Error> {
        let index = *next;
        // A nested row that is never NULL has no column of its own.
        let own = !matches!(field.data_type, DataType::Row(_)) || field.nullable;
        *next += usize::from(own);
        let kind = match &field.data_type {
            DataType::Row(fields) => Kind::Row(Columns::of(fields, next)?),
            DataType::Array(element) => {
                Kind::List(Box::new(Self::of(element, format!("{name}[]"), next)?))
            }
            DataType::Map(key, value) => {
                let columns = [
                    Self::of(key, format!("{name}, key"), next)?,
                    Self::of(value, format!("{name}, value"), next)?,
                ];
                let Kind::Cell(cell) = columns[0].kind else {
                    return Err(Error::new(format!(
                        "text cannot hold the keys of the column `{name}`: they are {}",
                        key.data_type
                    )));
                };
                Kind::Map(cell, Box::new(columns))
            }
            other => Kind::Cell(Cell::of(field).ok_or_else(|| {
                Error::new(format!("text cannot hold the column `{name}`: it is {other}"))
            })?),
        };
        let (data_type, nullable) = (field.data_type.clone(), field.nullable);
        Ok(Self { name, kind, nullable, index, data_type })
    }

    /// Writes NULL, all the way down; `false` if the column must not be NULL.
    pub(crate) fn put_null(&self, rows: &mut Rows<'_>) -> bool {
        if self.nullable {
            self.blank(rows);
        }
        self.nullable
    }

    /// Writes NULL where the column may hold it, else zero: below a nested row that is NULL every
    /// cell has to be something.
    fn blank(&self, rows: &mut Rows<'_>) {
        if self.nullable {
            rows.put_null(self.index);
        }
        match &self.kind {
            Kind::Row(columns) => columns.fields.iter().for_each(|column| column.blank(rows)),
            _ if self.nullable => {}
            Kind::Cell(_) | Kind::List(_) | Kind::Map(..) => rows.put_zero(self.index),
        }
    }
}
