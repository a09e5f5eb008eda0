//! Joins with the versions of a table.

use datafusion_expr::UserDefinedLogicalNodeCore;

use super::{
    Asked, filtered,
    join::{Inputs, lonely, never_updated},
    lower,
};
use crate::{
    bind::TemporalJoin,
    error::SqlError,
    relation::{JoinKind, Rel, Timed},
};

/// The rows of a join with versions.
pub(super) fn join(join: &TemporalJoin, asked: Asked) -> Result<Option<Rel>, SqlError> {
    let asked = Asked { rank: true, time: true, ..asked };
    let (left, right) = (lower(&join.left, asked)?, lower(&join.right, asked)?);
    let kind = if join.keeps { JoinKind::Left } else { JoinKind::Inner };
    let schemas = [&**join.left.schema(), &**join.right.schema()];
    let (left, right) = match (left, right) {
        (Some(left), Some(right)) => (left, right),
        alone => return lonely(alone, schemas, join.schema(), kind),
    };
    never_updated("FOR SYSTEM_TIME AS OF behind rows", [&left, &left])
        .map_err(|error| error.or_at(join.span))?;
    let times = Some(join.times.clone());
    let mut inputs = Inputs::new([left, right], schemas, join.equal.clone(), times)?;
    let condition = match &join.condition {
        Some(condition) if join.keeps => inputs.condition(condition)?,
        _ => None,
    };
    inputs.pad(kind);
    // As in Flink, NULL is the key of what NULL is the key of.
    inputs.align();
    let Inputs { rows: [left, right], keys, times: Some(times), .. } = inputs.clone() else {
        return Err(SqlError::new("a temporal join without times"));
    };
    let joined = Timed::TemporalJoin { left, right, keys, kind, condition, times };
    let joined = inputs.picked(Rel::Timed(Box::new(joined)), kind)?;
    match &join.condition {
        Some(condition) if !join.keeps => filtered(joined, condition, join.schema()).map(Some),
        _ => Ok(Some(joined)),
    }
}
