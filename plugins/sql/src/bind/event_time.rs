//! Which columns are the event time of their rows.

use datafusion_common::{
    Column as PlanColumn,
    tree_node::{Transformed, TreeNode},
};
use datafusion_expr::{Expr, LogicalPlan};

use super::{
    Bound, Relation, TemporalJoin, Unnested, Windowed,
    interval::is_interval_join,
    over::Over,
    planning,
    scan::{scan, scan_of},
    window::{Bounds, window_of},
};
use crate::{
    error::SqlError,
    function::PROCTIME,
    parse::{ColumnSource, CreateTable},
    types::Kind,
};

/// Whether a column of a plan that was just bound is the event time of a table's rows: the column
/// that the table has its WATERMARK for, or the last moment of a window, passed on as it is. It is
/// a time like any other behind a join that does not go by time, an aggregate, or where windows are made of it.
pub(super) fn is_event_time(plan: &LogicalPlan, column: &PlanColumn) -> bool {
    if let Some((bounds, origin)) = window_of(plan, column) {
        return bounds == Bounds::Time && origin.windowed().is_none_or(|window| !window.processing);
    }
    let Some(at) = plan.schema().maybe_index_of_column(column) else { return false };
    match plan {
        LogicalPlan::TableScan(scan) => scan_of(&*scan.source)
            .is_some_and(|source| has_time(&source.table, &column.name, false)),
        LogicalPlan::Projection(projection) => {
            match (projection.expr.get(at).cloned().map(Expr::unalias), &*projection.input) {
                (Some(Expr::Column(below)), input) => is_event_time(input, &below),
                // Computed columns are made right above the scan.
                (Some(_), LogicalPlan::TableScan(scan)) => scan_of(&*scan.source)
                    .is_some_and(|source| has_time(&source.table, &column.name, true)),
                _ => false,
            }
        }
        LogicalPlan::Filter(filter) => is_event_time(&filter.input, column),
        LogicalPlan::Join(join) if is_interval_join(join) => {
            let sides = [&join.left, &join.right];
            let side = sides.into_iter().find(|side| side.schema().has_column(column));
            side.is_some_and(|side| is_event_time(side, column))
        }
        LogicalPlan::Union(union) => union.inputs.iter().all(|input| {
            let (table, field) = input.schema().qualified_field(at);
            is_event_time(input, &PlanColumn::new(table.cloned(), field.name()))
        }),
        other if let Some(over) = Over::in_plan(other) => {
            over.timed && is_event_time(&over.input, column)
        }
        // Windows take nothing from the times of their rows.
        other if let Some(windowed) = Windowed::in_plan(other) => {
            !windowed.processing && is_event_time(&windowed.input, column)
        }
        other if let Some(unnested) = Unnested::in_plan(other) => {
            is_event_time(&unnested.input, column)
        }
        // A version keeps its time, but comes with another row.
        other => TemporalJoin::in_plan(other).is_some_and(|join| {
            join.left.schema().has_column(column) && is_event_time(&join.left, column)
        }),
    }
}

/// Whether a column of a plan that was just bound is `PROCTIME()`, or the last moment of a window of it, passed on as
/// it is.
pub(super) fn is_processing_time(plan: &LogicalPlan, column: &PlanColumn) -> bool {
    if let Some((bounds, origin)) = window_of(plan, column) {
        let processing = origin.windowed().is_some_and(|window| window.processing);
        return bounds == Bounds::Time && processing;
    }
    let Some(at) = plan.schema().maybe_index_of_column(column) else { return false };
    match plan {
        LogicalPlan::Projection(projection) => {
            match projection.expr.get(at).cloned().map(Expr::unalias) {
                Some(Expr::Column(below)) => is_processing_time(&projection.input, &below),
                Some(Expr::ScalarFunction(call)) => call.name() == PROCTIME,
                _ => false,
            }
        }
        LogicalPlan::Filter(filter) => is_processing_time(&filter.input, column),
        other => Over::in_plan(other).is_some_and(|over| is_processing_time(&over.input, column)),
    }
}

/// Whether a table's event time is the column of this name, and that is computed or not.
pub(super) fn has_time(table: &CreateTable, name: &str, computed: bool) -> bool {
    let Some(watermark) = &table.watermark else { return false };
    let is_computed = |column: &crate::parse::ColumnDefinition| {
        column.name.value == name
            && match column.source {
                ColumnSource::Computed(_) => computed,
                ColumnSource::Physical(_) => !computed,
                // It may be cast.
                ColumnSource::Metadata { .. } => true,
            }
    };
    watermark.column.value == name && table.columns.iter().any(is_computed)
}

/// The event time of a table's rows, and what its watermark is after each, over the cells of the
/// table.
#[derive(Debug)]
pub(crate) struct EventTime {
    pub(crate) time: Expr,
    pub(crate) mark: Expr,
}

impl EventTime {
    /// That of a table, if it has a watermark.
    ///
    /// # Errors
    /// If the watermark cannot be computed, or is no time.
    pub(crate) fn of(table: &CreateTable) -> Result<Option<Self>, SqlError> {
        let Some(watermark) = &table.watermark else { return Ok(None) };
        let rows = scan(table)?;
        let time = rows.column(None, &watermark.column)?.bound();
        let mark = rows.bind(&watermark.expression)?;
        let ((Kind::Timestamp(_), Kind::Timestamp(_))
        | (Kind::TimestampLtz(_), Kind::TimestampLtz(_))) =
            (&time.data_type.kind, &mark.data_type.kind)
        else {
            let (time, mark) = (&time.data_type.kind, &mark.data_type.kind);
            let message = format!(
                "the event time `{}` is {time} and its watermark {mark}: both must be \
                 TIMESTAMP(3), or both TIMESTAMP_LTZ(3), use CAST",
                watermark.column.value
            );
            return Err(SqlError::at(&watermark.expression, message));
        };
        Ok(Some(Self { time: of_cells(time, &rows)?, mark: of_cells(mark, &rows)? }))
    }
}

/// An expression over the columns of a table as one over its cells.
fn of_cells(bound: Bound, rows: &Relation) -> Result<Expr, SqlError> {
    let LogicalPlan::Projection(computed) = &*rows.plan else { return Ok(bound.expr) };
    let made = bound.expr.transform_up(|part| {
        let at = match &part {
            Expr::Column(column) => computed.schema.maybe_index_of_column(column),
            _ => None,
        };
        Ok(match at.and_then(|at| computed.expr.get(at)) {
            Some(expression) => Transformed::yes(expression.clone().unalias()),
            None => Transformed::no(part),
        })
    });
    Ok(made.map_err(|error| planning(&error))?.data)
}
