//! GROUP BY, DISTINCT, and rows with a rank.

use std::sync::Arc;

use datafusion_common::{
    Column as PlanColumn,
    tree_node::{Transformed, TreeNode, TreeNodeRecursion},
};
use datafusion_expr::{
    AggregateUDF, Expr, Extension, LogicalPlan, LogicalPlanBuilder, expr::AggregateFunction,
};
use sqlparser::{ast::GroupByExpr, tokenizer::Span};

use super::{
    Relation,
    aggregate::{Aggregate, Call, Calls, Order, Ranked},
    event_time::is_event_time,
    grouping::{self, Grouping},
    planning,
    rank::RowNumber,
    select::unsupported,
    window::GroupWindow,
};
use crate::error::SqlError;

/// The groups of rows: a plan, and what is asked of the rows as it is asked of the groups.
pub(super) struct Groups {
    pub(super) plan: Arc<LogicalPlan>,
    /// What rows are grouped by, and the columns of the plan that have it.
    keys: Vec<(Expr, PlanColumn)>,
    calls: usize,
}

/// Columns of a projection: expressions by names that differ.
#[derive(Default)]
struct Columns(Vec<(Expr, String)>);

impl Columns {
    /// The column of an expression, which is added if it is not there; `what` is in the name of one that has
    /// none.
    fn add(&mut self, expression: &Expr, what: &str) -> PlanColumn {
        if let Some((_, name)) = self.0.iter().find(|(other, _)| other == expression) {
            return PlanColumn::new_unqualified(name);
        }
        let mut name = match expression {
            Expr::Column(column) => column.name.clone(),
            _ => format!("${what}{}", self.0.len()),
        };
        while self.0.iter().any(|(_, other)| *other == name) {
            name.push('\'');
        }
        self.0.push((expression.clone(), name.clone()));
        PlanColumn::new_unqualified(name)
    }

    fn of(self, input: Arc<LogicalPlan>) -> Result<LogicalPlanBuilder, SqlError> {
        let columns = self.0.into_iter().map(|(expression, name)| expression.alias(name));
        LogicalPlanBuilder::from(input)
            .project(columns.collect::<Vec<_>>())
            .map_err(|error| planning(&error))
    }
}

impl Groups {
    /// Groups rows by these keys: what is aggregated is computed first.
    pub(super) fn new(
        input: Arc<LogicalPlan>,
        keys: &[Expr],
        calls: &[Call],
    ) -> Result<Self, SqlError> {
        let mut columns = Columns::default();
        let keys: Vec<(Expr, PlanColumn)> =
            keys.iter().map(|key| (key.clone(), columns.add(key, "key"))).collect();
        let mut grouped: Vec<PlanColumn> = Vec::new();
        for (_, column) in &keys {
            if !grouped.contains(column) {
                grouped.push(column.clone());
            }
        }
        let aggregates: Vec<Expr> = calls
            .iter()
            .enumerate()
            .map(|(i, call)| {
                let argument = call.arguments().map(|of| Expr::Column(columns.add(of, "argument")));
                let arguments = argument.collect();
                let filter = call.filter.as_ref();
                let filter = filter.map(|of| Box::new(Expr::Column(columns.add(of, "filter"))));
                let function = Arc::new(AggregateUDF::new_from_impl(Aggregate::of(call)));
                let called = AggregateFunction::new_udf(
                    function,
                    arguments,
                    call.distinct,
                    filter,
                    Vec::new(),
                    None,
                );
                Expr::AggregateFunction(called).alias(Calls::name(i))
            })
            .collect();
        let plan = columns
            .of(input)?
            .aggregate(grouped.into_iter().map(Expr::Column), aggregates)
            .and_then(LogicalPlanBuilder::build)
            .map_err(|error| planning(&error))?;
        Ok(Self { plan: Arc::new(plan), keys, calls: calls.len() })
    }

    /// The groups that a plan makes, which has these columns for keys.
    pub(super) fn of_plan(plan: LogicalPlan, keys: Vec<(Expr, PlanColumn)>, calls: usize) -> Self {
        Self { plan: Arc::new(plan), keys, calls }
    }

    /// The same for what is asked of no other keys than these.
    pub(super) fn only(&self, keys: &[Expr]) -> Self {
        let known = self.keys.iter().filter(|(key, _)| keys.contains(key)).cloned();
        Self { plan: Arc::clone(&self.plan), keys: known.collect(), calls: self.calls }
    }

    /// An expression over the rows as one over their groups.
    ///
    /// # Errors
    /// If it is about a column whose values may differ within a group.
    pub(super) fn of(&self, expression: Expr, place: Span) -> Result<Expr, SqlError> {
        let mut loose = None;
        let rewritten = expression.transform_down(|part| {
            if let Some((_, column)) = self.keys.iter().find(|(key, _)| *key == part) {
                let column = Expr::Column(column.clone());
                return Ok(Transformed::new(column, true, TreeNodeRecursion::Jump));
            }
            if let Expr::Column(column) = &part
                && !Calls::stands_for_one(column, self.calls)
            {
                loose.get_or_insert_with(|| column.name.clone());
            }
            Ok(Transformed::no(part))
        });
        let rewritten = rewritten.map_err(|error| planning(&error))?.data;
        match loose {
            None => Ok(rewritten),
            Some(name) => Err(SqlError::spanned(
                place,
                format!(
                    "`{name}` may differ within a group: put it into GROUP BY, or aggregate it, with MAX for \
                     instance"
                ),
            )),
        }
    }
}

