//! Relations as text: an operator a line.

use std::fmt;

use datafusion_physical_expr::PhysicalExpr;
use millstream_data::types::Schema;

use super::{
    AggregateCall, AggregateFunction, JoinKind, OrderKey, Place, Rel, Watermark, WindowTime,
    timed::in_zone,
};
use crate::{calc::Step, function::UserCall};

/// The tree, an operator a line, what it reads indented below.
impl fmt::Display for Rel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.show(f, 0, false)
    }
}

/// What EXPLAIN says: the tree, with what each operator does to rows that it has said, and what it keeps.
pub(crate) struct Explained<'a> {
    /// The table that takes the rows, if they are not a result.
    pub(crate) sink: Option<&'a str>,
    pub(crate) rows: &'a Rel,
}

impl fmt::Display for Explained<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(sink) = self.sink else { return self.rows.show(f, 0, true) };
        let columns = Columns(self.rows.schema());
        writeln!(f, "Sink {sink} [{}], changelogMode=[NONE]", columns.all())?;
        self.rows.show(f, 1, true)
    }
}

impl Rel {
    /// Writes the lines from a depth on; `whole` with changelog modes and state.
    fn show(&self, f: &mut fmt::Formatter<'_>, depth: usize, whole: bool) -> fmt::Result {
        let line = |f: &mut fmt::Formatter<'_>, depth: usize| write!(f, "{:1$}", "", 2 * depth);
        if let Self::Steps { input, steps, .. } = self {
            for (above, step) in steps.iter().rev().enumerate() {
                line(f, depth + above)?;
                write!(f, "{}", StepShown(step))?;
                self.end(f, whole, above == 0)?;
            }
            return input.show(f, depth + steps.len(), whole);
        }
        line(f, depth)?;
        self.head(f)?;
        self.end(f, whole, true)?;
        self.inputs().into_iter().try_for_each(|input| input.show(f, depth + 1, whole))
    }

    /// Ends a line of the operator, `whole` with what it says and keeps; the columns of its `last` line are those
    /// of its rows.
    fn end(&self, f: &mut fmt::Formatter<'_>, whole: bool, last: bool) -> fmt::Result {
        if whole {
            write!(f, ", changelogMode={}", self.changelog_mode())?;
            if last {
                self.show_upsert_keys(f)?;
            }
            if let Some(state) = self.state() {
                write!(f, ", state=[{state}]")?;
            }
        }
        writeln!(f)
    }

    /// What the operator does, without its inputs.
    pub(super) fn head(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scan { table, paths, watermark, .. } => {
                let paths: Vec<String> = paths.iter().map(|path| path.join(".")).collect();
                write!(f, "Scan {} [{}]", table.name.value, paths.join(", "))?;
                match watermark {
                    None => Ok(()),
                    Some(Watermark { time, mark, idle }) => {
                        write!(f, " watermark {} of {}", Sql(&**mark), Sql(&**time))?;
                        match idle {
                            None => Ok(()),
                            Some(millis) => write!(f, ", idle after {millis} ms"),
                        }
                    }
                }
            }
            Self::Values { rows, .. } => {
                let (columns, rows) = (Columns(self.schema()).all(), rows.num_rows());
                write!(f, "Values [{columns}] {rows} row{}", if rows == 1 { "" } else { "s" })
            }
            // A line for each step.
            Self::Steps { .. } => Ok(()),
            Self::Union(_) => write!(f, "Union"),
            Self::Aggregate { input, keys, calls } => {
                write!(f, "Aggregate {}", Columns(input.schema()).groups(*keys, calls))
            }
            Self::Windows { input, keys, time, window, zone, calls } => {
                let columns = Columns(input.schema());
                write!(f, "Windows {window} of {}", columns.time(*time))?;
                in_zone(f, *zone)?;
                write!(f, " {}", columns.groups(*keys, calls))
            }
            Self::Join { left, right, keys, kind, condition } => {
                let (a, b) = (Columns(left.schema()), Columns(right.schema()));
                let keys = keys.iter().map(|(l, r)| format!("{} = {}", a.name(*l), b.name(*r)));
                write!(f, "{kind} [{}]", keys.collect::<Vec<_>>().join(", "))?;
                match condition {
                    None => Ok(()),
                    Some(condition) => write!(f, " on {}", Sql(&**condition)),
                }
            }
            Self::Timed(timed) => timed.head(f),
            Self::SetOperation { operation, .. } => write!(f, "{operation}"),
            Self::TopN { input, partition, order, limit, rank, latest } => {
                let columns = Columns(input.schema());
                let order: Vec<String> = order.iter().map(|key| columns.order(key)).collect();
                write!(f, "TopN {limit} by [{}]", columns.list(partition))?;
                write!(f, " order [{}]", order.join(", "))?;
                write!(f, "{}", if *rank { " with rank" } else { "" })?;
                write!(f, "{}", if *latest { ", the latest of equals" } else { "" })
            }
            Self::Single { input, key, refusal } => {
                write!(f, "Single by [{}]", Columns(input.schema()).list(key))?;
                f.write_str(if refusal.is_some() { ", or an error" } else { ", the first" })
            }
            Self::Earliest { input, partition, time } => {
                let columns = Columns(input.schema());
                write!(f, "Earliest by [{}] of {}", columns.list(partition), columns.name(*time))
            }
            Self::Over { input, partition, order, said, frame, calls } => {
                let columns = Columns(input.schema());
                let order: Vec<String> = order.iter().map(|key| columns.order(key)).collect();
                let calls: Vec<String> = calls.iter().map(|call| columns.call(call)).collect();
                write!(f, "Over by [{}] order [{}]", columns.list(partition), order.join(", "))?;
                write!(f, " {frame} [{}] {said}", calls.join(", "))
            }
            Self::Final { .. } => write!(f, "Final"),
            Self::Living { rows, .. } | Self::Upserts { rows } => rows.head(f),
        }
    }
}

