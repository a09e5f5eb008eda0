//! What a backend does between calls: reading, writing, merging, in small steps.

use alloc::{boxed::Box, sync::Arc};

use millstream_state::{Lease, StateError};
use millstream_storage::{Completion, Lent, Request, Submit};

use super::{LsmBackend, flush::Flush, snapshot::Snapshot};
use crate::{cache::Wanted, transfers::Ticket};

impl<L: Lease> LsmBackend<L> {
    /// Goes on with what is to be read, written and merged: up to so many entries of each, which bounds
    /// how long the call takes. `true` if there is more to do at once, else when a completion has
    /// [come](Self::completed). Places that were found end here.
    ///
    /// # Errors
    /// [`StateError::Storage`], [`StateError::DamagedFile`], [`StateError::OutOfBudget`] if an index has
    /// no room. The backend is not to be used any more: every call says so again.
    pub fn work(
        &mut self,
        io: &mut (impl Submit + ?Sized),
        entries: usize,
    ) -> Result<bool, StateError> {
        self.gathered.get_mut().clear();
        let went = self.work_some(entries);
        self.transfers.submit(io);
        went.inspect_err(|error| self.failed = Some(error.clone()))
    }

    fn work_some(&mut self, entries: usize) -> Result<bool, StateError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        if self.opening.is_some() {
            return self.open_some();
        }
        self.read_wanted();
        let flushes = self.flush_some(entries)?;
        // A barrier does not wait for what is merged.
        let has_time = self.snapshot.as_ref().is_none_or(Snapshot::is_written);
        let merges = has_time && self.compact_some(entries)?;
        // What is merged may want pages of indexes.
        self.read_wanted();
        self.delete_obsolete();
        Ok(flushes || merges)
    }

    /// Whether there is anything to write or to merge, or to be read for a call that waits.
    pub fn has_work(&self) -> bool {
        self.opening.is_some()
            || self.transfers.in_flight() > 0
            || self.flush.is_some()
            || !self.frozen.is_empty()
            || self.compaction.is_some()
            || self.config.merges && !self.schedule.is_settled()
            || self.cache.is_wanted()
    }

    /// Requests whose completions have not come.
    pub fn in_flight(&self) -> usize {
        self.transfers.in_flight()
    }

    /// Asks for the blocks that calls wait for.
    fn read_wanted(&mut self) {
        // The others are for streams and writers.
        let max = (self.staging.max() - self.shares.fan_in - 2).max(self.staging.max() / 4);
        while self.reading.len() < max && self.staging.room() > 0 && self.cache.is_wanted() {
            let Some(segment) = self.staging.take() else { return };
            let Some(wanted) = self.cache.next_wanted() else {
                return self.staging.give(segment);
            };
            let (file, place) = (wanted.run.place.file, &wanted.place);
            let ticket = Ticket::Block { run: wanted.run.number, block: wanted.block };
            let length = (place.end - place.start) as usize;
            self.transfers.read(ticket, file, place.start, length, segment);
            self.reading.push(wanted);
        }
    }

    /// Deletes files that nobody reads any more.
    fn delete_obsolete(&mut self) {
        while let Some(at) =
            self.obsolete.iter().position(|run| Arc::strong_count(run) <= OWN_REFERENCES)
        {
            let run = self.obsolete.swap_remove(at);
            self.cache.forget_run(&run);
            self.release(run.reserved);
            if !run.is_restored {
                self.transfers.start(Ticket::Delete, Request::Delete { file: run.place.file });
            }
        }
    }

    /// What the storage has completed.
    ///
    /// # Errors
    /// As [`work`](Self::work).
    pub fn completed(&mut self, completion: Completion) -> Result<(), StateError> {
        self.gathered.get_mut().clear();
        let Completion { token, lent, result } = completion;
        let Some(ticket) = self.transfers.landed(token) else { return Ok(()) };
        let segment = match lent {
            Lent::Read(segment) => Some(segment),
            Lent::Written(data) => {
                drop(data);
                self.staging.gave_back();
                None
            }
            Lent::Nothing => None,
        };
        let mut outcome = result.map_err(|error| StateError::Storage(Box::new(error)));
        // A file that cannot be deleted is no reason to stop.
        if ticket == Ticket::Delete {
            outcome = Ok(());
        }
        let is_done = outcome.is_ok();
        let left = match ticket {
            Ticket::Create { writer } | Ticket::Write { writer } | Ticket::Sync { writer } => {
                let flushed = self.flush.iter_mut().flat_map(Flush::writers);
                let merged = self.compaction.iter_mut().map(|it| &mut it.writer);
                let mut writers = flushed.chain(merged);
                if is_done && let Some(found) = writers.find(|found| found.number() == writer) {
                    found.landed(ticket);
                }
                segment
            }
            Ticket::Stream { stream } => {
                let mut streams = self.compaction.iter_mut().flat_map(|it| &mut it.streams);
                match (segment, streams.find(|found| found.number() == stream)) {
                    (Some(segment), Some(found)) if is_done => {
                        found.arrived(segment);
                        None
                    }
                    (segment, _) => segment,
                }
            }
            Ticket::Block { run, block } => {
                let is_it = |wanted: &Wanted| (wanted.run.number, wanted.block) == (run, block);
                let wanted = self.reading.iter().position(is_it);
                let wanted = wanted.map(|at| self.reading.remove(at));
                if let (Some(segment), Some(wanted)) = (&segment, wanted)
                    && is_done
                {
                    let length = (wanted.place.end - wanted.place.start) as usize;
                    let bytes = segment.get(..length).unwrap_or(segment);
                    outcome = self.cache.insert(&wanted, bytes, self.press.zstd.as_deref());
                } else {
                    self.cache.missed(run, block);
                }
                segment
            }
            Ticket::Index => match (segment, &mut self.opening) {
                (Some(segment), Some(opening)) if is_done => {
                    outcome = opening.arrived(&segment);
                    Some(segment)
                }
                (segment, _) => segment,
            },
            Ticket::Delete => segment,
        };
        if let Some(segment) = left {
            self.staging.give(segment);
        }
        outcome.inspect_err(|error| self.failed = Some(error.clone()))
    }
}

/// References to an obsolete run that are the backend's own: its list and the cache.
const OWN_REFERENCES: usize = 2;
