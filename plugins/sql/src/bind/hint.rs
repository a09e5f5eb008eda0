//! Hints: options of a table for one query, and how long a query's operators keep their state.

use std::{collections::HashSet, fmt, sync::Arc};

use datafusion_common::{DFSchemaRef, DataFusionError};
use datafusion_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};
use sqlparser::ast::{Ident, ObjectName, Select, TableFactor};

use super::{Binder, Relation, node::compared_by_identity, scan};
use crate::{
    catalog::Entry,
    error::{Place, SqlError, suggestion},
    parse::{hinted, hints, simple_name, table_options},
    relation::Life,
    time::parse_duration,
};

/// Hints that say how Flink is to run a join: here there is one way.
const PLANNING: &[&str] =
    &["BROADCAST", "SHUFFLE_HASH", "SHUFFLE_MERGE", "NEST_LOOP", "LOOKUP", "MULTI_JOIN"];
const STATE_TTL: &str = "STATE_TTL";

/// The tables of a query whose rows its operators keep for a time of their own, in milliseconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Lives(Vec<(String, i64)>);

impl Lives {
    /// Those that a SELECT says.
    pub(super) fn of(select: &Select) -> Result<Self, SqlError> {
        let mut lives = Self::default();
        let Some(hint) = &select.optimizer_hint else { return Ok(lives) };
        let span = select.place();
        let mut asked = Vec::new();
        for hint in hints(&hint.text, span)? {
            if hint.name == STATE_TTL {
                for (table, time) in hint.options {
                    let millis = parse_duration(&time).map_err(|takes| {
                        let message = format!("STATE_TTL {takes}; `{table}` was given '{time}'");
                        SqlError::spanned(span, message)
                    })?;
                    asked.push(table.clone());
                    lives.0.push((table, millis));
                }
            } else if PLANNING.contains(&hint.name.as_str()) {
                let tables = hint.options.into_iter().filter(|(key, _)| key == "table");
                asked.extend(hint.names.into_iter().chain(tables.map(|(_, table)| table)));
            } else {
                return Err(SqlError::spanned(span, unknown(&hint.name)));
            }
        }
        let mut tables = Vec::new();
        for from in &select.from {
            tables.extend(name_of(&from.relation));
            tables.extend(from.joins.iter().filter_map(|join| name_of(&join.relation)));
        }
        match asked.iter().find(|name| !tables.contains(name)) {
            None => Ok(lives),
            Some(name) => {
                let near = suggestion(name, tables.iter().map(String::as_str));
                let message = format!("a hint is about `{name}`, which is not in FROM{near}");
                Err(SqlError::spanned(span, message))
            }
        }
    }

    fn get(&self, table: Option<&str>) -> Option<i64> {
        let (_, millis) = self.0.iter().find(|(name, _)| Some(name.as_str()) == table)?;
        Some(*millis)
    }

    /// The plan of a join of two of the tables.
    pub(super) fn join(&self, sides: [Option<&str>; 2], relation: Relation) -> Relation {
        relation.lived(sides.map(|side| self.get(side)))
    }

    /// The plan of groups of all tables of a SELECT, if that is one.
    pub(super) fn groups(&self, select: &Select, relation: Relation) -> Relation {
        let [from] = &select.from[..] else { return relation };
        match (self.0.is_empty(), from.joins.is_empty()) {
            (false, true) => relation.lived([self.get(name_of(&from.relation).as_deref()); 2]),
            _ => relation,
        }
    }
}

/// What says that there is no hint of this name.
fn unknown(name: &str) -> String {
    if name == "OPTIONS" {
        return "the hint OPTIONS stands behind the table that it is about".to_owned();
    }
    let known = PLANNING.iter().copied().chain([STATE_TTL]);
    let near = suggestion(name, known.clone());
    match near.is_empty() {
        true => {
            let known: Vec<_> = known.collect();
            format!("there is no hint {name}: there are {}", known.join(", "))
        }
        false => format!("there is no hint {name}{near}"),
    }
}

/// What a table of FROM is called in its query.
pub(super) fn name_of(factor: &TableFactor) -> Option<String> {
    match factor {
        TableFactor::Table { alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), .. } => Some(alias.name.value.clone()),
        TableFactor::Table { name, .. } => simple_name(&hinted(name).0).ok().map(|name| name.value),
        _ => None,
    }
}

impl Binder<'_> {
    /// The rows of what has this name, with the options of the hint behind it.
    pub(super) fn table_named(&mut self, name: &ObjectName) -> Result<(Ident, Relation), SqlError> {
        let (name, hint) = hinted(name);
        let name = simple_name(&name)?;
        let Some(hint) = hint else {
            let relation = self.table(&name)?;
            return Ok((name, relation));
        };
        let options = table_options(&hint)?;
        let is_named = self.named.iter().any(|(named, _)| *named == name.value);
        match self.catalog.find(&name) {
            Ok(Entry::Table(table)) if !is_named => {
                let relation = scan::scan(&table.with_options(&options))?;
                Ok((name, relation))
            }
            found if is_named || found.is_ok() => {
                let message =
                    format!("the hint OPTIONS stands behind a table, and `{}` is none", name.value);
                Err(SqlError::at(&name, message))
            }
            found => found.and(Err(SqlError::at(&name, "this is no table"))),
        }
    }
}

/// Says how long the operator below keeps its state, in milliseconds; `None`: as long as others.
#[derive(Clone, Debug)]
pub(crate) struct Lived {
    pub(crate) input: Arc<LogicalPlan>,
    pub(crate) life: Life,
}

impl Relation {
    fn lived(self, life: Life) -> Self {
        if life == [None, None] {
            return self;
        }
        let node = Arc::new(Lived { input: self.plan, life });
        Self { plan: Arc::new(LogicalPlan::Extension(Extension { node })), ..self }
    }
}

impl Lived {
    /// That of a plan, if it begins with one.
    pub(crate) fn in_plan(plan: &LogicalPlan) -> Option<&Self> {
        match plan {
            LogicalPlan::Extension(Extension { node }) => node.as_any().downcast_ref(),
            _ => None,
        }
    }

    fn identity(&self) -> (&LogicalPlan, Life) {
        (&self.input, self.life)
    }
}

compared_by_identity!(Lived);

impl UserDefinedLogicalNodeCore for Lived {
    fn name(&self) -> &str {
        "Lived"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    /// Rows pass as they are.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        HashSet::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lived: {:?}", self.life)
    }

    fn with_exprs_and_inputs(
        &self,
        _expressions: Vec<Expr>,
        inputs: Vec<LogicalPlan>,
    ) -> Result<Self, DataFusionError> {
        let [input] = <[LogicalPlan; 1]>::try_from(inputs)
            .map_err(|_| DataFusionError::Plan("a hint is about one operator".into()))?;
        Ok(Self { input: Arc::new(input), life: self.life })
    }

    fn necessary_children_exprs(&self, output: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(vec![output.to_vec()])
    }
}
