//! Conditions of joins that keep the event times of two rows near each other.

use std::{any::Any, sync::Arc};

use arrow::{
    array::{AsArray, BooleanArray},
    datatypes::{DataType as Arrow, TimeUnit, TimestampMicrosecondType},
};
use datafusion_common::{Column as PlanColumn, DataFusionError, ScalarValue};
use datafusion_expr::{
    Between, BinaryExpr, ColumnarValue, Expr, ExprSchemable, Join, JoinType, LogicalPlan, Operator,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
    expr::ScalarFunction,
    lit,
    utils::{conjunction, split_conjunction, split_conjunction_owned},
};

use super::event_time::is_event_time;

/// Says of two event times that the second, less the first, is within these bounds, in milliseconds. It stands
/// in the condition of a join in place of the comparisons that say so: such a join is done by time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Within {
    /// At least and at most.
    pub(crate) bounds: [i64; 2],
    signature: Signature,
}

impl ScalarUDFImpl for Within {
    fn name(&self) -> &str {
        "WITHIN"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[Arrow]) -> Result<Arrow, DataFusionError> {
        Ok(Arrow::Boolean)
    }

    fn schema_name(&self, arguments: &[Expr]) -> Result<String, DataFusionError> {
        let [lower, upper] = self.bounds;
        let shown: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        Ok(format!("WITHIN({}, {lower}, {upper})", shown.join(", ")))
    }

    fn invoke_with_args(
        &self,
        arguments: ScalarFunctionArgs,
    ) -> Result<ColumnarValue, DataFusionError> {
        let ScalarFunctionArgs { args, number_rows, .. } = arguments;
        let arrays = args.into_iter().map(|value| value.into_array(number_rows));
        let arrays = arrays.collect::<Result<Vec<_>, _>>()?;
        let [first, second] = &arrays[..] else {
            return Err(DataFusionError::Plan("WITHIN is of two times".into()));
        };
        let times = |at: usize| arrays[at].as_primitive::<TimestampMicrosecondType>().iter();
        debug_assert_eq!(first.len(), second.len());
        let [lower, upper] = self.bounds.map(|bound| bound.saturating_mul(1000));
        let holds = times(0).zip(times(1)).map(|(first, second)| {
            let apart = second?.saturating_sub(first?);
            Some((lower..=upper).contains(&apart))
        });
        Ok(ColumnarValue::Array(Arc::new(holds.collect::<BooleanArray>())))
    }
}

impl Within {
    /// Of times of this type.
    fn call(bounds: [i64; 2], times: [PlanColumn; 2], time: Arrow) -> Expr {
        let signature = Signature::exact(vec![time; 2], Volatility::Immutable);
        let function = Arc::new(ScalarUDF::new_from_impl(Self { bounds, signature }));
        let times = times.map(Expr::Column).to_vec();
        Expr::ScalarFunction(ScalarFunction::new_udf(function, times))
    }

    /// What it says of which times, if a condition is one.
    pub(crate) fn in_condition(condition: &Expr) -> Option<(&Self, [&Expr; 2])> {
        let Expr::ScalarFunction(call) = condition else { return None };
        let within = (&**call.func.inner() as &dyn Any).downcast_ref()?;
        match &call.args[..] {
            [first, second] => Some((within, [first, second])),
            _ => None,
        }
    }
}

/// Whether a join is done by time.
pub(super) fn is_interval_join(join: &Join) -> bool {
    let conditions = join.filter.as_ref().map(split_conjunction).unwrap_or_default();
    let by_time = conditions.into_iter().any(|condition| Within::in_condition(condition).is_some());
    by_time && has_pairs(join.join_type)
}

fn has_pairs(kind: JoinType) -> bool {
    matches!(kind, JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full)
}

/// The condition of a join, with a [`Within`] where its comparisons say as much of two event times.
pub(super) fn by_time(condition: Expr, [left, right]: [&LogicalPlan; 2]) -> Expr {
    let mut conditions = split_conjunction_owned(condition);
    let within = bounded(&mut [&mut conditions], [left, right]);
    conjunction(within.into_iter().chain(conditions)).unwrap_or_else(|| lit(true))
}

/// The plan of FROM below these conditions of WHERE, where tables that are joined may get one that keeps their
/// times near each other; it is taken from the conditions.
pub(super) fn below(plan: LogicalPlan, conditions: &mut Vec<Expr>) -> LogicalPlan {
    let LogicalPlan::Join(mut join) = plan else { return plan };
    if join.join_type != JoinType::Inner || is_interval_join(&join) {
        return LogicalPlan::Join(join);
    }
    let mut own = join.filter.take().map(split_conjunction_owned).unwrap_or_default();
    let within = bounded(&mut [&mut own, conditions], [&join.left, &join.right]);
    join.filter = conjunction(within.clone().into_iter().chain(own));
    if within.is_none() {
        for side in [&mut join.left, &mut join.right] {
            *side = Arc::new(below(side.as_ref().clone(), conditions));
        }
    }
    LogicalPlan::Join(join)
}

