//! Windows of time.

use std::sync::Arc;

use arrow::datatypes::{Field as ArrowField, Schema as ArrowSchema};
use datafusion_common::{
    DFSchema, DataFusionError, ScalarValue,
    tree_node::{Transformed, TreeNode},
};
use datafusion_expr::{
    Aggregate, BinaryExpr, Expr, LogicalPlan, Operator,
    utils::{conjunction, split_conjunction_owned},
};
use datafusion_physical_expr::{PhysicalExpr, expressions::Column};
use millstream_arrow::arrow_type;

use super::{
    Asked,
    aggregate::{arranged, call},
    column, filtered, lower, physical, planning, project,
};
use crate::{
    bind::{Bound, Bounds, GroupedWindow, Origin, Windowed},
    error::SqlError,
    function::cast,
    relation::{Rel, Timed, WindowSpec, WindowTime},
    types::{Kind, Type},
};

/// The rows of `aggregate`, whose groups are those of windows.
pub(super) fn windows(
    aggregate: &Aggregate,
    grouped: &GroupedWindow<'_>,
    asked: Asked,
) -> Result<Option<Rel>, SqlError> {
    match grouped.origin {
        Origin::Windowed(windowed) if is_right_below(&aggregate.input, windowed) => {
            assigned(aggregate, (grouped, windowed), asked)
        }
        _ => attached(aggregate, grouped, asked),
    }
}

/// Whether only filters and projections are between.
fn is_right_below(plan: &LogicalPlan, windowed: &Windowed) -> bool {
    match plan {
        LogicalPlan::Filter(filter) => is_right_below(&filter.input, windowed),
        LogicalPlan::Projection(projection) => is_right_below(&projection.input, windowed),
        LogicalPlan::SubqueryAlias(alias) => is_right_below(&alias.input, windowed),
        other => Windowed::in_plan(other).is_some_and(|found| std::ptr::eq(found, windowed)),
    }
}

/// Rows with the windows that they are in.
pub(super) fn rows(windowed: &Windowed, asked: Asked) -> Result<Option<Rel>, SqlError> {
    if let WindowSpec::Session { .. } = windowed.spec {
        let without = "without GROUP BY window_start, window_end is not supported yet";
        return Err(windowed.refused(without));
    }
    let below = Asked { rank: true, time: asked.time || !windowed.processing, ..asked };
    let Some(input) = lower(&windowed.input, below)? else {
        return Ok(None);
    };
    unchanging(windowed, &input)?;
    let time = match windowed.processing {
        true => WindowTime::Processing,
        false => column(&windowed.time, windowed.input.schema())
            .map(WindowTime::Event)
            .ok_or_else(|| windowed.refused("is of a time that is no column"))?,
    };
    let (window, zone, names) = (windowed.spec, windowed.zone(), windowed.names().clone());
    Ok(Some(Rel::Timed(Box::new(Timed::Assign { input, time, window, zone, names }))))
}

/// Refuses rows that are a changelog.
fn unchanging(windowed: &Windowed, input: &Rel) -> Result<(), SqlError> {
    match input.updates() {
        None => Ok(()),
        Some(cause) => Err(windowed.refused(&format!(
            "is over rows that are updated and deleted, because of {cause}, which is not supported yet"
        ))),
    }
}

