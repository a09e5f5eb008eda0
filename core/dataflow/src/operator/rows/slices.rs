//! Slices that several windows have in common: a row is folded into one, and windows are merged from theirs.
//!
//! As in Flink's slicing window operators, but for how they are merged. When no row of a slice is expected any more,
//! what is kept of its keys is taken out of the table and written as a **run** for each key group, in the order of
//! keys. A window is then a merge of runs, one behind the other: nothing is looked up, and nothing is kept of it.
//! Rows that come for the slice later, but not too late for all of its windows, make a further run of it.

#[cfg(test)]
mod tests;

use alloc::{
    collections::{BTreeMap, BTreeSet},
    format, vec,
    vec::Vec,
};
use core::{mem, ops::Range};

use millstream_state::{
    Column, Kind, StateId, StateSpec,
    description::Part,
    list,
    time::WATERMARK_MIN,
    window::{Tumbling, Window},
};

use super::{
    Changes, RowKeys,
    gathered::Gathered,
    windows::{RowFold, RowWindow},
};
use crate::{
    chain::TaskError,
    operator::window::panes::{Panes, Sweep, Visited},
    state::{Contents, HASH, KeyedState, TIME, damaged, namespace, time_of},
};

/// The slices of windows that overlap.
pub(super) struct Slices {
    windows: RowWindow,
    /// The slices, as windows that do not.
    of: Tumbling,
    /// By key group and slice: elements that are a key in front of what is kept of it, in runs. Where lists are
    /// gathered, too, each part of that is behind its length.
    runs: StateId,
    /// If windows end by the clock, by key group: up to where they were emitted. Else the watermark says so.
    emitted: Option<StateId>,
    /// For each key group of the subtask, when it was put back: windows that end up to here were emitted.
    before: Vec<i64>,
    first_group: u32,
    /// Slices with runs: where they end, and where the last of their windows does.
    ended: BTreeMap<i64, i64>,
    /// Windows with rows: where they end and begin.
    due: BTreeMap<i64, i64>,
    /// Windows that end up to here were emitted, and key groups of the one that is being emitted that are left.
    over: i64,
    groups: Option<Range<u32>>,
    /// The slice of the last row that was late, and where the last of its windows ends.
    late: (Window, i64),
    scratch: Scratch,
}

/// Space that is used again in each call.
#[derive(Debug, Default)]
struct Scratch {
    /// Entries of a run, a key in front of what is kept of it, and where they, and their keys, are.
    entries: Vec<u8>,
    places: Vec<(Range<usize>, Range<usize>)>,
    run: Vec<u8>,
    runs: Vec<u8>,
    merged: Vec<u8>,
    kept: Vec<u8>,
    /// What was gathered of a key in the slices of a window.
    lists: Vec<Vec<u8>>,
}

impl Slices {
    /// Those of windows, if a row is in several of them; else `None`.
    pub(super) fn open(
        windows: &RowWindow,
        state: &mut KeyedState,
    ) -> Result<Option<Self>, TaskError> {
        let Some(of) = slices_of(windows) else { return Ok(None) };
        let spec = |name: &str, kind, namespace, value| StateSpec {
            name: name.into(),
            kind,
            key: Some(HASH),
            namespace: Some(namespace),
            value,
        };
        let runs = state.register(&spec("slice-runs", Kind::List, TIME, None))?;
        let value = vec![Part::Opaque(None)];
        let namespace = vec![Part::Time];
        state.describe(runs, Contents { of_group: true, namespace, value, ..Contents::default() });
        let mut emitted = None;
        if windows.is_processing() {
            let id = state.register(&spec("emitted", Kind::Value, 0, Some(TIME)))?;
            let value = vec![Part::Time];
            state.describe(id, Contents { of_group: true, value, ..Contents::default() });
            emitted = Some(id);
        }
        let nowhere = Window { start: i64::MAX, end: i64::MIN };
        Ok(Some(Self {
            windows: windows.clone(),
            of,
            runs,
            emitted,
            before: Vec::new(),
            first_group: state.groups().start,
            ended: BTreeMap::new(),
            due: BTreeMap::new(),
            over: i64::MIN,
            groups: None,
            late: (nowhere, i64::MIN),
            scratch: Scratch::default(),
        }))
    }

    /// The slice of a time; `None` if all of its windows have ended at the watermark.
    pub(super) fn assign(&mut self, time: i64, watermark: i64) -> Option<Window> {
        let slice = self.of.assign(time);
        if slice.max_time() > watermark {
            return Some(slice);
        }
        if self.late.0 != slice {
            self.late = (slice, self.last(slice));
        }
        (self.late.1.saturating_sub(1) > watermark).then_some(slice)
    }

    /// Where the last window of a slice ends.
    fn last(&self, slice: Window) -> i64 {
        let mut last = i64::MIN;
        self.windows.each_of(slice.start, |window| last = last.max(window.end));
        last
    }

