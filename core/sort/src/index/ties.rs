//! Entries that cannot be distributed: their key words are equal, or there is no memory for lists.

use alloc::{collections::VecDeque, vec::Vec};
use core::marker::PhantomData;

use millstream_memory::Segment;

use super::{Bucket, Leaf, Step, capacity, cells, cells_mut, leaf};
use crate::{
    area::Area,
    budget::{Budget, Lease},
    format::{Entry, Format},
    merge::LoserTree,
};

/// Sorts each segment, and merges them; or leaves them as they are, if they are equal.
pub(super) struct Ties<F: Format> {
    unsorted: VecDeque<Segment>,
    left: usize,
    sorted: Vec<Cursor>,
    tree: Option<LoserTree>,
    stable: bool,
    format: PhantomData<fn() -> F>,
}

/// A sorted segment, as far as it was merged.
struct Cursor {
    segment: Option<Segment>,
    next: usize,
    end: usize,
}

impl Cursor {
    fn entry<E: Entry>(&self) -> Option<&E> {
        let segment = self.segment.as_ref()?;
        cells(segment).get(self.next).filter(|_| self.next < self.end)
    }
}

impl<F: Format> Ties<F> {
    pub(super) fn new(bucket: Bucket, stable: bool) -> Self {
        Self {
            unsorted: bucket.segments.into(),
            left: bucket.entries,
            sorted: Vec::new(),
            tree: None,
            stable,
            format: PhantomData,
        }
    }

    pub(super) fn step<L: Lease>(
        &mut self,
        format: &F,
        area: &Area,
        budget: &mut Budget<L>,
    ) -> Step {
        if let Some(segment) = self.unsorted.pop_front() {
            let end = self.left.min(capacity::<F::Entry>(segment.len()));
            self.left -= end;
            let segment = leaf::sort(segment, end, (format, area), self.stable, budget);
            self.sorted.push(Cursor { segment: Some(segment), next: 0, end });
            return Step::Busy;
        }
        let tie =
            |sorted: &[Cursor], a: usize, b: usize| match (sorted[a].entry(), sorted[b].entry()) {
                (Some(a), Some(b)) => leaf::compare::<F>(a, b, format, area),
                _ => core::cmp::Ordering::Equal,
            };
        let word = |cursor: &Cursor| cursor.entry::<F::Entry>().map(|entry| entry.word(0));
        let decides = format.first_word_decides();
        let sorted = &mut self.sorted;
        let tree = self.tree.get_or_insert_with(|| {
            let heads: Vec<_> = sorted.iter().map(word).collect();
            LoserTree::new(&heads, decides, |a, b| tie(sorted, a, b))
        });
        if tree.winner().is_none() {
            return Step::Done;
        }
        let Some(mut segment) = budget.take() else { return Step::Busy };
        let mut entries = 0;
        let merged = cells_mut::<F::Entry>(&mut segment);
        while let Some(winner) = tree.winner().filter(|_| entries < merged.len()) {
            let Some(entry) = sorted[winner].entry() else { break };
            merged[entries] = *entry;
            entries += 1;
            sorted[winner].next += 1;
            let head = word(&sorted[winner]);
            if head.is_none()
                && let Some(segment) = sorted[winner].segment.take()
            {
                budget.give(segment);
            }
            tree.replace(head, decides, |a, b| tie(sorted, a, b));
        }
        debug_assert!(entries <= capacity::<F::Entry>(segment.len()));
        Step::Leaf(Leaf { segment, entries })
    }
}
