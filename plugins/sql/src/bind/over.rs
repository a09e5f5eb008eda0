//! OVER: what is computed of the rows around each row.

use std::{collections::HashMap, fmt, sync::Arc};

use arrow::datatypes::Field;
use datafusion_common::{
    Column as PlanColumn, DFSchema, DFSchemaRef, DataFusionError, ScalarValue,
};
use datafusion_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};
use sqlparser::{
    ast::{self, Function, WindowFrame, WindowFrameBound, WindowFrameUnits, WindowSpec},
    tokenizer::Span,
};

use super::{
    Bound, Relation,
    aggregate::{Argument, Order},
    event_time::{is_event_time, is_processing_time},
    expression::Scope,
    group::{Groups, with_columns},
    node::{all_but, compared_by_identity, of_input},
    place::Placed,
    planning,
};
use crate::{
    error::{Place, SqlError},
    function::UserCall,
    relation::{AggregateFunction, Edge, Frame},
    types::{Kind, Type},
};

/// The rows that calls are about: those of a partition in an order, around each row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct OverWindow {
    pub(super) partition: Vec<Expr>,
    pub(super) order: Vec<Order>,
    pub(super) frame: Frame,
}

/// A call of an aggregate function of the rows around each row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct OverBound {
    window: OverWindow,
    function: AggregateFunction,
    argument: Option<Expr>,
    /// Whether equal values count once.
    distinct: bool,
    /// What is between the values of LISTAGG.
    separator: String,
    /// What LAG and LEAD give where there is no row.
    default: Option<Expr>,
    output: Type,
    /// A function of a user, and its arguments, which are not in `argument`.
    user: Option<UserCall<Expr>>,
    pub(super) span: Span,
}

/// A call of a plan.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Hash)]
pub(crate) struct OverCall {
    pub(crate) function: AggregateFunction,
    /// A column of the input; `None` for COUNT(*).
    pub(crate) argument: Option<Expr>,
    /// Whether equal values count once.
    pub(crate) distinct: bool,
    /// What is between the values of LISTAGG.
    pub(crate) separator: String,
    /// With LAG and LEAD: a column of the input, with the value where there is no such row.
    pub(crate) default: Option<Expr>,
    pub(crate) output: Type,
    /// A function of a user, and its arguments, columns of the input.
    pub(crate) user: Option<UserCall<Expr>>,
    /// What the column with the results is called.
    pub(crate) name: String,
}

/// Adds to each row a column for each call, of the rows around it.
#[derive(Clone, Debug)]
pub(crate) struct Over {
    pub(crate) input: Arc<LogicalPlan>,
    /// Columns of the input.
    pub(crate) partition: Vec<Expr>,
    /// Columns of the input.
    pub(crate) order: Vec<Order>,
    pub(crate) frame: Frame,
    pub(crate) calls: Vec<OverCall>,
    /// Whether the order is that of event time.
    pub(crate) timed: bool,
    /// Whether it is that of processing time.
    pub(crate) processing: bool,
    /// Where it stands in the script.
    pub(crate) span: Span,
    schema: DFSchemaRef,
}

/// What the names of columns with results begin with.
pub(super) const OVER: &str = "$over";

/// The name of the column with the results of the call at `index`.
fn name(index: usize) -> String {
    format!("{OVER}{index}")
}

impl OverCall {
    /// The columns of the input that it is about.
    fn values(&self) -> impl Iterator<Item = &Expr> {
        let of_user = self.user.iter().flat_map(|user| &user.arguments);
        self.argument.iter().chain(&self.default).chain(of_user)
    }

    /// The same about other columns, one for each of its values.
    fn about(self, mut columns: impl Iterator<Item = Expr>) -> Self {
        let argument = self.argument.and_then(|_| columns.next());
        let default = self.default.and_then(|_| columns.next());
        let user = self.user.map(|UserCall { function, arguments }| {
            let arguments = columns.by_ref().take(arguments.len()).collect();
            UserCall { function, arguments }
        });
        Self { argument, default, user, ..self }
    }
}

