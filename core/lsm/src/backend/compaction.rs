//! Merging runs of neighbouring age, a few entries at a time.
//!
//! Which runs are merged follows size-tiered compaction with a limit on the number of runs (RocksDB calls
//! it universal): several runs of about the same size become one, so each entry is written once for each
//! magnitude of the state's size.

use alloc::{boxed::Box, collections::BTreeSet, sync::Arc, vec::Vec};
use core::ops::Range;

use millstream_state::{Kind, Lease, StateError};

use super::{LsmBackend, State};
use crate::{
    block::Op,
    merge::{Merge, Source, Step},
    run::Run,
    stream::Stream,
    writer::{Entry, Writer},
};

/// Runs of about one size that are worth merging.
const RUNS_MIN: usize = 4;

/// Runs that are being merged.
#[derive(Debug)]
pub(super) struct Compaction {
    pub(super) writer: Writer,
    /// The runs, the newest first.
    inputs: Vec<Arc<Run>>,
    pub(super) streams: Vec<Stream>,
    /// States that are still to be merged; the last is the next.
    states: Vec<u16>,
    state: Option<u16>,
    merge: Merge,
    is_all: bool,
    reserved: u64,
    has_ended: bool,
}

/// Which runs are merged next, of runs of these sizes, the newest first, that may be merged.
fn choose(
    sizes: &[u64],
    fan_in: usize,
    runs_max: usize,
    may: impl Fn(&Range<usize>) -> bool,
) -> Option<Range<usize>> {
    for first in 0..sizes.len() {
        let (mut sum, mut end) = (0, first);
        while end < sizes.len() && end - first < fan_in && (end == first || sizes[end] <= 2 * sum) {
            sum += sizes[end];
            end += 1;
        }
        if end - first >= RUNS_MIN.min(fan_in) && may(&(first..end)) {
            return Some(first..end);
        }
    }
    if sizes.len() <= runs_max {
        return None;
    }
    let count = fan_in.min(sizes.len());
    let sum = |first: &usize| sizes[*first..*first + count].iter().sum::<u64>();
    let firsts = (0..=sizes.len() - count).filter(|first| may(&(*first..*first + count)));
    firsts.min_by_key(sum).map(|first| first..first + count)
}

impl<L: Lease> LsmBackend<L> {
    /// Merges up to so many entries; whether there is more to do at once.
    pub(super) fn compact_some(&mut self, entries: usize) -> Result<bool, StateError> {
        if self.compaction.is_none() && !self.begin_compaction() {
            return Ok(false);
        }
        let Some(mut compaction) = self.compaction.take() else { return Ok(false) };
        let went = self.go_on_merging(&mut compaction, entries);
        self.compaction = Some(compaction);
        let went = went?;
        let is_done = |done: &mut Compaction| done.has_ended && done.writer.is_done();
        if let Some(compaction) = self.compaction.take_if(is_done) {
            self.end_compaction(compaction)?;
            return Ok(true);
        }
        Ok(went)
    }

    fn begin_compaction(&mut self) -> bool {
        if !self.config.merges {
            return false;
        }
        let sizes: Vec<u64> = self.runs.iter().map(|run| run.place.length).collect();
        let (runs_max, _) = self.shares.runs(&self.config, self.cache.blocks_max());
        let may = |chosen: &Range<usize>| self.may_merge(chosen);
        let chosen = choose(&sizes, self.shares.fan_in(), runs_max, may);
        let Some(chosen) = chosen.filter(|chosen| chosen.len() > 1) else { return false };
        let is_all = chosen.end == self.runs.len();
        let inputs: Vec<_> = self.runs.get(chosen).unwrap_or(&[]).to_vec();
        let keys = inputs.iter().map(|run| run.index.entries).sum();
        let (filter, reserved) = self.reserve_filter(keys);
        let mut states = BTreeSet::new();
        let mut streams = Vec::new();
        for run in &inputs {
            states.extend(run.index.sections.iter().map(|section| section.0));
            streams.push(Stream::new(self.transfers.number(), run.clone(), self.order));
        }
        self.compaction = Some(Compaction {
            writer: Writer::new(self.take_file(), filter, &mut self.transfers),
            inputs,
            streams,
            states: states.into_iter().rev().collect(),
            state: None,
            merge: Merge::new(is_all),
            is_all,
            reserved,
            has_ended: false,
        });
        true
    }

    /// Whether runs may become one. What one of them has cleared would be cleared in all key groups.
    fn may_merge(&self, chosen: &Range<usize>) -> bool {
        let runs = self.runs.get(chosen.clone()).unwrap_or(&[]);
        let is_all = chosen.end == self.runs.len();
        let clears = runs.iter().any(|run| !run.index.cleared.is_empty());
        is_all || !clears || runs.windows(2).all(|pair| pair[0].ranks() == pair[1].ranks())
    }

