//! Writing the oldest frozen buffer to files: one, or one for a few slices of the ranks each.

use alloc::{collections::VecDeque, sync::Arc, vec::Vec};
use core::ops::Range;

use millstream_state::{Backend, Lease, StateError};

use super::LsmBackend;
use crate::{
    block::Op,
    buffer::{BufferCursor, BufferSource},
    filter::Filter,
    hiding::Hiding,
    merge::Source,
    run::Run,
    stack::Part,
    writer::{Entry, Writer},
};

/// One byte in so many is that of a head, about, and as many are there at least: a page of an index is for
/// more than half a megabyte, unless blocks are compressed well.
const HEAD_PART: u64 = 4096;
const HEAD_MIN: u64 = 256;

/// A buffer that is being written.
#[derive(Debug)]
pub(super) struct Flush {
    /// Whether there is nothing older.
    is_all: bool,
    /// How many keys there are, about.
    keys: u64,
    /// The ranks of files that were not begun.
    ranges: VecDeque<Range<u64>>,
    /// The file that is being filled.
    current: Option<Filling>,
    /// Files whose entries are all there.
    ending: Vec<Filling>,
}

/// A file of a buffer.
#[derive(Debug)]
struct Filling {
    ranks: Range<u64>,
    /// The state that is being written; behind the last, the index is.
    state: usize,
    cursor: Option<BufferCursor>,
    /// There is none before there is an entry.
    writer: Option<Writer>,
    /// Bytes that are reserved for the filter.
    reserved: u64,
}

impl Flush {
    /// The writers of files that are not complete.
    pub(super) fn writers(&mut self) -> impl Iterator<Item = &mut Writer> {
        let files = self.ending.iter_mut().chain(&mut self.current);
        files.filter_map(|file| file.writer.as_mut())
    }

    fn is_done(&mut self) -> bool {
        let has_ended = self.current.is_none() && self.ranges.is_empty();
        has_ended && self.writers().all(|writer| writer.is_done())
    }
}

impl<L: Lease> LsmBackend<L> {
    /// Writes up to so many entries; whether there is more to do at once.
    pub(super) fn flush_some(&mut self, entries: usize) -> Result<bool, StateError> {
        if self.flush.is_none() && !self.begin_flush() {
            return Ok(false);
        }
        let Some(mut flush) = self.flush.take() else { return Ok(false) };
        let went = self.go_on_flushing(&mut flush, entries);
        self.flush = Some(flush);
        let went = went?;
        if let Some(flush) = self.flush.take_if(|flush| flush.is_done()) {
            self.end_flush(flush)?;
            return Ok(true);
        }
        Ok(went)
    }

    /// The filter of a new run with so many keys, and the bytes that are reserved for it. A run without a
    /// filter is searched every time; that is better than no run.
    ///
    /// # Errors
    /// [`StateError::BudgetTooSmall`] if there is no room for the head of a run that has so many bytes, about: so
    /// that what is written can be opened again.
    pub(super) fn reserve_run(
        &mut self,
        keys: u64,
        bytes: u64,
    ) -> Result<(Filter, u64), StateError> {
        let head = bytes / HEAD_PART + HEAD_MIN;
        self.reserve_head(head)?;
        self.release(head);
        let bytes = Filter::bytes(keys);
        Ok(match self.reserve_spare(bytes) {
            true => (Filter::new(keys), bytes),
            false => (Filter::default(), 0),
        })
    }

    fn begin_flush(&mut self) -> bool {
        let Some(buffer) = self.frozen.last() else { return false };
        let keys = self.states.iter().map(|state| buffer.keys(&state.tables)).sum();
        self.flush = Some(Flush {
            is_all: self.stack.is_empty(),
            keys,
            ranges: self.ranges_of(buffer.memory.held()),
            current: None,
            ending: Vec::new(),
        });
        true
    }

    /// All ranks, divided between slices so that the files of so many bytes in all are not too small.
    fn ranges_of(&self, bytes: u64) -> VecDeque<Range<u64>> {
        let mut ranges = VecDeque::new();
        let Range { start: mut begin, end: last } = self.order.ranks();
        for slice in self.stack.slices() {
            let end = slice.ranks.end;
            if end == last || self.share(bytes, &(begin..end)) >= self.config.slice_min / 16 {
                ranges.push_back(begin..end);
                begin = end;
            }
        }
        ranges
    }

    /// How much of a sum belongs to these ranks, as keys are spread evenly.
    fn share(&self, sum: u64, ranks: &Range<u64>) -> u64 {
        let all = self.order.ranks();
        let share = u128::from(sum) * u128::from(ranks.end - ranks.start);
        share.checked_div((all.end - all.start).into()).unwrap_or(0) as u64
    }

    fn go_on_flushing(&mut self, flush: &mut Flush, entries: usize) -> Result<bool, StateError> {
        for file in &mut flush.ending {
            if let Some(writer) = &mut file.writer {
                writer.go_on(&mut self.staging, &mut self.transfers, &mut self.press);
            }
        }
        let mut current = flush.current.take();
        let went = self.fill_files(flush, &mut current, entries);
        flush.current = current;
        went
    }

