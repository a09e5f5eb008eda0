//! Window joins over rows whose columns are known only at run time: [groups of two
//! streams](crate::operator::window::co_group) by key and window, joined when the window has ended.

use alloc::{sync::Arc, vec, vec::Vec};

use millstream_data::{
    page::{RowKind, ValidPage},
    row::RowLayout,
    types::Schema,
};
use millstream_state::{Backend, Column, Kind, StateId, StateSpec, description::Part, list};

use super::{
    Changes, RowFunction, RowKeys, RowStates,
    timed::{RowPairs, matching, rows_of, time_in},
};
use crate::{
    chain::TaskError,
    operator::window::panes::{Panes, Sweep},
    state::{Contents, KeyedState, TIME, namespace},
};

/// Rows that are taken at once, so that the misses of their keys overlap.
const BATCH: usize = 256;
/// Keys that are looked up together when a window has ended.
const READY: usize = 64;
/// Pairs that are compared at once, about.
const PAIRS: usize = 4096;

/// Which rows a window join gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowMatches {
    /// Pairs, and rows of each side without a match, if it keeps them, beside NULLs.
    Pairs([bool; 2]),
    /// Rows of the left that have a match.
    Semi,
    /// Rows of the left that have none.
    Anti,
}

/// Which rows of two inputs a window join pairs.
#[derive(Clone, Debug)]
pub struct RowWindowMatch {
    /// The columns of both; those of a side that may be without a match may be NULL.
    pub inputs: [Schema; 2],
    /// Columns of each, of the same types: they are equal, and not NULL.
    pub keys: [Vec<usize>; 2],
    /// The physical columns with the ends of the windows, in microseconds: rows of one window only have a match.
    pub ends: [usize; 2],
    /// What is emitted.
    pub matches: RowMatches,
}

/// A window join. A row is dropped where its window has ended.
pub struct RowWindowJoin<P> {
    pairs: Option<P>,
    matches: RowMatches,
    sides: [Side; 2],
    /// By key and window: that there are rows.
    windows: Panes,
    /// What is left of a window that is being emitted.
    sweep: Option<Sweep>,
    swept: RowKeys,
    /// Keys of the window that has ended, and how many of them are done.
    ready: RowKeys,
    done: usize,
    group: Group,
    /// Keys of rows at hand, the ends of their windows, and the rows.
    batch: RowKeys,
    ends: Vec<u8>,
    row_ends: Vec<u32>,
    bytes: Vec<u8>,
}

struct Side {
    keys: RowKeys,
    layout: Arc<RowLayout>,
    /// Bytes of a row, if all have as many.
    width: Option<usize>,
    column: usize,
    rows: StateId,
    /// What stands in place of a row of this side where the other's has no match.
    blank: Vec<u8>,
}

/// The rows of a key and window, and how far they are joined.
#[derive(Debug, Default)]
struct Group {
    lists: [Vec<u8>; 2],
    /// How many rows of the left are joined, and which of the right have had a match.
    joined: usize,
    matched: Vec<bool>,
}

impl<P: RowPairs> RowWindowJoin<P> {
    /// The join, which has got no rows yet; `pairs` says what must be true beside.
    ///
    /// # Errors
    /// If there is no memory for the state.
    pub fn open(
        plan: &RowWindowMatch,
        pairs: Option<P>,
        states: &mut RowStates,
    ) -> Result<Self, TaskError> {
        // NULL is equal to nothing.
        let keys = [0, 1].map(|at| states.keys(&plan.inputs[at], &plan.keys[at], false));
        let [left, right] = keys;
        let state = &mut states.state;
        let windows = Panes::register(state, "windows", left.width(), Some(0))?;
        windows.describe(state, Vec::new());
        let batch = left.clone();
        let sides = [
            Side::open(plan, (0, "left"), left, state)?,
            Side::open(plan, (1, "right"), right, state)?,
        ];
        Ok(Self {
            pairs,
            matches: plan.matches,
            sides,
            windows,
            sweep: None,
            swept: batch.clone(),
            ready: batch.clone(),
            done: 0,
            group: Group::default(),
            batch,
            ends: Vec::new(),
            row_ends: Vec::new(),
            bytes: Vec::new(),
        })
    }

