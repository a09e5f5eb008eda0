//! Checkpoints of state in files that refer to the files, and recovery from one.
//!
//! `shared_files [MIB OF STATE] [MIB OF MEMORY] [DIRECTORY]` loads rows of 100 bytes under 16-byte keys, then
//! takes thirty checkpoints with compaction on, each when a uniform hundredth of the keys was changed. A
//! checkpoint is what a job does: the write buffer is written, what is new is synchronised and linked, the manifest is
//! made durable. It prints the share of the state that was written for each, and its time from the barrier
//! to the manifest; and what lies on the disk, which is looked at a few times for each checkpoint: the files of the state,
//! half-written ones and those of merges included, as a multiple of the bytes of keys and values; and all files, with
//! what only the checkpoints that are kept need. Then everything is opened anew, as after a crash: the newest checkpoint is found and
//! verified, its files are linked and opened, and one batch of keys is counted. There is no peer in this run.

use std::{
    collections::HashSet,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use millstream_benches::{XORSHIFT_SEED, xorshift};
use millstream_checkpoint::{
    CheckpointStorage, Manifest,
    manifest::{File, Purpose},
    storage::StateFile,
};
use millstream_checkpoint_files::Storage as Checkpoints;
use millstream_data::hash::{self, SEED};
use millstream_file_storage::{FileStorage, Options, Preference, choose, file_name};
use millstream_lsm::{LsmBackend, LsmConfig, SnapshotFiles};
use millstream_memory::ManagedMemory;
use millstream_segments::{MmapArena, MmapOptions};
use millstream_state::{
    Backend, Keys, Kind, ManagedLease, Owned, StateError, StateId, StateSpec, Stopped,
};
use millstream_storage::{BlockingStorage, FileId, Storage};

/// Keys of a batch.
const BATCH: usize = 1000;
/// Entries that are written and merged between two batches: as much as keeps up.
const BETWEEN: usize = 16 * BATCH;
const VALUE: usize = 100;
const CHECKPOINTS: u64 = 30;
/// Times that the disk is looked at for each checkpoint.
const LOOKS: u64 = 8;
/// The manifest of the backend, as a file of the checkpoint.
const STATE: &str = "state";
const OWNED: Owned = Owned { first: 0, end: 128, max_parallelism: 128 };

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number =
        |default: u64| arguments.next().map_or(default, |text| text.parse().expect("a number"));
    let (state, memory) = (number(64) << 20, number(32) << 20);
    let directory = arguments.next().unwrap_or_else(|| std::env::temp_dir().display().to_string());
    let name = format!("millstream-incremental-{}", std::process::id());
    let directory = Path::new(&directory).join(name);
    std::fs::create_dir_all(&directory).expect("a directory");
    let keys = state / (16 + VALUE as u64);
    println!("{keys} keys, {} MiB of state, {} MiB of memory", state >> 20, memory >> 20);
    run(keys, memory, &directory);
    recover(keys, memory, &directory);
    let _ = std::fs::remove_dir_all(&directory);
}

fn run(keys: u64, memory: u64, directory: &Path) {
    let checkpoints = Checkpoints::open(directory, "job").expect("a directory");
    let work = checkpoints.work("run").expect("a directory");
    let mut job = Job::new(memory, work);
    job.add((0..keys).map(key));
    // What loading has left to be merged is not what is measured.
    while job.lsm.has_work() {
        job.wait();
    }
    let mut state = XORSHIFT_SEED;
    let (mut shares, mut times) = (Vec::new(), Vec::new());
    let (mut most_own, mut most_all) = (0, 0);
    let mut look = |job: &Job| {
        most_own = most_own.max(disk_bytes(&job.work));
        most_all = most_all.max(disk_bytes(directory));
    };
    let mut before = None;
    for checkpoint in 0..=CHECKPOINTS {
        for _ in 0..if checkpoint > 0 { LOOKS } else { 0 } {
            job.add((0..keys / 100 / LOOKS).map(|_| key(xorshift(&mut state) % keys)));
            look(&job);
        }
        let begun = Instant::now();
        let snapshot = job.snapshot();
        let (all, new) = keep(&checkpoints, checkpoint, &snapshot, &job.work);
        let time = begun.elapsed();
        // The first one has all of the state, and is not one of the thirty.
        if checkpoint > 0 {
            shares.push(new as f64 / all as f64);
            times.push(time);
        }
        if let Some(before) = before.replace(snapshot.number) {
            job.lsm.release_snapshot(before);
        }
        checkpoints.retain(2).expect("a disk");
    }
    let count = shares.len() as f64;
    let most = shares.iter().copied().fold(0.0, f64::max);
    println!(
        "written for a checkpoint: mean {:.1} %, most {:.1} % of the state (asked: 5 and 20)",
        100.0 * shares.iter().sum::<f64>() / count,
        100.0 * most
    );
    println!(
        "time of a checkpoint: mean {:.3} s, most {:.3} s (asked: 2)",
        times.iter().sum::<Duration>().as_secs_f64() / count,
        times.iter().max().copied().unwrap_or_default().as_secs_f64()
    );
    let metrics = job.lsm.metrics();
    let plain = (keys * (16 + VALUE as u64)) as f64;
    println!(
        "at the end: {} files, a key in at most {}, {:.2} times the bytes of keys and values (asked: 1.3)",
        metrics.files,
        metrics.runs,
        metrics.bytes as f64 / plain
    );
    println!(
        "on the disk at most: {:.2} times, with the checkpoints that are kept {:.2} times",
        most_own as f64 / plain,
        most_all as f64 / plain
    );
}

