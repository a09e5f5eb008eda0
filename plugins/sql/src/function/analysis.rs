//! Functions of real numbers: powers, logarithms, angles.

use std::{
    f64::consts::{E, PI},
    sync::Arc,
};

use arrow::{
    array::{ArrayRef, AsArray, PrimitiveArray},
    compute::binary,
    datatypes::Float64Type,
};
use datafusion_common::ScalarValue;
use datafusion_expr::Expr;

use super::{
    Function,
    arguments::{count, double},
    math::of_double,
    of, prepared,
};
use crate::{
    bind::Bound,
    types::{Kind, Type},
};

macro_rules! functions {
    ($($name:literal, $doc:literal, $call:expr;)*) => {
        &[
            $(Function {
                names: &[$name],
                doc: $doc,
                bind: |name, arguments| of_double(name, arguments, $call),
            },)*
            Function {
                names: &["POWER"],
                doc: "POWER(base, exponent)",
                bind: |name, arguments| of_two(name, arguments, f64::powf),
            },
            Function {
                names: &["ATAN2"],
                doc: "ATAN2(y, x)",
                bind: |name, arguments| of_two(name, arguments, f64::atan2),
            },
            Function { names: &["LOG"], doc: "LOG([base,] number)", bind: log },
            Function { names: &["PI"], doc: "PI()", bind: |_, given| constant(&given, PI) },
            Function { names: &["E"], doc: "E()", bind: |_, given| constant(&given, E) },
        ]
    };
}

pub(super) const FUNCTIONS: &[Function] = functions! {
    "LOG2", "LOG2(number)", |number| number.ln() / 2f64.ln();
    "SIN", "SIN(number)", f64::sin;
    "COS", "COS(number)", f64::cos;
    "TAN", "TAN(number)", f64::tan;
    "COT", "COT(number)", |number| 1.0 / number.tan();
    "ASIN", "ASIN(number)", f64::asin;
    "ACOS", "ACOS(number)", f64::acos;
    "ATAN", "ATAN(number)", f64::atan;
    "SINH", "SINH(number)", f64::sinh;
    "COSH", "COSH(number)", f64::cosh;
    "TANH", "TANH(number)", f64::tanh;
    // With the two constants of Java's, which multiplies.
    "DEGREES", "DEGREES(radians)", |number| number * (180.0 / PI);
    "RADIANS", "RADIANS(degrees)", |number| number * (PI / 180.0);
};

fn of_two(
    name: &'static str,
    arguments: Vec<Bound>,
    call: fn(f64, f64) -> f64,
) -> Result<Bound, String> {
    count(&arguments, 2..=2)?;
    let arguments = arguments.into_iter().map(double).collect::<Result<Vec<_>, _>>()?;
    let result = of(Kind::Double, &arguments);
    Ok(prepared(name, String::new(), arguments, result, move |arrays, _| {
        let [a, b] = [0, 1].map(|at| arrays[at].as_primitive::<Float64Type>());
        let made: PrimitiveArray<Float64Type> = binary(a, b, call)?;
        Ok(Arc::new(made) as ArrayRef)
    }))
}

fn log(name: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    count(&arguments, 1..=2)?;
    match arguments.len() {
        1 => of_double(name, arguments, f64::ln),
        _ => of_two(name, arguments, |base, number| number.ln() / base.ln()),
    }
}

fn constant(arguments: &[Bound], value: f64) -> Result<Bound, String> {
    count(arguments, 0..=0)?;
    let expr = Expr::Literal(ScalarValue::Float64(Some(value)), None);
    Ok(Bound { expr, data_type: Type::required(Kind::Double) })
}