impl Scope<'_> {
    /// A call of an aggregate function of a user with OVER.
    pub(super) fn over_of_user(
        &self,
        name: &str,
        (user, distinct, output): (UserCall<Expr>, bool, Type),
        window: &WindowSpec,
        part: &ast::Expr,
    ) -> Result<Bound, SqlError> {
        let Some(calls) = self.calls else {
            return Err(SqlError::at(
                part,
                format!("{name} OVER may stand in SELECT, but not here"),
            ));
        };
        let call = OverBound {
            window: self.over_window(window, part)?,
            function: AggregateFunction::User,
            argument: None,
            distinct,
            separator: String::new(),
            default: None,
            output,
            user: Some(user),
            span: part.place(),
        };
        Ok(calls.borrow_mut().add_over(call))
    }

    /// A call of an aggregate function with OVER.
    pub(super) fn over(
        &self,
        name: &str,
        function: &Function,
        window: &WindowSpec,
        part: &ast::Expr,
    ) -> Result<Bound, SqlError> {
        let Some(calls) = self.calls else {
            return Err(SqlError::at(
                part,
                format!("{name} OVER may stand in SELECT, but not here"),
            ));
        };
        if function.filter.is_some() {
            return Err(SqlError::at(
                part,
                format!("{name} with FILTER and OVER is not supported yet"),
            ));
        }
        let placed = self.place(name, function, window, part)?;
        let (of, argument, default, output) = match placed {
            Some(Placed { place, value, default, output }) => {
                let value = Argument { value, distinct: false, separator: String::new() };
                (AggregateFunction::Place(place), value, default, output)
            }
            None => {
                let of = self
                    .aggregate_of(name, part)
                    .map_err(|_| SqlError::at(part, format!("{name} OVER is not supported yet")))?;
                let argument = self.argument(name, function, part)?;
                let (of, output) = self.typed(name, of, argument.value.as_ref(), part)?;
                let nullable = !of.is_never_null();
                (of, argument, None, Type { nullable, ..output })
            }
        };
        let Argument { value: argument, distinct, separator } = argument;
        let window = self.over_window(window, part)?;
        let (function, span, user) = (of, part.place(), None);
        let [argument, default] = [argument, default].map(|value| value.map(|value| value.expr));
        let call = OverBound {
            window,
            function,
            argument,
            distinct,
            separator,
            default,
            output,
            user,
            span,
        };
        Ok(calls.borrow_mut().add_over(call))
    }

    fn over_window(&self, window: &WindowSpec, part: &ast::Expr) -> Result<OverWindow, SqlError> {
        let WindowSpec { window_name: None, partition_by, order_by, window_frame } = window else {
            let message = "OVER of a window that is made of another one is not supported yet";
            return Err(SqlError::at(part, message));
        };
        let partition = partition_by.iter().map(|key| Ok(self.bind(key)?.expr));
        let order = order_by.iter().map(|key| self.order(key));
        let order = order.collect::<Result<Vec<_>, _>>()?;
        let frame = match window_frame {
            Some(frame) => self.frame(frame, part)?,
            None if order.is_empty() => Frame::WHOLE,
            None => Frame::SO_FAR,
        };
        let partition = partition.collect::<Result<Vec<_>, SqlError>>()?;
        Ok(OverWindow { partition, order, frame })
    }

    fn frame(&self, frame: &WindowFrame, part: &ast::Expr) -> Result<Frame, SqlError> {
        let rows = match frame.units {
            WindowFrameUnits::Rows => true,
            WindowFrameUnits::Range => false,
            WindowFrameUnits::Groups => {
                return Err(SqlError::at(
                    part,
                    "OVER with GROUPS is not supported: use ROWS or RANGE",
                ));
            }
        };
        let current = WindowFrameBound::CurrentRow;
        let last = frame.end_bound.as_ref().unwrap_or(&current);
        let start = self.edge(&frame.start_bound, rows, part)?;
        let end = self.edge(last, rows, part)?;
        let is_backwards = matches!((start, end), (Edge::By(start), Edge::By(end)) if start > end);
        if is_backwards || start == Edge::End || end == Edge::Start {
            return Err(SqlError::at(part, "the frame of OVER ends before it begins"));
        }
        Ok(Frame { rows, start, end })
    }

    fn edge(
        &self,
        bound: &WindowFrameBound,
        rows: bool,
        part: &ast::Expr,
    ) -> Result<Edge, SqlError> {
        let (distance, sign) = match bound {
            WindowFrameBound::CurrentRow => return Ok(Edge::By(0)),
            WindowFrameBound::Preceding(None) => return Ok(Edge::Start),
            WindowFrameBound::Following(None) => return Ok(Edge::End),
            WindowFrameBound::Preceding(Some(distance)) => (distance, -1),
            WindowFrameBound::Following(Some(distance)) => (distance, 1),
        };
        let distance = match (self.bind(distance)?.expr, rows) {
            (Expr::Literal(ScalarValue::Int32(Some(rows)), _), true) => Some(i64::from(rows)),
            (Expr::Literal(ScalarValue::Int64(Some(rows)), _), true) => Some(rows),
            (Expr::Literal(ScalarValue::DurationMicrosecond(Some(time)), _), false) => Some(time),
            _ => None,
        };
        let distance = distance.filter(|distance| *distance >= 0).ok_or_else(|| {
            let takes = if rows {
                "a number of rows, ROWS 10 PRECEDING"
            } else {
                "an interval, RANGE INTERVAL '1' HOUR PRECEDING"
            };
            SqlError::at(part, format!("the frame of OVER takes {takes} for instance"))
        })?;
        Ok(Edge::By(sign * distance))
    }
}

