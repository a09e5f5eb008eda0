//! The sorter.

mod config;
mod output;
mod spill;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;
use core::fmt;

use millstream_storage::{Completion, FileId, Lent, Submit};

use crate::{
    SortError,
    area::Area,
    budget::{Budget, Lease},
    format::Format,
    index::{self, Index},
    merge::{Found, Merge},
    run::{HEADER_BYTES, Run},
    transfer::{Ticket, Transfers},
};
pub use config::{Next, Progress, Push, SortConfig, SortMetrics};

use output::Memory;
use spill::{MergePass, Spill};

/// Sorts records with a bounded amount of memory, and any number of them. See the [crate].
///
/// Nothing here blocks, and nothing is done in the background: [`run`](Self::run) and
/// [`next`](Self::next) do a bounded piece of work and hand requests to the storage that they are
/// given; completions come back by [`complete`](Self::complete). The same calls with the same
/// completions give the same requests and the same records.
///
/// After an error every call gives that error. Whatever happens, go on with [`run`](Self::run) and
/// [`complete`](Self::complete) until nothing is [in flight](Self::in_flight): completions bring
/// memory back.
pub struct Sorter<F: Format, L> {
    format: F,
    config: SortConfig,
    budget: Budget<L>,
    index: Index<F::Entry>,
    area: Area,
    runs: Vec<Run>,
    transfers: Transfers,
    phase: Phase<F>,
    ended: bool,
    failed: Option<SortError>,
    file_next: u64,
    sorted: u64,
    metrics: SortMetrics,
}

enum Phase<F: Format> {
    /// Records are pushed.
    Filling,
    /// Memory is used up.
    Full,
    /// What memory holds becomes a run.
    Spilling(Spill<F>),
    /// Everything is in runs.
    Spilled,
    /// Some runs become one.
    Merging(MergePass),
    /// Records are handed out from memory.
    FromMemory(Memory<F>),
    /// Records are handed out from runs.
    FromRuns(Merge),
}

impl<F: Format, L: Lease> Sorter<F, L> {
    /// A sorter that leases the fewest segments it can work with now, and more as records come.
    ///
    /// # Errors
    ///
    /// [`SortError::Memory`] if these cannot be had.
    pub fn new(format: F, lease: L, config: SortConfig) -> Result<Self, SortError> {
        Ok(Self {
            format,
            config,
            budget: Budget::new(lease, config.segments_max)?,
            index: Index::new(),
            area: Area::default(),
            runs: Vec::new(),
            transfers: Transfers::default(),
            phase: Phase::Filling,
            ended: false,
            failed: None,
            file_next: config.first_file,
            sorted: 0,
            metrics: SortMetrics::default(),
        })
    }

    /// Takes a record, if there is memory for it.
    ///
    /// # Errors
    ///
    /// [`SortError::RecordTooLarge`], after which others can be pushed; or why an earlier call
    /// failed.
    #[inline]
    pub fn push(&mut self, record: &F::Record) -> Result<Push, SortError> {
        if !matches!(self.phase, Phase::Filling) || self.ended {
            return self.fail_again().map(|()| Push::Full);
        }
        let mut pointer = 0;
        if !F::INLINE {
            let bytes = self.format.bytes(record);
            pointer = loop {
                match self.area.push(bytes) {
                    Some(pointer) => break pointer,
                    None if !self.grow_area(bytes.len())? => return Ok(Push::Full),
                    None => {}
                }
            };
        }
        let entry = self.format.entry(record, pointer);
        let capacity = index::capacity::<F::Entry>(self.budget.segment_size());
        while !self.index.push(&entry, F::KEY_WORDS, capacity) {
            match self.budget.take_for_data() {
                Some(segment) => self.index.grow(segment),
                None => {
                    // A record that lies in the area already is not in the index: it will be
                    // pushed again, and nothing points to the first copy.
                    self.phase = Phase::Full;
                    return Ok(Push::Full);
                }
            }
        }
        self.metrics.records += 1;
        Ok(Push::Taken)
    }

    /// There are no more records.
    pub fn finish(&mut self) {
        self.ended = true;
    }

    /// Works for at most so many `steps`, each a few passes over a segment.
    ///
    /// # Errors
    ///
    /// [`SortError::Storage`] if a request failed.
    pub fn run(&mut self, io: &mut impl Submit, steps: u32) -> Result<Progress, SortError> {
        // Even after an error, for what was asked for has to come back.
        self.transfers.flush(io);
        self.fail_again()?;
        for _ in 0..steps {
            match &mut self.phase {
                Phase::Filling if !self.ended => return Ok(Progress::Accepts),
                Phase::FromMemory(_) | Phase::FromRuns(_) => return Ok(Progress::Sorted),
                Phase::Filling if self.runs.is_empty() => self.begin_output_from_memory(),
                Phase::Filling if self.index.is_empty() => self.phase = Phase::Spilled,
                // The last run is still being written: its segments come back, and then this one
                // gets longer.
                Phase::Full if !self.transfers.is_written() => {
                    if !self.budget.has_room() {
                        return Ok(Progress::Waits);
                    }
                    self.phase = Phase::Filling;
                }
                Phase::Filling | Phase::Full => self.begin_spill(io),
                Phase::Spilling(_) => {
                    if !self.spill(io) {
                        return Ok(Progress::Waits);
                    }
                }
                Phase::Spilled => {
                    if !self.transfers.is_written() {
                        return Ok(Progress::Waits);
                    }
                    self.plan_merge(io);
                }
                Phase::Merging(_) => {
                    if !self.merge(io)? {
                        return Ok(Progress::Waits);
                    }
                }
            }
        }
        Ok(Progress::More)
    }

