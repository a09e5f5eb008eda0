//! What sliding windows cost beside tumbling ones of the same size: an hour, each minute.
//!
//! `sliding [RECORDS] [KEYS] [MINUTES] [ROUNDS]` counts rows by key in both, and prints nanoseconds of processor
//! time a record and their ratio. Rows are in order of time, their keys random: KEYS times MINUTES of them are
//! different.

use millstream::{
    Runtime,
    result::Discard,
    state::{
        time::Bounded,
        window::{Sliding, Tumbling, Window},
    },
};
use millstream_benches::{XORSHIFT_SEED, measure, median, xorshift};
use millstream_dataflow::{
    Environment,
    operator::{
        Emit,
        window::{WindowAggregate, WindowAssigner},
    },
};

const WORKERS: u32 = 2;
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number =
        |default: u64| arguments.next().map_or(default, |text| text.parse().expect("a number"));
    let (records, keys, minutes) = (number(50_000_000), number(25_000), number(400));
    let rounds = number(3);
    let (mut tumbling, mut sliding) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        tumbling.push(run(records, keys, minutes, Tumbling::of(HOUR).expect("a size")));
        sliding.push(run(records, keys, minutes, Sliding::of(HOUR, MINUTE).expect("a size")));
    }
    let (tumbling, sliding) = (median(tumbling), median(sliding));
    println!(
        "{keys} keys, {minutes} minutes: tumbling {tumbling:.0} CPU-ns a record, sliding {sliding:.0}, ratio \
         {:.2}",
        sliding / tumbling
    );
}

/// Nanoseconds of processor time a record.
fn run(records: u64, keys: u64, minutes: u64, windows: impl WindowAssigner) -> f64 {
    let env = Environment::new("sliding");
    env.generate(move |subtask, parallelism| {
        let mut state = XORSHIFT_SEED + u64::from(subtask);
        let own = records / u64::from(parallelism);
        (0..own).map(move |number| {
            let time = (number * minutes * MINUTE as u64 / own) as i64;
            (xorshift(&mut state) % keys, time)
        })
    })
    .assign_watermarks(Bounded::new(0), |row| row.1)
    .key_by::<u64, _>(|row| row.0)
    .window(windows, |row| row.1)
    .aggregate(Count)
    .for_each(|_| ());
    let runtime = Runtime::builder().parallelism(WORKERS).managed_memory(6 << 30);
    let runtime = runtime.build().expect("memory");
    let (result, cost) = measure(|| runtime.run(env.build(), Box::new(Discard)));
    result.expect("the job runs");
    cost.cpu * 1e9 / records as f64
}

/// Counts the rows of a key.
#[derive(Clone)]
struct Count;

impl WindowAggregate for Count {
    type In = (u64, i64);
    type Key = u64;
    type Accumulator = u64;
    type Out = (u64, u64);

    fn create(&self) -> u64 {
        0
    }

    fn add(&self, accumulator: &mut u64, _row: (u64, i64)) {
        *accumulator += 1;
    }

    fn merge(&self, accumulator: &mut u64, other: u64) {
        *accumulator += other;
    }

    fn finish(&self, key: u64, _window: Window, count: u64, out: &mut dyn Emit<(u64, u64)>) {
        out.emit((key, count));
    }
}
