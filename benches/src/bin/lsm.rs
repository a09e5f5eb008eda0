//! State larger than memory: counts under 16-byte keys, and maps that are read in order, beside its peers.
//!
//! `lsm [--rocksdb PROGRAM] [--without-fjall] [--compression UPPER,BOTTOM] [--cgroup MIB] [KEYS] [SECONDS] [MIB]
//! [DIRECTORY]` asks each
//! engine for what [`millstream_peer_workload`] says, in a process of its own, one after the other, and
//! prints thousands a second by the clock on the wall, with the CPU-seconds of all threads until nothing was left to
//! be merged, and ratios. The peers are fjall, with half of the memory for its cache and half for its write
//! buffers, without compression, its journal never synchronised; RocksDB, if its program is given (how to build that is
//! in `benches/peers/README.md`); the engine itself with blocks compressed as `--compression` says, which may come
//! several times and is as `state.lsm.compression`, where it does not compress else; and a bare hash table in
//! memory, if everything fits. With `--cgroup` each
//! process has that much memory, its share of the page cache included, in a control group that is
//! made for it, which needs the right to make one.

use std::{
    error::Error,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, config::CompressionPolicy};
use hashbrown::HashTable;
use millstream_data::hash::{self, SEED};
use millstream_file_storage::{FileStorage, Options, Preference, choose};
use millstream_lsm::{LsmBackend, LsmConfig, compression::Levels};
use millstream_memory::ManagedMemory;
use millstream_peer_workload::{BATCH, Bytes, Engine, KEY, Phase, Task, run};
use millstream_segments::{MmapArena, MmapOptions};
use millstream_state::{
    Backend, Column, Key, Keys, Kind, ManagedLease, Owned, StateError, StateId, StateSpec, Stopped,
};
use millstream_storage::{BlockingStorage, Storage};
use millstream_zstd::Zstd;

/// Entries that are written and merged between two batches: as much as keeps up.
const BETWEEN: usize = 16 * BATCH;
/// Bytes that a hash table needs for a key, about.
const TABLE_BYTES: u64 = 48;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).peekable();
    let (mut rocksdb, mut with_fjall, mut group) = (None, true, None);
    let mut compressed: Vec<String> = Vec::new();
    while let Some(option) = arguments.next_if(|argument| argument.starts_with("--")) {
        let mut value = || arguments.next().ok_or(format!("{option} needs a value"));
        match &*option {
            "--engine" => {
                let engine = value()?;
                return ask(&engine, &Task::parse(arguments));
            }
            "--rocksdb" => rocksdb = Some(PathBuf::from(value()?)),
            "--without-fjall" => with_fjall = false,
            "--compression" => compressed.push(value()?),
            "--cgroup" => group = Some(Group::make(value()?.parse()?)?),
            _ => return Err(format!("there is no option {option}").into()),
        }
    }
    let task = Task::parse(arguments);
    println!("{} keys, {} MiB of memory, {} s each", task.keys, task.mib, task.seconds);
    let own = std::env::current_exe()?;
    let engine = |name: &str| (name.into(), own.clone(), vec!["--engine".into(), name.into()]);
    let mut engines: Vec<(String, _, _)> = vec![engine("lsm")];
    engines.extend(compressed.iter().map(|levels| engine(levels)));
    engines.extend(with_fjall.then(|| engine("fjall")));
    engines.extend(rocksdb.map(|program| ("rocksdb".into(), program, Vec::new())));
    engines.extend((task.keys * TABLE_BYTES <= task.mib << 20).then(|| engine("table")));
    let mut ours: Vec<Phase> = Vec::new();
    for (name, program, arguments) in engines {
        let phases = start(&name, &program, &arguments, &task, group.as_ref())?;
        for phase in &phases {
            let own = ours.iter().find(|own| own.name == phase.name);
            // Of bytes, less is better.
            let ratio = own.map(|own| match &*phase.name {
                "space" => format!(", lsm has {:.2} of it", own.rate / phase.rate),
                _ => format!(", lsm has {:.2} times that", own.rate / phase.rate),
            });
            let Phase { name: phase, rate, cpu } = phase;
            let ratio = ratio.unwrap_or_default();
            match &**phase {
                "space" => println!("{name:>8} {phase:>8}: {:.0} MiB{ratio}", rate / 1048576.0),
                _ => println!("{name:>8} {phase:>8}: {rate:.0} k/s ({cpu:.1} CPU-s){ratio}"),
            }
        }
        if ours.is_empty() {
            ours = phases;
        }
    }
    Ok(())
}

