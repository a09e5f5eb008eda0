//! Joins of whatever has come on both sides.
//!
//! Each side keeps its rows in a list of their key, for those that the other will have. Where it matters whether
//! a row has a match (its side is [followed](Side::is_followed)), matches are counted. If keys alone decide, all
//! rows of a key have as many matches as the other side has rows: one count for each key. If there is a
//! condition, rows of which it needs the same have a count, in a map beside the list, so that a row of the other
//! side that comes or goes changes the counts of those that it matches, and no list is searched twice.

mod batch;

use std::sync::Arc;

use millstream_data::{
    page::{RowKind, ValidPage},
    row::RowLayout,
    types::Schema,
};
use millstream_dataflow::{
    TaskError,
    operator::rows::{Changes, Lists, Maps, Part, RowFunction, RowKeys, RowStates, Values},
};

use super::{BATCH, is_retraction, never_came, pairs::Condition};
use crate::relation::{JoinKind, Life};
use batch::Batch;

/// What is joined with what.
#[derive(Clone, Debug)]
pub(super) struct Joining {
    /// Columns that are NULL in a row without a match may be NULL.
    pub(super) inputs: [Schema; 2],
    pub(super) keys: [Vec<usize>; 2],
    pub(super) kind: JoinKind,
    pub(super) condition: Option<Condition>,
    /// How long rows of each input are kept; one that follows matches has a condition, if they are not kept for
    /// ever.
    pub(super) life: Life,
}

/// A join of two inputs that may insert, update and delete.
pub(super) struct Join {
    kind: JoinKind,
    condition: Option<Condition>,
    sides: [Side; 2],
    batch: Batch,
}

struct Side {
    /// 0 for the left, 1 for the right.
    number: usize,
    keys: RowKeys,
    layout: Arc<RowLayout>,
    /// Whether it matters if rows have a match.
    is_followed: bool,
    /// Its rows, unless counting them is enough.
    rows: Option<Lists>,
    /// How many rows of a key there are, if the other side is followed, and keys decide what matches.
    count: Option<Values>,
    /// By what the condition [needs](Condition::needed) of rows: how many there are, and how many of the other
    /// side match them. If this side is followed, and there is a condition.
    matches: Option<Maps>,
    /// What stands in place of a row of this side where the other's has no match.
    blank: Vec<u8>,
    /// Whether rows expire, and may be taken back later.
    expires: bool,
}

impl Join {
    /// The join, which has got no rows yet.
    pub(super) fn open(plan: &Joining, states: &mut RowStates) -> Result<Self, TaskError> {
        let Joining { kind, condition, .. } = plan;
        let has_condition = condition.is_some();
        let mut side = |at: usize, name: &str| {
            let (schema, is_left) = (&plan.inputs[at], at == 0);
            states.expire_after(plan.life[at]);
            let followed = |left: bool| match (kind, left) {
                (JoinKind::Semi, left) => left,
                (_, true) => kind.keeps_lonely()[0],
                (_, false) => kind.keeps_lonely()[1],
            };
            let is_followed = followed(is_left);
            // NULL is equal to nothing.
            let keys = states.keys(schema, &plan.keys[at], false);
            let rows = (is_left || kind.has_pairs() || has_condition)
                .then(|| states.lists(name, &keys, schema));
            let count = (followed(!is_left) && !has_condition)
                .then(|| states.values(&format!("{name} count"), &keys, Some(8)));
            let matches = (is_followed && has_condition)
                .then(|| states.maps(&format!("{name} matches"), &keys, 16));
            let layout = RowLayout::new(schema);
            let mut blank = Vec::new();
            if is_left || kind.has_pairs() {
                layout
                    .write(&mut blank, |row| (0..layout.columns()).for_each(|_| row.leave_empty()));
            }
            Ok::<_, TaskError>(Side {
                number: at,
                keys,
                layout: Arc::new(layout),
                is_followed,
                rows: rows.transpose()?,
                count: count.transpose()?,
                matches: matches.transpose()?,
                blank,
                expires: states.expire(),
            })
        };
        let sides = [side(0, "left")?, side(1, "right")?];
        Ok(Self { kind: *kind, condition: condition.clone(), sides, batch: Batch::default() })
    }
}

