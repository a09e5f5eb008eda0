//! Numbers with fewer digits, and which sign they have.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray},
    datatypes::{
        Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    },
};

use super::{
    Function,
    arguments::{Rows, constant_integer, count, integer, number},
    of, prepared,
};
use crate::{
    bind::Bound,
    types::{Kind, MAX_PRECISION, Type},
};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        names: &["ROUND"],
        doc: "ROUND(number [, digits])",
        bind: |name, arguments| rounded(name, arguments, true),
    },
    Function {
        names: &["TRUNCATE"],
        doc: "TRUNCATE(number [, digits])",
        bind: |name, arguments| rounded(name, arguments, false),
    },
    Function { names: &["SIGN"], doc: "SIGN(number)", bind: sign },
];

/// A number with so many digits behind its point, or so many zeros in front of it: half up, or toward zero.
fn rounded(name: &'static str, arguments: Vec<Bound>, up: bool) -> Result<Bound, String> {
    count(&arguments, 1..=2)?;
    let kind = number(&arguments[0])?;
    let constant = match arguments.get(1) {
        None => Some(0),
        Some(digits) => constant_integer(digits),
    };
    let result = match kind {
        Kind::Decimal(precision, scale) => decimal_type(precision, scale, constant),
        ref kind => kind.clone(),
    };
    let mut given = arguments.into_iter();
    let mut arguments: Vec<Bound> = given.next().into_iter().collect();
    for digits in given {
        arguments.push(integer(digits)?);
    }
    let data_type = of(result.clone(), &arguments);
    let of_one = arguments.len() == 1;
    Ok(prepared(name, String::new(), arguments, data_type, move |arrays, rows| {
        let digits = Rows::new(arrays);
        let digits = move |row| if of_one { Some(0) } else { digits.integer(1, row) };
        macro_rules! with {
            ($arrow:ty, $round:expr) => {{
                let numbers = arrays[0].as_primitive::<$arrow>();
                let made: PrimitiveArray<$arrow> = (0..rows)
                    .map(|row| {
                        let number = numbers.is_valid(row).then(|| numbers.value(row))?;
                        type Native = <$arrow as ArrowPrimitiveType>::Native;
                        let round: fn(Native, i64, bool) -> Native = $round;
                        Some(round(number, digits(row)?, up))
                    })
                    .collect();
                Arc::new(made) as ArrayRef
            }};
        }
        Ok(match (&kind, &result) {
            (Kind::TinyInt, _) => with!(Int8Type, |n, to, up| whole(n.into(), 0, to, up) as i8),
            (Kind::SmallInt, _) => with!(Int16Type, |n, to, up| whole(n.into(), 0, to, up) as i16),
            (Kind::Int, _) => with!(Int32Type, |n, to, up| whole(n.into(), 0, to, up) as i32),
            (Kind::BigInt, _) => with!(Int64Type, |n, to, up| whole(n.into(), 0, to, up) as i64),
            (Kind::Float, _) => with!(Float32Type, |n, to, up| double(n.into(), to, up) as f32),
            (Kind::Decimal(_, from), Kind::Decimal(_, scale)) => {
                let numbers = arrays[0].as_primitive::<Decimal128Type>();
                let unit = 10i128.pow(u32::from(from.saturating_sub(*scale)));
                let made: PrimitiveArray<Decimal128Type> = (0..rows)
                    .map(|row| {
                        let number = numbers.is_valid(row).then(|| numbers.value(row))?;
                        Some(whole(number, *from, digits(row)?, up) / unit)
                    })
                    .collect();
                Arc::new(made.with_data_type(result.arrow()))
            }
            _ => with!(Float64Type, double),
        })
    }))
}

/// The type of a decimal that has `digits` behind its point, or any number of them (Flink's
/// `findRoundDecimalType`).
fn decimal_type(precision: u8, scale: u8, digits: Option<i64>) -> Kind {
    match digits.map(|digits| u8::try_from(digits.max(0)).unwrap_or(u8::MAX)) {
        Some(digits) if digits < scale => {
            Kind::Decimal((1 + precision - scale + digits).min(MAX_PRECISION), digits)
        }
        _ => Kind::Decimal(precision, scale),
    }
}

