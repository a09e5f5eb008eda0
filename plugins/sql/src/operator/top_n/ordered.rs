//! The first rows of each partition where they may be many, or change.
//!
//! All rows of a partition are kept, as entries of an ordered map: by their sort key, and those that are equal in it
//! in the order in which they came, or the other way round. If rows only ever come, those behind the limit are dropped. A row behind the
//! last of the first ones, whose entry is kept beside the map, costs an entry and no search.

use std::sync::Arc;

use millstream_data::{
    page::{RowKind, ValidPage},
    row::{PageRows, RowLayout},
};
use millstream_dataflow::{
    TaskError,
    operator::rows::{Changes, Maps, RowFunction, RowKeys, RowStates, Values},
};

use super::{Ranking, emit, number, put_kept};
use crate::operator::{BATCH, Changing, is_retraction, never_came};

/// Bytes of the number behind each sort key.
const NUMBER: usize = 8;

/// Keeps the rows of each partition in order, and emits how the first ones change.
pub(in crate::operator) struct OrderedTopN {
    plan: Ranking,
    keys: RowKeys,
    layout: Arc<RowLayout>,
    rank: Arc<RowLayout>,
    /// By sort key and number.
    rows: Maps,
    heads: Values,
    /// Whether rows expire.
    expires: bool,
    upserts: bool,
    head: Head,
    scratch: Scratch,
}

/// What is known of a partition.
#[derive(Debug, Default)]
struct Head {
    /// The number of the row that comes next.
    next: u64,
    /// How many rows there are.
    rows: u64,
    /// The entry of the last of the first rows: that at the limit, or else of the last row.
    last: Vec<u8>,
}

#[derive(Debug, Default)]
struct Scratch {
    entry: Vec<u8>,
    row: Vec<u8>,
    head: Vec<u8>,
    /// The first rows, as [`put_kept`] puts them.
    first: Vec<u8>,
    other: Vec<u8>,
}

impl Head {
    fn read(&mut self, bytes: &[u8]) {
        let Self { next, rows, last } = self;
        let number = |at: usize| bytes.get(at..).and_then(<[u8]>::first_chunk);
        *next = number(0).map_or(0, |number| u64::from_le_bytes(*number));
        *rows = number(8).map_or(0, |number| u64::from_le_bytes(*number));
        last.clear();
        last.extend_from_slice(bytes.get(16..).unwrap_or(&[]));
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.clear();
        bytes.extend_from_slice(&self.next.to_le_bytes());
        bytes.extend_from_slice(&self.rows.to_le_bytes());
        bytes.extend_from_slice(&self.last);
    }
}

impl OrderedTopN {
    pub(in crate::operator) fn open(
        plan: &Ranking,
        Changing { upserts, .. }: Changing,
        states: &mut RowStates,
    ) -> Result<Self, TaskError> {
        let keys = states.keys(&plan.input, &plan.partition, true);
        let rows = states.ordered("rows", &keys)?;
        let heads = states.values("heads", &keys, None)?;
        let [layout, rank] = plan.layouts();
        let (head, scratch) = (Head::default(), Scratch::default());
        let (plan, expires) = (plan.clone(), states.expire());
        Ok(Self { plan, keys, layout, rank, rows, heads, expires, upserts, head, scratch })
    }
}

impl RowFunction for OrderedTopN {
    fn parts(&self) -> [Arc<RowLayout>; 2] {
        [Arc::clone(&self.layout), Arc::clone(&self.rank)]
    }

    fn upserts(&self) -> bool {
        self.upserts
    }

