//! Keyed count: records of two u64, hash exchange between two workers, a count per key.
//!
//! The opponents: a hand-written loop on one thread without any exchange, whose table has the size
//! that each worker's has; and timely dataflow, which does the same as the engine with the same hash
//! table on as many workers. `keyed_count [RECORDS] [ROUNDS]` prints records a second and core, and
//! the ratios.

use std::hint::black_box;

use hashbrown::{HashTable, hash_table::Entry};
use millstream::{Runtime, result::Discard};
use millstream_benches::{XORSHIFT_SEED, measure, median, xorshift};
use millstream_dataflow::{Environment, operator::AggregateFunction};
use timely::dataflow::{InputHandle, channels::pact::Exchange, operators::Operator};

const WORKERS: u64 = 2;

fn main() {
    let mut arguments = std::env::args().skip(1).map(|a| a.parse::<u64>().expect("a number"));
    let records = arguments.next().unwrap_or(100_000_000);
    let rounds = arguments.next().unwrap_or(3);
    for keys in [1_000, 1_000_000] {
        let mut hand = Vec::new();
        let (mut engine, mut peer) = (Vec::new(), Vec::new());
        let (mut cpu, mut hand_cpu) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let cost = measure(|| hand_loop(records, keys)).1;
            hand.push(records as f64 / cost.wall);
            hand_cpu.push(records as f64 / cost.cpu);
            let cost = measure(|| millstream(records, keys)).1;
            engine.push(records as f64 / cost.wall / WORKERS as f64);
            cpu.push(records as f64 / cost.cpu);
            let cost = measure(|| timely(records, keys)).1;
            peer.push(records as f64 / cost.wall / WORKERS as f64);
        }
        let (hand, engine, peer) = (median(hand), median(engine), median(peer));
        let (cpu, hand_cpu) = (median(cpu), median(hand_cpu));
        println!(
            "{keys} keys: hand loop {:.1} M/s, millstream {:.1} M/s/core, ratio {:.2}; by processor \
             time {:.1} and {:.1} M/CPU-s, ratio {:.2}; timely {:.1} M/s/core, of which millstream \
             is {:.2}",
            hand / 1e6,
            engine / 1e6,
            engine / hand,
            hand_cpu / 1e6,
            cpu / 1e6,
            cpu / hand_cpu,
            peer / 1e6,
            engine / peer
        );
    }
}

#[inline(always)]
fn hash(key: u64) -> u64 {
    let product = u128::from(key).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    (product as u64) ^ ((product >> 64) as u64)
}

/// Adds to the count of a key.
#[inline(always)]
fn add(table: &mut HashTable<(u64, u64)>, key: u64, count: u64) {
    match table.entry(hash(key), |entry| entry.0 == key, |entry| hash(entry.0)) {
        Entry::Occupied(mut entry) => entry.get_mut().1 += count,
        Entry::Vacant(entry) => {
            entry.insert((key, count));
        }
    }
}

fn hand_loop(records: u64, keys: u64) {
    let mut table: HashTable<(u64, u64)> = HashTable::with_capacity(keys as usize * 2);
    let mut state = XORSHIFT_SEED;
    for _ in 0..records {
        add(&mut table, xorshift(&mut state) % keys, 1);
    }
    black_box(table.len());
}

/// Records that a worker of timely sends before it lets its operators run.
const TIMELY_BATCH: u64 = 1 << 16;

fn timely(records: u64, keys: u64) {
    let each = records / WORKERS;
    let config = timely::Config::process(WORKERS as usize);
    let guards = timely::execute(config, move |worker| {
        let mut input = InputHandle::new();
        worker.dataflow::<u64, _, _>(|scope| {
            let mut table: HashTable<(u64, u64)> = HashTable::with_capacity(keys as usize * 2);
            let by_key = Exchange::new(|record: &(u64, u64)| hash(record.0));
            input.to_stream(scope).sink(by_key, "count", move |(input, _)| {
                input.for_each(|_, batch: &mut Vec<(u64, u64)>| {
                    batch.drain(..).for_each(|(key, count)| add(&mut table, key, count));
                });
                black_box(table.len());
            });
        });
        let mut state = XORSHIFT_SEED + worker.index() as u64;
        for number in 0..each {
            input.send((xorshift(&mut state) % keys, 1u64));
            if number % TIMELY_BATCH == 0 {
                worker.step();
            }
        }
    });
    drop(guards.expect("the workers start"));
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
