//! Cells as text.

use millstream_data::{
    page::ValidPage,
    types::{DataType, Field, Schema},
};
use millstream_dataflow::TaskError;
use millstream_format::{Columns, change, text::push_cell};

/// A column of a schema, as text.
#[derive(Clone, Debug)]
pub struct TextColumn {
    field: Field,
    /// The physical column; of a nested one the first.
    index: usize,
    /// The column alone, if it is nested.
    nested: Option<Columns>,
}

impl TextColumn {
    /// The columns of a schema.
    ///
    /// # Errors
    /// If one is of a type that has no text.
    pub fn of(schema: &Schema) -> Result<Vec<Self>, TaskError> {
        let all = Columns::new(schema).map_err(|error| TaskError::new(error.to_string()))?;
        let column = |(field, (index, own)): (&Field, (usize, Columns))| {
            let nested = matches!(
                field.data_type,
                DataType::Array(_) | DataType::Map(..) | DataType::Row(_)
            );
            Self { field: field.clone(), index, nested: nested.then_some(own) }
        };
        Ok(schema.fields.iter().zip(all.apart()).map(column).collect())
    }

    /// The column's name.
    pub fn name(&self) -> &str {
        &self.field.name
    }

    /// Adds the cell of a row, nested ones as a changelog shows them; `false` if it is NULL.
    pub fn push(&self, page: &ValidPage<'_>, row: usize, out: &mut Vec<u8>) -> bool {
        if let Some(nested) = &self.nested {
            return change::push_only(out, nested, page, row);
        }
        let column = page.column(self.index);
        if self.field.nullable && !column.validity().is_valid(row) {
            return false;
        }
        push_cell(out, &self.field.data_type, &column, row);
        true
    }
}
