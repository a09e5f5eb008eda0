//! Top-N.

use datafusion_common::Column as PlanColumn;
use datafusion_expr::Expr;

use super::{Asked, column, lower};
use crate::{
    bind::{Order, RowNumber, ranked_window},
    error::SqlError,
    relation::{OrderKey, Rel, Timed},
};

/// The first rows of each partition.
pub(super) fn top_n(rows: &RowNumber, asked: Asked) -> Result<Option<Rel>, SqlError> {
    let Some(limit) = rows.limit else {
        return Err(SqlError::spanned(
            rows.span,
            "ROW_NUMBER of all rows is not supported: keep the first ones of each partition, with `WHERE rn \
             <= 10` for instance in the query around this one",
        ));
    };
    let bounds = ranked_window(rows);
    let asked = Asked { time: asked.time || bounds.is_some(), ..asked };
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
    let partition = rows.partition.iter().map(at).collect::<Result<Vec<_>, _>>()?;
    let order = rows.order.iter().map(|key| {
        let Order { expr, descending, nulls_first } = key;
        let (descending, nulls_first) = (*descending, *nulls_first);
        Ok(OrderKey { column: at(expr)?, descending, nulls_first })
    });
    let order = order.collect::<Result<_, SqlError>>()?;
    let rank = asked.rank;
    if let (Some(bounds), None) = (bounds, input.updates()) {
        let bound = |column: &PlanColumn| at(&Expr::Column(column.clone()));
        let [start, end] = bounds;
        let bounds = [bound(start)?, bound(end)?];
        let partition = partition.into_iter().filter(|key| !bounds.contains(key)).collect();
        let latest = rows.latest && limit == 1;
        let first = Timed::WindowTopN { input, partition, bounds, order, limit, rank, latest };
        return Ok(Some(Rel::Timed(Box::new(first))));
    }
    // Flink keeps the last row by event time in another way than the first one of an order.
    let latest = rows.latest && limit == 1 && !rank && input.updates().is_none();
    Ok(Some(Rel::TopN { input: Box::new(input), partition, order, limit, rank, latest }))
}
