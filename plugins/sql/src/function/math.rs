//! Functions of numbers.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{
        Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    },
};
use sqlparser::ast::BinaryOperator;

use super::{
    Function,
    arguments::{count, double, number},
    of, prepared,
};
use crate::{
    bind::{Bound, compute},
    types::Kind,
};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        names: &["MOD"],
        doc: "MOD(number, number)",
        bind: |_, arguments| {
            count(&arguments, 2..=2)?;
            let mut arguments = arguments.into_iter();
            match (arguments.next(), arguments.next()) {
                (Some(a), Some(b)) => compute(a, &BinaryOperator::Modulo, b),
                _ => Err("it takes two arguments".into()),
            }
        },
    },
    Function { names: &["ABS"], doc: "ABS(number)", bind: abs },
    Function {
        names: &["FLOOR"],
        doc: "FLOOR(number)",
        bind: |name, arguments| rounded(name, arguments, f64::floor, i128::div_euclid),
    },
    Function {
        names: &["CEIL", "CEILING"],
        doc: "CEIL(number)",
        bind: |name, arguments| {
            rounded(name, arguments, f64::ceil, |value, unit| -(-value).div_euclid(unit))
        },
    },
    Function {
        names: &["SQRT"],
        doc: "SQRT(number)",
        bind: |name, arguments| of_double(name, arguments, f64::sqrt),
    },
    Function {
        names: &["EXP"],
        doc: "EXP(number)",
        bind: |name, arguments| of_double(name, arguments, f64::exp),
    },
    Function {
        names: &["LN"],
        doc: "LN(number)",
        bind: |name, arguments| of_double(name, arguments, f64::ln),
    },
    Function {
        names: &["LOG10"],
        doc: "LOG10(number)",
        bind: |name, arguments| of_double(name, arguments, f64::log10),
    },
];

pub(super) fn of_double(
    name: &'static str,
    arguments: Vec<Bound>,
    call: fn(f64) -> f64,
) -> Result<Bound, String> {
    count(&arguments, 1..=1)?;
    let arguments = arguments.into_iter().map(double).collect::<Result<Vec<_>, _>>()?;
    let result = of(Kind::Double, &arguments);
    Ok(prepared(name, String::new(), arguments, result, move |arrays, _| {
        Ok(Arc::new(arrays[0].as_primitive::<Float64Type>().unary::<_, Float64Type>(call))
            as ArrayRef)
    }))
}

fn one_number(arguments: &[Bound]) -> Result<Kind, String> {
    count(arguments, 1..=1)?;
    number(&arguments[0])
}

fn abs(name: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    let kind = one_number(&arguments)?;
    let result = of(kind.clone(), &arguments);
    Ok(prepared(name, String::new(), arguments, result, move |arrays, _| {
        macro_rules! with {
            ($arrow:ty, $abs:expr) => {
                Arc::new(arrays[0].as_primitive::<$arrow>().unary::<_, $arrow>($abs)) as ArrayRef
            };
        }
        Ok(match kind {
            Kind::TinyInt => with!(Int8Type, i8::wrapping_abs),
            Kind::SmallInt => with!(Int16Type, i16::wrapping_abs),
            Kind::Int => with!(Int32Type, i32::wrapping_abs),
            Kind::BigInt => with!(Int64Type, i64::wrapping_abs),
            Kind::Float => with!(Float32Type, f32::abs),
            Kind::Double => with!(Float64Type, f64::abs),
            _ => {
                let array = arrays[0].as_primitive::<Decimal128Type>();
                let made = array.unary::<_, Decimal128Type>(i128::wrapping_abs);
                Arc::new(made.with_data_type(array.data_type().clone()))
            }
        })
    }))
}

/// The next whole number in one direction; a decimal loses its scale.
fn rounded(
    name: &'static str,
    arguments: Vec<Bound>,
    double: fn(f64) -> f64,
    decimal: fn(i128, i128) -> i128,
) -> Result<Bound, String> {
    let kind = one_number(&arguments)?;
    let (result, scale) = match kind {
        Kind::Decimal(precision, scale) => (Kind::Decimal(precision, 0), scale),
        ref kind => (kind.clone(), 0),
    };
    let data_type = of(result.clone(), &arguments);
    let to = result.arrow();
    Ok(prepared(name, String::new(), arguments, data_type, move |arrays, _| {
        let array = &arrays[0];
        Ok(match kind {
            Kind::Float => Arc::new(
                array
                    .as_primitive::<Float32Type>()
                    .unary::<_, Float32Type>(|v| double(v.into()) as f32),
            ),
            Kind::Double => {
                Arc::new(array.as_primitive::<Float64Type>().unary::<_, Float64Type>(double))
            }
            Kind::Decimal(..) => {
                let unit = 10i128.pow(scale.into());
                let array = array.as_primitive::<Decimal128Type>();
                let made = array.unary::<_, Decimal128Type>(|value| decimal(value, unit));
                Arc::new(made.with_data_type(to.clone())) as ArrayRef
            }
            // Whole numbers are whole.
            _ => Arc::clone(array),
        })
    }))
}