    /// Joins the rows of the key at hand; `false` if that is not all.
    fn join(&mut self, out: &mut Changes) -> Result<bool, TaskError> {
        let Self { pairs, matches, sides: [first, second], group, .. } = self;
        let Group { lists, joined, matched } = group;
        let left: Vec<&[u8]> = list::elements(&lists[0], first.width).collect();
        let right: Vec<&[u8]> = list::elements(&lists[1], second.width).collect();
        matched.resize(right.len(), false);
        let at_once = (PAIRS / right.len().max(1)).max(1);
        while *joined < left.len() {
            let some = left.get(*joined..).unwrap_or(&[]);
            let some = some.get(..at_once).unwrap_or(some);
            let both: Vec<[&[u8]; 2]> =
                some.iter().flat_map(|l| right.iter().map(move |r| [*l, *r])).collect();
            let holds = matching(pairs.as_mut(), &both)?;
            for (number, row) in some.iter().enumerate() {
                let of_row = holds.iter().skip(number * right.len()).take(right.len());
                let found: Vec<usize> =
                    of_row.enumerate().filter(|(_, holds)| **holds).map(|(at, _)| at).collect();
                let mine = out.keep(row);
                let wanted = match matches {
                    RowMatches::Pairs([keeps, _]) => {
                        for at in &found {
                            let other = out.keep(right[*at]);
                            out.emit(RowKind::Insert, mine, other);
                            matched[*at] = true;
                        }
                        *keeps && found.is_empty()
                    }
                    RowMatches::Semi => !found.is_empty(),
                    RowMatches::Anti => found.is_empty(),
                };
                if wanted {
                    let blank = out.keep(&second.blank);
                    out.emit(RowKind::Insert, mine, blank);
                }
            }
            *joined += some.len();
            if out.is_large() {
                return Ok(false);
            }
        }
        if let RowMatches::Pairs([_, true]) = matches {
            for (row, _) in right.iter().zip(matched).filter(|(_, matched)| !**matched) {
                let (blank, row) = (out.keep(&first.blank), out.keep(row));
                out.emit(RowKind::Insert, blank, row);
            }
        }
        *group = Group::default();
        Ok(true)
    }
}

impl Side {
    fn open(
        plan: &RowWindowMatch,
        (at, name): (usize, &str),
        keys: RowKeys,
        state: &mut KeyedState,
    ) -> Result<Self, TaskError> {
        let schema = &plan.inputs[at];
        let layout = RowLayout::new(schema);
        let width = layout.is_fixed().then(|| layout.fixed_bytes());
        let rows = state.register(&StateSpec {
            name: name.into(),
            kind: Kind::List,
            key: keys.width(),
            namespace: Some(TIME),
            value: width,
        })?;
        let (namespace, value) = (vec![Part::Time], vec![Part::Row(schema.clone())]);
        state.describe(rows, Contents { namespace, value, ..Contents::default() });
        // Rows of the right do not come out of a join that only asks whether they are there.
        let comes_out = at == 0 || matches!(plan.matches, RowMatches::Pairs(_));
        let mut blank = Vec::new();
        if comes_out {
            layout.write(&mut blank, |row| (0..layout.columns()).for_each(|_| row.leave_empty()));
        }
        Ok(Self { keys, layout: Arc::new(layout), width, column: plan.ends[at], rows, blank })
    }
}

