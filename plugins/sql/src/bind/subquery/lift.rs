//! Subqueries that are values: each becomes a column of the rows that it is a value for, and a name of that column
//! takes its place.

use std::{borrow::Cow, cell::RefCell};

use sqlparser::{
    ast::{self, Ident, OrderByExpr, Select},
    tokenizer::Span,
};

use super::{
    super::{Binder, Column, Relation, aggregate::Calls, expression::Scope, group::Groups},
    parts,
    value::{Asked, Value},
};
use crate::error::{Place, SqlError};

/// What stands for a table in the names of these columns: nobody can write it.
const SUBQUERY: &str = "$subquery";

/// The clauses of a SELECT, in which subqueries are replaced.
pub(in crate::bind) struct Clauses<'a> {
    pub(in crate::bind) select: Cow<'a, Select>,
    pub(in crate::bind) order: Cow<'a, [OrderByExpr]>,
    has_subqueries: bool,
    is_grouped: bool,
}

impl<'a> Clauses<'a> {
    pub(in crate::bind) fn of(select: &'a Select, order: &'a [OrderByExpr]) -> Self {
        let (mut own, mut keys) = (select.clone(), order.to_vec());
        let any = |own: &mut Select, keys: &mut [OrderByExpr], is: fn(&ast::Expr) -> bool| {
            parts::of_groups(own, keys).any(|part| parts::any(part, is))
        };
        let of_keys = |key: &mut ast::Expr| parts::any(key, parts::is_subquery);
        let has_subqueries = any(&mut own, &mut keys, parts::is_subquery)
            || parts::keys(&mut own).iter_mut().any(of_keys);
        let is_grouped = own.having.is_some()
            || !parts::keys(&mut own).is_empty()
            || any(&mut own, &mut keys, parts::is_aggregate);
        let (select, order) = (Cow::Borrowed(select), Cow::Borrowed(order));
        Self { select, order, has_subqueries, is_grouped }
    }
}

/// A value of groups, which are not there yet when it is bound, and the column that will have it.
pub(in crate::bind) struct OfGroups(Value, String);

impl OfGroups {
    /// The same, where the groups are there.
    pub(in crate::bind) fn of(self, groups: &Groups, place: Span) -> Result<Self, SqlError> {
        let Self(value, name) = self;
        Ok(Self(value.of(groups, place)?, name))
    }

    /// The groups with the value.
    pub(in crate::bind) fn attached(self, groups: Relation) -> Result<Relation, SqlError> {
        let Self(value, name) = self;
        value.attached(groups, &name)
    }
}

/// Whether an expression is what a subquery was replaced by: it has no name.
pub(in crate::bind) fn is_value(expression: &ast::Expr) -> bool {
    match expression {
        ast::Expr::CompoundIdentifier(names) => {
            names.first().is_some_and(|table| table.value == SUBQUERY)
        }
        _ => false,
    }
}

/// Replaces subqueries.
struct Lift<'a> {
    rows: Relation,
    /// Those that were replaced, and what by: equal ones are one.
    known: Vec<(ast::Expr, String)>,
    /// If the values are those of groups.
    groups: Option<(&'a RefCell<Calls>, Vec<OfGroups>)>,
}

