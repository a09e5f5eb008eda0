//! `(begin, end) OVERLAPS (begin, end)`: whether two periods have a time in common.

use sqlparser::ast::{BinaryOperator, CaseWhen, Expr, helpers::attached_token::AttachedToken};

use super::{Bound, expression::Scope};
use crate::{error::SqlError, types::Kind};

impl Scope<'_> {
    /// Whether periods overlap. Each is two times, in any order, or a time and how long it takes; as in Flink the
    /// second is the first if one of both is NULL.
    pub(super) fn overlaps(
        &self,
        [left, right]: [&Expr; 2],
        part: &Expr,
    ) -> Result<Bound, SqlError> {
        let (one, of) = self.period(left, part)?;
        let (other, than) = self.period(right, part)?;
        if of != than {
            return Err(refused(part));
        }
        let [begin, end] = one;
        let [other_begin, other_end] = other;
        let is_not_before = |a, b| binary(a, BinaryOperator::GtEq, b);
        let (a, b) = (is_not_before(end, other_begin), is_not_before(other_end, begin));
        self.bind(&binary(a, BinaryOperator::And, b))
    }

    /// The earlier and the later time of a period, and which of the types of times it is of.
    fn period(&self, period: &Expr, part: &Expr) -> Result<([Expr; 2], u8), SqlError> {
        let Expr::Tuple(both) = period else { return Err(refused(part)) };
        let [begin, end] = &both[..] else { return Err(refused(part)) };
        let of = time(&self.bind(begin)?.data_type.kind).ok_or_else(|| refused(part))?;
        let kind = self.bind(end)?.data_type.kind;
        let end = match kind {
            Kind::DayTime | Kind::YearMonth => {
                binary(begin.clone(), BinaryOperator::Plus, end.clone())
            }
            kind if time(&kind) == Some(of) => end.clone(),
            _ => return Err(refused(part)),
        };
        let in_order = binary(begin.clone(), BinaryOperator::LtEq, end.clone());
        let either = |then: &Expr, otherwise: &Expr| Expr::Case {
            case_token: AttachedToken::empty(),
            end_token: AttachedToken::empty(),
            operand: None,
            conditions: vec![CaseWhen { condition: in_order.clone(), result: then.clone() }],
            else_result: Some(Box::new(otherwise.clone())),
        };
        Ok(([either(begin, &end), either(&end, begin)], of))
    }
}

/// Tells the types of times apart.
fn time(kind: &Kind) -> Option<u8> {
    match kind {
        Kind::Date => Some(0),
        Kind::Time(_) => Some(1),
        Kind::Timestamp(_) => Some(2),
        Kind::TimestampLtz(_) => Some(3),
        _ => None,
    }
}

fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    let nested = |expr| Box::new(Expr::Nested(Box::new(expr)));
    Expr::BinaryOp { left: nested(left), op, right: nested(right) }
}

fn refused(part: &Expr) -> SqlError {
    let message = "OVERLAPS is of two periods of times of one type, (begin, end) or (begin, INTERVAL '1' HOUR) for \
                   instance";
    SqlError::at(part, message)
}
