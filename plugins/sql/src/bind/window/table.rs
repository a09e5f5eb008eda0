//! Windows in FROM: `TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND))`.

use std::sync::Arc;

use datafusion_common::{Column as PlanColumn, ScalarValue};
use datafusion_expr::{Expr, Extension, LogicalPlan};
use sqlparser::{
    ast::{self, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectName},
    tokenizer::Span,
};

use super::{Windowed, bound_kinds};
use crate::{
    bind::{
        Binder, Bound, Cells, Column, Relation,
        event_time::{is_event_time, is_processing_time},
        planning,
    },
    error::{Place, SqlError, suggestion},
    parse::{WINDOWS, simple_name},
    relation::{WINDOW, WindowSpec},
    types::{Kind, Type},
};

/// The arguments of a window by their names, those that may be left out in brackets.
const ARGUMENTS: [(&str, &[&str]); 4] = [
    ("TUMBLE", &["DATA", "TIMECOL", "SIZE", "[OFFSET]"]),
    ("HOP", &["DATA", "TIMECOL", "SLIDE", "SIZE", "[OFFSET]"]),
    ("CUMULATE", &["DATA", "TIMECOL", "STEP", "SIZE", "[OFFSET]"]),
    ("SESSION", &["DATA", "TIMECOL", "GAP"]),
];

/// A call of a function in FROM.
#[derive(Clone, Copy)]
pub(in crate::bind) struct TableCall<'a> {
    pub(in crate::bind) name: &'a ObjectName,
    pub(in crate::bind) arguments: &'a [FunctionArg],
    pub(in crate::bind) span: Span,
}

impl<'a> TableCall<'a> {
    /// The call that is in `TABLE(…)`.
    pub(in crate::bind) fn of(expression: &'a ast::Expr) -> Option<Self> {
        let ast::Expr::Function(function) = expression else { return None };
        let FunctionArguments::List(list) = &function.args else { return None };
        Some(Self { name: &function.name, arguments: &list.args, span: expression.place() })
    }
}

impl Binder<'_> {
    /// The rows of a window: those of a table with the windows that they are in.
    pub(in crate::bind) fn windowed(&mut self, call: TableCall<'_>) -> Result<Relation, SqlError> {
        let name = simple_name(call.name)?.value.to_uppercase();
        let Some((_, names)) = ARGUMENTS.iter().find(|(known, _)| *known == name) else {
            let near = suggestion(&name, WINDOWS.iter().copied());
            let message = format!("the table function {name} is not supported yet{near}");
            return Err(SqlError::spanned(call.span, message));
        };
        let arguments = Arguments::of(call, &name, names)?;
        let (table, partition) = arguments.table()?;
        let (table, relation) = self.table_named(&table)?;
        let relation = relation.named(&table.value);
        let partition = partition.iter().map(|key| Ok(relation.bind(key)?.expr));
        let partition = partition.collect::<Result<Vec<Expr>, SqlError>>()?;
        if name != "SESSION" && !partition.is_empty() {
            let message =
                format!("{name} takes no PARTITION BY: its windows are those of all rows");
            return Err(SqlError::spanned(call.span, message));
        }
        let time = arguments.time(&relation)?;
        let spec = arguments.spec(&relation)?;
        let (mut relation, added) = relation.windowed(time, spec, Some(partition), call.span)?;
        let kinds = bound_kinds(&relation.plan);
        let bounds =
            WINDOW.into_iter().zip(added).zip(kinds).map(|((name, column), kind)| Column {
                table: None,
                name: name.to_owned(),
                cells: Cells::One(column),
                data_type: Type::required(kind),
                qualified: false,
            });
        relation.columns.extend(bounds);
        relation.columns.iter_mut().for_each(|column| column.table = None);
        Ok(relation)
    }
}

