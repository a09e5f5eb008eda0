//! What is computed of the rows around each row.

#[cfg(test)]
mod clock;
mod frames;

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

use frames::{Frames, Measure};

use super::{
    accumulator::{Accumulator, SLOT},
    place::{Placing, Spot},
    sliding::Sliding,
    top_n::row_order,
    users::User,
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
    /// A function of a user.
    user: Option<Box<User>>,
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
        let mut value = of(&call)?;
        let mut user = None;
        if let Some(call) = &call.user {
            let (layout, strict) = (call.function.results(), User::strict(call, input));
            value = value.of_user(RowLayout::new(layout), strict, 0);
            user = Some(Box::new(User::new(call, 0, 0)?));
        }
        Ok(Self {
            value,
            has_value: call.argument.is_some(),
            function,
            distinct: distinct.transpose()?.map(Arc::new),
            default: default.transpose()?,
            user,
        })
    }
}

/// The same, ready to be computed.
#[derive(Clone, Debug)]
pub(super) struct Overing {
    input: Schema,
    order: Arc<RowOrder>,
    measure: Measure,
    /// Whether rows come in order of a time, or are said as they come; else all of a partition come together.
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
        let measure = match around.order.first().filter(|_| around.frame.is_by_time()) {
            _ if around.said == Said::ByClock => Measure::Clock,
            Some(key) => Measure::Time(key.column, key.nulls_first),
            None => Measure::Rows,
        };
        Ok(Self {
            input: input.clone(),
            order: Arc::new(row_order(input, around.order)?),
            measure,
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
/// each behind its length. Where that is the clock, the time at which what is kept is looked at again comes next,
/// each row is behind its own time, and a partition without a row in the interval is not kept; all in milliseconds.
pub(super) struct Over {
    plan: Overing,
    layout: Arc<RowLayout>,
    results: Arc<RowLayout>,
    kept: Values,
    calls: Vec<Call>,
    held: Vec<u8>,
    next: Vec<u8>,
    result: Vec<u8>,
    again: Option<i64>,
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
            again: None,
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
        let Self { plan, layout, results, kept, calls, held, next, result, again } = self;
        calls.iter_mut().for_each(Call::clear);
        held.clear();
        if plan.timed {
            states.read(*kept, keys, index, held)?;
        }
        let carries = plan.frame.start == Edge::Start;
        let (mut around, mut times) = (Vec::<Row<'_>>::new(), Vec::new());
        let mut rest = held.get(8..).unwrap_or(&[]);
        let by_clock = plan.measure == Measure::Clock;
        let asked = if by_clock { number(&mut rest) } else { None };
        if carries {
            calls.iter_mut().try_for_each(|call| call.read(&mut rest))?;
        } else {
            loop {
                let came = if by_clock { number(&mut rest) } else { None };
                let Some(row) = framed(&mut rest) else { break };
                around.push(layout.trusted(row).map_err(|error| wrong(&error))?);
                times.extend(came);
            }
        }
        let first = around.len();
        for row in rows {
            around.push(layout.trusted(row).map_err(|error| wrong(&error))?);
            times.extend(by_clock.then_some(time));
        }
        if !plan.timed {
            around.sort_by(|a, b| plan.order.compare(a, b));
        }
        let frames = Frames { plan, rows: &around, times: &times };
        let (mut peers, mut different) = (0..0, 0);
        for at in first..around.len() {
            if at >= peers.end {
                peers = frames.peers(at);
                different += 1;
            }
            let range = frames.of(at, &peers);
            calls.iter_mut().try_for_each(|call| call.slide(&around, range.clone()))?;
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
            let needed = frames.needed(time);
            if by_clock {
                let Some(oldest) = times.get(needed) else {
                    return states.remove(*kept, keys, index);
                };
                // Asked once for all rows of a partition: behind the oldest one the next is.
                let asked = asked.filter(|asked| *asked > time).unwrap_or_else(|| {
                    *again.insert(oldest.saturating_add(plan.frame.millis_before()))
                });
                next.extend_from_slice(&asked.to_le_bytes());
            }
            if carries {
                calls.iter().for_each(|call| call.write(next));
            } else {
                for (at, row) in around.iter().enumerate().skip(needed) {
                    let row = row.bytes();
                    next.extend(times.get(at).copied().map(i64::to_le_bytes).iter().flatten());
                    next.extend_from_slice(&(row.len() as u32).to_le_bytes());
                    next.extend_from_slice(row);
                }
            }
            states.put(*kept, keys, index, next)?;
        }
        Ok(())
    }

    fn again(&mut self) -> Option<i64> {
        self.again.take()
    }
}

/// Takes off the next row, which is behind its length.
fn framed<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, behind) = bytes.split_first_chunk()?;
    let (row, behind) = behind.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    *bytes = behind;
    Some(row)
}

/// Takes off the next number.
fn number(bytes: &mut &[u8]) -> Option<i64> {
    let (number, behind) = bytes.split_first_chunk()?;
    *bytes = behind;
    Some(i64::from_le_bytes(*number))
}

pub(super) fn wrong(error: &dyn std::fmt::Display) -> TaskError {
    TaskError::new(format!("a row of OVER: {error}"))
}

/// A call, of the rows around each row, or of its place among them.
enum Call {
    Around(Sliding),
    Place(Placing),
}

impl Call {
    fn new(planned: Planned, timed: bool) -> Self {
        let Planned { value, has_value, function, distinct, default, user } = planned;
        match function {
            AggregateFunction::Place(place) => {
                Self::Place(Placing::new(place, timed, has_value.then_some(value), default))
            }
            function => Self::Around(Sliding::new(value, (function, user), distinct)),
        }
    }

    fn clear(&mut self) {
        match self {
            Self::Around(call) => call.clear(),
            Self::Place(call) => call.clear(),
        }
    }

    fn slide(&mut self, rows: &[Row<'_>], to: Range<usize>) -> Result<(), TaskError> {
        match self {
            Self::Around(call) => call.slide(rows, to),
            Self::Place(call) => {
                call.slide(rows, to.end);
                Ok(())
            }
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
