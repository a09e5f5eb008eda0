//! Queries.

use std::{cell::RefCell, sync::Arc};

use datafusion_common::Column as PlanColumn;
use datafusion_expr::{Expr, LogicalPlanBuilder};
use sqlparser::{
    ast::{
        Distinct, Ident, NamedWindowDefinition, NamedWindowExpr, OrderByExpr, Query, Select,
        SelectItem, SelectItemQualifiedWildcardKind, SetExpr,
    },
    tokenizer::Span,
};

use super::{
    Binder, Bound, Cells, Column, Relation,
    aggregate::Calls,
    coerce,
    expression::Scope,
    from::alias_columns,
    hint::Lives,
    order::{SortKey, Sorted, Sorting},
    planning,
    subquery::{Clauses, is_value},
};
use crate::{
    error::{Place, SqlError},
    parse::{CreateTable, simple_name},
    types::Type,
};

/// An error for what is not there yet.
pub(super) fn unsupported(part: &impl Place, what: &str) -> SqlError {
    SqlError::at(part, format!("{what} is not supported yet"))
}

impl Binder<'_> {
    /// The rows of a query.
    ///
    /// # Errors
    /// If it names what is not there, its types do not fit, or a clause is not supported.
    pub fn query(&mut self, query: &Query) -> Result<Relation, SqlError> {
        let before = self.named.len();
        // Those within say nothing of an order.
        let sorted = self.sorted.take();
        self.with(query)?;
        let relation = self.ordered(query, sorted);
        self.named.truncate(before);
        relation
    }

    /// Names what WITH names in front of a query.
    pub(super) fn with(&mut self, query: &Query) -> Result<(), SqlError> {
        let Some(with) = &query.with else { return Ok(()) };
        if with.recursive {
            return Err(unsupported(query, "WITH RECURSIVE"));
        }
        for table in &with.cte_tables {
            let relation = self.query(&table.query)?;
            let names = alias_columns(&table.alias);
            let relation = relation.renamed(&names, &table.alias.name)?;
            self.named.push((table.alias.name.value.clone(), relation));
        }
        Ok(())
    }

    /// The rows of the query's body, or the first ones.
    fn ordered(&mut self, query: &Query, sorted: Option<Sorted>) -> Result<Relation, SqlError> {
        let sorting = Sorting::of(query)?;
        let ((relation, keys), width) = match &*query.body {
            SetExpr::Select(select) => {
                let (relation, keys, width) = self.select(select, sorting.keys)?;
                ((relation, keys), width)
            }
            body => {
                let relation = self.body(body)?;
                let width = relation.columns.len();
                (sorting.over(relation)?, width)
            }
        };
        sorting.first(relation, (&keys, width), sorted)
    }

    pub(super) fn body(&mut self, body: &SetExpr) -> Result<Relation, SqlError> {
        match body {
            SetExpr::Select(select) => Ok(self.select(select, &[])?.0),
            SetExpr::Query(query) => self.query(query),
            SetExpr::SetOperation { op, set_quantifier, left, right } => {
                self.set_operation((*op, *set_quantifier), left, right)
            }
            SetExpr::Values(values) => Relation::values(values, body),
            _ => Err(unsupported(body, "this kind of query")),
        }
    }

    /// The rows of a SELECT, the keys that they are ordered by, and how many columns are selected: others behind
    /// these are keys.
    fn select(
        &mut self,
        select: &Select,
        order: &[OrderByExpr],
    ) -> Result<(Relation, Vec<SortKey>, usize), SqlError> {
        for (there, part) in [
            (matches!(select.distinct, Some(Distinct::On(_))), "DISTINCT ON"),
            (select.qualify.is_some(), "QUALIFY"),
            (!select.lateral_views.is_empty(), "LATERAL VIEW"),
        ] {
            if there {
                return Err(unsupported(select, part));
            }
        }
        let around = std::mem::replace(&mut self.lives, Lives::of(select)?);
        let relation = match select.from.is_empty() {
            true => Relation::one_row(),
            false => self.from(&select.from),
        };
        let lives = std::mem::replace(&mut self.lives, around);
        let mut relation = relation?;
        if let Some(selection) = &select.selection {
            (relation, _) = self.selected(relation, selection, None)?;
        }
        let mut clauses = Clauses::of(select, order);
        relation = self.values_of_rows(&mut clauses, relation)?;
        let (mut relation, mut grouping, window) = relation.keys(&clauses.select.group_by)?;
        let mut calls = Calls::new(!grouping.is_empty(), window);
        calls.grouping = grouping.clone();
        for NamedWindowDefinition(name, window) in &select.named_window {
            match window {
                NamedWindowExpr::WindowSpec(window) => {
                    calls.named.push((name.clone(), window.clone()));
                }
                NamedWindowExpr::NamedWindow(_) => {
                    return Err(unsupported(name, "a window that is another name of one"));
                }
            }
        }
        let calls = RefCell::new(calls);
        let values = self.values_of_groups(&mut clauses, &mut relation, &calls)?;
        let (select, order) = (&*clauses.select, &*clauses.order);
        let scope = Scope { relation: &relation, calls: Some(&calls), around: None };
        let mut having = match &select.having {
            Some(having) => Some((scope.condition(having, "HAVING")?, having.place())),
            None => None,
        };
        if let Some(ranked) = &calls.borrow().ranked {
            let message = "ROW_NUMBER may stand in SELECT, but not here";
            return Err(SqlError::spanned(ranked.span, message));
        }
        if let Some(over) = calls.borrow().overs.first() {
            return Err(SqlError::spanned(over.span, "OVER may stand in SELECT, but not here"));
        }
        let mut items = Vec::new();
        for item in &select.projection {
            self.item(item, &scope, &mut items)?;
        }
        let width = items.len();
        let keys_of_order = scope.sort_keys(order, &mut items, select.distinct.is_some())?;
        let Calls { aggregates, mut ranked, mut overs, window, .. } = calls.into_inner();
        if let Some(time) = window.and_then(|window| window.time()) {
            grouping.add(vec![vec![time]]).map_err(SqlError::new)?;
        }
        if !grouping.is_empty() || !aggregates.is_empty() || having.is_some() {
            let groups = grouping.groups(relation.plan, &aggregates)?;
            for item in &mut items {
                item.bound.data_type.nullable |= grouping.may_be_missing(&item.bound.expr);
                item.bound.expr = groups.of(item.bound.expr.clone(), item.place)?;
            }
            if let Some((condition, place)) = having {
                having = Some((groups.of(condition, place)?, place));
            }
            ranked = ranked.map(|ranked| ranked.of(&groups)).transpose()?;
            overs = overs.into_iter().map(|call| call.of(&groups)).collect::<Result<_, _>>()?;
            let values = values.into_iter().map(|value| value.of(&groups, select.place()));
            let values = values.collect::<Result<Vec<_>, _>>()?;
            relation = Relation { plan: groups.plan, columns: Vec::new() };
            relation = lives.groups(select, relation);
            for value in values {
                relation = value.attached(relation)?;
            }
        }
        if let Some((condition, _)) = having {
            relation = relation.filtered(condition)?;
        }
        relation = relation.over(overs)?;
        if let Some(ranked) = ranked {
            relation = relation.ranked(ranked)?;
        }
        let items = items.into_iter().map(|item| (item.name, item.bound)).collect();
        let selected = project(&relation, items)?;
        let selected = match select.distinct {
            Some(Distinct::Distinct) => lives.groups(select, selected.distinct()?),
            _ => selected,
        };
        Ok((selected, keys_of_order, width))
    }

    pub(super) fn item(
        &self,
        item: &SelectItem,
        scope: &Scope<'_>,
        items: &mut Vec<Item>,
    ) -> Result<(), SqlError> {
        let place = item.place();
        let columns = &scope.relation.columns;
        match item {
            SelectItem::UnnamedExpr(expression) => {
                let name = name_of(expression).unwrap_or_else(|| format!("EXPR${}", items.len()));
                items.push(Item { name, bound: scope.bind(expression)?, place });
            }
            SelectItem::ExprWithAlias { expr, alias } => {
                items.push(Item { name: alias.value.clone(), bound: scope.bind(expr)?, place });
            }
            SelectItem::Wildcard(_) => {
                if columns.is_empty() {
                    return Err(SqlError::at(
                        item,
                        "`*` stands for the columns of FROM, which is missing",
                    ));
                }
                for column in columns.iter().filter(|column| !column.qualified) {
                    items.push(Item { name: column.name.clone(), bound: column.bound(), place });
                }
            }
            SelectItem::QualifiedWildcard(kind, _) => {
                let SelectItemQualifiedWildcardKind::ObjectName(name) = kind else {
                    return Err(unsupported(item, "`.*` behind an expression"));
                };
                let table = simple_name(name)?;
                if !scope.relation.has_table(&table.value) {
                    let message = format!("there is no table `{}` here", table.value);
                    return Err(SqlError::at(name, message));
                }
                let of_table = |column: &&Column| column.table.as_deref() == Some(&table.value);
                for column in columns.iter().filter(of_table) {
                    items.push(Item { name: column.name.clone(), bound: column.bound(), place });
                }
            }
        }
        Ok(())
    }

    /// The rows of a query as a table takes them: its columns in order, cast to their types.
    ///
    /// # Errors
    /// If they do not fit.
    pub fn insert(
        &mut self,
        table: &CreateTable,
        named: &[Ident],
        query: &Query,
    ) -> Result<Relation, SqlError> {
        let relation = self.query(query)?;
        let physical = table.physical();
        let fills: Vec<&str> = match named {
            [] => physical.iter().map(|(name, _)| *name).collect(),
            named => named.iter().map(|name| name.value.as_str()).collect(),
        };
        if let Some(name) = named.iter().find(|name| !physical.iter().any(|p| p.0 == name.value)) {
            let known = physical.iter().map(|(name, _)| *name);
            let near = crate::error::suggestion(&name.value, known);
            let message =
                format!("the table `{}` has no column `{}`{near}", table.name.value, name.value);
            return Err(SqlError::at(name, message));
        }
        if fills.len() != relation.columns.len() {
            return Err(SqlError::at(
                query,
                format!(
                    "the table `{}` takes {} columns ({}), but the query has {} ({})",
                    table.name.value,
                    fills.len(),
                    fills.join(", "),
                    relation.columns.len(),
                    names(&relation)
                ),
            ));
        }
        let mut items = Vec::new();
        for (name, wanted) in physical {
            let bound = match fills.iter().position(|fill| *fill == name) {
                Some(at) => relation.columns[at].bound(),
                None => coerce::null(),
            };
            let found = bound.data_type.clone();
            let cast = coerce::store(bound, wanted).ok_or_else(|| {
                SqlError::at(
                    query,
                    format!(
                        "the column `{name}` of the table `{}` is {wanted}, but the query has {found} \
                         there: use CAST",
                        table.name.value
                    ),
                )
            })?;
            items.push((name.to_owned(), cast));
        }
        project(&relation, items)
    }
}

