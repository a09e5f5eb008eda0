//! Top-N.

use std::sync::Arc;

use arrow::datatypes::{Field as ArrowField, Schema as ArrowSchema};
use datafusion_common::{Column as PlanColumn, ScalarValue};
use datafusion_expr::Expr;
use datafusion_physical_expr::{
    PhysicalExpr,
    expressions::{Column, Literal},
};
use millstream_arrow::arrow_type;
use millstream_data::types::{DataType, Field};

use super::{Asked, Mode, column, lower, over};
use crate::{
    bind::{Order, RowNumber, ranked_window, row_number},
    calc::Step,
    error::SqlError,
    relation::{OrderKey, RANK, Rel, Timed},
};

/// The first rows of each partition.
pub(super) fn top_n(rows: &RowNumber, asked: Asked) -> Result<Option<Rel>, SqlError> {
    let Some(limit) = rows.limit else {
        let over = row_number(rows)?;
        if asked.mode == Mode::Batch || over.timed || over.processing {
            return over::over(&over, asked);
        }
        return Err(SqlError::spanned(
            rows.span,
            "ROW_NUMBER of all rows is not supported: keep the first ones of each partition, with `WHERE rn \
             <= 10` for instance in the query around this one, or order them by the event time of a table, or by PROCTIME()",
        ));
    };
    let bounds = ranked_window(rows);
    // As in Flink, the first row by event time is known when the watermark has reached it.
    let earliest =
        limit == 1 && bounds.is_none() && asked.mode == Mode::Streaming && row_number(rows)?.timed;
    let time = asked.time || bounds.is_some() || earliest;
    let Some(input) = lower(&rows.input, Asked { time, ..asked.all() })? else { return Ok(None) };
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
    let order = order.collect::<Result<Vec<_>, SqlError>>()?;
    let rank = asked.rank;
    if let ([OrderKey { column: time, .. }], true, None) = (&order[..], earliest, input.updates()) {
        let earliest = Rel::Earliest { input: Box::new(input), partition, time: *time };
        return if rank { with_first_rank(earliest).map(Some) } else { Ok(Some(earliest)) };
    }
    if let (Some((bounds, zone)), None) = (bounds, input.updates()) {
        let bound = |column: &PlanColumn| at(&Expr::Column(column.clone()));
        let [start, end] = bounds;
        let bounds = [bound(start)?, bound(end)?];
        let partition = partition.into_iter().filter(|key| !bounds.contains(key)).collect();
        let latest = rows.latest && limit == 1;
        let first =
            Timed::WindowTopN { input, partition, bounds, zone, order, limit, rank, latest };
        return Ok(Some(Rel::Timed(Box::new(first))));
    }
    // Flink keeps the last row by event time in another way than the first one of an order.
    let latest = rows.latest && limit == 1 && !rank && input.updates().is_none();
    Ok(Some(Rel::TopN { input: Box::new(input), partition, order, limit, rank, latest }))
}

/// The rows with the rank of a first row behind them.
fn with_first_rank(rows: Rel) -> Result<Rel, SqlError> {
    let mut fields = rows.schema().fields;
    let columns = fields.iter().enumerate();
    let mut columns: Vec<Arc<dyn PhysicalExpr>> =
        columns.map(|(at, field)| Arc::new(Column::new(&field.name, at)) as _).collect();
    columns.push(Arc::new(Literal::new(ScalarValue::Int64(Some(1)))));
    fields.push(Field::new(RANK, DataType::Int64));
    let arrays = fields.iter().map(|field| {
        let arrow = arrow_type(&field.data_type)
            .ok_or_else(|| SqlError::new(format!("the column `{}` has no array", field.name)))?;
        Ok(ArrowField::new(&field.name, arrow, true))
    });
    let arrays = ArrowSchema::new(arrays.collect::<Result<Vec<_>, SqlError>>()?);
    Ok(rows.step(Step::Project(columns, Arc::new(arrays)), &fields))
}
