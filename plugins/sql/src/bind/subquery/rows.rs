//! The rows of subqueries, and which of them belong to a row around.

use std::{cell::RefCell, sync::Arc};

use datafusion_common::{
    Column as PlanColumn,
    tree_node::{Transformed, TreeNode},
};
use datafusion_expr::{
    BinaryExpr, Expr, JoinType, LogicalPlan, LogicalPlanBuilder, Operator, lit,
    utils::{conjunction, split_conjunction_owned},
};
use sqlparser::ast::{self, Distinct, Query, Select, SelectItem, SetExpr};

use super::{
    super::{
        Binder, Bound, Column, Relation,
        aggregate::{Call, Calls},
        expression::Scope,
        group::Groups,
        order::Sorting,
        planning,
        select::unsupported,
    },
    lift::Clauses,
};
use crate::{
    error::{Place, SqlError},
    relation::AggregateFunction,
};

/// The rows of a subquery.
pub(super) enum Rows {
    Any(Inner),
    One(One),
}

/// Any number of rows for each row around.
pub(super) struct Inner {
    pub(super) relation: Relation,
    /// What is selected, and what it is called.
    pub(super) items: Vec<Bound>,
    pub(super) names: Vec<String>,
    /// Conditions about the rows around, too.
    pub(super) correlated: Vec<Expr>,
    /// Whether equal rows are one.
    pub(super) distinct: bool,
}

/// One row for each row around, of all rows that belong to it, if there are any or not.
pub(super) struct One {
    /// The groups of rows.
    pub(super) plan: Arc<LogicalPlan>,
    pub(super) keys: Vec<Key>,
    /// What is selected, over the columns of [calls](Calls::name).
    pub(super) items: Vec<Bound>,
    pub(super) names: Vec<String>,
    /// Without it the row is not there.
    pub(super) having: Option<Expr>,
    /// For each call whether it is zero of no rows, and not NULL.
    pub(super) counts: Vec<bool>,
}

/// Something of a row around, and what is equal to it in the rows that belong to it.
#[derive(Clone)]
pub(super) struct Key {
    pub(super) around: Expr,
    pub(super) own: Expr,
}

impl Rows {
    /// Refuses another number of columns than so many; `name` is what takes them.
    pub(super) fn of_columns(
        self,
        wanted: usize,
        name: &str,
        part: &impl Place,
    ) -> Result<Self, SqlError> {
        let (Self::Any(Inner { items, .. }) | Self::One(One { items, .. })) = &self;
        if items.len() == wanted {
            return Ok(self);
        }
        let of = if wanted == 1 { "one column".into() } else { format!("{wanted} columns") };
        let message = format!("{name} takes a subquery of {of}, not of {}", items.len());
        Err(SqlError::at(part, message))
    }
}

