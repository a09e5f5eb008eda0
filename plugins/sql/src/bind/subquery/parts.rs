//! The parts of expressions, without what is within a subquery.

use sqlparser::ast::{
    self, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, OrderByExpr, Select,
    SelectItem,
};

use crate::{function, parse::simple_name};

/// The expressions that an expression is made of, for as far as a subquery may stand in them. Of OVER only the
/// arguments are.
pub(super) fn parts(expression: &mut Expr) -> Vec<&mut Expr> {
    match expression {
        Expr::Nested(one)
        | Expr::UnaryOp { expr: one, .. }
        | Expr::IsNull(one)
        | Expr::IsNotNull(one)
        | Expr::IsTrue(one)
        | Expr::IsNotTrue(one)
        | Expr::IsFalse(one)
        | Expr::IsNotFalse(one)
        | Expr::IsUnknown(one)
        | Expr::IsNotUnknown(one)
        | Expr::Cast { expr: one, .. }
        | Expr::Extract { expr: one, .. }
        | Expr::Ceil { expr: one, .. }
        | Expr::Floor { expr: one, .. }
        | Expr::InSubquery { expr: one, .. }
        | Expr::AnyOp { left: one, .. }
        | Expr::AllOp { left: one, .. }
        | Expr::CompoundFieldAccess { root: one, .. } => vec![&mut **one],
        Expr::BinaryOp { left, right, .. }
        | Expr::IsDistinctFrom(left, right)
        | Expr::IsNotDistinctFrom(left, right) => vec![&mut **left, &mut **right],
        Expr::Like { expr, pattern, .. } | Expr::SimilarTo { expr, pattern, .. } => {
            vec![&mut **expr, &mut **pattern]
        }
        Expr::Position { expr, r#in } => vec![&mut **expr, &mut **r#in],
        Expr::Between { expr, low, high, .. } => vec![&mut **expr, &mut **low, &mut **high],
        Expr::InList { expr, list, .. } => std::iter::once(&mut **expr).chain(list).collect(),
        Expr::Tuple(fields) => fields.iter_mut().collect(),
        Expr::Array(array) => array.elem.iter_mut().collect(),
        Expr::Substring { expr, substring_from, substring_for, .. } => {
            let bounds = [substring_from, substring_for].into_iter().flatten();
            std::iter::once(&mut **expr).chain(bounds.map(|bound| &mut **bound)).collect()
        }
        Expr::Trim { expr, trim_what, .. } => {
            let what = trim_what.iter_mut().map(|what| &mut **what);
            std::iter::once(&mut **expr).chain(what).collect()
        }
        Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
            let given = [expr, overlay_what, overlay_from].into_iter().chain(overlay_for);
            given.map(|part| &mut **part).collect()
        }
        Expr::Case { operand, conditions, else_result, .. } => {
            let whens =
                conditions.iter_mut().flat_map(|when| [&mut when.condition, &mut when.result]);
            let operand = operand.iter_mut().map(|operand| &mut **operand);
            let otherwise = else_result.iter_mut().map(|otherwise| &mut **otherwise);
            operand.chain(whens).chain(otherwise).collect()
        }
        Expr::Function(function) => {
            let mut parts = Vec::new();
            if let FunctionArguments::List(list) = &mut function.args {
                for argument in &mut list.args {
                    if let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = argument {
                        parts.push(expr);
                    }
                }
            }
            parts.extend(function.filter.iter_mut().map(|filter| &mut **filter));
            parts
        }
        _ => Vec::new(),
    }
}

/// Whether an expression is a subquery, or a comparison with one.
pub(super) fn is_subquery(expression: &Expr) -> bool {
    match expression {
        Expr::Subquery(_) | Expr::InSubquery { .. } | Expr::Exists { .. } => true,
        Expr::AnyOp { right, .. } | Expr::AllOp { right, .. } => {
            matches!(**right, Expr::Subquery(_))
        }
        _ => false,
    }
}

/// Whether an expression is the call of a function of all rows of a group.
pub(super) fn is_aggregate(expression: &Expr) -> bool {
    let is_one = |function: &Function| {
        let name = simple_name(&function.name).map(|name| name.value.to_uppercase());
        function.over.is_none() && name.is_ok_and(|name| function::is_aggregate(&name))
    };
    matches!(expression, Expr::Function(function) if is_one(function))
}

/// Whether it is true of an expression or one of its parts.
pub(super) fn any(expression: &mut Expr, is: fn(&Expr) -> bool) -> bool {
    is(expression) || parts(expression).into_iter().any(|part| any(part, is))
}

/// Whether a subquery is in it.
pub(in crate::bind) fn has_subquery(expression: &Expr) -> bool {
    any(&mut expression.clone(), is_subquery)
}

/// The expressions of a SELECT that are about rows of its groups, if it has any.
pub(super) fn of_groups<'a>(
    select: &'a mut Select,
    order: &'a mut [OrderByExpr],
) -> impl Iterator<Item = &'a mut Expr> {
    let items = select.projection.iter_mut().filter_map(|item| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
        _ => None,
    });
    items.chain(&mut select.having).chain(order.iter_mut().map(|key| &mut key.expr))
}

/// What a SELECT is grouped by.
pub(super) fn keys(select: &mut Select) -> &mut [Expr] {
    match &mut select.group_by {
        ast::GroupByExpr::Expressions(keys, _) => keys,
        ast::GroupByExpr::All(_) => &mut [],
    }
}