impl Ranked {
    /// The same call over groups of rows.
    pub(super) fn of(self, groups: &Groups) -> Result<Self, SqlError> {
        let Self { partition, order, span } = self;
        let partition = partition.into_iter().map(|key| groups.of(key, span));
        let order = order.into_iter().map(|key| {
            let Order { expr, descending, nulls_first } = key;
            Ok(Order { expr: groups.of(expr, span)?, descending, nulls_first })
        });
        let order = order.collect::<Result<_, SqlError>>()?;
        Ok(Self { partition: partition.collect::<Result<_, _>>()?, order, span })
    }
}

impl Relation {
    /// What rows are grouped by, and their window, if one of these is a window; the rows are in it
    /// then.
    pub(super) fn keys(
        mut self,
        group_by: &GroupByExpr,
    ) -> Result<(Self, Grouping, Option<GroupWindow>), SqlError> {
        let GroupByExpr::Expressions(parts, modifiers) = group_by else {
            return Err(unsupported(group_by, "GROUP BY ALL"));
        };
        if !modifiers.is_empty() {
            return Err(unsupported(group_by, "GROUP BY with a modifier"));
        }
        let (mut grouping, mut window) = (Grouping::none(), None);
        for part in parts {
            let sets = match (grouping::sets(part), GroupWindow::in_key(part)) {
                (Some(sets), _) => {
                    let keys = sets.into_iter().map(|set| {
                        let keys = set.into_iter().map(|key| Ok(self.bind(key)?.expr));
                        keys.collect::<Result<Vec<_>, SqlError>>()
                    });
                    keys.collect::<Result<_, _>>()?
                }
                (None, None) => vec![vec![self.bind(part)?.expr]],
                (None, Some(_)) if window.is_some() => {
                    return Err(SqlError::at(part, "GROUP BY takes one window"));
                }
                (None, Some((name, function))) => {
                    let (rows, grouped) = GroupWindow::of(self, &name, function, part)?;
                    let keys = grouped.keys();
                    (self, window) = (rows, Some(grouped));
                    vec![keys]
                }
            };
            grouping.add(sets).map_err(|message| SqlError::at(part, message))?;
        }
        Ok((self, grouping, window))
    }

    /// Each row once, however often it is there. The plan's columns are those of the query.
    pub(super) fn distinct(self) -> Result<Self, SqlError> {
        let keys: Vec<Expr> = self.plan.schema().columns().into_iter().map(Expr::Column).collect();
        let plan = LogicalPlanBuilder::from(self.plan)
            .aggregate(keys, Vec::<Expr>::new())
            .and_then(LogicalPlanBuilder::build)
            .map_err(|error| planning(&error))?;
        Ok(Self { plan: Arc::new(plan), columns: self.columns })
    }

    /// The rows with their rank as a last column of the plan.
    pub(super) fn ranked(self, ranked: Ranked) -> Result<Self, SqlError> {
        let Ranked { partition, order, span } = ranked;
        let mut needed = partition.clone();
        needed.extend(order.iter().map(|key| key.expr.clone()));
        let (plan, columns) = with_columns(self.plan, needed)?;
        let mut columns = columns.into_iter();
        let partition = columns.by_ref().take(partition.len()).collect();
        let order = columns.zip(&order).map(|(expr, key)| Order { expr, ..*key });
        let order: Vec<Order> = order.collect();
        let latest = match &order[..] {
            [Order { expr: Expr::Column(time), descending: true, .. }] => {
                is_event_time(&plan, time)
            }
            _ => false,
        };
        let node = RowNumber::new(Arc::new(plan), partition, order, latest, span);
        let node = Arc::new(node.map_err(|error| planning(&error))?);
        let plan = Arc::new(LogicalPlan::Extension(Extension { node }));
        Ok(Self { plan, columns: self.columns })
    }
}

/// A plan with a column for each of these expressions, and these columns.
pub(super) fn with_columns(
    plan: Arc<LogicalPlan>,
    expressions: Vec<Expr>,
) -> Result<(LogicalPlan, Vec<Expr>), SqlError> {
    let own = plan.schema().columns().into_iter().map(Expr::Column);
    let mut columns: Vec<Expr> = own.collect();
    let width = columns.len();
    let mut column = |expression: Expr| match expression {
        Expr::Column(_) => expression,
        expression => {
            let name = format!("$order{}", columns.len());
            columns.push(expression.alias(&name));
            Expr::Column(PlanColumn::new_unqualified(name))
        }
    };
    let expressions = expressions.into_iter().map(&mut column).collect();
    let mut plan = LogicalPlanBuilder::from(plan);
    if columns.len() > width {
        plan = plan.project(columns).map_err(|error| planning(&error))?;
    }
    Ok((plan.build().map_err(|error| planning(&error))?, expressions))
}
