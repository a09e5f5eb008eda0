//! Values of one type as values of another.

use datafusion_common::ScalarValue;
use datafusion_expr::{Cast, Expr};

use super::Bound;
use crate::{
    function::cast,
    types::{Kind, Type},
};

/// A bare NULL.
pub(super) fn null() -> Bound {
    let expr = Expr::Literal(ScalarValue::Null, None);
    Bound { expr, data_type: Type::nullable(Kind::Null) }
}

/// The value as one of a type that it can be without loss: what [`Kind::common`] gave.
pub(crate) fn widen(bound: Bound, kind: Kind) -> Bound {
    let (from, to) = (bound.data_type.kind.arrow(), kind.arrow());
    let is_other = kind.is_nested() && !bound.data_type.kind.same_values(&kind);
    if is_other && bound.data_type.kind != Kind::Null {
        return cast(bound, &kind, false);
    }
    let data_type = Type { kind, nullable: bound.data_type.nullable };
    if from == to {
        return Bound { expr: bound.expr, data_type };
    }
    let expr = match bound.expr {
        Expr::Literal(value, metadata) => match value.cast_to(&to) {
            Ok(value) => Expr::Literal(value, metadata),
            Err(_) => Expr::Cast(Cast::new(Box::new(Expr::Literal(value, metadata)), to)),
        },
        expr => Expr::Cast(Cast::new(Box::new(expr), to)),
    };
    Bound { expr, data_type }
}

/// The values as the type that all can be.
///
/// # Errors
/// Two types that have none in common.
pub(crate) fn common(values: Vec<Bound>) -> Result<(Vec<Bound>, Kind), (Kind, Kind)> {
    let kind = values.iter().try_fold(Kind::Null, |kind, value| {
        let other = &value.data_type.kind;
        kind.common(other).ok_or_else(|| (kind, other.clone()))
    })?;
    let values = values.into_iter().map(|value| widen(value, kind.clone())).collect();
    Ok((values, kind))
}

/// The value as a column of a table takes it; `None` if that takes a CAST (Flink's implicit casts).
pub(super) fn store(bound: Bound, to: &Type) -> Option<Bound> {
    let from = bound.data_type.kind.clone();
    if from == to.kind {
        return Some(bound);
    }
    let wider = to.kind.common(&from).is_some_and(|common| common.same_values(&to.kind));
    match (&from, &to.kind) {
        (Kind::Null, _) => Some(widen(bound, to.kind.clone())),
        // Text is cut to the column's length, or filled up.
        (a, b) if a.is_text() && b.is_text() => Some(cast(bound, &to.kind, false)),
        (Kind::Timestamp(_), Kind::Timestamp(_))
        | (Kind::TimestampLtz(_), Kind::TimestampLtz(_)) => Some(cast(bound, &to.kind, false)),
        (a, b) if a.is_numeric() && b.is_numeric() && !wider => Some(cast(bound, &to.kind, false)),
        _ if wider => Some(widen(bound, to.kind.clone())),
        _ => None,
    }
}