impl RowFunction for Join {
    fn parts(&self) -> [Arc<RowLayout>; 2] {
        let [left, right] = self.sides.each_ref().map(|side| Arc::clone(&side.layout));
        match self.kind.has_pairs() {
            true => [left, right],
            false => [left, Arc::new(RowLayout::new(&Schema::default()))],
        }
    }

    fn take(
        &mut self,
        input: u16,
        page: &ValidPage<'_>,
        start: usize,
        states: &mut RowStates,
        out: &mut Changes,
    ) -> Result<usize, TaskError> {
        let Self { kind, condition, sides: [left, right], batch } = self;
        let condition = condition.as_ref();
        let is_left = input == 0;
        let (own, other) = if is_left { (left, right) } else { (right, left) };
        // A row that is taken back may have come just before.
        let rows_at_once = page.rows().min(start + BATCH);
        let inserts = (start..rows_at_once).take_while(|row| !is_retraction(page, *row)).count();
        let goes = inserts == 0;
        let mut end = own.keys.take(page, start, inserts.max(1))?;
        batch.gather(own, page)?;
        let emits_all = kind.has_pairs() && condition.is_none();
        if let Some(first) = batch.find(own, other, states, emits_all.then_some(&mut *out))? {
            end = first;
        }
        if let Some(condition) = condition {
            batch.retain(condition, [&own.layout, &other.layout], is_left)?;
        }
        match (own.count, condition) {
            (Some(count), _) => batch.turn_keys(count, own, goes, states)?,
            (None, Some(condition)) => {
                batch.turn_rows(condition, [own, other], goes, states)?;
            }
            (None, None) => {}
        }
        let emission = Emission::new(*kind, is_left, goes, [&own.blank, &other.blank], out);
        emission.all(batch, own, page, start..end)?;
        let was_there = own.keep(batch, goes, states)?;
        if let (Some(matches), Some(condition), true) = (own.matches, condition, was_there) {
            own.count(batch, (matches, condition), goes, states)?;
        }
        Ok(end)
    }
}

impl Side {
    /// Keeps the rows at hand, or forgets the one that goes; `false` if that has expired.
    fn keep(&self, batch: &Batch, goes: bool, states: &mut RowStates) -> Result<bool, TaskError> {
        if let Some(rows) = self.rows {
            match (goes, self.keys.is_empty()) {
                (_, true) => {}
                (false, _) => states.append(rows, &self.keys, &batch.ends, &batch.bytes)?,
                (true, _) if states.remove_row(rows, &self.keys, 0, &batch.bytes)? => {}
                (true, _) if self.expires => return Ok(false),
                (true, _) => return Err(never_came("join")),
            }
        }
        Ok(true)
    }

    /// Counts the rows at hand, or the one that goes, with their matches.
    fn count(
        &self,
        batch: &Batch,
        (matches, condition): (Maps, &Condition),
        goes: bool,
        states: &mut RowStates,
    ) -> Result<(), TaskError> {
        let (mut needed, mut kept) = (Vec::new(), Vec::new());
        for index in 0..self.keys.len() {
            needed.clear();
            condition.needed(self.number, &self.layout, batch.row(index), &mut needed)?;
            let at = (index, &needed[..]);
            let rows = match states.entry(matches, &self.keys, at, &mut kept)? {
                true => Counts::of(&kept)?.rows,
                false => 0,
            };
            let rows = if goes { rows.checked_sub(1) } else { rows.checked_add(1) };
            let rows = rows.ok_or_else(|| never_came("join"))?;
            let counts = Counts { rows, matches: batch.matches(index) }.bytes();
            let counts = (rows > 0).then_some(&counts[..]);
            states.put_entry(matches, &self.keys, at, counts)?;
        }
        Ok(())
    }
}

/// What is counted of rows of a key of which the condition needs the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counts {
    /// How many there are.
    rows: u64,
    /// How many rows of the other side match each.
    matches: u64,
}

