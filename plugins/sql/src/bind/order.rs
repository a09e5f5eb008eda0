//! ORDER BY, LIMIT, OFFSET and FETCH: the first rows of all.

use std::sync::Arc;

use datafusion_expr::{Extension, LogicalPlan, col, lit};
use sqlparser::{
    ast::{self, LimitClause, OrderByExpr, OrderByKind, Query, Value},
    tokenizer::Span,
};

use super::{
    Column, Relation,
    aggregate::Order,
    expression::{Scope, ordered},
    over::Over,
    planning,
    rank::RowNumber,
    select::{Item, project, unsupported},
};
use crate::{
    error::{Place, SqlError},
    relation::RANK,
};

/// What a query says of the order of its rows, and how many it wants.
pub(super) struct Sorting<'a> {
    pub(super) keys: &'a [OrderByExpr],
    /// How many rows, behind so many.
    limit: Option<(i64, i64)>,
    pub(super) span: Span,
}

/// When all rows of a statement are in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sorted {
    /// When they have ended.
    AtTheEnd,
    /// When the watermark has reached them.
    ByTime,
}

/// A key of ORDER BY: a column of SELECT, or one behind these that is only there for it.
#[derive(Clone, Copy)]
pub(super) struct SortKey {
    column: usize,
    descending: bool,
    nulls_first: bool,
}

impl<'a> Sorting<'a> {
    /// That of a query.
    ///
    /// # Errors
    /// If it is about something else than the first rows.
    pub(super) fn of(query: &'a Query) -> Result<Self, SqlError> {
        let keys: &[OrderByExpr] = match &query.order_by {
            None => &[],
            Some(order) => match &order.kind {
                OrderByKind::Expressions(keys) if order.interpolate.is_none() => keys,
                _ => return Err(unsupported(order, "this kind of ORDER BY")),
            },
        };
        let (mut rows, mut offset) = (None, None);
        match &query.limit_clause {
            None => {}
            Some(LimitClause::LimitOffset { limit, offset: behind, limit_by })
                if limit_by.is_empty() =>
            {
                rows = limit.as_ref().map(|limit| count(limit, "LIMIT")).transpose()?;
                let behind = behind.as_ref();
                offset = behind.map(|behind| count(&behind.value, "OFFSET")).transpose()?;
            }
            Some(_) => return Err(unsupported(query, "LIMIT of this kind")),
        }
        if let Some(fetch) = &query.fetch {
            if fetch.with_ties || fetch.percent || rows.is_some() {
                return Err(unsupported(query, "FETCH of this kind"));
            }
            let missing = || SqlError::at(query, "FETCH needs a number: FETCH FIRST 10 ROWS ONLY");
            rows = Some(count(fetch.quantity.as_ref().ok_or_else(missing)?, "FETCH")?);
        }
        let limit = match (rows, offset) {
            (Some(rows), offset) => Some((rows, offset.unwrap_or(0))),
            (None, None) => None,
            (None, Some(_)) => {
                let message = "OFFSET without LIMIT or FETCH is not supported: all rows but the first ones \
                               would be kept, with their order";
                return Err(SqlError::at(query, message));
            }
        };
        let span = query.order_by.as_ref().map_or_else(|| query.place(), Place::place);
        Ok(Self { keys, limit, span })
    }

    /// How many rows are asked for, behind so many; `None` for all.
    pub(super) fn limit(&self) -> Option<(i64, i64)> {
        self.limit
    }

    /// All rows in the order of these columns: when they have ended, or else by event time.
    fn all(
        &self,
        mut rows: Relation,
        keys: &[SortKey],
        asked: Sorted,
    ) -> Result<Relation, SqlError> {
        let node = Over::sorted(rows.plan, self.order(&rows.columns, keys)?, self.span);
        let node = node.map_err(|error| planning(&error))?;
        if asked == Sorted::ByTime && !node.timed {
            return Err(SqlError::spanned(
                self.span,
                "ORDER BY without LIMIT is in the order of the event time of a table, ascending, and of nothing \
                 else: rows go on coming, so that none is known to be the next; add LIMIT to keep the first ones, \
                 leave ORDER BY out, or SET 'execution.runtime-mode' = 'batch' for tables that end",
            ));
        }
        rows.plan = Arc::new(LogicalPlan::Extension(Extension { node: Arc::new(node) }));
        Ok(rows)
    }

    /// The keys as columns of a plan.
    fn order(&self, columns: &[Column], keys: &[SortKey]) -> Result<Vec<Order>, SqlError> {
        let order = keys.iter().map(|key| {
            let SortKey { column, descending, nulls_first } = *key;
            let column = columns.get(column);
            let column = column.ok_or_else(|| SqlError::new("ORDER BY of no column"))?;
            let expr = column.bound().expr;
            Ok(Order { expr, descending, nulls_first })
        });
        order.collect()
    }

