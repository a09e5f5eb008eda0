//! The first rows of each partition.

mod ordered;
mod window;

use std::sync::Arc;

use millstream_data::{
    order::{Direction, Nulls, RowOrder, SortField},
    page::{RowKind, ValidPage},
    row::{PageRows, RowLayout},
    types::{DataType, Field, Schema},
};
use millstream_dataflow::{
    TaskError,
    operator::rows::{Changes, Part, RowFunction, RowKeys, RowStates, Values},
};

pub(super) use ordered::OrderedTopN;
pub(super) use window::RankFold;

use super::{BATCH, Changing};
use crate::{error::SqlError, relation::OrderKey};

/// Rows that are kept of a partition at most: all of them are one value of the state.
const LIMIT_MAX: usize = 1000;

/// Which rows come first, as [`Rel::TopN`](crate::relation::Rel::TopN) has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order<'a> {
    pub(crate) order: &'a [OrderKey],
    pub(crate) limit: u64,
    pub(crate) rank: bool,
    pub(crate) latest: bool,
}

/// The same, ready to be computed.
#[derive(Clone, Debug)]
pub(super) struct Ranking {
    input: Schema,
    partition: Vec<usize>,
    /// What rows are ordered by; nothing if the first rows are those that came first.
    by: Vec<SortField>,
    order: Arc<RowOrder>,
    limit: usize,
    rank: bool,
    latest: bool,
}

impl Ranking {
    pub(super) fn new(
        input: &Schema,
        partition: &[usize],
        Order { order, limit, rank, latest }: Order<'_>,
    ) -> Result<Self, SqlError> {
        Ok(Self {
            input: input.clone(),
            by: sort_fields(order),
            partition: partition.into(),
            order: Arc::new(row_order(input, order)?),
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            rank,
            latest,
        })
    }

    /// Whether the first rows are few, and none ever leaves them but for a better one: they are one value then.
    pub(super) fn is_small(&self) -> bool {
        !self.input.row_kinds && self.limit <= LIMIT_MAX && !self.by.is_empty()
    }

    /// Refuses what cannot be one value.
    pub(super) fn check_small(&self) -> Result<(), SqlError> {
        match self.limit <= LIMIT_MAX {
            true => Ok(()),
            false => Err(SqlError::new(format!(
                "the first {} rows of a window are not supported yet: at most {LIMIT_MAX}",
                self.limit
            ))),
        }
    }

    /// How many of the rows that are kept stay in front of one with this sort key.
    fn in_front(&self, bytes: &[u8], sort_key: &[u8]) -> usize {
        let stays = |kept: &Kept<'_>| match self.latest {
            true => kept.sort_key < sort_key,
            false => kept.sort_key <= sort_key,
        };
        kept(bytes).take_while(stays).count()
    }

    /// The layouts of a row, and of its rank.
    fn layouts(&self) -> [Arc<RowLayout>; 2] {
        let rank = self.rank.then(|| Field::new("rank", DataType::Int64));
        let rank = Schema::new(rank.into_iter().collect());
        [Arc::new(RowLayout::new(&self.input)), Arc::new(RowLayout::new(&rank))]
    }
}

/// The columns that rows are ordered by, as the engine has them.
fn sort_fields(order: &[OrderKey]) -> Vec<SortField> {
    let field = |key: &OrderKey| SortField {
        field: key.column,
        direction: if key.descending { Direction::Descending } else { Direction::Ascending },
        nulls: if key.nulls_first { Nulls::First } else { Nulls::Last },
    };
    order.iter().map(field).collect()
}

/// The order of rows of these columns.
pub(super) fn row_order(input: &Schema, order: &[OrderKey]) -> Result<RowOrder, SqlError> {
    RowOrder::new(input, &RowLayout::new(input), &sort_fields(order))
        .map_err(|error| SqlError::new(error.to_string()))
}

/// Keeps the first rows of each partition, in order, and emits how they change.
///
/// What is kept of a partition is a list of rows, each behind its sort key, with the lengths of both.
pub(super) struct TopN {
    plan: Ranking,
    keys: RowKeys,
    layout: Arc<RowLayout>,
    rank: Arc<RowLayout>,
    first: Values,
    /// Whether rows are emitted when the input has ended; else each change is when it comes.
    once: bool,
    upserts: bool,
    /// The key group that is to be emitted next then.
    next: u32,
    /// What is kept of the partition at hand.
    kept: Vec<u8>,
    sort_key: Vec<u8>,
    row: Vec<u8>,
}

impl TopN {
    pub(super) fn open(
        plan: &Ranking,
        Changing { once, upserts, .. }: Changing,
        states: &mut RowStates,
    ) -> Result<Self, TaskError> {
        let keys = states.keys(&plan.input, &plan.partition, true);
        let first = states.values("first", &keys, None)?;
        let [layout, rank] = plan.layouts();
        Ok(Self {
            layout,
            rank,
            plan: plan.clone(),
            keys,
            first,
            once,
            upserts,
            next: states.groups().start,
            kept: Vec::new(),
            sort_key: Vec::new(),
            row: Vec::new(),
        })
    }
}

