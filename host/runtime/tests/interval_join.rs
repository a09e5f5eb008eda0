//! Interval joins, through the runtime.

use std::collections::BTreeMap;

use millstream::{Record, Runtime, dataflow::Environment, result::Collected, state::time::Bounded};

/// A key, a time and a number.
type Measured = (String, i64, u64);

/// The key, then time and number of the left row and of the right one.
type Pair = (String, i64, u64, i64, u64);

const ROWS: u64 = 6000;
const KEYS: u64 = 30;
/// No row is behind another by more.
const DISORDER: i64 = 50;
const LOWER: i64 = -30;
const UPPER: i64 = 75;

fn measured(number: u64) -> Measured {
    let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let back = (mixed >> 40) as i64 % (DISORDER + 1);
    (format!("key {}", (mixed >> 20 & 0xFFFF) % KEYS), number as i64 - back, number)
}

fn rows(subtask: u32, parallelism: u32) -> impl Iterator<Item = Measured> + Send {
    (0..ROWS).skip(subtask as usize).step_by(parallelism as usize).map(measured)
}

/// The result of a program that is run by so many subtasks, sorted.
fn sorted<T: Record + Ord>(parallelism: u32, build: impl FnOnce(&Environment)) -> Vec<T> {
    let env = Environment::new("interval join");
    build(&env);
    let rows = Collected::new();
    let runtime = Runtime::builder().parallelism(parallelism).workers(2).segment_size(4096).build();
    runtime.expect("a runtime").run(env.build(), rows.sink()).expect("the job runs");
    let mut rows = rows.take();
    rows.sort();
    rows
}

/// Some rows are of both streams.
fn is_left(number: u64) -> bool {
    number.is_multiple_of(2)
}

fn is_right(number: u64) -> bool {
    number.is_multiple_of(3)
}

#[test]
fn rows_meet_those_whose_times_are_near() {
    let mut rights: BTreeMap<String, Vec<(i64, u64)>> = BTreeMap::new();
    for (key, time, number) in (0..ROWS).filter(|number| is_right(*number)).map(measured) {
        rights.entry(key).or_default().push((time, number));
    }
    let mut expected: Vec<Pair> = Vec::new();
    for (key, time, number) in (0..ROWS).filter(|number| is_left(*number)).map(measured) {
        let near = |right: &&(i64, u64)| (LOWER..=UPPER).contains(&(right.0 - time));
        let near = rights.get(&key).into_iter().flatten().filter(near);
        expected.extend(near.map(|right| (key.clone(), time, number, right.0, right.1)));
    }
    expected.sort();
    assert!(expected.len() > 2000, "{} pairs", expected.len());
    for parallelism in [1, 2, 4] {
        let found: Vec<Pair> = sorted(parallelism, |env| {
            let stream = |which: fn(u64) -> bool| {
                env.generate(rows)
                    .assign_watermarks(Bounded::new(DISORDER), |row| row.1)
                    .filter(move |row| which(row.2))
                    .key_by::<String, _>(|row| row.0)
            };
            stream(is_left)
                .interval_join(|row| row.1, stream(is_right), |row| row.1, LOWER..=UPPER)
                .map(|left, right| (left.0.to_owned(), left.1, left.2, right.1, right.2))
                .result();
        });
        assert_eq!(found, expected, "parallelism {parallelism}");
    }
}
