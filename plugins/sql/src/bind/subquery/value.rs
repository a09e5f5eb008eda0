//! What a subquery says of a row around it: a value, whether it has rows, or how its rows compare with something. The
//! row is joined with what is aggregated of the rows of the subquery that belong to it.

use std::sync::Arc;

use datafusion_common::{Column as PlanColumn, DataFusionError, ScalarValue};
use datafusion_expr::{
    BinaryExpr, Case, Expr, JoinType, LogicalPlan, LogicalPlanBuilder, Operator, lit,
};
use sqlparser::{
    ast::{self, BinaryOperator, Query},
    tokenizer::Span,
};

use super::{
    super::{
        Binder, Bound, Cells, Column, Relation,
        aggregate::{Call, Calls},
        expression::{Scope, boolean, ordered, pair},
        group::Groups,
        planning,
    },
    fields, never_null,
    rows::{Key, Rows},
};
use crate::{
    error::SqlError,
    relation::AggregateFunction,
    types::{Kind, Type},
};

/// What is asked of a subquery.
pub(super) enum Asked<'a> {
    /// The one value that it has; NULL if it has no row.
    Scalar(&'a Query),
    /// Whether it has a row, or none.
    Exists { query: &'a Query, negated: bool },
    /// Whether a comparison is true of one of its values, or of all.
    Compared(Compared<'a>),
}

/// A comparison of something with the values of a subquery.
pub(super) struct Compared<'a> {
    pub(super) wanted: &'a ast::Expr,
    pub(super) operator: Operator,
    pub(super) all: bool,
    pub(super) query: &'a Query,
    /// How it is written.
    pub(super) name: &'static str,
}

impl<'a> Asked<'a> {
    /// `None` if an expression is no subquery.
    pub(super) fn of(expression: &'a ast::Expr) -> Option<Self> {
        match expression {
            ast::Expr::Subquery(query) => Some(Self::Scalar(query)),
            ast::Expr::Exists { subquery, negated } => {
                Some(Self::Exists { query: subquery, negated: *negated })
            }
            other => Compared::of(other).map(Self::Compared),
        }
    }

    pub(super) fn query(&self) -> &'a Query {
        match self {
            Self::Scalar(query)
            | Self::Exists { query, .. }
            | Self::Compared(Compared { query, .. }) => query,
        }
    }
}

impl<'a> Compared<'a> {
    pub(super) fn of(expression: &'a ast::Expr) -> Option<Self> {
        let (wanted, op, right, all) = match expression {
            ast::Expr::InSubquery { expr, subquery, negated } => {
                let (operator, name) = match negated {
                    false => (Operator::Eq, "IN"),
                    true => (Operator::NotEq, "NOT IN"),
                };
                return Some(Self { wanted: expr, operator, all: *negated, query: subquery, name });
            }
            ast::Expr::AnyOp { left, compare_op, right, .. } => (left, compare_op, right, false),
            ast::Expr::AllOp { left, compare_op, right } => (left, compare_op, right, true),
            _ => return None,
        };
        let ast::Expr::Subquery(query) = &**right else { return None };
        let operator = match op {
            BinaryOperator::Eq => Operator::Eq,
            BinaryOperator::NotEq => Operator::NotEq,
            BinaryOperator::Lt => Operator::Lt,
            BinaryOperator::LtEq => Operator::LtEq,
            BinaryOperator::Gt => Operator::Gt,
            BinaryOperator::GtEq => Operator::GtEq,
            _ => return None,
        };
        let name = if all { "ALL" } else { "ANY" };
        Some(Self { wanted, operator, all, query, name })
    }
}

/// What a subquery says of each row around it.
pub(in crate::bind) struct Value {
    /// What the row is joined with, whether there is a match or none; at most one.
    pub(super) sides: Vec<Side>,
    /// The value, over the columns of the row and of these.
    pub(super) made: Bound,
}

pub(super) struct Side {
    pub(super) plan: LogicalPlan,
    pub(super) on: Vec<(Expr, Expr)>,
}