impl Counts {
    fn of(bytes: &[u8]) -> Result<Self, TaskError> {
        match bytes.as_chunks() {
            ([rows, matches], []) => {
                let number = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
                Ok(Self { rows: number(rows), matches: number(matches) })
            }
            _ => Err(TaskError::new(format!(
                "the state of a join is damaged: counts of rows have {} bytes",
                bytes.len()
            ))),
        }
    }

    fn bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.rows.to_le_bytes());
        bytes[8..].copy_from_slice(&self.matches.to_le_bytes());
        bytes
    }
}

/// Says what rows that come or go change.
struct Emission<'a> {
    kind: JoinKind,
    is_left: bool,
    goes: bool,
    out: &'a mut Changes,
    /// What stands in place of a row of the own side, and of the other.
    blank: Part,
    other_blank: Part,
}

impl<'a> Emission<'a> {
    fn new(
        kind: JoinKind,
        is_left: bool,
        goes: bool,
        [own, other]: [&[u8]; 2],
        out: &'a mut Changes,
    ) -> Self {
        let (blank, other_blank) = (out.keep(own), out.keep(other));
        Self { kind, is_left, goes, out, blank, other_blank }
    }

    /// Rows that have matches and those that have not, in order. Where a row that comes is the first match of one
    /// of the other side, what that was without goes before.
    fn all(
        mut self,
        batch: &Batch,
        own: &Side,
        page: &ValidPage<'_>,
        rows: std::ops::Range<usize>,
    ) -> Result<(), TaskError> {
        let reader = batch::reader(own, page)?;
        let mut with_keys = own.keys.rows().iter().enumerate().peekable();
        let mut found = batch.found().peekable();
        let mut bytes = Vec::new();
        for row in rows {
            let index = with_keys.next_if(|(_, with)| **with as usize == row);
            let Some((index, _)) = index else {
                // A row with NULL in its key matches nothing, now and later, and is not kept.
                if own.is_followed {
                    bytes.clear();
                    reader.gather(row, &mut bytes);
                    self.own(&bytes, 0);
                }
                continue;
            };
            if own.is_followed {
                self.own(batch.row(index), batch.matches(index));
            }
            let mut mine = None;
            while let Some(other) = found.next_if(|found| found.index == index) {
                if self.kind.has_pairs() || other.turns {
                    let mine = *mine.get_or_insert_with(|| self.out.keep(batch.row(index)));
                    let part = other.part.unwrap_or_else(|| self.out.keep(batch.bytes_of(other)));
                    self.pair(mine, part, other.turns, page.row_kind(row));
                }
            }
        }
        Ok(())
    }

    /// What a row of a side that is followed is by itself.
    fn own(&mut self, row: &[u8], matches: u64) {
        if (matches > 0) == (self.kind == JoinKind::Semi) {
            let row = self.out.keep(row);
            let blank = self.other_blank;
            self.emit(self.change(), row, blank);
        }
    }

    /// Two rows that match; for the other it is the first match that comes, or the last one that goes, if it
    /// `turns`.
    fn pair(&mut self, mine: Part, other: Part, turns: bool, kind: RowKind) {
        let (change, blank) = (self.change(), self.blank);
        match self.kind {
            JoinKind::Inner => self.emit(kind, mine, other),
            JoinKind::Semi => self.emit(change, blank, other),
            JoinKind::Anti => self.emit(opposite(change), blank, other),
            _ if !turns => self.emit(change, mine, other),
            _ if self.goes => {
                self.emit(change, mine, other);
                self.emit(opposite(change), blank, other);
            }
            _ => {
                self.emit(opposite(change), blank, other);
                self.emit(change, mine, other);
            }
        }
    }

    fn change(&self) -> RowKind {
        if self.goes { RowKind::Delete } else { RowKind::Insert }
    }

    fn emit(&mut self, kind: RowKind, own: Part, other: Part) {
        let (first, second) = if self.is_left { (own, other) } else { (other, own) };
        self.out.emit(kind, first, second);
    }
}

fn opposite(kind: RowKind) -> RowKind {
    match kind {
        RowKind::Insert => RowKind::Delete,
        _ => RowKind::Insert,
    }
}

#[cfg(test)]
mod tests;