    /// A slice has a run.
    fn enter(&mut self, end: i64) {
        let slice = self.of.assign(end.saturating_sub(1));
        let Self { windows, due, over, .. } = self;
        windows.each_of(slice.start, |window| {
            if window.end > *over {
                due.insert(window.end, window.start);
            }
        });
        self.ended.insert(end, self.last(slice));
    }

    /// Writes the runs of slices that have ended at a time, and emits windows that have; `false` if there are
    /// more to emit.
    pub(super) fn advance<F: RowFold>(
        &mut self,
        over: i64,
        (panes, batch, gathered): (&mut Panes, &mut RowKeys, &mut Option<Gathered>),
        state: &mut KeyedState,
        fold: &mut F,
        out: &mut Changes,
    ) -> Result<bool, TaskError> {
        while let Some(end) = panes.ends.first().copied()
            && end <= over
        {
            match gathered {
                None => self.write(end, (&mut *panes, &mut *batch), state)?,
                Some(gathered) => {
                    self.write_gathered(end, (&mut *panes, &mut *batch, gathered), state)?;
                }
            }
            self.enter(end);
            panes.ends.remove(&end);
        }
        while let Some((end, start)) = self.due.first_key_value().map(|(end, start)| (*end, *start))
            && end <= over
        {
            let window = Window { start, end };
            let mut groups = self.groups.take().unwrap_or_else(|| state.groups());
            while let Some(group) = groups.next() {
                self.emit(group, window, state, fold, out)?;
                if out.is_large() && !groups.is_empty() {
                    self.groups = Some(groups);
                    return Ok(false);
                }
            }
            self.due.remove(&end);
            self.ended.retain(|_, last| *last > end);
            self.over = end;
            if out.is_large() {
                return Ok(false);
            }
        }
        self.over = self.over.max(over);
        Ok(true)
    }

    /// Takes a slice out of the table, and writes its runs.
    fn write(
        &mut self,
        end: i64,
        (panes, batch): (&mut Panes, &mut RowKeys),
        state: &mut KeyedState,
    ) -> Result<(), TaskError> {
        let mut sweep = Sweep::begin(state, end);
        self.scratch.clear();
        loop {
            let scratch = &mut self.scratch;
            let taken = sweep.take(panes, state, batch, |key, kept| {
                // The slice's own begin is in front.
                scratch.push(key, kept.get(TIME..).unwrap_or(&[]));
            })?;
            match taken {
                None => return Ok(()),
                Some((_, false)) => {}
                Some((group, true)) => self.write_run(group, end, state)?,
            }
        }
    }

    /// The same with what is gathered of its keys.
    fn write_gathered(
        &mut self,
        end: i64,
        (panes, batch, gathered): (&mut Panes, &mut RowKeys, &mut Gathered),
        state: &mut KeyedState,
    ) -> Result<(), TaskError> {
        let mut sweep = Sweep::begin(state, end);
        self.scratch.clear();
        let (within, mut entry) = (namespace(end), Vec::new());
        loop {
            let scratch = &mut self.scratch;
            let visited = sweep.visit(panes, state, batch, |state, batch, index, kept| {
                let key = batch.keys().within(Column::Same(&within)).at(index);
                entry.clear();
                list::frame(kept.get(TIME..).unwrap_or(&[]), &mut entry);
                gathered.take(state, &key)?.iter().for_each(|part| list::frame(part, &mut entry));
                gathered.remove(state, &key.batch())?;
                scratch.push(batch.at(index), &entry);
                Ok(true)
            })?;
            match visited {
                None => return Ok(()),
                Some(Visited { group, is_last: true, .. }) => self.write_run(group, end, state)?,
                Some(_) => {}
            }
        }
    }

    /// Writes a run of a key group behind those that its slice has.
    fn write_run(&mut self, group: u32, end: i64, state: &mut KeyedState) -> Result<(), TaskError> {
        let Scratch { entries, places, run, .. } = &mut self.scratch;
        let (owner, slice) = (state.group_key(group), namespace(end));
        let key = owner.within(&slice);
        state.read(self.runs, &key, run)?;
        places.sort_unstable_by(|(_, one), (_, other)| {
            entries[one.clone()].cmp(&entries[other.clone()])
        });
        for (entry, _) in places.iter() {
            list::frame(&entries[entry.clone()], run);
        }
        state.set_list(self.runs, &key, run)?;
        self.scratch.clear();
        Ok(())
    }

