//! Groups of the rows of a window.

use std::{mem, sync::Arc};

use millstream_data::{
    page::RowKind,
    row::{PageRows, RowLayout},
    types::Schema,
};
use millstream_dataflow::{
    TaskError,
    operator::rows::{Changes, RowFold},
};
use millstream_state::window::Window;

use super::{
    accumulator::{Accumulator, SLOT},
    aggregate::Aggregation,
    texts::{pack, unpack},
    users::{User, counted},
    value_set::{CALLS_MAX, ValueSet},
};
use crate::error::SqlError;

/// Folds the rows of each group and window, and emits what comes of them with the window's begin and end.
///
/// What is kept is what [`Aggregate`](super::aggregate::Aggregate) keeps of a group; values of calls with DISTINCT are
/// gathered beside it, and counted when the window has ended.
#[derive(Clone)]
pub(super) struct WindowFold {
    plan: Aggregation,
    /// Of each column with DISTINCT, and the calls that are about it.
    sets: Vec<(ValueSet, Vec<usize>)>,
    users: Vec<User>,
    /// For each call whether it counts all rows with a value.
    counts_all: Vec<bool>,
    layout: Arc<RowLayout>,
    key: Arc<RowLayout>,
    results: Arc<RowLayout>,
    fixed: usize,
    group: Vec<u8>,
    texts: Vec<Vec<u8>>,
    /// What is merged into `group` and `texts`.
    other: (Vec<u8>, Vec<Vec<u8>>),
    row: Vec<u8>,
}

impl WindowFold {
    pub(super) fn new(plan: &Aggregation) -> Result<Self, SqlError> {
        let sets = plan.distinct.iter().map(|(column, calls)| {
            let field = plan.input.fields.get(*column);
            let set = field.and_then(|field| ValueSet::of(*column, &field.data_type, calls.len()));
            let set = set.ok_or_else(|| {
                let name = field.map_or("?", |field| &field.name);
                SqlError::new(format!(
                    "DISTINCT within windows of `{name}`, which is nested or in more than {CALLS_MAX} calls, is not \
                     supported yet"
                ))
            })?;
            Ok((set, calls.clone()))
        });
        let sets = sets.collect::<Result<Vec<_>, SqlError>>()?;
        let is_distinct = |call: &usize| sets.iter().any(|(_, calls)| calls.contains(call));
        let counts_all = (0..plan.accumulators.len()).map(|call| !is_distinct(&call)).collect();
        let texts = vec![Vec::new(); plan.texts];
        let key: Vec<_> =
            plan.keys.iter().filter_map(|key| plan.input.fields.get(*key).cloned()).collect();
        Ok(Self {
            counts_all,
            layout: Arc::new(RowLayout::new(&plan.input)),
            key: Arc::new(RowLayout::new(&Schema::new(key))),
            results: Arc::new(RowLayout::new(&plan.results)),
            fixed: 8 + plan.accumulators.len() * SLOT,
            group: Vec::new(),
            row: Vec::new(),
            other: (Vec::new(), texts.clone()),
            texts,
            sets,
            users: plan.users.clone(),
            plan: plan.clone(),
        })
    }

    /// Reads what was kept, if anything was, into `group` and `texts`.
    fn read(&mut self, kept: Option<&[u8]>) -> Result<(), TaskError> {
        let Self { fixed, group, texts, .. } = self;
        group.clear();
        match kept {
            Some(kept) => {
                group.extend_from_slice(kept);
                unpack(group, *fixed, texts)
            }
            None => {
                group.resize(*fixed, 0);
                texts.iter_mut().for_each(Vec::clear);
                Ok(())
            }
        }
    }
}

/// The calls that are about the values of one set, by the bits of its masks.
struct Calls<'a> {
    all: &'a [Accumulator],
    of: &'a [usize],
}

impl Calls<'_> {
    /// Those of which something is true.
    fn which(&self, is: impl Fn(&Accumulator) -> bool) -> u64 {
        let calls = self.of.iter().enumerate();
        let mut which = calls.filter(|(_, call)| self.all.get(**call).is_some_and(&is));
        which.try_fold(0, |mask, (bit, _)| Some(mask | 1_u64.checked_shl(bit as u32)?)).unwrap_or(0)
    }

    /// Whether one of a mask is a call of this number.
    fn has(&self, mask: u64, is: impl Fn(usize) -> bool) -> bool {
        let calls = self.of.iter().enumerate();
        let mut of_mask =
            calls.filter(|(bit, _)| mask.checked_shr(*bit as u32).unwrap_or(0) & 1 == 1);
        of_mask.any(|(_, call)| is(*call))
    }

    /// Calls `each` for those of a mask.
    fn each(&self, mask: u64, each: impl FnMut(&Accumulator)) {
        let calls = self.of.iter().enumerate();
        let of_mask = calls.filter(|(bit, _)| mask.checked_shr(*bit as u32).unwrap_or(0) & 1 == 1);
        of_mask.filter_map(|(_, call)| self.all.get(*call)).for_each(each);
    }
}