/// A column of a SELECT.
pub(super) struct Item {
    pub(super) name: String,
    pub(super) bound: Bound,
    pub(super) place: Span,
}

impl Relation {
    /// The rows for which a condition is true.
    pub(super) fn filtered(self, condition: Expr) -> Result<Self, SqlError> {
        let plan = LogicalPlanBuilder::from(self.plan)
            .filter(condition)
            .and_then(LogicalPlanBuilder::build)
            .map_err(|error| planning(&error))?;
        Ok(Self { plan: Arc::new(plan), columns: self.columns })
    }
}

impl CreateTable {
    /// The columns that the connector has, with their types.
    pub fn physical(&self) -> Vec<(&str, &Type)> {
        let columns = self.columns.iter().filter_map(|column| match &column.source {
            crate::parse::ColumnSource::Physical(data_type) => {
                Some((column.name.value.as_str(), data_type))
            }
            crate::parse::ColumnSource::Computed(_)
            | crate::parse::ColumnSource::Metadata { .. } => None,
        });
        columns.collect()
    }

    /// The columns that are read: those, and what else the connector knows.
    pub fn readable(&self) -> Vec<(&str, Type)> {
        let columns = self.columns.iter().filter_map(|column| {
            let data_type = match &column.source {
                crate::parse::ColumnSource::Physical(data_type) => data_type.clone(),
                crate::parse::ColumnSource::Metadata { data_type, key, .. } => {
                    super::metadata::given(key, data_type)
                }
                crate::parse::ColumnSource::Computed(_) => return None,
            };
            Some((column.name.value.as_str(), data_type))
        });
        columns.collect()
    }
}

