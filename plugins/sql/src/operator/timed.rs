//! Operators that go by event time: the engine's, with conditions of ours.

use std::sync::Arc;

use datafusion_physical_expr::PhysicalExpr;
use millstream_data::{
    row::{Row, RowLayout},
    types::Schema,
};
use millstream_dataflow::{
    TaskError,
    operator::rows::{RowInterval, RowIntervalJoin, RowPairs, RowTemporalJoin, RowVersions},
    stream::RowStream,
};

use super::pairs::{Condition, damaged};
use crate::{error::SqlError, relation::JoinKind};

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
