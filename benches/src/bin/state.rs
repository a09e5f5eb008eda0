//! State in memory: a count for each key, by batches of keys, without and with snapshots.
//!
//! The opponent is a loop over hashbrown's `HashTable` of the same entries, which has neither key
//! groups nor a budget, and cannot be read while it changes. `state [UPDATES] [ROUNDS] [KEYS...]`
//! prints millions of updates a second of both and their ratio; then the same with a snapshot
//! begun each second and written to memory beside the updates, as a part of the figure without, and the
//! longest that updates waited: for one batch, the opening of a snapshot, or what of it is
//! written between two batches. Both sides read the same keys, which are random, and hash them with the
//! engine's hash; all keys are there before the clock starts.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use hashbrown::{HashTable, hash_table::Entry};
use millstream_benches::{XORSHIFT_SEED, measure, median, xorshift};
use millstream_data::hash::{self, SEED};
use millstream_memory::ManagedMemory;
use millstream_segments::{MmapArena, MmapOptions};
use millstream_state::{
    Backend, Keys, Kind, ManagedLease, MemoryBackend, MemoryConfig, Owned, StateError, StateId,
    StateSpec, Stopped,
};

/// Keys of a batch.
const BATCH: usize = 1000;
/// Random keys that are made before the clock starts and then used again and again.
const KEYS: usize = 4000 * BATCH;
/// Bytes of a snapshot that are written between two batches.
const BETWEEN: usize = 32 << 10;
/// Between the begins of two snapshots.
const INTERVAL: Duration = Duration::from_secs(1);

fn main() {
    let mut arguments = std::env::args().skip(1).map(|a| a.parse::<u64>().expect("a number"));
    let updates = arguments.next().unwrap_or(100_000_000);
    let rounds = arguments.next().unwrap_or(3);
    let mut sizes: Vec<u64> = arguments.collect();
    if sizes.is_empty() {
        sizes = vec![1_000, 1_000_000, 10_000_000];
    }
    for keys in sizes {
        compare(updates, rounds, keys);
    }
}

