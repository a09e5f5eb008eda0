//! The job of the latency benchmark: a paced source, one keyed exchange, and a sink that records how
//! long after it was due each row arrives.
//!
//! The source is subtask 0; all keys belong to subtask 1, which runs on another worker, and with two
//! processes in the other.

mod histogram;

use std::{fs::OpenOptions, io::Write};

use millstream_data::{Key, hash::SEED};
use millstream_sdk::prelude::*;
use millstream_state::KeyGroups;
use rustix::time::{ClockId, clock_gettime};

use histogram::Histogram;

/// A row: its key, when it was due, and how many the key has had.
type Row = (u64, u64, u64);

const KEYS: usize = 1000;

struct Latency;

impl Job for Latency {
    const NAME: &'static str = "latency";
    const SUMMARY: &'static str = "Records how long rows take from source to sink.";
    const OPTIONS: &'static [OptionDoc] = &[
        OptionDoc::integer("rate", "Rows a second").default("100000"),
        OptionDoc::integer("seconds", "How long to run").default("10"),
        OptionDoc::string("report", "File to append the result to").required(),
    ];

    fn build(env: &Environment, options: &Options) -> Result<(), Error> {
        let rate = options.integer("rate")?.max(1) as u64;
        let seconds = options.integer("seconds")?.max(2) as u64;
        let report = options.string("report")?.to_owned();
        let histogram = Histogram::new();
        let mut recorder = Recorder { histogram, skipped: 0, warm_up: rate, report };
        env.generate(move |_, _| rows(rate, seconds * rate))
            .subtasks(1)
            .per_second(rate)
            .key_by::<u64, _>(|row| row.0)
            .reduce(|sum, row| *sum = (row.0, row.1, sum.2 + 1))
            .for_each(move |row| recorder.record(row.1));
        Ok(())
    }
}

/// The rows, each with the instant when it is due.
fn rows(rate: u64, rows: u64) -> impl Iterator<Item = Row> + Send + 'static {
    let groups = KeyGroups::new(2, 128);
    let far = |key: &u64| groups.owner(<u64 as Key>::hash(*key, SEED)) == 1;
    let keys: Vec<u64> = (0..).filter(far).take(KEYS).collect();
    let mut begin = u64::MAX;
    (0..rows).map(move |number| {
        let passed = (u128::from(number) * 1_000_000_000 / u128::from(rate)) as u64;
        // The engine's clock is not ours. No row is made before it is due, so the row that is made
        // soonest tells when the first was due; rows of the first second settle it.
        begin = begin.min(now() - passed);
        (keys[number as usize % KEYS], begin + passed, 1)
    })
}

/// Nanoseconds of the system's clock, which all its processes share.
fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Records latencies, and writes them down when the job is over.
#[derive(Clone)]
struct Recorder {
    histogram: Histogram,
    /// Rows that came before recording began, and how many those are to be.
    skipped: u64,
    warm_up: u64,
    report: String,
}

impl Recorder {
    fn record(&mut self, due: u64) {
        if self.skipped < self.warm_up {
            self.skipped += 1;
            return;
        }
        self.histogram.record(now().saturating_sub(due));
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if self.histogram.is_empty() {
            return;
        }
        let micros = |share| self.histogram.quantile(share) as f64 / 1e3;
        let line = format!(
            "{} {:.1} {:.1} {:.1} {:.1}\n",
            self.histogram.len(),
            micros(0.5),
            micros(0.99),
            micros(0.999),
            micros(1.0)
        );
        let file = OpenOptions::new().append(true).create(true).open(&self.report);
        if let Err(error) = file.and_then(|mut file| file.write_all(line.as_bytes())) {
            eprintln!("{}: {error}", self.report);
        }
    }
}

millstream_sdk::plugin! {
    name: "latency",
    summary: "The job of the latency benchmark",
    jobs: [Latency],
}
millstream_sdk::export!(plugin);
