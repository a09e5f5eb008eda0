//! State in memory: a count per key, by pages of keys.
//!
//! The opponent is a hand-written loop over hashbrown's `HashTable` with as many entries, which has
//! neither key groups nor a budget, and cannot be read while it changes. `state [UPDATES] [ROUNDS]
//! [KEYS...]` prints updates a second for keys of 8 bytes and of 20 bytes of text, and the ratios. Both
//! sides hash with the engine's stable hash, and all keys are there before the clock starts.

use std::hint::black_box;

use hashbrown::{HashTable, hash_table::Entry};
use millstream_benches::{Cost, XORSHIFT_SEED, measure, median, xorshift};
use millstream_data::hash::{self, SEED};
use millstream_memory::ManagedMemory;
use millstream_segments::{MmapArena, MmapOptions};
use millstream_state::{
    Backend, Keys, Kind, ManagedLease, MemoryBackend, MemoryConfig, Owned, StateId, StateSpec,
};

/// Keys in a page.
const PAGE_KEYS: usize = 1024;
/// Bytes of a key that is text.
const TEXT: usize = 20;

fn main() {
    let mut arguments = std::env::args().skip(1).map(|a| a.parse::<u64>().expect("a number"));
    let updates = arguments.next().unwrap_or(50_000_000);
    let rounds = arguments.next().unwrap_or(3);
    let mut sizes: Vec<u64> = arguments.collect();
    if sizes.is_empty() {
        sizes = vec![1_000, 1_000_000, 10_000_000];
    }
    for keys in sizes {
        compare(
            "u64",
            rounds,
            updates,
            || hand::numbers(updates, keys),
            || {
                let mut table = Table::open(keys, Some(8));
                table.load(keys, page_of_numbers);
                measure(|| table.count(updates, keys, page_of_numbers)).1
            },
            keys,
        );
        compare(
            "text",
            rounds,
            updates,
            || hand::text(updates, keys),
            || {
                let mut table = Table::open(keys, None);
                table.load(keys, page_of_text);
                measure(|| table.count(updates, keys, page_of_text)).1
            },
            keys,
        );
    }
}

fn compare(
    what: &str,
    rounds: u64,
    updates: u64,
    hand: impl Fn() -> Cost,
    ours: impl Fn() -> Cost,
    keys: u64,
) {
    let (mut by_hand, mut by_us, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let rate = |cost: Cost| updates as f64 / cost.cpu / 1e6;
        let (hand, ours) = (rate(hand()), rate(ours()));
        by_hand.push(hand);
        by_us.push(ours);
        ratios.push(ours / hand);
    }
    println!(
        "{keys} keys, {what}: hand loop {:.1} M/CPU-s, memory state {:.1} M/CPU-s, ratio {:.2} (each round: {})",
        median(by_hand),
        median(by_us),
        median(ratios.iter().copied()),
        ratios.iter().map(|ratio| format!("{ratio:.2}")).collect::<Vec<_>>().join(", ")
    );
}

/// The text of a key: twenty digits.
fn digits(mut key: u64) -> [u8; TEXT] {
    let mut text = [b'0'; TEXT];
    for byte in text.iter_mut().rev() {
        if key == 0 {
            break;
        }
        *byte += (key % 10) as u8;
        key /= 10;
    }
    text
}

struct Table {
    backend: MemoryBackend<ManagedLease>,
    counts: StateId,
    /// A page of keys.
    hashes: Vec<u64>,
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

type PageOf = fn(&mut Table, &mut dyn FnMut() -> u64, usize);

fn page_of_numbers(table: &mut Table, next: &mut dyn FnMut() -> u64, keys: usize) {
    for _ in 0..keys {
        let key = next();
        table.hashes.push(hash::word(SEED, key));
        table.bytes.extend_from_slice(&key.to_le_bytes());
    }
}

fn page_of_text(table: &mut Table, next: &mut dyn FnMut() -> u64, keys: usize) {
    for _ in 0..keys {
        let key = digits(next());
        table.hashes.push(hash::bytes(SEED, &key));
        table.bytes.extend_from_slice(&key);
        table.ends.push(table.bytes.len() as u32);
    }
}

impl Table {
    fn open(keys: u64, width: Option<usize>) -> Self {
        let segments = (64 << 20 >> 15) + (keys * if width.is_some() { 32 } else { 80 } >> 15);
        let options = MmapOptions { huge_pages: true, ..MmapOptions::default() };
        let arena = MmapArena::with_options(32 << 10, segments as usize, options).expect("memory");
        let memory = ManagedMemory::new(Box::new(arena));
        let owner = memory.open("state").expect("the memory is open");
        let hash = match width {
            Some(_) => |key: &[u8]| {
                hash::word(SEED, key.first_chunk().map_or(0, |k| u64::from_le_bytes(*k)))
            },
            None => |key: &[u8]| hash::bytes(SEED, key),
        };
        let owned = Owned { first: 0, end: 128, max_parallelism: 128 };
        let lease = ManagedLease::new(memory, owner);
        let mut backend = MemoryBackend::new(lease, owned, hash, MemoryConfig::default());
        let spec = StateSpec {
            name: "counts".into(),
            kind: Kind::Value,
            key: width,
            namespace: Some(0),
            value: Some(8),
        };
        let counts = backend.register(&spec).expect("the first state");
        Self { backend, counts, hashes: Vec::new(), bytes: Vec::new(), ends: Vec::new() }
    }

