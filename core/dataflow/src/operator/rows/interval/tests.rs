//! Interval joins on a bench, beside a reference that compares each row with all.

use proptest::prelude::*;

use millstream_data::value::Record;
use millstream_state::time::WATERMARK_MAX;

use super::*;
use crate::operator::bench::{Bench, Out};

/// A key, a time in microseconds, and a number.
type Row = (Option<u64>, Option<i64>, Option<u64>);
/// The numbers of the left row and of the right one, between their times.
type Pair = (Option<u64>, Option<i64>, Option<u64>, Option<u64>, Option<i64>, Option<u64>);

/// That the number of the left row is not that of the right one.
struct Differ;

impl RowPairs for Differ {
    fn holds(
        &mut self,
        left: &[&[u8]],
        right: &[&[u8]],
        holds: &mut Vec<bool>,
    ) -> Result<(), TaskError> {
        let layout = RowLayout::new(&schema());
        let number = |bytes: &&[u8]| layout.trusted(bytes).map(|row| row.fixed::<8>(2));
        for (left, right) in left.iter().zip(right) {
            holds.push(number(left).ok() != number(right).ok());
        }
        Ok(())
    }
}

fn schema() -> Schema {
    Row::schema()
}

fn row(key: u64, millis: i64, number: u64) -> Row {
    (Some(key), Some(millis * 1000), Some(number))
}

fn bench(bounds: [i64; 2], keeps: [bool; 2], differ: bool) -> Bench<Row, Pair> {
    Bench::of_rows(0, 1, |states| {
        let (inputs, keys) = ([schema(), schema()], [vec![0], vec![0]]);
        let plan = RowInterval { inputs, keys, times: [1, 1], bounds, keeps };
        RowIntervalJoin::open(&plan, differ.then_some(Differ), states).unwrap()
    })
}

/// The numbers of rows that came out.
fn numbers(rows: Vec<Pair>) -> Vec<(Option<u64>, Option<u64>)> {
    rows.into_iter().map(|row| (row.2, row.5)).collect()
}

/// What the join of all rows gives, if none is late.
fn expected(
    [left, right]: &[Vec<Row>; 2],
    [lower, upper]: [i64; 2],
    [keeps_left, keeps_right]: [bool; 2],
    differ: bool,
) -> Vec<(Option<u64>, Option<u64>)> {
    let matches = |a: &Row, b: &Row| {
        let apart = (b.1.unwrap() - a.1.unwrap()) / 1000;
        let near = (lower..=upper).contains(&apart);
        a.0.is_some() && a.0 == b.0 && near && !(differ && a.2 == b.2)
    };
    let mut all = Vec::new();
    for a in left {
        let found: Vec<_> = right.iter().filter(|b| matches(a, b)).collect();
        all.extend(found.iter().map(|b| (a.2, b.2)));
        all.extend((found.is_empty() && keeps_left).then_some((a.2, None)));
    }
    let alone = right.iter().filter(|b| !left.iter().any(|a| matches(a, b)));
    all.extend(alone.filter(|_| keeps_right).map(|b| (None, b.2)));
    all.sort_unstable();
    all
}

/// A side, and rows of it, whose times are so far behind the watermark; then the watermark rises.
type Step = (usize, Vec<(Option<u64>, i64)>, i64);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let row = (prop::option::weighted(0.9, 0..3_u64), 1..20_i64);
    let rows = prop::collection::vec(row, 0..9);
    prop::collection::vec((0..2_usize, rows, 0..9_i64), 1..30)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever rows come when, and wherever state is taken to another join.
    #[test]
    fn rows_meet_those_whose_times_are_near(
        (lower, length) in (-9..9_i64, 0..12_i64),
        keeps in prop::array::uniform2(any::<bool>()),
        differ in any::<bool>(),
        steps in steps(),
        moved in 0..30_usize,
    ) {
        let bounds = [lower, lower + length];
        let mut join = bench(bounds, keeps, differ);
        let (mut rows, mut found, mut watermark, mut number) = ([vec![], vec![]], vec![], 0, 0);
        for (at, (side, times, rise)) in steps.into_iter().enumerate() {
            let new: Vec<Row> = times.into_iter().map(|(key, behind)| {
                number += 1;
                (key, Some((watermark + behind) * 1000), Some(number % 4))
            }).collect();
            join.push_to(side as u16, &new);
            rows[side].extend(new);
            watermark += rise;
            join.watermark(watermark);
            found.extend(numbers(join.rows()));
            if at == moved {
                let state = join.snapshot(|_| ());
                join = bench(bounds, keeps, differ);
                join.restore(&state);
                join.watermark(watermark);
            }
        }
        join.watermark(WATERMARK_MAX);
        found.extend(numbers(join.rows()));
        found.sort_unstable();
        prop_assert_eq!(found, expected(&rows, bounds, keeps, differ));
        prop_assert!(join.snapshot(|_| ()).is_empty());
    }
}

/// A row without a match comes when none can come any more, in front of a watermark that its time is not behind;
/// then it is forgotten.
#[test]
fn rows_wait_as_long_as_they_may_find_a_match() {
    let mut join = bench([-5, 10], [true, true], false);
    join.push_to(0, &[row(1, 100, 1)]);
    join.push_to(1, &[row(1, 100, 2), row(2, 100, 3)]);
    assert_eq!(numbers(join.rows()), [(Some(1), Some(2))]);
    join.watermark(104);
    assert_eq!(join.take(), [Out::Watermark(94)]);
    join.watermark(105);
    let alone = (None, None, None, Some(2), Some(100_000), Some(3));
    assert_eq!(join.take(), [Out::Row(alone), Out::Watermark(95)]);
    join.push_to(1, &[row(1, 110, 4)]);
    assert_eq!(numbers(join.rows()), [(Some(1), Some(4))]);
    join.watermark(110);
    join.push_to(1, &[row(1, 111, 5)]);
    assert_eq!(numbers(join.rows()), []);
    join.watermark(116);
    assert_eq!(numbers(join.rows()), [(None, Some(5))]);
    assert!(join.snapshot(|_| ()).is_empty());
}

/// As in Flink: a late row meets what is there still, and does not wait.
#[test]
fn late_rows_meet_what_is_there() {
    let mut join = bench([0, 10], [true, true], false);
    join.push_to(0, &[row(1, 100, 1), row(2, 100, 2)]);
    join.watermark(105);
    // The right row could have come later; nothing earlier can come for it.
    join.push_to(1, &[row(1, 101, 3), row(1, 99, 4), row(3, 105, 6)]);
    assert_eq!(numbers(join.rows()), [(Some(1), Some(3)), (None, Some(4)), (None, Some(6))]);
    join.watermark(110);
    join.push_to(1, &[row(2, 105, 5)]);
    assert_eq!(numbers(join.rows()), [(Some(2), None), (None, Some(5))]);
    assert!(join.snapshot(|_| ()).is_empty());
}
