//! Conditions with subqueries, IN and EXISTS: joins that keep the rows with a match, or those without.

use std::{cell::RefCell, sync::Arc};

use datafusion_expr::{
    Expr, JoinType, LogicalPlan, LogicalPlanBuilder, lit,
    utils::{conjunction, split_conjunction, split_conjunction_owned},
};
use sqlparser::ast::{self, BinaryOperator, Query, Select, SelectItem, SetExpr, UnaryOperator};

use super::{
    Binder, Bound, Relation,
    aggregate::Calls,
    expression::{Scope, pair},
    interval, planning,
};
use crate::error::{Place, SqlError};

/// A condition that is about a subquery.
struct Matching<'a> {
    /// What is looked for among the subquery's rows, with IN.
    wanted: Option<&'a ast::Expr>,
    subquery: &'a Query,
    negated: bool,
}

impl<'a> Matching<'a> {
    fn of(condition: &'a ast::Expr) -> Option<Self> {
        match condition {
            ast::Expr::Nested(inner) => Self::of(inner),
            ast::Expr::UnaryOp { op: UnaryOperator::Not, expr } => {
                Self::of(expr).map(|found| Self { negated: !found.negated, ..found })
            }
            ast::Expr::InSubquery { expr, subquery, negated } => {
                Some(Self { wanted: Some(expr), subquery, negated: *negated })
            }
            ast::Expr::Exists { subquery, negated } => {
                Some(Self { wanted: None, subquery, negated: *negated })
            }
            _ => None,
        }
    }

    fn name(&self) -> &'static str {
        match (self.wanted.is_some(), self.negated) {
            (true, false) => "IN",
            (true, true) => "NOT IN",
            (false, false) => "EXISTS",
            (false, true) => "NOT EXISTS",
        }
    }
}

/// The rows of a subquery, and what it says of them and the rows around it.
struct Inner {
    relation: Relation,
    /// Its column, if it is asked for, which is one of single rows.
    item: Option<Bound>,
    /// Conditions of WHERE about the rows around it, too.
    correlated: Vec<Expr>,
}

impl Binder<'_> {
    /// The rows for which the condition of WHERE is true. Conditions with subqueries come behind the others, and
    /// may be about the rows `around` if the query itself is a subquery: these are given back.
    pub(super) fn selected(
        &mut self,
        relation: Relation,
        condition: &ast::Expr,
        around: Option<&Relation>,
    ) -> Result<(Relation, Vec<Expr>), SqlError> {
        let mut parts = Vec::new();
        conjuncts(condition, &mut parts);
        let has_subqueries = parts.iter().any(|part| Matching::of(part).is_some());
        if !has_subqueries && around.is_none() {
            parts = vec![condition];
        }
        let (mut selected, mut correlated) = (relation, Vec::new());
        let (with, without): (Vec<_>, Vec<_>) =
            parts.into_iter().partition(|part| Matching::of(part).is_some());
        let mut own = Vec::new();
        for part in without {
            let rows = Scope { relation: &selected, calls: None, around };
            let bound = rows.condition(part, "WHERE")?;
            let schema = selected.plan.schema();
            if bound.column_refs().into_iter().all(|column| schema.has_column(column)) {
                own.extend(split_conjunction_owned(bound));
            } else {
                correlated.push(bound);
            }
        }
        selected.plan = Arc::new(interval::below(selected.plan.as_ref().clone(), &mut own));
        if let Some(own) = conjunction(own) {
            selected = selected.filtered(own)?;
        }
        for found in with.into_iter().filter_map(Matching::of) {
            selected = self.matched(selected, &found)?;
        }
        Ok((selected, correlated))
    }

    /// The rows that have a match among those of a subquery, or have none.
    fn matched(&mut self, rows: Relation, found: &Matching<'_>) -> Result<Relation, SqlError> {
        let Inner { relation: inner, item, mut correlated } = self.inner(found, &rows)?;
        let wanted = found.wanted.map(|wanted| Ok((rows.bind(wanted)?, wanted))).transpose()?;
        if let (Some((wanted, part)), Some(item)) = (wanted, item) {
            if found.negated {
                for (bound, plan) in [(&wanted, &rows.plan), (&item, &inner.plan)] {
                    if bound.data_type.nullable && !never_null(plan, &bound.expr) {
                        return Err(SqlError::at(part, NULLS));
                    }
                }
            }
            let (wanted, item) = pair(wanted, item, part)?;
            correlated.push(wanted.expr.eq(item.expr));
        }
        if correlated.is_empty() {
            // A plan has a condition.
            correlated.push(lit(true));
        }
        let kind = if found.negated { JoinType::LeftAnti } else { JoinType::LeftSemi };
        let plan = LogicalPlanBuilder::from(rows.plan)
            .join_on(inner.plan.as_ref().clone(), kind, correlated)
            .and_then(LogicalPlanBuilder::build)
            .map_err(|error| planning(&error))?;
        Ok(Relation { plan: Arc::new(plan), columns: rows.columns })
    }

    /// The rows of a subquery, whose columns are called otherwise than those around it. If it cannot stand by
    /// itself it is about these.
    fn inner(&mut self, found: &Matching<'_>, around: &Relation) -> Result<Inner, SqlError> {
        let (named, views) = (self.named.len(), self.views.len());
        let simple = simple(found.subquery);
        let alone = match (simple, found.wanted) {
            // Nobody asks for its columns.
            (Some(_), None) => None,
            _ => Some(self.query(found.subquery)),
        };
        match (alone, simple) {
            (Some(Ok(relation)), _) => {
                let relation = relation.apart(around)?;
                let item = match (&relation.columns[..], found.wanted) {
                    (_, None) => None,
                    ([column], Some(_)) => Some(column.bound()),
                    (columns, Some(_)) => {
                        let (name, columns) = (found.name(), columns.len());
                        let message =
                            format!("{name} takes a subquery of one column, not of {columns}");
                        return Err(SqlError::at(found.subquery, message));
                    }
                };
                Ok(Inner { relation, item, correlated: Vec::new() })
            }
            (Some(Err(error)), None) => Err(error),
            (_, Some(select)) => {
                self.named.truncate(named);
                self.views.truncate(views);
                self.correlated(select, found, around)
            }
            (None, None) => Err(SqlError::at(found.subquery, "the subquery has no rows")),
        }
    }

    /// The rows of a subquery that is about those around it, in WHERE only.
    fn correlated(
        &mut self,
        select: &Select,
        found: &Matching<'_>,
        around: &Relation,
    ) -> Result<Inner, SqlError> {
        let relation = self.from(&select.from)?.apart(around)?;
        let (relation, correlated) = match &select.selection {
            Some(condition) => self.selected(relation, condition, Some(around))?,
            None => (relation, Vec::new()),
        };
        let calls = RefCell::new(Calls::new(false, None));
        let rows = Scope { relation: &relation, calls: Some(&calls), around: Some(around) };
        let mut items = Vec::new();
        for item in &select.projection {
            match item {
                SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
                    items.push(rows.bind(expr)?);
                }
                _ if found.wanted.is_none() => {}
                other => return Err(SqlError::at(other, "IN takes a subquery of one column")),
            }
        }
        let calls = calls.into_inner();
        if !calls.aggregates.is_empty() || calls.ranked.is_some() || !calls.overs.is_empty() {
            let message = format!(
                "{} of a subquery that aggregates rows and is about the rows around it is not supported yet",
                found.name()
            );
            return Err(SqlError::at(found.subquery, message));
        }
        let item = match (items.pop(), found.wanted) {
            (_, None) => None,
            (Some(item), Some(_)) if items.is_empty() => Some(item),
            _ => return Err(SqlError::at(found.subquery, "IN takes a subquery of one column")),
        };
        Ok(Inner { relation, item, correlated })
    }
}

