//! The operators that keep rows: groups, joins and Top-N.
//!
//! Each is a function of the engine's on pages of rows, with state of its keys: what is kept, checkpointed and
//! restored is the engine's.

mod accumulator;
mod aggregate;
mod arrival;
mod bundle;
mod distinct;
mod earliest;
#[cfg(test)]
mod expiring;
mod extremes;
mod join;
mod listed;
mod over;
mod pairs;
mod place;
mod set_operation;
mod single;
mod sliding;
mod texts;
mod timed;
mod top_n;
mod users;
mod value_set;
mod values;
mod windows;

use std::sync::Arc;

use datafusion_physical_expr::{PhysicalExpr, expressions::lit};
use millstream_data::{page::ValidPage, row::RowLayout, types::Schema};
use millstream_dataflow::{
    TaskError,
    operator::rows::{
        RowBuffer, RowSessions, RowStates, RowTime, RowWindow, RowWindows, RowsAtOnce, Until,
        WindowClock,
    },
    stream::RowStream,
};
use millstream_state::window::{Cumulating, Sliding, Tumbling, WindowError};

use aggregate::Emits;
pub(crate) use over::Around;
pub(crate) use timed::{
    Intervals, Versions, assign, interval_join, temporal_join, window_join, window_top_n,
};
pub(crate) use top_n::Order;
pub(crate) use values::values;

use crate::{
    error::SqlError,
    relation::{AggregateCall, JoinKind, Life, Said, SetOperation, WindowSpec, WindowTime},
    time::Zone,
};

/// Rows that are taken at once, so that the misses of their keys overlap.
const BATCH: usize = 256;

/// How rows are said that change.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Changing {
    /// When the input has ended; else as they change.
    pub(crate) once: bool,
    /// What is kept is forgotten so many milliseconds after it was written; `None`: never.
    pub(crate) life: Option<i64>,
    /// Without what they were before an update.
    pub(crate) upserts: bool,
    /// How an aggregate takes several rows at once, if it does.
    pub(crate) bundling: Option<Bundling>,
}

/// How an aggregate takes several rows at once, if they are at hand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bundling {
    /// Of so many at most it says together what they change.
    pub(crate) rows: usize,
    /// What they do to each of their groups is made before they are sent to it, where that is possible.
    pub(crate) two_phases: bool,
}

/// The rows of [`Rel::Aggregate`](crate::relation::Rel::Aggregate), of `schema`; those that are left when the
/// input has ended, if it is to be done once. Groups are forgotten some time after their last row, if they are.
pub(crate) fn aggregate(
    input: RowStream,
    groups: (usize, &[AggregateCall]),
    schema: Schema,
    how: Changing,
) -> Result<RowStream, SqlError> {
    let emits = if how.once { Emits::Last } else { Emits::Changes };
    self::groups(input, groups, (emits, how), schema)
}

/// The rows that are left of a changelog when it has ended.
pub(crate) fn left(input: RowStream, schema: Schema) -> Result<RowStream, SqlError> {
    groups(input, (schema.fields.len(), &[]), (Emits::Rows, Changing::default()), schema)
}

fn groups(
    input: RowStream,
    (keys, calls): (usize, &[AggregateCall]),
    (emits, how): (Emits, Changing),
    schema: Schema,
) -> Result<RowStream, SqlError> {
    let mut plan = aggregate::Aggregation::new(input.schema(), keys, calls, &schema)?;
    let columns: Vec<usize> = (0..keys).collect();
    let mut input = input;
    if let Some(Bundling { rows, two_phases: true }) = how.bundling
        && aggregate::has_two_phases(calls, input.schema())
    {
        let partial = aggregate::partial_schema(input.schema(), keys);
        let first = plan.clone();
        let made = move || aggregate::Partial::new(&first, rows);
        input = input.pages("aggregate pages", partial, made);
        plan = plan.second();
    }
    let made = move |states: &mut RowStates, _: &_| {
        states.expire_after(how.life);
        aggregate::Aggregate::open(&plan, (emits, how), states)
    };
    Ok(input.key_by(&columns).function("aggregate", schema, made))
}

