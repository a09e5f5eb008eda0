//! Functions of texts in JSON.

use std::sync::Arc;

use arrow::array::{BooleanArray, StringViewArray};
use serde_json::Value;

use super::{
    Function,
    arguments::{Rows, constant_text, count, text},
    of, prepared,
};
use crate::{
    bind::Bound,
    types::{Kind, STRING, Type},
};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        names: &["JSON_VALUE"],
        doc: "JSON_VALUE(text, path), the path a constant as in 'lax $.a.b[0]'",
        bind: |name, arguments| {
            queried(name, arguments, |found| match found? {
                Value::String(text) => Some(text.clone()),
                Value::Null | Value::Array(_) | Value::Object(_) => None,
                scalar => Some(scalar.to_string()),
            })
        },
    },
    Function {
        names: &["JSON_QUERY"],
        doc: "JSON_QUERY(text, path), an object or array",
        bind: |name, arguments| {
            queried(name, arguments, |found| {
                found.filter(|found| found.is_object() || found.is_array()).map(Value::to_string)
            })
        },
    },
    Function { names: &["JSON_EXISTS"], doc: "JSON_EXISTS(text, path)", bind: exists },
    Function {
        names: &["JSON_QUOTE"],
        doc: "JSON_QUOTE(text)",
        bind: |name, arguments| of_text(name, arguments, quoted),
    },
    Function {
        names: &["JSON_UNQUOTE"],
        doc: "JSON_UNQUOTE(text)",
        bind: |name, arguments| {
            of_text(name, arguments, |text| {
                let unquoted = serde_json::from_str::<String>(text);
                unquoted.unwrap_or_else(|_| text.to_owned())
            })
        },
    },
];

/// A step of a path.
enum Step {
    Member(String),
    Element(usize),
}

/// The steps of a path: `lax $.a.b[0]`, `strict $['a']`. Both modes find the same; an error is NULL or FALSE.
fn path(argument: &Bound) -> Result<(String, Vec<Step>), String> {
    let given = constant_text(argument).ok_or("the path is a constant")?.to_owned();
    let wrong = || format!("the path '{given}' is not supported: it is like 'lax $.a.b[0]'");
    let text = given.trim();
    let mode = ["lax", "strict"].into_iter().find_map(|mode| text.strip_prefix(mode));
    let mut rest = mode.unwrap_or(text).trim_start().strip_prefix('$').ok_or_else(wrong)?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(behind) = rest.strip_prefix('.') {
            let end = behind.find(['.', '[']).unwrap_or(behind.len());
            let (name, behind) = behind.split_at(end);
            let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '$');
            if name.is_empty() || !name.chars().all(is_name) {
                return Err(wrong());
            }
            steps.push(Step::Member(name.to_owned()));
            rest = behind;
            continue;
        }
        let (within, behind) =
            rest.strip_prefix('[').and_then(|rest| rest.split_once(']')).ok_or_else(wrong)?;
        let name = within.strip_prefix('\'').and_then(|name| name.strip_suffix('\''));
        steps.push(match name {
            Some(name) => Step::Member(name.to_owned()),
            None => Step::Element(within.trim().parse().map_err(|_| wrong())?),
        });
        rest = behind;
    }
    Ok((given, steps))
}

fn find<'a>(value: &'a Value, steps: &[Step]) -> Option<&'a Value> {
    steps.iter().try_fold(value, |value, step| match step {
        Step::Member(name) => value.as_object()?.get(name),
        Step::Element(at) => value.as_array()?.get(*at),
    })
}

/// What is made of what is found at a path.
fn queried(
    name: &'static str,
    arguments: Vec<Bound>,
    say: impl Fn(Option<&Value>) -> Option<String> + Send + Sync + 'static,
) -> Result<Bound, String> {
    count(&arguments, 2..=2)?;
    let (key, steps) = path(&arguments[1])?;
    let document = text(arguments.into_iter().next().ok_or("it takes a text")?)?;
    Ok(prepared(name, key, vec![document], Type::nullable(STRING), move |arrays, rows| {
        let texts = Rows::new(arrays);
        let found = (0..rows).map(|row| {
            let value: Value = serde_json::from_str(texts.text(0, row)?).ok()?;
            say(find(&value, &steps))
        });
        Ok(Arc::new(found.collect::<StringViewArray>()))
    }))
}

fn exists(name: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    count(&arguments, 2..=2)?;
    let (key, steps) = path(&arguments[1])?;
    let document = text(arguments.into_iter().next().ok_or("it takes a text")?)?;
    let result = Type::nullable(Kind::Boolean);
    Ok(prepared(name, key, vec![document], result, move |arrays, rows| {
        let texts = Rows::new(arrays);
        let found = (0..rows).map(|row| {
            let value = serde_json::from_str::<Value>(texts.text(0, row)?);
            let there =
                value.is_ok_and(|value| find(&value, &steps).is_some_and(|at| !at.is_null()));
            Some(there)
        });
        Ok(Arc::new(found.collect::<BooleanArray>()))
    }))
}

fn of_text(
    name: &'static str,
    arguments: Vec<Bound>,
    make: impl Fn(&str) -> String + Send + Sync + 'static,
) -> Result<Bound, String> {
    count(&arguments, 1..=1)?;
    let arguments = arguments.into_iter().map(text).collect::<Result<Vec<_>, _>>()?;
    let result = of(STRING, &arguments);
    Ok(prepared(name, String::new(), arguments, result, move |arrays, rows| {
        let texts = Rows::new(arrays);
        let made = (0..rows).map(|row| texts.text(0, row).map(&make));
        Ok(Arc::new(made.collect::<StringViewArray>()))
    }))
}

/// A text as JSON has it; what is not ASCII as its code, as in Flink.
fn quoted(text: &str) -> String {
    let mut made = String::with_capacity(text.len() + 2);
    for c in Value::from(text).to_string().chars() {
        match c.is_ascii() {
            true => made.push(c),
            false => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    made.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    made
}
