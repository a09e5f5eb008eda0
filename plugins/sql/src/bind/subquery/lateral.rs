//! `LATERAL (SELECT …)` in FROM: subqueries about the rows in front of them, each of which is joined with its own.

use std::sync::Arc;

use datafusion_common::Column as PlanColumn;
use datafusion_expr::{Expr, Extension, JoinType, LogicalPlan, LogicalPlanBuilder, col, lit};
use sqlparser::ast::{self, OrderByExpr, Query, TableAlias, TableFactor, Value as Literal};

use super::{
    super::{
        Binder, Bound, Cells, Column, Relation,
        aggregate::Order,
        expression::{Scope, ordered},
        from::alias_columns,
        order::Sorting,
        planning,
        rank::RowNumber,
        select::unsupported,
        using::Matching,
    },
    rows::{Inner, One, Rows},
    value::{Side, built},
};
use crate::{error::SqlError, relation::RANK};

/// A subquery behind LATERAL.
pub(in crate::bind) struct Lateral<'a> {
    subquery: &'a Query,
    alias: Option<&'a TableAlias>,
    factor: &'a TableFactor,
}

impl<'a> Lateral<'a> {
    /// `None` if it is another part of FROM.
    pub(in crate::bind) fn of(factor: &'a TableFactor) -> Option<Self> {
        match factor {
            TableFactor::Derived { lateral: true, subquery, alias, sample: None } => {
                Some(Self { subquery, alias: alias.as_ref(), factor })
            }
            _ => None,
        }
    }

    /// The columns of what is selected, as the alias names them.
    fn columns(&self, names: Vec<String>, cells: Vec<Bound>) -> Result<Vec<Column>, SqlError> {
        let table = self.alias.map_or_else(String::new, |alias| alias.name.value.clone());
        let named = self.alias.map(alias_columns).unwrap_or_default();
        if !named.is_empty() && named.len() != names.len() {
            let (given, there) = (named.len(), names.len());
            let message = format!("{given} columns are named, but the query has {there}");
            return Err(SqlError::at(self.factor, message));
        }
        let names = names.into_iter().enumerate();
        let columns = names.zip(cells).map(|((at, name), bound)| {
            let name = named.get(at).map_or(name, |named| named.value.clone());
            let Expr::Column(column) = bound.expr else {
                return Err(unsupported(self.factor, "a value without a column"));
            };
            let (table, cells) = (Some(table.clone()), Cells::One(column));
            Ok(Column { table, name, cells, data_type: bound.data_type, qualified: false })
        });
        columns.collect()
    }
}

/// Whether a condition is TRUE as it is written.
fn is_true(condition: &ast::Expr) -> bool {
    matches!(condition, ast::Expr::Value(value) if value.value == Literal::Boolean(true))
}

impl Binder<'_> {
    /// The rows, each with those of the subquery that are about it; in a left join with NULLs if there is none.
    ///
    /// # Errors
    /// If the subquery is about them in a way that is not supported, or the join is of another kind.
    pub(in crate::bind) fn lateral(
        &mut self,
        left: Relation,
        lateral: &Lateral<'_>,
        (kind, matching): (JoinType, &Matching<'_>),
    ) -> Result<Relation, SqlError> {
        let condition = match (kind, matching) {
            (JoinType::Inner, Matching::All) => None,
            (JoinType::Inner | JoinType::Left, Matching::On(condition)) => {
                Some(*condition).filter(|condition| !is_true(condition))
            }
            _ => {
                let message = "LATERAL is joined by `,`, CROSS JOIN, JOIN … ON or LEFT JOIN … ON";
                return Err(SqlError::at(lateral.factor, message));
            }
        };
        let query = lateral.subquery;
        let (rows, names, sorting) = self.lateral_rows(query, &left)?;
        let sorting = sorting.filter(|sorting| sorting.limit().is_some());
        let prefix = left.new_name("$lateral");
        let shown = match rows {
            Rows::Any(inner) => inner.beside(&left, &prefix, sorting)?,
            Rows::One(_) if sorting.is_some() => {
                return Err(unsupported(query, "LIMIT in LATERAL of rows that are aggregated"));
            }
            Rows::One(one) => one.beside(&prefix)?,
        };
        let Shown { side: Side { plan, on }, items } = shown;
        let right =
            Relation { plan: Arc::new(plan.clone()), columns: lateral.columns(names, items)? };
        let whole = left.beside(&right, lateral.factor)?;
        let width = left.columns.len();
        let mut matching: Vec<Expr> = on.into_iter().map(|(around, own)| around.eq(own)).collect();
        if let Some(condition) = condition {
            let rows = Scope { relation: &whole, calls: None, around: None };
            matching.push(rows.condition(condition, "ON")?);
        }
        if matching.is_empty() {
            // A plan has a condition.
            matching.push(lit(true));
        }
        let plan = built(LogicalPlanBuilder::from(left.plan).join_on(plan, kind, matching))?;
        Ok(Relation { plan, ..whole }.padded(kind, width))
    }
}

/// What rows are joined with, and its columns.
struct Shown {
    side: Side,
    items: Vec<Bound>,
}

