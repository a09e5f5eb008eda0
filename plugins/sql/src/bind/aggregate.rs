//! Calls of functions of many rows: aggregate functions, and ROW_NUMBER.

use std::{any::Any, sync::Arc};

use arrow::datatypes::DataType as Arrow;
use datafusion_common::{Column as PlanColumn, DataFusionError, ScalarValue};
use datafusion_expr::{
    Accumulator, AggregateUDFImpl, Expr, Signature, Volatility, function::AccumulatorArgs,
};
use sqlparser::{
    ast::{
        self, DuplicateTreatment, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident,
        OrderByExpr, WindowSpec, WindowType,
    },
    tokenizer::Span,
};

use super::{
    Bound,
    expression::{Scope, ordered},
    grouping::{Grouping, SET},
    over::{OVER, OverBound},
    window::GroupWindow,
};
use crate::{
    error::{Place, SqlError},
    function::{UserAggregate, UserCall},
    relation::{AggregateFunction, RANK},
    types::{Kind, MAX_PRECISION, STRING, Type},
};

/// The calls in the clauses of a SELECT. In the expressions that they stand in, columns take their places.
#[derive(Debug)]
pub(super) struct Calls {
    /// Whether there are groups, none of which is empty.
    grouped: bool,
    pub(super) aggregates: Vec<Call>,
    pub(super) ranked: Option<Ranked>,
    pub(super) overs: Vec<OverBound>,
    /// The windows that WINDOW names.
    pub(super) named: Vec<(Ident, WindowSpec)>,
    /// The window of GROUP BY, if it has one.
    pub(super) window: Option<GroupWindow>,
    /// What rows are grouped by.
    pub(super) grouping: Grouping,
}

/// A call of an aggregate function, of values of the rows before they are grouped.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Call {
    pub(super) function: AggregateFunction,
    pub(super) argument: Option<Expr>,
    pub(super) filter: Option<Expr>,
    pub(super) distinct: bool,
    /// What is between the values of LISTAGG.
    separator: String,
    output: Type,
    /// A function of a user, and its arguments, which are not in `argument`.
    user: Option<UserCall<Expr>>,
}

impl Call {
    /// A call of nothing but a function.
    pub(super) fn plain(function: AggregateFunction, argument: Option<Expr>, output: Type) -> Self {
        let separator = String::new();
        Self { function, argument, filter: None, distinct: false, separator, output, user: None }
    }

    /// A call of a function of a user.
    pub(super) fn of_user(
        user: UserCall<Expr>,
        filter: Option<Expr>,
        distinct: bool,
        output: Type,
    ) -> Self {
        let call = Self::plain(AggregateFunction::User, None, output);
        Self { filter, distinct, user: Some(user), ..call }
    }

    /// What it is about.
    pub(super) fn arguments(&self) -> impl Iterator<Item = &Expr> {
        self.argument.iter().chain(self.user.iter().flat_map(|user| &user.arguments))
    }

    /// All that it is about, its filter, too.
    pub(super) fn parts(&mut self) -> impl Iterator<Item = &mut Expr> {
        let arguments = self.user.iter_mut().flat_map(|user| &mut user.arguments);
        self.argument.iter_mut().chain(arguments).chain(&mut self.filter)
    }
}

/// What a call is about.
pub(super) struct Argument {
    /// `None` for `*`.
    pub(super) value: Option<Bound>,
    /// Whether equal ones count once.
    pub(super) distinct: bool,
    pub(super) separator: String,
}

/// A call of ROW_NUMBER.
#[derive(Debug)]
pub(super) struct Ranked {
    pub(super) partition: Vec<Expr>,
    pub(super) order: Vec<Order>,
    /// Where it is called.
    pub(super) span: Span,
}

/// A value that rows are ordered by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Hash)]
pub(crate) struct Order {
    pub(crate) expr: Expr,
    pub(crate) descending: bool,
    pub(crate) nulls_first: bool,
}

