//! What is computed of the rows around each row.

use std::{ops::Range, sync::Arc};

use millstream_data::{
    order::RowOrder,
    page::RowKind,
    row::{Row, RowLayout, RowWriter},
    types::{DataType, Schema},
};
use millstream_dataflow::{
    TaskError,
    operator::rows::{Changes, RowKeys, RowReplay, RowStates, Values},
};

use super::{
    accumulator::{Accumulator, SLOT},
    place::{Placing, Spot},
    sliding::Sliding,
    top_n::row_order,
};
use crate::{
    error::SqlError,
    relation::{AggregateCall, AggregateFunction, Edge, Frame, OrderKey, Said},
};

/// Bytes of what a call keeps, without texts.
pub(super) const FIXED: usize = 8 + SLOT;

/// Which rows are around a row, and what is computed of them, as
/// [`Rel::Over`](crate::relation::Rel::Over) has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Around<'a> {
    pub(crate) order: &'a [OrderKey],
    pub(crate) said: Said,
    pub(crate) frame: Frame,
    pub(crate) calls: &'a [AggregateCall],
}

/// A call: what it reads, what it is, and what else it needs.
#[derive(Clone, Debug)]
struct Planned {
    value: Accumulator,
    has_value: bool,
    function: AggregateFunction,
    /// With DISTINCT: what tells values apart.
    distinct: Option<Arc<RowOrder>>,
    default: Option<Accumulator>,
}

impl Planned {
    fn new(call: &AggregateCall, input: &Schema, result: &DataType) -> Result<Self, SqlError> {
        let of = |call: &AggregateCall| {
            let argument = call.argument.and_then(|column| input.fields.get(column));
            let argument = argument.map(|field| &field.data_type);
            Accumulator::new(call, argument, result, 0, &mut 0)
        };
        let function = call.function;
        // A value of another row is kept as the last one is.
        let call = match function {
            AggregateFunction::Place(_) => {
                AggregateCall { function: AggregateFunction::Last, ..call.clone() }
            }
            _ => call.clone(),
        };
        let default = call
            .default
            .map(|column| of(&AggregateCall { argument: Some(column), ..call.clone() }));
        let distinct = call.argument.filter(|_| call.distinct).map(|column| {
            row_order(input, &[OrderKey { column, descending: false, nulls_first: true }])
        });
        Ok(Self {
            value: of(&call)?,
            has_value: call.argument.is_some(),
            function,
            distinct: distinct.transpose()?.map(Arc::new),
            default: default.transpose()?,
        })
    }
}

/// The same, ready to be computed.
#[derive(Clone, Debug)]
pub(super) struct Overing {
    input: Schema,
    order: Arc<RowOrder>,
    /// The time that distances are in, if they are.
    measure: Option<usize>,
    nulls_first: bool,
    /// Whether rows come in order of event time, or are said as they come; else all of a partition come together.
    timed: bool,
    frame: Frame,
    calls: Vec<Planned>,
    results: Schema,
}

impl Overing {
    pub(super) fn new(
        input: &Schema,
        around: &Around<'_>,
        output: &Schema,
    ) -> Result<Self, SqlError> {
        let results: Vec<_> = output.fields.iter().skip(input.fields.len()).cloned().collect();
        let calls = around.calls.iter().zip(&results);
        let calls = calls.map(|(call, result)| Planned::new(call, input, &result.data_type));
        let Frame { rows, start, end } = around.frame;
        let is_away = |edge| matches!(edge, Edge::By(by) if by != 0);
        let measures = !rows && (is_away(start) || is_away(end));
        let measure = around.order.first().filter(|_| measures);
        Ok(Self {
            input: input.clone(),
            order: Arc::new(row_order(input, around.order)?),
            measure: measure.map(|key| key.column),
            nulls_first: measure.is_some_and(|key| key.nulls_first),
            timed: around.said != Said::AtTheEnd,
            frame: around.frame,
            calls: calls.collect::<Result<_, SqlError>>()?,
            results: Schema::new(results),
        })
    }
}

