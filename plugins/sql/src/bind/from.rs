//! What queries read: tables, views, other queries, and joins of them.

use std::sync::Arc;

use datafusion_common::Column as PlanColumn;
use datafusion_expr::{Expr, JoinType, LogicalPlanBuilder, lit};
use sqlparser::ast::{Ident, Join, JoinOperator, TableAlias, TableFactor, TableWithJoins};

use super::{
    Binder, Cells, Relation,
    expression::Scope,
    hint::name_of,
    interval::by_time,
    planning, scan,
    select::unsupported,
    subquery::{Lateral, has_subquery},
    temporal::as_of,
    unnest,
    using::{Common, Matching},
    window::TableCall,
};
use crate::{
    catalog::Entry,
    error::{Place, SqlError},
};

impl Binder<'_> {
    /// The rows of FROM: of all tables together, if there are several.
    pub(super) fn from(&mut self, from: &[TableWithJoins]) -> Result<Relation, SqlError> {
        let mut whole: Option<Relation> = None;
        for tables in from {
            let mut relation = match unnest::Call::of(&tables.relation) {
                None if let Some(lateral) = Lateral::of(&tables.relation) => {
                    let left = whole.take().map_or_else(Relation::one_row, Ok)?;
                    self.lateral(left, &lateral, (JoinType::Inner, &Matching::All))?
                }
                Some(call) => {
                    let left = whole.take().map_or_else(Relation::one_row, Ok)?;
                    call.beside(left, JoinType::Inner)?
                }
                None => self.factor(&tables.relation)?,
            };
            let mut first = name_of(&tables.relation);
            for join in &tables.joins {
                if let Some(call) = unnest::Call::of(&join.relation) {
                    relation = call.joined(relation, join)?;
                    continue;
                }
                if let Some(lateral) = Lateral::of(&join.relation) {
                    let (kind, matching) = parts(join)?;
                    relation = self.lateral(relation, &lateral, (kind, &matching))?;
                    continue;
                }
                if let Some(time) = as_of(&join.relation) {
                    relation = self.as_of(relation, join, time)?;
                    continue;
                }
                let mut right = self.factor(&join.relation)?;
                let (kind, mut matching) = parts(join)?;
                let lifted;
                if let Matching::On(condition) = matching
                    && has_subquery(condition)
                {
                    (lifted, [relation, right]) =
                        self.values_of_sides(condition, [relation, right])?;
                    matching = Matching::On(&lifted);
                }
                relation = relation.joined(right, kind, matching, &join.relation)?.without_values();
                let second = name_of(&join.relation);
                relation = self.lives.join([first.take().as_deref(), second.as_deref()], relation);
            }
            whole = Some(match whole {
                None => relation,
                Some(others) => {
                    let kind = JoinType::Inner;
                    others.joined(relation, kind, Matching::All, &tables.relation)?
                }
            });
        }
        whole.ok_or_else(|| SqlError::new("FROM names no table"))
    }

    pub(super) fn factor(&mut self, factor: &TableFactor) -> Result<Relation, SqlError> {
        match factor {
            TableFactor::Table { name, alias, args: None, version: None, .. } => {
                let (name, relation) = self.table_named(name)?;
                aliased(relation, alias.as_ref(), &name.value)
            }
            TableFactor::Derived { lateral: false, subquery, alias, sample: None } => {
                let relation = self.query(subquery)?;
                match alias {
                    Some(_) => aliased(relation, alias.as_ref(), ""),
                    None => Ok(relation),
                }
            }
            TableFactor::NestedJoin { table_with_joins, alias: None } => {
                self.from(std::slice::from_ref(table_with_joins))
            }
            TableFactor::Table { version: Some(_), .. } => {
                let message = "FOR SYSTEM_TIME AS OF stands behind the second table of a JOIN … ON, with the \
                               event time of the first one";
                Err(SqlError::at(factor, message))
            }
            TableFactor::TableFunction { expr, alias } => match TableCall::of(expr) {
                Some(call) => self.function(call, alias.as_ref()),
                None => Err(unsupported(factor, "this kind of table")),
            },
            TableFactor::Table { name, alias, args: Some(arguments), version: None, .. } => {
                let call = TableCall { name, arguments: &arguments.args, span: factor.place() };
                self.function(call, alias.as_ref())
            }
            TableFactor::Function { .. } => Err(unnest::no_function(factor)),
            _ => Err(unsupported(factor, "this kind of table")),
        }
    }

    /// The rows of a function.
    fn function(
        &mut self,
        call: TableCall<'_>,
        alias: Option<&TableAlias>,
    ) -> Result<Relation, SqlError> {
        let relation = self.windowed(call)?;
        match alias {
            Some(_) => aliased(relation, alias, ""),
            None => Ok(relation),
        }
    }

    /// The rows of what has this name: of WITH, a view or a table.
    pub(crate) fn table(&mut self, name: &Ident) -> Result<Relation, SqlError> {
        if let Some((_, relation)) = self.named.iter().rev().find(|(named, _)| *named == name.value)
        {
            return Ok(relation.clone());
        }
        match self.catalog.find(name)? {
            Entry::Table(table) => scan::scan(table),
            Entry::View { columns, query } => {
                if self.views.contains(&name.value) {
                    let message = format!("the view `{}` is made of itself", name.value);
                    return Err(SqlError::at(name, message));
                }
                self.views.push(name.value.clone());
                // A view sees nothing of the query around it.
                let named = std::mem::take(&mut self.named);
                let relation = self.query(query);
                self.named = named;
                self.views.pop();
                let said = |error: SqlError| {
                    let place = format!("in the view `{}`: {error}", name.value);
                    SqlError::at(name, place)
                };
                relation.map_err(said)?.renamed(columns, name)
            }
        }
    }
}

