//! Tables whose rows have versions: each is that of its key from its event time on.

use std::ptr;

use datafusion_common::{Column as PlanColumn, ScalarValue};
use datafusion_expr::{BinaryExpr, Expr, LogicalPlan, Operator, utils::split_conjunction};

use super::{event_time::has_time, rank::RowNumber, scan::scan_of};
use crate::{parse::CreateTable, relation::RANK};

/// The versions that the rows of a plan are.
pub(super) struct Versions {
    /// Columns that say of what they are versions, and what these are called.
    keys: Vec<(PlanColumn, String)>,
    /// The column with the event time.
    pub(super) time: PlanColumn,
}

/// Where a column of a plan comes from, if it is passed on as it was made.
enum Origin<'a> {
    /// A column of a table.
    Table(&'a CreateTable, String),
    /// A column of the rows that are given ranks there.
    Ranked(&'a RowNumber, PlanColumn),
}

impl Versions {
    /// Those of a plan that was just bound: of a table with a primary key and a watermark, or of the last row of
    /// each key by event time.
    pub(super) fn of(plan: &LogicalPlan) -> Option<Self> {
        let columns = plan.schema().columns();
        let origins: Vec<_> =
            columns.iter().filter_map(|column| Some((column, Origin::of(plan, column)?))).collect();
        let (_, first) = origins.first()?;
        let (keys, time) = match first {
            Origin::Table(table, _) => {
                let keys: Vec<Wanted<'_>> =
                    table.primary_key.iter().map(|key| Wanted::Named(&key.value)).collect();
                (keys, Wanted::Named(&table.watermark.as_ref()?.column.value))
            }
            Origin::Ranked(rows, _) => {
                let Expr::Column(time) = &rows.order.first()?.expr else { return None };
                if !rows.latest || !keeps_one(plan) {
                    return None;
                }
                fn key(key: &Expr) -> Option<Wanted<'_>> {
                    match key {
                        Expr::Column(column) => Some(Wanted::Column(column)),
                        _ => None,
                    }
                }
                (rows.partition.iter().map(key).collect::<Option<_>>()?, Wanted::Column(time))
            }
        };
        let find = |wanted: &Wanted<'_>| {
            let found = origins.iter().find(|(_, origin)| origin.is(first, wanted));
            found.map(|(column, _)| (*column).clone())
        };
        let keys: Vec<_> =
            keys.iter().map(|key| Some((find(key)?, key.name()))).collect::<Option<_>>()?;
        let time = find(&time)?;
        (!keys.is_empty()).then_some(Self { keys, time })
    }

    /// The first part of the key that is none of these.
    pub(super) fn missing<'a>(
        &self,
        equal: impl Iterator<Item = &'a Expr> + Clone,
    ) -> Option<&str> {
        let is_there = |key: &PlanColumn| {
            equal.clone().any(|expr| matches!(expr, Expr::Column(column) if column == key))
        };
        self.keys.iter().find(|(key, _)| !is_there(key)).map(|(_, name)| name.as_str())
    }
}

/// A column of an origin.
enum Wanted<'a> {
    Named(&'a str),
    Column(&'a PlanColumn),
}

impl Wanted<'_> {
    fn name(&self) -> String {
        match self {
            Self::Named(name) => (*name).to_owned(),
            Self::Column(column) => column.name.clone(),
        }
    }
}

impl<'a> Origin<'a> {
    fn of(plan: &'a LogicalPlan, column: &PlanColumn) -> Option<Self> {
        let at = plan.schema().maybe_index_of_column(column)?;
        match plan {
            LogicalPlan::TableScan(scan) => {
                Some(Self::Table(&scan_of(&*scan.source)?.table, column.name.clone()))
            }
            LogicalPlan::Projection(projection) => {
                match (projection.expr.get(at)?.clone().unalias(), &*projection.input) {
                    (Expr::Column(below), input) => Self::of(input, &below),
                    // The event time may be computed, right above the scan.
                    (_, LogicalPlan::TableScan(scan)) => {
                        let table = &scan_of(&*scan.source)?.table;
                        has_time(table, &column.name, true)
                            .then(|| Self::Table(table, column.name.clone()))
                    }
                    _ => None,
                }
            }
            LogicalPlan::Filter(filter) => Self::of(&filter.input, column),
            other => {
                let rows = RowNumber::in_plan(other)?;
                Some(Self::Ranked(rows, column.clone()))
            }
        }
    }

    /// Whether it is this column of the same origin as another.
    fn is(&self, same: &Self, wanted: &Wanted<'_>) -> bool {
        match (self, same, wanted) {
            (Self::Table(a, name), Self::Table(b, _), Wanted::Named(wanted)) => {
                ptr::eq(*a, *b) && name == wanted
            }
            (Self::Ranked(a, column), Self::Ranked(b, _), Wanted::Column(wanted)) => {
                ptr::eq(*a, *b) && column == *wanted
            }
            _ => false,
        }
    }
}

/// Whether of rows with ranks only the first ones are kept.
fn keeps_one(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(projection) => keeps_one(&projection.input),
        LogicalPlan::Filter(filter) => {
            let is_first = |condition: &&Expr| {
                let Expr::BinaryExpr(BinaryExpr { left, op, right }) = condition else {
                    return false;
                };
                let (Expr::Column(rank), Expr::Literal(ScalarValue::Int64(Some(1)), _)) =
                    (&**left, &**right)
                else {
                    return false;
                };
                matches!(op, Operator::Eq | Operator::LtEq) && is_rank(&filter.input, rank)
            };
            let conditions = split_conjunction(&filter.predicate);
            conditions.iter().any(is_first) || keeps_one(&filter.input)
        }
        _ => false,
    }
}

fn is_rank(plan: &LogicalPlan, column: &PlanColumn) -> bool {
    matches!(Origin::of(plan, column), Some(Origin::Ranked(_, column)) if column.name == RANK)
}
