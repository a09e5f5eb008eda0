//! Calls with DISTINCT: which rows bring a value that their group did not have.

use millstream_data::{
    page::ValidPage,
    row::{PageRows, RowLayout},
};
use millstream_dataflow::{
    TaskError,
    operator::rows::{ENTRY_BYTES_MAX, Entries, EntryKeys, Maps, RowKeys, RowStates},
};

use super::{aggregate::Aggregation, is_retraction, never_came};

/// A column of which different values are told apart, and how often each group has each of them: a count for each
/// call, or, if no row is ever taken back, a byte that says whether there is one.
pub(super) struct Distinct {
    layout: RowLayout,
    calls: Vec<usize>,
    /// Whether rows are taken back.
    retracts: bool,
    /// Whether values expire, and may be taken back later.
    expires: bool,
    /// The values that are found many at a time, and those that are too large for that.
    entries: Entries,
    large: Maps,
    keys: EntryKeys,
    zero: Vec<u8>,
    cell: Vec<u8>,
    counted: Vec<u8>,
    gone: Vec<usize>,
}

/// Bytes of a count.
const COUNT: usize = 8;

/// Whether each row counts, for each call.
pub(super) struct Counts<'a> {
    pub(super) calls: usize,
    /// By row, and within by call.
    pub(super) counts: &'a mut [bool],
}

impl Counts<'_> {
    pub(super) fn of(&mut self, row: usize) -> &mut [bool] {
        self.counts.get_mut(row * self.calls..(row + 1) * self.calls).unwrap_or(&mut [])
    }
}

impl Distinct {
    /// What a plan needs, a column each.
    pub(super) fn open(
        plan: &Aggregation,
        keys: &RowKeys,
        states: &mut RowStates,
    ) -> Result<Vec<Self>, TaskError> {
        let columns = plan.distinct.iter().enumerate();
        let open = |(number, (column, calls)): (usize, &(usize, Vec<usize>))| {
            let layout = RowLayout::projected(&plan.input, &[*column], true);
            let width = layout.is_fixed().then(|| layout.fixed_bytes());
            let retracts = plan.input.row_kinds;
            let zero = vec![0; if retracts { COUNT } else { 1 } * calls.len()];
            let name = format!("distinct {number}");
            let (entries, names) = states.entries(&name, keys, width, zero.len())?;
            let large = states.maps(&format!("{name}, large"), keys, zero.len())?;
            Ok(Self {
                layout,
                calls: calls.clone(),
                retracts,
                expires: states.expire(),
                entries,
                large,
                keys: names,
                zero,
                cell: Vec::new(),
                counted: Vec::new(),
                gone: Vec::new(),
            })
        };
        columns.map(open).collect()
    }

    /// Lets rows count only that bring the first of a value, or take the last one back.
    pub(super) fn look(
        &mut self,
        page: &ValidPage<'_>,
        keys: &RowKeys,
        states: &mut RowStates,
        counts: &mut Counts<'_>,
    ) -> Result<(), TaskError> {
        let Self { layout, calls, keys: names, zero, cell, counted, gone, .. } = self;
        let decision = Decision { calls, retracts: self.retracts, expires: self.expires };
        let values = PageRows::new(layout, page)
            .map_err(|error| TaskError::new(format!("a page of an aggregation: {error}")))?;
        names.clear();
        for (index, number) in keys.rows().iter().enumerate() {
            let counts = counts.of(index);
            if !calls.iter().any(|call| counts.get(*call) == Some(&true)) {
                continue;
            }
            let number = *number as usize;
            cell.clear();
            values.gather(number, cell);
            // The hash of the key is in front of its row.
            if 8 + keys.row(index).len() + cell.len() + zero.len() <= ENTRY_BYTES_MAX {
                names.push(keys, index, cell);
                continue;
            }
            if !states.entry(self.large, keys, (index, cell), counted)? {
                counted.clone_from(zero);
            }
            if decision.decide(is_retraction(page, number), counted, counts)? {
                let value = counted.iter().any(|byte| *byte != 0).then_some(&counted[..]);
                states.put_entry(self.large, keys, (index, cell), value)?;
            }
        }
        gone.clear();
        let mut failed = None;
        states.update_entries(self.entries, names, zero, |at, counted| {
            let index = names.indexes().get(at).map_or(0, |index| *index as usize);
            let number = keys.rows().get(index).map_or(0, |row| *row as usize);
            let retract = is_retraction(page, number);
            match decision.decide(retract, counted, counts.of(index)) {
                Ok(_) if retract && counted.iter().all(|byte| *byte == 0) => gone.push(at),
                Ok(_) => {}
                Err(error) => failed = Some(error),
            }
        })?;
        failed.map_or(Ok(()), Err)?;
        self.sweep(states)
    }

    /// Removes the entries of values that nobody has any more, unless a later row has brought them again.
    fn sweep(&mut self, states: &mut RowStates) -> Result<(), TaskError> {
        let Self { entries, keys, zero, counted, gone, .. } = self;
        for at in gone.drain(..) {
            if states.read_entry(*entries, keys, at, counted)? && counted == zero {
                states.remove_entry(*entries, keys, at)?;
            }
        }
        Ok(())
    }
}

/// How rows are counted.
struct Decision<'a> {
    calls: &'a [usize],
    retracts: bool,
    expires: bool,
}

impl Decision<'_> {
    /// Counts a row that has a value; gives whether that changed what is kept.
    fn decide(
        &self,
        retract: bool,
        counted: &mut [u8],
        counts: &mut [bool],
    ) -> Result<bool, TaskError> {
        let mut changed = false;
        if !self.retracts {
            for (call, seen) in self.calls.iter().zip(counted) {
                let counts = counts.get_mut(*call).filter(|counts| **counts);
                if let Some(counts) = counts {
                    *counts = std::mem::replace(seen, 1) == 0;
                    changed |= *counts;
                }
            }
            return Ok(changed);
        }
        for (call, times) in self.calls.iter().zip(counted.as_chunks_mut::<COUNT>().0) {
            let Some(counts) = counts.get_mut(*call).filter(|counts| **counts) else { continue };
            let before = i64::from_le_bytes(*times);
            let after = if retract { before - 1 } else { before + 1 };
            if after < 0 {
                if self.expires {
                    *counts = false;
                    continue;
                }
                return Err(never_came("aggregation"));
            }
            *counts = if retract { after == 0 } else { before == 0 };
            *times = after.to_le_bytes();
            changed = true;
        }
        Ok(changed)
    }
}
