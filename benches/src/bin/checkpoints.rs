//! What checkpoints cost a job that keeps state in memory: counting keys in one long window, without
//! checkpoints and with one each second.
//!
//! `checkpoints [RECORDS] [KEYS] [ROUNDS]` prints millions of records a second of both and their ratio, and the
//! longest time in which a source could not go on, which is how long state stood still, beside the same
//! without checkpoints.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use millstream::{CheckpointOptions, Runtime, result::Discard, state::window::Tumbling};
use millstream_benches::{Count, XORSHIFT_SEED, measure, median, xorshift};
use millstream_dataflow::Environment;

const WORKERS: u32 = 2;
/// Rows between two looks at the clock.
const LOOK_EVERY: u64 = 4096;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number =
        |default: u64| arguments.next().map_or(default, |text| text.parse().expect("a number"));
    let (records, keys, rounds) = (number(100_000_000), number(1_000_000), number(3));
    let (mut plain, mut checked) = (Vec::new(), Vec::new());
    let (mut stalls, mut checked_stalls) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let (rate, stall) = run(records, keys, None);
        plain.push(rate);
        stalls.push(stall);
        let directory = std::env::temp_dir().join(format!("checkpoints-{}", std::process::id()));
        let (rate, stall) = run(records, keys, Some(directory.clone()));
        checked.push(rate);
        checked_stalls.push(stall);
        let _ = std::fs::remove_dir_all(&directory);
    }
    let (plain, checked) = (median(plain), median(checked));
    println!(
        "{keys} keys: {plain:.1} M/s without checkpoints, {checked:.1} M/s with one each second, ratio \
         {:.2}; longest stall of a source {:.1} and {:.1} ms",
        checked / plain,
        median(stalls),
        median(checked_stalls)
    );
}

/// Millions of records a second, and the longest stall in milliseconds.
fn run(records: u64, keys: u64, checkpoints: Option<PathBuf>) -> (f64, f64) {
    let longest = Arc::new(AtomicU64::new(0));
    let env = Environment::new("checkpoints");
    let stall = Arc::clone(&longest);
    env.generate(move |subtask, parallelism| {
        let (stall, mut state) = (Arc::clone(&stall), XORSHIFT_SEED + u64::from(subtask));
        let mut looked = Instant::now();
        (0..records / u64::from(parallelism)).map(move |number| {
            if number % LOOK_EVERY == 0 {
                let now = Instant::now();
                stall.fetch_max((now - looked).as_micros() as u64, Ordering::Relaxed);
                looked = now;
            }
            (xorshift(&mut state) % keys, 1u64)
        })
    })
    .key_by::<u64, _>(|row| row.0)
    .window(Tumbling::of(1 << 40).expect("a size"), |_| 0)
    .aggregate(Count)
    .result();
    let mut builder = Runtime::builder().parallelism(WORKERS).managed_memory(4 << 30);
    if let Some(directory) = checkpoints {
        builder = builder.checkpoints(CheckpointOptions {
            interval: Duration::from_secs(1),
            ..CheckpointOptions::new(directory)
        });
    }
    let runtime = builder.build().expect("memory");
    let (result, cost) = measure(|| runtime.run(env.build(), Box::new(Discard)));
    result.expect("the job runs");
    (records as f64 / cost.wall / 1e6, longest.load(Ordering::Relaxed) as f64 / 1e3)
}
