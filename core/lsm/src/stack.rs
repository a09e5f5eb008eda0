//! Which files have something of a key, and in which order they count.
//!
//! What was written at one time is a **layer**: runs side by side, in the order of their ranks. Newer layers
//! lie on older ones. Under all of them is the **bottom**, one run for each **slice** of the ranks that are
//! owned. Merging takes ranks out of layers, so that of a run only a [`Part`] may be seen, or several: a run
//! whose last part is gone is not needed any more. A key is looked for in the parts that its slice has, so
//! that the number of slices does not matter to a reader.

use alloc::{sync::Arc, vec::Vec};
use core::ops::Range;

use crate::run::Run;

#[cfg(test)]
pub(crate) mod tests;

/// Ranks of a run that are seen.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) run: Arc<Run>,
    pub(crate) ranks: Range<u64>,
    /// Bytes of the file that belong to them, about.
    pub(crate) bytes: u64,
}

impl Part {
    pub(crate) fn new(run: Arc<Run>, ranks: Range<u64>) -> Self {
        let place = &run.place;
        // Index and filter are shared out.
        let blocks = run.index.bytes_of(&ranks);
        let bytes = u128::from(blocks) * u128::from(place.length);
        let bytes = bytes.checked_div(place.index_at.into()).unwrap_or(0) as u64;
        Self { run, ranks, bytes }
    }

    /// How many keys it has, about.
    pub(crate) fn keys(&self) -> u64 {
        let Run { index, place, .. } = &*self.run;
        let keys = u128::from(index.entries) * u128::from(self.bytes);
        // Blocks are counted as a whole.
        keys.checked_div(place.length.into()).unwrap_or(0) as u64 + 1
    }

    /// Whether it is that part.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.run, &other.run) && self.ranks == other.ranks
    }

    #[inline]
    pub(crate) fn has(&self, rank: u64) -> bool {
        self.ranks.contains(&rank)
    }

    /// Whether what is older has nothing of a namespace, at a rank.
    #[inline]
    pub(crate) fn hides(&self, state: u16, rank: u64, namespace: &[u8]) -> bool {
        self.run.index.hides(state, namespace) && self.has(rank)
    }

    /// What is left of it within other ranks.
    pub(crate) fn within(&self, ranks: &Range<u64>) -> Option<Self> {
        let ranks = self.ranks.start.max(ranks.start)..self.ranks.end.min(ranks.end);
        if ranks == self.ranks {
            return Some(self.clone());
        }
        (!ranks.is_empty()).then(|| Self::new(self.run.clone(), ranks))
    }
}

/// Runs of one age.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    /// A number that no other layer has.
    pub(crate) id: u64,
    /// In the order of their ranks.
    pub(crate) parts: Vec<Part>,
}

impl Layer {
    /// Bytes of what is seen.
    pub(crate) fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }

    /// Whether it has a part with a rank.
    pub(crate) fn covers(&self, rank: u64) -> bool {
        let at = self.parts.partition_point(|part| part.ranks.end <= rank);
        self.parts.get(at).is_some_and(|part| part.has(rank))
    }
}

/// Ranks with one run at the bottom.
#[derive(Clone, Debug)]
pub(crate) struct Slice {
    pub(crate) ranks: Range<u64>,
    pub(crate) bottom: Option<Part>,
    /// What lies here, the newest first; the last is the bottom, if there is one.
    pub(crate) parts: Vec<Part>,
}

impl Slice {
    /// Bytes of what lies here.
    pub(crate) fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }

    /// How many of the parts are not the bottom.
    pub(crate) fn above(&self) -> usize {
        self.parts.len() - usize::from(self.bottom.is_some())
    }
}

/// Where the outcome of a merge belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A layer of this number, which is begun behind the oldest that was merged.
    Layer(u64),
    Bottom,
}

/// All files, in order.
#[derive(Clone, Debug)]
pub(crate) struct Stack {
    /// The newest first.
    layers: Vec<Layer>,
    /// In the order of their ranks, without gaps.
    slices: Vec<Slice>,
    /// The ranks where slices end.
    ends: Vec<u64>,
    last_id: u64,
}

impl Stack {
    /// Of no files.
    pub(crate) fn new(ranks: Range<u64>) -> Self {
        Self::of(ranks, Vec::new(), Vec::new())
    }