impl Binder<'_> {
    /// The rows with a column for each subquery that is a value of single rows, which is replaced.
    pub(in crate::bind) fn values_of_rows(
        &mut self,
        clauses: &mut Clauses<'_>,
        rows: Relation,
    ) -> Result<Relation, SqlError> {
        if !clauses.has_subqueries {
            return Ok(rows);
        }
        let of_rows = !clauses.is_grouped;
        let mut lift = Lift { rows, known: Vec::new(), groups: None };
        let (select, order) = (clauses.select.to_mut(), clauses.order.to_mut());
        for key in parts::keys(select) {
            lift.replace(self, key, true)?;
        }
        for part in parts::of_groups(select, order) {
            lift.replace(self, part, of_rows)?;
        }
        Ok(lift.rows)
    }

    /// The values of groups that subqueries are, which are replaced; the rows are those that are grouped.
    pub(in crate::bind) fn values_of_groups(
        &mut self,
        clauses: &mut Clauses<'_>,
        rows: &mut Relation,
        calls: &RefCell<Calls>,
    ) -> Result<Vec<OfGroups>, SqlError> {
        if !clauses.has_subqueries || !clauses.is_grouped {
            return Ok(Vec::new());
        }
        let groups = Some((calls, Vec::new()));
        let mut lift = Lift { rows: rows.clone(), known: Vec::new(), groups };
        let (select, order) = (clauses.select.to_mut(), clauses.order.to_mut());
        for part in parts::of_groups(select, order) {
            lift.replace(self, part, true)?;
        }
        *rows = lift.rows;
        Ok(lift.groups.map(|(_, values)| values).unwrap_or_default())
    }

    /// The rows with a column for each subquery in an expression over them, which is replaced.
    pub(in crate::bind) fn values_of(
        &mut self,
        expression: &mut ast::Expr,
        rows: Relation,
    ) -> Result<Relation, SqlError> {
        let mut lift = Lift { rows, known: Vec::new(), groups: None };
        lift.replace(self, expression, true)?;
        Ok(lift.rows)
    }

    /// The two sides of a join with a column for each subquery in its condition, which is replaced. Each is a value
    /// of the rows of one side.
    pub(in crate::bind) fn values_of_sides(
        &mut self,
        condition: &ast::Expr,
        [left, right]: [Relation; 2],
    ) -> Result<(ast::Expr, [Relation; 2]), SqlError> {
        let mut of_right = condition.clone();
        let error = match self.values_of(&mut of_right, right.clone()) {
            Ok(right) => return Ok((of_right, [left, right])),
            Err(error) => error,
        };
        let mut of_left = condition.clone();
        match self.values_of(&mut of_left, left) {
            Ok(left) => Ok((of_left, [left, right])),
            Err(_) => Err(error),
        }
    }
}

impl Relation {
    /// The same without the columns of subqueries.
    pub(in crate::bind) fn without_values(mut self) -> Self {
        self.columns.retain(|column| column.table.as_deref() != Some(SUBQUERY));
        self
    }
}

impl Lift<'_> {
    /// Replaces the subqueries of an expression: all, or those in calls of aggregate functions.
    fn replace(
        &mut self,
        binder: &mut Binder<'_>,
        expression: &mut ast::Expr,
        all: bool,
    ) -> Result<(), SqlError> {
        let within = all || parts::is_aggregate(expression);
        for part in parts::parts(expression) {
            self.replace(binder, part, within)?;
        }
        let Some(asked) = Asked::of(expression).filter(|_| all) else { return Ok(()) };
        let known = self.known.iter().find(|(other, _)| other == expression);
        let name = match known.map(|(_, name)| name.clone()) {
            Some(name) => name,
            None => {
                let name = self.value(binder, &asked)?;
                self.known.push((expression.clone(), name.clone()));
                name
            }
        };
        let names = [SUBQUERY, &name].map(|name| Ident::with_span(expression.place(), name));
        *expression = ast::Expr::CompoundIdentifier(names.into());
        Ok(())
    }

    /// The column of a value, which is added.
    fn value(&mut self, binder: &mut Binder<'_>, asked: &Asked<'_>) -> Result<String, SqlError> {
        let name = match &self.groups {
            None => self.rows.new_name("$value"),
            // Their columns are not there yet.
            Some((_, values)) => format!("{}{}", Calls::VALUE, values.len()),
        };
        let calls = self.groups.as_ref().map(|(calls, _)| *calls);
        let scope = Scope { relation: &self.rows, calls, around: None };
        let value = binder.value(asked, &scope, &name)?;
        let column = Column::value(SUBQUERY, &name, value.data_type());
        match &mut self.groups {
            None => {
                self.rows = value.attached(self.rows.clone(), &name)?;
            }
            Some((_, values)) => values.push(OfGroups(value, name.clone())),
        }
        self.rows.columns.push(column);
        Ok(name)
    }
}
