//! Texts in JSON that are made of values.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, StringViewArray},
    datatypes::Float64Type,
};
use datafusion_common::DataFusionError;
use serde_json::Value;

use crate::{
    bind::{Bound, widen},
    function::{arguments::count, cast, of, prepared},
    types::{Kind, STRING, Type},
};

/// How a value becomes JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// A text in quotes.
    Quoted,
    /// A text that is JSON.
    Raw,
    Double,
    /// A text in capitals that is JSON in small letters.
    Boolean,
}

/// `JSON_STRING(value)`
pub(super) fn string(name: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    count(&arguments, 1..=1)?;
    let result = of(STRING, &arguments);
    let (argument, form) = formed(arguments.into_iter().next().ok_or("it takes a value")?, false)?;
    let key = format!("{form:?}");
    Ok(prepared(name, key, vec![argument], result, move |arrays, rows| {
        let shown = (0..rows).map(|row| arrays.first().and_then(|of| shown(of, row, form)));
        Ok(Arc::new(shown.collect::<StringViewArray>()))
    }))
}

/// An object of keys and values by turns, or an array of values; `raw` says which of these are JSON. Values that are
/// NULL are left out if they are to be absent.
///
/// # Errors
/// If there are none of these types in JSON, or a key is no text.
pub(crate) fn made(
    is_object: bool,
    arguments: Vec<Bound>,
    raw: Vec<bool>,
    absent: bool,
) -> Result<Bound, String> {
    if is_object && arguments.len() % 2 == 1 {
        return Err("a key has no value".to_owned());
    }
    let (mut all, mut forms) = (Vec::new(), Vec::new());
    for (at, (argument, raw)) in arguments.into_iter().zip(raw).enumerate() {
        let is_key = is_object && at % 2 == 0;
        if is_key && !argument.data_type.kind.is_text() {
            return Err(format!("the key is {}, not a text", argument.data_type.kind));
        }
        let (argument, form) = formed(argument, raw)?;
        all.push(argument);
        forms.push(form);
    }
    let name = if is_object { "JSON_OBJECT" } else { "JSON_ARRAY" };
    let key = format!("{forms:?} {absent}");
    let result = Type::required(STRING);
    Ok(prepared(name, key, all, result, move |arrays, rows| {
        let value = |at: usize, row| {
            let form = forms.get(at).copied().unwrap_or(Form::Quoted);
            let shown = arrays.get(at).and_then(|array| shown(array, row, form));
            if absent { shown } else { shown.or_else(|| Some("null".to_owned())) }
        };
        let made = (0..rows).map(|row| match is_object {
            true => object(arrays, row, |at| value(at, row)).map(Some),
            false => {
                let values = (0..arrays.len()).filter_map(|at| value(at, row));
                Ok(Some(format!("[{}]", values.collect::<Vec<_>>().join(","))))
            }
        });
        Ok(Arc::new(made.collect::<Result<StringViewArray, DataFusionError>>()?))
    }))
}

/// An object: its keys are in order, and the last value of a key counts.
fn object(
    arrays: &[ArrayRef],
    row: usize,
    value: impl Fn(usize) -> Option<String>,
) -> Result<String, DataFusionError> {
    let mut members = BTreeMap::new();
    for (at, keys) in arrays.iter().enumerate().step_by(2) {
        let Some(key) = shown(keys, row, Form::Raw) else {
            let what = "JSON_OBJECT: a key is NULL, which it must not be";
            return Err(DataFusionError::Execution(what.to_owned()));
        };
        if let Some(value) = value(at + 1) {
            members.insert(key, value);
        }
    }
    let members = members.into_iter().map(|(key, value)| format!("{}:{value}", Value::from(key)));
    Ok(format!("{{{}}}", members.collect::<Vec<_>>().join(",")))
}

/// An argument as a text or a DOUBLE, and what that is in JSON.
fn formed(argument: Bound, raw: bool) -> Result<(Bound, Form), String> {
    let kind = argument.data_type.kind.clone();
    Ok(match &kind {
        kind if kind.is_text() => (argument, if raw { Form::Raw } else { Form::Quoted }),
        Kind::Null => (widen(argument, STRING), Form::Quoted),
        Kind::Double => (argument, Form::Double),
        Kind::Boolean => (cast(argument, &STRING, false), Form::Boolean),
        kind if kind.is_integer() => (cast(argument, &STRING, false), Form::Raw),
        Kind::Decimal(_, 0..=6) => (cast(argument, &STRING, false), Form::Raw),
        other => return Err(format!("JSON of {other} is not made yet: CAST it to STRING")),
    })
}

fn shown(array: &ArrayRef, row: usize, form: Form) -> Option<String> {
    if array.is_null(row) {
        return None;
    }
    if form == Form::Double {
        return Some(double(array.as_primitive_opt::<Float64Type>()?.value(row)));
    }
    let text = array.as_string_view_opt()?.value(row);
    Some(match form {
        Form::Quoted => Value::from(text).to_string(),
        Form::Boolean => text.to_lowercase(),
        _ => text.to_owned(),
    })
}

/// A number as Java's BigDecimal shows one that is made of a double: one digit behind the point at least, and a power
/// of ten where there would be zeros before it.
fn double(number: f64) -> String {
    let shortest = format!("{number:e}");
    let Some((digits, power)) = shortest.split_once('e') else { return shortest };
    let Ok(power) = power.parse::<i32>() else { return shortest };
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |rest| ("-", rest));
    let mut digits: String = digits.chars().filter(char::is_ascii_digit).collect();
    // As many digits as Java shows of a double.
    let least = match power {
        0..=6 => power as usize + 2,
        -3..=-1 => 1,
        _ => 2,
    };
    while digits.len() < least {
        digits.push('0');
    }
    let scale = digits.len() as i32 - 1 - power;
    if scale < 0 || power < -6 {
        let (first, rest) = digits.split_at(1);
        return format!("{sign}{first}.{rest}E{power:+}");
    }
    let scale = scale as usize;
    while digits.len() <= scale {
        digits.insert(0, '0');
    }
    let (before, behind) = digits.split_at(digits.len() - scale);
    match behind.is_empty() {
        true => format!("{sign}{before}"),
        false => format!("{sign}{before}.{behind}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_shown_as_decimals() {
        for (number, expected) in [
            (1.5, "1.5"),
            (0.0, "0.0"),
            (100.0, "100.0"),
            (-2.5, "-2.5"),
            (12_345_678.9, "12345678.9"),
            (1e10, "1.0E+10"),
            (0.0001, "0.00010"),
            (0.25, "0.25"),
            (0.5, "0.5"),
            (0.001, "0.001"),
            (1e-8, "1.0E-8"),
        ] {
            assert_eq!(double(number), expected, "{number}");
        }
    }
}
