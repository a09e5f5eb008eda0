//! Values of subqueries that aggregate all rows that belong to a row around: there is one row, of no rows, too.

use std::sync::Arc;

use datafusion_common::{
    Column as PlanColumn, ScalarValue,
    tree_node::{Transformed, TreeNode, TreeNodeRecursion},
};
use datafusion_expr::{Expr, LogicalPlanBuilder, Operator, lit};

use super::{
    super::{
        Bound,
        expression::{Scope, boolean, ordered, pair},
        planning,
    },
    rows::{Key, One},
    value::{Asked, Side, Value, binary, built, called, case, nullable},
};
use crate::error::SqlError;

impl One {
    /// What is asked, where each row around has this one.
    pub(super) fn value(
        self,
        asked: &Asked<'_>,
        scope: &Scope<'_>,
        name: &str,
    ) -> Result<Value, SqlError> {
        let Self { plan, keys, mut items, having, counts, .. } = self;
        let column = |of: String| PlanColumn::new_unqualified(format!("{name}_{of}"));
        let (mut columns, mut on) = (Vec::new(), Vec::new());
        for (at, Key { around, own }) in keys.into_iter().enumerate() {
            let key = column(format!("k{at}"));
            columns.push(own.alias(&key.name));
            on.push((around, Expr::Column(key)));
        }
        let mut results = Vec::new();
        for (at, is_count) in counts.into_iter().enumerate() {
            let result = column(at.to_string());
            columns.push(called(at).alias(&result.name));
            let result = Expr::Column(result);
            results.push(match is_count {
                false => result,
                true => case(vec![(result.clone().is_null(), lit(0_i64))], result),
            });
        }
        let with_results = |expression: Expr| {
            let made = expression.transform_down(|part| {
                let at = (0..results.len()).find(|at| part == called(*at));
                Ok(match at.and_then(|at| results.get(at)) {
                    Some(result) => Transformed::new(result.clone(), true, TreeNodeRecursion::Jump),
                    None => Transformed::no(part),
                })
            });
            made.map(|made| made.data).map_err(|error| planning(&error))
        };
        let having = having.map(with_results).transpose()?;
        let item = items.pop().filter(|_| !matches!(asked, Asked::Exists { .. }));
        let item = item.map(|Bound { expr, data_type }| {
            Ok::<_, SqlError>(Bound { expr: with_results(expr)?, data_type })
        });
        let made = match (asked, item.transpose()?) {
            (Asked::Exists { negated, .. }, _) => {
                let there = having.map_or(lit(true), |having| Expr::IsTrue(Box::new(having)));
                boolean(if *negated { Expr::Not(Box::new(there)) } else { there }, false)
            }
            (Asked::Scalar(_), Some(Bound { expr, data_type })) => match having {
                None => Bound { expr, data_type },
                Some(having) => {
                    let null = ScalarValue::try_from(&data_type.kind.arrow());
                    let null = lit(null.map_err(|error| planning(&error))?);
                    nullable(case(vec![(having, expr)], null), data_type.kind)
                }
            },
            (Asked::Compared(compared), Some(item)) => {
                let wanted = scope.bind(compared.wanted)?;
                if !matches!(compared.operator, Operator::Eq | Operator::NotEq) {
                    ordered(&wanted, compared.wanted)?;
                }
                let (wanted, item) = pair(wanted, item, compared.wanted)?;
                let compared_with_one = binary(wanted.expr, compared.operator, item.expr);
                boolean(
                    match having {
                        None => compared_with_one,
                        Some(having) => case(vec![(having, compared_with_one)], lit(compared.all)),
                    },
                    true,
                )
            }
            (_, None) => return Err(SqlError::at(asked.query(), "the subquery has no column")),
        };
        let plan = built(LogicalPlanBuilder::from(plan).project(columns))?;
        let sides = vec![Side { plan: Arc::unwrap_or_clone(plan), on }];
        Ok(Value { sides, made })
    }
}
