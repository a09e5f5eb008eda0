//! Latency from source to sink through one keyed exchange, from the instant each row was due.
//!
//! `latency [RATE] [SECONDS] [ROUNDS]` runs the job `benches/jobs/latency` with the real binary, in one
//! process and in two, with three buffer timeouts, and prints the medians over the rounds. Needs
//! `cargo build --release` before.
//!
//! The limit is two threads that do nothing else than to look at the clock and at a counter: what they
//! show beyond a microsecond is the machine.

use std::{
    fs,
    path::Path,
    process::Command,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use millstream_benches::median;

/// Buffer timeout, processes, and what to reach at the median and at the 99th percentile, in µs.
const CASES: [(&str, u32, f64, f64); 6] = [
    ("0", 1, 50.0, 150.0),
    ("0", 2, 100.0, 500.0),
    ("1 ms", 1, f64::INFINITY, 1_100.0),
    ("1 ms", 2, f64::INFINITY, 1_300.0),
    ("100 ms", 1, f64::INFINITY, 102_000.0),
    ("100 ms", 2, f64::INFINITY, 102_000.0),
];

fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse().expect("a number"));
    let rate: u64 = arguments.next().unwrap_or(100_000);
    let seconds = arguments.next().unwrap_or(10);
    let rounds = arguments.next().unwrap_or(3);
    println!(
        "{rate} records/s for {seconds} s, the first second left out; medians of {rounds} runs, µs"
    );
    let (mut limits, mut cases) = (Vec::new(), [const { Vec::new() }; CASES.len()]);
    for _ in 0..rounds {
        limits.push(limit(rate, seconds));
        for ((timeout, processes, ..), runs) in CASES.iter().zip(&mut cases) {
            runs.push(run(rate, seconds, timeout, *processes));
        }
    }
    let column = |runs: &[[f64; 4]], index: usize| {
        median(runs.iter().map(|run| run[index]).collect::<Vec<f64>>())
    };
    println!(
        "two threads and a counter: p50 {:.1}, p99 {:.1}, p99.9 {:.1}, max {:.1}",
        column(&limits, 0),
        column(&limits, 1),
        column(&limits, 2),
        column(&limits, 3)
    );
    for ((timeout, processes, p50, p99), runs) in CASES.into_iter().zip(&cases) {
        let column = |index| column(runs, index);
        println!(
            "timeout {timeout}, {processes} process(es): p50 {:.1} (aim {p50}), p99 {:.1} (aim {p99}), \
             p99.9 {:.1}, max {:.1}",
            column(0),
            column(1),
            column(2),
            column(3)
        );
    }
}

/// The quantiles of a loop without an engine: one thread counts what is due, another sees the count.
fn limit(rate: u64, seconds: u64) -> [f64; 4] {
    let due = AtomicU64::new(0);
    let begin = Instant::now();
    let time_of = |number: u64| Duration::from_nanos(number * 1_000_000_000 / rate);
    let all = rate * seconds;
    let mut waits = Vec::with_capacity(all as usize);
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..all {
                while begin.elapsed() < time_of(number) {
                    std::hint::spin_loop();
                }
                due.store(number + 1, Ordering::Release);
            }
        });
        let mut seen = 0;
        while seen < all {
            let count = due.load(Ordering::Acquire);
            let now = begin.elapsed();
            waits.extend((seen..count).map(|number| now - time_of(number)));
            seen = count;
        }
    });
    let mut waits = waits.split_off(rate as usize);
    waits.sort_unstable();
    let micros = |rank: usize| waits[rank.min(waits.len() - 1)].as_secs_f64() * 1e6;
    [0.5, 0.99, 0.999, 1.0].map(|share| micros((waits.len() as f64 * share) as usize))
}

/// The quantiles of one run.
fn run(rate: u64, seconds: u64, timeout: &str, processes: u32) -> [f64; 4] {
    let executable = std::env::current_exe().expect("this program");
    let directory: &Path = executable.parent().expect("a directory");
    let report = std::env::temp_dir().join(format!("millstream-latency-{}", std::process::id()));
    let output = Command::new(directory.join("millstream"))
        .arg("run")
        .args(["--parallelism", "2", "--processes", &processes.to_string()])
        .args(["--set", &format!("exchange.buffer-timeout={timeout}"), "--output", "none"])
        .args(["--set", &format!("executor.workers={}", 2 / processes)])
        .arg(directory.join("liblatency.so"))
        .args(["--rate", &rate.to_string(), "--seconds", &seconds.to_string(), "--report"])
        .arg(&report)
        .output()
        .expect("millstream is built");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = fs::read_to_string(&report).expect("the job reports");
    fs::remove_file(&report).expect("the file is there");
    let numbers: Vec<f64> = text.split_whitespace().map(|n| n.parse().expect("a number")).collect();
    let [count, quantiles @ ..] = &numbers[..] else { panic!("no report: {text}") };
    assert_eq!(*count as u64, rate * (seconds - 1), "every row arrives, and is recorded once");
    quantiles.try_into().expect("four quantiles")
}