    fn fill_files(
        &mut self,
        flush: &mut Flush,
        current: &mut Option<Filling>,
        entries: usize,
    ) -> Result<bool, StateError> {
        for _ in 0..entries {
            let Some(file) = current else {
                let Some(ranks) = flush.ranges.pop_front() else { return Ok(false) };
                *current =
                    Some(Filling { ranks, state: 0, cursor: None, writer: None, reserved: 0 });
                continue;
            };
            match self.fill(file, flush)? {
                Filled::Some => {}
                Filled::Waits => return Ok(false),
                Filled::All => {
                    flush.ending.extend(current.take().filter(|file| file.writer.is_some()));
                }
            }
        }
        Ok(true)
    }

    /// Writes an entry of a file, or goes to the next state, or ends it.
    fn fill(&mut self, file: &mut Filling, flush: &Flush) -> Result<Filled, StateError> {
        let Some(buffer) = self.frozen.last() else { return Ok(Filled::All) };
        let Some(state) = self.states.get(file.state) else {
            let cleared = if flush.is_all { Vec::new() } else { buffer.cleared().to_vec() };
            if !cleared.is_empty() && !self.has_writer(file, flush)?
                || file
                    .writer
                    .as_mut()
                    .is_some_and(|writer| !writer.is_ready(&mut self.staging, &mut self.transfers))
            {
                return Ok(Filled::Waits);
            }
            if let Some(writer) = &mut file.writer {
                writer.finish(cleared, &mut self.press);
                writer.go_on(&mut self.staging, &mut self.transfers, &mut self.press);
            }
            return Ok(Filled::All);
        };
        let number = file.state as u16;
        let first = file.ranks.start;
        let cursor = file.cursor.get_or_insert_with(|| {
            BufferCursor::new(number, state.spec.kind, state.tables, self.order, first)
        });
        let mut source = BufferSource { buffer, cursor };
        if !source.fill()? || source.entry().rank >= file.ranks.end {
            file.cursor = None;
            file.state += 1;
            return Ok(Filled::Some);
        }
        let op = match (source.entry().op, flush.is_all) {
            (Op::Gone, true) => {
                source.take();
                return Ok(Filled::Some);
            }
            (Op::Add, true) => Op::Whole,
            (op, _) => op,
        };
        if !self.has_writer(file, flush)? {
            return Ok(Filled::Waits);
        }
        let (Some(writer), Some(cursor), Some(buffer)) =
            (&mut file.writer, &mut file.cursor, self.frozen.last())
        else {
            return Ok(Filled::Waits);
        };
        let mut source = BufferSource { buffer, cursor };
        writer.push(number, &self.order, &Entry { op, ..source.entry() }, &mut self.press)?;
        source.take();
        Ok(Filled::Some)
    }

    /// Makes sure that a file has a writer; whether that is ready.
    fn has_writer(&mut self, file: &mut Filling, flush: &Flush) -> Result<bool, StateError> {
        if file.writer.is_none() {
            // Keys are not spread quite evenly.
            let keys = self.share(flush.keys, &file.ranks);
            let keys = (keys + keys / 16 + 64).min(flush.keys);
            let (filter, reserved) = self.reserve_run(keys, self.shares.buffer())?;
            let hiding = Hiding::new(keys, self.stack.over(&file.ranks));
            let number = self.take_file();
            let codec = self.codec(self.config.compression.upper);
            file.writer = Some(Writer::new(number, codec, filter, hiding, &mut self.transfers));
            file.reserved = reserved;
        }
        let writer = file.writer.as_mut();
        Ok(writer.is_some_and(|writer| writer.is_ready(&mut self.staging, &mut self.transfers)))
    }

    fn end_flush(&mut self, flush: Flush) -> Result<(), StateError> {
        let mut parts = Vec::new();
        for Filling { ranks, writer, reserved, .. } in flush.ending {
            let Some(writer) = writer else { continue };
            let run = self.new_run(writer, reserved, ranks.clone())?;
            parts.push(Part::new(run, ranks));
        }
        self.flushed(parts.iter().map(|part| part.run.place.length).sum());
        Arc::make_mut(&mut self.stack).add_layer(parts);
        self.frozen.pop();
        if let Some(snapshot) = &mut self.snapshot {
            snapshot.flushed(&self.stack);
        }
        Ok(())
    }

    /// A run from what was written, of entries with these ranks, whose filter is paid for.
    pub(super) fn new_run(
        &mut self,
        writer: Writer,
        filter: u64,
        ranks: Range<u64>,
    ) -> Result<Arc<Run>, StateError> {
        let (place, mut index, mut words) = writer.into_parts(ranks);
        let mut reserved = filter;
        if self.config.holds_indexes && self.reserve_spare(index.bytes()) {
            reserved += index.bytes();
            index.pages = Vec::new();
        } else {
            self.release(filter);
            self.reserve_head(index.head_bytes())?;
            reserved = index.head_bytes();
            index.forget_pages();
            words = Filter::default();
        }
        let run = Arc::new(Run {
            number: self.cache.free_number(),
            place,
            index,
            filter: words,
            reserved,
            is_restored: false,
        });
        self.cache.add_run(&run);
        Ok(run)
    }
}

/// What filling a file came to.
enum Filled {
    Some,
    All,
    Waits,
}
