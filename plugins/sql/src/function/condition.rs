//! Functions that choose among values.

use datafusion_expr::{BinaryExpr, Case, Expr, Operator};

use super::{Function, arguments::count};
use crate::{
    bind::{self, Bound},
    types::{Kind, Type},
};

pub(super) const FUNCTIONS: &[Function] = &[
    Function { names: &["COALESCE"], doc: "COALESCE(value, …)", bind: coalesce },
    Function {
        names: &["IFNULL"],
        doc: "IFNULL(value, instead)",
        bind: |name, arguments| {
            count(&arguments, 2..=2)?;
            coalesce(name, arguments)
        },
    },
    Function { names: &["NULLIF"], doc: "NULLIF(value, value)", bind: nullif },
    Function { names: &["IF"], doc: "IF(condition, then, else)", bind: choose },
    Function {
        names: &["GREATEST"],
        doc: "GREATEST(value, …)",
        bind: |_, arguments| extreme(arguments, Operator::GtEq),
    },
    Function {
        names: &["LEAST"],
        doc: "LEAST(value, …)",
        bind: |_, arguments| extreme(arguments, Operator::LtEq),
    },
];

fn common(values: Vec<Bound>) -> Result<(Vec<Bound>, Kind), String> {
    bind::common(values).map_err(|(a, b)| format!("{a} and {b} have no type in common"))
}

fn case(when_then: Vec<(Expr, Expr)>, otherwise: Option<Expr>) -> Expr {
    let boxed = when_then.into_iter().map(|(when, then)| (Box::new(when), Box::new(then)));
    let when_then_expr = boxed.collect();
    Expr::Case(Case { expr: None, when_then_expr, else_expr: otherwise.map(Box::new) })
}

fn coalesce(_name: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    count(&arguments, 1..=usize::MAX)?;
    let nullable = arguments.iter().all(|argument| argument.data_type.nullable);
    let (mut values, kind) = common(arguments)?;
    let last = values.pop().map(|value| value.expr);
    let choices = values.into_iter().map(|value| (value.expr.clone().is_not_null(), value.expr));
    let choices: Vec<_> = choices.collect();
    let expr = match (choices.is_empty(), last) {
        (true, Some(only)) => only,
        (_, last) => case(choices, last),
    };
    Ok(Bound { expr, data_type: Type { kind, nullable } })
}

fn nullif(_name: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    count(&arguments, 2..=2)?;
    let first = arguments[0].clone();
    let (values, _) = common(arguments)?;
    let mut values = values.into_iter().map(|value| Box::new(value.expr));
    let (Some(a), Some(b)) = (values.next(), values.next()) else {
        return Err("it takes two arguments".into());
    };
    let equal = Expr::BinaryExpr(BinaryExpr::new(a, Operator::Eq, b));
    let kind = first.data_type.kind;
    let null = datafusion_common::ScalarValue::try_from(&kind.arrow());
    let null = null.map_err(|error| error.to_string())?;
    let expr = case(vec![(equal, Expr::Literal(null, None))], Some(first.expr));
    Ok(Bound { expr, data_type: Type::nullable(kind) })
}

fn choose(_name: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    count(&arguments, 3..=3)?;
    let mut arguments = arguments.into_iter();
    let Some(condition) = arguments.next() else { return Err("it takes three arguments".into()) };
    if condition.data_type.kind != Kind::Boolean {
        let kind = condition.data_type.kind;
        return Err(format!("{kind} was found where a condition was expected"));
    }
    let values: Vec<Bound> = arguments.collect();
    let nullable = super::nullable(&values);
    let (values, kind) = common(values)?;
    let mut values = values.into_iter().map(|value| value.expr);
    let (Some(then), otherwise) = (values.next(), values.next()) else {
        return Err("it takes three arguments".into());
    };
    let expr = case(vec![(condition.expr, then)], otherwise);
    Ok(Bound { expr, data_type: Type { kind, nullable } })
}

/// NULL if one of them is.
fn extreme(arguments: Vec<Bound>, wins: Operator) -> Result<Bound, String> {
    count(&arguments, 1..=usize::MAX)?;
    let nullable = super::nullable(&arguments);
    let (values, kind) = common(arguments)?;
    if kind.is_nested() {
        return Err(format!("values of {kind} are in no order"));
    }
    let null = datafusion_common::ScalarValue::try_from(&kind.arrow());
    let null = Expr::Literal(null.map_err(|error| error.to_string())?, None);
    let values: Vec<Expr> = values.into_iter().map(|value| value.expr).collect();
    let all_there = values.iter().cloned().map(Expr::is_not_null).reduce(Expr::and);
    // The first that wins against all behind it; those in front of it have lost against one of these.
    let mut choices = Vec::new();
    for (at, value) in values.iter().enumerate() {
        let others = values.iter().skip(at + 1).cloned();
        let wins = others.map(|other| {
            Expr::BinaryExpr(BinaryExpr::new(Box::new(value.clone()), wins, Box::new(other)))
        });
        if let Some(wins) = wins.reduce(Expr::and) {
            choices.push((wins, value.clone()));
        }
    }
    let Some(last) = values.last().cloned() else { return Err("it takes a value".into()) };
    let chosen = if choices.is_empty() { last } else { case(choices, Some(last)) };
    let expr = match all_there {
        Some(there) if nullable => case(vec![(there, chosen)], Some(null)),
        _ => chosen,
    };
    Ok(Bound { expr, data_type: Type { kind, nullable } })
}