/// A number of `scale` digits behind the point with all behind `digits` zero.
fn whole(number: i128, scale: u8, digits: i64, up: bool) -> i128 {
    let Ok(dropped) = u32::try_from(i64::from(scale).saturating_sub(digits)) else {
        return number;
    };
    let Some(unit) = 10i128.checked_pow(dropped) else { return 0 };
    let (kept, rest) = (number / unit, number % unit);
    let is_up = up && rest.unsigned_abs() >= unit.unsigned_abs().div_ceil(2) && unit > 1;
    (kept + if is_up { number.signum() } else { 0 }).wrapping_mul(unit)
}

/// Rounds the digits that are printed, as in Flink, not those that the bits stand for: 1.005 has a 5 at its end.
fn double(number: f64, digits: i64, up: bool) -> f64 {
    let printed = format!("{:e}", number.abs());
    let Some((shown, exponent)) = printed.split_once('e') else { return number };
    let Ok(exponent) = exponent.parse::<i64>() else { return number };
    let shown = shown.replace('.', "");
    let kept = digits.saturating_add(exponent).saturating_add(1);
    let Ok(kept) = usize::try_from(kept) else { return 0.0 };
    let Some((left, rest)) = shown.split_at_checked(kept) else { return number };
    let left: i64 = left.parse().unwrap_or(0);
    let is_up = up && rest.starts_with(|digit| digit >= '5');
    let left = left + i64::from(is_up);
    let made = format!("{left}e{}", digits.saturating_neg()).parse().unwrap_or(0.0);
    if left != 0 && number < 0.0 { -made } else { made }
}

/// -1, 0 or 1, of the type of the number.
fn sign(name: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    count(&arguments, 1..=1)?;
    let kind = number(&arguments[0])?;
    let result: Type = of(kind.clone(), &arguments);
    Ok(prepared(name, String::new(), arguments, result, move |arrays, _| {
        macro_rules! with {
            ($arrow:ty, $sign:expr) => {
                Arc::new(arrays[0].as_primitive::<$arrow>().unary::<_, $arrow>($sign)) as ArrayRef
            };
        }
        Ok(match kind {
            Kind::TinyInt => with!(Int8Type, i8::signum),
            Kind::SmallInt => with!(Int16Type, i16::signum),
            Kind::Int => with!(Int32Type, i32::signum),
            Kind::BigInt => with!(Int64Type, i64::signum),
            Kind::Float => with!(Float32Type, |n| if n == 0.0 { n } else { n.signum() }),
            Kind::Decimal(_, scale) => {
                let numbers = arrays[0].as_primitive::<Decimal128Type>();
                let one = 10i128.pow(scale.into());
                let made = numbers.unary::<_, Decimal128Type>(|number| number.signum() * one);
                Arc::new(made.with_data_type(numbers.data_type().clone()))
            }
            _ => with!(Float64Type, |n| if n == 0.0 { n } else { n.signum() }),
        })
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digits_that_are_printed_are_rounded() {
        for (number, digits, up, expected) in [
            (1.005, 2, true, 1.01),
            (2.675, 2, true, 2.68),
            (-2.5, 0, true, -3.0),
            (-0.04, 1, true, 0.0),
            (9.99, 1, true, 10.0),
            (0.5, 0, true, 1.0),
            (0.05, 0, true, 0.0),
            (1234.5, -2, true, 1200.0),
            (1e20, 2, true, 1e20),
            (-9.99, 1, false, -9.9),
            (1.5, i64::MIN, true, 0.0),
            (1.5, i64::MAX, true, 1.5),
        ] {
            assert_eq!(double(number, digits, up), expected, "{number} {digits}");
        }
        assert!(double(f64::NAN, 1, true).is_nan());
    }

    #[test]
    fn decimals_are_rounded_half_up_and_keep_their_scale() {
        assert_eq!(whole(12_345, 3, 2, true), 12_350);
        assert_eq!(whole(-12_345, 3, 2, true), -12_350);
        assert_eq!(whole(-12_345, 3, 2, false), -12_340);
        assert_eq!(whole(12_345, 3, 9, true), 12_345);
        assert_eq!(whole(12_345, 3, -60, true), 0);
        assert_eq!(decimal_type(10, 3, Some(-1)), Kind::Decimal(8, 0));
        assert_eq!(decimal_type(10, 3, None), Kind::Decimal(10, 3));
    }
}