/// The rows of [`Rel::Join`](crate::relation::Rel::Join), of `schema`.
pub(crate) fn join(
    [left, right]: [RowStream; 2],
    keys: &[(usize, usize)],
    (kind, condition, life): (JoinKind, Option<&Arc<dyn PhysicalExpr>>, Life),
    schema: Schema,
) -> Result<RowStream, SqlError> {
    let (first, second): (Vec<usize>, Vec<usize>) = keys.iter().copied().unzip();
    let inputs = [left.schema().clone(), right.schema().clone()];
    let condition = match condition {
        // Of rows that expire matches are counted one by one.
        None if life != [None, None] && kind != JoinKind::Inner => Some(&always()),
        condition => condition,
    };
    let condition = condition.map(|condition| pairs::Condition::new(condition, &inputs));
    let condition = condition.transpose()?;
    let both = left.key_by(&first).beside(right.key_by(&second));
    let plan = join::Joining { inputs, keys: [first, second], kind, condition, life };
    Ok(both.function("join", schema, move |states, _| join::Join::open(&plan, states)))
}

/// A condition that is true of all pairs.
fn always() -> Arc<dyn PhysicalExpr> {
    lit(true)
}

/// The rows of [`Rel::SetOperation`](crate::relation::Rel::SetOperation), of `schema`.
pub(crate) fn set_operation(
    [left, right]: [RowStream; 2],
    (operation, life): (SetOperation, Option<i64>),
    schema: Schema,
) -> RowStream {
    let input = left.schema().clone();
    let columns: Vec<usize> = (0..input.fields.len()).collect();
    let both = left.key_by(&columns).beside(right.key_by(&columns));
    both.function("set-operation", schema, move |states, _| {
        states.expire_after(life);
        set_operation::Matching::open(&input, operation, states)
    })
}

/// The rows of [`Rel::TopN`](crate::relation::Rel::TopN), of `schema`; those that are left when the input has
/// ended, if it is to be done once.
pub(crate) fn top_n(
    input: RowStream,
    partition: &[usize],
    order: Order<'_>,
    schema: Schema,
    how: Changing,
) -> Result<RowStream, SqlError> {
    let plan = top_n::Ranking::new(input.schema(), partition, order)?;
    let rows = input.key_by(partition);
    if plan.is_small() {
        let made = move |states: &mut RowStates, _: &_| {
            states.expire_after(how.life);
            top_n::TopN::open(&plan, how, states)
        };
        return Ok(rows.function("top-n", schema, made));
    }
    let made = move |states: &mut RowStates, _: &_| {
        states.expire_after(how.life);
        top_n::OrderedTopN::open(&plan, how, states)
    };
    match how.once {
        true => left(rows.function("top-n", schema.clone().with_row_kinds(), made), schema),
        false => Ok(rows.function("top-n", schema, made)),
    }
}

/// The rows of [`Rel::Earliest`](crate::relation::Rel::Earliest), of `schema`.
pub(crate) fn earliest(
    input: RowStream,
    partition: &[usize],
    (time, life): (usize, Option<i64>),
    schema: Schema,
) -> RowStream {
    let (rows, columns) = (input.schema().clone(), partition.to_vec());
    input.key_by(partition).function("earliest", schema, move |states, _| {
        RowBuffer::open(&rows, &columns, Until::Time(time), states, |keys, states| {
            // Rows that wait for the watermark do not expire.
            states.expire_after(life);
            earliest::Earliest::open(&rows, keys, states)
        })
    })
}

/// The rows of [`Rel::Single`](crate::relation::Rel::Single), of `schema`.
pub(crate) fn single(
    input: RowStream,
    key: &[usize],
    refusal: Option<Arc<str>>,
    schema: Schema,
) -> RowStream {
    let (rows, columns) = (input.schema().clone(), key.to_vec());
    input.key_by(key).function("single", schema, move |states, _| {
        let refusal = refusal.clone();
        RowBuffer::open(&rows, &columns, Until::Rise, states, |keys, states| {
            single::Single::open(&rows, refusal, keys, states)
        })
    })
}

