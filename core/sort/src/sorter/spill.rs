//! From memory to runs, and from runs to fewer ones.

use alloc::vec::Vec;

use millstream_storage::{FileId, Submit};

use super::{Phase, Sorter};
use crate::{
    SortError,
    budget::Lease,
    format::Format,
    index::{IndexSort, Leaf, Step},
    merge::{BLOCKS_MIN, Found, Merge},
    run::{Run, Writer},
};

/// Segments that are kept for writing while runs are merged.
const WRITE_SEGMENTS: usize = 4;
/// Records that a step of merging moves.
const RECORDS_PER_STEP: usize = 2048;

/// What memory holds, on its way to a run.
pub(super) struct Spill<F: Format> {
    sort: IndexSort<F>,
    /// What is sorted, and how much of it was written.
    leaf: Option<(Leaf, usize)>,
    writer: Writer,
}

impl<F: Format> Spill<F> {
    pub(super) fn file(&self) -> FileId {
        self.writer.file()
    }
}

/// Some runs that become one.
pub(super) struct MergePass {
    pub(super) merge: Merge,
    pub(super) file: FileId,
    writer: Option<Writer>,
    /// Where in the list of runs the new one belongs.
    position: usize,
}

impl<F: Format, L: Lease> Sorter<F, L> {
    pub(super) fn begin_spill(&mut self, io: &mut impl Submit) {
        let file = self.create(io);
        let sort = self.index.sort(self.config.stable);
        self.metrics.runs += 1;
        self.phase = Phase::Spilling(Spill { sort, leaf: None, writer: Writer::new(file) });
    }

    /// A step; `false` if it has to wait.
    pub(super) fn spill(&mut self, io: &mut impl Submit) -> bool {
        let Phase::Spilling(spill) = &mut self.phase else { return true };
        let (budget, transfers) = (&mut self.budget, &mut self.transfers);
        if let Some((leaf, written)) = &mut spill.leaf {
            let entries = &leaf.entries()[*written..];
            let source = (&self.format, &self.area);
            *written += spill.writer.put_all(entries, source, budget, transfers, io);
            if *written < leaf.entries {
                return false;
            }
            if let Some((leaf, _)) = spill.leaf.take() {
                budget.give(leaf.segment);
            }
            return true;
        }
        if budget.free() < 2 {
            return false;
        }
        match spill.sort.step(&self.format, &self.area, budget) {
            Step::Busy => {}
            Step::Leaf(leaf) => spill.leaf = Some((leaf, 0)),
            Step::Done => {
                if let Phase::Spilling(spill) = core::mem::replace(&mut self.phase, Phase::Filling)
                {
                    let run = spill.writer.finish(transfers, io);
                    self.area.drain().for_each(|segment| budget.give(segment));
                    self.add_run(run, self.runs.len());
                }
            }
        }
        true
    }

    /// All runs are written: merges some of them, if they are too many, or begins to hand out.
    pub(super) fn plan_merge(&mut self, io: &mut impl Submit) {
        let segments = self.budget.leased();
        let possible = (segments - WRITE_SEGMENTS) / BLOCKS_MIN;
        let fan_in = possible.min(self.config.fan_in_max).max(2);
        if self.runs.len() <= fan_in {
            let merge = Merge::new(self.runs.drain(..), segments);
            self.budget.shrink(merge.segments());
            self.phase = Phase::FromRuns(merge);
            return;
        }
        // As few as leave a whole number of full merges, and the shortest neighbours: what is
        // merged now is read and written once more. Neighbours, to keep the order of arrival.
        let count = (self.runs.len() - 2) % (fan_in - 1) + 2;
        let windows = self.runs.windows(count).enumerate();
        let shortest = windows
            .min_by_key(|(_, runs)| runs.iter().map(|run| u64::from(run.blocks)).sum::<u64>());
        let position = shortest.map_or(0, |(position, _)| position);
        let runs: Vec<Run> = self.runs.drain(position..position + count).collect();
        let merge = Merge::new(runs, segments - WRITE_SEGMENTS);
        let file = self.create(io);
        self.metrics.merged_runs += 1;
        let writer = Some(Writer::new(file));
        self.phase = Phase::Merging(MergePass { merge, file, writer, position });
    }

    /// A step; `false` if it has to wait.
    pub(super) fn merge(&mut self, io: &mut impl Submit) -> Result<bool, SortError> {
        let Phase::Merging(pass) = &mut self.phase else { return Ok(true) };
        let Some(writer) = &mut pass.writer else { return Ok(true) };
        let (format, budget, transfers) = (&self.format, &mut self.budget, &mut self.transfers);
        for _ in 0..RECORDS_PER_STEP {
            let found = pass.merge.find(format, budget, transfers, io);
            match found.inspect_err(|error| self.failed = Some(error.clone()))? {
                Found::Waits => return Ok(false),
                Found::Record(reader) => {
                    let Some(record) = pass.merge.head(reader, format) else { break };
                    if !writer.put(record, format, budget, transfers, io) {
                        return Ok(false);
                    }
                    pass.merge.pass(reader);
                }
                Found::End => {
                    let position = pass.position;
                    if let Some(writer) = pass.writer.take() {
                        let run = writer.finish(transfers, io);
                        self.add_run(run, position);
                    }
                    self.phase = Phase::Spilled;
                    return Ok(true);
                }
            }
        }
        Ok(true)
    }

    fn create(&mut self, io: &mut impl Submit) -> FileId {
        let file = FileId(self.file_next);
        self.file_next += 1;
        self.transfers.create(io, file);
        file
    }

    fn add_run(&mut self, run: Run, position: usize) {
        self.metrics.spilled_bytes += u64::from(run.blocks) * self.budget.segment_size() as u64;
        self.runs.insert(position, run);
    }
}