fn compare(updates: u64, rounds: u64, keys: u64) {
    let mut state = XORSHIFT_SEED;
    let random: Vec<[u8; 8]> =
        (0..KEYS).map(|_| (xorshift(&mut state) % keys).to_le_bytes()).collect();
    let batches = updates as usize / BATCH;
    let rate = |seconds: f64| (batches * BATCH) as f64 / seconds / 1e6;
    let (mut bare, mut plain, mut shared) = (Vec::new(), Vec::new(), Vec::new());
    let mut snapshots = Snapshots::default();
    let mut table = Table::open(keys);
    for _ in 0..rounds {
        bare.push(rate(hand(keys, &random, batches)));
        plain.push(rate(measure(|| table.count(&random, batches)).1.cpu));
        let (taken, cost) = measure(|| table.count_with_snapshots(&random, batches));
        shared.push(rate(cost.cpu));
        snapshots = snapshots.and(taken);
    }
    let ratios = |a: &[f64], b: &[f64]| {
        let ratios: Vec<f64> = a.iter().zip(b).map(|(a, b)| a / b).collect();
        let each: Vec<String> = ratios.iter().map(|ratio| format!("{ratio:.2}")).collect();
        format!("{:.2} (each round: {})", median(ratios), each.join(", "))
    };
    println!(
        "{keys} keys, {:.1} bytes a key: bare table {:.1} M/CPU-s, state {:.1}, ratio {}",
        table.backend.held() as f64 / keys as f64,
        median(bare.iter().copied()),
        median(plain.iter().copied()),
        ratios(&plain, &bare),
    );
    println!(
        "  a snapshot each second: {:.1} M/CPU-s, of that without {}; {} snapshots of {:.1} MB, \
         each done in at most {:.2} s; longest wait: a batch {:.2} ms ({:.2} ms \
         while none is open), opening {:.2} ms, writing \
         {:.2} ms",
        median(shared.iter().copied()),
        ratios(&shared, &plain),
        snapshots.taken,
        snapshots.bytes as f64 / f64::from(snapshots.taken.max(1)) / 1e6,
        snapshots.longest.as_secs_f64(),
        millis(snapshots.batch),
        millis(snapshots.quiet),
        millis(snapshots.opening),
        millis(snapshots.writing),
    );
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn hand(keys: u64, random: &[[u8; 8]], batches: usize) -> f64 {
    let mut table: HashTable<(u64, u64)> = HashTable::with_capacity(keys as usize);
    let add = |table: &mut HashTable<(u64, u64)>, key: u64| {
        let hash = |key: u64| hash::word(SEED, key);
        match table.entry(hash(key), |entry| entry.0 == key, |entry| hash(entry.0)) {
            Entry::Occupied(mut entry) => entry.get_mut().1 += 1,
            Entry::Vacant(entry) => drop(entry.insert((key, 1))),
        }
    };
    (0..keys).for_each(|key| add(&mut table, key));
    let count = || {
        for batch in random.chunks(BATCH).cycle().take(batches) {
            batch.iter().for_each(|key| add(&mut table, u64::from_le_bytes(*key)));
        }
    };
    let cost = measure(count).1;
    black_box(table.len());
    cost.cpu
}

/// What snapshots cost.
#[derive(Debug, Default)]
struct Snapshots {
    taken: u32,
    bytes: u64,
    longest: Duration,
    /// While none was open.
    quiet: Duration,
    batch: Duration,
    opening: Duration,
    writing: Duration,
}

impl Snapshots {
    fn and(self, other: Self) -> Self {
        Self {
            taken: self.taken + other.taken,
            bytes: self.bytes + other.bytes,
            longest: self.longest.max(other.longest),
            quiet: self.quiet.max(other.quiet),
            batch: self.batch.max(other.batch),
            opening: self.opening.max(other.opening),
            writing: self.writing.max(other.writing),
        }
    }
}

struct Table {
    backend: MemoryBackend<ManagedLease>,
    counts: StateId,
    hashes: Vec<u64>,
    /// What was written of a snapshot between two batches.
    chunks: Vec<u8>,
    written: u64,
}

impl Table {
    fn open(keys: u64) -> Self {
        let segments = ((64 << 20) >> 15) + ((keys * 40) >> 15);
        let options = MmapOptions { huge_pages: true, ..MmapOptions::default() };
        let arena = MmapArena::with_options(32 << 10, segments as usize, options).expect("memory");
        let memory = ManagedMemory::new(Box::new(arena));
        let owner = memory.open("state").expect("the memory is open");
        let hash = |key: &[u8]| {
            hash::word(SEED, key.first_chunk().map_or(0, |key| u64::from_le_bytes(*key)))
        };
        let owned = Owned { first: 0, end: 128, max_parallelism: 128 };
        let lease = ManagedLease::new(memory, owner);
        let mut backend = MemoryBackend::new(lease, owned, hash, MemoryConfig::default());
        let spec = StateSpec {
            name: "counts".into(),
            kind: Kind::Value,
            key: Some(8),
            namespace: Some(0),
            value: Some(8),
        };
        let counts = backend.register(&spec).expect("the first state");
        let mut table =
            Self { backend, counts, hashes: Vec::new(), chunks: Vec::new(), written: 0 };
        let all: Vec<_> = (0..keys).map(u64::to_le_bytes).collect();
        all.chunks(BATCH).for_each(|batch| table.add(batch));
        assert_eq!(table.backend.entries(counts), keys);
        table
    }

    /// Counts a batch of keys, and writes what the snapshot needs before they change.
    #[inline(always)]
    fn add(&mut self, batch: &[[u8; 8]]) {
        self.hashes.clear();
        self.hashes.extend(batch.iter().map(|key| hash::word(SEED, u64::from_le_bytes(*key))));
        let keys = Keys::fixed(&self.hashes, 8, batch.as_flattened());
        let mut done = 0;
        loop {
            let add = |_, value: &mut [u8]| {
                if let Some(count) = value.first_chunk_mut() {
                    *count = (u64::from_le_bytes(*count) + 1).to_le_bytes();
                }
            };
            match self.backend.update(self.counts, &keys.skip(done), &[0; 8], add) {
                Ok(()) => return,
                Err(Stopped { done: served, error: StateError::SnapshotFirst }) => {
                    done += served;
                    self.backend.next_chunk(&mut self.chunks).expect("memory");
                }
                Err(stopped) => panic!("{stopped}"),
            }
        }
    }

    fn count(&mut self, random: &[[u8; 8]], batches: usize) {
        for batch in random.chunks(BATCH).cycle().take(batches) {
            self.add(batch);
        }
    }

    fn count_with_snapshots(&mut self, random: &[[u8; 8]], batches: usize) -> Snapshots {
        let mut found = Snapshots::default();
        let mut begun = Instant::now();
        let mut is_open = false;
        let mut last = begun;
        for batch in random.chunks(BATCH).cycle().take(batches) {
            self.add(batch);
            let now = Instant::now();
            let longest = if is_open { &mut found.batch } else { &mut found.quiet };
            *longest = (*longest).max(now - last);
            last = now;
            if is_open {
                is_open = self.write();
                let now = Instant::now();
                found.writing = found.writing.max(now - last);
                last = now;
                if !is_open {
                    found.taken += 1;
                    found.longest = found.longest.max(now - begun);
                }
            } else if now - begun >= INTERVAL {
                self.backend.open_snapshot().expect("the one before is closed");
                is_open = true;
                begun = now;
                last = Instant::now();
                found.opening = found.opening.max(last - now);
            }
        }
        self.backend.abort_snapshot();
        found.bytes = std::mem::take(&mut self.written);
        found
    }

    /// Writes a part of the snapshot; whether there is more.
    fn write(&mut self) -> bool {
        let mut more = true;
        while more && self.chunks.len() < BETWEEN {
            more = self.backend.next_chunk(&mut self.chunks).expect("memory");
        }
        self.written += self.chunks.len() as u64;
        black_box(&self.chunks);
        self.chunks.clear();
        more
    }
}