impl Calls {
    pub(super) fn new(grouped: bool, window: Option<GroupWindow>) -> Self {
        Self {
            grouped,
            aggregates: Vec::new(),
            ranked: None,
            overs: Vec::new(),
            named: Vec::new(),
            window,
            grouping: Grouping::none(),
        }
    }

    /// How columns are called that have what a subquery says of groups.
    pub(super) const VALUE: &str = "$above";

    /// The name of the column with the results of the call at `index`.
    pub(super) fn name(index: usize) -> String {
        format!("$agg{index}")
    }

    /// Whether a column stands for a call of one of so many.
    pub(super) fn stands_for_one(column: &PlanColumn, aggregates: usize) -> bool {
        let is_one = |i| Self::name(i) == column.name;
        let is_other = [RANK, SET].contains(&column.name.as_str());
        let is_over = || column.name.starts_with(OVER) || column.name.starts_with(Self::VALUE);
        column.relation.is_none() && (is_other || is_over() || (0..aggregates).any(is_one))
    }

    pub(super) fn add(&mut self, call: Call) -> Bound {
        let data_type = call.output.clone();
        let same = self.aggregates.iter().position(|other| *other == call);
        let index = same.unwrap_or_else(|| {
            self.aggregates.push(call);
            self.aggregates.len() - 1
        });
        let expr = Expr::Column(PlanColumn::new_unqualified(Self::name(index)));
        Bound { expr, data_type }
    }

    /// Adds a call with OVER.
    pub(super) fn add_over(&mut self, call: OverBound) -> Bound {
        let index = self.overs.iter().position(|other| other.is_same(&call));
        let index = index.unwrap_or(self.overs.len());
        let bound = call.stand_in(index);
        if index == self.overs.len() {
            self.overs.push(call);
        }
        bound
    }
}