impl Relation {
    /// The rows in their windows, and the columns of the plan that are added, which have no names
    /// in the query.
    pub(super) fn windowed(
        self,
        time: (Expr, bool),
        spec: WindowSpec,
        partition: Option<Vec<Expr>>,
        span: Span,
    ) -> Result<(Self, [PlanColumn; 3]), SqlError> {
        let node = Windowed::new(self.plan, time, spec, partition, span);
        let node = node.map_err(|error| planning(&error))?;
        let added = node.columns();
        let plan = LogicalPlan::Extension(Extension { node: Arc::new(node) });
        Ok((Self { plan: Arc::new(plan), columns: self.columns }, added))
    }

    /// The time that a window is of, and whether it is processing time.
    pub(super) fn window_time(
        &self,
        name: &str,
        column: &ast::Expr,
    ) -> Result<(Expr, bool), SqlError> {
        let Bound { expr, data_type } = self.bind(column)?;
        if matches!(&expr, Expr::Column(time) if is_processing_time(&self.plan, time)) {
            return Ok((expr, true));
        }
        let is_time = matches!(&expr, Expr::Column(time) if is_event_time(&self.plan, time));
        if !is_time {
            let message = format!(
                "{name} takes the event time of its rows, which `{column}` is not: declare it in CREATE TABLE \
                 with WATERMARK FOR, as in `WATERMARK FOR ts AS ts - INTERVAL '5' SECOND`, and pass the \
                 column on as it is; or processing time, a column that is PROCTIME()"
            );
            return Err(SqlError::at(column, message));
        }
        match data_type.kind {
            Kind::Timestamp(0..=3) | Kind::TimestampLtz(0..=3) => Ok((expr, false)),
            kind => Err(SqlError::at(
                column,
                format!(
                    "{name} of a time that is {kind} is not supported: use TIMESTAMP(3) or TIMESTAMP_LTZ(3)"
                ),
            )),
        }
    }
}

/// The arguments of a window, in order.
struct Arguments<'a> {
    call: TableCall<'a>,
    name: &'a str,
    names: &'a [&'a str],
    values: Vec<Option<&'a ast::Expr>>,
}