impl OverBound {
    /// Whether it gives the same, wherever it stands.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Self { span: other.span, output: other.output.clone(), ..self.clone() } == *other
    }

    /// What stands for the call at `index` in expressions.
    pub(super) fn stand_in(&self, index: usize) -> Bound {
        let expr = Expr::Column(PlanColumn::new_unqualified(name(index)));
        Bound { expr, data_type: self.output.clone() }
    }

    /// The same call over groups of rows.
    pub(super) fn of(self, groups: &Groups) -> Result<Self, SqlError> {
        let Self {
            window: OverWindow { partition, order, frame },
            argument,
            default,
            user,
            span,
            ..
        } = self.clone();
        let partition = partition.into_iter().map(|key| groups.of(key, span));
        let partition = partition.collect::<Result<_, _>>()?;
        let order = order.into_iter().map(|key| {
            let Order { expr, descending, nulls_first } = key;
            Ok(Order { expr: groups.of(expr, span)?, descending, nulls_first })
        });
        let order = order.collect::<Result<_, SqlError>>()?;
        let value = |value: Option<Expr>| value.map(|value| groups.of(value, span)).transpose();
        let (argument, default) = (value(argument)?, value(default)?);
        let user = user.map(|UserCall { function, arguments }| {
            let arguments = arguments.into_iter().map(|argument| groups.of(argument, span));
            Ok(UserCall { function, arguments: arguments.collect::<Result<_, SqlError>>()? })
        });
        let user = user.transpose()?;
        let window = OverWindow { partition, order, frame };
        Ok(Self { window, argument, default, user, ..self })
    }
}

impl Relation {
    /// The rows with a column for each call behind those of the plan.
    pub(super) fn over(mut self, calls: Vec<OverBound>) -> Result<Self, SqlError> {
        let mut left: Vec<(usize, OverBound)> = calls.into_iter().enumerate().collect();
        while let Some((_, OverBound { window, span, .. })) = left.first().cloned() {
            let (same, others) = left.into_iter().partition(|(_, call)| call.window == window);
            left = others;
            self = self.over_one(window, same, span)?;
        }
        Ok(self)
    }

    fn over_one(
        self,
        OverWindow { partition, order, frame }: OverWindow,
        calls: Vec<(usize, OverBound)>,
        span: Span,
    ) -> Result<Self, SqlError> {
        let mut needed = partition.clone();
        needed.extend(order.iter().map(|key| key.expr.clone()));
        let calls = calls.into_iter().map(|(index, call)| OverCall {
            function: call.function,
            argument: call.argument,
            distinct: call.distinct,
            separator: call.separator,
            default: call.default,
            output: call.output,
            user: call.user,
            name: name(index),
        });
        let calls: Vec<OverCall> = calls.collect();
        needed.extend(calls.iter().flat_map(OverCall::values).cloned());
        let (plan, columns) = with_columns(self.plan, needed)?;
        let mut columns = columns.into_iter();
        let partition = columns.by_ref().take(partition.len()).collect();
        let order = columns.by_ref().take(order.len()).zip(&order);
        let order: Vec<Order> = order.map(|(expr, key)| Order { expr, ..*key }).collect();
        let calls = calls.into_iter().map(|call| call.about(&mut columns)).collect();
        let timed = is_by_event_time(&plan, &order);
        let node = Over::new(Arc::new(plan), (partition, order), frame, calls, (timed, span));
        let node = Arc::new(node.map_err(|error| planning(&error))?);
        let plan = Arc::new(LogicalPlan::Extension(Extension { node }));
        Ok(Self { plan, columns: self.columns })
    }
}

impl Over {
    /// The rows in an order, which nothing is computed of.
    pub(super) fn sorted(
        input: Arc<LogicalPlan>,
        order: Vec<Order>,
        span: Span,
    ) -> Result<Self, DataFusionError> {
        let timed = is_by_event_time(&input, &order);
        Self::new(input, (Vec::new(), order), Frame::SO_FAR, Vec::new(), (timed, span))
    }