    /// Of files that were there before. Layers have their parts in order, as the bottom.
    pub(crate) fn of(ranks: Range<u64>, layers: Vec<Vec<Part>>, bottom: Vec<Part>) -> Self {
        // No part begins or ends within a slice.
        let parts = layers.iter().flatten().chain(&bottom);
        let mut cuts: Vec<u64> =
            parts.flat_map(|part| [part.ranks.start, part.ranks.end]).collect();
        cuts.push(ranks.end);
        cuts.sort_unstable();
        let (mut slices, mut begin) = (Vec::new(), ranks.start);
        for end in cuts {
            if begin < end && end <= ranks.end {
                let ranks = begin..end;
                let bottom = bottom.iter().find(|part| part.has(begin));
                let bottom = bottom.and_then(|part| part.within(&ranks));
                slices.push(Slice { ranks, bottom, parts: Vec::new() });
                begin = end;
            }
        }
        let mut stack = Self { layers: Vec::new(), slices, ends: Vec::new(), last_id: 0 };
        for parts in layers.into_iter().filter(|parts| !parts.is_empty()) {
            let id = stack.next_id();
            stack.layers.push(Layer { id, parts });
        }
        stack.arrange();
        stack
    }

    /// Whether there are no files.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.layers.is_empty() && self.slices.iter().all(|slice| slice.parts.is_empty())
    }

    /// The parts of the slice of a rank, the newest first. Not all of them need have the rank.
    #[inline]
    pub(crate) fn at(&self, rank: u64) -> &[Part] {
        let slice = self.slices.get(self.ends.partition_point(|end| *end <= rank));
        slice.map_or(&[], |slice| &slice.parts)
    }

    /// What has some of these ranks, the newest first.
    pub(crate) fn over(&self, ranks: &Range<u64>) -> Vec<Part> {
        let bottom = self.slices.iter().filter_map(|slice| slice.bottom.as_ref());
        let above = self.layers.iter().flat_map(|layer| &layer.parts);
        above.chain(bottom).filter_map(|part| part.within(ranks)).collect()
    }

    pub(crate) fn layers(&self) -> &[Layer] {
        &self.layers
    }

    pub(crate) fn slices(&self) -> &[Slice] {
        &self.slices
    }

    /// All parts, some of them perhaps of the same run: those of layers, and the bottom.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &Part> {
        let bottom = self.slices.iter().filter_map(|slice| slice.bottom.as_ref());
        self.layers.iter().flat_map(|layer| &layer.parts).chain(bottom)
    }

    /// All runs, each once, in the order of their files.
    pub(crate) fn runs(&self) -> Vec<&Arc<Run>> {
        let mut runs: Vec<_> = self.parts().map(|part| &part.run).collect();
        runs.sort_unstable_by_key(|run| run.place.file);
        runs.dedup_by_key(|run| run.place.file);
        runs
    }

    /// The most parts that a key is looked for in.
    pub(crate) fn depth(&self) -> usize {
        self.slices.iter().map(|slice| slice.parts.len()).max().unwrap_or(0)
    }

    /// Bytes of the bottom.
    pub(crate) fn bottom_bytes(&self) -> u64 {
        let bottom = self.slices.iter().filter_map(|slice| slice.bottom.as_ref());
        bottom.map(|part| part.bytes).sum()
    }

    /// Puts runs of one age, in the order of their ranks, on all others.
    pub(crate) fn add_layer(&mut self, parts: Vec<Part>) {
        if parts.is_empty() {
            return;
        }
        let id = self.next_id();
        self.layers.insert(0, Layer { id, parts });
        self.arrange();
    }

    /// Of some ranks, what is older than all of some layers.
    pub(crate) fn older(&self, layers: &[u64], ranks: &Range<u64>) -> Vec<Part> {
        let last = self.layers.iter().rposition(|layer| layers.contains(&layer.id));
        let layers = self.layers.iter().skip(last.map_or(0, |last| last + 1));
        let bottom = self.slices.iter().filter_map(|slice| slice.bottom.as_ref());
        let parts = layers.flat_map(|layer| &layer.parts).chain(bottom);
        parts.filter_map(|part| part.within(ranks)).collect()
    }

    /// Of some ranks, what some layers have, the newest first.
    pub(crate) fn of_layers(&self, layers: &[u64], ranks: &Range<u64>) -> Vec<Part> {
        let layers = self.layers.iter().filter(|layer| layers.contains(&layer.id));
        let parts = layers.flat_map(|layer| &layer.parts);
        parts.filter_map(|part| part.within(ranks)).collect()
    }

    /// A number for a layer.
    pub(crate) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Takes ranks out of neighbouring layers, and puts what they became where it belongs: at the
    /// bottom the ranks are those of a slice. Gives the runs that are not needed any more.
    pub(crate) fn replace(
        &mut self,
        ranks: &Range<u64>,
        inputs: &[u64],
        output: Option<Arc<Run>>,
        target: Target,
    ) -> Vec<Arc<Run>> {
        let mut taken = Vec::new();
        let is_input = |layer: &Layer| inputs.contains(&layer.id);
        let behind = self.layers.iter().rposition(is_input).map_or(0, |last| last + 1);
        for layer in self.layers.iter_mut().filter(|layer| is_input(layer)) {
            layer.parts = without(core::mem::take(&mut layer.parts), ranks, &mut taken);
        }
        let output = output.map(|run| Part::new(run, ranks.clone()));
        match target {
            Target::Bottom => {
                if let Some(slice) = self.slices.iter_mut().find(|slice| slice.ranks == *ranks) {
                    taken.extend(core::mem::replace(&mut slice.bottom, output));
                }
            }
            Target::Layer(id) => {
                let known = self.layers.iter_mut().find(|layer| layer.id == id);
                match (known, output) {
                    (Some(layer), output) => layer.parts.extend(output),
                    (None, Some(part)) => {
                        self.layers.insert(behind, Layer { id, parts: [part].into() });
                    }
                    (None, None) => {}
                }
            }
        }
        self.layers.retain(|layer| !layer.parts.is_empty());
        self.arrange();
        let mut runs: Vec<_> = taken.into_iter().map(|part| part.run).collect();
        runs.sort_unstable_by_key(|run| run.number);
        runs.dedup_by_key(|run| run.number);
        runs.retain(|run| !self.parts().any(|part| Arc::ptr_eq(&part.run, run)));
        runs
    }

    /// Divides a slice at ranks within it, in order.
    pub(crate) fn split(&mut self, slice: usize, cuts: &[u64]) {
        let Some(whole) = self.slices.get(slice).cloned() else { return };
        let mut begin = whole.ranks.start;
        let mut pieces = Vec::new();
        for end in cuts.iter().copied().chain([whole.ranks.end]) {
            if begin < end && end <= whole.ranks.end {
                let ranks = begin..end;
                let bottom = whole.bottom.as_ref().and_then(|part| part.within(&ranks));
                pieces.push(Slice { ranks, bottom, parts: Vec::new() });
                begin = end;
            }
        }
        self.slices.splice(slice..=slice, pieces);
        self.arrange();
    }

    /// Finds out again what lies in each slice.
    fn arrange(&mut self) {
        let Self { layers, slices, .. } = self;
        for slice in slices.iter_mut() {
            let first = |layer: &Layer| {
                layer.parts.partition_point(|part| part.ranks.end <= slice.ranks.start)
            };
            let parts = layers.iter().flat_map(|layer| {
                let rest = layer.parts.iter().skip(first(layer));
                rest.take_while(|part| part.ranks.start < slice.ranks.end)
            });
            let parts = parts.filter_map(|part| part.within(&slice.ranks));
            slice.parts = parts.chain(slice.bottom.clone()).collect();
        }
        self.ends = slices.iter().map(|slice| slice.ranks.end).collect();
    }
}

/// Parts without these ranks; those that had some of them are `taken`.
fn without(parts: Vec<Part>, ranks: &Range<u64>, taken: &mut Vec<Part>) -> Vec<Part> {
    let mut kept = Vec::new();
    for part in parts {
        if part.ranks.end <= ranks.start || ranks.end <= part.ranks.start {
            kept.push(part);
            continue;
        }
        kept.extend(part.within(&(0..ranks.start)));
        kept.extend(part.within(&(ranks.end..u64::MAX)));
        taken.push(part);
    }
    kept
}