/// Gives each row what is computed of those around it.
///
/// Where rows come in order of time, what is kept of a partition is the time of its last row, and behind it
/// the accumulators if frames begin with the partition's first row, else the rows that are around the next one,
/// each behind its length.
pub(super) struct Over {
    plan: Overing,
    layout: Arc<RowLayout>,
    results: Arc<RowLayout>,
    kept: Values,
    calls: Vec<Call>,
    held: Vec<u8>,
    next: Vec<u8>,
    result: Vec<u8>,
}

impl Over {
    pub(super) fn open(
        plan: &Overing,
        keys: &RowKeys,
        states: &mut RowStates,
    ) -> Result<Self, TaskError> {
        let calls = plan.calls.iter().cloned();
        Ok(Self {
            layout: Arc::new(RowLayout::new(&plan.input)),
            results: Arc::new(RowLayout::new(&plan.results)),
            kept: states.values("around", keys, None)?,
            calls: calls.map(|call| Call::new(call, plan.timed)).collect(),
            plan: plan.clone(),
            held: Vec::new(),
            next: Vec::new(),
            result: Vec::new(),
        })
    }
}

impl RowReplay for Over {
    fn layout(&self) -> &Arc<RowLayout> {
        &self.layout
    }

    fn parts(&self) -> [Arc<RowLayout>; 2] {
        [Arc::clone(&self.layout), Arc::clone(&self.results)]
    }

    /// As in Flink: where frames are bounded, what counts is whether the partition has emitted later
    /// rows.
    fn takes_late(
        &mut self,
        (keys, index): (&RowKeys, usize),
        time: i64,
        states: &mut RowStates,
    ) -> Result<bool, TaskError> {
        if self.plan.frame.start == Edge::Start {
            return Ok(false);
        }
        states.read(self.kept, keys, index, &mut self.held)?;
        let last = self.held.first_chunk().map(|last| i64::from_le_bytes(*last));
        Ok(last.is_none_or(|last| time > last))
    }

    fn replay(
        &mut self,
        (keys, index): (&RowKeys, usize),
        time: i64,
        rows: &mut dyn Iterator<Item = &[u8]>,
        states: &mut RowStates,
        out: &mut Changes,
    ) -> Result<(), TaskError> {
        let Self { plan, layout, results, kept, calls, held, next, result } = self;
        calls.iter_mut().for_each(Call::clear);
        held.clear();
        if plan.timed {
            states.read(*kept, keys, index, held)?;
        }
        let carries = plan.frame.start == Edge::Start;
        let mut around: Vec<Row<'_>> = Vec::new();
        let behind = held.get(8..).unwrap_or(&[]);
        if carries {
            let mut rest = behind;
            calls.iter_mut().try_for_each(|call| call.read(&mut rest))?;
        } else {
            for row in framed(behind) {
                around.push(layout.trusted(row).map_err(|error| wrong(&error))?);
            }
        }
        let first = around.len();
        for row in rows {
            around.push(layout.trusted(row).map_err(|error| wrong(&error))?);
        }
        if !plan.timed {
            around.sort_by(|a, b| plan.order.compare(a, b));
        }
        let frames = Frames { plan, rows: &around };
        let (mut peers, mut different) = (0..0, 0);
        for at in first..around.len() {
            if at >= peers.end {
                peers = frames.peers(at);
                different += 1;
            }
            let range = frames.of(at, &peers);
            calls.iter_mut().for_each(|call| call.slide(&around, range.clone()));
            result.clear();
            let spot = Spot { rows: &around, at, peers: &peers, different };
            results.write(result, |cells| {
                calls.iter_mut().for_each(|call| call.finish(&spot, cells));
            });
            let (row, result) = (out.keep(around[at].bytes()), out.keep(result));
            out.emit(RowKind::Insert, row, result);
        }
        if plan.timed {
            next.clear();
            next.extend_from_slice(&time.to_le_bytes());
            if carries {
                calls.iter().for_each(|call| call.write(next));
            } else {
                for row in &around[frames.needed(time)..] {
                    next.extend_from_slice(&(row.bytes().len() as u32).to_le_bytes());
                    next.extend_from_slice(row.bytes());
                }
            }
            states.put(*kept, keys, index, next)?;
        }
        Ok(())
    }
}

/// Rows each behind its length.
fn framed(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, behind) = bytes.split_first_chunk()?;
        let (row, behind) = behind.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        bytes = behind;
        Some(row)
    })
}

