//! The physical columns of a schema's fields.

use millstream_sdk::{
    Error,
    data::types::{DataType, Field, Schema},
    source::Rows,
};

use crate::cell::Cell;

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
    /// The physical column; of a nested row that may be NULL, the one of its validity.
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
}

impl Columns {
    /// The columns of a schema.
    ///
    /// # Errors
    /// If one is a list or bytes, which text does not hold here.
    pub fn new(schema: &Schema) -> Result<Self, Error> {
        Self::of(&schema.fields, &mut 0)
    }

    /// Whether a field is a nested row.
    pub fn has_nested(&self) -> Option<&str> {
        let nested = |column: &&Column| matches!(column.kind, Kind::Row(_));
        self.fields.iter().find(nested).map(|column| column.name.as_str())
    }

    fn of(fields: &[Field], next: &mut usize) -> Result<Self, Error> {
        let mut columns = Vec::new();
        for field in fields {
            let (index, kind) = match &field.data_type {
                DataType::Row(fields) => {
                    // One that is never NULL has no column of its own.
                    let index = *next;
                    *next += usize::from(field.nullable);
                    (index, Kind::Row(Self::of(fields, next)?))
                }
                _ => {
                    let cell = Cell::of(field).ok_or_else(|| {
                        Error::new(format!("text cannot hold the column `{field}`"))
                    })?;
                    *next += 1;
                    (*next - 1, Kind::Cell(cell))
                }
            };
            let (name, nullable) = (field.name.clone(), field.nullable);
            columns.push(Column {
                name,
                kind,
                nullable,
                index,
                data_type: field.data_type.clone(),
            });
        }
        Ok(Self { fields: columns })
    }
}

impl Column {
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
            Kind::Cell(cell) if !self.nullable => cell.put_zero(rows, self.index),
            Kind::Cell(_) => {}
        }
    }
}