/// Is one of the engines.
fn ask(engine: &str, task: &Task) -> Result<(), Box<dyn Error>> {
    match engine {
        "lsm" => run(task, &mut Ours::open(task, Levels::default())),
        "fjall" => run(task, &mut Fjall::open(task)),
        "table" => run(task, &mut Table::default()),
        levels => {
            let levels = levels.parse();
            let levels = levels.map_err(|_| format!("there is no engine {engine}"))?;
            run(task, &mut Ours::open(task, levels));
        }
    }
    Ok(())
}

/// Lets a program do the task, in a directory of its own.
fn start(
    name: &str,
    program: &Path,
    arguments: &[String],
    task: &Task,
    group: Option<&Group>,
) -> Result<Vec<Phase>, Box<dyn Error>> {
    let directory = task.directory.join(format!("millstream-lsm-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let mut command = match group {
        // The shell puts itself into the group, and becomes the program.
        Some(group) => {
            let mut command = Command::new("sh");
            let enter = "echo $$ > \"$0/cgroup.procs\" && exec \"$@\"";
            command.arg("-c").arg(enter).arg(&group.directory).arg(program);
            command
        }
        None => Command::new(program),
    };
    let task = Task { directory: directory.clone(), ..task.clone() };
    let output = command.args(arguments).args(task.arguments()).output();
    std::fs::remove_dir_all(&directory)?;
    let output =
        output.map_err(|error| format!("{} does not start: {error}", program.display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{name} ended with {}: {said}", output.status).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().filter_map(Phase::parse).collect())
}

/// A control group with so much memory, that of the page cache included.
struct Group {
    directory: PathBuf,
}

impl Group {
    /// Of version 2 if that controls memory here, else of version 1.
    fn make(mib: u64) -> Result<Self, String> {
        let name = format!("millstream-lsm-{}", std::process::id());
        let bytes = (mib << 20).to_string();
        let mut refused = String::new();
        for (root, limit) in [
            ("/sys/fs/cgroup", "memory.max"),
            ("/sys/fs/cgroup/unified", "memory.max"),
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
        ] {
            let directory = Path::new(root).join(&name);
            let made = std::fs::create_dir(&directory).and_then(|()| {
                match directory.join(limit).exists() {
                    true => std::fs::write(directory.join(limit), &bytes),
                    false => Err(ErrorKind::Unsupported.into()),
                }
            });
            match made {
                Ok(()) => return Ok(Self { directory }),
                Err(error) => refused = format!("{refused}, in {root}: {error}"),
            }
            let _ = std::fs::remove_dir(&directory);
        }
        Err(format!("no control group of memory can be made here{refused}"))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.directory);
    }
}

struct Ours {
    lsm: LsmBackend<ManagedLease>,
    storage: FileStorage,
    counts: StateId,
    maps: StateId,
}

fn hash_of(key: &[u8]) -> u64 {
    hash::bytes(SEED, key)
}

impl Ours {
    fn open(task: &Task, compression: Levels) -> Self {
        let budget = task.mib << 20;
        let options = MmapOptions { huge_pages: true, ..MmapOptions::default() };
        let segments = (budget >> 15) as usize;
        let arena = MmapArena::with_options(32 << 10, segments, options).expect("memory");
        let memory = ManagedMemory::new(Box::new(arena));
        let owner = memory.open("state").expect("the memory is open");
        let lease = ManagedLease::new(memory, owner);
        let owned = Owned { first: 0, end: 128, max_parallelism: 128 };
        let config = LsmConfig::new(budget).compression(compression);
        let lsm = LsmBackend::new(lease, owned, hash_of, config);
        let mut lsm = lsm.expect("a budget").with_compression(Arc::new(Zstd::new()));
        let spec = |name: &str, kind| StateSpec {
            name: name.into(),
            kind,
            key: Some(KEY),
            namespace: Some(0),
            value: Some(8),
        };
        let counts = lsm.register(&spec("counts", Kind::Value)).expect("the first state");
        let maps = lsm.register(&spec("maps", Kind::Map)).expect("the second state");
        let chosen = choose(Preference::Auto).expect("a way to write files");
        let options = Options { in_flight_max: 128, ..Options::default() };
        let storage = FileStorage::open_named(&task.directory, None, chosen.backend, options);
        Self { lsm, storage: storage.expect("a directory"), counts, maps }
    }

    /// Calls until all keys are served, and goes on with what is to be written and merged.
    fn serve(
        &mut self,
        keys: &[Bytes],
        mut call: impl FnMut(&mut LsmBackend<ManagedLease>, &Keys<'_>) -> Result<(), Stopped>,
    ) {
        let hashes: Vec<u64> = keys.iter().map(|key| hash_of(key)).collect();
        let keys = Keys::fixed(&hashes, KEY, keys.as_flattened());
        let mut done = 0;
        loop {
            match call(&mut self.lsm, &keys.skip(done)) {
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

impl Engine for Ours {
    fn add(&mut self, keys: &[Bytes]) {
        let counts = self.counts;
        self.serve(keys, |lsm, keys| {
            lsm.update(counts, keys, &[0; 8], |_, value| {
                if let Some(count) = value.first_chunk_mut() {
                    *count = (u64::from_le_bytes(*count) + 1).to_le_bytes();
                }
            })
        });
    }

    fn put(&mut self, maps: &[Bytes], entry: u64) {
        let state = self.maps;
        let (map_key, value) = (entry.to_be_bytes(), entry.to_le_bytes());
        self.serve(maps, |lsm, keys| {
            lsm.put_entries(state, keys, Column::Same(&map_key), Column::Same(&value))
        });
    }

    fn scan(&mut self, map: &Bytes) -> u64 {
        let key = Key { hash: hash_of(map), key: map, namespace: &[] };
        let (mut from, mut count) = (Vec::new(), 0);
        loop {
            let (lsm, begin) = (&self.lsm, from.clone());
            let scanned = lsm.scan_entries(self.maps, &key, &begin, &mut |map_key, place| {
                from.clear();
                from.extend_from_slice(map_key);
                from.push(0);
                count += u64::from(lsm.pieces(place).map(<[u8]>::len).sum::<usize>() == 8);
                true
            });
            match scanned {
                Ok(()) => return count,
                Err(StateError::Waits) => self.wait(),
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn settle(&mut self) {
        let mut has_begun = false;
        loop {
            let found = match has_begun {
                false => self.lsm.open_snapshot().map(|()| None),
                true => self.lsm.snapshot_files(),
            };
            match found {
                Ok(Some(files)) => break self.lsm.release_snapshot(files.number),
                Ok(None) => has_begun = true,
                Err(StateError::Waits) => self.wait(),
                Err(error) => panic!("{error}"),
            }
        }
        while self.lsm.has_work() {
            self.wait();
        }
    }
}

struct Fjall {
    counts: Keyspace,
    maps: Keyspace,
    database: Database,
}

impl Fjall {
    fn open(task: &Task) -> Self {
        let budget = task.mib << 20;
        let database = Database::builder(&task.directory).cache_size(budget / 2).open();
        let database = database.expect("a database");
        let options = || {
            KeyspaceCreateOptions::default()
                .data_block_compression_policy(CompressionPolicy::disabled())
                .max_memtable_size(budget / 8)
        };
        let counts = database.keyspace("counts", options).expect("a keyspace");
        let maps = database.keyspace("maps", options).expect("a keyspace");
        Self { counts, maps, database }
    }
}

impl Engine for Fjall {
    fn add(&mut self, keys: &[Bytes]) {
        for key in keys {
            let old = self.counts.get(key).expect("a disk");
            let old = old.and_then(|old| old.first_chunk().map(|old| u64::from_le_bytes(*old)));
            let count = old.unwrap_or(0) + 1;
            self.counts.insert(key, count.to_le_bytes()).expect("a disk");
        }
    }

    fn put(&mut self, maps: &[Bytes], entry: u64) {
        for map in maps {
            let name = [&map[..], &entry.to_be_bytes()].concat();
            self.maps.insert(name, entry.to_le_bytes()).expect("a disk");
        }
    }

    fn scan(&mut self, map: &Bytes) -> u64 {
        let value = |entry: fjall::Guard| entry.value().expect("a disk").len() == 8;
        self.maps.prefix(map).filter_map(|entry| value(entry).then_some(())).count() as u64
    }

    fn settle(&mut self) {
        // It has no call that waits until nothing is left to be merged.
        self.database.persist(fjall::PersistMode::Buffer).expect("a disk");
    }
}

/// A hash table, which has no maps in order.
#[derive(Default)]
struct Table {
    counts: HashTable<(Bytes, u64)>,
}

impl Engine for Table {
    const HAS_FILES: bool = false;

    fn add(&mut self, keys: &[Bytes]) {
        for key in keys {
            let is_same = |known: &(Bytes, u64)| known.0 == *key;
            let entry = self.counts.entry(hash_of(key), is_same, |known| hash_of(&known.0));
            entry.or_insert((*key, 0)).get_mut().1 += 1;
        }
    }

    fn put(&mut self, _: &[Bytes], _: u64) {}

    fn scan(&mut self, _: &Bytes) -> u64 {
        0
    }

    fn settle(&mut self) {}
}