    /// Takes a completion of a request that this sorter made.
    ///
    /// If it failed, the next call of something else says so.
    pub fn complete(&mut self, completion: Completion) {
        let Completion { token, lent, result } = completion;
        let ticket = Ticket::of(token);
        if let Some(ticket) = ticket {
            self.transfers.landed(ticket);
        }
        if let Err(error) = result {
            self.failed.get_or_insert(error.into());
        }
        match lent {
            Lent::Nothing => {}
            Lent::Written(data) => match data.try_unfreeze() {
                Ok(segment) => self.budget.give(segment),
                Err(_) => self.budget.lose(),
            },
            Lent::Read(segment) => {
                let merge = match &mut self.phase {
                    Phase::Merging(pass) => Some(&mut pass.merge),
                    Phase::FromRuns(merge) => Some(merge),
                    _ => None,
                };
                let left = match (merge, ticket) {
                    (Some(merge), Some(Ticket::Read { reader, block })) => {
                        merge.arrived(reader, block, segment)
                    }
                    _ => Some(segment),
                };
                if let Some(segment) = left {
                    self.budget.give(segment);
                }
            }
        }
    }

    /// The next record in order; nothing before [`run`](Self::run) has said
    /// [`Progress::Sorted`].
    ///
    /// # Errors
    ///
    /// [`SortError::Storage`] if a request failed, [`SortError::Damaged`] or [`SortError::Lost`] if
    /// what was read is not what was written.
    #[inline]
    pub fn next(&mut self, io: &mut impl Submit) -> Result<Next<'_, F::Record>, SortError> {
        match &mut self.phase {
            Phase::FromRuns(merge) => {
                if let Some(error) = &self.failed {
                    return Err(error.clone());
                }
                let (budget, transfers) = (&mut self.budget, &mut self.transfers);
                let found = merge.find(&self.format, budget, transfers, io);
                match found.inspect_err(|error| self.failed = Some(error.clone()))? {
                    Found::Record(reader) => {
                        self.sorted += 1;
                        let record = merge.hand_out(reader, &self.format);
                        Ok(record.map_or(Next::End, Next::Record))
                    }
                    Found::Waits => {
                        self.transfers.flush(io);
                        Ok(Next::Waits)
                    }
                    Found::End if self.sorted == self.metrics.records => Ok(Next::End),
                    Found::End => {
                        Err(SortError::Lost { pushed: self.metrics.records, sorted: self.sorted })
                    }
                }
            }
            Phase::FromMemory(memory) => {
                let next = memory.next(&self.format, &self.area, &mut self.budget);
                Ok(next.map_or(Next::End, Next::Record))
            }
            _ => self.failed.clone().map_or(Ok(Next::Waits), Err),
        }
    }

    /// Requests whose completions have not come.
    pub fn in_flight(&self) -> usize {
        self.transfers.in_flight()
    }

    /// Deletes all files, and gives memory back as far as it is not lent to the storage. Go on until
    /// nothing is in flight, then drop the sorter.
    ///
    /// For those who stop early: files that were read to their end are deleted without it.
    pub fn close(&mut self, io: &mut impl Submit) {
        let mut files: Vec<FileId> = self.runs.drain(..).map(|run| run.file).collect();
        match core::mem::replace(&mut self.phase, Phase::Spilled) {
            Phase::Spilling(spill) => files.push(spill.file()),
            Phase::Merging(pass) => {
                files.extend(pass.merge.runs().map(|run| run.file));
                files.push(pass.file);
            }
            Phase::FromRuns(merge) => files.extend(merge.runs().map(|run| run.file)),
            _ => {}
        }
        for file in files {
            self.transfers.delete(io, file);
        }
        self.transfers.flush(io);
        self.area = Area::default();
        self.index = Index::new();
        self.budget.shrink(0);
    }

    /// What sorting has cost so far.
    pub fn metrics(&self) -> SortMetrics {
        self.metrics
    }

    /// Gives the area another segment; `false` if there is none.
    #[cold]
    fn grow_area(&mut self, record_bytes: usize) -> Result<bool, SortError> {
        let max = self.format.longest(self.budget.segment_size() - HEADER_BYTES);
        if record_bytes > max {
            return Err(SortError::RecordTooLarge { bytes: record_bytes, max });
        }
        match self.budget.take_for_data() {
            Some(segment) => self.area.grow(segment),
            None => self.phase = Phase::Full,
        }
        Ok(matches!(self.phase, Phase::Filling))
    }

    fn fail_again(&self) -> Result<(), SortError> {
        self.failed.clone().map_or(Ok(()), Err)
    }
}

impl<F: Format, L> fmt::Debug for Sorter<F, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sorter")
            .field("runs", &self.runs.len())
            .field("in_flight", &self.transfers.in_flight())
            .field("metrics", &self.metrics)
            .finish_non_exhaustive()
    }
}