    /// Merges a window of a key group and emits it. Slices that it is the last window of are removed.
    fn emit<F: RowFold>(
        &mut self,
        group: u32,
        window: Window,
        state: &mut KeyedState,
        fold: &mut F,
        out: &mut Changes,
    ) -> Result<(), TaskError> {
        let Self { runs: id, emitted, before, first_group, ended, scratch, .. } = self;
        let Scratch { run, runs, merged, kept, lists, .. } = scratch;
        lists.resize(fold.lists().len(), Vec::new());
        let owner = state.group_key(group);
        runs.clear();
        let slices = window.start.saturating_add(1)..=window.end;
        for (end, last) in ended.range(slices) {
            let slice = namespace(*end);
            let key = owner.within(&slice);
            if state.read(*id, &key, run)? {
                runs.extend_from_slice(run);
                if *last <= window.end {
                    state.set_list(*id, &key, &[])?;
                }
            }
        }
        let index = group.saturating_sub(*first_group) as usize;
        if before.get(index).is_some_and(|before| window.end <= *before) {
            return Ok(());
        }
        let mut entries = Vec::new();
        for entry in list::elements(runs, None) {
            let (key, of_key) = list::split_first(entry, None)
                .ok_or_else(|| damaged("slice", &format!("an entry has {} bytes", entry.len())))?;
            entries.push((key, of_key));
        }
        // Runs are in order, which this sort makes use of, and stay so within a key.
        entries.sort_by_key(|(key, _)| *key);
        for same in entries.chunk_by(|(one, _), (other, _)| one == other) {
            let Some(((key, first), others)) = same.split_first() else { continue };
            let row = key.get(HASH..).unwrap_or(&[]);
            if others.is_empty() && lists.is_empty() {
                fold.finish(row, window, (first, &[]), out)?;
                continue;
            }
            kept.clear();
            lists.iter_mut().for_each(Vec::clear);
            kept.extend_from_slice(parted(first, lists)?);
            for (_, other) in others {
                merged.clear();
                fold.merge(kept, parted(other, lists)?, merged)?;
                mem::swap(kept, merged);
            }
            fold.finish(row, window, (kept, lists), out)?;
        }
        match *emitted {
            Some(emitted) => {
                let end = namespace(window.end);
                state.set(emitted, &owner.within(&[]), &end)
            }
            None => Ok(()),
        }
    }

    /// When the next slice or window ends.
    pub(super) fn next(&self, panes: &Panes) -> Option<i64> {
        panes.ends.first().into_iter().chain(self.due.keys().next()).min().copied()
    }

    /// Finds out which slices have runs, after state was put back.
    pub(super) fn restored(&mut self, state: &mut KeyedState) -> Result<(), TaskError> {
        let mut ends = BTreeSet::new();
        self.before.clear();
        let mut bytes = Vec::new();
        for group in state.groups() {
            state.scan(self.runs, group, |entry| ends.extend(time_of(entry.namespace)))?;
            let before = match self.emitted {
                Some(emitted) => {
                    let owner = state.group_key(group);
                    let found = state.read(emitted, &owner.within(&[]), &mut bytes)?;
                    match time_of(&bytes) {
                        Some(end) if found => end,
                        _ => i64::MIN,
                    }
                }
                None => match state.restored_of(group) {
                    WATERMARK_MIN => i64::MIN,
                    watermark => watermark.saturating_add(1),
                },
            };
            self.before.push(before);
        }
        ends.into_iter().for_each(|end| self.enter(end));
        Ok(())
    }
}

/// What is kept of a key in a slice; what was gathered of it is put behind that of slices before.
fn parted<'a>(entry: &'a [u8], lists: &mut [Vec<u8>]) -> Result<&'a [u8], TaskError> {
    if lists.is_empty() {
        return Ok(entry);
    }
    let part = |entry| {
        list::split_first(entry, None).ok_or_else(|| damaged("slice", &"a part of it is not there"))
    };
    let (kept, mut rest) = part(entry)?;
    for list in lists {
        let (gathered, behind) = part(rest)?;
        list.extend_from_slice(gathered);
        rest = behind;
    }
    Ok(kept)
}

impl Scratch {
    fn clear(&mut self) {
        self.entries.clear();
        self.places.clear();
    }

    /// Adds an entry.
    fn push(&mut self, key: &[u8], kept: &[u8]) {
        let begin = self.entries.len();
        list::frame(key, &mut self.entries);
        let key_end = self.entries.len();
        self.entries.extend_from_slice(kept);
        self.places.push((begin..self.entries.len(), key_end - key.len()..key_end));
    }
}

/// The slices of windows, if a row is in several of them.
fn slices_of(windows: &RowWindow) -> Option<Tumbling> {
    let (length, begin) = match windows {
        RowWindow::Sliding(_, windows) if windows.windows() > 1 => {
            (windows.slice(), windows.begin())
        }
        RowWindow::Cumulating(_, windows) if windows.size() > windows.step() => {
            (windows.step(), windows.begin())
        }
        _ => return None,
    };
    Tumbling::of(length).ok().map(|slices| slices.offset(begin))
}
