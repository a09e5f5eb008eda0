//! Sorting more than fits in memory: records of two u64, random, in a quarter of the memory that
//! they need, on local files.
//!
//! The limit is what cannot be avoided: reading and writing the records once, in pieces of the same
//! size and in the same directory, and sorting each run with `sort_unstable`. `sort [RECORDS]
//! [ROUNDS] [uring|threads|auto] [SEGMENT_KIB] [DIRECTORY]` prints both, their ratio, and processor
//! time beside wall time.

use std::{
    fs::File,
    hint::black_box,
    io::{Read, Seek, Write},
    path::{Path, PathBuf},
};

use millstream_benches::{Cost, XORSHIFT_SEED, measure, median, peak_bytes, xorshift};
use millstream_file_storage::{Backend, FileStorage, Options, Preference, choose};
use millstream_memory::ManagedMemory;
use millstream_segments::{MmapArena, MmapOptions};
use millstream_sort::{Fixed, ManagedLease, Next, Progress, Push, SortConfig, SortMetrics, Sorter};
use millstream_storage::BlockingStorage;

/// Bytes of a record.
const RECORD: usize = 16;
/// The memory is this part of what the records need.
const PART: usize = 4;
/// Steps of the sorter between two looks at the storage.
const STEPS: u32 = 64;

struct Plan {
    records: usize,
    segment: usize,
    directory: PathBuf,
    backend: Backend,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let text = |i: usize, default: &str| arguments.get(i).cloned().unwrap_or(default.into());
    let number = |i, default: &str| text(i, default).parse::<usize>().expect("a number");
    let preference = match &*text(2, "auto") {
        "uring" => Preference::Only(Backend::Uring),
        "threads" => Preference::Only(Backend::Threads),
        _ => Preference::Auto,
    };
    let chosen = choose(preference).expect("the backend that was asked for");
    let directory = arguments.get(4).map_or_else(std::env::temp_dir, PathBuf::from);
    let plan = Plan {
        records: number(0, "100000000"),
        segment: number(3, "32") << 10,
        directory,
        backend: chosen.backend,
    };
    let rounds = number(1, "3");
    println!(
        "{} records of {RECORD} bytes, memory {} MB, segments of {} KiB, files in {} by {} ({})",
        plan.records,
        plan.memory() / 1_000_000,
        plan.segment >> 10,
        plan.directory.display(),
        plan.backend,
        chosen.reason
    );
    // A worker's managed memory is there before and after a sort.
    let memory = plan.managed();
    let (mut limits, mut sorters, mut peak) = (Vec::new(), Vec::new(), 0);
    for round in 0..rounds {
        let (cost, metrics) = sorter(&plan, &memory);
        // The limit needs memory of its own, later.
        if round == 0 {
            peak = peak_bytes();
        }
        let limit = limit(&plan);
        println!(
            "round {}: limit {limit}; sorter {cost}; {metrics:?}",
            round + 1,
            cost = Show(cost)
        );
        limits.push(limit);
        sorters.push(cost);
    }
    let part = |f: fn(&Limit) -> f64| median(limits.iter().map(f));
    let (wall, cpu) = (part(|l| l.total().wall), part(|l| l.total().cpu));
    let sorter_wall = median(sorters.iter().map(|cost| cost.wall));
    let sorter_cpu = median(sorters.iter().map(|cost| cost.cpu));
    println!(
        "limit: write {:.2} s, read {:.2} s, sort_unstable {:.2} s, in all {wall:.2} s, {cpu:.2} CPU-s",
        part(|l| l.write.wall),
        part(|l| l.read.wall),
        part(|l| l.sort.wall),
    );
    println!(
        "sorter: {sorter_wall:.2} s, {sorter_cpu:.2} CPU-s, {:.1} M records/s; of the limit {:.2} by \
         wall time (aim 2), {:.2} by processor time; peak RSS {} MB",
        plan.records as f64 / sorter_wall / 1e6,
        sorter_wall / wall,
        sorter_cpu / cpu,
        peak / 1_000_000
    );
}

impl Plan {
    fn memory(&self) -> usize {
        self.records * RECORD / PART
    }

    fn managed(&self) -> ManagedMemory {
        let options = MmapOptions { huge_pages: true, ..MmapOptions::default() };
        let segments = self.memory() / self.segment;
        let arena = MmapArena::with_options(self.segment, segments, options).expect("memory");
        ManagedMemory::new(Box::new(arena))
    }
}

/// What cannot be avoided.
#[derive(Clone, Copy, Default)]
struct Limit {
    write: Cost,
    read: Cost,
    sort: Cost,
}

impl Limit {
    fn total(&self) -> Cost {
        add(add(self.write, self.read), self.sort)
    }
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (write, read, sort) = (Show(self.write), Show(self.read), Show(self.sort));
        write!(f, "(write {write}, read {read}, sort {sort})")
    }
}

