//! What `+`, `-`, `*`, `/` and `%` make of which types.

use datafusion_expr::{BinaryExpr, Expr, Operator};
use sqlparser::ast::BinaryOperator;

use super::{Bound, coerce};
use crate::{
    error::{Place, SqlError},
    function::{self, Arithmetic},
    types::{Kind, MAX_PRECISION, Type},
};

/// An operation on two numbers, or on a time and an interval.
pub(super) fn arithmetic(
    left: Bound,
    op: &BinaryOperator,
    right: Bound,
    part: &impl Place,
) -> Result<Bound, SqlError> {
    compute(left, op, right).map_err(|message| SqlError::at(part, message))
}

/// [`arithmetic`], for a function that does it.
pub(crate) fn compute(left: Bound, op: &BinaryOperator, right: Bound) -> Result<Bound, String> {
    let refused = |left: &Bound, right: &Bound| {
        let (a, b) = (&left.data_type.kind, &right.data_type.kind);
        format!("there is no {a} {op} {b}: use CAST")
    };
    let operation = match op {
        BinaryOperator::Plus => Arithmetic::Add,
        BinaryOperator::Minus => Arithmetic::Subtract,
        BinaryOperator::Multiply => Arithmetic::Multiply,
        BinaryOperator::Divide => Arithmetic::Divide,
        BinaryOperator::Modulo => Arithmetic::Modulo,
        _ => return Err(refused(&left, &right)),
    };
    let nullable = left.data_type.nullable || right.data_type.nullable;
    let (a, b) = (left.data_type.kind.clone(), right.data_type.kind.clone());
    let is_interval = |kind: &Kind| matches!(kind, Kind::DayTime | Kind::YearMonth);
    match (&a, &b, operation) {
        (Kind::Date, interval, Arithmetic::Add | Arithmetic::Subtract) if is_interval(interval) => {
            return Ok(function::date_and_interval(left, right, operation == Arithmetic::Subtract));
        }
        (interval, Kind::Date, Arithmetic::Add) if is_interval(interval) => {
            return Ok(function::date_and_interval(right, left, false));
        }
        _ => {}
    }
    if let Some(kind) = time_result(&a, operation, &b) {
        let expr = native(left.expr, operation, right.expr);
        return Ok(Bound { expr, data_type: Type { kind, nullable } });
    }
    let numbers = |kind: &Kind| kind.is_numeric() || *kind == Kind::Null;
    if !numbers(&a) || !numbers(&b) {
        return Err(refused(&left, &right));
    }
    let common = a.common(&b).ok_or_else(|| refused(&left, &right))?;
    let kind = match (a.digits(), b.digits()) {
        (Some(a_digits), Some(b_digits)) if matches!(common, Kind::Decimal(..)) => {
            decimal_result(operation, a_digits, b_digits)
        }
        _ => common.clone(),
    };
    // Decimals keep their own scale; everything else becomes the common type first.
    let as_operand = |bound: Bound| match (&common, bound.data_type.kind.digits()) {
        (Kind::Decimal(..), Some((precision, scale))) => {
            coerce::widen(bound, Kind::Decimal(precision, scale))
        }
        _ => coerce::widen(bound, common.clone()),
    };
    let (left, right) = (as_operand(left), as_operand(right));
    let divides = matches!(operation, Arithmetic::Divide | Arithmetic::Modulo);
    let exact = matches!(kind, Kind::Decimal(..));
    let data_type = Type { kind: kind.clone(), nullable: nullable || exact };
    let expr = match &kind {
        Kind::Decimal(..) if !is_native(operation, &left, &right, &kind) => {
            function::decimal(operation, left, right, &kind)
        }
        kind if kind.is_integer() && divides => function::integer(operation, left, right),
        _ => native(left.expr, operation, right.expr),
    };
    Ok(Bound { expr, data_type })
}

