//! What is found in a text in JSON.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int32Array, StringViewArray, StringViewBuilder,
};
use datafusion_common::DataFusionError;
use serde_json::Value;

use super::{Path, find, path};
use crate::{
    bind::Bound,
    function::{
        arguments::{Rows, count, text},
        nested::nested,
        prepared,
    },
    types::{Kind, STRING, Type},
};

/// A call of JSON_VALUE, JSON_QUERY or JSON_EXISTS.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    pub(crate) returns: Returns,
    /// Whether an array is one of texts.
    pub(crate) texts: bool,
    pub(crate) wrapper: Wrapper,
    pub(crate) on_empty: Instead,
    pub(crate) on_error: Instead,
}

/// What a call gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Returns {
    /// A scalar as a text, or of another type.
    Text,
    Boolean,
    Integer,
    Double,
    /// An object or array, as a text.
    Json,
    /// Whether there is something.
    Exists,
}

/// Whether what JSON_QUERY finds is put into an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrapper {
    Without,
    /// If it is none.
    Conditional,
    Always,
}

/// What stands for what is not there, or is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Instead {
    Null,
    /// The job fails.
    Error,
    Value(String),
}

/// What a text is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IsJson {
    Value,
    Object,
    Array,
    Scalar,
}

impl IsJson {
    /// That of the name of a call.
    pub(crate) fn of(name: &str) -> Option<Self> {
        Some(match name {
            "IS JSON VALUE" => Self::Value,
            "IS JSON OBJECT" => Self::Object,
            "IS JSON ARRAY" => Self::Array,
            "IS JSON SCALAR" => Self::Scalar,
            _ => return None,
        })
    }

    fn is(self, value: &Value) -> bool {
        match self {
            Self::Value => true,
            Self::Object => value.is_object(),
            Self::Array => value.is_array(),
            Self::Scalar => is_scalar(value),
        }
    }
}

fn is_scalar(value: &Value) -> bool {
    !value.is_object() && !value.is_array()
}

impl Returns {
    /// What RETURNING names.
    pub(crate) fn of(data_type: &str) -> Option<Self> {
        Some(match data_type {
            "STRING" | "VARCHAR" => Self::Text,
            "BOOLEAN" => Self::Boolean,
            "INT" | "INTEGER" => Self::Integer,
            "DOUBLE" => Self::Double,
            _ => return None,
        })
    }

    fn kind(self) -> Kind {
        match self {
            Self::Text | Self::Json => STRING,
            Self::Boolean | Self::Exists => Kind::Boolean,
            Self::Integer => Kind::Int,
            Self::Double => Kind::Double,
        }
    }

    /// Whether a result that is shown so is of the type.
    fn takes(self, text: &str) -> bool {
        match self {
            Self::Text | Self::Json => true,
            Self::Boolean | Self::Exists => text.parse::<bool>().is_ok(),
            Self::Integer => text.parse::<i32>().is_ok(),
            Self::Double => text.parse::<f64>().is_ok(),
        }
    }

    /// Results that are shown so, of the type.
    fn array(self, shown: Vec<Option<String>>) -> ArrayRef {
        fn parsed<T: std::str::FromStr>(
            shown: Vec<Option<String>>,
        ) -> impl Iterator<Item = Option<T>> {
            shown.into_iter().map(|text| text?.parse().ok())
        }
        match self {
            Self::Text | Self::Json => Arc::new(shown.into_iter().collect::<StringViewArray>()),
            Self::Boolean | Self::Exists => Arc::new(parsed(shown).collect::<BooleanArray>()),
            Self::Integer => Arc::new(parsed(shown).collect::<Int32Array>()),
            Self::Double => Arc::new(parsed(shown).collect::<Float64Array>()),
        }
    }
}

impl Instead {
    /// That of words; `None` if a call does not take them.
    pub(crate) fn of(returns: Returns, words: &str) -> Option<Self> {
        let value = |text: &str| Some(Self::Value(text.to_owned()));
        match (returns, words) {
            (_, "ERROR") => Some(Self::Error),
            (Returns::Exists, "TRUE" | "FALSE") => value(&words.to_lowercase()),
            (Returns::Exists, "UNKNOWN") => Some(Self::Null),
            (Returns::Exists, _) => None,
            (_, "NULL") => Some(Self::Null),
            (Returns::Json, "EMPTY" | "EMPTY ARRAY") => value("[]"),
            (Returns::Json, "EMPTY OBJECT") => value("{}"),
            _ => None,
        }
    }

    fn value(&self, what: &str) -> Result<Option<String>, String> {
        match self {
            Self::Null => Ok(None),
            Self::Value(value) => Ok(Some(value.clone())),
            Self::Error => Err(what.to_owned()),
        }
    }
}

/// The first value of a text: what is behind it does not count, as in Flink.
fn parsed(text: &str) -> Option<Value> {
    serde_json::Deserializer::from_str(text).into_iter().next()?.ok()
}

impl Query {
    pub(crate) fn new(returns: Returns) -> Self {
        let on_error = match returns {
            Returns::Exists => Instead::Value("false".to_owned()),
            _ => Instead::Null,
        };
        let (wrapper, on_empty) = (Wrapper::Without, Instead::Null);
        Self { returns, texts: false, wrapper, on_empty, on_error }
    }

