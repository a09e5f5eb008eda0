//! Making plans cheaper: DataFusion's rules, those that are allowed here.

mod known;
mod top_n;

use std::sync::Arc;

use datafusion_expr::LogicalPlan;
use datafusion_optimizer::{
    Optimizer, OptimizerContext, OptimizerRule, common_subexpr_eliminate::CommonSubexprEliminate,
    eliminate_filter::EliminateFilter, eliminate_outer_join::EliminateOuterJoin,
    optimize_projections::OptimizeProjections, push_down_filter::PushDownFilter,
    simplify_expressions::SimplifyExpressions,
};

use crate::{bind::planning, error::SqlError};

/// The rules, in order, with the reason for each. What is not listed is not applied: most rules are for
/// tables that end.
fn rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    vec![
        // Constants are computed once.
        Arc::new(SimplifyExpressions::new()),
        // Conditions that are always or never true go.
        Arc::new(EliminateFilter::new()),
        // A join need not keep rows without a match that a filter above drops.
        Arc::new(EliminateOuterJoin::new()),
        // Rows are dropped before something is computed of them.
        Arc::new(PushDownFilter::new()),
        // What conditions say about columns decides what is computed of them.
        Arc::new(known::Known),
        // Of rows with a rank only the first ones are kept. This comes behind the filters, and in front of what
        // puts projections between them and the ranks.
        Arc::new(top_n::TopN),
        // What several expressions need is computed once.
        Arc::new(CommonSubexprEliminate::new()),
        // Sources read only the columns that somebody needs; projections of projections are one.
        Arc::new(OptimizeProjections::new()),
    ]
}

/// The plan that gives the same rows for less.
///
/// # Errors
/// If a rule fails, which is a bug.
pub(crate) fn optimize(plan: &LogicalPlan) -> Result<LogicalPlan, SqlError> {
    let context = OptimizerContext::new().with_max_passes(4);
    Optimizer::with_rules(rules())
        .optimize(plan.clone(), &context, |_, _| ())
        .map_err(|error| planning(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Catalog, bind::Binder, parse};

    /// The plan of a query over one table, made cheaper.
    fn plan(query: &str) -> String {
        let script = format!(
            "CREATE TABLE t (a BIGINT, b BIGINT, r ROW<x STRING, y STRING>) \
             WITH ('connector' = 'datagen'); {query}"
        );
        let mut catalog = Catalog::default();
        let mut shown = String::new();
        for statement in parse::parse(&script).unwrap() {
            match statement.kind {
                parse::StatementKind::CreateTable(table) => catalog.add_table(*table).unwrap(),
                parse::StatementKind::Query(query) => {
                    let relation = Binder::new(&catalog).query(&query).unwrap();
                    shown = optimize(&relation.plan).unwrap().display_indent().to_string();
                }
                other => panic!("{other:?}"),
            }
        }
        shown
    }

    #[test]
    fn constants_are_computed_once() {
        let plan = plan("SELECT a FROM t WHERE b > 1 + 2");
        assert!(plan.contains("t.b > Int64(3)"), "{plan}");
    }

    #[test]
    fn conditions_that_say_nothing_go() {
        let plan = plan("SELECT a FROM t WHERE 1 < 2");
        assert!(!plan.contains("Filter"), "{plan}");
    }

    #[test]
    fn rows_are_dropped_before_something_is_computed_of_them() {
        let plan = plan("SELECT c FROM (SELECT UPPER(r.x) AS c, a FROM t) WHERE a = 1");
        let at = |what: &str| plan.find(what).unwrap_or_else(|| panic!("{what}: {plan}"));
        assert!(at("UPPER") < at("Filter"), "{plan}");
    }

    #[test]
    fn what_a_condition_decides_is_not_computed() {
        let plan = plan(
            "SELECT CASE a WHEN 0 THEN r.x WHEN 1 THEN r.y ELSE 'none' END AS c, a FROM t \
             WHERE a = 1 AND b > 0",
        );
        assert!(plan.contains("Projection: t.r.y AS c, t.a"), "{plan}");
        assert!(plan.contains("TableScan: t projection=[a, b, r.y]"), "{plan}");
    }

    #[test]
    fn what_is_needed_twice_is_computed_once() {
        let plan = plan("SELECT REVERSE(r.x) || 'a', REVERSE(r.x) || 'b' FROM t");
        assert_eq!(plan.matches("REVERSE(").count(), 1, "{plan}");
    }

    #[test]
    fn only_what_somebody_needs_is_read() {
        let plan = plan("SELECT y FROM (SELECT a, b, r.x, r.y FROM t)");
        assert!(plan.contains("TableScan: t projection=[r.y]"), "{plan}");
    }
}
