//! What is merged next.
//!
//! Layers of about one size become one as in size-tiered compaction (RocksDB calls it universal), six at a
//! time. What is merged into the bottom goes by slices, one at a time, and each slice is a thirty-second of
//! the state: so a merge needs little more room on the disk than a thirty-second of it, and no checkpoint
//! has the whole state to write. Two things lead to it:
//!
//! - The state **grows**: the layers of a window, down to the oldest, have at least as much as the bottom.
//!   All slices are merged then, one after the other, a *sweep*.
//! - There is **garbage**: what runs [hide](crate::hiding) in older ones, and ranks of files that are not seen
//!   any more, are more than a sixth of the rest. The slice is merged in which that gives back most for a byte
//!   that is written.
//!
//! What it costs, as multiples of what is flushed. While keys are uniform and all there, garbage is a sixth of
//! the bottom on average, and so about a third in the slice that is next: it is rewritten for a third of its
//! size in new data, which costs 3, beside 1 for the flush and at most 1 for merging six layers into one. So
//! if a checkpoint has 1 % that is new, about 5 % are written, and on the disk are 1.17 times the state, and a
//! slice. While the state grows by new keys nothing is garbage, and the bottom is rewritten when it doubles: 2,
//! beside 1 for the flush and 1 for every magnitude of six from a write buffer to the bottom, which are two
//! for fifty buffers. Rewriting the bottom for each sixth it grows by would cost 7.
//!
//! Merging into the bottom, and merging large layers, is paid with **credit**, six bytes for each that is
//! flushed, and what is not used is kept for one slice: so what a checkpoint has to write is bounded by what has
//! come in since the one before. Only when there are too many layers nothing waits for credit.

use alloc::{collections::BTreeMap, sync::Arc, vec::Vec};
use core::ops::Range;

use crate::stack::{Layer, Part, Slice, Stack, Target};

#[cfg(test)]
mod tests;

/// Layers of about one size that are worth merging.
const LAYERS_MIN: usize = 6;
/// Slices of the bottom.
const SLICES: u64 = 32;
/// What is not garbage is so many times what may be.
const GARBAGE_SHARE: u64 = 6;
/// Bytes that may be merged into the bottom for each that is flushed.
const CREDIT: u64 = 6;
/// Slices that layers may have in all, so that they are merged without credit.
const LARGE: u64 = 2;
/// Blocks of a part that are looked at to divide a slice, about.
const SAMPLES: u32 = 256;

/// What bounds a merge.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Parts that are merged at once.
    pub(crate) fan_in: usize,
    /// Layers beyond this many are merged whatever their sizes are.
    pub(crate) layers_max: usize,
    /// Bytes of the smallest slice.
    pub(crate) slice_min: u64,
}

/// A merge of one range of ranks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) ranks: Range<u64>,
    /// Neighbouring layers, the newest first; and the bottom, if that is the target.
    pub(crate) layers: Vec<u64>,
    pub(crate) target: Target,
}

/// What is merged next, and what is being merged.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    /// The layers that are becoming one.
    small: Option<Layers>,
    /// Older ones that are, and so large that they are paid with credit.
    large: Option<Layers>,
    /// The rank from which on slices are still to be merged.
    sweep: Option<u64>,
    credit: i64,
    /// Whether nothing is to be merged until something is flushed.
    is_settled: bool,
}

/// Layers that are becoming one, range by range.
#[derive(Debug)]
struct Layers {
    inputs: Vec<u64>,
    output: u64,
    /// The rank that is next.
    from: u64,
}

impl Schedule {
    /// So many bytes were flushed.
    pub(crate) fn flushed(&mut self, bytes: u64, stack: &Stack, limits: &Limits) {
        let kept = self.credit.min(slice_size(stack, limits) as i64);
        self.credit = kept.saturating_add_unsigned(CREDIT * bytes);
        self.is_settled = false;
    }

    /// A job is done, and its outcome has so many bytes.
    pub(crate) fn merged(&mut self, bytes: u64, target: Target) {
        let large = self.large.as_ref().map(|layers| Target::Layer(layers.output));
        if target == Target::Bottom || Some(target) == large {
            self.credit = self.credit.saturating_sub_unsigned(bytes);
        }
        self.is_settled = false;
    }

    /// Whether nothing is to be merged.
    pub(crate) fn is_settled(&self) -> bool {
        self.is_settled
    }