impl RowFold for WindowFold {
    fn layout(&self) -> &Arc<RowLayout> {
        &self.layout
    }

    fn parts(&self) -> [Arc<RowLayout>; 2] {
        [Arc::clone(&self.key), Arc::clone(&self.results)]
    }

    fn width(&self) -> Option<usize> {
        self.texts.is_empty().then_some(self.fixed)
    }

    fn fold(
        &mut self,
        rows: &PageRows<'_>,
        row: usize,
        kept: Option<&[u8]>,
        new: &mut Vec<u8>,
    ) -> Result<(), TaskError> {
        self.read(kept)?;
        let Self { plan, users, counts_all, group, texts, .. } = self;
        let row = rows.at(row);
        for (call, counts) in plan.accumulators.iter().zip(&*counts_all) {
            if *counts && call.counts(&row) {
                call.add(&row, false, group, texts);
            }
        }
        for user in counted(users, &plan.accumulators, &row) {
            if user.counts_all(counts_all) {
                user.add_one(&row, texts)?;
            }
        }
        new.extend_from_slice(group);
        pack(texts, new);
        Ok(())
    }

    fn merge(&mut self, kept: &[u8], other: &[u8], new: &mut Vec<u8>) -> Result<(), TaskError> {
        self.read(Some(other))?;
        mem::swap(&mut self.group, &mut self.other.0);
        mem::swap(&mut self.texts, &mut self.other.1);
        self.read(Some(kept))?;
        let Self { plan, users, counts_all, group, texts, .. } = self;
        let (other, other_texts) = &self.other;
        users.iter_mut().try_for_each(|user| user.merge(texts, other_texts))?;
        for (call, counts) in plan.accumulators.iter().zip(counts_all) {
            if *counts {
                call.merge((group, texts), (other, other_texts));
            }
        }
        new.extend_from_slice(group);
        pack(texts, new);
        Ok(())
    }

    fn lists(&self) -> Vec<Option<usize>> {
        self.sets.iter().map(|(set, _)| set.element()).collect()
    }

    fn gather(
        &mut self,
        list: usize,
        rows: &PageRows<'_>,
        row: usize,
        element: &mut Vec<u8>,
    ) -> bool {
        let Some((set, calls)) = self.sets.get(list) else { return false };
        let row = rows.at(row);
        let counts =
            Calls { all: &self.plan.accumulators, of: calls }.which(|call| call.counts(&row));
        if counts != 0 {
            set.put(&row, counts, element);
        }
        counts != 0
    }

    fn shrink(&mut self, list: usize, elements: &[u8], needed: &mut Vec<u8>) -> usize {
        self.sets.get(list).map_or(0, |(set, _)| set.shrink(elements, needed))
    }

    fn finish(
        &mut self,
        key: &[u8],
        window: Window,
        (kept, lists): (&[u8], &[Vec<u8>]),
        out: &mut Changes,
    ) -> Result<(), TaskError> {
        self.read(Some(kept))?;
        let Self { plan, sets, users, results, group, texts, row: result, .. } = self;
        for ((set, calls), elements) in sets.iter().zip(lists) {
            let calls = Calls { all: &plan.accumulators, of: calls };
            set.new_values(elements, |value, new| {
                calls.each(new, |call| call.add(value, false, group, texts));
                let of_user = |user: &&mut User| calls.has(new, |call| user.is_call(call));
                users.iter_mut().filter(of_user).try_for_each(|user| user.add_one(value, texts))
            })?;
        }
        users.iter_mut().try_for_each(|user| user.finish(texts))?;
        result.clear();
        results.write(result, |row| {
            plan.accumulators.iter().for_each(|call| call.finish(group, texts, row));
            for time in [window.start, window.end] {
                row.put_fixed(time.saturating_mul(1000).to_le_bytes());
            }
        });
        let (key, result) = (out.keep(key), out.keep(result));
        out.emit(RowKind::Insert, key, result);
        Ok(())
    }
}