    /// What is said of a text; the error fails the job.
    fn say(&self, text: &str, path: &Path) -> Result<Option<String>, String> {
        let document = parsed(text);
        let found = match &document {
            None if path.lax => None,
            None => return self.on_error.value("a text is no JSON"),
            Some(Value::Null) => return self.on_error.value("a path leads into a JSON null"),
            Some(document) => match find(document, &path.steps) {
                None if !path.lax => return self.on_error.value("a path leads to nothing"),
                found => found.filter(|found| !found.is_null()),
            },
        };
        if self.returns == Returns::Exists {
            return Ok(Some(found.is_some().to_string()));
        }
        let Some(found) = found else { return self.on_empty.value("a path leads to nothing") };
        let wrapped = match self.wrapper {
            _ if self.returns != Returns::Json => None,
            Wrapper::Without => None,
            Wrapper::Conditional if found.is_array() => None,
            Wrapper::Conditional | Wrapper::Always => Some(Value::Array(vec![found.clone()])),
        };
        let value = wrapped.as_ref().unwrap_or(found);
        let is_other = match self.texts {
            true => !value.is_array(),
            false => is_scalar(value) == (self.returns == Returns::Json),
        };
        if is_other {
            let what = "what a path leads to is of another kind";
            return if path.lax { self.on_empty.value(what) } else { self.on_error.value(what) };
        }
        let shown = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let is_typed = match self.returns {
            Returns::Boolean => value.is_boolean(),
            Returns::Integer | Returns::Double => value.is_number() && self.returns.takes(&shown),
            _ => true,
        };
        match is_typed {
            true => Ok(Some(shown)),
            false => Err(format!("{value} was found where {} was expected", self.returns.kind())),
        }
    }
}

/// What is made of what is found at a path.
///
/// # Errors
/// If the arguments are others, or a default is of another type.
pub(crate) fn queried(arguments: Vec<Bound>, query: Query) -> Result<Bound, String> {
    count(&arguments, 2..=2)?;
    let (mut key, path) = path(&arguments[1])?;
    let document = text(arguments.into_iter().next().ok_or("it takes a text")?)?;
    for instead in [&query.on_empty, &query.on_error] {
        if let Instead::Value(value) = instead
            && !query.returns.takes(value)
        {
            let kind = query.returns.kind();
            return Err(format!(
                "the default '{value}' is not of the type that it returns, {kind}"
            ));
        }
    }
    let name = match query.returns {
        Returns::Json => "JSON_QUERY",
        Returns::Exists => "JSON_EXISTS",
        _ => "JSON_VALUE",
    };
    let usual = match query.returns {
        Returns::Json | Returns::Exists => Query::new(query.returns),
        _ => Query::new(Returns::Text),
    };
    let (shown, usual) = (format!("{query:?}"), format!("{usual:?}"));
    if shown != usual {
        key = format!("{key} {shown}");
    }
    if query.texts {
        return texts_of(name, key, document, query, path);
    }
    let result = Type::nullable(query.returns.kind());
    Ok(prepared(name, key, vec![document], result, move |arrays, rows| {
        let texts = Rows::new(arrays);
        let say = |row| texts.text(0, row).map_or(Ok(None), |text| query.say(text, &path));
        let said = (0..rows).map(say).collect::<Result<Vec<_>, String>>();
        let said = said.map_err(|what| DataFusionError::Execution(format!("{name}: {what}")))?;
        Ok(query.returns.array(said))
    }))
}

/// The elements of what is found, as texts.
fn texts_of(
    name: &'static str,
    key: String,
    document: Bound,
    query: Query,
    path: Path,
) -> Result<Bound, String> {
    let kind = Kind::Array(Box::new(Type::nullable(STRING)));
    let list = nested(&kind)?;
    Ok(prepared(name, key, vec![document], Type::nullable(kind), move |arrays, rows| {
        let texts = Rows::new(arrays);
        let (mut elements, mut all) = (StringViewBuilder::new(), 0);
        let lists = (0..rows).map(|row| {
            let Some(text) = texts.text(0, row) else { return Ok(None) };
            let said = query.say(text, &path).map_err(|what| format!("{name}: {what}"))?;
            let begin = all;
            // An object is no array.
            let Some(Value::Array(found)) = said.and_then(|said| parsed(&said)) else {
                return Ok(None);
            };
            for element in found {
                elements.append_option(match element {
                    Value::Null => None,
                    Value::String(text) => Some(text),
                    other => Some(other.to_string()),
                });
                all += 1;
            }
            Ok(Some(begin..all))
        });
        let lists =
            lists.collect::<Result<Vec<_>, String>>().map_err(DataFusionError::Execution)?;
        list.of_lists(&[Arc::new(elements.finish()) as ArrayRef], lists)
    }))
}

/// Whether a text is JSON of a kind; NULL is none.
///
/// # Errors
/// If it is no text.
pub(crate) fn is_json(arguments: Vec<Bound>, kind: IsJson) -> Result<Bound, String> {
    count(&arguments, 1..=1)?;
    let arguments = arguments.into_iter().map(text).collect::<Result<Vec<_>, _>>()?;
    let (key, result) = (format!("{kind:?}"), Type::required(Kind::Boolean));
    Ok(prepared("IS_JSON", key, arguments, result, move |arrays, rows| {
        let texts = Rows::new(arrays);
        let is = |row| texts.text(0, row).and_then(parsed).is_some_and(|value| kind.is(&value));
        Ok(Arc::new((0..rows).map(|row| Some(is(row))).collect::<BooleanArray>()))
    }))
}
