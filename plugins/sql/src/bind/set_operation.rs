//! UNION, INTERSECT and EXCEPT.

use std::{collections::HashSet, fmt, sync::Arc};

use datafusion_common::{DFSchemaRef, DataFusionError};
use datafusion_expr::{
    Expr, Extension, LogicalPlan, LogicalPlanBuilder, UserDefinedLogicalNodeCore,
};
use sqlparser::ast::{SetExpr, SetOperator, SetQuantifier};

use super::{
    Binder, Relation, coerce,
    node::compared_by_identity,
    planning,
    select::{project, unsupported},
};
use crate::{
    error::{Place, SqlError},
    relation::SetOperation,
};

impl Binder<'_> {
    /// The rows of two queries together, or those that both have, or only the first.
    pub(super) fn set_operation(
        &mut self,
        (operator, quantifier): (SetOperator, SetQuantifier),
        left: &SetExpr,
        right: &SetExpr,
    ) -> Result<Relation, SqlError> {
        let all = match quantifier {
            SetQuantifier::All => true,
            SetQuantifier::None | SetQuantifier::Distinct => false,
            other => return Err(unsupported(right, &format!("{operator} {other}"))),
        };
        let operation = match (operator, all) {
            (SetOperator::Union, _) => None,
            (SetOperator::Intersect, false) => Some(SetOperation::Intersect),
            (SetOperator::Intersect, true) => Some(SetOperation::IntersectAll),
            (SetOperator::Except, false) => Some(SetOperation::Except),
            (SetOperator::Except, true) => Some(SetOperation::ExceptAll),
            (SetOperator::Minus, _) => return Err(unsupported(right, "MINUS")),
        };
        let name = operation.map_or(if all { "UNION ALL" } else { "UNION" }, SetOperation::name);
        let (first, second) = (self.body(left)?, self.body(right)?);
        let (first, second) = aligned(first, second, name, right)?;
        match operation {
            None if all => union(first, second),
            None => union(first, second)?.distinct(),
            Some(operation) => Ok(matched(first, second, operation)),
        }
    }
}

/// The rows of both with columns of the same names, each of the type that both can be.
fn aligned(
    first: Relation,
    second: Relation,
    name: &str,
    part: &impl Place,
) -> Result<(Relation, Relation), SqlError> {
    let (a, b) = (first.columns.len(), second.columns.len());
    if a != b {
        let message = format!("{name} joins queries of as many columns: {a} and {b}");
        return Err(SqlError::at(part, message));
    }
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for (i, (a, b)) in first.columns.iter().zip(&second.columns).enumerate() {
        let Some(kind) = a.data_type.kind.common(&b.data_type.kind) else {
            let (a, b, i) = (&a.data_type.kind, &b.data_type.kind, i + 1);
            let message = format!("column {i} of the queries is {a} and {b}: use CAST");
            return Err(SqlError::at(part, message));
        };
        left.push((a.name.clone(), coerce::widen(a.bound(), kind.clone())));
        right.push((a.name.clone(), coerce::widen(b.bound(), kind)));
    }
    Ok((project(&first, left)?, project(&second, right)?))
}

/// All rows of both.
fn union(first: Relation, second: Relation) -> Result<Relation, SqlError> {
    let plan = LogicalPlanBuilder::from(Arc::clone(&first.plan))
        .union(second.plan.as_ref().clone())
        .and_then(LogicalPlanBuilder::build)
        .map_err(|error| planning(&error))?;
    let mut columns = first.columns;
    for (column, other) in columns.iter_mut().zip(&second.columns) {
        column.data_type.nullable |= other.data_type.nullable;
    }
    Ok(Relation { plan: Arc::new(plan), columns })
}

/// The rows that both have, or only the first.
fn matched(first: Relation, second: Relation, operation: SetOperation) -> Relation {
    let mut columns = first.columns;
    for (column, other) in columns.iter_mut().zip(&second.columns) {
        // A row that both have has NULL only where both may have it.
        if !operation.takes_back() {
            column.data_type.nullable &= other.data_type.nullable;
        }
    }
    let node = Matched { left: first.plan, right: second.plan, operation };
    let plan = LogicalPlan::Extension(Extension { node: Arc::new(node) });
    Relation { plan: Arc::new(plan), columns }
}

/// INTERSECT or EXCEPT in a plan. Both inputs have the same columns.
#[derive(Clone, Debug)]
pub(crate) struct Matched {
    pub(crate) left: Arc<LogicalPlan>,
    pub(crate) right: Arc<LogicalPlan>,
    pub(crate) operation: SetOperation,
}

impl Matched {
    /// That of a plan, if it begins with one.
    pub(crate) fn in_plan(plan: &LogicalPlan) -> Option<&Self> {
        match plan {
            LogicalPlan::Extension(Extension { node }) => node.as_any().downcast_ref(),
            _ => None,
        }
    }

    fn identity(&self) -> (&LogicalPlan, &LogicalPlan, SetOperation) {
        (&self.left, &self.right, self.operation)
    }
}

compared_by_identity!(Matched);

impl UserDefinedLogicalNodeCore for Matched {
    fn name(&self) -> &str {
        "Matched"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.left, &self.right]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.left.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    /// Equal rows pass a filter or do not, on either side.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        HashSet::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.operation)
    }

    fn with_exprs_and_inputs(
        &self,
        _expressions: Vec<Expr>,
        inputs: Vec<LogicalPlan>,
    ) -> Result<Self, DataFusionError> {
        let [left, right] = <[LogicalPlan; 2]>::try_from(inputs)
            .map_err(|_| DataFusionError::Plan("INTERSECT and EXCEPT have two inputs".into()))?;
        let (left, right) = (Arc::new(left), Arc::new(right));
        Ok(Self { left, right, operation: self.operation })
    }

    /// Rows are equal in all columns, also in those that nobody reads.
    fn necessary_children_exprs(&self, _output: &[usize]) -> Option<Vec<Vec<usize>>> {
        let all = |plan: &LogicalPlan| (0..plan.schema().fields().len()).collect();
        Some(vec![all(&self.left), all(&self.right)])
    }
}