fn native(left: Expr, operation: Arithmetic, right: Expr) -> Expr {
    let op = match operation {
        Arithmetic::Add => Operator::Plus,
        Arithmetic::Subtract => Operator::Minus,
        Arithmetic::Multiply => Operator::Multiply,
        Arithmetic::Divide => Operator::Divide,
        Arithmetic::Modulo => Operator::Modulo,
    };
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
}

/// Whether Arrow's kernel gives this type, with nothing to round and no overflow.
fn is_native(operation: Arithmetic, left: &Bound, right: &Bound, kind: &Kind) -> bool {
    let (Some((p1, s1)), Some((p2, s2))) =
        (left.data_type.kind.digits(), right.data_type.kind.digits())
    else {
        return false;
    };
    let (precision, scale) = match operation {
        Arithmetic::Add | Arithmetic::Subtract => {
            let scale = s1.max(s2);
            ((p1 - s1).max(p2 - s2) + scale + 1, scale)
        }
        Arithmetic::Multiply => (p1 + p2 + 1, s1 + s2),
        Arithmetic::Divide | Arithmetic::Modulo => return false,
    };
    *kind == Kind::Decimal(precision, scale)
}

/// The type of an operation on decimals (Flink's `LogicalTypeMerging`).
fn decimal_result(operation: Arithmetic, (p1, s1): (u8, u8), (p2, s2): (u8, u8)) -> Kind {
    let [p1, s1, p2, s2] = [p1, s1, p2, s2].map(u32::from);
    let (precision, scale) = match operation {
        Arithmetic::Add | Arithmetic::Subtract => {
            let scale = s1.max(s2);
            ((p1 - s1).max(p2 - s2) + scale + 1, scale)
        }
        Arithmetic::Multiply => (p1 + p2 + 1, s1 + s2),
        Arithmetic::Divide => {
            let scale = (s1 + p2 + 1).max(6);
            (p1 - s1 + s2 + scale, scale)
        }
        Arithmetic::Modulo => {
            let scale = s1.max(s2);
            ((p1 - s1).min(p2 - s2) + scale, scale)
        }
    };
    let most = u32::from(MAX_PRECISION);
    if precision <= most {
        return Kind::Decimal(precision as u8, scale as u8);
    }
    // Digits in front of the point are kept, but six behind it, too.
    let whole = precision - scale;
    let scale = most.saturating_sub(whole).max(scale.min(6));
    Kind::Decimal(MAX_PRECISION, scale as u8)
}

/// What times and intervals make, as far as Arrow's kernels do it as Flink does.
fn time_result(a: &Kind, operation: Arithmetic, b: &Kind) -> Option<Kind> {
    let adds = matches!(operation, Arithmetic::Add | Arithmetic::Subtract);
    match (a, b) {
        (time, Kind::DayTime | Kind::YearMonth) if time.is_timestamp() && adds => {
            Some(time.clone())
        }
        (Kind::DayTime | Kind::YearMonth, time)
            if time.is_timestamp() && operation == Arithmetic::Add =>
        {
            Some(time.clone())
        }
        (Kind::DayTime, Kind::DayTime) if adds => Some(Kind::DayTime),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_grow_as_in_flink() {
        for (operation, a, b, expected) in [
            (Arithmetic::Multiply, (19, 0), (3, 3), (23, 3)),
            (Arithmetic::Add, (10, 2), (5, 4), (13, 4)),
            (Arithmetic::Divide, (10, 2), (5, 1), (17, 8)),
            (Arithmetic::Divide, (3, 0), (1, 0), (9, 6)),
            (Arithmetic::Modulo, (10, 2), (5, 1), (6, 2)),
            (Arithmetic::Multiply, (38, 10), (38, 10), (38, 6)),
            (Arithmetic::Add, (38, 2), (38, 2), (38, 2)),
        ] {
            let (precision, scale) = expected;
            assert_eq!(decimal_result(operation, a, b), Kind::Decimal(precision, scale));
        }
    }
}
