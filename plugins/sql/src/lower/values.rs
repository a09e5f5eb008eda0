//! Rows that the query itself has.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, new_empty_array},
    compute::concat,
    datatypes::{Field as ArrowField, Schema as ArrowSchema, SchemaRef},
};
use datafusion_common::{DFSchema, DataFusionError};
use datafusion_expr::{Expr, Values};
use millstream_arrow::arrow_type;
use millstream_data::types::{Field, Schema};

use super::{physical, stored};
use crate::{bind::planning, calc, error::SqlError, relation::Rel};

/// The name of the column of a row that has none.
const ROW: &str = "$row";

/// The rows of VALUES: nothing in them depends on a row that is read, so they are computed now.
pub(super) fn values(values: &Values) -> Result<Rel, SqlError> {
    let count = values.values.len();
    if values.schema.fields().is_empty() {
        return marked(count);
    }
    let nothing = row_of(&Arc::new(ArrowSchema::empty()), Vec::new())?;
    let mut columns = Vec::new();
    for at in 0..values.schema.fields().len() {
        let cells = values.values.iter().filter_map(|row| row.get(at));
        let cells = cells.map(|value| computed(value, &nothing)).collect::<Result<Vec<_>, _>>()?;
        let cells: Vec<_> = cells.iter().map(|cell| &**cell).collect();
        columns.push(concat(&cells).map_err(|error| planning(&error.into()))?);
    }
    rows_of(values.schema.fields().iter().map(|field| field.name().as_str()), columns)
}

/// One row of which nobody reads anything.
pub(super) fn one_row() -> Result<Rel, SqlError> {
    marked(1)
}

/// No rows of these columns: what is left of a query whose condition is never true.
pub(super) fn no_rows(fields: &[Field]) -> Result<Rel, SqlError> {
    let arrays =
        fields.iter().filter_map(|field| Some(new_empty_array(&arrow_type(&field.data_type)?)));
    rows_of(fields.iter().map(|field| field.name.as_str()), arrays.collect())
}

/// Rows without columns; a page has one at least.
fn marked(rows: usize) -> Result<Rel, SqlError> {
    rows_of([ROW], vec![Arc::new(BooleanArray::from(vec![true; rows]))])
}

/// The rows of these arrays, which are of one length.
///
/// # Errors
/// If a column of pages cannot have the values of one.
pub(crate) fn rows_of<'a>(
    names: impl IntoIterator<Item = &'a str>,
    columns: Vec<ArrayRef>,
) -> Result<Rel, SqlError> {
    let (mut arrays, mut fields) = (Vec::new(), Vec::new());
    for (name, column) in names.into_iter().zip(&columns) {
        arrays.push(ArrowField::new(name, column.data_type().clone(), true));
        let field = Field::new(name, stored(name, column.data_type())?);
        fields.push(if column.null_count() > 0 { field.nullable() } else { field });
    }
    let rows = RecordBatch::try_new(Arc::new(ArrowSchema::new(arrays)), columns);
    let rows = rows.map_err(|error| planning(&error.into()))?;
    Ok(Rel::Values { rows, schema: Schema::new(fields) })
}

/// The value of a constant expression.
fn computed(value: &Expr, nothing: &RecordBatch) -> Result<ArrayRef, SqlError> {
    let value = physical(value, &DFSchema::empty())?;
    let value = value.evaluate(nothing).and_then(|value| value.into_array(1));
    value.map_err(|error| SqlError::new(calc::said(&error)))
}

fn row_of(schema: &SchemaRef, columns: Vec<ArrayRef>) -> Result<RecordBatch, SqlError> {
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
        .map_err(|error| planning(&DataFusionError::from(error)))
}
