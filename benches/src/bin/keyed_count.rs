//! Keyed count: records of two u64, hash exchange between two workers, a count per key.
//!
//! The opponent is a hand-written loop on one thread without any exchange, whose table has the size
//! that each worker's has. `keyed_count [RECORDS] [ROUNDS]` prints records a second and core, and
//! the ratio.

use std::hint::black_box;

use hashbrown::{HashTable, hash_table::Entry};
use millstream::{Runtime, result::Discard};
use millstream_benches::{XORSHIFT_SEED, measure, median, xorshift};
use millstream_dataflow::Environment;

const WORKERS: u64 = 2;

fn main() {
    let mut arguments = std::env::args().skip(1).map(|a| a.parse::<u64>().expect("a number"));
    let records = arguments.next().unwrap_or(100_000_000);
    let rounds = arguments.next().unwrap_or(3);
    for keys in [1_000, 1_000_000] {
        let mut hand = Vec::new();
        let mut engine = Vec::new();
        let mut cpu = Vec::new();
        for _ in 0..rounds {
            hand.push(records as f64 / measure(|| hand_loop(records, keys)).1.wall);
            let cost = measure(|| millstream(records, keys)).1;
            engine.push(records as f64 / cost.wall / WORKERS as f64);
            cpu.push(cost.cpu / (records as f64 / 1e6));
        }
        let (hand, engine, cpu) = (median(hand), median(engine), median(cpu));
        println!(
            "{keys} keys: hand loop {:.1} M/s, millstream {:.1} M/s/core, ratio {:.2}, {:.4} CPU-s/M",
            hand / 1e6,
            engine / 1e6,
            engine / hand,
            cpu
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

fn millstream(records: u64, keys: u64) {
    let env = Environment::new("keyed_count");
    let each = records / WORKERS;
    env.generate(move |subtask, _| {
        let mut state = XORSHIFT_SEED + u64::from(subtask);
        (0..each).map(move |_| (xorshift(&mut state) % keys, 1u64))
    })
    .key_by::<u64, _>(|record| record.0)
    .reduce_at_end(|sum, record| sum.1 += record.1)
    .result();
    let runtime = Runtime::builder().workers(WORKERS as usize).parallelism(WORKERS as u32);
    let runtime = runtime.build().expect("memory for segments");
    runtime.run(env.build(), Box::new(Discard)).expect("the job runs");
}