    fn go_on_merging(
        &mut self,
        compaction: &mut Compaction,
        entries: usize,
    ) -> Result<bool, StateError> {
        let Compaction { writer, inputs, streams, states, state, merge, .. } = compaction;
        let is_all = compaction.is_all;
        for _ in 0..entries {
            if compaction.has_ended {
                writer.go_on(&mut self.staging, &mut self.transfers);
                return Ok(false);
            }
            if !writer.is_ready(&mut self.staging, &mut self.transfers) {
                return Ok(false);
            }
            let Some(number) = *state else {
                let Some(next) = states.pop() else {
                    streams.iter_mut().for_each(|stream| stream.end(&mut self.staging));
                    writer.finish(if is_all { Vec::new() } else { cleared(inputs) });
                    compaction.has_ended = true;
                    continue;
                };
                streams.iter_mut().for_each(|stream| stream.begin(next));
                *merge = Merge::new(is_all);
                *state = Some(next);
                continue;
            };
            let step = match merge.next(streams) {
                Ok(Some(step)) => step,
                Ok(None) => {
                    *state = None;
                    continue;
                }
                Err(StateError::Waits) => {
                    for stream in streams {
                        stream.ask(&mut self.staging, &mut self.transfers);
                    }
                    return Ok(false);
                }
                Err(error) => return Err(error),
            };
            let Step { source, op, piece } = step;
            let Some(stream) = streams.get_mut(source) else { continue };
            let entry = Entry { op, piece, ..stream.entry() };
            let kept = match self.states.get(usize::from(number)) {
                Some(state) => living(state, entry, is_all, self.now),
                None => Some(entry),
            };
            if let Some(entry) = kept {
                writer.push(number, &self.order, &entry)?;
                self.merged += 1;
            }
            stream.take();
        }
        Ok(true)
    }

    fn end_compaction(&mut self, compaction: Compaction) -> Result<(), StateError> {
        let Compaction { writer, inputs, reserved, .. } = compaction;
        let run = self.new_run(writer, reserved)?;
        let first = inputs.first();
        let is_first = |run: &Arc<Run>| first.is_some_and(|first| Arc::ptr_eq(first, run));
        // Newer runs may have come in front of them meanwhile.
        if let Some(first) = self.runs.iter().position(is_first) {
            self.obsolete.extend(self.runs.splice(first..first + inputs.len(), [run]));
        }
        Ok(())
    }
}

/// Namespaces of which nothing older than any of the runs counts.
fn cleared(inputs: &[Arc<Run>]) -> Vec<(u16, Box<[u8]>)> {
    let all = inputs.iter().flat_map(|run| run.index.cleared.iter().cloned());
    let all: BTreeSet<_> = all.collect();
    all.into_iter().collect()
}

/// The entry, or what is left of it when its time is over: nothing, if nothing older can come up again.
/// Lists are not looked into, since a piece may begin within an element.
fn living<'a>(state: &State, entry: Entry<'a>, is_all: bool, now: i64) -> Option<Entry<'a>> {
    let can_expire = entry.op == Op::Whole && state.spec.kind != Kind::List;
    let Some(ttl) = state.ttl.filter(|_| can_expire && entry.piece == 0) else {
        return Some(entry);
    };
    // What goes on in further pieces is left to the next who reads it.
    let is_short = entry.value.len() < crate::block::PIECE_MAX / 2;
    if !is_short || !ttl.is_expired(entry.value, now) {
        return Some(entry);
    }
    (!is_all).then_some(Entry { op: Op::Gone, value: &[], ..entry })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_one_size_are_merged() {
        let all = |_: &Range<usize>| true;
        assert_eq!(choose(&[], 8, 12, all), None);
        assert_eq!(choose(&[1, 1, 1], 8, 12, all), None);
        assert_eq!(choose(&[1, 1, 1, 1], 8, 12, all), Some(0..4));
        assert_eq!(choose(&[1, 10, 10, 11, 9, 300], 8, 12, all), Some(1..5));
        assert_eq!(choose(&[1, 1, 1, 1, 100], 8, 12, all), Some(0..4));
        assert_eq!(choose(&[1, 1], 2, 12, all), Some(0..2));
        assert_eq!(choose(&[1, 10, 100, 1000], 8, 3, all), Some(0..4));
        assert_eq!(choose(&[1, 10, 100, 1000, 10_000], 2, 3, all), Some(0..2));
        let last = |chosen: &Range<usize>| chosen.end == 5;
        assert_eq!(choose(&[1, 10, 100, 1000, 10_000], 2, 3, last), Some(3..5));
    }
}