/// What kind of join it is, and which rows match.
fn parts(join: &Join) -> Result<(JoinType, Matching<'_>), SqlError> {
    use JoinOperator::{CrossJoin, FullOuter, Inner, Left, LeftOuter, Right, RightOuter};
    let (kind, constraint, name) = match &join.join_operator {
        JoinOperator::Join(constraint) | Inner(constraint) => (JoinType::Inner, constraint, "JOIN"),
        CrossJoin(_) => return Ok((JoinType::Inner, Matching::All)),
        Left(constraint) | LeftOuter(constraint) => (JoinType::Left, constraint, "LEFT JOIN"),
        Right(constraint) | RightOuter(constraint) => (JoinType::Right, constraint, "RIGHT JOIN"),
        FullOuter(constraint) => (JoinType::Full, constraint, "FULL JOIN"),
        _ => return Err(unsupported(&join.relation, "this kind of join")),
    };
    let matching = Matching::of(constraint)?.ok_or_else(|| {
        let message = format!("{name} needs a condition: add ON");
        SqlError::at(&join.relation, message)
    })?;
    Ok((kind, matching))
}

impl Relation {
    /// The rows of a join with those of another that match; `part` is the other one.
    fn joined(
        self,
        right: Self,
        kind: JoinType,
        matching: Matching<'_>,
        part: &impl Place,
    ) -> Result<Self, SqlError> {
        let right = right.apart(&self)?;
        let whole = self.beside(&right, part)?;
        let common = Common::of(&matching, [&self, &right], part)?;
        let (width, left, right) = (self.columns.len(), self.plan, right.plan.as_ref().clone());
        let condition = match matching {
            Matching::On(condition) => {
                let rows = Scope { relation: &whole, calls: None, around: None };
                let condition = rows.condition(condition, "ON")?;
                Some(by_time(condition, [&left, &right]))
            }
            // A plan of an outer join has a condition.
            _ => Common::condition(&common).or((kind != JoinType::Inner).then(|| lit(true))),
        };
        let plan = LogicalPlanBuilder::from(left)
            .join_on(right, kind, condition)
            .and_then(LogicalPlanBuilder::build)
            .map_err(|error| planning(&error))?;
        let whole = Self { plan: Arc::new(plan), ..whole };
        whole.padded(kind, width).with_common(&common, (kind, width), part)
    }

    /// The columns of these rows and of others beside them; the plan is still that of these.
    pub(super) fn beside(&self, right: &Self, part: &impl Place) -> Result<Self, SqlError> {
        let mut names = self.columns.iter().filter_map(|column| column.table.as_deref());
        if let Some(name) = names.find(|name| right.has_table(name)) {
            let message =
                format!("two tables are called `{name}` here: give one another name with AS");
            return Err(SqlError::at(part, message));
        }
        let columns = self.columns.iter().chain(&right.columns).cloned().collect();
        Ok(Self { plan: Arc::clone(&self.plan), columns })
    }

    /// The same columns, the first `width` of which are those of the left of a join: what a row without a match
    /// has not got is NULL.
    pub(super) fn padded(mut self, kind: JoinType, width: usize) -> Self {
        let [pads_left, pads_right] = match kind {
            JoinType::Left => [false, true],
            JoinType::Right => [true, false],
            JoinType::Full => [true, true],
            _ => [false, false],
        };
        for (i, column) in self.columns.iter_mut().enumerate() {
            column.data_type.nullable |= if i < width { pads_left } else { pads_right };
        }
        self
    }

    /// The same rows in a plan none of whose columns is called like one of another's.
    pub(super) fn apart(self, other: &Self) -> Result<Self, SqlError> {
        let mut taken: Vec<String> =
            other.plan.schema().fields().iter().map(|field| field.name().clone()).collect();
        let mut renamed = Vec::new();
        let mut expressions = Vec::new();
        for column in self.plan.schema().columns() {
            let mut name = column.name.clone();
            while taken.contains(&name) {
                name.push('\'');
            }
            taken.push(name.clone());
            let expression = Expr::Column(column.clone());
            if name == column.name {
                expressions.push(expression);
            } else {
                expressions.push(expression.alias(&name));
                renamed.push((column, PlanColumn::new_unqualified(name)));
            }
        }
        if renamed.is_empty() {
            return Ok(self);
        }
        let plan = LogicalPlanBuilder::from(self.plan)
            .project(expressions)
            .and_then(LogicalPlanBuilder::build)
            .map_err(|error| planning(&error))?;
        let mut columns = self.columns;
        columns.iter_mut().for_each(|column| column.cells.rename(&renamed));
        Ok(Self { plan: Arc::new(plan), columns })
    }
}

impl Cells {
    /// Says where the values are now.
    fn rename(&mut self, renamed: &[(PlanColumn, PlanColumn)]) {
        let (Self::One(column) | Self::Row(column, _)) = self;
        if let Some((_, now)) = renamed.iter().find(|(before, _)| before == column) {
            *column = now.clone();
        }
        if let Self::Row(_, fields) = self {
            fields.iter_mut().for_each(|(_, cells)| cells.rename(renamed));
        }
    }
}

pub(super) fn alias_columns(alias: &TableAlias) -> Vec<Ident> {
    alias.columns.iter().map(|column| column.name.clone()).collect()
}

fn aliased(
    relation: Relation,
    alias: Option<&TableAlias>,
    name: &str,
) -> Result<Relation, SqlError> {
    match alias {
        Some(alias) => {
            let names = alias_columns(alias);
            Ok(relation.renamed(&names, &alias.name)?.named(&alias.name.value))
        }
        None => Ok(relation.named(name)),
    }
}