/// Bytes of all files below a directory, each once, however many links it has.
fn disk_bytes(directory: &Path) -> u64 {
    let (mut open, mut seen, mut bytes) = (vec![directory.to_path_buf()], HashSet::new(), 0);
    while let Some(directory) = open.pop() {
        // What is gone meanwhile needs no room.
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => open.push(entry.path()),
                Ok(metadata) if seen.insert(metadata.ino()) => bytes += metadata.len(),
                _ => {}
            }
        }
    }
    bytes
}

/// Begins from the newest checkpoint.
fn recover(keys: u64, memory: u64, directory: &Path) {
    let mut steps = Vec::new();
    let mut begun = Instant::now();
    let mut step = |name| {
        steps.push((name, begun.elapsed().as_secs_f64()));
        begun = Instant::now();
    };
    let checkpoints = Checkpoints::open(directory, "job").expect("a directory");
    let latest = checkpoints.latest().expect("a disk");
    let manifest = latest.restored.expect("a checkpoint").manifest;
    step("verify");
    let older = checkpoints.directory(manifest.checkpoint);
    let state = std::fs::read(older.join(STATE)).expect("a disk");
    let work = checkpoints.work("again").expect("a directory");
    let mut job = Job::open(memory, work, &older, &state);
    step("link and open");
    let mut random = XORSHIFT_SEED;
    job.add((0..BATCH as u64).map(|_| key(xorshift(&mut random) % keys)));
    step("first result");
    let all: f64 = steps.iter().map(|(_, seconds)| seconds).sum();
    let steps: Vec<String> =
        steps.iter().map(|(name, seconds)| format!("{name} {seconds:.3} s")).collect();
    println!("recovery: {all:.3} s (asked: 3), of that {}", steps.join(", "));
}

/// A key that does not tell its number: keys of neighbouring numbers are far from each other.
fn key(number: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&hash::word(SEED, number).to_le_bytes());
    key[8..].copy_from_slice(&number.to_le_bytes());
    key
}

/// Makes a checkpoint of a snapshot; gives the bytes of all files, and of those that are new.
fn keep(
    checkpoints: &Checkpoints,
    checkpoint: u64,
    snapshot: &SnapshotFiles,
    work: &Path,
) -> (u64, u64) {
    checkpoints.begin(checkpoint).expect("a disk");
    let mut state = checkpoints.create(checkpoint, STATE).expect("a disk");
    state.append(&snapshot.manifest).expect("a disk");
    let mut files = vec![state.finish().expect("a disk")];
    let (mut all, mut new) = (0, 0);
    for file in &snapshot.files {
        let name = file_name(file.file);
        let linked = checkpoints.link(checkpoint, &name, &work.join(&name), file.is_new);
        linked.expect("a disk");
        files.push(File { name, length: file.length, checksum: file.checksum });
        all += file.length;
        new += if file.is_new { file.length } else { 0 };
    }
    let manifest = Manifest {
        checkpoint,
        timestamp_ms: 0,
        purpose: Purpose::Checkpoint,
        job: "job".into(),
        graph_hash: 0,
        files,
        operators: Vec::new(),
    };
    checkpoints.complete(&manifest).expect("a disk");
    (all, new)
}