/// A comparison of two event times: of the left and the right, and how far the second is behind the first, at
/// least and at most, in milliseconds, as far as it says so.
struct Comparison {
    times: [PlanColumn; 2],
    bounds: [Option<i64>; 2],
}

/// Takes the comparisons out of some conditions that keep an event time of the left and one of the right near
/// each other.
fn bounded(conditions: &mut [&mut Vec<Expr>], sides: [&LogicalPlan; 2]) -> Option<Expr> {
    let all = conditions.iter().flat_map(|part| part.iter());
    let found: Vec<Comparison> = all.filter_map(|part| Comparison::of(part, sides)).collect();
    let bounds_of = |times: &[PlanColumn; 2]| {
        let of = found.iter().filter(|comparison| comparison.times == *times);
        let (lower, upper): (Vec<_>, Vec<_>) =
            of.map(|Comparison { bounds: [lower, upper], .. }| (*lower, *upper)).unzip();
        Some([lower.into_iter().flatten().max()?, upper.into_iter().flatten().min()?])
    };
    let (times, bounds) = found
        .iter()
        .find_map(|comparison| Some((&comparison.times, bounds_of(&comparison.times)?)))?;
    for part in conditions.iter_mut() {
        part.retain(|condition| {
            Comparison::of(condition, sides).is_none_or(|comparison| comparison.times != *times)
        });
    }
    let [left, _] = sides;
    let time = Expr::Column(times[0].clone()).get_type(left.schema());
    let time = time.unwrap_or(Arrow::Timestamp(TimeUnit::Microsecond, None));
    Some(Within::call(bounds, times.clone(), time))
}

impl Comparison {
    fn of(condition: &Expr, sides: [&LogicalPlan; 2]) -> Option<Self> {
        match condition {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => Self::one(left, *op, right, sides),
            Expr::Between(Between { expr, negated: false, low, high }) => {
                let above = Self::one(expr, Operator::GtEq, low, sides)?;
                let below = Self::one(expr, Operator::LtEq, high, sides)?;
                let [a, b] = [above.bounds, below.bounds];
                let bounds = [a[0].max(b[0]), a[1].or(b[1])];
                (above.times == below.times).then_some(Self { bounds, ..above })
            }
            _ => None,
        }
    }

    /// That of two times, each with an interval added or not.
    fn one(first: &Expr, op: Operator, second: &Expr, sides: [&LogicalPlan; 2]) -> Option<Self> {
        let ((a, first), (b, second)) = (moved(first)?, moved(second)?);
        let [left, right] = sides;
        let is_time = |plan: &LogicalPlan, column: &PlanColumn| {
            plan.schema().has_column(column) && is_event_time(plan, column)
        };
        // The second less the first, by so many microseconds: at least, or at most.
        let (times, op, by) = if is_time(left, a) && is_time(right, b) {
            ([a, b], op.swap()?, first.checked_sub(second)?)
        } else if is_time(right, a) && is_time(left, b) {
            ([b, a], op, second.checked_sub(first)?)
        } else {
            return None;
        };
        // Times are whole milliseconds.
        let (down, exact) = (by.div_euclid(1000), by.rem_euclid(1000) == 0);
        let up = down + i64::from(!exact);
        let bounds = match op {
            Operator::Eq => [Some(up), Some(down)],
            Operator::GtEq => [Some(up), None],
            Operator::Gt => [Some(down + 1), None],
            Operator::LtEq => [None, Some(down)],
            Operator::Lt => [None, Some(up - 1)],
            _ => return None,
        };
        Some(Self { times: times.map(PlanColumn::clone), bounds })
    }
}

/// A column, and the constant interval that is added to it, in microseconds.
fn moved(expression: &Expr) -> Option<(&PlanColumn, i64)> {
    match expression {
        Expr::Column(column) => Some((column, 0)),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Plus, right }) => {
            let (of, interval) = match (interval(right), interval(left)) {
                (Some(interval), _) => (left, interval),
                (None, Some(interval)) => (right, interval),
                (None, None) => return None,
            };
            let (column, by) = moved(of)?;
            Some((column, by.checked_add(interval)?))
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Minus, right }) => {
            let (column, by) = moved(left)?;
            Some((column, by.checked_sub(interval(right)?)?))
        }
        _ => None,
    }
}

fn interval(expression: &Expr) -> Option<i64> {
    match expression {
        Expr::Literal(ScalarValue::DurationMicrosecond(micros), _) => *micros,
        Expr::Negative(inner) => interval(inner)?.checked_neg(),
        _ => None,
    }
}
