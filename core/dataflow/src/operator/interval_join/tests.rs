//! Interval joins on a bench, beside a reference that compares each row with all.

use alloc::{collections::BTreeMap, string::String, vec::Vec};

use proptest::prelude::*;

use millstream_state::time::WATERMARK_MIN;

use super::*;
use crate::{
    operator::bench::{Bench, routed},
    stream::IntervalJoinPages,
};

/// A key, a time and a number.
type Left = (u64, i64, u64);
/// The same in another order, with a text.
type Right = (i64, String, u64);
/// Key, time and number of the left row, then time and text of the right one.
type Pair = (u64, i64, u64, i64, String);

fn pair(left: &Left, right: &Right) -> Pair {
    (left.0, left.1, left.2, right.0, right.1.clone())
}

fn bench((lower, upper): (i64, i64), subtask: u32, parallelism: u32) -> Bench<Left, Pair> {
    let keys = (|row: Row<'_, Left>| row.0, |row: Row<'_, Right>| row.2);
    let times = (|row: Row<'_, Left>| row.1, |row: Row<'_, Right>| row.0);
    let function = |left: Left, (time, text, _): (i64, &str, u64)| {
        (left.0, left.1, left.2, time, String::from(text))
    };
    let interval = Interval { keys, times, lower, upper };
    let head: IntervalJoinPages<u64, Left, Right, Pair, _, _, _, _, _> =
        IntervalJoinPages::new(function, interval);
    Bench::open(&head, subtask, parallelism, 600)
}

/// A row of either stream.
#[derive(Clone, Debug)]
enum Either {
    Left(Left),
    Right(Right),
}

impl Either {
    fn key(&self) -> u64 {
        match self {
            Self::Left(row) => row.0,
            Self::Right(row) => row.2,
        }
    }

    fn time(&self) -> i64 {
        match self {
            Self::Left(row) => row.1,
            Self::Right(row) => row.0,
        }
    }

    fn give_to(&self, bench: &mut Bench<Left, Pair>) {
        match self {
            Self::Left(row) => bench.push_to(0, &[*row]),
            Self::Right(row) => bench.push_to(1, core::slice::from_ref(row)),
        }
    }
}

fn row((is_left, key, time, number): (bool, u64, i64, u64)) -> Either {
    match is_left {
        true => Either::Left((key, time, number)),
        false => Either::Right((time, alloc::format!("number {number}"), key)),
    }
}

/// A row, the watermark that it finds, and how many there were before.
type Given = (Either, i64, usize);

/// What rows come to that arrive in this order.
fn reference(rows: &[Given], (lower, upper): (i64, i64)) -> Vec<Pair> {
    let in_time = |(row, watermark, _): &&Given| row.time() >= *watermark;
    let rows: Vec<_> = rows.iter().filter(in_time).collect();
    let mut pairs = Vec::new();
    for (index, (later, watermark, round)) in rows.iter().enumerate() {
        for (earlier, _, since) in &rows[..index] {
            let (left, right, kept) = match (earlier, later) {
                (Either::Left(left), Either::Right(right)) => (left, right, upper),
                (Either::Right(right), Either::Left(left)) => (left, right, -lower),
                _ => continue,
            };
            let near = (lower..=upper).contains(&(right.0 - left.1));
            // At the very watermark a row may come when its pairs are gone, if there was one since.
            let is_there = earlier.time() + kept.max(0) > *watermark || since == round;
            if left.0 == right.2 && near && is_there {
                pairs.push(pair(left, right));
            }
        }
    }
    pairs.sort();
    pairs
}

proptest! {
    #[test]
    fn pairs_are_those_of_the_reference(
        rows in proptest::collection::vec((any::<bool>(), 0u64..3, 0i64..40), 1..150),
        lower in -15i64..15,
        width in 0i64..20,
        bound in 0i64..30,
    ) {
        let between = (lower, lower + width);
        let (mut bench, mut given) = (bench(between, 0, 1), Vec::new());
        let (mut largest, mut watermark, mut rounds) = (-1000, WATERMARK_MIN, 0);
        for (number, (is_left, key, back)) in rows.into_iter().enumerate() {
            let row = row((is_left, key, number as i64 - back, number as u64));
            largest = largest.max(row.time());
            row.give_to(&mut bench);
            given.push((row, watermark, rounds));
            if number % 3 == 0 {
                rounds += 1;
                watermark = largest - bound;
                bench.watermark(watermark);
            }
        }
        let mut found = bench.rows();
        found.sort();
        prop_assert_eq!(found, reference(&given, between));
        bench.watermark(i64::MAX);
        prop_assert_eq!(bench.snapshot(|_| {}), [], "nothing is kept for ever");
    }
}

