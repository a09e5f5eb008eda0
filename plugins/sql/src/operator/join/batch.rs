//! Rows that a join takes at once, with those of the other side that they match.

use std::{collections::HashMap, ops::Range};

use millstream_data::{
    page::ValidPage,
    row::{PageRows, Row, RowLayout},
};
use millstream_dataflow::{
    TaskError,
    operator::rows::{Changes, Part, RowStates, Values},
};

use super::{Counts, Side};
use crate::operator::{
    never_came,
    pairs::{Condition, damaged},
};

/// Bytes of rows that are found from which on no more are looked for.
const LARGE: usize = 1 << 20;
/// Pairs that a condition is computed for at once.
const PAIRS: usize = 4096;

/// The rows at hand that have keys, one after another, and what was found for them.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    /// Where each row ends.
    pub(super) ends: Vec<u32>,
    /// How many rows of the other side match each.
    matches: Vec<u64>,
    /// In the order of the rows.
    found: Vec<Found>,
    found_bytes: Vec<u8>,
    kept: Vec<u8>,
}

/// A row of the other side.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    /// The row at hand that it was found for.
    pub(super) index: usize,
    begin: usize,
    end: usize,
    /// Where it is kept to be emitted, if that is certain; its bytes are nowhere else then.
    pub(super) part: Option<Part>,
    /// Whether it had no match before, or has none now.
    pub(super) turns: bool,
}

/// The rows of a page of a side.
pub(super) fn reader<'a>(side: &'a Side, page: &ValidPage<'a>) -> Result<PageRows<'a>, TaskError> {
    PageRows::new(&side.layout, page)
        .map_err(|error| TaskError::new(format!("a page of a join: {error}")))
}

impl Batch {
    /// Takes the rows of a page whose keys were taken.
    pub(super) fn gather(&mut self, own: &Side, page: &ValidPage<'_>) -> Result<(), TaskError> {
        let rows = reader(own, page)?;
        self.bytes.clear();
        self.ends.clear();
        for row in own.keys.rows() {
            rows.gather(*row as usize, &mut self.bytes);
            self.ends.push(self.bytes.len() as u32);
        }
        self.matches.clear();
        self.matches.resize(own.keys.len(), 0);
        self.found.clear();
        self.found_bytes.clear();
        Ok(())
    }

    /// Finds the rows of the other side that have the same keys, and keeps them in `out` if there is one, because
    /// each will be emitted. If these are many, the rows at hand become fewer: gives the first row of the page that
    /// is left for later.
    pub(super) fn find(
        &mut self,
        own: &mut Side,
        other: &Side,
        states: &mut RowStates,
        mut out: Option<&mut Changes>,
    ) -> Result<Option<usize>, TaskError> {
        let Self { bytes, ends, matches, found, found_bytes, kept, .. } = self;
        let Some(rows) = other.rows else {
            // There are no pairs: it is enough to know whether there is a match.
            let Some(count) = other.count else { return Ok(None) };
            for (index, matches) in matches.iter_mut().enumerate() {
                if states.read(count, &own.keys, index, kept)? {
                    *matches = number(kept)?;
                }
            }
            return Ok(None);
        };
        let mut size = 0;
        let done = states.rows(rows, &own.keys, |index, row| {
            let begin = found_bytes.len();
            let part = out.as_mut().map(|out| out.keep(row));
            if part.is_none() {
                found_bytes.extend_from_slice(row);
            }
            found.push(Found { index, begin, end: found_bytes.len(), part, turns: false });
            matches[index] += 1;
            size += row.len();
            size < LARGE
        })?;
        let Some(first) = own.keys.rows().get(done).map(|row| *row as usize) else {
            return Ok(None);
        };
        own.keys.truncate(done);
        ends.truncate(done);
        bytes.truncate(ends.last().map_or(0, |end| *end as usize));
        matches.truncate(done);
        Ok(Some(first))
    }

    /// Keeps those that were found for which the condition is true.
    pub(super) fn retain(
        &mut self,
        condition: &Condition,
        [own, other]: [&RowLayout; 2],
        is_left: bool,
    ) -> Result<(), TaskError> {
        let (mut mine, mut others): (Vec<Row<'_>>, Vec<Row<'_>>) = Default::default();
        let mut holds = Vec::with_capacity(self.found.len());
        for found in self.found.chunks(PAIRS) {
            mine.clear();
            others.clear();
            for found in found {
                mine.push(own.trusted(self.row(found.index)).map_err(|error| damaged(&error))?);
                others.push(other.trusted(self.bytes_of(found)).map_err(|error| damaged(&error))?);
            }
            let pairs = if is_left { [&mine[..], &others] } else { [&others[..], &mine] };
            holds.extend(condition.holds(pairs)?.values().iter());
        }
        self.matches.fill(0);
        let mut holds = holds.into_iter();
        self.found.retain(|found| {
            let holds = holds.next() == Some(true);
            self.matches[found.index] += u64::from(holds);
            holds
        });
        Ok(())
    }

