//! Operators that go by event time: the engine's, with conditions of ours.

use std::sync::Arc;

use datafusion_physical_expr::PhysicalExpr;
use millstream_data::{
    row::{Row, RowLayout},
    types::Schema,
};
use millstream_dataflow::{
    TaskError,
    operator::rows::{
        RowAssignment, RowInterval, RowIntervalJoin, RowMatches, RowPairs, RowTemporalJoin,
        RowVersions, RowWindow, RowWindowJoin, RowWindowMatch, RowWindows,
    },
    stream::RowStream,
};

use super::{
    clock,
    pairs::{Condition, damaged},
    row_window,
    top_n::{Order, RankFold, Ranking},
};
use crate::{
    error::SqlError,
    relation::{JoinKind, WindowSpec, WindowTime},
    time::Zone,
};

/// A condition of pairs of rows, as the engine asks for it.
#[derive(Clone, Debug)]
struct Pairs {
    condition: Condition,
    layouts: [Arc<RowLayout>; 2],
}

impl Pairs {
    fn of(
        condition: Option<&Arc<dyn PhysicalExpr>>,
        inputs: &[Schema; 2],
    ) -> Result<Option<Self>, SqlError> {
        let made = condition.map(|condition| {
            let layouts = inputs.each_ref().map(|schema| Arc::new(RowLayout::new(schema)));
            Ok(Self { condition: Condition::new(condition, inputs)?, layouts })
        });
        made.transpose()
    }
}

impl RowPairs for Pairs {
    fn holds(
        &mut self,
        left: &[&[u8]],
        right: &[&[u8]],
        holds: &mut Vec<bool>,
    ) -> Result<(), TaskError> {
        let [first, second] = &self.layouts;
        let (left, right) = (rows_of(first, left)?, rows_of(second, right)?);
        holds.extend(self.condition.holds([&left, &right])?.values().iter());
        Ok(())
    }
}

fn rows_of<'a>(layout: &'a RowLayout, rows: &[&'a [u8]]) -> Result<Vec<Row<'a>>, TaskError> {
    let rows = rows.iter().map(|bytes| layout.trusted(bytes));
    rows.collect::<Result<_, _>>().map_err(|error| damaged(&error))
}

/// What an interval join pairs.
pub(crate) struct Intervals<'a> {
    pub(crate) keys: &'a [(usize, usize)],
    pub(crate) kind: JoinKind,
    pub(crate) condition: Option<&'a Arc<dyn PhysicalExpr>>,
    pub(crate) times: [usize; 2],
    pub(crate) bounds: [i64; 2],
}

/// The rows of [`Timed::IntervalJoin`](crate::relation::Timed::IntervalJoin), of `schema`.
pub(crate) fn interval_join(
    [left, right]: [RowStream; 2],
    Intervals { keys, kind, condition, times, bounds }: Intervals<'_>,
    schema: Schema,
) -> Result<RowStream, SqlError> {
    let (first, second): (Vec<usize>, Vec<usize>) = keys.iter().copied().unzip();
    let inputs = [left.schema().clone(), right.schema().clone()];
    let pairs = Pairs::of(condition, &inputs)?;
    let both = left.key_by(&first).beside(right.key_by(&second));
    let keeps = kind.keeps_lonely();
    let plan = RowInterval { inputs, keys: [first, second], times, bounds, keeps };
    Ok(both.function("interval join", schema, move |states, _| {
        RowIntervalJoin::open(&plan, pairs.clone(), states)
    }))
}

/// What a temporal join pairs.
pub(crate) struct Versions<'a> {
    pub(crate) keys: &'a [(usize, usize)],
    pub(crate) kind: JoinKind,
    pub(crate) condition: Option<&'a Arc<dyn PhysicalExpr>>,
    pub(crate) times: [usize; 2],
}

/// The rows of [`Timed::TemporalJoin`](crate::relation::Timed::TemporalJoin), of `schema`.
pub(crate) fn temporal_join(
    [left, right]: [RowStream; 2],
    Versions { keys, kind, condition, times }: Versions<'_>,
    schema: Schema,
) -> Result<RowStream, SqlError> {
    let (first, second): (Vec<usize>, Vec<usize>) = keys.iter().copied().unzip();
    let inputs = [left.schema().clone(), right.schema().clone()];
    let pairs = Pairs::of(condition, &inputs)?;
    let both = left.key_by(&first).beside(right.key_by(&second));
    let [keeps, _] = kind.keeps_lonely();
    let plan = RowVersions { inputs, keys: [first, second], times, keeps };
    Ok(both.function("temporal join", schema, move |states, _| {
        RowTemporalJoin::open(&plan, pairs.clone(), states)
    }))
}

/// The rows of [`Timed::Assign`](crate::relation::Timed::Assign), of `schema`.
pub(crate) fn assign(
    input: RowStream,
    time: WindowTime,
    (window, zone): (WindowSpec, Option<Zone>),
    schema: Schema,
) -> Result<RowStream, SqlError> {
    let windows = row_window(time, window)?;
    let time = match time {
        WindowTime::Event(column) => Some(column),
        WindowTime::Processing => None,
    };
    let rows = input.schema().clone();
    Ok(input.chain("assign windows", schema, move |_, writer| {
        let time = (time, clock(zone));
        Ok(Box::new(RowAssignment::new(&rows, time, windows.clone(), writer)))
    }))
}

/// The rows of [`Timed::WindowJoin`](crate::relation::Timed::WindowJoin), of `schema`.
pub(crate) fn window_join(
    [left, right]: [RowStream; 2],
    (keys, kind, condition, (ends, zone)): Matching<'_>,
    schema: Schema,
) -> Result<RowStream, SqlError> {
    let (first, second): (Vec<usize>, Vec<usize>) = keys.iter().copied().unzip();
    let inputs = [left.schema().clone(), right.schema().clone()];
    let pairs = Pairs::of(condition, &inputs)?;
    let both = left.key_by(&first).beside(right.key_by(&second));
    let matches = match kind {
        JoinKind::Semi => RowMatches::Semi,
        JoinKind::Anti => RowMatches::Anti,
        _ => RowMatches::Pairs(kind.keeps_lonely()),
    };
    let plan = RowWindowMatch { inputs, keys: [first, second], ends, matches };
    Ok(both.function("window join", schema, move |states, _| {
        states.go_by(clock(zone));
        RowWindowJoin::open(&plan, pairs.clone(), states)
    }))
}

/// Columns that are equal, of which kind a join is, what is true beside, and where its windows end, by which clock.
type Matching<'a> =
    (&'a [(usize, usize)], JoinKind, Option<&'a Arc<dyn PhysicalExpr>>, ([usize; 2], Option<Zone>));

/// The rows of [`Timed::WindowTopN`](crate::relation::Timed::WindowTopN), of `schema`.
pub(crate) fn window_top_n(
    input: RowStream,
    (partition, [start, end], zone): (&[usize], [usize; 2], Option<Zone>),
    order: Order<'_>,
    schema: Schema,
) -> Result<RowStream, SqlError> {
    let rows = input.schema().clone();
    let plan = Ranking::new(&rows, partition, order)?;
    plan.check_small()?;
    let columns = partition.to_vec();
    Ok(input.key_by(partition).function("window top-n", schema, move |states, _| {
        states.go_by(clock(zone));
        let (windows, fold) = (RowWindow::Attached(start, end), RankFold::new(&plan));
        RowWindows::open(&rows, &columns, windows, fold, states)
    }))
}