impl Binder<'_> {
    /// What a subquery says of the rows of a scope, or of their groups if it takes calls; columns beside them
    /// have names that begin so.
    pub(super) fn value(
        &mut self,
        asked: &Asked<'_>,
        scope: &Scope<'_>,
        name: &str,
    ) -> Result<Value, SqlError> {
        let (query, around) = (asked.query(), scope.relation);
        let (columns, taker) = match asked {
            Asked::Exists { .. } => (false, ""),
            Asked::Scalar(_) => (true, "a value"),
            Asked::Compared(compared) => (true, compared.name),
        };
        if let Asked::Compared(Compared { wanted, .. }) = asked
            && fields(wanted).is_some()
        {
            return Err(SqlError::at(*wanted, SEVERAL));
        }
        let mut rows = self.rows_of(query, columns, around)?;
        if columns {
            rows = rows.of_columns(1, taker, query)?;
        }
        let (value, is_correlated) = match rows {
            Rows::One(one) => {
                let is_correlated = !one.keys.is_empty();
                (one.value(asked, scope, name)?, is_correlated)
            }
            Rows::Any(inner) => {
                let distinct = inner.distinct;
                let (linked, mut items) = inner.linked(around)?;
                let rows = Any { name: name.to_owned(), plan: linked.plan, keys: linked.keys };
                let is_correlated = !rows.keys.is_empty();
                let value = match (asked, items.pop()) {
                    (Asked::Exists { negated, .. }, _) => rows.exists(*negated),
                    (Asked::Scalar(query), Some(item)) => rows.single(item, distinct, query),
                    (Asked::Compared(compared), Some(item)) => {
                        let wanted = scope.bind(compared.wanted)?;
                        rows.compared((wanted, &around.plan), item, compared)
                    }
                    (_, None) => Err(SqlError::at(query, "the subquery has no column")),
                };
                (value?, is_correlated)
            }
        };
        if scope.calls.is_some() && is_correlated {
            return Err(SqlError::at(query, OF_GROUPS));
        }
        Ok(value)
    }
}

const SEVERAL: &str = "several columns are compared with those of a subquery by IN and NOT IN, as a condition of WHERE by \
                       itself or beside others with AND, but not here";

const OF_GROUPS: &str = "a subquery about the rows around it is not supported where these are grouped: group them in a \
                         subquery of FROM";

impl Value {
    pub(super) fn data_type(&self) -> Type {
        self.made.data_type.clone()
    }

    /// The rows with the value as a column of this name.
    pub(in crate::bind) fn attached(
        self,
        rows: Relation,
        name: &str,
    ) -> Result<Relation, SqlError> {
        let own = rows.plan.schema().columns().into_iter().map(Expr::Column);
        let mut columns: Vec<Expr> = own.collect();
        let mut plan = LogicalPlanBuilder::from(rows.plan);
        for Side { plan: side, on } in self.sides {
            let mut matching: Vec<Expr> =
                on.into_iter().map(|(around, own)| around.eq(own)).collect();
            if matching.is_empty() {
                // A plan has a condition.
                matching.push(lit(true));
            }
            plan =
                plan.join_on(side, JoinType::Left, matching).map_err(|error| planning(&error))?;
        }
        columns.push(self.made.expr.alias(name));
        let plan = plan.project(columns).and_then(LogicalPlanBuilder::build);
        let plan = Arc::new(plan.map_err(|error| planning(&error))?);
        Ok(Relation { plan, columns: rows.columns })
    }

    /// The same of groups of the rows.
    pub(in crate::bind) fn of(self, groups: &Groups, place: Span) -> Result<Self, SqlError> {
        let mut sides = self.sides;
        for (around, _) in sides.iter_mut().flat_map(|side| &mut side.on) {
            *around = groups.of(around.clone(), place)?;
        }
        let Bound { expr, data_type } = self.made;
        Ok(Self { sides, made: Bound { expr: groups.of(expr, place)?, data_type } })
    }
}

impl Column {
    /// A column of the plan that only what is in place of a subquery names.
    pub(super) fn value(table: &str, name: &str, data_type: Type) -> Self {
        let cells = Cells::One(PlanColumn::new_unqualified(name));
        let (table, name) = (Some(table.to_owned()), name.to_owned());
        Self { table, name, cells, data_type, qualified: true }
    }
}

/// Rows of a subquery, any number for each row around.
struct Any {
    /// How names of columns begin.
    name: String,
    plan: Arc<LogicalPlan>,
    keys: Vec<Key>,
}