    /// Counts the rows of each key, and marks those that were found which had no match before, or have none now.
    pub(super) fn turn_keys(
        &mut self,
        count: Values,
        own: &Side,
        goes: bool,
        states: &mut RowStates,
    ) -> Result<(), TaskError> {
        // For each row whether it is the first of its key to come, or the last to go.
        let mut turns = Vec::with_capacity(own.keys.len());
        let mut came = true;
        states.update(count, &own.keys, &[0; 8], |_, value| {
            let changed = value.first_chunk_mut().and_then(|bytes| {
                let before = u64::from_le_bytes(*bytes);
                let after = if goes { before.checked_sub(1) } else { before.checked_add(1) }?;
                *bytes = after.to_le_bytes();
                Some(before.min(after) == 0)
            });
            came &= changed.is_some();
            turns.push(changed == Some(true));
        })?;
        if !came {
            return Err(never_came("join"));
        }
        if goes && turns.first() == Some(&true) {
            states.remove(count, &own.keys, 0)?;
        }
        for found in &mut self.found {
            found.turns = turns.get(found.index) == Some(&true);
        }
        Ok(())
    }

    /// Counts the rows at hand as matches of those that were found, and marks these that had none before, or have
    /// none now.
    pub(super) fn turn_rows(
        &mut self,
        condition: &Condition,
        [own, other]: [&Side; 2],
        goes: bool,
        states: &mut RowStates,
    ) -> Result<(), TaskError> {
        let Some(matches) = other.matches else { return Ok(()) };
        let Self { found, found_bytes, kept, .. } = self;
        // What the row at hand has changed: rows of which the condition needs the same change together.
        let mut changed: HashMap<Vec<u8>, bool> = HashMap::new();
        let (mut at_hand, mut needed) = (None, Vec::new());
        for found in found {
            if at_hand.replace(found.index) != Some(found.index) {
                changed.clear();
            }
            let row = found_bytes.get(found.begin..found.end).unwrap_or(&[]);
            needed.clear();
            condition.needed(other.number, &other.layout, row, &mut needed)?;
            if let Some(turns) = changed.get(&needed) {
                found.turns = *turns;
                continue;
            }
            let at = (found.index, &needed[..]);
            if !states.entry(matches, &own.keys, at, kept)? {
                if other.expires {
                    continue;
                }
                return Err(TaskError::new("the state of a join is damaged: a row has no count"));
            }
            let Counts { rows, matches: before } = Counts::of(kept)?;
            let after = match goes {
                // A match that has expired was not counted by rows that came behind it.
                true if own.expires => Some(before.saturating_sub(1)),
                true => before.checked_sub(1),
                false => before.checked_add(1),
            };
            let after = after.ok_or_else(|| never_came("join"))?;
            let counts = Counts { rows, matches: after }.bytes();
            states.put_entry(matches, &own.keys, at, Some(&counts))?;
            found.turns = before != after && before.min(after) == 0;
            changed.insert(needed.clone(), found.turns);
        }
        Ok(())
    }

    /// What was found, in the order of the rows at hand.
    pub(super) fn found(&self) -> impl Iterator<Item = &Found> {
        self.found.iter()
    }

    pub(super) fn bytes_of(&self, found: &Found) -> &[u8] {
        self.found_bytes.get(found.begin..found.end).unwrap_or(&[])
    }

    /// The bytes of a row at hand.
    pub(super) fn row(&self, index: usize) -> &[u8] {
        let before = index.checked_sub(1).and_then(|before| self.ends.get(before));
        let range = |end: &u32| before.map_or(0, |end| *end as usize)..*end as usize;
        let range: Range<usize> = self.ends.get(index).map_or(0..0, range);
        self.bytes.get(range).unwrap_or(&[])
    }

    /// How many rows of the other side match a row at hand.
    pub(super) fn matches(&self, index: usize) -> u64 {
        self.matches.get(index).copied().unwrap_or(0)
    }
}

/// A count as it is kept.
fn number(bytes: &[u8]) -> Result<u64, TaskError> {
    bytes.first_chunk().map(|bytes| u64::from_le_bytes(*bytes)).ok_or_else(|| {
        TaskError::new(format!("the state of a join is damaged: a count has {} bytes", bytes.len()))
    })
}