impl Column {
    /// The column as an expression.
    pub(super) fn bound(&self) -> Bound {
        let (Cells::One(column) | Cells::Row(column, _)) = &self.cells;
        Bound { expr: Expr::Column(column.clone()), data_type: self.data_type.clone() }
    }
}

fn names(relation: &Relation) -> String {
    let names: Vec<&str> = relation.columns.iter().map(|column| column.name.as_str()).collect();
    names.join(", ")
}

/// What an expression without an alias is called: a column by its name, anything else by its place.
fn name_of(expression: &sqlparser::ast::Expr) -> Option<String> {
    match expression {
        sqlparser::ast::Expr::Identifier(name) => Some(name.value.clone()),
        named if is_value(named) => None,
        sqlparser::ast::Expr::CompoundIdentifier(names) => names.last().map(|n| n.value.clone()),
        sqlparser::ast::Expr::Nested(inner) => name_of(inner),
        _ => None,
    }
}

/// These expressions over the rows of a relation.
pub(super) fn project(
    relation: &Relation,
    items: Vec<(String, Bound)>,
) -> Result<Relation, SqlError> {
    let mut taken: Vec<String> = Vec::new();
    let (mut expressions, mut columns) = (Vec::new(), Vec::new());
    for (name, Bound { expr, data_type }) in items {
        // A query may have two columns of one name, a plan may not.
        let mut plain = name.clone();
        while taken.contains(&plain) {
            plain.push('\'');
        }
        expressions.push(expr.alias(&plain));
        let cells = Cells::One(PlanColumn::new_unqualified(&plain));
        columns.push(Column { table: None, name, cells, data_type, qualified: false });
        taken.push(plain);
    }
    let plan = LogicalPlanBuilder::from(Arc::clone(&relation.plan))
        .project(expressions)
        .and_then(LogicalPlanBuilder::build)
        .map_err(|error| planning(&error))?;
    Ok(Relation { plan: Arc::new(plan), columns })
}
