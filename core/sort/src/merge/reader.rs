//! Reading a run, ahead of those who merge it.

use alloc::collections::VecDeque;
use core::cmp::Ordering;

use millstream_memory::Segment;
use millstream_storage::Submit;

use crate::{
    SortError,
    budget::{Budget, Lease},
    format::Format,
    run::{self, HEADER_BYTES, Run},
    transfer::{Ticket, Transfers},
};

/// A run that is being read.
pub(super) struct Reader {
    number: u32,
    run: Run,
    /// The block to ask for next.
    next: u32,
    /// Blocks behind the current one, in order; `None` are in flight.
    ahead: VecDeque<Option<Segment>>,
    current: Option<Segment>,
    /// Where the head begins in the current block.
    at: usize,
    /// Where the records of the current block end.
    used: usize,
    deleted: bool,
}

/// What there is to read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Loaded {
    /// A record with this first key word.
    Head(u64),
    /// A block that is in flight.
    Waits,
    /// Nothing more.
    End,
}

/// How the heads of two readers are ordered.
pub(super) fn compare<F: Format>(format: &F, a: &Reader, b: &Reader) -> Ordering {
    match (a.head(format), b.head(format)) {
        (Some(a), Some(b)) => format.compare(a, b),
        _ => Ordering::Equal,
    }
}

impl Reader {
    pub(super) fn new(number: u32, run: Run) -> Self {
        let ahead = VecDeque::new();
        Self { number, run, next: 0, ahead, current: None, at: 0, used: 0, deleted: false }
    }

    /// The record at the head.
    #[inline]
    pub(super) fn head<F: Format>(&self, format: &F) -> Option<&F::Record> {
        let block = self.current.as_ref()?;
        Some(format.at(block.get(..self.used)?, self.at)?.0)
    }

    /// Passes over the head; the next one's first key word, if it is in the same block.
    #[inline]
    pub(super) fn skip<F: Format>(&mut self, format: &F) -> Result<Option<u64>, SortError> {
        let Some(block) = &self.current else { return Ok(None) };
        let block = &block[..self.used];
        let Some((_, next)) = format.at(block, self.at) else {
            return Err(self.damaged());
        };
        self.at = next;
        if next >= self.used {
            return Ok(None);
        }
        match format.at(block, next) {
            Some((record, _)) => Ok(Some(format.first_word(record))),
            None => Err(self.damaged()),
        }
    }

    /// Goes on to the next block if the current one is used up; asks for more ahead; and deletes
    /// the file at its end.
    pub(super) fn load<F: Format, L: Lease>(
        &mut self,
        format: &F,
        depth: usize,
        budget: &mut Budget<L>,
        transfers: &mut Transfers,
        io: &mut impl Submit,
    ) -> Result<Loaded, SortError> {
        loop {
            if self.at >= self.used
                && let Some(block) = self.current.take()
            {
                budget.give(block);
            }
            self.ask(depth, budget, transfers, io);
            if let Some(block) = &self.current {
                let head = format.at(&block[..self.used], self.at);
                let (record, _) = head.ok_or_else(|| self.damaged())?;
                return Ok(Loaded::Head(format.first_word(record)));
            }
            match self.ahead.pop_front() {
                Some(Some(block)) => {
                    self.used = run::used(&block).ok_or_else(|| self.damaged())?;
                    self.at = HEADER_BYTES;
                    self.current = Some(block);
                }
                Some(None) => {
                    self.ahead.push_front(None);
                    return Ok(Loaded::Waits);
                }
                None if self.next < self.run.blocks => return Ok(Loaded::Waits),
                None => {
                    if !core::mem::replace(&mut self.deleted, true) {
                        transfers.delete(io, self.run.file);
                    }
                    return Ok(Loaded::End);
                }
            }
        }
    }

    /// A block was read. Gives the segment back if nobody waits for it.
    pub(super) fn arrived(&mut self, block: u32, segment: Segment) -> Option<Segment> {
        let first = self.next - self.ahead.len() as u32;
        let slot = block.checked_sub(first).and_then(|i| self.ahead.get_mut(i as usize));
        match slot {
            Some(slot @ None) => {
                *slot = Some(segment);
                None
            }
            _ => Some(segment),
        }
    }

    /// The run, unless it was read to its end.
    pub(super) fn unfinished(&self) -> Option<Run> {
        (!self.deleted).then_some(self.run)
    }

    fn ask<L: Lease>(
        &mut self,
        depth: usize,
        budget: &mut Budget<L>,
        transfers: &mut Transfers,
        io: &mut impl Submit,
    ) {
        while self.next < self.run.blocks
            && self.ahead.len() + usize::from(self.current.is_some()) < depth
        {
            let Some(segment) = budget.take() else { return };
            let offset = u64::from(self.next) * segment.len() as u64;
            let ticket = Ticket::Read { reader: self.number, block: self.next };
            self.ahead.push_back(None);
            self.next += 1;
            transfers.read(io, ticket, self.run.file, offset, segment);
        }
    }

    fn damaged(&self) -> SortError {
        let block = (self.next - self.ahead.len() as u32).saturating_sub(1);
        SortError::Damaged { file: self.run.file, block }
    }
}
