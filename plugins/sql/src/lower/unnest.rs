//! UNNEST.

use std::sync::Arc;

use arrow::datatypes::Schema as ArrowSchema;
use millstream_data::types::Field;

use super::{Asked, lower, physical, stored};
use crate::{bind::Unnested, calc::Step, error::SqlError, relation::Rel, spread::Spread};

/// Rows beside the elements of a list of theirs.
pub(super) fn rows(unnested: &Unnested, asked: Asked) -> Result<Option<Rel>, SqlError> {
    use datafusion_expr::UserDefinedLogicalNodeCore;
    let Some(input) = lower(&unnested.input, asked.all())? else { return Ok(None) };
    if let Some(cause) = input.updates().filter(|_| unnested.list.is_volatile()) {
        return Err(SqlError::new(format!(
            "{} gives other rows each time, so that it cannot be called for rows that are updated, because of \
             {cause}: what it said of a row could not be taken back",
            unnested.list
        )));
    }
    let below = unnested.input.schema();
    let width = below.fields().len();
    let schema: ArrowSchema = unnested.schema().as_arrow().clone();
    let mut fields: Vec<Field> = input.schema().fields.into_iter().take(width).collect();
    for field in schema.fields().iter().skip(width) {
        fields.push(Field::new(field.name(), stored(field.name(), field.data_type())?).nullable());
    }
    // NULL is looked for where a column must have none.
    let arrays = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    let spread = Spread {
        list: physical(&unnested.list, below)?,
        kind: unnested.kind.clone(),
        keeps: unnested.keeps,
        ordinality: unnested.ordinality,
        width,
        schema: Arc::new(ArrowSchema::new(arrays.collect::<Vec<_>>())),
    };
    Ok(Some(input.step(Step::Spread(spread), &fields)))
}