/// Names of columns.
pub(super) struct Columns(pub(super) Schema);

impl Columns {
    pub(super) fn name(&self, column: usize) -> &str {
        self.0.fields.get(column).map_or("?", |field| &field.name)
    }

    /// The time that windows are of.
    pub(super) fn time(&self, time: WindowTime) -> &str {
        match time {
            WindowTime::Event(column) => self.name(column),
            WindowTime::Processing => "PROCTIME()",
        }
    }

    pub(super) fn list(&self, columns: &[usize]) -> String {
        let names: Vec<&str> = columns.iter().map(|column| self.name(*column)).collect();
        names.join(", ")
    }

    pub(super) fn all(&self) -> String {
        let names: Vec<&str> = self.0.fields.iter().map(|field| field.name.as_str()).collect();
        names.join(", ")
    }

    fn groups(&self, keys: usize, calls: &[AggregateCall]) -> String {
        let calls: Vec<String> = calls.iter().map(|call| self.call(call)).collect();
        let keys: Vec<usize> = (0..keys).collect();
        format!("by [{}] [{}]", self.list(&keys), calls.join(", "))
    }

    fn call(&self, call: &AggregateCall) -> String {
        format!("{} AS {}", self.made(call), call.name)
    }

    /// What a call makes, whatever it is called.
    pub(super) fn made(&self, call: &AggregateCall) -> String {
        if let Some(user) = &call.user {
            return self.of_user(user, call);
        }
        let argument = call.argument.map_or("*", |argument| self.name(argument));
        let distinct = if call.distinct { "DISTINCT " } else { "" };
        let filter =
            call.filter.map(|column| format!(" FILTER {}", self.name(column))).unwrap_or_default();
        let separator = match call.function {
            AggregateFunction::Place(Place::Tile(parts)) => {
                return format!("NTILE({parts}) AS {}", call.name);
            }
            AggregateFunction::Place(Place::Before(rows)) => {
                let default = call.default.map(|column| format!(", {}", self.name(column)));
                format!(", {}{}", rows.abs(), default.unwrap_or_default())
            }
            AggregateFunction::Place(place) => {
                return format!("{}() AS {}", place.name(), call.name);
            }
            AggregateFunction::List => format!(", '{}'", call.separator.replace('\'', "''")),
            _ => String::new(),
        };
        format!("{}({distinct}{argument}{separator}){filter}", call.function)
    }

    /// A call of a function of a user.
    fn of_user(&self, user: &UserCall<usize>, call: &AggregateCall) -> String {
        let distinct = if call.distinct { "DISTINCT " } else { "" };
        let filter =
            call.filter.map(|column| format!(" FILTER {}", self.name(column))).unwrap_or_default();
        format!("{}({distinct}{}){filter}", user.function.name(), self.list(&user.arguments))
    }

    pub(super) fn order(&self, key: &OrderKey) -> String {
        let direction = if key.descending { " DESC" } else { "" };
        // Without a word NULLs are the least.
        let nulls = match (key.descending, key.nulls_first) {
            (false, false) => " NULLS LAST",
            (true, true) => " NULLS FIRST",
            _ => "",
        };
        format!("{}{direction}{nulls}", self.name(key.column))
    }
}

impl fmt::Display for JoinKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inner => "Join",
            Self::Left => "LeftJoin",
            Self::Right => "RightJoin",
            Self::Full => "FullJoin",
            Self::Semi => "SemiJoin",
            Self::Anti => "AntiJoin",
        })
    }
}

impl fmt::Display for AggregateFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

struct StepShown<'a>(&'a Step);

impl fmt::Display for StepShown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Step::Filter(condition) => write!(f, "Filter {}", Sql(&**condition)),
            Step::Spread(spread) => {
                let added = spread.schema.fields().iter().skip(spread.width);
                let added: Vec<_> = added.map(|field| field.name().as_str()).collect();
                let left = if spread.keeps { "Left" } else { "" };
                write!(f, "{left}Unnest {} AS [{}]", Sql(&*spread.list), added.join(", "))
            }
            Step::Project(columns, schema) => {
                let shown = columns.iter().zip(schema.fields()).map(|(column, field)| {
                    let shown = Sql(&**column).to_string();
                    match shown == *field.name() {
                        true => shown,
                        false => format!("{shown} AS {}", field.name()),
                    }
                });
                write!(f, "Project [{}]", shown.collect::<Vec<_>>().join(", "))
            }
        }
    }
}

/// An expression with names in place of positions.
pub(super) struct Sql<'a>(pub(super) &'a dyn PhysicalExpr);

impl fmt::Display for Sql<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt_sql(f)
    }
}
