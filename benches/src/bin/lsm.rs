//! State larger than memory: adding one to a count of 8 bytes for each 16-byte key, by batches.
//!
//! The opponent is fjall, with as much for its cache and its write buffers, without compression, its
//! journal never synchronised, and a `get` and an `insert` for each key. `lsm [KEYS] [UPDATES] [MIB]
//! [DIRECTORY]` loads all keys, then counts keys that are uniform, and keys by Zipf's law (exponent 0.99,
//! by Gray's method, *Quickly Generating Billion-Record Synthetic Databases*, 1994). It prints thousands of
//! keys a second of both, by the clock on the wall, with the CPU-seconds of all threads,.
//! Neither side's page cache is limited.

use std::{path::Path, time::Instant};

use fjall::{Database, KeyspaceCreateOptions, config::CompressionPolicy};
use millstream_benches::{XORSHIFT_SEED, cpu_seconds, xorshift};
use millstream_data::hash::{self, SEED};
use millstream_file_storage::{FileStorage, Options, Preference, choose};
use millstream_lsm::{LsmBackend, LsmConfig};
use millstream_memory::ManagedMemory;
use millstream_segments::{MmapArena, MmapOptions};
use millstream_state::{
    Backend, Keys, Kind, ManagedLease, Owned, StateError, StateId, StateSpec, Stopped,
};
use millstream_storage::{BlockingStorage, Storage};

/// Keys of a batch.
const BATCH: usize = 1000;
/// Entries that are written and merged between two batches: as much as keeps up.
const BETWEEN: usize = 16 * BATCH;
const EXPONENT: f64 = 0.99;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number =
        |default: u64| arguments.next().map_or(default, |text| text.parse().expect("a number"));
    let (keys, updates, mib) = (number(10_000_000), number(2_000_000), number(512));
    let directory = arguments.next().unwrap_or_else(|| std::env::temp_dir().display().to_string());
    let directory = Path::new(&directory).join(format!("millstream-lsm-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    println!("{keys} keys, {mib} MiB of memory, thousands of keys a second (CPU-seconds):");
    let mut ours = Ours::open(mib << 20, &directory);
    let ours = run(keys, updates, |batch| ours.add(batch));
    let mut peer = Peer::open(mib << 20, &directory.join("fjall"));
    let peers = run(keys, updates, |batch| peer.add(batch));
    for (ours, peers) in ours.into_iter().zip(peers) {
        println!(
            "{:>8}: lsm {:.0} ({:.1}), fjall {:.0} ({:.1}), ratio {:.2}",
            ours.name,
            ours.rate,
            ours.cpu,
            peers.rate,
            peers.cpu,
            ours.rate / peers.rate
        );
    }
    drop(peer);
    let _ = std::fs::remove_dir_all(&directory);
}

struct Phase {
    name: &'static str,
    rate: f64,
    cpu: f64,
}

/// Loads, and counts in both ways.
fn run(keys: u64, updates: u64, mut add: impl FnMut(&[[u8; 16]])) -> Vec<Phase> {
    let mut phase = |name, count: u64, next: &mut dyn FnMut(u64) -> u64| {
        let (begun, cpu) = (Instant::now(), cpu_seconds());
        let mut batch = Vec::with_capacity(BATCH);
        for number in 0..count {
            batch.push(key(next(number)));
            if batch.len() == BATCH || number + 1 == count {
                add(&batch);
                batch.clear();
            }
        }
        let rate = count as f64 / begun.elapsed().as_secs_f64() / 1e3;
        Phase { name, rate, cpu: cpu_seconds() - cpu }
    };
    let mut state = XORSHIFT_SEED;
    let zipf = Zipf::new(keys);
    vec![
        phase("load", keys, &mut |number| number),
        phase("uniform", updates, &mut |_| xorshift(&mut state) % keys),
        phase("zipf", updates, &mut |_| zipf.draw(xorshift(&mut state))),
    ]
}

/// A key that does not tell its number: keys of neighbouring numbers are far from each other.
fn key(number: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&hash::word(SEED, number).to_le_bytes());
    key[8..].copy_from_slice(&number.to_le_bytes());
    key
}

/// Numbers below a limit, the smaller the likelier.
struct Zipf {
    keys: f64,
    zeta: f64,
    eta: f64,
}

impl Zipf {
    fn new(keys: u64) -> Self {
        let zeta = |keys: u64| (1..=keys).map(|rank| (rank as f64).powf(-EXPONENT)).sum::<f64>();
        let (all, two) = (zeta(keys), zeta(2));
        let eta = (1.0 - (2.0 / keys as f64).powf(1.0 - EXPONENT)) / (1.0 - two / all);
        Self { keys: keys as f64, zeta: all, eta }
    }

