//! OVER.

use std::sync::Arc;

use datafusion_expr::Expr;
use millstream_data::types::DataType;
use sqlparser::tokenizer::Span;

use super::{Asked, Mode, column, lower};
use crate::{
    bind::{Order, Over},
    error::SqlError,
    function::UserCall,
    relation::{AggregateCall, AggregateFunction, Edge, Frame, OrderKey, Place, Rel, Said},
};

/// The rows with what is computed of those around each.
pub(super) fn over(over: &Over, asked: Asked) -> Result<Option<Rel>, SqlError> {
    let streaming = asked.mode == Mode::Streaming;
    if streaming {
        refuse(over)?;
    }
    let time = asked.time || !over.processing;
    let Some(input) = lower(&over.input, Asked { time, ..asked.all() })? else {
        return Ok(None);
    };
    if let Some(cause) = input.updates() {
        return Err(SqlError::spanned(
            over.span,
            format!(
                "OVER of rows that are updated and deleted, because of {cause}, has no result before the input \
                 has ended: SET 'execution.runtime-mode' = 'batch' for tables that end"
            ),
        ));
    }
    let schema = over.input.schema();
    let at = |expression: &Expr| {
        column(expression, schema).ok_or_else(|| {
            SqlError::spanned(over.span, format!("OVER by `{expression}`, which is no column"))
        })
    };
    let partition = over.partition.iter().map(at).collect::<Result<_, _>>()?;
    let order: Vec<OrderKey> = over
        .order
        .iter()
        .map(|key| {
            let Order { expr, descending, nulls_first } = key;
            let (descending, nulls_first) = (*descending, *nulls_first);
            Ok(OrderKey { column: at(expr)?, descending, nulls_first })
        })
        .collect::<Result<_, SqlError>>()?;
    let is_time = |key: &OrderKey| {
        let field = input.schema().fields.into_iter().nth(key.column);
        field.is_some_and(|field| {
            matches!(field.data_type, DataType::Timestamp { .. } | DataType::TimestampLtz { .. })
        })
    };
    check(over.span, over.frame, &order, order.iter().all(is_time))?;
    let said = match order.first() {
        Some(key) if streaming && over.timed => Said::ByWatermark(key.column),
        _ if streaming && !over.frame.rows && over.frame.start != Edge::Start => Said::ByClock,
        _ if streaming => Said::AtOnce,
        _ => Said::AtTheEnd,
    };
    let of_user = |user: &UserCall<Expr>| {
        let arguments = user.arguments.iter().map(at).collect::<Result<_, SqlError>>()?;
        Ok::<_, SqlError>(UserCall { function: Arc::clone(&user.function), arguments })
    };
    let calls = over.calls.iter().map(|call| {
        Ok(AggregateCall {
            function: if streaming {
                as_it_comes(call.function, over.span)?
            } else {
                call.function
            },
            argument: match &call.user {
                Some(user) if call.distinct => user.arguments.first().map(at).transpose()?,
                _ => call.argument.as_ref().map(at).transpose()?,
            },
            filter: None,
            distinct: call.distinct,
            separator: call.separator.clone(),
            default: call.default.as_ref().map(at).transpose()?,
            output: call.output.clone(),
            name: call.name.clone(),
            user: call.user.as_ref().map(of_user).transpose()?,
        })
    });
    let calls = calls.collect::<Result<_, SqlError>>()?;
    let input = Box::new(input);
    Ok(Some(Rel::Over { input, partition, order, said, frame: over.frame, calls }))
}

/// A function of rows that come in order, of which nobody knows how many follow. As in Flink, rows of one time have
/// the rank of the last of them there.
fn as_it_comes(function: AggregateFunction, span: Span) -> Result<AggregateFunction, SqlError> {
    match function {
        AggregateFunction::Place(Place::Rank | Place::DenseRank) => Ok(AggregateFunction::CountAll),
        AggregateFunction::Place(Place::Before(0..)) => Ok(function),
        AggregateFunction::Place(place) => Err(SqlError::spanned(
            span,
            format!(
                "{} of a table that may go on depends on rows that follow: SET 'execution.runtime-mode' = 'batch' \
                 for tables that end",
                place.name()
            ),
        )),
        other => Ok(other),
    }
}

/// Refuses what has no result before the input has ended.
fn refuse(Over { order, frame, timed, processing, span, .. }: &Over) -> Result<(), SqlError> {
    let message = match (&order[..], frame) {
        ([], _) => "needs ORDER BY, by the event time of a table",
        (_, _) if !timed && !processing => {
            "is in the order of the event time of a table, ascending, and of nothing else, or in that of PROCTIME()"
        }
        (_, Frame { end: Edge::By(0), .. }) => return Ok(()),
        _ => "ends at the row itself, with CURRENT ROW",
    };
    Err(SqlError::spanned(
        *span,
        format!(
            "OVER of a table that may go on {message}: SET 'execution.runtime-mode' = 'batch' for tables that \
             end"
        ),
    ))
}

/// Refuses a frame by time in an order that is not one time, ascending.
fn check(span: Span, frame: Frame, order: &[OrderKey], is_time: bool) -> Result<(), SqlError> {
    let ascending = matches!(order, [OrderKey { descending: false, .. }]);
    if frame.is_by_time() && !(ascending && is_time) {
        return Err(SqlError::spanned(
            span,
            "RANGE with an interval needs ORDER BY one time, ascending: use ROWS for other orders",
        ));
    }
    Ok(())
}
