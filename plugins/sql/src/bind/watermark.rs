//! `CURRENT_WATERMARK(ts)`: the watermark in front of each row.

use datafusion_common::Column as PlanColumn;
use datafusion_expr::{Cast, Expr, LogicalPlan};
use sqlparser::ast::{self, FunctionArg, FunctionArgExpr, FunctionArguments};

use super::{Bound, event_time::is_event_time, expression::Scope};
use crate::{error::SqlError, types::Type};

/// The cell that a table with a watermark has beside those of its connector: TIMESTAMP(3), what the watermark is in
/// front of the row, NULL if there is none yet.
pub(crate) const CURRENT: &str = "$watermark";

impl Scope<'_> {
    /// The call, if the function is `CURRENT_WATERMARK`.
    pub(super) fn current_watermark(
        &self,
        name: &str,
        function: &ast::Function,
        part: &ast::Expr,
    ) -> Result<Option<Bound>, SqlError> {
        if name != "CURRENT_WATERMARK" {
            return Ok(None);
        }
        let refused = |why: &str| Err(SqlError::at(part, format!("CURRENT_WATERMARK {why}")));
        let takes = "takes the column that a table has its WATERMARK for, passed on as it is";
        let FunctionArguments::List(list) = &function.args else { return refused(takes) };
        let [FunctionArg::Unnamed(FunctionArgExpr::Expr(time))] = &list.args[..] else {
            return refused(takes);
        };
        let Bound { expr, data_type } = self.bind(time)?;
        match &expr {
            Expr::Column(column) if is_event_time(&self.relation.plan, column) => {}
            _ => return refused(takes),
        }
        let Some(cell) = cell(&self.relation.plan) else {
            return refused(
                "stands in the query that reads the table, in WHERE and SELECT, not behind joins, windows and \
                 subqueries",
            );
        };
        let data_type = Type::nullable(data_type.kind);
        let to = data_type.kind.arrow();
        let expr = Expr::Cast(Cast::new(Box::new(Expr::Column(cell)), to));
        Ok(Some(Bound { expr, data_type }))
    }
}

/// The cell of the one table that a plan reads, if nothing else is done than to filter and to name its rows.
fn cell(plan: &LogicalPlan) -> Option<PlanColumn> {
    let mut below = plan;
    loop {
        below = match below {
            LogicalPlan::TableScan(_) => break,
            LogicalPlan::SubqueryAlias(alias) => &alias.input,
            LogicalPlan::Filter(filter) => &filter.input,
            LogicalPlan::Projection(projection) => &projection.input,
            _ => return None,
        };
    }
    plan.schema().columns().into_iter().find(|column| column.name == CURRENT)
}
