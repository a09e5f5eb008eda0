//! Handing out what never left memory.

use super::{Phase, Sorter};
use crate::{
    area::Area,
    budget::{Budget, Lease},
    format::Format,
    index::{IndexSort, Leaf, Step},
};

/// An index that is sorted as its records are handed out.
pub(super) struct Memory<F: Format> {
    sort: IndexSort<F>,
    /// What is sorted, and how much of it was handed out.
    leaf: Option<(Leaf, usize)>,
}

impl<F: Format> Memory<F> {
    /// The next record.
    #[inline]
    pub(super) fn next<'a, L: Lease>(
        &'a mut self,
        format: &'a F,
        area: &'a Area,
        budget: &mut Budget<L>,
    ) -> Option<&'a F::Record> {
        if !matches!(&self.leaf, Some((leaf, next)) if *next < leaf.entries) {
            self.leaf = self.next_leaf(format, area, budget);
        }
        let (leaf, next) = self.leaf.as_mut()?;
        let entry = leaf.entries::<F::Entry>().get(*next)?;
        *next += 1;
        Some(format.record(entry, area))
    }

    /// Sorts on until there is a leaf: at most one list of the first distribution.
    #[cold]
    fn next_leaf<L: Lease>(
        &mut self,
        format: &F,
        area: &Area,
        budget: &mut Budget<L>,
    ) -> Option<(Leaf, usize)> {
        if let Some((leaf, _)) = self.leaf.take() {
            budget.give(leaf.segment);
        }
        loop {
            match self.sort.step(format, area, budget) {
                Step::Busy => {}
                Step::Leaf(leaf) => return Some((leaf, 0)),
                Step::Done => return None,
            }
        }
    }
}

impl<F: Format, L: Lease> Sorter<F, L> {
    pub(super) fn begin_output_from_memory(&mut self) {
        let sort = self.index.sort(self.config.stable);
        self.phase = Phase::FromMemory(Memory { sort, leaf: None });
    }
}
