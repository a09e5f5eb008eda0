//! Arguments of functions: checked and made one type when a call is planned, read when it runs.

use std::ops::RangeInclusive;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringViewArray};
use arrow::datatypes::Int64Type;
use datafusion_common::ScalarValue;
use datafusion_expr::Expr;

use crate::{
    bind::{Bound, widen},
    types::{Kind, STRING},
};

/// Checks how many arguments there are.
pub(super) fn count(arguments: &[Bound], wanted: RangeInclusive<usize>) -> Result<(), String> {
    let found = arguments.len();
    match wanted.contains(&found) {
        true => Ok(()),
        false => Err(format!("it does not take {found} arguments")),
    }
}

/// The argument as text.
pub(super) fn text(argument: Bound) -> Result<Bound, String> {
    let kind = &argument.data_type.kind;
    match kind.is_text() || *kind == Kind::Null {
        true => Ok(widen(argument, STRING)),
        false => Err(format!("{kind} was found where a text was expected")),
    }
}

/// The argument as BIGINT.
pub(super) fn integer(argument: Bound) -> Result<Bound, String> {
    let kind = &argument.data_type.kind;
    match kind.is_integer() || *kind == Kind::Null {
        true => Ok(widen(argument, Kind::BigInt)),
        false => Err(format!("{kind} was found where a whole number was expected")),
    }
}

/// The argument as DOUBLE.
pub(super) fn double(argument: Bound) -> Result<Bound, String> {
    let kind = &argument.data_type.kind;
    match kind.is_numeric() || *kind == Kind::Null {
        true => Ok(widen(argument, Kind::Double)),
        false => Err(format!("{kind} was found where a number was expected")),
    }
}

/// What a number is.
pub(super) fn number(argument: &Bound) -> Result<Kind, String> {
    match &argument.data_type.kind {
        kind if kind.is_numeric() => Ok(kind.clone()),
        kind => Err(format!("{kind} was found where a number was expected")),
    }
}

/// The text of a constant; `None` if it is none, or NULL.
pub(super) fn constant_text(argument: &Bound) -> Option<&str> {
    match &argument.expr {
        Expr::Literal(ScalarValue::Utf8View(Some(text)), _) => Some(text),
        _ => None,
    }
}

/// The number of a constant; `None` if it is none, or NULL.
pub(super) fn constant_integer(argument: &Bound) -> Option<i64> {
    match &argument.expr {
        Expr::Literal(ScalarValue::Int64(Some(number)), _) => Some(*number),
        Expr::Literal(ScalarValue::Int32(Some(number)), _) => Some((*number).into()),
        _ => None,
    }
}

/// The arrays of a call, by row.
pub(super) struct Rows<'a>(Vec<Values<'a>>);

enum Values<'a> {
    Text(&'a StringViewArray),
    Integer(&'a Int64Array),
    /// Of no type that is read by row.
    Other,
}

impl<'a> Rows<'a> {
    pub(super) fn new(arrays: &'a [ArrayRef]) -> Self {
        let values = |array: &'a ArrayRef| match array.as_string_view_opt() {
            Some(texts) => Values::Text(texts),
            None => match array.as_primitive_opt::<Int64Type>() {
                Some(numbers) => Values::Integer(numbers),
                None => Values::Other,
            },
        };
        Self(arrays.iter().map(values).collect())
    }

    /// The text of an argument; `None` if it is NULL.
    #[inline]
    pub(super) fn text(&self, argument: usize, row: usize) -> Option<&'a str> {
        match self.0.get(argument)? {
            Values::Text(texts) if texts.is_valid(row) => Some(texts.value(row)),
            _ => None,
        }
    }

    /// The number of an argument; `None` if it is NULL.
    #[inline]
    pub(super) fn integer(&self, argument: usize, row: usize) -> Option<i64> {
        match self.0.get(argument)? {
            Values::Integer(numbers) if numbers.is_valid(row) => Some(numbers.value(row)),
            _ => None,
        }
    }
}
