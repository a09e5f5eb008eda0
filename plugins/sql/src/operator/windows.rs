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
    accumulator::SLOT,
    aggregate::{Aggregation, pack, unpack},
};

/// Folds the rows of each group and window, and emits what comes of them with the window's begin and end.
///
/// What is kept is what [`Aggregate`](super::aggregate::Aggregate) keeps of a group.
pub(super) struct WindowFold {
    plan: Aggregation,
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
    pub(super) fn new(plan: &Aggregation) -> Self {
        let key: Vec<_> =
            plan.keys.iter().filter_map(|key| plan.input.fields.get(*key).cloned()).collect();
        Self {
            layout: Arc::new(RowLayout::new(&plan.input)),
            key: Arc::new(RowLayout::new(&Schema::new(key))),
            results: Arc::new(RowLayout::new(&plan.results)),
            fixed: 8 + plan.accumulators.len() * SLOT,
            group: Vec::new(),
            row: Vec::new(),
            texts: vec![Vec::new(); plan.texts],
            other: (Vec::new(), vec![Vec::new(); plan.texts]),
            plan: plan.clone(),
        }
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
        let Self { plan, group, texts, .. } = self;
        let row = rows.at(row);
        for call in plan.accumulators.iter().filter(|call| call.counts(&row)) {
            call.add(&row, false, group, texts);
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
        let Self { plan, group, texts, other: (other, other_texts), .. } = self;
        for call in plan.accumulators.iter() {
            call.merge((group, texts), (other, other_texts));
        }
        new.extend_from_slice(group);
        pack(texts, new);
        Ok(())
    }

    fn finish(
        &mut self,
        key: &[u8],
        window: Window,
        kept: &[u8],
        out: &mut Changes,
    ) -> Result<(), TaskError> {
        self.read(Some(kept))?;
        let Self { plan, results, group, texts, row: result, .. } = self;
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
