//! UNNEST and table functions of users in FROM.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::Arc,
};

use arrow::datatypes::{DataType as Arrow, Field};
use datafusion_common::{Column as PlanColumn, DFSchema, DFSchemaRef, DataFusionError, JoinType};
use datafusion_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};
use sqlparser::ast::{
    self, FunctionArg, FunctionArgExpr, Join, JoinConstraint, JoinOperator, TableAlias, TableFactor,
};

use super::{
    Bound, Cells, Column, Relation, Windowed,
    expression::Scope,
    from::alias_columns,
    node::{compared_by_identity, of_input},
    planning,
    window::TableCall,
};
use crate::{
    error::SqlError,
    function::{self, UserFunction},
    parse::simple_name,
    relation::WindowSpec,
    spread,
    types::{Kind, Type},
};

/// Rows for the elements of a list of each row, beside it.
#[derive(Clone, Debug)]
pub(crate) struct Unnested {
    pub(crate) input: Arc<LogicalPlan>,
    /// The list.
    pub(crate) list: Expr,
    /// Of what type.
    pub(crate) kind: Kind,
    /// Whether rows without elements are there, too.
    pub(crate) keeps: bool,
    /// Whether there is a column with the number of the element.
    pub(crate) ordinality: bool,
    /// What the columns that are added are called in the plan, and what they are.
    added: Vec<(String, Arrow)>,
    schema: DFSchemaRef,
}

impl Unnested {
    /// That of a plan, if it begins with one.
    pub(crate) fn in_plan(plan: &LogicalPlan) -> Option<&Self> {
        match plan {
            LogicalPlan::Extension(Extension { node }) => node.as_any().downcast_ref(),
            _ => None,
        }
    }

    fn schema_of(
        input: &LogicalPlan,
        added: &[(String, Arrow)],
    ) -> Result<DFSchemaRef, DataFusionError> {
        let fields =
            added.iter().map(|(name, data_type)| Field::new(name, data_type.clone(), true));
        let fields: Vec<Field> = fields.collect();
        let added = DFSchema::from_unqualified_fields(fields.into(), HashMap::new())?;
        Ok(Arc::new(input.schema().join(&added)?))
    }

    fn identity(&self) -> (&LogicalPlan, &Expr, &Kind, bool, bool) {
        (&self.input, &self.list, &self.kind, self.keeps, self.ordinality)
    }
}

compared_by_identity!(Unnested);

impl UserDefinedLogicalNodeCore for Unnested {
    fn name(&self) -> &str {
        "Unnested"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![self.list.clone()]
    }

    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        self.added.iter().map(|(name, _)| name.clone()).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Unnested: {}", self.list)
    }

    fn with_exprs_and_inputs(
        &self,
        expressions: Vec<Expr>,
        inputs: Vec<LogicalPlan>,
    ) -> Result<Self, DataFusionError> {
        let wrong = || DataFusionError::Plan("UNNEST has one input and one list".into());
        let [input] = <[LogicalPlan; 1]>::try_from(inputs).map_err(|_| wrong())?;
        let [list] = <[Expr; 1]>::try_from(expressions).map_err(|_| wrong())?;
        let schema = Self::schema_of(&input, &self.added)?;
        Ok(Self { input: Arc::new(input), list, schema, ..self.clone() })
    }

    fn necessary_children_exprs(&self, output: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(vec![of_input(output, self.input.schema())])
    }
}

/// `UNNEST(list) [WITH ORDINALITY] [AS t [(columns)]]`, or `TABLE(function(…)) [AS t [(columns)]]`
pub(super) struct Call<'a> {
    made: Made<'a>,
    ordinality: bool,
    alias: Option<&'a TableAlias>,
    part: &'a TableFactor,
}

/// Why a function cannot stand in FROM.
pub(super) fn no_function(factor: &TableFactor) -> SqlError {
    let called = match factor {
        TableFactor::Function { args, .. } => match &args[..] {
            [FunctionArg::Unnamed(FunctionArgExpr::Expr(inner))] => TableCall::of(inner),
            _ => None,
        },
        _ => None,
    };
    match called {
        Some(call) => SqlError::spanned(
            call.span,
            format!(
                "there is no table function `{0}` of a user: make it with CREATE FUNCTION {0} AS '…', from a \
                 plugin",
                call.name
            ),
        ),
        None => SqlError::at(factor, "a function stands in FROM as LATERAL TABLE(name(…))"),
    }
}