impl Binder<'_> {
    /// The rows of a subquery, whose columns are called otherwise than those around it. If it cannot stand by
    /// itself it is about these. Where nobody asks for its columns there may be none.
    pub(super) fn rows_of(
        &mut self,
        query: &Query,
        columns: bool,
        around: &Relation,
    ) -> Result<Rows, SqlError> {
        let (named, views) = (self.named.len(), self.views.len());
        let select = select_of(query);
        let alone = match select {
            Some(select) if !columns && is_plain(query) && is_simple(select) => None,
            _ => Some(self.query(query)),
        };
        let error = match alone {
            Some(Ok(relation)) => {
                let relation = relation.apart(around)?;
                let items = relation.columns.iter().map(Column::bound).collect();
                return Ok(Rows::Any(Inner::alone(relation, items)));
            }
            Some(Err(error)) => Some(error),
            None => None,
        };
        self.named.truncate(named);
        self.views.truncate(views);
        match (select, error) {
            (Some(select), _) if is_plain(query) || (!columns && takes_any(query)) => {
                self.correlated((query, select), columns, around)
            }
            (_, None) => Err(SqlError::at(query, "the subquery has no rows")),
            (None, Some(error)) => Err(error),
            (Some(select), Some(error)) => {
                Err(match self.correlated((query, select), columns, around) {
                    // Otherwise there is something else wrong with it.
                    Err(_) => error,
                    Ok(_) => SqlError::at(query, CLAUSES),
                })
            }
        }
    }

    /// The rows of a subquery behind LATERAL, and what its columns are called. If it is about those around it, its
    /// ORDER BY and LIMIT are still to be done.
    pub(super) fn lateral_rows<'q>(
        &mut self,
        query: &'q Query,
        around: &Relation,
    ) -> Result<(Rows, Vec<String>, Option<Sorting<'q>>), SqlError> {
        let (named, views) = (self.named.len(), self.views.len());
        let error = match self.query(query) {
            // It says nothing of them.
            Ok(relation) => {
                let relation = relation.apart(around)?;
                let items = relation.columns.iter().map(Column::bound).collect();
                let inner = Inner::alone(relation, items);
                let names = inner.names.clone();
                return Ok((Rows::Any(inner), names, None));
            }
            Err(error) => error,
        };
        self.named.truncate(named);
        self.views.truncate(views);
        let SetExpr::Select(select) = &*query.body else { return Err(error) };
        let rows = self.correlated((query, select), true, around)?;
        let (Rows::Any(Inner { names, .. }) | Rows::One(One { names, .. })) = &rows;
        let names = names.clone();
        Ok((rows, names, Some(Sorting::of(query)?)))
    }

    /// The rows of a subquery that is about those around it: in WHERE, in what is selected or aggregated, and in
    /// HAVING. What WITH names in front of it stands by itself.
    fn correlated(
        &mut self,
        (query, select): (&Query, &Select),
        columns: bool,
        around: &Relation,
    ) -> Result<Rows, SqlError> {
        let named = self.named.len();
        self.with(query)?;
        let rows = self.correlated_select(select, columns, around);
        self.named.truncate(named);
        rows
    }

    fn correlated_select(
        &mut self,
        select: &Select,
        columns: bool,
        around: &Relation,
    ) -> Result<Rows, SqlError> {
        for (there, part) in [
            (matches!(select.distinct, Some(Distinct::On(_))), "DISTINCT ON"),
            (select.qualify.is_some(), "QUALIFY"),
            (!select.lateral_views.is_empty(), "LATERAL VIEW"),
            (!select.named_window.is_empty(), "WINDOW in a subquery about the rows around it"),
        ] {
            if there {
                return Err(unsupported(select, part));
            }
        }
        let relation = match select.from.is_empty() {
            true => Relation::one_row()?,
            false => self.from(&select.from)?.apart(around)?,
        };
        let (relation, correlated) = match &select.selection {
            Some(condition) => self.selected(relation, condition, Some(around))?,
            None => (relation, Vec::new()),
        };
        let mut clauses = Clauses::of(select, &[]);
        let relation = self.values_of_rows(&mut clauses, relation)?;
        let select = &*clauses.select;
        let (relation, grouping, window) = relation.keys(&select.group_by)?;
        if window.is_some() || !grouping.is_one_set() {
            let what = "a subquery about the rows around it with a window or several sets of keys";
            return Err(unsupported(&select.group_by, what));
        }
        let is_grouped = !grouping.is_empty();
        let calls = RefCell::new(Calls::new(is_grouped, None));
        let rows = Scope { relation: &relation, calls: Some(&calls), around: Some(around) };
        let mut selected = Vec::new();
        for item in &select.projection {
            let is_value =
                matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. });
            if columns || is_value {
                self.item(item, &rows, &mut selected)?;
            }
        }
        let places: Vec<_> = selected.iter().map(|item| item.place).collect();
        let (names, mut items): (Vec<_>, Vec<_>) =
            selected.into_iter().map(|item| (item.name, item.bound)).unzip();
        let having = select.having.as_ref();
        let having = having.map(|having| Ok((rows.condition(having, "HAVING")?, having.place())));
        let having = having.transpose()?;
        let Calls { mut aggregates, ranked, overs, .. } = calls.into_inner();
        if ranked.is_some() || !overs.is_empty() {
            return Err(unsupported(select, "OVER in a subquery about the rows around it"));
        }
        let distinct = select.distinct.is_some();
        if aggregates.is_empty() && !is_grouped && having.is_none() {
            return Ok(Rows::Any(Inner { relation, items, names, correlated, distinct }));
        }
        let mut used: Vec<&Expr> = items.iter().map(|item| &item.expr).collect();
        used.extend(aggregates.iter().flat_map(|call| call.arguments().chain(&call.filter)));
        used.extend(having.iter().map(|(having, _)| having));
        let Linked { plan, keys, renamed } = Linked::of(relation.plan, correlated, &used, around)?;
        items.iter_mut().for_each(|item| renamed.apply(&mut item.expr));
        for call in &mut aggregates {
            call.parts().for_each(|part| renamed.apply(part));
        }
        let own: Vec<Expr> = keys.iter().map(|key| key.own.clone()).collect();
        let mut by = own.clone();
        by.extend(grouping.keys.iter().filter(|key| !own.contains(key)).cloned());
        let groups = Groups::new(plan, &by, &aggregates)?;
        let columns = own.into_iter().map(|own| groups.of(own, select.place()));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let keys = keys.into_iter().zip(columns).map(|(key, own)| Key { own, ..key });
        let keys: Vec<Key> = keys.collect();
        // What is not grouped by may be said of no rows, too.
        let said = match is_grouped {
            true => groups.only(&grouping.keys),
            false => groups.only(&[]),
        };
        for (item, place) in items.iter_mut().zip(places) {
            let made = said.of(item.expr.clone(), place);
            item.expr = made.map_err(|_| SqlError::spanned(place, LOOSE))?;
        }
        let having = having.map(|(mut having, place)| {
            renamed.apply(&mut having);
            said.of(having, place).map_err(|_| SqlError::spanned(place, LOOSE))
        });
        let (having, plan) = (having.transpose()?, groups.plan);
        if is_grouped {
            let mut relation = Relation { plan, columns: Vec::new() };
            if let Some(having) = having {
                relation = relation.filtered(having)?;
            }
            let correlated = keys.into_iter().map(|key| key.around.eq(key.own)).collect();
            return Ok(Rows::Any(Inner { relation, items, names, correlated, distinct }));
        }
        let counts = aggregates.iter().map(Call::is_count).collect();
        Ok(Rows::One(One { plan, keys, items, names, having, counts }))
    }
}

