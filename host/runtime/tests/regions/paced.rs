//! A source of numbers that takes its time, and fails once if it is to.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use millstream_sdk::prelude::*;

use super::kept::Kept;

/// How often sources were opened, by name.
static OPENED: Mutex<BTreeMap<String, u32>> = Mutex::new(BTreeMap::new());

/// How often the source of this name was opened.
pub(crate) fn opened(name: &str) -> u32 {
    let opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    opened.get(name).copied().unwrap_or(0)
}

/// The numbers from 0, in splits, ten of them a millisecond.
pub(crate) struct Paced {
    rows: u64,
    split: u64,
    fails_at: Option<u64>,
}

impl Source for Paced {
    const NAME: &'static str = "paced";
    const SUMMARY: &'static str = "Numbers that take their time";
    const OPTIONS: &'static [OptionDoc] = &[
        OptionDoc::string("name", "By which it is counted how often it is opened").required(),
        OptionDoc::integer("rows", "How many numbers").required(),
        OptionDoc::integer("split", "Numbers of a split").required(),
        OptionDoc::integer("fails-at", "The number in front of which it fails, once").default("-1"),
    ];
    type Reader = PacedReader;

    fn open(options: &Options, _schema: &Schema) -> Result<Self, Error> {
        let name = options.string("name")?.to_owned();
        let mut all = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = all.entry(name).or_default();
        *opened += 1;
        let fails_at = u64::try_from(options.integer("fails-at")?).ok().filter(|_| *opened == 1);
        let number = |name| Ok::<_, Error>(options.integer(name)? as u64);
        Ok(Self { rows: number("rows")?, split: number("split")?, fails_at })
    }

    fn splits(&self) -> Result<Vec<Vec<u8>>, Error> {
        let begins = (0..self.rows).step_by(self.split as usize);
        Ok(begins.map(|begin| split(begin, self.rows.min(begin + self.split))).collect())
    }

    fn reader(&self, _: Subtask) -> Result<PacedReader, Error> {
        Ok(PacedReader { next: 0, end: 0, fails_at: self.fails_at })
    }
}

fn split(next: u64, end: u64) -> Vec<u8> {
    [next.to_le_bytes(), end.to_le_bytes()].concat()
}

pub(crate) struct PacedReader {
    next: u64,
    end: u64,
    fails_at: Option<u64>,
}

impl SplitReader for PacedReader {
    fn begin(&mut self, split: &[u8]) -> Result<(), Error> {
        let (numbers, []) = split.as_chunks() else { return Err(Error::new("a split is damaged")) };
        let [next, end] = numbers else { return Err(Error::new("a split is damaged")) };
        (self.next, self.end) = (u64::from_le_bytes(*next), u64::from_le_bytes(*end));
        Ok(())
    }

    fn rest(&self) -> Result<Vec<u8>, Error> {
        Ok(split(self.next, self.end))
    }

    fn fill(&mut self, rows: &mut Rows<'_>) -> Result<Filled, Error> {
        thread::sleep(Duration::from_millis(1));
        for _ in 0..10 {
            if self.next == self.end {
                return Ok(Filled::SplitDone);
            }
            if self.fails_at == Some(self.next) {
                return Err(Error::new("it was to fail"));
            }
            rows.put_fixed(0, self.next.to_le_bytes());
            rows.commit();
            self.next += 1;
        }
        Ok(Filled::Page)
    }
}

millstream_sdk::plugin! {
    name: "paced",
    summary: "A source that takes its time, and a sink that keeps rows",
    sources: [Paced],
    sinks: [Kept],
}