/// State in files with names.
struct Job {
    lsm: LsmBackend<ManagedLease>,
    storage: FileStorage,
    rows: StateId,
    work: PathBuf,
}

fn hash_of(key: &[u8]) -> u64 {
    hash::bytes(SEED, key)
}

fn spec() -> StateSpec {
    let (key, namespace, value) = (Some(16), Some(0), Some(VALUE));
    StateSpec { name: "rows".into(), kind: Kind::Value, key, namespace, value }
}

fn lease(budget: u64) -> ManagedLease {
    let options = MmapOptions { huge_pages: true, ..MmapOptions::default() };
    let segments = (budget >> 15) as usize;
    let arena = MmapArena::with_options(32 << 10, segments, options).expect("memory");
    let memory = ManagedMemory::new(Box::new(arena));
    let owner = memory.open("state").expect("the memory is open");
    ManagedLease::new(memory, owner)
}

fn storage(work: &Path, older: Option<&Path>) -> FileStorage {
    let chosen = choose(Preference::Auto).expect("a way to write files");
    let options = Options { in_flight_max: 128, ..Options::default() };
    FileStorage::open_named(work, older, chosen.backend, options).expect("a directory")
}

impl Job {
    fn new(budget: u64, work: PathBuf) -> Self {
        let config = LsmConfig::new(budget);
        let lsm = LsmBackend::new(lease(budget), OWNED, hash_of, config);
        let mut lsm = lsm.expect("a budget");
        let rows = lsm.register(&spec()).expect("the first state");
        Self { lsm, storage: storage(&work, None), rows, work }
    }

    /// Opens the files of a checkpoint.
    fn open(budget: u64, work: PathBuf, older: &Path, manifest: &[u8]) -> Self {
        let config = LsmConfig::new(budget).first_file(FileId(1 << 48));
        let lsm = LsmBackend::open(lease(budget), OWNED, hash_of, config, &[manifest]);
        let mut lsm = lsm.expect("a manifest");
        let rows = lsm.register(&spec()).expect("the same state");
        let mut job = Self { lsm, storage: storage(&work, Some(older)), rows, work };
        while !job.lsm.is_open() {
            job.wait();
        }
        job
    }

    /// Counts in the values of keys.
    fn add(&mut self, keys: impl Iterator<Item = [u8; 16]>) {
        let mut keys = keys.peekable();
        let (mut batch, mut hashes) = (Vec::with_capacity(BATCH), Vec::with_capacity(BATCH));
        while keys.peek().is_some() {
            batch.clear();
            batch.extend(keys.by_ref().take(BATCH));
            hashes.clear();
            hashes.extend(batch.iter().map(|key: &[u8; 16]| hash_of(key)));
            let all = Keys::fixed(&hashes, 16, batch.as_flattened());
            let mut done = 0;
            loop {
                let add = |_, value: &mut [u8]| {
                    if let Some(count) = value.first_chunk_mut() {
                        *count = (u64::from_le_bytes(*count) + 1).to_le_bytes();
                    }
                };
                match self.lsm.update(self.rows, &all.skip(done), &[0; VALUE], add) {
                    Ok(()) => break,
                    Err(Stopped { done: served, error: StateError::Waits }) => {
                        done += served;
                        self.wait();
                    }
                    Err(stopped) => panic!("{stopped}"),
                }
            }
            if self.lsm.has_work() {
                self.lsm.work(&mut self.storage, BETWEEN).expect("a disk");
                self.take();
            }
        }
    }

    fn snapshot(&mut self) -> SnapshotFiles {
        let mut has_begun = false;
        loop {
            let found = match has_begun {
                false => self.lsm.open_snapshot().map(|()| None),
                true => self.lsm.snapshot_files(),
            };
            match found {
                Ok(Some(files)) => return files,
                Ok(None) => has_begun = true,
                Err(StateError::Waits) => self.wait(),
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Lets the backend do what a call waits for.
    fn wait(&mut self) {
        let more = self.lsm.work(&mut self.storage, BATCH).expect("a disk");
        if self.take() || more {
            return;
        }
        if let Some(completion) = self.storage.wait() {
            self.lsm.completed(completion).expect("a disk");
            self.take();
        }
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
