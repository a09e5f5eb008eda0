//! How much of a new run hides something in older ones, from a sample of its keys.
//!
//! Older values of the same keys are room on the disk that a merge gives back. How many there are is not
//! known when a key is written, since most writes do not read; but the filters of the older runs are in
//! memory, most of them, and a sixteenth of the keys is enough to ask for. Runs whose filters are not in memory
//! are taken to have none of the keys.

use alloc::vec::Vec;

use crate::{block::Op, stack::Part};

/// Keys of runs with more than so many are not all asked for.
const ALL: u64 = 4096;
/// Of the fingerprints of many keys, those are asked for in which these bits are zero.
const SAMPLE: u64 = 15;

/// Counts keys that older runs have, too.
#[derive(Debug, Default)]
pub(crate) struct Hiding {
    older: Vec<Part>,
    mask: u64,
    asked: u64,
    found: u64,
}

impl Hiding {
    /// Of about so many keys, in front of older runs.
    pub(crate) fn new(keys: u64, older: Vec<Part>) -> Self {
        let older = older.into_iter().filter(|part| !part.run.index.is_paged()).collect();
        let mask = if keys > ALL { SAMPLE } else { 0 };
        Self { older, mask, asked: 0, found: 0 }
    }

    /// A key with its fingerprint is in the new run, and what its first entry does.
    #[inline]
    pub(crate) fn ask(&mut self, rank: u64, print: u64, op: Op) {
        if self.older.is_empty() || print & self.mask != 0 {
            return;
        }
        self.asked += 1;
        let has = |part: &Part| part.has(rank) && part.run.filter.may_have(print);
        // What is added to a list hides nothing.
        if op != Op::Add && self.older.iter().any(has) {
            self.found += 1;
        }
    }

    /// Of a thousand keys, how many hide something.
    pub(crate) fn per_mille(&self) -> u16 {
        (1000 * self.found).checked_div(self.asked).unwrap_or(0) as u16
    }
}
