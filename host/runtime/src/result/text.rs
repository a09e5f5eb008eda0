//! Cells as text.

use millstream_data::{
    page::ValidPage,
    types::{DataType, Field, Schema},
};
use millstream_format::text::push_cell;

/// A column of a schema, as text.
#[derive(Clone, Debug)]
pub struct TextColumn {
    field: Field,
    /// The physical column.
    index: usize,
}

impl TextColumn {
    /// The columns of a schema.
    ///
    /// # Errors
    /// The first field that has no text: nested ones.
    pub fn of(schema: &Schema) -> Result<Vec<Self>, Field> {
        let nested = |field: &&Field| {
            matches!(field.data_type, DataType::Array(_) | DataType::Map(..) | DataType::Row(_))
        };
        if let Some(field) = schema.fields.iter().find(nested) {
            return Err(field.clone());
        }
        let column = |(index, field): (usize, &Field)| Self { field: field.clone(), index };
        Ok(schema.fields.iter().enumerate().map(column).collect())
    }

    /// The column's name.
    pub fn name(&self) -> &str {
        &self.field.name
    }

    /// Adds the cell of a row; `false` if it is NULL.
    pub fn push(&self, page: &ValidPage<'_>, row: usize, out: &mut Vec<u8>) -> bool {
        let column = page.column(self.index);
        if self.field.nullable && !column.validity().is_valid(row) {
            return false;
        }
        push_cell(out, &self.field.data_type, &column, row);
        true
    }
}