impl Scope<'_> {
    /// A call of a function of many rows.
    pub(super) fn many_rows(
        &self,
        name: &str,
        function: &Function,
        part: &ast::Expr,
    ) -> Result<Bound, SqlError> {
        let unsupported = |what: &str| SqlError::at(part, format!("{what} is not supported yet"));
        let array = name == "ARRAY_AGG";
        if (function.null_treatment.is_some() && !array) || !function.within_group.is_empty() {
            return Err(unsupported(&format!("{name} with IGNORE NULLS or WITHIN GROUP")));
        }
        if let Some(over) = &function.over {
            return match (name, over) {
                ("ROW_NUMBER", window) => self.rank(&self.window(window)?, part),
                (_, window) => self.over(name, function, &self.window(window)?, part),
            };
        }
        let aggregate = self.aggregate_of(name, part)?;
        let Some(calls) = self.calls else {
            let message = format!(
                "{name} is an aggregate function: it may stand in SELECT and HAVING, but not here, nor in \
                 another one"
            );
            return Err(SqlError::at(part, message));
        };
        // What is aggregated are values of single rows.
        let rows = Scope { calls: None, ..*self };
        let Argument { value: argument, distinct, separator } =
            rows.argument(name, function, part)?;
        let filter = function.filter.as_deref();
        let filter = filter.map(|condition| rows.condition(condition, "FILTER")).transpose()?;
        let grouped = calls.borrow().grouped && filter.is_none();
        let (function, mut output) = self.typed(name, aggregate, argument.as_ref(), part)?;
        if !function.is_never_null() {
            output.nullable |= !grouped;
        }
        // The least of different values is the least of all.
        let distinct =
            distinct && !matches!(function, AggregateFunction::Min | AggregateFunction::Max);
        let argument = argument.map(|argument| argument.expr);
        let call = Call { function, argument, filter, distinct, separator, output, user: None };
        Ok(calls.borrow_mut().add(call))
    }

    /// The window of a call, which may be one that WINDOW names.
    pub(super) fn window(&self, window: &WindowType) -> Result<WindowSpec, SqlError> {
        match window {
            WindowType::WindowSpec(window) => Ok(window.clone()),
            WindowType::NamedWindow(name) => {
                let calls = self.calls.map(|calls| calls.borrow());
                let mut named = calls.iter().flat_map(|calls| &calls.named);
                let found = named.find(|(other, _)| other.value == name.value);
                found.map(|(_, window)| window.clone()).ok_or_else(|| {
                    SqlError::at(name, format!("there is no window `{}` here", name.value))
                })
            }
        }
    }

    /// The function of this name.
    pub(super) fn aggregate_of(
        &self,
        name: &str,
        part: &ast::Expr,
    ) -> Result<AggregateFunction, SqlError> {
        Ok(match name {
            name if let Some(function) = AggregateFunction::of(name) => function,
            "ROW_NUMBER" | "RANK" | "DENSE_RANK" | "PERCENT_RANK" | "CUME_DIST" | "NTILE"
            | "LAG" | "LEAD" => {
                let message = format!("{name} needs OVER (PARTITION BY … ORDER BY …)");
                return Err(SqlError::at(part, message));
            }
            _ => {
                let message =
                    format!("{name} is an aggregate function, which is not supported yet");
                return Err(SqlError::at(part, message));
            }
        })
    }

    /// What a function is for this argument, and what it gives; NULL only if the argument may be.
    pub(super) fn typed(
        &self,
        name: &str,
        function: AggregateFunction,
        argument: Option<&Bound>,
        part: &ast::Expr,
    ) -> Result<(AggregateFunction, Type), SqlError> {
        match (function, argument.map(|argument| &argument.data_type)) {
            (AggregateFunction::Count, None) => {
                Ok((AggregateFunction::CountAll, Type::required(Kind::BigInt)))
            }
            (AggregateFunction::Count, Some(_)) => Ok((function, Type::required(Kind::BigInt))),
            (_, Some(input)) => {
                let kind = result(function, &input.kind)
                    .map_err(|message| SqlError::at(part, format!("{name}: {message}")))?;
                let nullable = input.nullable && !function.is_never_null();
                Ok((function, Type { kind, nullable }))
            }
            (_, None) => Err(SqlError::at(part, format!("{name} takes a value, not `*`"))),
        }
    }

    /// What a call is about.
    pub(super) fn argument(
        &self,
        name: &str,
        function: &Function,
        part: &ast::Expr,
    ) -> Result<Argument, SqlError> {
        if let "ARRAY_AGG" | "COLLECT" = name {
            return self.gathered(name, function, part);
        }
        let FunctionArguments::List(list) = &function.args else {
            return Err(SqlError::at(part, format!("{name} takes one argument")));
        };
        let distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
        match &list.args[..] {
            [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)]
                if name == "COUNT" && !distinct && list.clauses.is_empty() =>
            {
                Ok(Argument { value: None, distinct: false, separator: String::new() })
            }
            [FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))] if list.clauses.is_empty() => {
                let separator = if name == "LISTAGG" { "," } else { "" }.to_owned();
                Ok(Argument { value: Some(self.bind(expr)?), distinct, separator })
            }
            [
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)),
                FunctionArg::Unnamed(FunctionArgExpr::Expr(between)),
            ] if name == "LISTAGG" && list.clauses.is_empty() => {
                let Expr::Literal(ScalarValue::Utf8View(Some(separator)), _) =
                    self.bind(between)?.expr
                else {
                    let message = "LISTAGG takes a constant text as its separator";
                    return Err(SqlError::at(between, message));
                };
                Ok(Argument { value: Some(self.bind(expr)?), distinct, separator })
            }
            _ => Err(SqlError::at(part, format!("{name} takes one argument"))),
        }
    }

    fn rank(&self, window: &WindowSpec, part: &ast::Expr) -> Result<Bound, SqlError> {
        let WindowSpec { window_name: None, partition_by, order_by, window_frame: None } = window
        else {
            let message = "ROW_NUMBER takes PARTITION BY and ORDER BY, nothing else";
            return Err(SqlError::at(part, message));
        };
        let Some(calls) = self.calls else {
            let message = "ROW_NUMBER may stand in SELECT, but not here";
            return Err(SqlError::at(part, message));
        };
        if order_by.is_empty() {
            return Err(SqlError::at(part, "ROW_NUMBER needs ORDER BY: rows have no order"));
        }
        let partition = partition_by.iter().map(|key| Ok(self.bind(key)?.expr));
        let partition = partition.collect::<Result<Vec<_>, SqlError>>()?;
        let order = order_by.iter().map(|key| self.order(key));
        let order = order.collect::<Result<Vec<_>, _>>()?;
        let ranked = Ranked { partition, order, span: part.place() };
        if let Some(other) = &calls.borrow().ranked
            && (&other.partition, &other.order) != (&ranked.partition, &ranked.order)
        {
            let message = "a second ROW_NUMBER of the same rows is not supported yet";
            return Err(SqlError::at(part, message));
        }
        calls.borrow_mut().ranked = Some(ranked);
        let expr = Expr::Column(PlanColumn::new_unqualified(RANK));
        Ok(Bound { expr, data_type: Type::required(Kind::BigInt) })
    }

    pub(super) fn order(&self, key: &OrderByExpr) -> Result<Order, SqlError> {
        let bound = self.bind(&key.expr)?;
        ordered(&bound, &key.expr)?;
        let expr = bound.expr;
        let descending = key.options.asc == Some(false);
        // NULLs are the least, as in Flink.
        let nulls_first = key.options.nulls_first.unwrap_or(!descending);
        Ok(Order { expr, descending, nulls_first })
    }
}

