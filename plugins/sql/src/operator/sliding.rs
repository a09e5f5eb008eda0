//! A call of an aggregate function over the rows around each row, as these go on.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use millstream_data::{
    order::RowOrder,
    row::{Row, RowWriter},
};
use millstream_dataflow::TaskError;

use super::{
    accumulator::Accumulator,
    over::{FIXED, wrong},
    place,
    texts::{pack, unpack},
    users::{self, User},
};
use crate::relation::AggregateFunction;

/// The values that are there, by what tells them apart, and how often each is.
struct Values {
    order: Arc<RowOrder>,
    times: BTreeMap<Vec<u8>, u64>,
}

/// A call over rows that change at both ends.
pub(super) struct Sliding {
    call: Accumulator,
    /// Whether a row cannot be taken back: the least of the others is not known then.
    is_extreme: bool,
    fixed: Vec<u8>,
    texts: Vec<Vec<u8>>,
    /// The rows at hand that are in it.
    range: Range<usize>,
    /// With DISTINCT: how often each value is there.
    values: Option<Values>,
    key: Vec<u8>,
    /// The function, if it is one of a user.
    user: Option<Box<User>>,
}

impl Sliding {
    pub(super) fn new(
        call: Accumulator,
        (function, user): (AggregateFunction, Option<Box<User>>),
        distinct: Option<Arc<RowOrder>>,
    ) -> Self {
        let takes_back = user.as_deref().map_or(function.takes_back(), User::retracts);
        let is_extreme = !takes_back;
        let texts = if user.is_some() { users::TEXTS } else { usize::from(call.has_text()) };
        let texts = vec![Vec::new(); texts];
        let values = distinct.map(|order| Values { order, times: BTreeMap::new() });
        let (fixed, key) = (vec![0; FIXED], Vec::new());
        Self { call, is_extreme, fixed, texts, range: 0..0, values, key, user }
    }

    /// Begins anew, without rows.
    pub(super) fn clear(&mut self) {
        self.fixed.fill(0);
        self.texts.iter_mut().for_each(Vec::clear);
        self.range = 0..0;
        if let Some(values) = &mut self.values {
            values.times.clear();
        }
    }

    /// Goes on to other rows; neither end goes back.
    pub(super) fn slide(&mut self, rows: &[Row<'_>], to: Range<usize>) -> Result<(), TaskError> {
        let leaving = self.range.start..to.start.min(self.range.end);
        if to.start >= self.range.end || (self.is_extreme && !leaving.is_empty()) {
            if self.range.start < to.start {
                self.clear();
                self.range = to.start..to.start;
            }
        } else {
            leaving.into_iter().try_for_each(|at| self.add(&rows[at], true))?;
            self.range.start = to.start;
        }
        (self.range.end..to.end).try_for_each(|at| self.add(&rows[at], false))?;
        self.range.end = to.end.max(self.range.end);
        match &mut self.user {
            Some(user) => user.finish(&mut self.texts),
            None => Ok(()),
        }
    }

    fn add(&mut self, row: &Row<'_>, retract: bool) -> Result<(), TaskError> {
        if self.call.counts(row) && self.is_new(row, retract) {
            self.call.add(row, retract, &mut self.fixed, &mut self.texts);
            if let Some(user) = &mut self.user {
                return user.change_one(row, retract, &mut self.texts);
            }
        }
        Ok(())
    }

    /// Whether the value of a row is the first of its kind that comes, or the last that goes.
    fn is_new(&mut self, row: &Row<'_>, retract: bool) -> bool {
        let Some(Values { order, times: values }) = &mut self.values else { return true };
        self.key.clear();
        order.put_key(row, &mut self.key);
        let before = values.get(&self.key).copied().unwrap_or(0);
        match (before, retract) {
            (0, true) => false,
            (1, true) => values.remove(&self.key).is_some(),
            (_, true) => values.insert(self.key.clone(), before - 1).is_none(),
            (_, false) => values.insert(self.key.clone(), before + 1).is_none(),
        }
    }

    pub(super) fn finish(&self, out: &mut RowWriter<'_>) {
        self.call.finish(&self.fixed, &self.texts, out);
    }

    /// Appends what it has found.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.fixed);
        pack(&self.texts, out);
        if let Some(Values { times: values, .. }) = &self.values {
            out.extend_from_slice(&(values.len() as u32).to_le_bytes());
            for (value, times) in values {
                out.extend_from_slice(&(value.len() as u32).to_le_bytes());
                out.extend_from_slice(value);
                out.extend_from_slice(&times.to_le_bytes());
            }
        }
    }

    /// Takes off what another one has written; what is not there is nothing.
    pub(super) fn read(&mut self, from: &mut &[u8]) -> Result<(), TaskError> {
        if from.is_empty() {
            return Ok(());
        }
        let mut bytes = from.to_vec();
        unpack(&mut bytes, FIXED, &mut self.texts)?;
        self.fixed.copy_from_slice(bytes.get(..FIXED).ok_or_else(|| wrong(&"it is cut off"))?);
        let read = FIXED + self.texts.iter().map(|text| 4 + text.len()).sum::<usize>();
        *from = from.get(read..).unwrap_or(&[]);
        if let Some(Values { times: values, .. }) = &mut self.values {
            for _ in 0..place::number(from)? {
                let length = place::number(from)? as usize;
                let split = from.split_at_checked(length);
                let (value, rest) = split.ok_or_else(|| wrong(&"it is cut off"))?;
                let times = rest.split_first_chunk();
                let (times, rest) = times.ok_or_else(|| wrong(&"it is cut off"))?;
                values.insert(value.to_vec(), u64::from_le_bytes(*times));
                *from = rest;
            }
        }
        Ok(())
    }
}
