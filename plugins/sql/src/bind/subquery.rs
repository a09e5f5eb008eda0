//! Subqueries in expressions. Conditions of WHERE, IN and EXISTS, are joins that keep the rows with a match, or those
//! without; elsewhere they are [values](value) of the rows around.

mod lateral;
mod lift;
mod one;
mod parts;
mod rows;
mod value;

use std::sync::Arc;

use datafusion_expr::{
    Expr, JoinType, LogicalPlan, LogicalPlanBuilder, Operator, lit,
    utils::{conjunction, split_conjunction, split_conjunction_owned},
};
use sqlparser::ast::{self, BinaryOperator, Query, UnaryOperator};

pub(super) use lateral::Lateral;
pub(super) use lift::{Clauses, is_value};
pub(super) use parts::has_subquery;
use rows::{Inner, Rows};
use value::Compared;

use super::{
    Binder, Bound, Relation,
    expression::{Scope, pair},
    interval, planning,
};
use crate::error::{Place, SqlError};

/// A condition that is about a subquery.
struct Matching<'a> {
    /// What is looked for among the subquery's rows, with IN.
    wanted: Vec<&'a ast::Expr>,
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
            ast::Expr::Exists { subquery, negated } => {
                Some(Self { wanted: Vec::new(), subquery, negated: *negated })
            }
            other => {
                let Compared { wanted, operator, all, query, .. } = Compared::of(other)?;
                let negated = match (operator, all) {
                    (Operator::Eq, false) => false,
                    (Operator::NotEq, true) => true,
                    _ => return None,
                };
                let wanted = fields(wanted).unwrap_or_else(|| vec![wanted]);
                // What is wanted is joined before it is looked for.
                let is_plain = !wanted.iter().any(|part| has_subquery(part));
                is_plain.then_some(Self { wanted, subquery: query, negated })
            }
        }
    }

    fn name(&self) -> &'static str {
        if self.negated { "NOT IN" } else { "IN" }
    }
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
        let has_subqueries = parts.iter().any(|part| has_subquery(part));
        if !has_subqueries && around.is_none() {
            parts = vec![condition];
        }
        let (mut selected, mut correlated) = (relation, Vec::new());
        let (with, without): (Vec<_>, Vec<_>) =
            parts.into_iter().partition(|part| has_subquery(part));
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
        for part in with {
            let matched = match Matching::of(part) {
                Some(found) => self.matched(&selected, &found)?,
                None => None,
            };
            selected = match matched {
                Some(matched) => matched,
                None => self.with_values(selected, part, around, &mut correlated)?,
            };
        }
        Ok((selected, correlated))
    }

    /// The rows for which a condition is true in which subqueries are values.
    fn with_values(
        &mut self,
        rows: Relation,
        condition: &ast::Expr,
        around: Option<&Relation>,
        correlated: &mut Vec<Expr>,
    ) -> Result<Relation, SqlError> {
        let mut condition = condition.clone();
        let rows = self.values_of(&mut condition, rows)?;
        let scope = Scope { relation: &rows, calls: None, around };
        let bound = scope.condition(&condition, "WHERE")?;
        let schema = rows.plan.schema();
        if bound.column_refs().into_iter().all(|column| schema.has_column(column)) {
            return Ok(rows.filtered(bound)?.without_values());
        }
        correlated.push(bound);
        Ok(rows.without_values())
    }

    /// The rows that have a match among those of a subquery, or have none; `None` if it has one row for each.
    fn matched(
        &mut self,
        rows: &Relation,
        found: &Matching<'_>,
    ) -> Result<Option<Relation>, SqlError> {
        let asks = !found.wanted.is_empty();
        let inner = self.rows_of(found.subquery, asks, rows)?;
        let inner = match asks {
            true => inner.of_columns(found.wanted.len(), found.name(), found.subquery)?,
            false => inner,
        };
        let Rows::Any(Inner { relation: inner, items, mut correlated, .. }) = inner else {
            return Ok(None);
        };
        for (part, item) in found.wanted.iter().zip(items) {
            let wanted = rows.bind(part)?;
            let may_be_null = |bound: &Bound, plan: &LogicalPlan| {
                bound.data_type.nullable && !never_null(plan, &bound.expr)
            };
            let nulls = [may_be_null(&wanted, &rows.plan), may_be_null(&item, &inner.plan)];
            let (wanted, item) = pair(wanted, item, part)?;
            let mut matching = wanted.expr.clone().eq(item.expr.clone());
            if found.negated {
                // It is not known whether they are equal, and so whether there is none.
                for (may_be_null, side) in nulls.into_iter().zip([wanted, item]) {
                    if may_be_null {
                        matching = matching.or(side.expr.is_null());
                    }
                }
            }
            correlated.push(matching);
        }
        if correlated.is_empty() {
            // A plan has a condition.
            correlated.push(lit(true));
        }
        let kind = if found.negated { JoinType::LeftAnti } else { JoinType::LeftSemi };
        let plan = LogicalPlanBuilder::from(Arc::clone(&rows.plan))
            .join_on(inner.plan.as_ref().clone(), kind, correlated)
            .and_then(LogicalPlanBuilder::build)
            .map_err(|error| planning(&error))?;
        Ok(Some(Relation { plan: Arc::new(plan), columns: rows.columns.clone() }))
    }
}

/// The fields of a row that is written as such.
fn fields(expression: &ast::Expr) -> Option<Vec<&ast::Expr>> {
    match expression {
        ast::Expr::Tuple(fields) => Some(fields.iter().collect()),
        ast::Expr::Function(row) if row.name.to_string().eq_ignore_ascii_case("ROW") => {
            let ast::FunctionArguments::List(list) = &row.args else { return None };
            let field = |argument| match argument {
                &ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(ref field)) => Some(field),
                _ => None,
            };
            list.args.iter().map(field).collect()
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
pub(super) fn misplaced(part: &ast::Expr) -> SqlError {
    SqlError::at(
        &part.place(),
        "a subquery may stand in SELECT, WHERE, ON, GROUP BY, HAVING and ORDER BY, but not here",
    )
}
