//! INTERSECT and EXCEPT.

use super::{Asked, lower, unite};
use crate::{
    bind::Matched,
    error::SqlError,
    relation::{Rel, SetOperation},
};

/// The rows that both have, or only the first.
pub(super) fn matched(matched: &Matched, asked: Asked) -> Result<Option<Rel>, SqlError> {
    let operation = matched.operation;
    let asked = Asked { time: false, ..asked.all() };
    let Some(left) = lower(&matched.left, asked)? else { return Ok(None) };
    let Some(right) = lower(&matched.right, asked)? else {
        return Ok(match operation {
            SetOperation::Intersect | SetOperation::IntersectAll => None,
            SetOperation::ExceptAll => Some(left),
            SetOperation::Except => {
                let keys = left.schema().fields.len();
                Some(Rel::Aggregate { input: Box::new(left), keys, calls: Vec::new() })
            }
        });
    };
    Ok(unite(vec![left, right]).map(|both| {
        let inputs = match both {
            Rel::Union(inputs) => inputs,
            other => vec![other],
        };
        Rel::SetOperation { inputs, operation }
    }))
}
