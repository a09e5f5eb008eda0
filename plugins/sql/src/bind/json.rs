//! Calls of functions of JSON, with their clauses.

use arrow::datatypes::DataType as Arrow;
use datafusion_common::ScalarValue;
use datafusion_expr::Expr;
use sqlparser::ast::{self, FunctionArg, FunctionArgExpr, FunctionArguments};

use super::{
    Bound,
    expression::{Scope, unsupported},
};
use crate::{
    error::SqlError,
    function::{
        self,
        json::{self, Instead, IsJson, Query, Returns, Wrapper},
    },
    parse::json::{ARRAY_OF, ELEMENT, NULLS, OBJECT_OF, ON_EMPTY, ON_ERROR, RETURNING, WRAPPER},
};

/// The clauses of a call, by their names.
type Clauses<'a> = Vec<(&'a str, &'a ast::Expr)>;

impl Scope<'_> {
    /// A call that is parsed in a way of its own; `None` if it is another one.
    pub(super) fn json(
        &self,
        name: &str,
        call: &ast::Function,
        part: &ast::Expr,
    ) -> Result<Option<Bound>, SqlError> {
        let FunctionArguments::List(list) = &call.args else { return Ok(None) };
        let wrong = |message: String| {
            let called = function::doc(name).map(|doc| format!("; it is called as {doc}"));
            SqlError::at(part, format!("{name}: {message}{}", called.unwrap_or_default()))
        };
        let bound = match name {
            "JSON_VALUE" | "JSON_QUERY" | "JSON_EXISTS" => {
                let (arguments, clauses) = self.divided(&list.args)?;
                let query = self.query(name, &clauses, part)?;
                json::queried(arguments, query)
            }
            "JSON_OBJECT" | "JSON_ARRAY" => {
                let (arguments, clauses) = self.divided(&list.args)?;
                let is_object = name == "JSON_OBJECT";
                let absent = match clauses.first() {
                    Some((NULLS, what)) => text(what) == Some("ABSENT"),
                    _ => !is_object,
                };
                // What these have made is JSON; other texts are texts.
                let unnamed = list.args.iter().filter(|of| matches!(of, FunctionArg::Unnamed(_)));
                let raw = unnamed.map(makes_json).collect();
                json::made(is_object, arguments, raw, absent)
            }
            ELEMENT | OBJECT_OF | ARRAY_OF => {
                let (arguments, _) = self.divided(&list.args)?;
                Ok(match name {
                    ELEMENT => json::element(arguments),
                    OBJECT_OF => json::object_of(arguments),
                    _ => json::array_of(arguments),
                })
            }
            _ => {
                let Some(kind) = IsJson::of(name) else { return Ok(None) };
                let (arguments, _) = self.divided(&list.args)?;
                json::is_json(arguments, kind)
            }
        };
        bound.map(Some).map_err(wrong)
    }

    /// The arguments, and the clauses by their names.
    fn divided<'a>(&self, all: &'a [FunctionArg]) -> Result<(Vec<Bound>, Clauses<'a>), SqlError> {
        let (mut arguments, mut clauses) = (Vec::new(), Vec::new());
        for argument in all {
            match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => {
                    arguments.push(self.bind(expr)?);
                }
                FunctionArg::Named { name, arg: FunctionArgExpr::Expr(expr), .. } => {
                    clauses.push((&*name.value, expr));
                }
                _ => return Err(unsupported(argument)),
            }
        }
        Ok((arguments, clauses))
    }

    /// What the clauses say of a call.
    fn query(
        &self,
        name: &str,
        clauses: &[(&str, &ast::Expr)],
        part: &ast::Expr,
    ) -> Result<Query, SqlError> {
        let returns = match name {
            "JSON_VALUE" => Returns::Text,
            "JSON_QUERY" => Returns::Json,
            _ => Returns::Exists,
        };
        let mut query = Query::new(returns);
        for (clause, said) in clauses {
            let refused = |what: &str| {
                let message = match *clause {
                    ON_EMPTY | ON_ERROR => format!("{name} with {what} {clause} is not supported"),
                    _ => format!("{name} with {clause} {what} is not supported"),
                };
                Err(SqlError::at(part, message))
            };
            let words = text(said).unwrap_or("DEFAULT");
            match *clause {
                RETURNING if returns == Returns::Exists => return refused(words),
                RETURNING => match (returns, Returns::of(words)) {
                    (Returns::Text, Some(returns)) => query.returns = returns,
                    (Returns::Json, Some(Returns::Text)) => {}
                    (Returns::Json, None) if words == "ARRAY<STRING>" => query.texts = true,
                    _ => return refused(words),
                },
                WRAPPER if returns == Returns::Json => {
                    query.wrapper = match words {
                        "WITHOUT" => Wrapper::Without,
                        "CONDITIONAL" => Wrapper::Conditional,
                        _ => Wrapper::Always,
                    };
                }
                ON_EMPTY | ON_ERROR => {
                    let instead = match said {
                        ast::Expr::Nested(value) if returns == Returns::Text => {
                            let bound = self.bind(value)?;
                            match constant(&bound.expr) {
                                Some(constant) => Instead::Value(constant),
                                None => return refused("DEFAULT of what is no constant"),
                            }
                        }
                        _ => match Instead::of(returns, words) {
                            Some(Instead::Value(value)) if query.texts && value == "{}" => {
                                return refused("RETURNING ARRAY<STRING> and EMPTY OBJECT");
                            }
                            Some(instead) => instead,
                            None => return refused(words),
                        },
                    };
                    let place = match *clause {
                        ON_EMPTY if returns == Returns::Exists => return refused(words),
                        ON_EMPTY => &mut query.on_empty,
                        _ => &mut query.on_error,
                    };
                    *place = instead;
                }
                _ => return refused(words),
            }
        }
        Ok(query)
    }
}

/// The text that is written there.
fn text(expression: &ast::Expr) -> Option<&str> {
    match expression {
        ast::Expr::Value(value) => match &value.value {
            ast::Value::SingleQuotedString(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

/// The text of a constant.
fn constant(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Literal(value, _) if !value.is_null() => match value.cast_to(&Arrow::Utf8) {
            Ok(ScalarValue::Utf8(text)) => text,
            _ => None,
        },
        _ => None,
    }
}

/// Whether an argument is a call of JSON_OBJECT or JSON_ARRAY.
fn makes_json(argument: &FunctionArg) -> bool {
    let FunctionArg::Unnamed(FunctionArgExpr::Expr(ast::Expr::Function(call))) = argument else {
        return false;
    };
    let name = call.name.to_string().to_uppercase();
    ["JSON_OBJECT", "JSON_ARRAY"].contains(&&*name)
}
