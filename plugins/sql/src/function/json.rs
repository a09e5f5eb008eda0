//! Functions of texts in JSON.

mod aggregated;
mod made;
mod query;

use std::sync::Arc;

use arrow::array::StringViewArray;
use serde_json::Value;

pub(crate) use aggregated::{array_of, element, object_of};
pub(crate) use made::made;
pub(crate) use query::{Instead, IsJson, Query, Returns, Wrapper, is_json, queried};

use super::{
    Function,
    arguments::{Rows, constant_text, count, text},
    of, prepared,
};
use crate::{bind::Bound, types::STRING};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        names: &["JSON_VALUE"],
        doc: "JSON_VALUE(text, path [RETURNING type] [… ON EMPTY] [… ON ERROR]), the path a constant as in 'lax $.a.b[0]'",
        bind: |_, arguments| queried(arguments, Query::new(Returns::Text)),
    },
    Function {
        names: &["JSON_QUERY"],
        doc: "JSON_QUERY(text, path [RETURNING ARRAY<STRING>] [WITH [CONDITIONAL] ARRAY WRAPPER] [… ON EMPTY] [… ON ERROR]), an object or array",
        bind: |_, arguments| queried(arguments, Query::new(Returns::Json)),
    },
    Function {
        names: &["JSON_EXISTS"],
        doc: "JSON_EXISTS(text, path [… ON ERROR])",
        bind: |_, arguments| queried(arguments, Query::new(Returns::Exists)),
    },
    Function {
        names: &["JSON_ARRAY"],
        doc: "JSON_ARRAY(value, … [NULL ON NULL])",
        bind: |_, arguments| {
            let raw = vec![false; arguments.len()];
            made(false, arguments, raw, true)
        },
    },
    Function {
        names: &["JSON_OBJECT"],
        doc: "JSON_OBJECT([KEY] key VALUE value, … [ABSENT ON NULL])",
        bind: |_, arguments| {
            let raw = vec![false; arguments.len()];
            made(true, arguments, raw, false)
        },
    },
    Function { names: &["JSON_STRING"], doc: "JSON_STRING(value)", bind: made::string },
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

/// A path: what is not there is nothing if it is lax, else an error.
struct Path {
    lax: bool,
    steps: Vec<Step>,
}

/// A path and its text: `lax $.a.b[0]`, `strict $['a']`; without a word it is strict.
fn path(argument: &Bound) -> Result<(String, Path), String> {
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
    Ok((given.clone(), Path { lax: text.starts_with("lax"), steps }))
}

fn find<'a>(value: &'a Value, steps: &[Step]) -> Option<&'a Value> {
    steps.iter().try_fold(value, |value, step| match step {
        Step::Member(name) => value.as_object()?.get(name),
        Step::Element(at) => value.as_array()?.get(*at),
    })
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
            true if c == '/' => made.push_str("\\/"),
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
