//! Runs: sorted records in a file.
//!
//! A run is a sequence of blocks of the size of a segment. A block begins with the number of bytes
//! that are used in it, its header included, and the number of its records, both as 32-bit numbers,
//! little-endian. Its records follow; none spans two blocks, so that they are read in place.

use millstream_memory::Segment;
use millstream_storage::{FileId, Submit};

use crate::{
    area::Area,
    budget::{Budget, Lease},
    format::Format,
    transfer::Transfers,
};

/// Bytes before the first record of a block.
pub(crate) const HEADER_BYTES: usize = 8;

/// A run in its file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) file: FileId,
    pub(crate) blocks: u32,
    pub(crate) records: u64,
}

/// What the header of a block says: the end of its records. `None` if that cannot be.
pub(crate) fn used(block: &[u8]) -> Option<usize> {
    let used = u32::from_le_bytes(*block.first_chunk::<4>()?) as usize;
    (HEADER_BYTES..=block.len()).contains(&used).then_some(used)
}

/// A run that is being written.
pub(crate) struct Writer {
    run: Run,
    block: Option<Segment>,
    used: usize,
    records: u32,
}

impl Writer {
    pub(crate) fn new(file: FileId) -> Self {
        let run = Run { file, blocks: 0, records: 0 };
        Self { run, block: None, used: 0, records: 0 }
    }

    pub(crate) fn file(&self) -> FileId {
        self.run.file
    }

    /// Writes records as far as memory and disk allow; gives how many.
    pub(crate) fn put_all<F: Format, L: Lease>(
        &mut self,
        entries: &[F::Entry],
        (format, area): (&F, &Area),
        budget: &mut Budget<L>,
        transfers: &mut Transfers,
        io: &mut impl Submit,
    ) -> usize {
        let mut done = 0;
        while done < entries.len() && self.is_open(budget, transfers) {
            let Some(block) = &mut self.block else { break };
            let (taken, bytes) = format.put_all(&entries[done..], area, &mut block[self.used..]);
            self.used += bytes;
            self.records += taken as u32;
            done += taken;
            if done < entries.len() {
                self.seal(transfers, io);
            }
        }
        done
    }

    /// Writes a record; `false` if memory or disk do not allow it now.
    pub(crate) fn put<F: Format, L: Lease>(
        &mut self,
        record: &F::Record,
        format: &F,
        budget: &mut Budget<L>,
        transfers: &mut Transfers,
        io: &mut impl Submit,
    ) -> bool {
        loop {
            if !self.is_open(budget, transfers) {
                return false;
            }
            let Some(block) = &mut self.block else { return false };
            if let Some(bytes) = format.put(record, &mut block[self.used..]) {
                self.used += bytes;
                self.records += 1;
                return true;
            }
            self.seal(transfers, io);
        }
    }

    /// Writes what is left; gives the run.
    pub(crate) fn finish(mut self, transfers: &mut Transfers, io: &mut impl Submit) -> Run {
        self.seal(transfers, io);
        self.run
    }

    /// Whether there is a block, a new one if necessary.
    fn is_open<L: Lease>(&mut self, budget: &mut Budget<L>, transfers: &Transfers) -> bool {
        if self.block.is_none() && transfers.may_write() {
            self.block = budget.take();
            (self.used, self.records) = (HEADER_BYTES, 0);
        }
        self.block.is_some()
    }

    /// Sends the block off.
    fn seal(&mut self, transfers: &mut Transfers, io: &mut impl Submit) {
        let Some(mut block) = self.block.take() else { return };
        block[..4].copy_from_slice(&(self.used as u32).to_le_bytes());
        block[4..HEADER_BYTES].copy_from_slice(&self.records.to_le_bytes());
        // All of it, so that every block is read alike.
        let length = block.len();
        let offset = u64::from(self.run.blocks) * length as u64;
        transfers.write(io, self.run.file, offset, block.freeze(length));
        self.run.blocks += 1;
        self.run.records += u64::from(self.records);
    }
}