impl Inner {
    /// Rows that are about none around.
    fn alone(relation: Relation, items: Vec<Bound>) -> Self {
        let names = relation.columns.iter().map(|column| column.name.clone()).collect();
        Self { relation, items, names, correlated: Vec::new(), distinct: false }
    }

    /// The rows with what connects them with those around.
    pub(super) fn linked(self, around: &Relation) -> Result<(Linked, Vec<Bound>), SqlError> {
        let mut items = self.items;
        let used: Vec<&Expr> = items.iter().map(|item| &item.expr).collect();
        let linked = Linked::of(self.relation.plan, self.correlated, &used, around)?;
        items.iter_mut().for_each(|item| linked.renamed.apply(&mut item.expr));
        Ok((linked, items))
    }
}

/// Rows, and what those that belong to a row around are equal to.
pub(super) struct Linked {
    pub(super) plan: Arc<LogicalPlan>,
    pub(super) keys: Vec<Key>,
    renamed: Renamed,
}

impl Linked {
    /// Rows that belong to those around by these conditions. Where more than equality connects them, or something
    /// `used` is about both, each is there with what there is of the rows around, once for all that are equal.
    fn of(
        plan: Arc<LogicalPlan>,
        conditions: Vec<Expr>,
        used: &[&Expr],
        around: &Relation,
    ) -> Result<Self, SqlError> {
        let (mut keys, mut rest) = (Vec::new(), Vec::new());
        let own = plan.schema();
        for condition in conditions.into_iter().flat_map(split_conjunction_owned) {
            let is_own = |side: &Expr| {
                let columns = side.column_refs();
                let found = columns.iter().filter(|column| own.has_column(column)).count();
                (!columns.is_empty()).then_some((found == columns.len(), found == 0))
            };
            match condition {
                Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
                    match (is_own(&left), is_own(&right)) {
                        (Some((true, _)), Some((_, true))) => {
                            keys.push(Key { around: *right, own: *left });
                        }
                        (Some((_, true)), Some((true, _))) => {
                            keys.push(Key { around: *left, own: *right });
                        }
                        _ => rest.push((*left).eq(*right)),
                    }
                }
                other => rest.push(other),
            }
        }
        let mut shared: Vec<PlanColumn> = Vec::new();
        for expression in rest.iter().chain(used.iter().copied()) {
            for column in around.plan.schema().columns() {
                let is_used = expression.column_refs().contains(&column);
                if is_used && !own.has_column(&column) && !shared.contains(&column) {
                    shared.push(column);
                }
            }
        }
        let mut renamed = Renamed(Vec::new());
        if shared.is_empty() {
            return Ok(Self { plan, keys, renamed });
        }
        let prefix = new_name(&plan, "$around");
        for (i, column) in shared.into_iter().enumerate() {
            let name = PlanColumn::new_unqualified(format!("{prefix}_{i}"));
            keys.push(Key {
                around: Expr::Column(column.clone()),
                own: Expr::Column(name.clone()),
            });
            renamed.0.push((column, name));
        }
        rest.iter_mut().for_each(|condition| renamed.apply(condition));
        let columns =
            renamed.0.iter().map(|(column, name)| Expr::Column(column.clone()).alias(&name.name));
        let names = renamed.0.iter().map(|(_, name)| Expr::Column(name.clone()));
        let (columns, names): (Vec<_>, Vec<_>) = (columns.collect(), names.collect());
        let each = LogicalPlanBuilder::from(Arc::clone(&around.plan))
            .project(columns)
            .and_then(|each| each.aggregate(names, Vec::<Expr>::new()))
            .and_then(LogicalPlanBuilder::build);
        let each = each.map_err(|error| planning(&error))?;
        let matching = conjunction(rest).unwrap_or_else(|| lit(true));
        let plan = LogicalPlanBuilder::from(plan)
            .join_on(each, JoinType::Inner, [matching])
            .and_then(LogicalPlanBuilder::build)
            .map_err(|error| planning(&error))?;
        Ok(Self { plan: Arc::new(plan), keys, renamed })
    }
}