    /// The first rows of a relation in the order of these columns, of which so many are asked for. An order of
    /// all rows says nothing about which there are, unless it is `asked` for.
    pub(super) fn first(
        &self,
        mut rows: Relation,
        (keys, width): (&[SortKey], usize),
        asked: Option<Sorted>,
    ) -> Result<Relation, SqlError> {
        if let (None, [_, ..], Some(asked)) = (self.limit, keys, asked) {
            rows = self.all(rows, keys, asked)?;
        }
        if let Some((limit, offset)) = self.limit {
            let order = self.order(&rows.columns, keys)?;
            let node = RowNumber::new(rows.plan, Vec::new(), order, false, self.span);
            let node = Arc::new(node.map_err(|error| planning(&error))?);
            rows.plan = Arc::new(LogicalPlan::Extension(Extension { node }));
            rows = rows.filtered(col(RANK).lt_eq(lit(limit.saturating_add(offset))))?;
            if offset > 0 {
                rows = rows.filtered(col(RANK).gt(lit(offset)))?;
            }
        }
        if self.limit.is_some() || rows.columns.len() > width {
            let columns = rows.columns.iter().take(width);
            let items = columns.map(|column| Ok((column.name.clone(), column.bound())));
            return project(&rows, items.collect::<Result<_, SqlError>>()?);
        }
        Ok(rows)
    }

    /// The keys as columns of a relation, which are behind its own if they are computed.
    pub(super) fn over(&self, rows: Relation) -> Result<(Relation, Vec<SortKey>), SqlError> {
        if self.keys.is_empty() {
            return Ok((rows, Vec::new()));
        }
        let own = rows.columns.iter().map(|column| {
            let (name, place) = (column.name.clone(), self.span);
            Ok(Item { name, bound: column.bound(), place })
        });
        let mut items = own.collect::<Result<Vec<_>, SqlError>>()?;
        let scope = Scope { relation: &rows, calls: None, around: None };
        let keys = scope.sort_keys(self.keys, &mut items, false)?;
        let items = items.into_iter().map(|item| (item.name, item.bound)).collect();
        Ok((project(&rows, items)?, keys))
    }
}

/// A number of rows.
fn count(value: &ast::Expr, clause: &str) -> Result<i64, SqlError> {
    whole(value).ok_or_else(|| SqlError::at(value, format!("{clause} takes a whole number")))
}

/// The whole number that a literal is, without a sign.
fn whole(value: &ast::Expr) -> Option<i64> {
    match value {
        ast::Expr::Value(value) => match &value.value {
            Value::Number(digits, _) => digits.parse().ok(),
            _ => None,
        },
        _ => None,
    }
}

impl Scope<'_> {
    /// The keys of ORDER BY as items of SELECT, to which those are added that are not among them. A name or
    /// number of an item counts before a column of FROM.
    pub(super) fn sort_keys(
        &self,
        keys: &[OrderByExpr],
        items: &mut Vec<Item>,
        distinct: bool,
    ) -> Result<Vec<SortKey>, SqlError> {
        let selected = items.len();
        let mut key = |key: &OrderByExpr| {
            if key.with_fill.is_some() {
                return Err(unsupported(&key.expr, "WITH FILL"));
            }
            let named = match (&key.expr, whole(&key.expr)) {
                (ast::Expr::Identifier(name), _) => {
                    items.iter().take(selected).position(|item| item.name == name.value)
                }
                (_, Some(number)) => {
                    let at = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
                    let at = at.filter(|at| *at < selected);
                    Some(at.ok_or_else(|| {
                        let message =
                            format!("ORDER BY {number}: the query has {selected} columns");
                        SqlError::at(&key.expr, message)
                    })?)
                }
                _ => None,
            };
            let column = match named {
                Some(column) => column,
                None => {
                    let bound = self.bind(&key.expr)?;
                    let same = items.iter().position(|item| item.bound.expr == bound.expr);
                    if same.is_none() && distinct {
                        let message =
                            "rows that are DISTINCT are ordered by what they have: select it, too";
                        return Err(SqlError::at(&key.expr, message));
                    }
                    same.unwrap_or_else(|| {
                        let name = format!("$order{}", items.len());
                        items.push(Item { name, bound, place: key.expr.place() });
                        items.len() - 1
                    })
                }
            };
            if let Some(item) = items.get(column) {
                ordered(&item.bound, &key.expr)?;
            }
            let descending = key.options.asc == Some(false);
            // NULLs are the least, as in Flink.
            let nulls_first = key.options.nulls_first.unwrap_or(!descending);
            Ok(SortKey { column, descending, nulls_first })
        };
        keys.iter().map(&mut key).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_rows_are_whole() {
        let number = |digits: &str| {
            ast::Expr::Value(Value::Number(digits.into(), false).with_span(Span::empty()))
        };
        assert_eq!(whole(&number("10")), Some(10));
        for wrong in ["1.5", "99999999999999999999"] {
            assert_eq!(whole(&number(wrong)), None);
            assert!(count(&number(wrong), "LIMIT").is_err());
        }
    }
}
