//! Merging parts of runs, a few entries at a time. What is merged next is the [schedule's](crate::schedule).

use alloc::{boxed::Box, collections::BTreeSet, sync::Arc, vec::Vec};

use millstream_state::{Kind, Lease, StateError};

use super::{LsmBackend, State};
use crate::{
    block::Op,
    hiding::Hiding,
    merge::{Merge, Source, Step},
    schedule::{Job, Limits},
    stack::{Part, Target},
    stream::Stream,
    writer::{Entry, Writer},
};

/// Parts that are being merged.
#[derive(Debug)]
pub(super) struct Compaction {
    job: Job,
    pub(super) writer: Writer,
    /// The newest first.
    pub(super) streams: Vec<Stream>,
    /// Namespaces of which nothing older than any of the parts counts.
    cleared: Vec<(u16, Box<[u8]>)>,
    /// States that are still to be merged; the last is the next.
    states: Vec<u16>,
    state: Option<u16>,
    merge: Merge,
    /// Whether there is nothing older.
    is_all: bool,
    reserved: u64,
    has_ended: bool,
}

impl<L: Lease> LsmBackend<L> {
    /// Merges up to so many entries; whether there is more to do at once.
    pub(super) fn compact_some(&mut self, entries: usize) -> Result<bool, StateError> {
        if self.compaction.is_none() && !self.begin_compaction()? {
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

    fn limits(&self) -> Limits {
        let (layers_max, _) = self.shares.runs(&self.config, self.cache.reads_max());
        let (fan_in, slice_min) = (self.shares.fan_in, self.config.slice_min);
        Limits { fan_in, layers_max, slice_min }
    }

    /// A buffer was written, to files of so many bytes.
    pub(super) fn flushed(&mut self, bytes: u64) {
        let limits = self.limits();
        self.schedule.flushed(bytes, &self.stack, &limits);
    }

    fn begin_compaction(&mut self) -> Result<bool, StateError> {
        if !self.config.merges || self.schedule.is_settled() {
            return Ok(false);
        }
        let limits = self.limits();
        let Some(job) = self.schedule.next(&mut self.stack, &limits) else { return Ok(false) };
        let stack = &self.stack;
        let mut parts = stack.of_layers(&job.layers, &job.ranks);
        let older = match job.target {
            Target::Layer(_) => stack.older(&job.layers, &job.ranks),
            Target::Bottom => {
                let slice = stack.at(job.ranks.start).last();
                let bottom = slice.filter(|part| !parts.iter().any(|known| known.is(part)));
                let bottom = bottom.and_then(|part| part.within(&job.ranks));
                parts.extend(bottom);
                Vec::new()
            }
        };
        let is_all = older.is_empty();
        let keys = parts.iter().map(Part::keys).sum();
        let bytes = parts.iter().map(|part| part.bytes).sum();
        let (filter, reserved) = self.reserve_run(keys, bytes)?;
        let (mut states, mut cleared) = (BTreeSet::new(), BTreeSet::new());
        for index in parts.iter().map(|part| &part.run.index) {
            states.extend(index.sections.iter().map(|section| section.0));
            cleared.extend(index.cleared.iter().filter(|_| !is_all).cloned());
        }
        let number = self.take_file();
        let hiding = Hiding::new(keys, older);
        let codec = match job.target {
            Target::Layer(_) => self.codec(self.config.compression.upper),
            Target::Bottom => self.codec(self.config.compression.bottom),
        };
        let zstd = &self.press.zstd;
        let stream = |part| Stream::new(self.transfers.number(), part, self.order, zstd.clone());
        self.compaction = Some(Compaction {
            job,
            streams: parts.into_iter().map(stream).collect(),
            writer: Writer::new(number, codec, filter, hiding, &mut self.transfers),
            cleared: cleared.into_iter().collect(),
            states: states.into_iter().rev().collect(),
            state: None,
            merge: Merge::new(is_all),
            is_all,
            reserved,
            has_ended: false,
        });
        Ok(true)
    }

    fn go_on_merging(
        &mut self,
        compaction: &mut Compaction,
        entries: usize,
    ) -> Result<bool, StateError> {
        let Compaction { writer, streams, cleared, states, state, merge, .. } = compaction;
        let is_all = compaction.is_all;
        for _ in 0..entries {
            if compaction.has_ended {
                writer.go_on(&mut self.staging, &mut self.transfers, &mut self.press);
                return Ok(false);
            }
            if !writer.is_ready(&mut self.staging, &mut self.transfers) {
                return Ok(false);
            }
            let Some(number) = *state else {
                let Some(next) = states.pop() else {
                    streams.iter_mut().for_each(|stream| stream.end(&mut self.staging));
                    writer.finish(core::mem::take(cleared), &mut self.press);
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
                        stream.ask(&self.cache, &mut self.staging, &mut self.transfers)?;
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
                writer.push(number, &self.order, &entry, &mut self.press)?;
                self.merged += 1;
            }
            stream.take();
        }
        Ok(true)
    }

    fn end_compaction(&mut self, compaction: Compaction) -> Result<(), StateError> {
        let Compaction { job: Job { ranks, layers, target }, writer, reserved, .. } = compaction;
        let run = self.new_run(writer, reserved, ranks.clone())?;
        self.schedule.merged(run.place.length, target);
        let is_empty = run.index.blocks_in_all() == 0 && run.index.cleared.is_empty();
        let output = (!is_empty).then(|| run.clone());
        let stack = Arc::make_mut(&mut self.stack);
        self.obsolete.extend(stack.replace(&ranks, &layers, output, target));
        self.obsolete.extend(is_empty.then_some(run));
        Ok(())
    }
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