    fn new(
        input: Arc<LogicalPlan>,
        (partition, order): (Vec<Expr>, Vec<Order>),
        frame: Frame,
        calls: Vec<OverCall>,
        (timed, span): (bool, Span),
    ) -> Result<Self, DataFusionError> {
        let results = calls
            .iter()
            .map(|call| Field::new(&call.name, call.output.kind.arrow(), call.output.nullable));
        let results = results.collect::<Vec<_>>().into();
        let results = DFSchema::from_unqualified_fields(results, HashMap::new())?;
        let schema = Arc::new(input.schema().join(&results)?);
        let processing = is_by(&input, &order, is_processing_time);
        Ok(Self { input, partition, order, frame, calls, timed, processing, span, schema })
    }

    /// That of a plan, if it begins with one.
    pub(crate) fn in_plan(plan: &LogicalPlan) -> Option<&Self> {
        match plan {
            LogicalPlan::Extension(Extension { node }) => node.as_any().downcast_ref(),
            _ => None,
        }
    }

    fn identity(&self) -> (&LogicalPlan, &[Expr], &[Order], Frame, &[OverCall], bool) {
        (&self.input, &self.partition, &self.order, self.frame, &self.calls, self.timed)
    }
}

compared_by_identity!(Over);

impl UserDefinedLogicalNodeCore for Over {
    fn name(&self) -> &str {
        "Over"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        let order = self.order.iter().map(|key| &key.expr);
        let values = self.calls.iter().flat_map(OverCall::values);
        self.partition.iter().chain(order).chain(values).cloned().collect()
    }

    /// A row that is dropped is missing in the results of others, unless all of its partition are dropped.
    fn prevent_predicate_push_down_columns(&self) -> std::collections::HashSet<String> {
        all_but(&self.partition, &self.schema)
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |expressions: Vec<String>| expressions.join(", ");
        let partition = shown(self.partition.iter().map(ToString::to_string).collect());
        let order = shown(self.order.iter().map(|key| key.expr.to_string()).collect());
        let calls = shown(self.calls.iter().map(|call| call.name.clone()).collect());
        write!(f, "Over: [{calls}] partition by [{partition}], order by [{order}]")
    }

    fn with_exprs_and_inputs(
        &self,
        expressions: Vec<Expr>,
        inputs: Vec<LogicalPlan>,
    ) -> Result<Self, DataFusionError> {
        let mut expressions = expressions.into_iter();
        let partition = expressions.by_ref().take(self.partition.len()).collect();
        let order = expressions.by_ref().take(self.order.len()).zip(&self.order);
        let order = order.map(|(expr, key)| Order { expr, ..*key }).collect();
        let calls = self.calls.iter().cloned().map(|call| call.about(&mut expressions)).collect();
        let [input] = <[LogicalPlan; 1]>::try_from(inputs)
            .map_err(|_| DataFusionError::Plan("OVER has one input".into()))?;
        let (input, of) = (Arc::new(input), (partition, order));
        let node = Self::new(input, of, self.frame, calls, (self.timed, self.span))?;
        Ok(Self { processing: self.processing, ..node })
    }

    fn necessary_children_exprs(&self, output: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(vec![of_input(output, self.input.schema())])
    }
}

/// Whether an order of the rows of a plan is that of their event time.
fn is_by_event_time(plan: &LogicalPlan, order: &[Order]) -> bool {
    is_by(plan, order, is_event_time)
}

/// Whether an order of the rows of a plan is that of a time of theirs.
fn is_by(
    plan: &LogicalPlan,
    order: &[Order],
    is_time: fn(&LogicalPlan, &PlanColumn) -> bool,
) -> bool {
    match order {
        [Order { expr: Expr::Column(time), descending: false, .. }] => is_time(plan, time),
        _ => false,
    }
}

/// COUNT(*) of the rows up to each one: ROW_NUMBER of all rows.
pub(crate) fn row_number(rows: &super::RowNumber) -> Result<Over, SqlError> {
    let calls = vec![OverCall {
        function: AggregateFunction::CountAll,
        argument: None,
        distinct: false,
        separator: String::new(),
        default: None,
        output: Type::required(Kind::BigInt),
        user: None,
        name: crate::relation::RANK.to_owned(),
    }];
    let timed = is_by_event_time(&rows.input, &rows.order);
    let frame = Frame { rows: true, start: Edge::Start, end: Edge::By(0) };
    let of = (rows.partition.clone(), rows.order.clone());
    Over::new(Arc::clone(&rows.input), of, frame, calls, (timed, rows.span))
        .map_err(|error| planning(&error))
}
