//! Top-N.

use datafusion_expr::Expr;

use super::{Asked, Mode, column, lower, over};
use crate::{
    bind::{Order, RowNumber, row_number},
    error::SqlError,
    relation::{OrderKey, Rel},
};

/// The first rows of each partition.
pub(super) fn top_n(rows: &RowNumber, asked: Asked) -> Result<Option<Rel>, SqlError> {
    let Some(limit) = rows.limit else {
        let over = row_number(rows)?;
        if asked.mode == Mode::Batch || over.timed {
            return over::over(&over, asked);
        }
        return Err(SqlError::spanned(
            rows.span,
            "ROW_NUMBER of all rows is not supported: keep the first ones of each partition, with `WHERE rn \
             <= 10` for instance in the query around this one, or order them by the event time of a table",
        ));
    };
    let Some(input) = lower(&rows.input, asked.all())? else { return Ok(None) };
    if limit == 0 {
        return Ok(None);
    }
    let schema = rows.input.schema();
    let at = |key: &Expr| {
        column(key, schema).ok_or_else(|| {
            SqlError::spanned(rows.span, format!("ROW_NUMBER by `{key}`, which is no column"))
        })
    };
    let partition = rows.partition.iter().map(at).collect::<Result<_, _>>()?;
    let order = rows.order.iter().map(|key| {
        let Order { expr, descending, nulls_first } = key;
        let (descending, nulls_first) = (*descending, *nulls_first);
        Ok(OrderKey { column: at(expr)?, descending, nulls_first })
    });
    let order = order.collect::<Result<_, SqlError>>()?;
    let rank = asked.rank;
    // Flink keeps the last row by event time in another way than the first one of an order.
    let latest = rows.latest && limit == 1 && !rank && input.updates().is_none();
    Ok(Some(Rel::TopN { input: Box::new(input), partition, order, limit, rank, latest }))
}