    fn draw(&self, random: u64) -> u64 {
        let u = (random >> 11) as f64 / (1u64 << 53) as f64;
        let uz = u * self.zeta;
        if uz < 1.0 {
            0
        } else if uz < 1.0 + 0.5f64.powf(EXPONENT) {
            1
        } else {
            let rank = self.keys * (self.eta * u - self.eta + 1.0).powf(1.0 / (1.0 - EXPONENT));
            (rank as u64).min(self.keys as u64 - 1)
        }
    }
}

struct Ours {
    lsm: LsmBackend<ManagedLease>,
    storage: FileStorage,
    counts: StateId,
    hashes: Vec<u64>,
}

impl Ours {
    fn open(budget: u64, directory: &Path) -> Self {
        let options = MmapOptions { huge_pages: true, ..MmapOptions::default() };
        let segments = (budget >> 15) as usize;
        let arena = MmapArena::with_options(32 << 10, segments, options).expect("memory");
        let memory = ManagedMemory::new(Box::new(arena));
        let owner = memory.open("state").expect("the memory is open");
        let lease = ManagedLease::new(memory, owner);
        let owned = Owned { first: 0, end: 128, max_parallelism: 128 };
        let hash = |key: &[u8]| hash::bytes(SEED, key);
        let lsm = LsmBackend::new(lease, owned, hash, LsmConfig::new(budget));
        let mut lsm = lsm.expect("a budget");
        let spec = StateSpec {
            name: "counts".into(),
            kind: Kind::Value,
            key: Some(16),
            namespace: Some(0),
            value: Some(8),
        };
        let counts = lsm.register(&spec).expect("the first state");
        let chosen = choose(Preference::Auto).expect("a way to write files");
        let options = Options { in_flight_max: 128, ..Options::default() };
        let storage = FileStorage::open(directory, chosen.backend, options).expect("a directory");
        Self { lsm, storage, counts, hashes: Vec::new() }
    }

    /// Adds one to the count of each key.
    fn add(&mut self, batch: &[[u8; 16]]) {
        self.hashes.clear();
        self.hashes.extend(batch.iter().map(|key| hash::bytes(SEED, key)));
        let hashes = std::mem::take(&mut self.hashes);
        let keys = Keys::fixed(&hashes, 16, batch.as_flattened());
        let mut done = 0;
        loop {
            let add = |_, value: &mut [u8]| {
                if let Some(count) = value.first_chunk_mut() {
                    *count = (u64::from_le_bytes(*count) + 1).to_le_bytes();
                }
            };
            match self.lsm.update(self.counts, &keys.skip(done), &[0; 8], add) {
                Ok(()) => break,
                Err(Stopped { done: served, error: StateError::Waits }) => {
                    done += served;
                    self.wait();
                }
                Err(stopped) => panic!("{stopped}"),
            }
        }
        self.hashes = hashes;
        if self.lsm.has_work() {
            self.lsm.work(&mut self.storage, BETWEEN).expect("a disk");
            self.take();
        }
    }

    /// Lets the backend do what a call waits for.
    fn wait(&mut self) {
        let more = self.lsm.work(&mut self.storage, BATCH).expect("a disk");
        if self.take() || more {
            return;
        }
        let completion = self.storage.wait().expect("it waits for something");
        self.lsm.completed(completion).expect("a disk");
        self.take();
    }

    /// Feeds what the storage has completed; whether that was anything.
    fn take(&mut self) -> bool {
        let mut any = false;
        while let Some(completion) = self.storage.poll() {
            self.lsm.completed(completion).expect("a disk");
            any = true;
        }
        any
    }
}

struct Peer {
    counts: fjall::Keyspace,
    _database: Database,
}

impl Peer {
    fn open(budget: u64, directory: &Path) -> Self {
        let database =
            Database::builder(directory).cache_size(budget / 2).open().expect("a database");
        let options = || {
            let uncompressed = CompressionPolicy::disabled();
            KeyspaceCreateOptions::default()
                .data_block_compression_policy(uncompressed)
                .max_memtable_size(budget / 8)
        };
        let counts = database.keyspace("counts", options).expect("a keyspace");
        Self { counts, _database: database }
    }

    fn add(&mut self, batch: &[[u8; 16]]) {
        for key in batch {
            let old = self.counts.get(key).expect("a disk");
            let old = old.and_then(|old| old.first_chunk().map(|old| u64::from_le_bytes(*old)));
            let count = old.unwrap_or(0) + 1;
            self.counts.insert(key, count.to_le_bytes()).expect("a disk");
        }
    }
}