impl<P: RowPairs> RowFunction for RowWindowJoin<P> {
    fn parts(&self) -> [Arc<RowLayout>; 2] {
        let [left, right] = self.sides.each_ref().map(|side| Arc::clone(&side.layout));
        match self.matches {
            RowMatches::Pairs(_) => [left, right],
            _ => [left, Arc::new(RowLayout::new(&Schema::default()))],
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
        let is_left = input == 0;
        let state = &mut states.state;
        let Self { matches, sides, windows, batch, ends, row_ends, bytes, .. } = self;
        let [left, right] = sides;
        let (own, other) = if is_left { (left, right) } else { (right, left) };
        let end = own.keys.take(page, start, BATCH)?;
        let rows = rows_of(&own.layout, page)?;
        let mut with_keys = own.keys.rows().iter().enumerate().peekable();
        batch.clear();
        ends.clear();
        row_ends.clear();
        bytes.clear();
        for number in start..end {
            let index = with_keys.next_if(|(_, with)| **with as usize == number);
            let window = time_in(&rows, number, own.column)?;
            let watermark = match index {
                Some((index, _)) => state.watermark_of(|| own.keys.hash(index)),
                None => state.watermark,
            };
            if window.saturating_sub(1) <= watermark {
                continue;
            }
            let begin = bytes.len();
            rows.gather(number, bytes);
            match index {
                Some((index, _)) => {
                    batch.push(own.keys.at(index), number as u32);
                    ends.extend(namespace(window));
                    row_ends.push(bytes.len() as u32);
                }
                None => {
                    // A row with NULL in its key has no match.
                    let comes = match (*matches, is_left) {
                        (RowMatches::Pairs([keeps, _]), true) => keeps,
                        (RowMatches::Pairs([_, keeps]), false) => keeps,
                        (other, left) => left && other == RowMatches::Anti,
                    };
                    if comes {
                        let row = out.keep(bytes.get(begin..).unwrap_or(&[]));
                        let blank = out.keep(&other.blank);
                        let [a, b] = if is_left { [row, blank] } else { [blank, row] };
                        out.emit(RowKind::Insert, a, b);
                    }
                    bytes.truncate(begin);
                }
            }
        }
        let namespaces = Column::Fixed { width: TIME, bytes: ends };
        windows.fold(state, (*batch).as_ref(), namespaces, |_, _, _| {})?;
        let keys = batch.keys().within(namespaces);
        let elements = match own.width {
            Some(width) => Column::Fixed { width, bytes },
            None => Column::Variable { begin: 0, ends: row_ends, bytes },
        };
        let rows = own.rows;
        state.change(|store, done| store.append(rows, &keys.skip(done), elements.skip(done)))?;
        Ok(end)
    }

    fn advance(&mut self, states: &mut RowStates, out: &mut Changes) -> Result<bool, TaskError> {
        while let Some(end) = self.windows.ends.first().copied()
            && end.saturating_sub(1) <= states.state.watermark
        {
            let window = namespace(end);
            loop {
                while self.done < self.ready.len() {
                    let Self { sides, ready, done, group, .. } = self;
                    if group.joined == 0 {
                        let key = ready.keys().within(Column::Same(&window)).at(*done);
                        for (side, list) in sides.iter().zip(&mut group.lists) {
                            states.state.read(side.rows, &key, list)?;
                            let rows = side.rows;
                            states.state.change(|store, _| store.remove(rows, &key.batch()))?;
                        }
                    }
                    let all = self.join(out)?;
                    self.done += usize::from(all);
                    if out.is_large() {
                        return Ok(false);
                    }
                }
                let Self { windows, sweep, swept, ready, done, .. } = self;
                ready.clear();
                *done = 0;
                let at = sweep.get_or_insert_with(|| Sweep::begin(&states.state, end));
                let last = at.run(windows, &mut states.state, swept, true, |batch, index, _| {
                    ready.push(batch.at(index), 0);
                    Ok(ready.len() < READY)
                })?;
                if last && self.ready.is_empty() {
                    break;
                }
            }
            self.sweep = None;
            self.windows.ends.remove(&end);
        }
        Ok(true)
    }

    fn restored(&mut self, states: &mut RowStates) -> Result<(), TaskError> {
        self.windows.restored(&mut states.state)
    }
}

#[cfg(test)]
mod tests;
