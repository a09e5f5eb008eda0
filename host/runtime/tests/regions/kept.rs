//! A sink that keeps rows, and fails once if it is to.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use millstream_sdk::prelude::*;

/// What all sinks of a name have in common.
#[derive(Default)]
struct Shelf {
    shown: Vec<u64>,
    /// The numbers of transactions that are shown.
    transactions: BTreeSet<u64>,
    /// The number of the last transaction.
    last: u64,
    has_failed: bool,
}

static SHELVES: Mutex<BTreeMap<String, Shelf>> = Mutex::new(BTreeMap::new());

fn shelves() -> MutexGuard<'static, BTreeMap<String, Shelf>> {
    SHELVES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The rows that sinks of this name have shown, sorted.
pub(crate) fn shown(name: &str) -> Vec<u64> {
    let mut shown = shelves().get(name).map(|shelf| shelf.shown.clone()).unwrap_or_default();
    shown.sort_unstable();
    shown
}

/// Keeps numbers until they are shown.
pub(crate) struct Kept {
    name: String,
    fails_in: String,
}

impl Kept {
    /// Fails, if it is to and has not.
    fn fail_in(&self, call: &str) -> Result<(), Error> {
        let mut shelves = shelves();
        let shelf = shelves.entry(self.name.clone()).or_default();
        if self.fails_in == call && !std::mem::replace(&mut shelf.has_failed, true) {
            return Err(Error::new("it was to fail"));
        }
        Ok(())
    }
}

impl Sink for Kept {
    const NAME: &'static str = "kept";
    const SUMMARY: &'static str = "Keeps numbers until they are shown";
    const OPTIONS: &'static [OptionDoc] = &[
        OptionDoc::string("name", "By which rows are found").required(),
        OptionDoc::string("fails-in", "The call that fails once: write or show").default("none"),
    ];
    type Writer = KeptWriter;

    fn open(options: &Options, _schema: &Schema) -> Result<Self, Error> {
        let name = options.string("name")?.to_owned();
        Ok(Self { name, fails_in: options.string("fails-in")?.to_owned() })
    }

    fn writer(&self, _: Subtask) -> Result<KeptWriter, Error> {
        let sink = Self { name: self.name.clone(), fails_in: self.fails_in.clone() };
        Ok(KeptWriter { sink, rows: Vec::new(), written: 0 })
    }

    fn show(&self, transaction: &[u8]) -> Result<(), Error> {
        self.fail_in("show")?;
        let (numbers, _) = transaction.as_chunks();
        let mut numbers = numbers.iter().map(|number| u64::from_le_bytes(*number));
        let mut shelves = shelves();
        let shelf = shelves.entry(self.name.clone()).or_default();
        if numbers.next().is_some_and(|number| shelf.transactions.insert(number)) {
            shelf.shown.extend(numbers);
        }
        Ok(())
    }
}

pub(crate) struct KeptWriter {
    sink: Kept,
    rows: Vec<u64>,
    written: usize,
}

impl PageWriter for KeptWriter {
    fn write(&mut self, page: &ValidPage<'_>) -> Result<(), Error> {
        self.rows.extend_from_slice(page.column(0).fixed::<u64>());
        self.written += page.rows();
        if self.written > 1000 { self.sink.fail_in("write") } else { Ok(()) }
    }

    fn finish(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn prepare(&mut self) -> Result<Vec<u8>, Error> {
        let rows = std::mem::take(&mut self.rows);
        let mut shelves = shelves();
        let shelf = shelves.entry(self.sink.name.clone()).or_default();
        shelf.last += 1;
        let numbers = std::iter::once(shelf.last).chain(rows);
        Ok(numbers.flat_map(u64::to_le_bytes).collect())
    }
}