impl Any {
    /// The value of the one row.
    fn single(self, item: Bound, distinct: bool, query: &Query) -> Result<Value, SqlError> {
        if self.keys.is_empty() && is_one_row(&self.plan) {
            let (made, plan) = (self.column("v"), Arc::unwrap_or_clone(self.rows(item.expr)?));
            let sides = vec![Side { plan, on: Vec::new() }];
            return Ok(Value { sides, made: nullable(made, item.data_type.kind) });
        }
        let kind = item.data_type.kind;
        if kind.is_nested() {
            let message = format!(
                "a subquery whose value is {kind} is supported only if it aggregates all of its rows"
            );
            return Err(SqlError::at(query, message));
        }
        let mut plan = self.rows(item.expr)?;
        let value = self.column("v");
        if distinct {
            let mut by = self.columns();
            by.push(value.clone());
            plan = Groups::new(plan, &by, &[])?.plan;
        }
        let output = Type { kind: kind.clone(), nullable: true };
        let call = Call::plain(AggregateFunction::Single, Some(value), output);
        let plan = Groups::new(plan, &self.columns(), &[call])?.plan;
        let sides =
            vec![self.side(plan, self.columns(), vec![called(0).alias(self.named("0"))])?];
        Ok(Value { sides, made: nullable(self.column("0"), kind) })
    }

    /// Whether there is a row.
    fn exists(self, negated: bool) -> Result<Value, SqlError> {
        let (plan, found) = (self.rows(lit(true))?, self.column("v"));
        let (by, made) = match self.keys.is_empty() {
            true => (vec![found.clone()], found.clone()),
            false => (self.columns(), lit(true).alias(self.named("v"))),
        };
        let plan = Groups::new(plan, &by, &[])?.plan;
        let sides = vec![self.side(plan, self.columns(), vec![made])?];
        let made = if negated { found.is_null() } else { found.is_not_null() };
        Ok(Value { sides, made: boolean(made, false) })
    }

    /// Whether a comparison is true of one of the values, or of all.
    fn compared(
        self,
        (wanted, around): (Bound, &LogicalPlan),
        item: Bound,
        compared: &Compared<'_>,
    ) -> Result<Value, SqlError> {
        let Compared { operator, all, .. } = *compared;
        let is_equality =
            matches!((operator, all), (Operator::Eq, false) | (Operator::NotEq, true));
        let may_be_null = |bound: &Bound, plan: &LogicalPlan| {
            bound.data_type.nullable && !never_null(plan, &bound.expr)
        };
        let nullable = may_be_null(&wanted, around) || may_be_null(&item, &self.plan);
        if !is_equality {
            ordered(&wanted, compared.wanted)?;
        }
        let (wanted, item) = pair(wanted, item, compared.wanted)?;
        let (item_kind, wanted) = (item.data_type.kind, wanted.expr);
        let mut sides = Vec::new();
        let count = |argument: Option<Expr>| {
            let function = match argument {
                Some(_) => AggregateFunction::Count,
                None => AggregateFunction::CountAll,
            };
            Call::plain(function, argument, Type::required(Kind::BigInt))
        };
        let extreme = |function| {
            let output = Type { kind: item_kind.clone(), nullable: true };
            Call::plain(function, Some(self.column("v")), output)
        };
        let plan = self.rows(item.expr)?;
        let mut calls = Vec::new();
        if nullable || !is_equality {
            calls.extend([count(None), count(Some(self.column("v")))]);
        }
        // All that it takes to compare with each: with one that is equal, or with the least and the greatest.
        let (least, greatest) = (AggregateFunction::Min, AggregateFunction::Max);
        match (operator, all) {
            _ if is_equality => {}
            (Operator::Eq | Operator::NotEq, _) => {
                calls.extend([extreme(least), extreme(greatest)]);
            }
            (Operator::Gt | Operator::GtEq, false) | (Operator::Lt | Operator::LtEq, true) => {
                calls.push(extreme(least));
            }
            _ => calls.push(extreme(greatest)),
        }
        if !calls.is_empty() {
            let plan = Groups::new(Arc::clone(&plan), &self.columns(), &calls)?.plan;
            let made = (0..calls.len()).map(|at| called(at).alias(self.named(&at.to_string())));
            sides.push(self.side(plan, self.columns(), made.collect())?);
        }
        let is_true = if is_equality {
            let found = self.found(plan, wanted.clone())?;
            sides.push(found);
            self.column("found").is_not_null()
        } else {
            let compare = |at: &str| binary(wanted.clone(), operator, self.column(at));
            match (calls.len(), all) {
                (4, true) => compare("2").and(compare("3")),
                (4, false) => compare("2").or(compare("3")),
                _ => compare("2"),
            }
        };
        // What is true of one, and what is not true of all.
        let decides = match (is_equality, all) {
            (true, _) | (false, false) => is_true,
            (false, true) => Expr::Not(Box::new(is_true)),
        };
        let [decided, otherwise] = [lit(!all), lit(all)];
        let whens = match calls.is_empty() {
            true => vec![(decides, decided)],
            false => {
                let [rows, values] = [self.column("0"), self.column("1")];
                let unknown = lit(ScalarValue::Boolean(None));
                let none = rows.clone().is_null().or(rows.clone().eq(lit(0_i64)));
                vec![
                    (none, otherwise.clone()),
                    (decides, decided),
                    (wanted.is_null().or(values.lt(rows)), unknown),
                ]
            }
        };
        let nullable = !calls.is_empty();
        Ok(Value { sides, made: boolean(case(whens, otherwise), nullable) })
    }

