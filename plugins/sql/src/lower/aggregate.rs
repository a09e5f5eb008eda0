//! Groups.

use std::sync::Arc;

use datafusion_common::{DFSchema, ScalarValue};
use datafusion_expr::{Aggregate, Expr, expr::AggregateFunctionParams};
use datafusion_physical_expr::PhysicalExpr;

use super::{Asked, column, lower, mentions, physical, project};
use crate::{
    bind,
    error::SqlError,
    function::UserCall,
    relation::{AggregateCall, RANK, Rel},
};

/// The groups of an aggregate.
pub(super) fn aggregate(aggregate: &Aggregate, asked: Asked) -> Result<Option<Rel>, SqlError> {
    let mut columns = aggregate.group_expr.clone();
    let keys = columns.len();
    let names = aggregate.schema.fields().iter().skip(keys);
    let calls = aggregate.aggr_expr.iter().zip(names);
    let calls = calls.map(|(call, field)| self::call(call, field.name(), &mut columns));
    let calls = calls.collect::<Result<Vec<_>, _>>()?;
    let rank = columns.iter().any(|column| mentions(column, RANK));
    let Some(input) = lower(&aggregate.input, Asked { rank, ..asked })? else { return Ok(None) };
    calls.iter().try_for_each(|call| takes_back(call, &input))?;
    if columns.is_empty() {
        // Rows without columns are no rows.
        columns.push(Expr::Literal(ScalarValue::Boolean(Some(true)), None));
    }
    let input = arranged(input, &columns, aggregate.input.schema())?;
    Ok(Some(Rel::Aggregate { input: Box::new(input), keys, calls }))
}

/// Refuses a function of a user that cannot take rows back over rows that are.
fn takes_back(call: &AggregateCall, input: &Rel) -> Result<(), SqlError> {
    let user = call.user.as_ref().filter(|user| !user.function.retracts());
    match user.zip(input.updates()) {
        None => Ok(()),
        Some((user, cause)) => Err(SqlError::new(format!(
            "{} cannot take rows back, so that it cannot be called for rows that are updated, because of {cause}: \
             give the function a `retract`, and say that it RETRACTS",
            user.function.name()
        ))),
    }
}

/// A call of a plan; what it is about is added to the columns that it needs.
pub(super) fn call(
    call: &Expr,
    name: &str,
    columns: &mut Vec<Expr>,
) -> Result<AggregateCall, SqlError> {
    let bound = match call.clone().unalias() {
        Expr::AggregateFunction(bound) => bound,
        other => return Err(SqlError::new(format!("`{other}` is no aggregate function"))),
    };
    let function = bind::Aggregate::in_plan(&**bound.func.inner()).ok_or_else(|| {
        SqlError::new(format!("the aggregate function {} is not known", bound.func.name()))
    })?;
    let AggregateFunctionParams { args, distinct, filter, .. } = bound.params;
    let mut at = |expression: Expr| {
        let same = columns.iter().position(|other| *other == expression);
        same.unwrap_or_else(|| {
            columns.push(expression);
            columns.len() - 1
        })
    };
    let arguments: Vec<usize> = args.into_iter().map(&mut at).collect();
    let is_column = function.user.is_none() || distinct;
    Ok(AggregateCall {
        function: function.function,
        argument: arguments.first().copied().filter(|_| is_column),
        filter: filter.map(|filter| at(*filter)),
        distinct,
        separator: function.separator.clone(),
        default: None,
        output: function.output.clone(),
        name: name.to_owned(),
        user: function.user.clone().map(|function| UserCall { function, arguments }),
    })
}

/// The input as rows of just these columns.
pub(super) fn arranged(input: Rel, columns: &[Expr], schema: &DFSchema) -> Result<Rel, SqlError> {
    let own = columns.iter().enumerate().all(|(i, key)| column(key, schema) == Some(i));
    if own && columns.len() == input.schema().fields.len() {
        return Ok(input);
    }
    let mut arranged: Vec<(String, Arc<dyn PhysicalExpr>)> = Vec::new();
    for (i, expression) in columns.iter().enumerate() {
        let mut name = match expression {
            Expr::Column(column) => column.name.clone(),
            _ => format!("${i}"),
        };
        while arranged.iter().any(|(other, _)| *other == name) {
            name.push('\'');
        }
        arranged.push((name, physical(expression, schema)?));
    }
    project(input, arranged, schema.as_arrow())
}