/// What a function gives for values of a kind.
fn result(function: AggregateFunction, kind: &Kind) -> Result<Kind, String> {
    let expected = |what| Err(format!("{kind} was found where {what} was expected"));
    match function {
        AggregateFunction::Sum | AggregateFunction::Avg | AggregateFunction::Spread(_) => {
            match kind {
                Kind::Decimal(_, scale) if function == AggregateFunction::Sum => {
                    Ok(Kind::Decimal(MAX_PRECISION, *scale))
                }
                Kind::Decimal(_, scale) => Ok(Kind::Decimal(MAX_PRECISION, *scale.max(&6))),
                kind if kind.is_numeric() => Ok(kind.clone()),
                _ => expected("a number"),
            }
        }
        // What is gathered is nested already.
        AggregateFunction::Array | AggregateFunction::Multiset => Ok(kind.clone()),
        AggregateFunction::List if kind.is_text() => Ok(STRING),
        AggregateFunction::List => expected("a text"),
        _ => match kind {
            Kind::Boolean | Kind::Date | Kind::Time(_) => Ok(kind.clone()),
            kind if kind.is_numeric() || kind.is_text() || kind.is_timestamp() => Ok(kind.clone()),
            kind if kind.is_nested() && !function.is_extreme() => Ok(kind.clone()),
            _ => expected("a number, a text or a time"),
        },
    }
}

/// An aggregate function in a plan: what it says is read when the plan is lowered.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Aggregate {
    pub(crate) function: AggregateFunction,
    /// What is between the values of LISTAGG.
    pub(crate) separator: String,
    pub(crate) output: Type,
    pub(crate) user: Option<Arc<UserAggregate>>,
    signature: Signature,
}

impl Aggregate {
    pub(super) fn of(call: &Call) -> Self {
        let signature = match call.arguments().count() {
            0 => Signature::nullary(Volatility::Immutable),
            count => Signature::any(count, Volatility::Immutable),
        };
        let Call { function, separator, output, user, .. } = call.clone();
        let user = user.map(|user| user.function);
        Self { function, separator, output, user, signature }
    }

    /// That of a plan.
    pub(crate) fn in_plan(function: &dyn AggregateUDFImpl) -> Option<&Self> {
        (function as &dyn Any).downcast_ref()
    }
}

impl AggregateUDFImpl for Aggregate {
    fn name(&self) -> &str {
        self.user.as_ref().map_or(self.function.name(), |user| user.name())
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[Arrow]) -> Result<Arrow, DataFusionError> {
        Ok(self.output.kind.arrow())
    }

    fn is_nullable(&self) -> bool {
        self.output.nullable
    }

    fn accumulator(
        &self,
        _arguments: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn Accumulator>, DataFusionError> {
        Err(DataFusionError::NotImplemented("aggregates are the engine's".into()))
    }
}