/// The groups of rows that are given their windows below: what is between is done before.
fn assigned(
    aggregate: &Aggregate,
    (grouped, windowed): (&GroupedWindow<'_>, &Windowed),
    asked: Asked,
) -> Result<Option<Rel>, SqlError> {
    let between = Between::of(aggregate, windowed)?;
    let mut columns = Vec::new();
    for (key, bounds) in between.keys.iter().zip(&grouped.keys) {
        if bounds.is_none() {
            columns.push(key.clone());
        }
    }
    let keys = columns.len();
    if let (WindowSpec::Session { .. }, Some(partition)) = (windowed.spec, &windowed.partition)
        && !(partition.iter().all(|key| columns.contains(key))
            && columns.iter().all(|key| partition.contains(key)))
    {
        return Err(windowed.refused(
            "with another PARTITION BY than the columns of GROUP BY beside window_start and window_end is not \
             supported yet",
        ));
    }
    let time = match windowed.processing {
        true => WindowTime::Processing,
        false => WindowTime::Event(column_at(&mut columns, &windowed.time)),
    };
    let names = aggregate.schema.fields().iter().skip(between.keys.len());
    let calls = between.calls.iter().zip(names);
    let calls = calls.map(|(call, field)| self::call(call, field.name(), &mut columns));
    let calls = calls.collect::<Result<Vec<_>, _>>()?;
    let computed = columns.iter().any(|column| windowed.is_asked_for(column));
    if computed || between.mixed {
        // Rows in their windows can be computed with; it is more to do.
        return match (&windowed.spec, windowed.processing) {
            (WindowSpec::Session { .. }, _) | (_, true) if computed => Err(windowed.refused(
                "can be grouped by window_start and window_end; to compute with them before is not \
                 supported yet",
            )),
            (WindowSpec::Session { .. }, _) | (_, true) => Err(windowed.refused(
                "with a condition of other columns than those of GROUP BY between them is not supported yet",
            )),
            _ => attached(aggregate, grouped, asked),
        };
    }
    let below = Asked { rank: true, time: !windowed.processing, ..asked };
    let Some(mut input) = lower(&windowed.input, below)? else { return Ok(None) };
    unchanging(windowed, &input)?;
    let schema = windowed.input.schema();
    if let Some(condition) = conjunction(between.below) {
        input = filtered(input, &condition, schema)?;
    }
    let input = Box::new(arranged(input, &columns, schema)?);
    let (window, zone) = (windowed.spec, windowed.zone());
    let rows = Rel::Windows { input, keys, time, window, zone, calls };
    let rows = named(rows, keys, aggregate, grouped)?;
    match conjunction(between.above) {
        Some(condition) => filtered(rows, &condition, &aggregate.schema).map(Some),
        None => Ok(Some(rows)),
    }
}

/// The groups of rows that were made of windows.
fn attached(
    aggregate: &Aggregate,
    grouped: &GroupedWindow<'_>,
    asked: Asked,
) -> Result<Option<Rel>, SqlError> {
    // Nothing says when the last row of such a window has come: groups are updated, as in Flink.
    if grouped.origin.windowed().is_some_and(|windowed| windowed.processing) {
        return super::aggregate::aggregate(aggregate, asked);
    }
    let of = aggregate.group_expr.iter().zip(&grouped.keys);
    let mut columns: Vec<Expr> =
        of.clone().filter(|(_, bounds)| bounds.is_none()).map(|(key, _)| key.clone()).collect();
    let keys = columns.len();
    let mut bound = |wanted| {
        let key = of.clone().find(|(_, bounds)| **bounds == Some(wanted));
        key.map(|(key, _)| column_at(&mut columns, key))
    };
    let (Some(start), Some(end)) = (bound(Bounds::Start), bound(Bounds::End)) else {
        return Err(SqlError::new("a window without its bounds"));
    };
    let names = aggregate.schema.fields().iter().skip(aggregate.group_expr.len());
    let calls = aggregate.aggr_expr.iter().zip(names);
    let calls = calls.map(|(call, field)| self::call(call, field.name(), &mut columns));
    let calls = calls.collect::<Result<Vec<_>, _>>()?;
    let Some(input) = lower(&aggregate.input, Asked { rank: true, time: true, ..asked })? else {
        return Ok(None);
    };
    if let Some(cause) = input.updates() {
        return Err(SqlError::new(format!(
            "GROUP BY of windows whose rows are updated and deleted, because of {cause}, is not supported yet"
        )));
    }
    let input = Box::new(arranged(input, &columns, aggregate.input.schema())?);
    let window = WindowSpec::Attached { start, end };
    let time = WindowTime::Event(end);
    let zone = grouped.origin.windowed().and_then(Windowed::zone);
    let rows = Rel::Windows { input, keys, time, window, zone, calls };
    named(rows, keys, aggregate, grouped).map(Some)
}

fn column_at(columns: &mut Vec<Expr>, column: &Expr) -> usize {
    columns.iter().position(|other| other == column).unwrap_or_else(|| {
        columns.push(column.clone());
        columns.len() - 1
    })
}

/// The rows of windows with `keys` keys as the columns of an aggregate: its keys in order, then its
/// calls.
fn named(
    rows: Rel,
    keys: usize,
    aggregate: &Aggregate,
    grouped: &GroupedWindow<'_>,
) -> Result<Rel, SqlError> {
    let calls = aggregate.aggr_expr.len();
    let (start, end) = (keys + calls, keys + calls + 1);
    let fields = rows.schema().fields;
    let arrays = fields.iter().filter_map(|field| {
        Some(ArrowField::new(&field.name, arrow_type(&field.data_type)?, field.nullable))
    });
    let arrays = ArrowSchema::new(arrays.collect::<Vec<_>>());
    let own = |at: usize| {
        let name = fields.get(at).map_or("", |field| &field.name);
        Arc::new(Column::new(name, at)) as Arc<dyn PhysicalExpr>
    };
    let mut key = 0..keys;
    let mut columns = Vec::new();
    for bounds in &grouped.keys {
        columns.push(match bounds {
            Some(Bounds::Start) => own(start),
            Some(Bounds::End) => own(end),
            Some(Bounds::Time) => {
                let kind = grouped.origin.windowed().map(Windowed::time_kind);
                last_moment(&own(end), kind.unwrap_or(Kind::Timestamp(3)), &arrays)?
            }
            None => own(key.next().unwrap_or(keys)),
        });
    }
    columns.extend((keys..start).map(own));
    let names = aggregate.schema.fields().iter().map(|field| field.name().clone());
    project(rows, names.zip(columns).collect(), &arrays)
}

/// The last millisecond before the end of a window, of this type.
fn last_moment(
    end: &Arc<dyn PhysicalExpr>,
    kind: Kind,
    arrays: &ArrowSchema,
) -> Result<Arc<dyn PhysicalExpr>, SqlError> {
    let schema = DFSchema::try_from(arrays.clone()).map_err(|error| planning(&error))?;
    let Some(end) = end.downcast_ref::<Column>() else {
        return Err(SqlError::new("a window without an end"));
    };
    let millisecond = Expr::Literal(ScalarValue::DurationMicrosecond(Some(1000)), None);
    let end = Expr::Column(datafusion_common::Column::new_unqualified(end.name()));
    let last = BinaryExpr::new(Box::new(end), Operator::Minus, Box::new(millisecond));
    let data_type = Type::required(Kind::Timestamp(3));
    let last = Bound { expr: Expr::BinaryExpr(last), data_type };
    physical(&cast(last, &kind, false).expr, &schema)
}

/// What is between an aggregate and the windows that it groups by, over the columns of the latter.
struct Between {
    /// The keys and calls of the aggregate.
    keys: Vec<Expr>,
    calls: Vec<Expr>,
    /// Conditions of the rows.
    below: Vec<Expr>,
    /// Conditions of the groups, over the columns of the aggregate.
    above: Vec<Expr>,
    /// Whether there are conditions of rows and their windows together.
    mixed: bool,
}

impl Between {
    fn of(aggregate: &Aggregate, windowed: &Windowed) -> Result<Self, SqlError> {
        let (mut keys, mut calls) = (aggregate.group_expr.clone(), aggregate.aggr_expr.clone());
        let mut conditions: Vec<Expr> = Vec::new();
        let mut plan = &*aggregate.input;
        loop {
            let (below, columns): (_, Vec<Expr>) = match plan {
                LogicalPlan::Filter(filter) => {
                    conditions.extend(split_conjunction_owned(filter.predicate.clone()));
                    plan = &filter.input;
                    continue;
                }
                LogicalPlan::Projection(projection) => {
                    let columns = projection.expr.iter().map(|made| made.clone().unalias());
                    (&projection.input, columns.collect())
                }
                LogicalPlan::SubqueryAlias(alias) => {
                    let columns = alias.input.schema().columns();
                    (&alias.input, columns.into_iter().map(Expr::Column).collect())
                }
                _ => break,
            };
            for expression in keys.iter_mut().chain(&mut calls).chain(&mut conditions) {
                *expression = over(expression, plan.schema(), &columns)?;
            }
            plan = below;
        }
        let (below, above) = (Vec::new(), Vec::new());
        let mut made = Self { keys, calls, below, above, mixed: false };
        for condition in conditions {
            made.condition(condition, aggregate, windowed)?;
        }
        Ok(made)
    }

    /// A condition of rows in their windows: that is one of the rows, or of the groups that they
    /// are in.
    fn condition(
        &mut self,
        condition: Expr,
        aggregate: &Aggregate,
        windowed: &Windowed,
    ) -> Result<(), SqlError> {
        // Rows that are passed over hold sessions together, but not those of other sessions.
        let apart = match (windowed.spec, &windowed.partition) {
            (WindowSpec::Session { .. }, Some(partition)) => {
                let in_key = |column| partition.contains(&Expr::Column(column));
                condition.column_refs().into_iter().cloned().all(in_key)
            }
            _ => true,
        };
        if apart && !windowed.is_asked_for(&condition) {
            self.below.push(condition);
            return Ok(());
        }
        let is_key = |column: &datafusion_common::Column| {
            self.keys.iter().any(|key| matches!(key, Expr::Column(key) if key == column))
        };
        if !condition.column_refs().into_iter().all(is_key) {
            self.mixed = true;
            return Ok(());
        }
        let columns = aggregate.schema.columns().into_iter().zip(&self.keys);
        let columns: Vec<_> = columns.collect();
        let of_groups = replaced(condition, |part| {
            columns
                .iter()
                .find(|(_, key)| *key == part)
                .map(|(column, _)| Expr::Column(column.clone()))
        });
        self.above.push(of_groups?);
        Ok(())
    }
}

/// An expression over the columns of a schema as one over what these are made of.
fn over(expression: &Expr, schema: &DFSchema, columns: &[Expr]) -> Result<Expr, SqlError> {
    replaced(expression.clone(), |part| match part {
        Expr::Column(column) => columns.get(schema.maybe_index_of_column(column)?).cloned(),
        _ => None,
    })
}

/// An expression with other parts in place of some, which are not looked into.
fn replaced(expression: Expr, part: impl Fn(&Expr) -> Option<Expr>) -> Result<Expr, SqlError> {
    let made = expression.transform_up(|found| {
        Ok::<_, DataFusionError>(match part(&found) {
            Some(other) => Transformed::yes(other),
            None => Transformed::no(found),
        })
    });
    Ok(made.map_err(|error| planning(&error))?.data)
}
