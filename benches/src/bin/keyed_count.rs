//! Keyed count: records of two u64, hash exchange between two workers, a count per key.
//!
//! The opponent is a hand-written loop on one thread without any exchange, whose table has the size
//! that each worker's has. `keyed_count [RECORDS] [ROUNDS]` prints records a second and core, and
//! the ratio.

use std::hint::black_box;

use hashbrown::{HashTable, hash_table::Entry};
use millstream::{Runtime, result::Discard};
use millstream_benches::{XORSHIFT_SEED, measure, median, xorshift};
use millstream_dataflow::{Environment, operator::AggregateFunction};

const WORKERS: u64 = 2;

fn main() {
    let mut arguments = std::env::args().skip(1).map(|a| a.parse::<u64>().expect("a number"));
    let records = arguments.next().unwrap_or(100_000_000);
    let rounds = arguments.next().unwrap_or(3);
    for keys in [1_000, 1_000_000] {
        let mut hand = Vec::new();
        let mut engine = Vec::new();
        let (mut cpu, mut hand_cpu) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let cost = measure(|| hand_loop(records, keys)).1;
            hand.push(records as f64 / cost.wall);
            hand_cpu.push(records as f64 / cost.cpu);
            let cost = measure(|| millstream(records, keys)).1;
            engine.push(records as f64 / cost.wall / WORKERS as f64);
            cpu.push(records as f64 / cost.cpu);
        }
        let (hand, engine) = (median(hand), median(engine));
        let (cpu, hand_cpu) = (median(cpu), median(hand_cpu));
        println!(
            "{keys} keys: hand loop {:.1} M/s, millstream {:.1} M/s/core, ratio {:.2}; by processor \
             time {:.1} and {:.1} M/CPU-s, ratio {:.2}",
            hand / 1e6,
            engine / 1e6,
            engine / hand,
            hand_cpu / 1e6,
            cpu / 1e6,
            cpu / hand_cpu
        );
    }
}

#[inline(always)]
fn hash(key: u64) -> u64 {
    let product = u128::from(key).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    (product as u64) ^ ((product >> 64) as u64)
}

fn hand_loop(records: u64, keys: u64) {
    let mut table: HashTable<(u64, u64)> = HashTable::with_capacity(keys as usize * 2);
    let mut state = XORSHIFT_SEED;
    for _ in 0..records {
        let key = xorshift(&mut state) % keys;
        match table.entry(hash(key), |entry| entry.0 == key, |entry| hash(entry.0)) {
            Entry::Occupied(mut entry) => entry.get_mut().1 += 1,
            Entry::Vacant(entry) => {
                entry.insert((key, 1));
            }
        }
    }
    black_box(table.len());
}

/// Adds up the second field.
#[derive(Clone)]
struct Count;

impl AggregateFunction for Count {
    type In = (u64, u64);
    type Key = u64;
    type Accumulator = u64;
    type Out = (u64, u64);

    fn create(&self) -> u64 {
        0
    }

    #[inline(always)]
    fn add(&self, count: &mut u64, record: (u64, u64)) {
        *count += record.1;
    }

    fn finish(&self, key: u64, count: &u64) -> (u64, u64) {
        (key, *count)
    }
}

fn millstream(records: u64, keys: u64) {
    let env = Environment::new("keyed_count");
    let each = records / WORKERS;
    env.generate(move |subtask, _| {
        let mut state = XORSHIFT_SEED + u64::from(subtask);
        (0..each).map(move |_| (xorshift(&mut state) % keys, 1u64))
    })
    .key_by::<u64, _>(|record| record.0)
    .aggregate_at_end(Count)
    .result();
    let runtime = Runtime::builder().workers(WORKERS as usize).parallelism(WORKERS as u32);
    let runtime = runtime.build().expect("memory for segments");
    runtime.run(env.build(), Box::new(Discard)).expect("the job runs");
}