/// What makes the rows beside a row.
enum Made<'a> {
    /// The elements of its list.
    List(&'a ast::Expr),
    /// A function of a user, of these arguments.
    Function(Arc<UserFunction>, &'a [FunctionArg]),
}

impl<'a> Call<'a> {
    /// The call that a table of FROM is, if it is one.
    pub(super) fn of(factor: &'a TableFactor) -> Option<Self> {
        Self::unnest(factor).or_else(|| Self::table(factor))
    }

    /// `[LATERAL] TABLE(function(…))`
    fn table(factor: &'a TableFactor) -> Option<Self> {
        let (call, alias) = match factor {
            TableFactor::TableFunction { expr, alias } => (TableCall::of(expr)?, alias),
            TableFactor::Function { name, args, alias, .. } => match &args[..] {
                [FunctionArg::Unnamed(FunctionArgExpr::Expr(inner))]
                    if name.to_string().eq_ignore_ascii_case("TABLE") =>
                {
                    (TableCall::of(inner)?, alias)
                }
                _ => return None,
            },
            _ => return None,
        };
        let name = simple_name(call.name).ok()?.value.to_uppercase();
        let made = Made::Function(function::of_user(&name)?, call.arguments);
        Some(Self { made, ordinality: false, alias: alias.as_ref(), part: factor })
    }

    /// `UNNEST(…)`
    fn unnest(factor: &'a TableFactor) -> Option<Self> {
        let (name, arguments, alias, ordinality) = match factor {
            TableFactor::Table { name, args: Some(args), alias, with_ordinality, .. } => {
                (name, &args.args, alias, *with_ordinality)
            }
            TableFactor::Function { name, args, alias, .. } => (name, args, alias, false),
            _ => return None,
        };
        let is_unnest = simple_name(name).is_ok_and(|name| {
            name.quote_style.is_none() && name.value.eq_ignore_ascii_case("UNNEST")
        });
        match &arguments[..] {
            [FunctionArg::Unnamed(FunctionArgExpr::Expr(list))] if is_unnest => {
                let made = Made::List(list);
                Some(Self { made, ordinality, alias: alias.as_ref(), part: factor })
            }
            _ => None,
        }
    }

    /// What it is called.
    fn name(&self) -> &str {
        match &self.made {
            Made::List(_) => "UNNEST",
            Made::Function(function, _) => function.name(),
        }
    }

    /// The list of each row of `left`.
    fn list(&self, left: &Relation) -> Result<Bound, SqlError> {
        match &self.made {
            Made::List(list) => left.bind(list),
            Made::Function(function, _) if !function.is_table() => {
                let name = function.name();
                let what = if function.is_aggregate() { "an aggregate" } else { "a scalar" };
                let message = format!(
                    "{name} is {what} function, which stands for a value: it cannot stand in FROM"
                );
                Err(SqlError::at(self.part, message))
            }
            Made::Function(function, arguments) => {
                let rows = Scope { relation: left, calls: None, around: None };
                let arguments = rows.arguments_of_user(arguments)?;
                function.call(arguments).map_err(|message| SqlError::at(self.part, message))
            }
        }
    }

    /// The rows of `left` beside the elements of a list of theirs, as they are joined.
    pub(super) fn joined(&self, left: Relation, join: &Join) -> Result<Relation, SqlError> {
        use JoinOperator::{CrossJoin, Inner, Join as Plain, Left, LeftOuter};
        let (kind, condition) = match &join.join_operator {
            CrossJoin(_) => (JoinType::Inner, None),
            Plain(JoinConstraint::On(condition)) | Inner(JoinConstraint::On(condition)) => {
                (JoinType::Inner, Some(condition))
            }
            Left(JoinConstraint::On(condition)) | LeftOuter(JoinConstraint::On(condition)) => {
                (JoinType::Left, Some(condition))
            }
            _ => {
                let message = format!(
                    "{} is joined with CROSS JOIN, JOIN … ON or LEFT JOIN … ON TRUE only",
                    self.name()
                );
                return Err(SqlError::at(self.part, message));
            }
        };
        let rows = self.beside(left, kind)?;
        let Some(condition) = condition else { return Ok(rows) };
        let scope = Scope { relation: &rows, calls: None, around: None };
        let bound = scope.condition(condition, "ON")?;
        let is_true = matches!(&bound, Expr::Literal(value, _) if *value == true.into());
        match kind {
            _ if is_true => Ok(rows),
            JoinType::Inner => rows.filtered(bound),
            _ => {
                let message = format!("LEFT JOIN of {} takes ON TRUE only", self.name());
                Err(SqlError::at(condition, message))
            }
        }
    }

    /// The rows of `left` beside the elements of a list of theirs; with `LEFT` those without elements, too.
    pub(super) fn beside(&self, left: Relation, kind: JoinType) -> Result<Relation, SqlError> {
        let Bound { expr: list, data_type } = self.list(&left)?;
        let keeps = kind == JoinType::Left;
        let Some(elements) = spread::columns(&data_type.kind) else {
            let message =
                format!("UNNEST takes an ARRAY, a MAP or a MULTISET, not {}", data_type.kind);
            return Err(match self.made {
                Made::List(list) => SqlError::at(list, message),
                Made::Function(..) => SqlError::at(self.part, message),
            });
        };
        let single = elements.len() == 1;
        let mut columns: Vec<(String, Type)> = elements
            .into_iter()
            .enumerate()
            .map(|(at, (name, kind, nullable))| {
                let name = match (name, self.alias) {
                    (Some(name), _) => name,
                    // One column alone is called as its table is.
                    (None, Some(alias)) if single && !self.ordinality => alias.name.value.clone(),
                    (None, _) => format!("EXPR${at}"),
                };
                (name, Type { kind, nullable: nullable || keeps })
            })
            .collect();
        if self.ordinality {
            columns.push(("ORDINALITY".into(), Type { kind: Kind::Int, nullable: keeps }));
        }
        let there = left.plan.schema().fields();
        let mut taken: HashSet<String> = there.iter().map(|field| field.name().clone()).collect();
        let mut added = Vec::new();
        for (name, data_type) in &columns {
            let mut name = name.clone();
            while !taken.insert(name.clone()) {
                name.push('\'');
            }
            added.push((name, data_type.kind.arrow()));
        }
        let table = self.alias.map(|alias| alias.name.value.clone());
        let column = |((name, data_type), (plain, _)): ((String, Type), &(String, Arrow))| Column {
            table: table.clone(),
            name,
            cells: Cells::One(PlanColumn::new_unqualified(plain)),
            data_type,
            qualified: false,
        };
        let own = columns.into_iter().zip(&added).map(column).collect();
        // The windows of a row are those of each of its elements: they are given last, so that what is late for
        // them is still known to be.
        let windowed = Windowed::in_plan(&left.plan).filter(|windowed| {
            !matches!(windowed.spec, WindowSpec::Session { .. }) && !windowed.is_asked_for(&list)
        });
        let input = windowed.map_or(&left.plan, |windowed| &windowed.input);
        let schema = Unnested::schema_of(input, &added).map_err(|error| planning(&error))?;
        let node = Unnested {
            input: Arc::clone(input),
            list,
            kind: data_type.kind,
            keeps,
            ordinality: self.ordinality,
            added,
            schema,
        };
        let rows = LogicalPlan::Extension(Extension { node: Arc::new(node) });
        let plan = Arc::new(match windowed {
            Some(windowed) => {
                let node = windowed.with_exprs_and_inputs(windowed.expressions(), vec![rows]);
                let node = Arc::new(node.map_err(|error| planning(&error))?);
                LogicalPlan::Extension(Extension { node })
            }
            None => rows,
        });
        let own = Relation { plan: Arc::clone(&left.plan), columns: own };
        let own = match self.alias {
            Some(alias) => own.renamed(&alias_columns(alias), &alias.name)?,
            None => own,
        };
        Ok(Relation { plan, ..left.beside(&own, self.part)? })
    }
}
