//! Windows of time in a plan.

mod group;
mod join;
mod table;

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::Arc,
};

use arrow::datatypes::{DataType as Arrow, Field, TimeUnit};
use datafusion_common::{Column as PlanColumn, DFSchema, DFSchemaRef, DataFusionError};
use datafusion_expr::{
    Aggregate, Expr, ExprSchemable, Extension, LogicalPlan, UserDefinedLogicalNodeCore,
};
use sqlparser::tokenizer::Span;

pub(super) use group::{GroupWindow, is_group_window};
pub(crate) use join::{JoinedWindows, ranked_window};
pub(super) use table::TableCall;

use super::{
    RowNumber, Unnested,
    node::{all_but, compared_by_identity, of_input},
};
use crate::{
    error::SqlError,
    relation::{WINDOW, WindowSpec},
    time::Zone,
    types::Kind,
};

/// Gives each row the windows that it is in, with three columns more: [`WINDOW`]. Rows of several
/// windows are there several times. It is not computed as such: rows are grouped by their windows.
#[derive(Clone, Debug)]
pub(crate) struct Windowed {
    pub(crate) input: Arc<LogicalPlan>,
    /// The column of the input with the time.
    pub(crate) time: Expr,
    /// Whether that is processing time, which the column only stands for.
    pub(crate) processing: bool,
    pub(crate) spec: WindowSpec,
    /// Columns of the input that sessions are apart by; `None` if they are those of the groups
    /// above.
    pub(crate) partition: Option<Vec<Expr>>,
    /// What the columns are called in the plan.
    names: [String; 3],
    /// Where it is called in the script.
    pub(crate) span: Span,
    schema: DFSchemaRef,
}

impl Windowed {
    fn new(
        input: Arc<LogicalPlan>,
        (time, processing): (Expr, bool),
        spec: WindowSpec,
        partition: Option<Vec<Expr>>,
        span: Span,
    ) -> Result<Self, DataFusionError> {
        let names = WINDOW.map(|name| {
            let mut name = name.to_owned();
            while input.schema().fields().iter().any(|field| *field.name() == name) {
                name.push('\'');
            }
            name
        });
        let schema = schema(&input, &time, &names)?;
        Ok(Self { input, time, processing, spec, partition, names, span, schema })
    }

    /// That of a plan, if it begins with one.
    pub(crate) fn in_plan(plan: &LogicalPlan) -> Option<&Self> {
        match plan {
            LogicalPlan::Extension(Extension { node }) => node.as_any().downcast_ref(),
            _ => None,
        }
    }

    /// What the columns that are added are called, those with the bounds and the last moment.
    pub(crate) fn names(&self) -> &[String; 3] {
        &self.names
    }

    /// The columns that are added, of the plan.
    fn columns(&self) -> [PlanColumn; 3] {
        self.names.clone().map(PlanColumn::new_unqualified)
    }

    /// Whether an expression is about one of the columns that are added.
    pub(crate) fn is_asked_for(&self, expression: &Expr) -> bool {
        expression.column_refs().iter().any(|column| self.names.contains(&column.name))
    }

    /// Whether its time is an instant, so that its bounds are what clocks show.
    fn is_local(&self) -> bool {
        let time = self.time.get_type(self.input.schema());
        matches!(time, Ok(Arrow::Timestamp(_, Some(_))))
    }

    /// The type of its last moment.
    pub(crate) fn time_kind(&self) -> Kind {
        if self.is_local() { Kind::TimestampLtz(3) } else { Kind::Timestamp(3) }
    }

    /// The time zone of its bounds; `None` if they are of UTC, or of no place.
    pub(crate) fn zone(&self) -> Option<Zone> {
        Zone::of_session().filter(|_| self.is_local())
    }

    /// An error about the window.
    pub(crate) fn refused(&self, message: &str) -> SqlError {
        SqlError::spanned(self.span, format!("the window {} {message}", self.spec.name()))
    }

    fn identity(&self) -> (&LogicalPlan, &Expr, WindowSpec, Option<&[Expr]>, &[String; 3]) {
        (&self.input, &self.time, self.spec, self.partition.as_deref(), &self.names)
    }
}

/// The columns of the input, and those that are added: bounds are local times, the last moment is of the type
/// of the time.
fn schema(
    input: &LogicalPlan,
    time: &Expr,
    names: &[String; 3],
) -> Result<DFSchemaRef, DataFusionError> {
    let (bound, moment) =
        (Arrow::Timestamp(TimeUnit::Microsecond, None), time.get_type(input.schema())?);
    let types = [bound.clone(), bound, moment];
    let added: Vec<Field> =
        names.iter().zip(types).map(|(name, of)| Field::new(name, of, false)).collect();
    let added = DFSchema::from_unqualified_fields(added.into(), HashMap::new())?;
    Ok(Arc::new(input.schema().join(&added)?))
}

compared_by_identity!(Windowed);

impl UserDefinedLogicalNodeCore for Windowed {
    fn name(&self) -> &str {
        "Windowed"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        std::iter::once(&self.time).chain(self.partition.iter().flatten()).cloned().collect()
    }