impl Inner {
    /// The rows that belong to those around: the first ones of each, if it is so said.
    fn beside(
        mut self,
        around: &Relation,
        prefix: &str,
        sorting: Option<Sorting<'_>>,
    ) -> Result<Shown, SqlError> {
        let width = self.items.len();
        let distinct = self.distinct;
        let keys = match &sorting {
            None => Vec::new(),
            Some(sorting) => self.sort_keys(sorting.keys, around)?,
        };
        if let Some(sorting) = &sorting
            && distinct
            && self.items.len() > width
        {
            let message = "ORDER BY of DISTINCT rows is by columns that are selected";
            return Err(SqlError::spanned(sorting.span, message));
        }
        let (linked, items) = self.linked(around)?;
        let column =
            |of: String| Expr::Column(PlanColumn::new_unqualified(format!("{prefix}_{of}")));
        let mut columns: Vec<Expr> = Vec::new();
        let (mut on, mut own) = (Vec::new(), Vec::new());
        for (at, key) in linked.keys.into_iter().enumerate() {
            columns.push(key.own.alias(format!("{prefix}_k{at}")));
            own.push(column(format!("k{at}")));
            on.push((key.around, column(format!("k{at}"))));
        }
        let mut shown = Vec::new();
        for (at, Bound { expr, data_type }) in items.into_iter().enumerate() {
            columns.push(expr.alias(format!("{prefix}_{at}")));
            shown.push(Bound { expr: column(at.to_string()), data_type });
        }
        let of_rows: Vec<Expr> =
            own.iter().cloned().chain(shown.iter().map(|item| item.expr.clone())).collect();
        let mut plan = built(LogicalPlanBuilder::from(linked.plan).project(columns))?;
        if distinct {
            plan = built(
                LogicalPlanBuilder::from(plan).aggregate(of_rows.clone(), Vec::<Expr>::new()),
            )?;
        }
        let asked = sorting.and_then(|sorting| Some((sorting.limit()?, sorting.span)));
        if let Some(((limit, offset), span)) = asked {
            let order = keys.iter().filter_map(|key| {
                let SortBy { item, descending, nulls_first } = *key;
                let expr = shown.get(item)?.expr.clone();
                Some(Order { expr, descending, nulls_first })
            });
            let node = RowNumber::new(plan, own.clone(), order.collect(), false, span);
            let node = Arc::new(node.map_err(|error| planning(&error))?);
            let ranked = LogicalPlan::Extension(Extension { node });
            let ranked = Relation { plan: Arc::new(ranked), columns: Vec::new() };
            let mut ranked = ranked.filtered(col(RANK).lt_eq(lit(limit.saturating_add(offset))))?;
            if offset > 0 {
                ranked = ranked.filtered(col(RANK).gt(lit(offset)))?;
            }
            let kept = of_rows.into_iter().take(own.len() + width);
            plan = built(LogicalPlanBuilder::from(ranked.plan).project(kept.collect::<Vec<_>>()))?;
        }
        shown.truncate(width);
        Ok(Shown { side: Side { plan: Arc::unwrap_or_clone(plan), on }, items: shown })
    }

    /// The keys of ORDER BY as items, to which those are added that are not among them.
    fn sort_keys(
        &mut self,
        keys: &[OrderByExpr],
        around: &Relation,
    ) -> Result<Vec<SortBy>, SqlError> {
        let selected = self.items.len();
        let mut made = Vec::new();
        for key in keys {
            let of_name = match &key.expr {
                ast::Expr::Identifier(name) => {
                    self.names.iter().position(|item| *item == name.value)
                }
                _ => None,
            };
            let item = match of_name.filter(|at| *at < selected) {
                Some(at) => at,
                None => {
                    let rows =
                        Scope { relation: &self.relation, calls: None, around: Some(around) };
                    let bound = rows.bind(&key.expr)?;
                    ordered(&bound, &key.expr)?;
                    self.items.push(bound);
                    self.items.len() - 1
                }
            };
            let descending = key.options.asc == Some(false);
            // NULLs are the least, as in Flink.
            let nulls_first = key.options.nulls_first.unwrap_or(!descending);
            made.push(SortBy { item, descending, nulls_first });
        }
        Ok(made)
    }
}

/// A key of ORDER BY, an item.
#[derive(Clone, Copy)]
struct SortBy {
    item: usize,
    descending: bool,
    nulls_first: bool,
}

impl One {
    /// The groups of rows that belong to those around. As in Flink there is none of no rows, so that COUNT is never 0.
    fn beside(self, prefix: &str) -> Result<Shown, SqlError> {
        let mut plan = self.plan;
        if let Some(having) = self.having {
            plan = built(LogicalPlanBuilder::from(plan).filter(having))?;
        }
        let name = |of: String| format!("{prefix}_{of}");
        let column = |name: String| Expr::Column(PlanColumn::new_unqualified(name));
        let (mut columns, mut on, mut items) = (Vec::new(), Vec::new(), Vec::new());
        for (at, key) in self.keys.into_iter().enumerate() {
            columns.push(key.own.alias(name(format!("k{at}"))));
            on.push((key.around, column(name(format!("k{at}")))));
        }
        for (at, Bound { expr, data_type }) in self.items.into_iter().enumerate() {
            columns.push(expr.alias(name(at.to_string())));
            items.push(Bound { expr: column(name(at.to_string())), data_type });
        }
        let plan = Arc::unwrap_or_clone(built(LogicalPlanBuilder::from(plan).project(columns))?);
        Ok(Shown { side: Side { plan, on }, items })
    }
}
