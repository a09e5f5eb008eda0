//! How long checkpoints take under backpressure: a sink that is far slower than the source, full buffers on
//! the way, and barriers that are aligned, that wait a while, and that overtake.
//!
//! `backpressure [SECONDS] [MILLISECONDS]` runs each for about so long, with so much time for each page of
//! the sink, and prints the median and the longest checkpoint, from the making of its directory to its
//! manifest.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use millstream::{
    Barriers, CheckpointOptions, Runtime,
    data::{page::ValidPage, types::Schema},
    dataflow::{Environment, TaskError},
    result::ResultSink,
};

/// Rows of a page of 16 bytes a row, about.
const ROWS_PER_PAGE: u64 = 2_000;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number =
        |default: u64| arguments.next().map_or(default, |text| text.parse().expect("a number"));
    let (seconds, millis) = (number(8), number(20));
    let pace = Duration::from_millis(millis);
    let rows = seconds * 1000 / millis.max(1) * ROWS_PER_PAGE;
    println!("{rows} rows, {millis} ms for each page at the sink:");
    for (name, barriers) in [
        ("aligned", Barriers::Aligned),
        ("unaligned after 100 ms", Barriers::Unaligned { after: Duration::from_millis(100) }),
        ("unaligned", Barriers::Unaligned { after: Duration::ZERO }),
    ] {
        let mut took = run(rows, pace, barriers);
        took.sort_unstable();
        let millis = |time: Option<&Duration>| time.map_or(0.0, |time| time.as_secs_f64() * 1e3);
        println!(
            "{name:>23}: {} checkpoints, median {:.0} ms, longest {:.0} ms",
            took.len(),
            millis(took.get(took.len() / 2)),
            millis(took.last())
        );
    }
}

/// Runs the job; how long each complete checkpoint took.
fn run(rows: u64, pace: Duration, barriers: Barriers) -> Vec<Duration> {
    let directory = std::env::temp_dir().join(format!("backpressure-{}", std::process::id()));
    let env = Environment::new("backpressure");
    env.generate(move |subtask, parallelism| {
        (u64::from(subtask)..rows).step_by(parallelism as usize).map(|n| (n, n))
    })
    .partition_custom(|row, consumers| (row.0 % u64::from(consumers)) as u32)
    .map(|row| (row.0 ^ 1, row.1))
    .result();
    let options = CheckpointOptions {
        interval: Duration::from_millis(300),
        retained: 1_000,
        barriers,
        ..CheckpointOptions::new(&directory)
    };
    let runtime = Runtime::builder().parallelism(2).checkpoints(options).build().expect("memory");
    let over = Arc::new(AtomicBool::new(false));
    let watch = thread::spawn({
        let (over, directory) = (Arc::clone(&over), directory.join("backpressure"));
        move || watch(&directory, &over)
    });
    runtime.run(env.build(), Box::new(Slow(pace))).expect("the job runs");
    over.store(true, Ordering::Relaxed);
    let took = watch.join().expect("the watch");
    let _ = fs::remove_dir_all(&directory);
    took
}

/// Looks every millisecond which checkpoints have begun, and which are complete.
fn watch(directory: &Path, over: &AtomicBool) -> Vec<Duration> {
    let mut begun: BTreeMap<PathBuf, (Instant, Option<Duration>)> = BTreeMap::new();
    while !over.load(Ordering::Relaxed) {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            let (since, took) = begun.entry(path.clone()).or_insert((Instant::now(), None));
            if took.is_none() && path.join("_metadata").exists() {
                *took = Some(since.elapsed());
            }
        }
        thread::sleep(Duration::from_millis(1));
    }
    begun.into_values().filter_map(|(_, took)| took).collect()
}

/// A sink that takes its time for each page.
struct Slow(Duration);

impl ResultSink for Slow {
    fn open(&mut self, _schema: &Schema) -> Result<(), TaskError> {
        Ok(())
    }

    fn write(&mut self, _page: &ValidPage<'_>) -> Result<(), TaskError> {
        thread::sleep(self.0);
        Ok(())
    }

    fn finish(&mut self) -> Result<(), TaskError> {
        Ok(())
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, TaskError> {
        Ok(Vec::new())
    }

    fn restore(&mut self, _state: &[u8]) -> Result<(), TaskError> {
        Ok(())
    }
}