    /// The next job; slices may be divided for it.
    pub(crate) fn next(&mut self, stack: &mut Arc<Stack>, limits: &Limits) -> Option<Job> {
        if self.is_settled {
            return None;
        }
        let mut job = next_range(&mut self.small, stack, limits);
        if job.is_none() {
            self.choose(stack, limits);
            job = next_range(&mut self.small, stack, limits);
        }
        let may_pay = self.credit > 0 || stack.layers().len() > limits.layers_max;
        if job.is_none() && may_pay {
            job = next_range(&mut self.large, stack, limits);
            job = job.or_else(|| self.merge_slice(stack, limits));
        }
        self.is_settled = job.is_none();
        job
    }

    /// Decides which layers become one, and whether all slices are merged.
    fn choose(&mut self, stack: &mut Arc<Stack>, limits: &Limits) {
        let is_taken = |layer: &Layer| {
            self.large.as_ref().is_some_and(|large| large.inputs.contains(&layer.id))
        };
        let free = stack.layers().iter().take_while(|layer| !is_taken(layer));
        let free: Vec<&Layer> = free.collect();
        let sizes: Vec<u64> = free.iter().map(|layer| layer.bytes()).collect();
        let bottom = if self.large.is_some() { u64::MAX } else { stack.bottom_bytes() };
        match choose(&sizes, bottom, limits.fan_in, limits.layers_max) {
            None => {}
            Some(Choice::All) => {
                let first = stack.slices().first().map_or(0, |slice| slice.ranks.start);
                self.sweep.get_or_insert(first);
            }
            Some(Choice::Layers(chosen)) => {
                let bytes: u64 = sizes.get(chosen.clone()).unwrap_or(&[]).iter().sum();
                let is_large = bytes > LARGE * slice_size(stack, limits) && self.large.is_none();
                let chosen = free.get(chosen).unwrap_or(&[]);
                let inputs = chosen.iter().map(|layer| layer.id).collect();
                let output = Arc::make_mut(stack).next_id();
                let layers = Some(Layers { inputs, output, from: 0 });
                if is_large {
                    self.large = layers;
                } else {
                    self.small = layers;
                }
            }
        }
    }

    fn merge_slice(&mut self, stack: &mut Arc<Stack>, limits: &Limits) -> Option<Job> {
        let swept = self.sweep.and_then(|from| {
            let is_left = |slice: &Slice| slice.ranks.start >= from && slice.above() > 0;
            stack.slices().iter().position(is_left)
        });
        if swept.is_none() {
            self.sweep = None;
        }
        let chosen = swept.or_else(|| most_garbage(stack, limits))?;
        let slice = stack.slices().get(chosen)?;
        let pieces = slice.bytes() / slice_size(stack, limits).max(1);
        if pieces >= 2 {
            let cuts = cuts(slice, pieces);
            Arc::make_mut(stack).split(chosen, &cuts);
        }
        let slice = stack.slices().get(chosen)?;
        let above = limits.fan_in - usize::from(slice.bottom.is_some());
        let oldest = stack.layers().iter().rev().filter(|layer| layer.covers(slice.ranks.start));
        let mut layers: Vec<u64> = oldest.take(above).map(|layer| layer.id).collect();
        layers.reverse();
        self.sweep = self.sweep.map(|_| slice.ranks.end);
        Some(Job { ranks: slice.ranks.clone(), layers, target: Target::Bottom })
    }
}

/// The next ranks of layers that are becoming one: some slices, so that the file is not too small.
fn next_range(layers: &mut Option<Layers>, stack: &Stack, limits: &Limits) -> Option<Job> {
    let Layers { inputs, output, from } = layers.as_mut()?;
    let of_inputs = stack.layers().iter().filter(|layer| inputs.contains(&layer.id));
    let of_inputs: Vec<_> = of_inputs.collect();
    let clears = |part: &Part| !part.run.index.cleared.is_empty();
    let clears = of_inputs.iter().any(|layer| layer.parts.iter().any(clears));
    let covered = |slice: &Slice| -> Vec<bool> {
        of_inputs.iter().map(|layer| layer.covers(slice.ranks.start)).collect()
    };
    let slices = stack.slices().iter().filter(|slice| slice.ranks.start >= *from);
    let mut slices =
        slices.map(|slice| (covered(slice), slice)).filter(|slice| slice.0.contains(&true));
    let Some((covered, first)) = slices.next() else {
        *layers = None;
        return None;
    };
    let bytes = |ranks: &Range<u64>| {
        let parts = stack.of_layers(inputs, ranks);
        (parts.len() <= limits.fan_in).then(|| parts.iter().map(|part| part.bytes).sum::<u64>())
    };
    let mut ranks = first.ranks.clone();
    for (also, slice) in slices {
        let wider = ranks.start..slice.ranks.end;
        let is_small = bytes(&ranks).is_some_and(|bytes| bytes < limits.slice_min / 16);
        // What a run has cleared would be cleared where it is not seen.
        let may = !clears || also == covered && slice.ranks.start == ranks.end;
        if !is_small || !may || bytes(&wider).is_none() {
            break;
        }
        ranks = wider;
    }
    *from = ranks.end;
    Some(Job { ranks, layers: inputs.clone(), target: Target::Layer(*output) })
}

