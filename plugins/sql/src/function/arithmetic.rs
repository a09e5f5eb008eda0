//! Operations whose results Arrow's kernels would give another type, scale or overflow.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, AsArray, Decimal128Array, PrimitiveArray},
    buffer::NullBuffer,
    compute::kernels::arity::try_binary,
    datatypes::{
        ArrowPrimitiveType, Decimal128Type, Int8Type, Int16Type, Int32Type, Int64Type, i256,
    },
    error::ArrowError,
};
use datafusion_common::DataFusionError;
use datafusion_expr::Expr;

use super::{nullable, prepared};
use crate::{
    bind::Bound,
    types::{Kind, Type},
};

/// An operation on two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

impl Arithmetic {
    fn name(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
        }
    }
}

fn by_zero() -> ArrowError {
    ArrowError::ComputeError("division by zero: guard it with CASE or NULLIF".into())
}

/// Division of whole numbers of one type, or what is left of it: toward zero, the least by -1 is the least.
pub(crate) fn integer(operation: Arithmetic, left: Bound, right: Bound) -> Expr {
    let kind = left.data_type.kind.clone();
    let arguments = vec![left, right];
    let data_type = Type { kind: kind.clone(), nullable: nullable(&arguments) };
    let divides = operation == Arithmetic::Divide;
    prepared(operation.name(), String::new(), arguments, data_type, move |arrays, _| {
        macro_rules! with {
            ($arrow:ty, $native:ty) => {
                divide::<$arrow>(arrays, |a, b| match (b, divides) {
                    (0, _) => Err(by_zero()),
                    (_, true) => Ok(<$native>::wrapping_div(a, b)),
                    (_, false) => Ok(<$native>::wrapping_rem(a, b)),
                })
            };
        }
        match kind {
            Kind::TinyInt => with!(Int8Type, i8),
            Kind::SmallInt => with!(Int16Type, i16),
            Kind::Int => with!(Int32Type, i32),
            _ => with!(Int64Type, i64),
        }
    })
    .expr
}

fn divide<T: ArrowPrimitiveType>(
    arrays: &[ArrayRef],
    operation: impl Fn(T::Native, T::Native) -> Result<T::Native, ArrowError>,
) -> Result<ArrayRef, DataFusionError> {
    let (a, b) = (arrays[0].as_primitive::<T>(), arrays[1].as_primitive::<T>());
    let made: PrimitiveArray<T> = try_binary(a, b, operation)?;
    Ok(Arc::new(made))
}

/// An operation on decimals: computed exactly, rounded half up to the scale of `kind`, NULL if it does not
/// fit, as in Flink.
pub(crate) fn decimal(operation: Arithmetic, left: Bound, right: Bound, kind: &Kind) -> Expr {
    let (_, s1) = left.data_type.kind.digits().unwrap_or((38, 0));
    let (_, s2) = right.data_type.kind.digits().unwrap_or((38, 0));
    let (precision, scale) = kind.digits().unwrap_or((38, 0));
    let data_type = Type::nullable(kind.clone());
    let exact = Exact { operation, s1, s2, precision, scale };
    let key = format!("DECIMAL({precision}, {scale})");
    prepared(operation.name(), key, vec![left, right], data_type, move |arrays, rows| {
        let a = arrays[0].as_primitive::<Decimal128Type>();
        let b = arrays[1].as_primitive::<Decimal128Type>();
        let nulls = NullBuffer::union(arrow::array::Array::nulls(a), arrow::array::Array::nulls(b));
        let made = (0..rows).map(|row| match &nulls {
            Some(nulls) if nulls.is_null(row) => Ok(None),
            _ => exact.compute(a.value(row), b.value(row)),
        });
        let made: Decimal128Array = made.collect::<Result<_, ArrowError>>()?;
        let made = made.with_precision_and_scale(precision, scale as i8)?;
        Ok(Arc::new(made) as ArrayRef)
    })
    .expr
}

#[derive(Clone, Copy)]
struct Exact {
    operation: Arithmetic,
    s1: u8,
    s2: u8,
    precision: u8,
    scale: u8,
}

