//! Streams that are sorted, within little memory.

use std::task::Waker;

use millstream::{
    RunError, Runtime,
    dataflow::{Environment, SortKey, sort::Spill},
    result::Collected,
    spill::{LocalFiles, SpillStorage, TaskFiles},
    storage::{Backend, Preference},
};
use millstream_storage::{
    BlockingStorage, Completion, MemoryStorage, Refused, Request, Storage, Submit,
};

const ROWS: u64 = 50_000;

type Row = (Option<i64>, String, u64);

/// Rows in no order, with keys that repeat and some that are NULL.
fn rows() -> impl Iterator<Item = Row> + Clone + Send {
    (0..ROWS).map(|number| {
        let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
        let key = (mixed % 11 > 0).then_some((mixed % 1000) as i64 - 500);
        (key, format!("text number {}", mixed % 777), number)
    })
}

/// Sorts by the key, largest first, then by the text.
fn sort(managed_bytes: usize, storage: Preference) -> Result<Vec<Row>, RunError> {
    sort_in(managed_bytes, LocalFiles::new(Vec::new(), storage))
}

fn sort_in(
    managed_bytes: usize,
    storage: impl SpillStorage + 'static,
) -> Result<Vec<Row>, RunError> {
    let env = Environment::new("sorting");
    env.generate(|subtask, _| rows().filter(move |_| subtask == 0))
        .global()
        .sort_partition([SortKey::descending("f0"), SortKey::ascending("f1")])
        .result();
    let sorted = Collected::new();
    let runtime = Runtime::builder()
        .parallelism(2)
        .workers(2)
        .segment_size(4096)
        .managed_memory(managed_bytes)
        .storage(storage)
        .build()?;
    runtime.run(env.build(), sorted.sink())?;
    Ok(sorted.take())
}

fn expected() -> Vec<Row> {
    let mut rows: Vec<Row> = rows().collect();
    // The sort is stable; NULL is behind all values where the largest come first.
    rows.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    rows
}

#[test]
fn rows_are_sorted_whether_they_fit_in_memory_or_not() {
    let expected = expected();
    for storage in [Preference::Auto, Preference::Only(Backend::Threads)] {
        for managed_bytes in [64 << 20, 256 << 10, 80 << 10] {
            let sorted = sort(managed_bytes, storage).expect("the job runs");
            assert!(sorted == expected, "{managed_bytes} bytes, {storage:?}");
        }
    }
}

/// A storage of one's own: files that are none.
#[derive(Debug)]
struct InMemory;

struct MemoryFiles(MemoryStorage);

impl SpillStorage for InMemory {
    fn open(&self, _task: &str) -> Result<TaskFiles, RunError> {
        Ok(TaskFiles { storage: Box::new(MemoryFiles(MemoryStorage::new())), file: None })
    }
}

impl Submit for MemoryFiles {
    fn submit(&mut self, token: u64, request: Request) -> Result<(), Refused> {
        self.0.submit(token, request)
    }
}

impl Storage for MemoryFiles {
    fn poll(&mut self) -> Option<Completion> {
        self.0.poll()
    }

    fn in_flight(&self) -> usize {
        self.0.in_flight()
    }
}

impl BlockingStorage for MemoryFiles {
    fn wait(&mut self) -> Option<Completion> {
        self.0.wait()
    }
}

impl Spill for MemoryFiles {
    fn notify(&mut self, waker: &Waker) {
        // Completions are there at once.
        waker.wake_by_ref();
    }
}

#[test]
fn any_storage_fits_the_slot() {
    assert!(sort_in(100 << 10, InMemory).expect("the job runs") == expected());
}

#[test]
fn each_subtask_sorts_its_own_rows() {
    let env = Environment::new("partitions");
    env.generate(|subtask, _| (0..10_000u64).rev().map(move |n| (u64::from(subtask), n)))
        .sort_partition([SortKey::ascending("f1")])
        .result();
    let sorted = Collected::<(u64, u64)>::new();
    let runtime = Runtime::builder().parallelism(3).workers(2).build().expect("memory");
    runtime.run(env.build(), sorted.sink()).expect("the job runs");
    let sorted = sorted.take();
    for subtask in 0..3 {
        let own = sorted.iter().filter(|row| row.0 == subtask).map(|row| row.1);
        assert!(own.eq(0..10_000), "subtask {subtask}");
    }
}

#[test]
fn what_cannot_be_sorted_is_refused_before_the_job_begins() {
    let error = sort(16 << 10, Preference::Auto).expect_err("too little memory").to_string();
    assert!(error.contains("memory.managed.size"), "{error}");
    let env = Environment::new("no such field");
    env.generate(|_, _| 0..10u64).sort_partition([SortKey::ascending("nothing")]).result();
    let runtime = Runtime::builder().parallelism(1).build().expect("memory");
    let result = runtime.run(env.build(), Collected::<u64>::new().sink());
    let error = result.expect_err("there is no such field").to_string();
    assert!(error.contains("cannot sort by `nothing`"), "{error}");
}

#[test]
fn rows_with_lists_are_sorted() {
    type Listed = (i64, Vec<String>, Option<std::collections::BTreeMap<String, Vec<u64>>>);
    fn listed(number: u64) -> Listed {
        let key = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 50;
        let names = (0..number % 5).map(|n| format!("name {n} of {number}")).collect();
        let map = (0..number % 3).map(|n| (format!("{n}"), (0..n).collect())).collect();
        (key as i64, names, (!number.is_multiple_of(7)).then_some(map))
    }
    let env = Environment::new("lists");
    env.generate(|subtask, _| (0..5_000).filter(move |_| subtask == 0).map(listed))
        .global()
        .sort_partition([SortKey::ascending("f0")])
        .result();
    let sorted = Collected::<Listed>::new();
    let runtime = Runtime::builder().parallelism(1).segment_size(4096).managed_memory(256 << 10);
    runtime.build().expect("memory").run(env.build(), sorted.sink()).expect("the job runs");
    let mut expected: Vec<Listed> = (0..5_000).map(listed).collect();
    expected.sort_by_key(|row| row.0);
    assert!(sorted.take() == expected);
}
