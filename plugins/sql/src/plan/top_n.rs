//! ROW_NUMBER below a filter of ranks is a Top-N.

use std::sync::Arc;

use datafusion_common::{DataFusionError, ScalarValue, tree_node::Transformed};
use datafusion_expr::{
    BinaryExpr, Expr, Extension, Filter, LogicalPlan, Operator,
    utils::{conjunction, split_conjunction},
};
use datafusion_optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use crate::{bind::RowNumber, relation::RANK};

/// Takes the greatest rank that is asked for from a filter into the node below.
#[derive(Debug)]
pub(super) struct TopN;

impl OptimizerRule for TopN {
    fn name(&self) -> &str {
        "top_n"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>, DataFusionError> {
        let LogicalPlan::Filter(filter) = &plan else { return Ok(Transformed::no(plan)) };
        let Some(rows) = RowNumber::in_plan(&filter.input) else {
            return Ok(Transformed::no(plan));
        };
        let (mut limit, mut rest) = (rows.limit, Vec::new());
        for condition in split_conjunction(&filter.predicate) {
            let (last, exact) = greatest(condition);
            limit = limit.into_iter().chain(last).min();
            if !exact {
                rest.push(condition.clone());
            }
        }
        if rest.len() == split_conjunction(&filter.predicate).len() && limit == rows.limit {
            return Ok(Transformed::no(plan));
        }
        let mut node = rows.clone();
        node.limit = limit;
        let node = Arc::new(node);
        let top = LogicalPlan::Extension(Extension { node });
        Ok(Transformed::yes(match conjunction(rest) {
            None => top,
            Some(rest) => LogicalPlan::Filter(Filter::try_new(rest, Arc::new(top))?),
        }))
    }
}

/// The greatest rank for which a condition may be true, if it says so, and whether it is true for all up to there.
fn greatest(condition: &Expr) -> (Option<u64>, bool) {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = condition else { return (None, false) };
    let (op, value) = match (&**left, &**right) {
        (Expr::Column(column), Expr::Literal(ScalarValue::Int64(Some(value)), _))
            if column.name == RANK =>
        {
            (Some(*op), *value)
        }
        (Expr::Literal(ScalarValue::Int64(Some(value)), _), Expr::Column(column))
            if column.name == RANK =>
        {
            (op.swap(), *value)
        }
        _ => return (None, false),
    };
    // Ranks are from 1 on.
    let least = |value: i64| Some(u64::try_from(value).unwrap_or(0));
    match op {
        Some(Operator::Eq) => (least(value), value <= 1),
        Some(Operator::Lt) => (least(value.saturating_sub(1)), true),
        Some(Operator::LtEq) => (least(value), true),
        Some(Operator::Gt) => (None, value < 1),
        Some(Operator::GtEq) => (None, value <= 1),
        _ => (None, false),
    }
}

#[cfg(test)]
mod tests {
    use datafusion_expr::{col, lit};

    use super::*;

    #[test]
    fn conditions_of_ranks_have_a_greatest_one() {
        let rank = || col(RANK);
        for (condition, expected) in [
            (rank().lt_eq(lit(10_i64)), (Some(10), true)),
            (rank().lt(lit(10_i64)), (Some(9), true)),
            (lit(10_i64).gt(rank()), (Some(9), true)),
            (rank().eq(lit(1_i64)), (Some(1), true)),
            (rank().eq(lit(3_i64)), (Some(3), false)),
            (rank().eq(lit(-3_i64)), (Some(0), true)),
            (rank().lt(lit(i64::MIN)), (Some(0), true)),
            (rank().gt_eq(lit(1_i64)), (None, true)),
            (rank().gt_eq(lit(2_i64)), (None, false)),
            (rank().gt(lit(1_i64)), (None, false)),
            (rank().not_eq(lit(2_i64)), (None, false)),
            (col("x").lt(lit(2_i64)), (None, false)),
        ] {
            assert_eq!(greatest(&condition), expected, "{condition}");
        }
    }
}