/// The rows of [`Rel::Over`](crate::relation::Rel::Over), of `schema`. What is around the last row of a partition
/// is forgotten so many milliseconds after it, if it is.
pub(crate) fn over(
    input: RowStream,
    partition: &[usize],
    (around, life): (Around<'_>, Option<i64>),
    schema: Schema,
) -> Result<RowStream, SqlError> {
    let said = around.said;
    let plan = over::Overing::new(input.schema(), &around, &schema)?;
    let (rows, columns) = (input.schema().clone(), partition.to_vec());
    let divided = input.key_by(partition);
    let until = match said {
        Said::AtTheEnd => Until::End,
        Said::ByWatermark(time) => Until::Time(time),
        Said::ByClock => Until::Passed,
        Said::AtOnce => {
            return Ok(divided.function("over", schema, move |states, _| {
                RowsAtOnce::open(&rows, &columns, states, |keys, states| {
                    states.expire_after(life);
                    over::Over::open(&plan, keys, states)
                })
            }));
        }
    };
    Ok(divided.function("over", schema, move |states, _| {
        RowBuffer::open(&rows, &columns, until, states, |keys, states| {
            // Rows that wait for the watermark do not expire.
            states.expire_after(life);
            over::Over::open(&plan, keys, states)
        })
    }))
}

/// The rows of [`Rel::Windows`](crate::relation::Rel::Windows), of `schema`.
pub(crate) fn windows(
    input: RowStream,
    keys: usize,
    (time, window, zone): (WindowTime, WindowSpec, Option<Zone>),
    calls: &[AggregateCall],
    schema: Schema,
) -> Result<RowStream, SqlError> {
    let plan = aggregate::Aggregation::new(input.schema(), keys, calls, &schema)?;
    let fold = windows::WindowFold::new(&plan)?;
    let (rows, columns): (_, Vec<usize>) = (input.schema().clone(), (0..keys).collect());
    let divided = input.key_by(&columns);
    if let WindowSpec::Session { gap } = window {
        let time = row_time(time);
        return Ok(divided.function("sessions", schema, move |states, _| {
            states.go_by(clock(zone));
            let fold = fold.clone();
            RowSessions::open(&rows, &columns, (time, gap), fold, states)
        }));
    }
    let windows = row_window(time, window)?;
    Ok(divided.function("windows", schema, move |states, _| {
        states.go_by(clock(zone));
        let fold = fold.clone();
        RowWindows::open(&rows, &columns, windows.clone(), fold, states)
    }))
}

/// The clock of windows in a time zone.
fn clock(zone: Option<Zone>) -> WindowClock {
    zone.map_or_else(WindowClock::default, Zone::clock)
}

fn row_time(time: WindowTime) -> RowTime {
    match time {
        WindowTime::Event(column) => RowTime::Column(column),
        WindowTime::Processing => RowTime::Processing,
    }
}

/// Windows that do not depend on what rows there are.
fn row_window(time: WindowTime, window: WindowSpec) -> Result<RowWindow, SqlError> {
    let wrong = |error: WindowError| SqlError::new(error.to_string());
    let of = row_time(time);
    Ok(match window {
        WindowSpec::Tumble { size, offset } => {
            RowWindow::Tumbling(of, Tumbling::of(size).map_err(wrong)?.offset(offset))
        }
        WindowSpec::Hop { size, slide, offset } => {
            RowWindow::Sliding(of, Sliding::of(size, slide).map_err(wrong)?.offset(offset))
        }
        WindowSpec::Cumulate { size, step, offset } => {
            RowWindow::Cumulating(of, Cumulating::of(size, step).map_err(wrong)?.offset(offset))
        }
        WindowSpec::Attached { start, end } => RowWindow::Attached(start, end),
        WindowSpec::Session { .. } => {
            return Err(SqlError::new("a session is known when it has ended only"));
        }
    })
}

/// Bytes of a value that is changed in place, at most, beside its key.
const IN_PLACE: usize = 512;

/// Whether values of so many bytes, by keys of this layout, are changed in place.
fn in_place(key: &RowLayout, bytes: usize) -> bool {
    bytes <= IN_PLACE && key.is_fixed() && key.fixed_bytes() <= 128
}

/// Whether a row of a page is taken back.
fn is_retraction(page: &ValidPage<'_>, row: usize) -> bool {
    use millstream_data::page::RowKind::{Delete, UpdateBefore};
    matches!(page.row_kind(row), UpdateBefore | Delete)
}

/// A row is taken back that never came.
fn never_came(operator: &str) -> TaskError {
    TaskError::new(format!(
        "a row is taken back that the {operator} has not got: its input is no changelog that begins with \
         the first row"
    ))
}