    fn take(
        &mut self,
        _input: u16,
        page: &ValidPage<'_>,
        start: usize,
        states: &mut RowStates,
        out: &mut Changes,
    ) -> Result<usize, TaskError> {
        let end = self.keys.take(page, start, BATCH)?;
        let Self { plan, keys, layout, rows: map, heads, expires, head, scratch, .. } = self;
        let rows = PageRows::new(layout, page);
        let rows = rows.map_err(|error| TaskError::new(format!("a page of a Top-N: {error}")))?;
        states.read_ahead(*heads, keys);
        for (index, row) in keys.rows().iter().enumerate() {
            if out.is_large() {
                return Ok(*row as usize);
            }
            let row = *row as usize;
            scratch.entry.clear();
            plan.order.put_key(&rows.at(row), &mut scratch.entry);
            scratch.row.clear();
            rows.gather(row, &mut scratch.row);
            states.read(*heads, keys, index, &mut scratch.head)?;
            head.read(&scratch.head);
            let expires = *expires;
            let mut partition =
                Partition { plan, states, keys, index, map: *map, expires, head, out };
            partition.forget()?;
            if is_retraction(page, row) {
                partition.remove(scratch)?;
            } else if !partition.insert(scratch)? {
                continue;
            }
            if head.rows == 0 {
                states.remove(*heads, keys, index)?;
            } else {
                head.write(&mut scratch.head);
                states.put(*heads, keys, index, &scratch.head)?;
            }
        }
        Ok(end)
    }
}

/// The partition of the row at hand.
struct Partition<'a> {
    plan: &'a Ranking,
    states: &'a mut RowStates,
    keys: &'a RowKeys,
    index: usize,
    map: Maps,
    expires: bool,
    head: &'a mut Head,
    out: &'a mut Changes,
}