impl Exact {
    fn compute(self, a: i128, b: i128) -> Result<Option<i128>, ArrowError> {
        let Self { operation, s1, s2, scale, .. } = self;
        let (a, b) = (i256::from_i128(a), i256::from_i128(b));
        let common = s1.max(s2);
        let raised =
            || Some((a.checked_mul(power(common - s1)?)?, b.checked_mul(power(common - s2)?)?));
        let divides = matches!(operation, Arithmetic::Divide | Arithmetic::Modulo);
        if divides && b == i256::ZERO {
            return Err(by_zero());
        }
        let value = match operation {
            Arithmetic::Multiply => {
                a.checked_mul(b).and_then(|product| rescale(product, s1 + s2, scale))
            }
            // One more digit than are kept decides how the last one is rounded.
            Arithmetic::Divide => power(scale + 1 + s2 - s1.min(scale + 1 + s2))
                .and_then(|power| a.checked_mul(power))
                .and_then(|a| round_div(a, b, s1, s2, scale)),
            Arithmetic::Add => raised()
                .and_then(|(a, b)| a.checked_add(b))
                .and_then(|sum| rescale(sum, common, scale)),
            Arithmetic::Subtract => raised()
                .and_then(|(a, b)| a.checked_sub(b))
                .and_then(|sum| rescale(sum, common, scale)),
            Arithmetic::Modulo => raised()
                .and_then(|(a, b)| a.checked_rem(b))
                .and_then(|rest| rescale(rest, common, scale)),
        };
        let fits = |value: &i128| value.unsigned_abs() < 10u128.pow(self.precision.into());
        Ok(value.and_then(i256::to_i128).filter(fits))
    }
}

/// `a / b`, where `a` was raised so that the quotient has one digit more than `scale`.
fn round_div(a: i256, b: i256, s1: u8, s2: u8, scale: u8) -> Option<i256> {
    let quotient = a.checked_div(b)?;
    // If there were more digits in `a` than are wanted the quotient has them all.
    let digits = s1.max(scale + 1 + s2) - s2;
    rescale(quotient, digits, scale)
}

fn power(exponent: u8) -> Option<i256> {
    i256::from_i128(10).checked_pow(exponent.into())
}

/// A value of one scale as one of another, rounded half up.
fn rescale(value: i256, from: u8, to: u8) -> Option<i256> {
    if to >= from {
        return value.checked_mul(power(to - from)?);
    }
    let unit = power(from - to)?;
    let half = unit.checked_div(i256::from_i128(2))?;
    let away =
        if value.is_negative() { value.checked_sub(half)? } else { value.checked_add(half)? };
    away.checked_div(unit)
}

/// A decimal of one scale as one of another, rounded half up; `None` if it has more than `precision` digits.
pub(super) fn decimal_rescaled(value: i128, from: u8, precision: u8, to: u8) -> Option<i128> {
    let value = rescale(i256::from_i128(value), from, to)?.to_i128()?;
    (value.unsigned_abs() < 10u128.pow(precision.into())).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(operation: Arithmetic, s1: u8, s2: u8, precision: u8, scale: u8) -> Exact {
        Exact { operation, s1, s2, precision, scale }
    }

    #[test]
    fn decimals_are_rounded_half_up() {
        let divide = exact(Arithmetic::Divide, 0, 0, 9, 6);
        assert_eq!(divide.compute(2, 3).unwrap(), Some(666_667));
        assert_eq!(divide.compute(-2, 3).unwrap(), Some(-666_667));
        assert_eq!(divide.compute(1, 3).unwrap(), Some(333_333));
        assert!(divide.compute(1, 0).is_err());
        // 1.25 / 0.5 at one digit is 2.5; 0.25 rounded to one digit is 0.3.
        assert_eq!(exact(Arithmetic::Divide, 2, 1, 10, 1).compute(125, 5).unwrap(), Some(25));
        assert_eq!(exact(Arithmetic::Multiply, 1, 1, 10, 1).compute(5, 5).unwrap(), Some(3));
        assert_eq!(exact(Arithmetic::Add, 1, 2, 10, 2).compute(15, 25).unwrap(), Some(175));
        assert_eq!(exact(Arithmetic::Modulo, 1, 0, 10, 1).compute(-75, 2).unwrap(), Some(-15));
    }

    #[test]
    fn what_does_not_fit_is_null() {
        let multiply = exact(Arithmetic::Multiply, 0, 0, 38, 0);
        assert_eq!(multiply.compute(10i128.pow(20), 10i128.pow(17)).unwrap(), Some(10i128.pow(37)));
        assert_eq!(multiply.compute(10i128.pow(20), 10i128.pow(18)).unwrap(), None);
    }
}