/// With NULL among the subquery's rows NOT IN is true for no row at all, whatever its key.
const NULLS: &str = "NOT IN is supported where neither side can be NULL: use NOT EXISTS, or add a condition \
                     such as `x IS NOT NULL` on both sides";

/// The SELECT that a query is, if it has neither groups nor anything around it.
fn simple(query: &Query) -> Option<&Select> {
    let plain = query.with.is_none()
        && query.order_by.is_none()
        && query.limit_clause.is_none()
        && query.fetch.is_none();
    match &*query.body {
        SetExpr::Query(inner) if plain => simple(inner),
        SetExpr::Select(select) if plain => {
            let no_keys = matches!(
                &select.group_by,
                ast::GroupByExpr::Expressions(keys, modifiers) if keys.is_empty() && modifiers.is_empty()
            );
            let no_more = select.having.is_none()
                && select.qualify.is_none()
                && select.named_window.is_empty()
                && select.lateral_views.is_empty();
            (no_keys && no_more && !select.from.is_empty()).then_some(&**select)
        }
        _ => None,
    }
}

/// The conditions that must all be true.
fn conjuncts<'a>(condition: &'a ast::Expr, parts: &mut Vec<&'a ast::Expr>) {
    match condition {
        ast::Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            conjuncts(left, parts);
            conjuncts(right, parts);
        }
        ast::Expr::Nested(inner)
            if matches!(**inner, ast::Expr::BinaryOp { op: BinaryOperator::And, .. }) =>
        {
            conjuncts(inner, parts);
        }
        other => parts.push(other),
    }
}

/// Whether a filter right below drops the rows for which an expression is NULL.
fn never_null(plan: &LogicalPlan, expression: &Expr) -> bool {
    match plan {
        LogicalPlan::Filter(filter) => {
            let says_so =
                |condition: &&Expr| matches!(condition, Expr::IsNotNull(of) if **of == *expression);
            split_conjunction(&filter.predicate).iter().any(says_so)
                || never_null(&filter.input, expression)
        }
        LogicalPlan::Projection(projection) => {
            let Expr::Column(column) = expression else { return false };
            let below = projection.schema.maybe_index_of_column(column);
            let below = below.and_then(|at| projection.expr.get(at));
            below.is_some_and(|below| never_null(&projection.input, &below.clone().unalias()))
        }
        _ => false,
    }
}

/// An error for a subquery where none may stand.
pub(super) fn misplaced(part: &ast::Expr, name: &str) -> SqlError {
    let message = format!(
        "{name} of a subquery is supported in WHERE, as a condition by itself or beside others with AND, but \
         not here"
    );
    SqlError::at(&part.place(), message)
}
