//! What everybody in a simulated engine shares: time, chance, storage, and what will happen.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Wake,
};

use millstream_checkpoint::{MemoryStorage, coordinator::Snapshot};
use millstream_dataflow::task::Order;

use super::{EngineBug, external::External};
use crate::{Random, random::mix};

/// Something that will happen at a time.
#[derive(Debug)]
pub(super) enum Event {
    /// The coordinator hears something.
    Told(millstream_checkpoint::coordinator::Input),
    /// An order arrives at a task.
    Order(u32, Order),
    /// The manifest of a checkpoint is written.
    Store(Box<Snapshot>),
    /// Time went by for the coordinator.
    Deadline,
    /// The storage works again.
    Repaired,
    /// The failure of a part of the job was noticed: all of it ends.
    Over(String),
}

/// Shared by all of one run.
#[derive(Debug)]
pub(super) struct Cx {
    /// Microseconds since the run began.
    pub(super) now: u64,
    pub(super) random: Random,
    pub(super) bug: Option<EngineBug>,
    pub(super) storage: MemoryStorage,
    pub(super) external: External,
    /// By the node of the source.
    pub(super) splits: BTreeMap<u32, Splits>,
    /// Things that happened which have to do with checkpoints: faults like to be near them.
    pub(super) points: u64,
    events: BTreeMap<(u64, u64), Event>,
    sequence: u64,
    hash: u64,
    trace: bool,
    counts: BTreeMap<&'static str, u64>,
}

impl Cx {
    pub(super) fn new(random: Random, bug: Option<EngineBug>, trace: bool) -> Self {
        Self {
            now: 0,
            random,
            bug,
            storage: MemoryStorage::new(),
            external: External::default(),
            splits: BTreeMap::new(),
            points: 0,
            events: BTreeMap::new(),
            sequence: 0,
            hash: 0,
            trace,
            counts: BTreeMap::new(),
        }
    }

    /// Lets something happen so many microseconds from now.
    pub(super) fn after(&mut self, micros: u64, event: Event) {
        self.at(self.now + micros, event);
    }

    /// Lets something happen at a time.
    pub(super) fn at(&mut self, time: u64, event: Event) {
        self.sequence += 1;
        self.events.insert((time, self.sequence), event);
    }

    /// The next thing that is due.
    pub(super) fn due(&mut self) -> Option<Event> {
        let entry = self.events.first_entry().filter(|entry| entry.key().0 <= self.now)?;
        Some(entry.remove())
    }

    /// When the next thing happens.
    pub(super) fn next_event(&self) -> Option<u64> {
        self.events.keys().next().map(|(time, _)| *time)
    }

    /// Nothing of what was to happen does; gives the manifests that were on their way.
    pub(super) fn forget_events(&mut self) -> Vec<Snapshot> {
        let events = std::mem::take(&mut self.events).into_values();
        let stores = events.filter_map(|event| match event {
            Event::Store(snapshot) => Some(*snapshot),
            _ => None,
        });
        stores.collect()
    }

    pub(super) fn has_bug(&self, bug: EngineBug) -> bool {
        self.bug == Some(bug)
    }

    /// Counts something, and adds it to what two runs are compared by.
    pub(super) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
        self.mix(what.len() as u64);
    }

    /// Adds a number to what two runs are compared by.
    pub(super) fn mix(&mut self, number: u64) {
        self.hash = mix(self.hash ^ number.wrapping_add(self.now));
    }

    /// Says what happens, to whoever wants to know.
    pub(super) fn say(&mut self, text: impl FnOnce() -> String) {
        if self.trace {
            println!("{:>9} {}", self.now, text());
        }
    }

    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    pub(super) fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }
}

/// The splits of a source, in the coordinating process.
#[derive(Debug, Default)]
pub(super) struct Splits {
    left: VecDeque<(u32, Vec<u8>)>,
    /// All that there were when the attempt began.
    pub(super) all: Vec<Vec<u8>>,
}

impl Splits {
    pub(super) fn new(all: Vec<Vec<u8>>) -> Self {
        Self { left: (0..).zip(all.iter().cloned()).collect(), all }
    }

    /// The next split, with its number.
    pub(super) fn next(&mut self) -> Option<(u32, Vec<u8>)> {
        self.left.pop_front()
    }

    pub(super) fn is_exhausted(&self) -> bool {
        self.left.is_empty()
    }
}

/// Somebody has something to do.
#[derive(Debug, Default)]
pub(super) struct Flag(AtomicBool);

impl Flag {
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn set(&self, set: bool) {
        self.0.store(set, Ordering::Relaxed);
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.set(true);
    }
}
