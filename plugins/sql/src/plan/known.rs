//! Columns whose value a filter below says are that value.

use datafusion_common::{
    Column, DataFusionError, ExprSchema, ScalarValue,
    tree_node::{Transformed, TreeNode},
};
use datafusion_expr::{
    BinaryExpr, Expr, LogicalPlan, Operator, expr::Case, expr_rewriter::NamePreserver, lit,
    utils::split_conjunction,
};
use datafusion_optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

/// Puts the values in place of the columns, and decides each CASE that these values decide: behind
/// `WHERE kind = 2` nobody needs what a CASE has for other kinds, nor reads it.
#[derive(Debug)]
pub(super) struct Known;

impl OptimizerRule for Known {
    fn name(&self) -> &str {
        "known"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>, DataFusionError> {
        let LogicalPlan::Projection(projection) = &plan else { return Ok(Transformed::no(plan)) };
        let LogicalPlan::Filter(filter) = &*projection.input else {
            return Ok(Transformed::no(plan));
        };
        let schema = filter.input.schema();
        let same = |(column, value): &(&Column, &ScalarValue)| {
            let of = schema.field_from_column(column).map(|field| field.data_type());
            // Zero is equal to minus zero, and not the same.
            of.is_ok_and(|of| *of == value.data_type() && !of.is_floating())
        };
        let equalities = split_conjunction(&filter.predicate).into_iter().filter_map(equality);
        let known = equalities.filter(same);
        let known: Vec<_> = known.map(|(column, value)| (column.clone(), value.clone())).collect();
        if known.is_empty() {
            return Ok(Transformed::no(plan));
        }
        let names = NamePreserver::new(&plan);
        plan.map_expressions(|expression| {
            // A column by itself is read anyhow, and keeps its type and what is known of it.
            if let Expr::Column(_) = expression.clone().unalias() {
                return Ok(Transformed::no(expression));
            }
            let name = names.save(&expression);
            expression.transform_up(|part| Ok(decide(part, &known))).map(|made| {
                let (changed, tnr) = (made.transformed, made.tnr);
                Transformed::new(name.restore(made.data), changed, tnr)
            })
        })
    }
}

/// The column that a condition says is equal to a value.
fn equality(condition: &Expr) -> Option<(&Column, &ScalarValue)> {
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
            match (&**left, &**right) {
                (Expr::Column(column), Expr::Literal(value, _))
                | (Expr::Literal(value, _), Expr::Column(column)) => Some((column, value)),
                _ => None,
            }
        }
        _ => None,
    }
}

/// A part of an expression, the smaller parts of which are decided.
fn decide(part: Expr, known: &[(Column, ScalarValue)]) -> Transformed<Expr> {
    match part {
        Expr::Column(column) => match known.iter().find(|(of, _)| *of == column) {
            Some((_, value)) => Transformed::yes(lit(value.clone())),
            None => Transformed::no(Expr::Column(column)),
        },
        Expr::Case(case) => decide_case(case),
        other => Transformed::no(other),
    }
}

/// The branch that is taken of a CASE of a value, or those that are left.
fn decide_case(case: Case) -> Transformed<Expr> {
    let Some(Expr::Literal(value, _)) = case.expr.as_deref() else {
        return Transformed::no(Expr::Case(case));
    };
    let branches = case.when_then_expr.len();
    let mut left = Vec::new();
    for (when, then) in &case.when_then_expr {
        match &**when {
            Expr::Literal(other, _) if other == value && !value.is_null() => {
                if left.is_empty() {
                    return Transformed::yes((**then).clone());
                }
                left.push((when.clone(), then.clone()));
            }
            // Of one type, or it is not known whether they are equal.
            Expr::Literal(other, _) if other.data_type() == value.data_type() => {}
            _ => left.push((when.clone(), then.clone())),
        }
    }
    match (left.is_empty(), &case.else_expr) {
        (true, Some(otherwise)) => Transformed::yes((**otherwise).clone()),
        // NULL, of a type that only the branches have.
        (true, None) => Transformed::no(Expr::Case(case)),
        (false, _) => {
            let fewer = left.len() < branches;
            let made = Expr::Case(Case { when_then_expr: left, ..case });
            if fewer { Transformed::yes(made) } else { Transformed::no(made) }
        }
    }
}

#[cfg(test)]
mod tests {
    use datafusion_expr::{case, col};

    use super::*;

    #[test]
    fn a_case_of_a_value_is_its_branch() {
        let decided = |expression: Expr| decide(expression, &[]).data;
        let one = || case(lit(1)).when(lit(0), col("a")).when(lit(1), col("b"));
        assert_eq!(decided(one().otherwise(col("c")).unwrap()), col("b"));
        let other = case(lit(7)).when(lit(0), col("a")).otherwise(col("c")).unwrap();
        assert_eq!(decided(other), col("c"));
        // A branch that nobody knows anything of stays, and what is behind it.
        let unknown = case(lit(7))
            .when(lit(0), col("a"))
            .when(col("x"), col("b"))
            .when(lit(7), col("c"))
            .otherwise(col("d"))
            .unwrap();
        let expected = case(lit(7))
            .when(col("x"), col("b"))
            .when(lit(7), col("c"))
            .otherwise(col("d"))
            .unwrap();
        assert_eq!(decided(unknown), expected);
        let of_a_column = case(col("x")).when(lit(0), col("a")).end().unwrap();
        assert_eq!(decided(of_a_column.clone()), of_a_column);
    }
}