struct Show(Cost);

impl std::fmt::Display for Show {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} s/{:.2} CPU-s", self.0.wall, self.0.cpu)
    }
}

fn add(a: Cost, b: Cost) -> Cost {
    Cost { wall: a.wall + b.wall, cpu: a.cpu + b.cpu }
}

/// Runs of a quarter each, sorted in memory and written to plain files, and all of it read back.
/// Making the records is not part of it.
fn limit(plan: &Plan) -> Limit {
    let mut limit = Limit::default();
    let mut state = XORSHIFT_SEED;
    let each = plan.records / PART;
    let mut run = vec![(0u64, 0u64); each];
    let mut bytes = vec![0u8; plan.segment];
    let mut files: Vec<File> = Vec::new();
    for number in 0..PART {
        run.fill_with(|| (xorshift(&mut state), xorshift(&mut state)));
        limit.sort = add(limit.sort, measure(|| run.sort_unstable_by_key(|record| record.0)).1);
        let path = plan.directory.join(format!("millstream-limit-{}-{number}", std::process::id()));
        let (file, cost) = measure(|| write(&path, &run, &mut bytes));
        limit.write = add(limit.write, cost);
        files.push(file);
    }
    drop(run);
    let ((), cost) = measure(|| {
        for file in &mut files {
            file.rewind().expect("a file");
            while file.read(&mut bytes).expect("it can be read") > 0 {
                black_box(&bytes);
            }
        }
    });
    limit.read = cost;
    limit
}

fn write(path: &Path, run: &[(u64, u64)], bytes: &mut [u8]) -> File {
    let options = File::options().read(true).write(true).create_new(true).open(path);
    let mut file = options.expect("the directory may be written to");
    std::fs::remove_file(path).expect("the file is ours");
    for records in run.chunks(bytes.len() / RECORD) {
        let bytes = &mut bytes[..records.len() * RECORD];
        for (to, record) in bytes.chunks_exact_mut(RECORD).zip(records) {
            to[..8].copy_from_slice(&record.0.to_le_bytes());
            to[8..].copy_from_slice(&record.1.to_le_bytes());
        }
        file.write_all(bytes).expect("the disk has room");
    }
    file
}

/// Everything: making the records, pushing, sorting, spilling, merging, taking them out.
fn sorter(plan: &Plan, memory: &ManagedMemory) -> (Cost, SortMetrics) {
    let segments = memory.pages();
    let owner = memory.open("sort").expect("the memory is open");
    let lease = ManagedLease::new(memory.clone(), owner);
    let storage = FileStorage::open(&plan.directory, plan.backend, Options::default());
    let mut storage = storage.expect("the directory may be written to");
    let (metrics, cost) = measure(|| {
        let sorter = Sorter::new(Fixed::<2, 1>, lease, SortConfig::new(segments));
        let mut sorter = sorter.expect("enough memory");
        sort(plan.records, &mut sorter, &mut storage);
        sorter.metrics()
    });
    (cost, metrics)
}

fn sort(records: usize, sorter: &mut Sorter<Fixed<2, 1>, ManagedLease>, storage: &mut FileStorage) {
    let mut state = XORSHIFT_SEED;
    let (mut sum_in, mut sum_out) = (0u64, 0u64);
    for _ in 0..records {
        let record = [xorshift(&mut state), xorshift(&mut state)];
        sum_in = sum_in.wrapping_add(record[0] ^ record[1].rotate_left(1));
        while sorter.push(&record).expect("the disk has room") == Push::Full {
            run(sorter, storage, Progress::Accepts);
        }
    }
    sorter.finish();
    run(sorter, storage, Progress::Sorted);
    let (mut last, mut count) = (0, 0);
    loop {
        match sorter.next(storage).expect("what was written can be read") {
            Next::Record(record) => {
                assert!(record[0] >= last, "in order");
                last = record[0];
                sum_out = sum_out.wrapping_add(record[0] ^ record[1].rotate_left(1));
                count += 1;
            }
            Next::Waits => sorter.complete(storage.wait().expect("it waits for something")),
            Next::End => break,
        }
    }
    assert_eq!((count, sum_out), (records, sum_in), "every record has come out");
}

fn run(sorter: &mut Sorter<Fixed<2, 1>, ManagedLease>, storage: &mut FileStorage, until: Progress) {
    loop {
        match sorter.run(storage, STEPS).expect("the disk has room") {
            Progress::Waits => sorter.complete(storage.wait().expect("it waits for something")),
            Progress::More => {}
            progress => return assert_eq!(progress, until),
        }
        while let Some(completion) = millstream_storage::Storage::poll(storage) {
            sorter.complete(completion);
        }
    }
}
