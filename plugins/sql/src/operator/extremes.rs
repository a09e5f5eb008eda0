//! MIN, MAX, FIRST_VALUE and LAST_VALUE over rows that change: which value is the next when the least goes, or the
//! first.

use std::sync::Arc;

use millstream_data::{
    order::{Direction, RowOrder, SortField},
    row::{PageRows, RowLayout},
    types::Schema,
};
use millstream_dataflow::{
    TaskError,
    operator::rows::{Maps, RowKeys, RowStates},
};

use super::{accumulator::Accumulator, arrival::Arrival, distinct::Counts, never_came};
use crate::{
    error::SqlError,
    relation::{AggregateCall, AggregateFunction},
};

/// Bytes of a count, in front of what a call keeps of a value.
const COUNT: usize = 8;

/// A call of one of them: in which order its values are.
#[derive(Clone, Debug)]
pub(super) struct Extreme {
    /// The number of the call.
    call: usize,
    order: Order,
}

/// The order of values, of which the first is the result.
#[derive(Clone, Debug)]
enum Order {
    Value(Arc<RowOrder>),
    Arrival(Arrival),
}

impl Extreme {
    /// That of a call of this number; `None` if it has another function.
    pub(super) fn of(
        call: &AggregateCall,
        number: usize,
        input: &Schema,
    ) -> Result<Option<Self>, SqlError> {
        let direction = match call.function {
            AggregateFunction::Min => Direction::Ascending,
            AggregateFunction::Max => Direction::Descending,
            AggregateFunction::First | AggregateFunction::Last => {
                let latest = call.function == AggregateFunction::Last;
                return Ok(Some(Self { call: number, order: Order::Arrival(Arrival { latest }) }));
            }
            _ => return Ok(None),
        };
        let Some(field) = call.argument else { return Ok(None) };
        let by = SortField { direction, ..SortField::ascending(field) };
        let order = RowOrder::new(input, &RowLayout::new(input), &[by]);
        let order = order.map_err(|error| SqlError::new(error.to_string()))?;
        let order = Order::Value(Arc::new(order));
        Ok(Some(Self { call: number, order }))
    }
}

/// All values of each group, in order: how often each is there, and what its call keeps of it.
pub(super) struct Extremes {
    values: Vec<(Extreme, Maps)>,
    /// Whether values expire, and may be taken back later.
    expires: bool,
    /// For each row at hand and each call: where the value is that is the result when the row has gone.
    spots: Vec<Spot>,
    bytes: Vec<u8>,
    key: Vec<u8>,
    value: Vec<u8>,
}

/// What a row that goes does to the result of a call.
#[derive(Clone, Copy, Debug)]
enum Spot {
    Same,
    /// No value is left.
    Nothing,
    /// What is kept of the value is at these bytes.
    Value(usize, usize),
}

impl Extremes {
    pub(super) fn open(
        calls: &[Extreme],
        keys: &RowKeys,
        states: &mut RowStates,
    ) -> Result<Self, TaskError> {
        let values = calls.iter().map(|extreme| {
            let name = format!("values of call {}", extreme.call);
            Ok((extreme.clone(), states.ordered(&name, keys)?))
        });
        let values = values.collect::<Result<_, TaskError>>()?;
        let (spots, bytes, key, value) = Default::default();
        Ok(Self { values, expires: states.expire(), spots, bytes, key, value })
    }

    /// Takes the values of the rows at hand that count, or takes them back.
    pub(super) fn look(
        &mut self,
        keys: &RowKeys,
        rows: (&PageRows<'_>, impl Fn(usize) -> bool),
        states: &mut RowStates,
        (accumulators, counts): (&[Accumulator], &mut Counts<'_>),
    ) -> Result<(), TaskError> {
        let Self { values, expires, spots, bytes, key, value } = self;
        spots.clear();
        bytes.clear();
        if values.is_empty() {
            return Ok(());
        }
        let (rows, is_retraction) = rows;
        spots.resize(keys.len() * counts.calls, Spot::Same);
        for (index, number) in keys.rows().iter().enumerate() {
            let number = *number as usize;
            for (extreme, map) in &*values {
                let call = extreme.call;
                let Some(accumulator) = accumulators.get(call) else { continue };
                if counts.of(index).get(call) != Some(&true) {
                    continue;
                }
                let row = rows.at(number);
                let order = match &extreme.order {
                    Order::Value(order) => order,
                    Order::Arrival(order) => {
                        value.clear();
                        value.extend_from_slice(&1_u64.to_le_bytes());
                        accumulator.put_value(&row, value);
                        let kept = (*map, keys, index);
                        if !is_retraction(number) {
                            order.push(kept, states, (key, value))?;
                            continue;
                        }
                        if !order.remove(kept, states, (key, value))? && !*expires {
                            return Err(never_came("aggregation"));
                        }
                        let spot = first(kept, states, bytes)?;
                        if let Some(of) = spots.get_mut(index * counts.calls + call) {
                            *of = spot;
                        }
                        continue;
                    }
                };
                key.clear();
                order.put_key(&row, key);
                states.entry(*map, keys, (index, key), value)?;
                let before = value.first_chunk::<COUNT>().map_or(0, |n| u64::from_le_bytes(*n));
                if !is_retraction(number) {
                    value.clear();
                    value.extend_from_slice(&(before + 1).to_le_bytes());
                    accumulator.put_value(&row, value);
                    states.put_entry(*map, keys, (index, key), Some(value))?;
                    continue;
                }
                let after = match before.checked_sub(1) {
                    Some(after) => after,
                    None if *expires => continue,
                    None => return Err(never_came("aggregation")),
                };
                if after > 0 {
                    value[..COUNT].copy_from_slice(&after.to_le_bytes());
                    states.put_entry(*map, keys, (index, key), Some(value))?;
                    continue;
                }
                states.put_entry(*map, keys, (index, key), None)?;
                let spot = first((*map, keys, index), states, bytes)?;
                if let Some(of) = spots.get_mut(index * counts.calls + call) {
                    *of = spot;
                }
            }
        }
        Ok(())
    }

    /// What the row at hand of this index has done to the results of so many calls.
    pub(super) fn of_row(&self, index: usize, calls: usize) -> Replaced<'_> {
        let spots = self.spots.get(index * calls..(index + 1) * calls).unwrap_or(&[]);
        Replaced { spots, bytes: &self.bytes }
    }
}

/// Where the first value of a group is, which is put behind these bytes.
fn first(
    (map, keys, index): (Maps, &RowKeys, usize),
    states: &mut RowStates,
    bytes: &mut Vec<u8>,
) -> Result<Spot, TaskError> {
    let begin = bytes.len();
    let mut spot = Spot::Nothing;
    states.scan(map, keys, (index, &[]), |_, first| {
        bytes.extend_from_slice(first.get(COUNT..).unwrap_or(&[]));
        spot = Spot::Value(begin, bytes.len());
        false
    })?;
    Ok(spot)
}

/// Results that have other values when a row has gone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Replaced<'a> {
    spots: &'a [Spot],
    bytes: &'a [u8],
}

impl<'a> Replaced<'a> {
    /// What is kept of the value that a call has now, if that is another one; nothing if it has none.
    pub(super) fn call(&self, number: usize) -> Option<&'a [u8]> {
        match self.spots.get(number)? {
            Spot::Same => None,
            Spot::Nothing => Some(&[]),
            Spot::Value(begin, end) => self.bytes.get(*begin..*end),
        }
    }
}