    fn load(&mut self, keys: u64, page: PageOf) {
        let mut state = 0;
        let mut next = || {
            state += 1;
            state - 1
        };
        self.run(keys, page, &mut next);
        assert_eq!(self.backend.entries(self.counts), keys);
        println!(
            "  {:.1} bytes/key in use, {:.1} held",
            self.backend.used() as f64 / keys as f64,
            self.backend.held() as f64 / keys as f64
        );
    }

    fn count(&mut self, updates: u64, keys: u64, page: PageOf) {
        let mut state = XORSHIFT_SEED;
        self.run(updates, page, &mut || xorshift(&mut state) % keys);
    }

    #[inline(always)]
    fn run(&mut self, updates: u64, page: PageOf, next: &mut dyn FnMut() -> u64) {
        let mut left = updates as usize;
        while left > 0 {
            let now = PAGE_KEYS.min(left);
            self.hashes.clear();
            self.bytes.clear();
            self.ends.clear();
            page(self, next, now);
            let keys = match self.ends.is_empty() {
                true => Keys::fixed(&self.hashes, 8, &self.bytes),
                false => Keys::variable(&self.hashes, &self.ends, &self.bytes),
            };
            let add = |_, value: &mut [u8]| {
                if let Some(count) = value.first_chunk_mut() {
                    *count = (u64::from_le_bytes(*count) + 1).to_le_bytes();
                }
            };
            self.backend.update(self.counts, &keys, &[0; 8], add).expect("the budget is enough");
            left -= now;
        }
    }
}

mod hand {
    use super::*;

    pub(super) fn numbers(updates: u64, keys: u64) -> Cost {
        let mut table: HashTable<(u64, u64)> = HashTable::with_capacity(keys as usize);
        let add = |table: &mut HashTable<(u64, u64)>, key: u64| {
            let hash = |key: u64| hash::word(SEED, key);
            match table.entry(hash(key), |entry| entry.0 == key, |entry| hash(entry.0)) {
                Entry::Occupied(mut entry) => entry.get_mut().1 += 1,
                Entry::Vacant(entry) => drop(entry.insert((key, 1))),
            }
        };
        (0..keys).for_each(|key| add(&mut table, key));
        let mut state = XORSHIFT_SEED;
        let cost =
            measure(|| (0..updates).for_each(|_| add(&mut table, xorshift(&mut state) % keys))).1;
        black_box(table.len());
        cost
    }

    pub(super) fn text(updates: u64, keys: u64) -> Cost {
        let mut table: HashTable<(String, u64)> = HashTable::with_capacity(keys as usize);
        let add = |table: &mut HashTable<(String, u64)>, key: u64| {
            let text = digits(key);
            let hash = |text: &[u8]| hash::bytes(SEED, text);
            match table.entry(
                hash(&text),
                |entry| entry.0.as_bytes() == text,
                |entry| hash(entry.0.as_bytes()),
            ) {
                Entry::Occupied(mut entry) => entry.get_mut().1 += 1,
                Entry::Vacant(entry) => {
                    let text = String::from_utf8(text.to_vec()).expect("digits");
                    drop(entry.insert((text, 1)));
                }
            }
        };
        (0..keys).for_each(|key| add(&mut table, key));
        let mut state = XORSHIFT_SEED;
        let cost =
            measure(|| (0..updates).for_each(|_| add(&mut table, xorshift(&mut state) % keys))).1;
        black_box(table.len());
        cost
    }
}