impl<'a> Arguments<'a> {
    fn of(call: TableCall<'a>, name: &'a str, names: &'a [&'a str]) -> Result<Self, SqlError> {
        let mut made = Self { call, name, names, values: vec![None; names.len()] };
        for (i, argument) in call.arguments.iter().enumerate() {
            let (at, value) = match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => (Some(i), value),
                FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. } => {
                    let is = |known: &&str| {
                        known.trim_matches(['[', ']']).eq_ignore_ascii_case(&name.value)
                    };
                    (names.iter().position(is), value)
                }
                _ => return Err(made.wrong(argument)),
            };
            match at.and_then(|at| made.values.get_mut(at)) {
                Some(place @ None) => *place = Some(value),
                _ => return Err(made.wrong(argument)),
            }
        }
        let missing =
            |(name, value): (&&str, &Option<_>)| value.is_none() && !name.starts_with('[');
        if names.iter().zip(&made.values).any(missing) {
            return Err(made.wrong(&call.span));
        }
        Ok(made)
    }

    fn wrong(&self, part: &impl Place) -> SqlError {
        let message = format!("{} is called as {0}({})", self.name, self.names.join(", "));
        SqlError::at(part, message)
    }

    fn get(&self, at: usize) -> Result<&'a ast::Expr, SqlError> {
        self.values.get(at).copied().flatten().ok_or_else(|| self.wrong(&self.call.span))
    }

    /// The only parts in the parentheses behind `name`.
    fn parts(&self, at: usize, name: &str) -> Result<Vec<&'a ast::Expr>, SqlError> {
        let argument = self.get(at)?;
        let parts = TableCall::of(argument).filter(|inner| {
            simple_name(inner.name).is_ok_and(|found| found.value.eq_ignore_ascii_case(name))
        });
        let parts = parts.and_then(|inner| {
            let part = |argument: &'a FunctionArg| match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(part)) => Some(part),
                _ => None,
            };
            inner.arguments.iter().map(part).collect()
        });
        parts.ok_or_else(|| {
            let (expected, which) = match name {
                "TABLE" => ("TABLE and its name", "the table"),
                _ => ("DESCRIPTOR and its name in parentheses", "the column with the time"),
            };
            let message = format!("{} takes {which} as {expected}", self.name);
            SqlError::at(argument, message)
        })
    }

    /// The table, and what it is partitioned by.
    fn table(&self) -> Result<(ObjectName, Vec<&'a ast::Expr>), SqlError> {
        let parts = self.parts(0, "TABLE")?;
        let table = parts.first().and_then(|part| match part {
            ast::Expr::Identifier(name) => Some(ObjectName::from(vec![name.clone()])),
            ast::Expr::CompoundIdentifier(names) => Some(ObjectName::from(names.clone())),
            _ => None,
        });
        let Some(table) = table else { return Err(self.wrong(self.get(0)?)) };
        let partition = match parts.get(1).copied() {
            None => Vec::new(),
            Some(ast::Expr::Tuple(keys)) => keys.iter().collect(),
            Some(ast::Expr::Nested(key)) => vec![&**key],
            Some(key) => vec![key],
        };
        Ok((table, partition))
    }

    fn time(&self, relation: &Relation) -> Result<(Expr, bool), SqlError> {
        match self.parts(1, "DESCRIPTOR")?[..] {
            [column] => relation.window_time(self.name, column),
            _ => Err(SqlError::at(self.get(1)?, format!("{} takes one column", self.name))),
        }
    }

    fn spec(&self, relation: &Relation) -> Result<WindowSpec, SqlError> {
        let positive = |at| length(relation, self.name, self.get(at)?);
        let offset = |at: usize| match self.values.get(at).copied().flatten() {
            None => Ok(0),
            Some(argument) => millis(relation, self.name, argument),
        };
        let spec = match self.name {
            "TUMBLE" => WindowSpec::Tumble { size: positive(2)?, offset: offset(3)? },
            "HOP" => {
                WindowSpec::Hop { slide: positive(2)?, size: positive(3)?, offset: offset(4)? }
            }
            "CUMULATE" => {
                WindowSpec::Cumulate { step: positive(2)?, size: positive(3)?, offset: offset(4)? }
            }
            _ => WindowSpec::Session { gap: positive(2)? },
        };
        if let WindowSpec::Hop { size, slide: part, .. }
        | WindowSpec::Cumulate { size, step: part, .. } = spec
            && size % part != 0
        {
            let which = if self.name == "HOP" { "slides" } else { "steps" };
            return Err(SqlError::at(
                self.get(3)?,
                format!(
                    "{} takes a size of whole {which}: {size} ms is no multiple of {part} ms",
                    self.name
                ),
            ));
        }
        Ok(spec)
    }
}

/// An interval that time passes in, in milliseconds.
pub(super) fn length(
    relation: &Relation,
    name: &str,
    argument: &ast::Expr,
) -> Result<i64, SqlError> {
    let millis = millis(relation, name, argument)?;
    match millis > 0 {
        true => Ok(millis),
        false => Err(SqlError::at(argument, format!("{name} takes an interval of 1 ms at least"))),
    }
}

/// An interval, in milliseconds.
fn millis(relation: &Relation, name: &str, argument: &ast::Expr) -> Result<i64, SqlError> {
    match relation.bind(argument)?.expr {
        Expr::Literal(ScalarValue::DurationMicrosecond(Some(micros)), _) if micros % 1000 == 0 => {
            Ok(micros / 1000)
        }
        _ => Err(SqlError::at(
            argument,
            format!(
                "{name} takes a constant interval of whole milliseconds, such as INTERVAL '10' SECOND"
            ),
        )),
    }
}
