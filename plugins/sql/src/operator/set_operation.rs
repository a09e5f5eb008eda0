//! Rows that two inputs have, or only the first.

use std::sync::Arc;

use millstream_data::{
    page::{RowKind, ValidPage},
    row::RowLayout,
    types::Schema,
};
use millstream_dataflow::{
    TaskError,
    operator::rows::{Changes, RowFunction, RowKeys, RowStates, Values},
};

use super::{BATCH, in_place, is_retraction, never_came};
use crate::relation::SetOperation;

/// Bytes of what is kept of a row: how often the left has it, and the right.
const COUNTS: usize = 16;

/// Counts how often each row is on both sides, and emits how that changes how often it is in the result.
///
/// A row is its own key, with NULLs, so that equal rows of both sides meet.
pub(super) struct Matching {
    operation: SetOperation,
    keys: RowKeys,
    layout: Arc<RowLayout>,
    counts: Values,
    in_place: bool,
    /// Whether counts expire: a row that was counted may be taken back later.
    expires: bool,
    kept: Vec<u8>,
    gone: Vec<usize>,
}

impl Matching {
    /// That of rows of `input`, on both sides.
    pub(super) fn open(
        input: &Schema,
        operation: SetOperation,
        states: &mut RowStates,
    ) -> Result<Self, TaskError> {
        let columns: Vec<usize> = (0..input.fields.len()).collect();
        let keys = states.keys(input, &columns, true);
        let layout = RowLayout::new(keys.schema());
        let counts = states.values("counts", &keys, Some(COUNTS))?;
        Ok(Self {
            operation,
            in_place: in_place(&layout, COUNTS),
            keys,
            layout: Arc::new(layout),
            counts,
            expires: states.expire(),
            kept: Vec::new(),
            gone: Vec::new(),
        })
    }
}

/// A row that comes, or goes.
struct Counting {
    operation: SetOperation,
    is_left: bool,
    expires: bool,
}

impl Counting {
    /// Counts it; gives how often it was in the result before, and is now.
    fn count(&self, retract: bool, counts: &mut [u8]) -> Result<(u64, u64), TaskError> {
        let ([left, right], _) = counts.as_chunks_mut::<8>() else {
            return Err(TaskError::new("a row in the state of a set operation is cut off"));
        };
        let times = |left: &[u8; 8], right: &[u8; 8]| {
            self.operation.times(u64::from_le_bytes(*left), u64::from_le_bytes(*right))
        };
        let before = times(left, right);
        let own = if self.is_left { &mut *left } else { &mut *right };
        let count = u64::from_le_bytes(*own);
        let count = match retract {
            true if self.expires => Some(count.saturating_sub(1)),
            true => count.checked_sub(1),
            false => count.checked_add(1),
        };
        *own = count.ok_or_else(|| never_came(self.operation.name()))?.to_le_bytes();
        Ok((before, times(left, right)))
    }
}

impl RowFunction for Matching {
    fn parts(&self) -> [Arc<RowLayout>; 2] {
        [Arc::clone(&self.layout), Arc::new(RowLayout::new(&Schema::default()))]
    }

    fn take(
        &mut self,
        input: u16,
        page: &ValidPage<'_>,
        start: usize,
        states: &mut RowStates,
        out: &mut Changes,
    ) -> Result<usize, TaskError> {
        let Self { operation, keys, counts, in_place, expires, kept, gone, .. } = self;
        let end = keys.take(page, start, BATCH)?;
        let counting = Counting { operation: *operation, is_left: input == 0, expires: *expires };
        let none = out.keep(&[]);
        let mut take = |index: usize, counts: &mut [u8]| {
            let row = keys.rows().get(index).map_or(0, |row| *row as usize);
            let (before, after) = counting.count(is_retraction(page, row), counts)?;
            // One row changes that by one at most.
            let kind = match before.cmp(&after) {
                std::cmp::Ordering::Less => RowKind::Insert,
                std::cmp::Ordering::Equal => return Ok(()),
                std::cmp::Ordering::Greater => RowKind::Delete,
            };
            let row = out.keep(keys.row(index));
            out.emit(kind, row, none);
            Ok(())
        };
        gone.clear();
        if *in_place {
            let mut failed: Option<TaskError> = None;
            states.update(*counts, keys, &[0; COUNTS], |index, counts| {
                match take(index, counts) {
                    Ok(()) if counts.iter().all(|byte| *byte == 0) => gone.push(index),
                    Ok(()) => {}
                    Err(error) => failed = Some(error),
                }
            })?;
            failed.map_or(Ok(()), Err)?;
        } else {
            for index in 0..keys.len() {
                if !states.read(*counts, keys, index, kept)? {
                    kept.resize(COUNTS, 0);
                }
                take(index, kept)?;
                states.put(*counts, keys, index, kept)?;
                if kept.iter().all(|byte| *byte == 0) {
                    gone.push(index);
                }
            }
        }
        // One that a later row has brought again is there.
        for index in gone.iter() {
            if states.read(*counts, keys, *index, kept)? && kept.iter().all(|byte| *byte == 0) {
                states.remove(*counts, keys, *index)?;
            }
        }
        Ok(end)
    }
}