pub(super) fn wrong(error: &dyn std::fmt::Display) -> TaskError {
    TaskError::new(format!("a row of OVER: {error}"))
}

/// Which rows are around each of some rows, which are in order.
struct Frames<'a> {
    plan: &'a Overing,
    rows: &'a [Row<'a>],
}

impl Frames<'_> {
    /// The rows that are equal to one, from it on.
    fn peers(&self, at: usize) -> Range<usize> {
        let rest = &self.rows[at..];
        let same = |row: &&Row<'_>| self.plan.order.compare(*row, &self.rows[at]).is_eq();
        at..at + rest.iter().take_while(same).count()
    }

    /// The rows around one whose equals are `peers`.
    fn of(&self, at: usize, peers: &Range<usize>) -> Range<usize> {
        let Frame { rows, start, end } = self.plan.frame;
        let (first, last) = if rows { (at, at + 1) } else { (peers.start, peers.end) };
        // A row without a time is only around others without.
        let time = self.time(&self.rows[at]);
        let away = |by: i64| time.map(|time| time.saturating_add(by));
        let begin = match start {
            Edge::Start => 0,
            Edge::End => self.rows.len(),
            Edge::By(0) => first,
            Edge::By(by) if rows => moved(first, by),
            Edge::By(by) => away(by).map_or(first, |from| self.first_from(from)),
        };
        let end = match end {
            Edge::Start => 0,
            Edge::End => self.rows.len(),
            Edge::By(0) => last,
            Edge::By(by) if rows => moved(last, by).min(self.rows.len()),
            Edge::By(by) => away(by.saturating_add(1)).map_or(last, |from| self.first_from(from)),
        };
        begin.min(end)..end
    }

    /// The first row whose time is not before this one, in microseconds.
    fn first_from(&self, from: i64) -> usize {
        self.rows
            .partition_point(|row| self.time(row).map_or(self.plan.nulls_first, |time| time < from))
    }

    fn time(&self, row: &Row<'_>) -> Option<i64> {
        let column = self.plan.measure?;
        (!row.is_null(column)).then(|| i64::from_le_bytes(row.fixed(column)))
    }

    /// The first of the rows that may be around one of a later millisecond than `time`.
    fn needed(&self, time: i64) -> usize {
        match (self.plan.frame.start, self.plan.frame.rows) {
            (Edge::By(by), true) => moved(self.rows.len(), by),
            (Edge::By(by), false) => {
                let next = time.saturating_add(1).saturating_mul(1000);
                self.first_from(next.saturating_add(by))
            }
            _ => self.rows.len(),
        }
    }
}

fn moved(at: usize, by: i64) -> usize {
    usize::try_from(i64::try_from(at).unwrap_or(i64::MAX).saturating_add(by)).unwrap_or(0)
}

/// A call, of the rows around each row, or of its place among them.
enum Call {
    Around(Sliding),
    Place(Placing),
}

impl Call {
    fn new(planned: Planned, timed: bool) -> Self {
        let Planned { value, has_value, function, distinct, default } = planned;
        match function {
            AggregateFunction::Place(place) => {
                Self::Place(Placing::new(place, timed, has_value.then_some(value), default))
            }
            function => Self::Around(Sliding::new(value, function, distinct)),
        }
    }

    fn clear(&mut self) {
        match self {
            Self::Around(call) => call.clear(),
            Self::Place(call) => call.clear(),
        }
    }

    fn slide(&mut self, rows: &[Row<'_>], to: Range<usize>) {
        match self {
            Self::Around(call) => call.slide(rows, to),
            Self::Place(call) => call.slide(rows, to.end),
        }
    }

    fn finish(&mut self, spot: &Spot<'_>, out: &mut RowWriter<'_>) {
        match self {
            Self::Around(call) => call.finish(out),
            Self::Place(call) => call.finish(spot, out),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Around(call) => call.write(out),
            Self::Place(call) => call.write(out),
        }
    }

    fn read(&mut self, from: &mut &[u8]) -> Result<(), TaskError> {
        match self {
            Self::Around(call) => call.read(from),
            Self::Place(call) => call.read(from),
        }
    }
}