/// Columns that have another name now.
struct Renamed(Vec<(PlanColumn, PlanColumn)>);

impl Renamed {
    fn apply(&self, expression: &mut Expr) {
        if self.0.is_empty() {
            return;
        }
        let made = std::mem::take(expression).transform_up(|part| {
            Ok(match &part {
                Expr::Column(column) => match self.0.iter().find(|(from, _)| from == column) {
                    Some((_, to)) => Transformed::yes(Expr::Column(to.clone())),
                    None => Transformed::no(part),
                },
                _ => Transformed::no(part),
            })
        });
        if let Ok(made) = made {
            *expression = made.data;
        }
    }
}

impl Call {
    /// Whether it is zero of no rows.
    fn is_count(&self) -> bool {
        matches!(self.function, AggregateFunction::Count | AggregateFunction::CountAll)
    }
}

impl Relation {
    /// A name that no column of the plan begins with.
    pub(super) fn new_name(&self, prefix: &str) -> String {
        new_name(&self.plan, prefix)
    }
}

fn new_name(plan: &LogicalPlan, prefix: &str) -> String {
    let fields = plan.schema().fields();
    let is_taken = |name: &String| fields.iter().any(|field| field.name().starts_with(name));
    let mut names = (0..).map(|number| format!("{prefix}{number}"));
    names.find(|name| !is_taken(name)).unwrap_or_default()
}

/// The clauses that are about all rows of a subquery, of all rows around.
const CLAUSES: &str = "a subquery about the rows around it takes none of LIMIT, FETCH and OFFSET: ask for MIN or \
                       MAX, or rank the rows in a subquery of FROM and join it";

/// What is wrong with a column, its own or one around it, that is there once for each row.
const LOOSE: &str = "beside aggregate functions a column of a subquery may differ within a group: put it into GROUP BY, \
                     or aggregate it, with MAX for instance";

/// The SELECT that a query is.
fn select_of(query: &Query) -> Option<&Select> {
    match &*query.body {
        SetExpr::Query(inner) => select_of(inner),
        SetExpr::Select(select) => Some(&**select),
        _ => None,
    }
}

/// Whether nothing is around its SELECT that says which of the rows there are.
fn is_plain(query: &Query) -> bool {
    let plain = query.limit_clause.is_none() && query.fetch.is_none();
    // What is named within is not known when the SELECT is bound.
    let names = |inner: &Query| inner.with.is_some() || !is_plain(inner);
    plain && !matches!(&*query.body, SetExpr::Query(inner) if names(inner))
}

/// Whether a limit leaves a row where there is one: whether there is any is the same without it.
fn takes_any(query: &Query) -> bool {
    let limit = Sorting::of(query).ok().and_then(|sorting| sorting.limit());
    matches!(limit, Some((1.., 0))) && matches!(&*query.body, SetExpr::Select(_))
}

/// Whether its rows are those of FROM, as many as there are for which the condition is true.
fn is_simple(select: &Select) -> bool {
    matches!(
        &select.group_by,
        ast::GroupByExpr::Expressions(keys, modifiers) if keys.is_empty() && modifiers.is_empty()
    ) && select.having.is_none()
        && select.qualify.is_none()
        && select.named_window.is_empty()
        && select.lateral_views.is_empty()
}