/// A row that is kept.
#[derive(Clone, Copy)]
struct Kept<'a> {
    sort_key: &'a [u8],
    row: &'a [u8],
    /// Where it begins and ends.
    begin: usize,
    end: usize,
}

/// The rows that are kept, in order.
fn kept(bytes: &[u8]) -> impl Iterator<Item = Kept<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let begin = at;
        let mut part = || {
            let length =
                bytes.get(at..)?.first_chunk().map(|length| u32::from_le_bytes(*length))?;
            let part = bytes.get(at + 4..at + 4 + length as usize)?;
            at += 4 + part.len();
            Some(part)
        };
        let (sort_key, row) = (part()?, part()?);
        Some(Kept { sort_key, row, begin, end: at })
    })
}

impl RowFunction for TopN {
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
        let Self { plan, keys, layout, first, once, kept: bytes, sort_key, row, .. } = self;
        let rows = PageRows::new(layout, page);
        let rows = rows.map_err(|error| TaskError::new(format!("a page of a Top-N: {error}")))?;
        states.read_ahead(*first, keys);
        for (index, number) in keys.rows().iter().enumerate() {
            if out.is_large() {
                return Ok(*number as usize);
            }
            let number = *number as usize;
            sort_key.clear();
            plan.order.put_key(&rows.at(number), sort_key);
            states.read(*first, keys, index, bytes)?;
            let before = plan.in_front(bytes, sort_key);
            if before >= plan.limit {
                continue;
            }
            row.clear();
            rows.gather(number, row);
            if !*once {
                emit(plan, bytes, (before, row), out);
            }
            insert(plan.limit, bytes, before, (sort_key, row));
            states.put(*first, keys, index, bytes)?;
        }
        Ok(end)
    }

    fn advance(&mut self, states: &mut RowStates, out: &mut Changes) -> Result<bool, TaskError> {
        let Self { plan, keys, first, once, next, .. } = self;
        if !*once || !states.is_over() {
            return Ok(true);
        }
        while *next < states.groups().end {
            states.drain(*first, *next, keys, |_, bytes| {
                for (row, number) in kept(bytes).zip(1_i64..) {
                    let number = number.to_le_bytes();
                    let rank = out.keep(if plan.rank { &number } else { &[] });
                    let row = out.keep(row.row);
                    out.emit(RowKind::Insert, row, rank);
                }
            })?;
            *next += 1;
            if out.is_large() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// A rank as it is emitted, nothing if nobody asks for it.
fn number(plan: &Ranking, out: &mut Changes, rank: usize) -> Part {
    match plan.rank {
        true => out.keep(&(rank as i64).to_le_bytes()),
        false => out.keep(&[]),
    }
}

/// Emits that a row comes behind so many of those that are kept.
fn emit(plan: &Ranking, bytes: &[u8], (before, row): (usize, &[u8]), out: &mut Changes) {
    let rank = |out: &mut Changes, rank: usize| number(plan, out, rank);
    if !plan.rank {
        let last = kept(bytes).nth(plan.limit - 1);
        let (none, kind) = (
            rank(out, 0),
            if plan.limit == 1 && last.is_some() {
                (RowKind::UpdateBefore, RowKind::UpdateAfter)
            } else {
                (RowKind::Delete, RowKind::Insert)
            },
        );
        if let Some(last) = last
            && out.says(kind.0)
        {
            let last = out.keep(last.row);
            out.emit(kind.0, last, none);
        }
        let row = out.keep(row);
        return out.emit(kind.1, row, none);
    }
    // Each rank from here on has another row now, and the last one may be new.
    let mut next = out.keep(row);
    let mut at = before + 1;
    for moved in kept(bytes).skip(before) {
        let (old, number) = (out.keep(moved.row), rank(out, at));
        out.emit(RowKind::UpdateBefore, old, number);
        out.emit(RowKind::UpdateAfter, next, number);
        next = old;
        at += 1;
    }
    if at <= plan.limit {
        let number = rank(out, at);
        out.emit(RowKind::Insert, next, number);
    }
}

/// Keeps a row behind so many others, without what is then behind the limit.
fn insert(limit: usize, bytes: &mut Vec<u8>, before: usize, (sort_key, row): (&[u8], &[u8])) {
    let full = kept(bytes).nth(limit - 1).map(|last| last.begin);
    if let Some(begin) = full {
        bytes.truncate(begin);
    }
    let at =
        before.checked_sub(1).and_then(|last| kept(bytes).nth(last)).map_or(0, |kept| kept.end);
    let mut entry = Vec::with_capacity(8 + sort_key.len() + row.len());
    put_kept(&mut entry, sort_key, row);
    bytes.splice(at..at, entry);
}

/// Appends a row that is kept.
fn put_kept(bytes: &mut Vec<u8>, sort_key: &[u8], row: &[u8]) {
    for part in [sort_key, row] {
        bytes.extend_from_slice(&(part.len() as u32).to_le_bytes());
        bytes.extend_from_slice(part);
    }
}