/// Which layers are merged next.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Choice {
    Layers(Range<usize>),
    /// All of them, into the bottom.
    All,
}

/// Chooses between layers of these sizes, the newest first, over a bottom of another.
fn choose(sizes: &[u64], bottom: u64, fan_in: usize, layers_max: usize) -> Option<Choice> {
    for first in 0..sizes.len() {
        let (mut sum, mut end) = (0, first);
        while end < sizes.len() && end - first < fan_in {
            let count = (end - first) as u64;
            // At most twice the mean of those before, or what is large would be rewritten for what is small.
            if count > 0 && sizes[end] * count > 2 * sum {
                break;
            }
            sum += sizes[end];
            end += 1;
        }
        if end - first >= LAYERS_MIN.min(fan_in) {
            let is_all = end == sizes.len() && bottom <= sum;
            return Some(if is_all { Choice::All } else { Choice::Layers(first..end) });
        }
    }
    if sizes.len() <= layers_max.max(1) {
        return None;
    }
    let count = LAYERS_MIN.min(fan_in).min(sizes.len());
    let sum = |first: &usize| sizes[*first..*first + count].iter().sum::<u64>();
    let first = (0..=sizes.len() - count).min_by_key(sum)?;
    Some(Choice::Layers(first..first + count))
}

/// Bytes of a slice.
fn slice_size(stack: &Stack, limits: &Limits) -> u64 {
    let all: u64 = stack.slices().iter().map(Slice::bytes).sum();
    (all / SLICES).max(limits.slice_min)
}

/// The slice in which a merge gives back most, if there is too much garbage in all.
fn most_garbage(stack: &Stack, limits: &Limits) -> Option<usize> {
    let mut seen = BTreeMap::new();
    for part in stack.parts() {
        *seen.entry(part.run.place.file).or_insert(0) += part.bytes;
    }
    // Of a part: its share of what is not seen of its file, and what it hides.
    let unseen = |part: &Part| {
        let seen = seen.get(&part.run.place.file).copied().unwrap_or(0).max(1);
        let unseen = part.run.place.length.saturating_sub(seen);
        (u128::from(part.bytes) * u128::from(unseen) / u128::from(seen)) as u64
    };
    let hidden = |part: &Part| part.bytes * u64::from(part.run.place.hiding.min(1000)) / 1000;
    let garbage = |slice: &Slice| -> u64 {
        let above = slice.parts.iter().take(slice.above());
        slice.parts.iter().map(unseen).sum::<u64>() + above.map(hidden).sum::<u64>()
    };
    let all: u64 = stack.slices().iter().map(garbage).sum();
    let bytes: u64 = stack.runs().iter().map(|run| run.place.length).sum();
    if all <= bytes.saturating_sub(all) / GARBAGE_SHARE + limits.slice_min / 4 {
        return None;
    }
    let gain = |slice: &Slice| 1000 * garbage(slice) / slice.bytes().max(1);
    let gains = stack.slices().iter().map(gain).enumerate().filter(|(_, gain)| *gain > 0);
    gains.max_by_key(|(at, gain)| (*gain, usize::MAX - at)).map(|(at, _)| at)
}

/// Ranks that divide a slice into pieces of about one size.
fn cuts(slice: &Slice, pieces: u64) -> Vec<u64> {
    let mut samples = Vec::new();
    for part in &slice.parts {
        let index = &part.run.index;
        for (_, section) in &index.sections {
            samples.extend(index.samples(section, &part.ranks, SAMPLES));
        }
    }
    samples.sort_unstable();
    let all: u64 = samples.iter().map(|sample| sample.1).sum();
    let (mut cuts, mut sum) = (Vec::new(), 0);
    for (rank, weight) in samples {
        sum += weight;
        // A rank is never divided.
        let cut = rank.saturating_add(1);
        let cut_after = cuts.len() as u64 + 1;
        let is_next = cut_after < pieces && sum * pieces >= cut_after * all;
        let is_behind = cuts.last().copied().unwrap_or(slice.ranks.start) < cut;
        if is_next && is_behind && cut < slice.ranks.end {
            cuts.push(cut);
        }
    }
    cuts
}