impl Partition<'_> {
    /// Whether all first rows are there.
    fn is_full(&self) -> bool {
        self.head.rows >= self.plan.limit as u64
    }

    /// Whether rows are kept one by one: without an order those that come first stay, and are only counted.
    fn keeps_rows(&self) -> bool {
        self.plan.input.row_kinds || !self.plan.by.is_empty()
    }

    /// Counts the rows that have not expired.
    fn forget(&mut self) -> Result<(), TaskError> {
        if !self.expires || !self.keeps_rows() {
            return Ok(());
        }
        let (mut rows, limit) = (0, self.plan.limit as u64);
        let last = &mut self.head.last;
        last.clear();
        self.states.scan(self.map, self.keys, (self.index, &[]), |at, _| {
            rows += 1;
            if rows <= limit {
                last.clear();
                last.extend_from_slice(at);
            }
            true
        })?;
        self.head.rows = rows;
        Ok(())
    }

    /// A row comes, whose sort key is the entry; `false` if nothing has changed.
    fn insert(&mut self, scratch: &mut Scratch) -> Result<bool, TaskError> {
        let Scratch { entry, row, first, other, .. } = scratch;
        let changes = self.plan.input.row_kinds;
        // Of equal rows the latest is first if its number is the least.
        let place = if self.plan.latest { !self.head.next } else { self.head.next };
        entry.extend_from_slice(&place.to_be_bytes());
        let is_full = self.is_full();
        let is_behind = self.head.rows > 0 && *entry > self.head.last;
        if is_full && is_behind && !changes {
            return Ok(false);
        }
        self.head.next += 1;
        if is_full && is_behind {
            self.put(entry, Some(row))?;
            self.head.rows += 1;
            return Ok(true);
        }
        if is_behind || self.head.rows == 0 {
            // Nothing moves.
            let (row, rank) = (self.out.keep(row), self.head.rows as usize + 1);
            let rank = number(self.plan, self.out, rank);
            self.out.emit(RowKind::Insert, row, rank);
        } else if self.plan.rank {
            let before = self.first(first, entry)?;
            emit(self.plan, first, (before, row), self.out);
        } else {
            first.clear();
            if is_full {
                self.states.entry(self.map, self.keys, (self.index, &self.head.last), other)?;
            }
            self.replace(is_full.then_some(&other[..]), Some(row));
        }
        // Without an order the rows that come first stay, and nobody looks at them again.
        if self.keeps_rows() {
            self.put(entry, Some(row))?;
        }
        self.head.rows += 1;
        if is_behind || self.head.rows == 1 {
            self.head.last.clone_from(entry);
        } else if is_full {
            // The row in front of the last one is the last one now.
            other.clone_from(entry);
            let last = &self.head.last;
            self.states.scan(self.map, self.keys, (self.index, entry), |found, _| {
                if found < &last[..] {
                    other.clear();
                    other.extend_from_slice(found);
                }
                found < &last[..]
            })?;
            let old = std::mem::replace(&mut self.head.last, other.clone());
            if !changes {
                self.put(&old, None)?;
                self.head.rows -= 1;
            }
        }
        Ok(true)
    }

    /// A row goes, whose sort key is the entry.
    fn remove(&mut self, scratch: &mut Scratch) -> Result<(), TaskError> {
        let Scratch { entry, row, first, other, .. } = scratch;
        let (mut found, key, latest) = (false, entry.len(), self.plan.latest);
        let Self { states, keys, index, map, .. } = self;
        states.scan(*map, keys, (*index, &entry.clone()), |at, value| {
            let same = at.len() == key + NUMBER && at.get(..key) == entry.get(..key);
            if same && value == row {
                entry.clear();
                entry.extend_from_slice(at);
                found = true;
            }
            // As in Flink, of those that are the same the one goes that came first.
            same && (latest || !found)
        })?;
        if !found {
            return if self.expires { Ok(()) } else { Err(never_came("Top-N")) };
        }
        if self.is_full() && *entry > self.head.last {
            self.put(entry, None)?;
            self.head.rows -= 1;
            return Ok(());
        }
        // The first row behind the limit, if there is one, is the last one now.
        let enters = self.head.rows > self.plan.limit as u64;
        let mut last = Vec::new();
        if enters {
            let old = &self.head.last;
            self.states.scan(self.map, self.keys, (self.index, old), |at, value| {
                let is_old = at == &old[..];
                if !is_old {
                    last.extend_from_slice(at);
                    other.clear();
                    other.extend_from_slice(value);
                }
                is_old
            })?;
        }
        let enters = enters.then_some(&other[..]);
        if self.plan.rank {
            let at = self.first(first, entry)?;
            self.move_up(first, at, enters);
        } else {
            self.replace(Some(row), enters);
        }
        self.put(entry, None)?;
        self.head.rows -= 1;
        if enters.is_some() {
            self.head.last = last;
        } else if *entry == self.head.last {
            let last = &mut self.head.last;
            last.clear();
            self.states.scan(self.map, self.keys, (self.index, &[]), |at, _| {
                last.clear();
                last.extend_from_slice(at);
                true
            })?;
        }
        Ok(())
    }

    fn put(&mut self, entry: &[u8], row: Option<&[u8]>) -> Result<(), TaskError> {
        self.states.put_entry(self.map, self.keys, (self.index, entry), row)
    }

    /// Reads the first rows; gives how many are in front of an entry.
    fn first(&mut self, first: &mut Vec<u8>, entry: &[u8]) -> Result<usize, TaskError> {
        first.clear();
        let (mut before, mut left) = (0, self.plan.limit);
        self.states.scan(self.map, self.keys, (self.index, &[]), |at, row| {
            before += usize::from(at < entry);
            put_kept(first, &[], row);
            left -= 1;
            left > 0
        })?;
        Ok(before)
    }

    /// Emits that a row takes the place of another one among the first, whose ranks nobody asks for.
    fn replace(&mut self, old: Option<&[u8]>, new: Option<&[u8]>) {
        let none = self.out.keep(&[]);
        let kinds = match (old, new) {
            (Some(_), Some(_)) if self.plan.limit == 1 => {
                (RowKind::UpdateBefore, RowKind::UpdateAfter)
            }
            _ => (RowKind::Delete, RowKind::Insert),
        };
        for (row, kind) in [(old, kinds.0), (new, kinds.1)] {
            if let Some(row) = row {
                let row = self.out.keep(row);
                self.out.emit(kind, row, none);
            }
        }
    }

    /// Emits that the row behind so many of the first ones goes: each one behind it gets the rank in front.
    fn move_up(&mut self, first: &[u8], at: usize, enters: Option<&[u8]>) {
        let mut rank = at + 1;
        let mut rows = super::kept(first).skip(at).map(|kept| kept.row).chain(enters);
        let Some(row) = rows.next() else { return };
        let mut old = self.out.keep(row);
        for row in rows {
            let (new, number) = (self.out.keep(row), number(self.plan, self.out, rank));
            self.out.emit(RowKind::UpdateBefore, old, number);
            self.out.emit(RowKind::UpdateAfter, new, number);
            old = new;
            rank += 1;
        }
        // The last rank has got the row that enters, or none.
        if enters.is_none() {
            let number = number(self.plan, self.out, rank);
            self.out.emit(RowKind::Delete, old, number);
        }
    }
}