/// No row is behind another by so much.
const DISORDER: i64 = 60;

fn disordered(rows: u64) -> Vec<Either> {
    let mixed = |number: u64| number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let time = |number: u64| number as i64 - (mixed(number) >> 40) as i64 % DISORDER;
    let one =
        |number| (mixed(number) >> 33 & 1 == 0, mixed(number) >> 20 & 7, time(number), number);
    (0..rows).map(|number| row(one(number))).collect()
}

fn run(bench: &mut Bench<Left, Pair>, rows: &[Either]) {
    for row in rows {
        row.give_to(bench);
        bench.watermark(row.time() - DISORDER);
    }
}

#[test]
fn rows_that_wait_move_to_other_subtasks() {
    let (mut rows, between) = (disordered(1200), (-40, 25));
    // Some keys are in the first half alone: their rows are forgotten all the same.
    let second = rows.split_off(600);
    rows.extend(second.into_iter().filter(|row| row.key() % 4 != 0));
    // A watermark behind each row.
    let given = rows.iter().enumerate().map(|(round, row)| (row.clone(), -DISORDER * 2, round));
    let given: Vec<_> = given.collect();
    let expected = reference(&given, (-40, 25));
    let (first, second) = rows.split_at(600);
    for (before, after) in [(1, 1), (1, 4), (4, 1), (3, 2)] {
        let (mut found, mut chunks, mut sizes) = (Vec::new(), Vec::new(), BTreeMap::new());
        for subtask in 0..before {
            let mut bench = bench(between, subtask, before);
            run(&mut bench, &routed(first, subtask, before, Either::key));
            found.extend(bench.rows());
            let rest = routed(second, subtask, before, Either::key);
            let mut rest = rest.chunks(40);
            // It goes on while the snapshot is read, which must not show in it.
            let meanwhile =
                |bench: &mut _| rest.next().into_iter().for_each(|rows| run(bench, rows));
            chunks.push(bench.snapshot(meanwhile));
        }
        for subtask in 0..after {
            let mut bench = bench(between, subtask, after);
            chunks.iter().for_each(|chunks| bench.restore(chunks));
            run(&mut bench, &routed(second, subtask, after, Either::key));
            bench.watermark(i64::MAX);
            sizes.insert(subtask, bench.snapshot(|_| {}).len());
            found.extend(bench.rows());
        }
        found.sort();
        assert!(found.len() > 1000, "{} pairs", found.len());
        assert_eq!(found, expected, "{before} to {after}");
        assert!(sizes.values().all(|size| *size == 0), "what was restored is forgotten: {sizes:?}");
    }
}

#[test]
fn a_row_may_be_in_very_many_pairs() {
    let mut bench = bench((0, 1000), 0, 1);
    let right = |time, number| row((false, 1, time, number));
    let left = |time, number| row((true, 1, time, number));
    // Many rows of one time and many times, for lefts; then lefts for one right. What meets very many
    // meets a row behind it once, too.
    let mut rows: Vec<Either> =
        (0..3000).map(|number| right((number as i64 - 1000).max(5), number)).collect();
    rows.extend([left(0, 1), left(700, 2), left(1500, 3)]);
    rows.extend((0..600).map(|number| left(2100 + number as i64 % 7, number)));
    rows.extend([right(2200, 1), left(2150, 0)]);
    let mut most = 0;
    for row in &rows {
        let stops = bench.stops;
        row.give_to(&mut bench);
        most = most.max(bench.stops - stops);
    }
    assert!(most > 10, "{most} stops at one row");
    let mut found = bench.rows();
    found.sort();
    let given: Vec<_> = rows.into_iter().map(|row| (row, WATERMARK_MIN, 0)).collect();
    assert_eq!(found, reference(&given, (0, 1000)));
}

#[test]
#[should_panic(expected = "give the lower bound first")]
fn bounds_the_wrong_way_round_are_refused() {
    bench((1, 0), 0, 1);
}