    /// A row that is dropped may have held a session together, unless all of its partition are
    /// dropped.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        let mut prevented: HashSet<String> = self.names.iter().cloned().collect();
        if let (WindowSpec::Session { .. }, Some(partition)) = (self.spec, &self.partition) {
            prevented.extend(all_but(partition, self.input.schema()));
        }
        prevented
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Windowed: {} of {}", self.spec, self.time)
    }

    fn with_exprs_and_inputs(
        &self,
        expressions: Vec<Expr>,
        inputs: Vec<LogicalPlan>,
    ) -> Result<Self, DataFusionError> {
        let mut expressions = expressions.into_iter();
        let [input] = <[LogicalPlan; 1]>::try_from(inputs)
            .map_err(|_| DataFusionError::Plan("a window has one input".into()))?;
        let time = expressions
            .next()
            .ok_or_else(|| DataFusionError::Plan("a window has a time".into()))?;
        let partition = self.partition.as_ref().map(|_| expressions.collect());
        let schema = schema(&input, &time, &self.names)?;
        Ok(Self { input: Arc::new(input), time, partition, schema, ..self.clone() })
    }

    fn necessary_children_exprs(&self, output: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(vec![of_input(output, self.input.schema())])
    }
}

/// The types of the columns that a plan, which begins with windows, adds.
fn bound_kinds(plan: &LogicalPlan) -> [Kind; 3] {
    let moment = Windowed::in_plan(plan).map(Windowed::time_kind);
    [Kind::Timestamp(3), Kind::Timestamp(3), moment.unwrap_or(Kind::Timestamp(3))]
}

/// What a column says of the window that a row is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bounds {
    Start,
    End,
    /// The last moment, which is the event time of what is made of the window.
    Time,
}

/// Where the window of a column comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Origin<'a> {
    /// Rows are given windows there.
    Windowed(&'a Windowed),
    /// They are the groups of one there.
    Groups(&'a Aggregate),
}

impl<'a> Origin<'a> {
    /// Where the windows come from in the first place.
    pub(crate) fn windowed(self) -> Option<&'a Windowed> {
        match self {
            Self::Windowed(windowed) => Some(windowed),
            Self::Groups(aggregate) => GroupedWindow::of(aggregate)?.origin.windowed(),
        }
    }

    pub(super) fn is(self, other: Self) -> bool {
        match (self, other) {
            (Self::Windowed(a), Self::Windowed(b)) => std::ptr::eq(a, b),
            (Self::Groups(a), Self::Groups(b)) => std::ptr::eq(a, b),
            _ => false,
        }
    }
}

/// What a column of a plan says of a window, if it is passed on as it was made.
pub(crate) fn window_of<'a>(
    plan: &'a LogicalPlan,
    column: &PlanColumn,
) -> Option<(Bounds, Origin<'a>)> {
    let at = plan.schema().maybe_index_of_column(column)?;
    window_at(plan, at)
}

fn window_at(plan: &LogicalPlan, at: usize) -> Option<(Bounds, Origin<'_>)> {
    match plan {
        LogicalPlan::Projection(projection) => match projection.expr.get(at)?.clone().unalias() {
            Expr::Column(below) => window_of(&projection.input, &below),
            _ => None,
        },
        LogicalPlan::Filter(filter) => window_at(&filter.input, at),
        LogicalPlan::SubqueryAlias(alias) => window_at(&alias.input, at),
        LogicalPlan::Aggregate(aggregate) => {
            let windows = GroupedWindow::of(aggregate)?;
            let bounds = windows.keys.get(at).copied().flatten()?;
            Some((bounds, Origin::Groups(aggregate)))
        }
        // Rows stay in their windows when they are joined with others of these.
        LogicalPlan::Join(join) => {
            JoinedWindows::of(join)?;
            let width = join.left.schema().fields().len();
            match at.checked_sub(width) {
                None => window_at(&join.left, at),
                Some(at) => window_at(&join.right, at),
            }
        }
        other => {
            if let Some(rows) = RowNumber::in_plan(other) {
                ranked_window(rows)?;
                let is_rank = at >= rows.input.schema().fields().len();
                return if is_rank { None } else { window_at(&rows.input, at) };
            }
            if let Some(unnested) = Unnested::in_plan(other) {
                let is_added = at >= unnested.input.schema().fields().len();
                return if is_added { None } else { window_at(&unnested.input, at) };
            }
            let windowed = Windowed::in_plan(other)?;
            let width = windowed.input.schema().fields().len();
            let bounds = [Bounds::Start, Bounds::End, Bounds::Time];
            match at.checked_sub(width) {
                Some(added) => Some((*bounds.get(added)?, Origin::Windowed(windowed))),
                None => window_at(&windowed.input, at),
            }
        }
    }
}

/// The window of groups that are those of windows: among their keys are the window's start and end.
#[derive(Debug)]
pub(crate) struct GroupedWindow<'a> {
    /// What each key says of the window.
    pub(crate) keys: Vec<Option<Bounds>>,
    pub(crate) origin: Origin<'a>,
}

impl<'a> GroupedWindow<'a> {
    pub(crate) fn of(aggregate: &'a Aggregate) -> Option<Self> {
        let key = |key: &Expr| match key {
            Expr::Column(column) => window_of(&aggregate.input, column),
            _ => None,
        };
        let keys: Vec<_> = aggregate.group_expr.iter().map(key).collect();
        let has = |bounds, origin: Origin<'_>| {
            keys.iter().flatten().any(|(b, o)| *b == bounds && origin.is(*o))
        };
        // Of windows within windows the outer ones count.
        let mut origins: Vec<Origin<'a>> = keys.iter().flatten().map(|(_, of)| *of).collect();
        origins.sort_by_key(|origin| matches!(origin, Origin::Groups(_)));
        let origin = origins
            .into_iter()
            .find(|origin| has(Bounds::Start, *origin) && has(Bounds::End, *origin))?;
        let of_it = |key: &Option<(Bounds, Origin<'_>)>| {
            key.and_then(|(bounds, of)| of.is(origin).then_some(bounds))
        };
        Some(Self { keys: keys.iter().map(of_it).collect(), origin })
    }
}