    /// Which values there are, for what is equal to one.
    fn found(&self, plan: Arc<LogicalPlan>, wanted: Expr) -> Result<Side, SqlError> {
        let mut by = self.columns();
        by.push(self.column("v"));
        let plan = Groups::new(plan, &by, &[])?.plan;
        let mut names: Vec<String> =
            (0..self.keys.len()).map(|at| self.named(&format!("found{at}"))).collect();
        names.push(self.named("found"));
        let columns: Vec<Expr> =
            by.into_iter().zip(&names).map(|(column, name)| column.alias(name)).collect();
        let plan = built(LogicalPlanBuilder::from(plan).project(columns))?;
        let around = self.keys.iter().map(|key| key.around.clone()).chain([wanted]);
        let own = names.into_iter().map(|name| Expr::Column(PlanColumn::new_unqualified(name)));
        Ok(Side { plan: Arc::unwrap_or_clone(plan), on: around.zip(own).collect() })
    }

    fn named(&self, of: &str) -> String {
        format!("{}_{of}", self.name)
    }

    fn column(&self, of: &str) -> Expr {
        Expr::Column(PlanColumn::new_unqualified(self.named(of)))
    }

    /// The columns of the keys.
    fn columns(&self) -> Vec<Expr> {
        (0..self.keys.len()).map(|at| self.column(&format!("k{at}"))).collect()
    }

    /// The keys of the rows, and a value of each.
    fn rows(&self, value: Expr) -> Result<Arc<LogicalPlan>, SqlError> {
        let keys = self.keys.iter().enumerate();
        let keys = keys.map(|(at, key)| key.own.clone().alias(self.named(&format!("k{at}"))));
        let columns: Vec<Expr> = keys.chain([value.alias(self.named("v"))]).collect();
        built(LogicalPlanBuilder::from(Arc::clone(&self.plan)).project(columns))
    }

    /// What a row is joined with: these keys, and what is made for them.
    fn side(
        &self,
        plan: Arc<LogicalPlan>,
        keys: Vec<Expr>,
        made: Vec<Expr>,
    ) -> Result<Side, SqlError> {
        let around = self.keys.iter().map(|key| key.around.clone());
        let on = around.zip(keys.clone()).collect();
        let columns: Vec<Expr> = keys.into_iter().chain(made).collect();
        let plan = built(LogicalPlanBuilder::from(plan).project(columns))?;
        Ok(Side { plan: Arc::unwrap_or_clone(plan), on })
    }
}

/// The column of a group with the result of a call.
pub(super) fn called(at: usize) -> Expr {
    Expr::Column(PlanColumn::new_unqualified(Calls::name(at)))
}

pub(super) fn binary(left: Expr, operator: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), operator, Box::new(right)))
}

/// The result of the first condition that is true.
pub(super) fn case(whens: Vec<(Expr, Expr)>, otherwise: Expr) -> Expr {
    let whens = whens.into_iter().map(|(when, then)| (Box::new(when), Box::new(then)));
    Expr::Case(Case {
        expr: None,
        when_then_expr: whens.collect(),
        else_expr: Some(Box::new(otherwise)),
    })
}

pub(super) fn nullable(expr: Expr, kind: Kind) -> Bound {
    Bound { expr, data_type: Type { kind, nullable: true } }
}

pub(super) fn built(
    plan: Result<LogicalPlanBuilder, DataFusionError>,
) -> Result<Arc<LogicalPlan>, SqlError> {
    plan.and_then(LogicalPlanBuilder::build).map(Arc::new).map_err(|error| planning(&error))
}

/// Whether a plan has one row at most, whatever comes.
fn is_one_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
        LogicalPlan::Projection(projection) => is_one_row(&projection.input),
        LogicalPlan::Filter(filter) => is_one_row(&filter.input),
        LogicalPlan::SubqueryAlias(alias) => is_one_row(&alias.input),
        LogicalPlan::EmptyRelation(_) => true,
        _ => false,
    }
}
