//! Writing the oldest frozen buffer to a file.

use alloc::{sync::Arc, vec::Vec};

use millstream_state::{Lease, StateError};

use super::LsmBackend;
use crate::{
    block::Op,
    buffer::{BufferCursor, BufferSource},
    filter::Filter,
    merge::Source,
    run::Run,
    writer::{Entry, Writer},
};

/// A buffer that is being written.
#[derive(Debug)]
pub(super) struct Flush {
    pub(super) writer: Writer,
    /// The state that is being written; behind the last, the index is.
    state: usize,
    cursor: Option<BufferCursor>,
    /// Whether there is nothing older.
    is_all: bool,
    /// Bytes that are reserved for the filter.
    reserved: u64,
    has_ended: bool,
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
        if let Some(flush) = self.flush.take_if(|flush| flush.has_ended && flush.writer.is_done()) {
            self.end_flush(flush)?;
            return Ok(true);
        }
        Ok(went)
    }

    /// The filter of a new run with so many keys, and the bytes that are reserved for it. A run without a
    /// filter is searched every time; that is better than no run.
    pub(super) fn reserve_filter(&mut self, keys: u64) -> (Filter, u64) {
        let bytes = Filter::bytes(keys);
        match self.reserve(bytes) {
            true => (Filter::new(keys), bytes),
            false => (Filter::default(), 0),
        }
    }

    fn begin_flush(&mut self) -> bool {
        let Some(buffer) = self.frozen.last() else { return false };
        let keys = self.states.iter().map(|state| buffer.keys(&state.tables)).sum();
        let (filter, reserved) = self.reserve_filter(keys);
        let writer = Writer::new(self.take_file(), filter, &mut self.transfers);
        let is_all = self.runs.is_empty();
        let has_ended = false;
        self.flush = Some(Flush { writer, state: 0, cursor: None, is_all, reserved, has_ended });
        true
    }

    fn go_on_flushing(&mut self, flush: &mut Flush, entries: usize) -> Result<bool, StateError> {
        let Some(buffer) = self.frozen.last() else { return Ok(false) };
        for _ in 0..entries {
            if flush.has_ended {
                flush.writer.go_on(&mut self.staging, &mut self.transfers);
                return Ok(false);
            }
            if !flush.writer.is_ready(&mut self.staging, &mut self.transfers) {
                return Ok(false);
            }
            let Some(state) = self.states.get(flush.state) else {
                let cleared = if flush.is_all { Vec::new() } else { buffer.cleared().to_vec() };
                flush.writer.finish(cleared);
                flush.has_ended = true;
                continue;
            };
            let number = flush.state as u16;
            let cursor = flush.cursor.get_or_insert_with(|| {
                let first = self.order.ranks().start;
                BufferCursor::new(number, state.spec.kind, state.tables, self.order, first)
            });
            let mut source = BufferSource { buffer, cursor };
            if !source.fill()? {
                flush.cursor = None;
                flush.state += 1;
                continue;
            }
            let entry = source.entry();
            let op = match (entry.op, flush.is_all) {
                (Op::Gone, true) => None,
                (Op::Add, true) => Some(Op::Whole),
                (op, _) => Some(op),
            };
            if let Some(op) = op {
                flush.writer.push(number, &self.order, &Entry { op, ..entry })?;
            }
            source.take();
        }
        Ok(true)
    }

    fn end_flush(&mut self, flush: Flush) -> Result<(), StateError> {
        let run = self.new_run(flush.writer, flush.reserved)?;
        self.runs.insert(0, run);
        self.frozen.pop();
        if let Some(snapshot) = &mut self.snapshot {
            snapshot.flushed(&self.runs);
        }
        Ok(())
    }

    /// A run from what was written, whose filter is paid for.
    pub(super) fn new_run(&mut self, writer: Writer, filter: u64) -> Result<Arc<Run>, StateError> {
        let (place, index, filter_words) = writer.into_parts(self.order.owned());
        let bytes = index.bytes();
        if !self.reserve(bytes) {
            return Err(self.out_of_budget("index of a file"));
        }
        let run = Arc::new(Run {
            number: self.cache.free_number(),
            place,
            index,
            filter: filter_words,
            reserved: filter + bytes,
            is_restored: false,
        });
        self.cache.add_run(&run);
        Ok(run)
    }
}
