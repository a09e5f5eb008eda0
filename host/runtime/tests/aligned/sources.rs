//! Two sources of numbers: one is as fast as it can be, the other always behind.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use millstream_sdk::prelude::*;

/// How far the fast one may be ahead, in rows, which have a millisecond each.
pub(crate) const DRIFT: u64 = 1000;
/// Rows of each.
pub(crate) const ROWS: u64 = 60_000;

/// How many rows the fast one has read.
static FAST: AtomicU64 = AtomicU64::new(0);
/// The most that it was ahead.
static LEAD: AtomicU64 = AtomicU64::new(0);
/// How often it was asked for its position, for a checkpoint.
static ASKED: AtomicU64 = AtomicU64::new(0);

/// The most that the fast one was ahead.
pub(crate) fn lead() -> u64 {
    LEAD.load(SeqCst)
}

/// Numbers from 0.
pub(crate) struct Numbers {
    is_slow: bool,
}

impl Source for Numbers {
    const NAME: &'static str = "lagging";
    const SUMMARY: &'static str = "Numbers, slow ones and fast ones";
    const OPTIONS: &'static [OptionDoc] =
        &[OptionDoc::string("slow", "Whether they always lag behind").required()];
    type Reader = NumberReader;

    fn open(options: &Options, _schema: &Schema) -> Result<Self, Error> {
        Ok(Self { is_slow: options.string("slow")? == "true" })
    }

    fn splits(&self) -> Result<Vec<Vec<u8>>, Error> {
        Ok(vec![Vec::new()])
    }

    fn reader(&self, _: Subtask) -> Result<NumberReader, Error> {
        Ok(NumberReader { next: 0, is_slow: self.is_slow })
    }
}

pub(crate) struct NumberReader {
    next: u64,
    is_slow: bool,
}

impl NumberReader {
    /// Whether the slow one may give its next rows: when the fast one is well ahead. In front of the first, as
    /// long as it holds the fast one back, it waits for three checkpoints.
    fn may_go_on(&self) -> bool {
        let fast = FAST.load(SeqCst);
        LEAD.fetch_max(fast.saturating_sub(self.next), SeqCst);
        match self.next {
            0 => fast > 0 && ASKED.load(SeqCst) >= 3,
            next => fast >= ROWS.min(next + DRIFT / 2),
        }
    }
}

impl SplitReader for NumberReader {
    fn begin(&mut self, _split: &[u8]) -> Result<(), Error> {
        Ok(())
    }

    fn rest(&self) -> Result<Vec<u8>, Error> {
        if !self.is_slow {
            ASKED.fetch_add(1, SeqCst);
        }
        Ok(Vec::new())
    }

    fn fill(&mut self, rows: &mut Rows<'_>) -> Result<Filled, Error> {
        if self.is_slow && !self.may_go_on() {
            std::thread::yield_now();
            return Ok(Filled::Page);
        }
        for _ in 0..10 {
            rows.put_fixed(0, self.next.to_le_bytes());
            rows.commit();
            self.next += 1;
        }
        if !self.is_slow {
            FAST.store(self.next, SeqCst);
        }
        Ok(if self.next >= ROWS { Filled::SplitDone } else { Filled::Page })
    }
}

millstream_sdk::plugin! {
    name: "lagging",
    summary: "Sources of which one is always behind",
    sources: [Numbers],
}
