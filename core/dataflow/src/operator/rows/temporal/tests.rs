//! Temporal joins on a bench, beside a reference that looks for each row's version among all.

use alloc::{collections::BTreeMap, vec};

use proptest::prelude::*;

use millstream_data::value::Record;
use millstream_state::time::WATERMARK_MAX;

use super::*;
use crate::operator::bench::{Bench, Out};

/// A key, a time in microseconds, and a number.
type Row = (Option<u64>, Option<i64>, Option<u64>);
/// A row of the left, and its version.
type Pair = (Option<u64>, Option<i64>, Option<u64>, Option<u64>, Option<i64>, Option<u64>);

/// That the number of the version is even.
struct Even;

impl RowPairs for Even {
    fn holds(
        &mut self,
        _left: &[&[u8]],
        right: &[&[u8]],
        holds: &mut Vec<bool>,
    ) -> Result<(), TaskError> {
        let layout = RowLayout::new(&Row::schema());
        let number = |bytes: &[u8]| u64::from_le_bytes(layout.trusted(bytes).unwrap().fixed(2));
        holds.extend(right.iter().map(|right| number(right) % 2 == 0));
        Ok(())
    }
}

fn row(key: u64, millis: i64, number: u64) -> Row {
    (Some(key), Some(millis * 1000), Some(number))
}

fn bench(keeps: bool, even: bool) -> Bench<Row, Pair> {
    Bench::of_rows(0, 1, |states| {
        let (inputs, keys) = ([Row::schema(), Row::schema()], [vec![0], vec![0]]);
        let plan = RowVersions { inputs, keys, times: [1, 1], keeps };
        RowTemporalJoin::open(&plan, even.then_some(Even), states).unwrap()
    })
}

fn numbers(rows: Vec<Pair>) -> Vec<(Option<u64>, Option<u64>)> {
    rows.into_iter().map(|row| (row.2, row.5)).collect()
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
    fn rows_get_the_version_of_their_time(
        keeps in any::<bool>(),
        even in any::<bool>(),
        steps in steps(),
        moved in 0..30_usize,
    ) {
        let mut join = bench(keeps, even);
        let (mut left, mut versions) = (Vec::new(), BTreeMap::new());
        let (mut found, mut watermark, mut number) = (Vec::new(), 0, 0);
        for (at, (side, times, rise)) in steps.into_iter().enumerate() {
            let new: Vec<Row> = times.into_iter().map(|(key, behind)| {
                number += 1;
                (key, Some((watermark + behind) * 1000), Some(number))
            }).collect();
            join.push_to(side as u16, &new);
            match side {
                0 => left.extend(new),
                // Of one time the last one counts.
                _ => versions.extend(new.into_iter().map(|row| ((row.0, row.1), row.2.unwrap()))),
            }
            watermark += rise;
            join.watermark(watermark);
            let rows = join.rows();
            prop_assert!(rows.iter().all(|row| row.1 <= Some(watermark * 1000)));
            found.extend(numbers(rows));
            if at == moved {
                let state = join.snapshot(|_| ());
                join = bench(keeps, even);
                join.restore(&state);
                join.watermark(watermark);
            }
        }
        join.watermark(WATERMARK_MAX);
        found.extend(numbers(join.rows()));
        found.sort_unstable();
        let version = |row: &Row| {
            let of_key = versions.range((row.0, None)..=(row.0, row.1)).next_back();
            of_key.map(|(_, number)| *number)
        };
        let pair = |row: &Row| {
            let version = version(row).filter(|number| !even || number % 2 == 0);
            (version.is_some() || keeps).then_some((row.2, version))
        };
        let mut expected: Vec<_> = left.iter().filter_map(pair).collect();
        expected.sort_unstable();
        prop_assert_eq!(found, expected);
    }
}

/// A row waits for the watermark, and its version is the one that was there at its time, whatever comes later.
#[test]
fn rows_wait_for_their_time() {
    let mut join = bench(true, false);
    join.push_to(1, &[row(1, 10, 1), row(1, 20, 2)]);
    join.push_to(0, &[row(1, 19, 3), row(1, 20, 4), row(1, 5, 5)]);
    assert_eq!(numbers(join.rows()), []);
    join.watermark(19);
    assert_eq!(numbers(join.rows()), [(Some(5), None), (Some(3), Some(1))]);
    join.push_to(1, &[row(1, 20, 6)]);
    join.watermark(25);
    let row_4 = (Some(1), Some(20_000), Some(4), Some(1), Some(20_000), Some(6));
    assert_eq!(join.take(), [Out::Row(row_4), Out::Watermark(25)]);
}

/// Versions that are not needed any more go: a row that is late finds the last one, if that is older.
#[test]
fn late_rows_find_what_is_left() {
    let mut join = bench(true, false);
    join.push_to(1, &[row(1, 10, 1), row(1, 20, 2), row(1, 40, 3)]);
    join.watermark(30);
    join.push_to(0, &[row(1, 15, 4), row(1, 25, 5)]);
    join.watermark(31);
    assert_eq!(numbers(join.rows()), [(Some(4), None), (Some(5), Some(2))]);
    join.watermark(WATERMARK_MAX);
    assert_eq!(numbers(join.rows()), []);
}
