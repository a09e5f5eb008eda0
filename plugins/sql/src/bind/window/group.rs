//! Windows in GROUP BY: `GROUP BY k, TUMBLE(ts, INTERVAL '10' SECOND)`.

use datafusion_common::Column as PlanColumn;
use datafusion_expr::Expr;
use sqlparser::ast::{self, Function, FunctionArg, FunctionArgExpr, FunctionArguments};

use super::{bound_kinds, table::length};
use crate::{
    bind::{Bound, Relation, expression::Scope},
    error::{Place, SqlError},
    function::{self, PROCTIME},
    parse::simple_name,
    relation::WindowSpec,
    types::{Kind, Type},
};

/// The windows of GROUP BY, and how they are called.
const CALLS: [(&str, &str); 3] = [
    ("TUMBLE", "TUMBLE(time, size)"),
    ("HOP", "HOP(time, slide, size)"),
    ("SESSION", "SESSION(time, gap)"),
];

/// The window that the rows of a SELECT are grouped by.
#[derive(Debug)]
pub(in crate::bind) struct GroupWindow {
    call: WindowCall,
    /// The columns with the start, the end and the last moment.
    columns: [PlanColumn; 3],
    /// Of what types they are.
    kinds: [Kind; 3],
    /// Whether the last moment is asked for.
    pub(in crate::bind) timed: bool,
}

#[derive(Debug, PartialEq)]
struct WindowCall {
    spec: WindowSpec,
    time: Expr,
}

/// Whether this is the name of a window of GROUP BY, in capitals.
pub(in crate::bind) fn is_group_window(name: &str) -> bool {
    CALLS.iter().any(|(known, _)| *known == name)
}

/// The window of GROUP BY that a function of this name says something about, and what.
fn auxiliary(name: &str) -> Option<(&str, &str)> {
    let (window, what) = name.split_once('_')?;
    let known = matches!(what, "START" | "END" | "ROWTIME" | "PROCTIME");
    (known && is_group_window(window)).then_some((window, what))
}

impl GroupWindow {
    /// The call of a window that a part of GROUP BY is.
    pub(in crate::bind) fn in_key(key: &ast::Expr) -> Option<(String, &Function)> {
        let ast::Expr::Function(function) = key else { return None };
        let name = simple_name(&function.name).ok()?.value.to_uppercase();
        is_group_window(&name).then_some((name, function))
    }

    /// The rows in their windows, and the window.
    pub(in crate::bind) fn of(
        relation: Relation,
        name: &str,
        function: &Function,
        part: &ast::Expr,
    ) -> Result<(Relation, Self), SqlError> {
        let (call, time) = WindowCall::of(&relation, name, function, part)?;
        let time = relation.window_time(name, time)?;
        let (relation, columns) = relation.windowed(time, call.spec, None, part.place())?;
        let kinds = bound_kinds(&relation.plan);
        Ok((relation, Self { call, columns, kinds, timed: false }))
    }

    /// What rows are grouped by.
    pub(in crate::bind) fn keys(&self) -> Vec<Expr> {
        let [start, end, _] = &self.columns;
        [start, end].map(|column| Expr::Column(column.clone())).to_vec()
    }

    /// What they are grouped by, too, if it is asked for.
    pub(in crate::bind) fn time(&self) -> Option<Expr> {
        let [_, _, time] = &self.columns;
        self.timed.then(|| Expr::Column(time.clone()))
    }
}

impl WindowCall {
    /// The call, and what it has for the event time.
    fn of<'a>(
        relation: &Relation,
        name: &str,
        function: &'a Function,
        part: &ast::Expr,
    ) -> Result<(Self, &'a ast::Expr), SqlError> {
        let arguments = match &function.args {
            FunctionArguments::List(list) => {
                let argument = |argument: &'a FunctionArg| match argument {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => Some(value),
                    _ => None,
                };
                list.args.iter().map(argument).collect::<Option<Vec<_>>>()
            }
            _ => None,
        };
        let length = |argument| length(relation, name, argument);
        let (time, spec): (&'a ast::Expr, _) = match (name, arguments.as_deref()) {
            ("TUMBLE", Some([time, size])) => {
                (time, WindowSpec::Tumble { size: length(size)?, offset: 0 })
            }
            ("HOP", Some([time, slide, size])) => {
                let (slide, size) = (length(slide)?, length(size)?);
                (time, WindowSpec::Hop { size, slide, offset: 0 })
            }
            ("SESSION", Some([time, gap])) => (time, WindowSpec::Session { gap: length(gap)? }),
            _ => {
                let how = CALLS.iter().find(|(known, _)| *known == name).map_or("", |(_, how)| how);
                return Err(SqlError::at(part, format!("in GROUP BY {name} is called as {how}")));
            }
        };
        Ok((Self { spec, time: relation.bind(time)?.expr }, time))
    }
}

impl Scope<'_> {
    /// What a function says of the window that rows are grouped by, if it is one of those:
    /// `TUMBLE_START(…)`.
    pub(in crate::bind) fn auxiliary(
        &self,
        name: &str,
        function: &Function,
        part: &ast::Expr,
    ) -> Result<Option<Bound>, SqlError> {
        let Some((window, what)) = auxiliary(name) else { return Ok(None) };
        let missing = || {
            let message = format!(
                "{name} is about the window that rows are grouped by: it may stand in SELECT and HAVING, with a \
                 {window} of the same arguments in GROUP BY"
            );
            SqlError::at(part, message)
        };
        let mut calls = self.calls.ok_or_else(missing)?.borrow_mut();
        let grouped = calls.window.as_mut().ok_or_else(missing)?;
        if WindowCall::of(self.relation, window, function, part)?.0 != grouped.call {
            return Err(missing());
        }
        if what == "PROCTIME" {
            // When the group is seen, as in Flink.
            let now = function::call(PROCTIME, Vec::new());
            return Ok(Some(now.map_err(|error| SqlError::at(part, error))?));
        }
        let [start, end, time] = &grouped.columns;
        let [start_kind, end_kind, time_kind] = grouped.kinds.clone();
        let (column, kind) = match what {
            "START" => (start, start_kind),
            "END" => (end, end_kind),
            _ => (time, time_kind),
        };
        let expr = Expr::Column(column.clone());
        grouped.timed |= what == "ROWTIME";
        Ok(Some(Bound { expr, data_type: Type::required(kind) }))
    }
}
