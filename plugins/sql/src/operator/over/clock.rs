//! Rows that are around others by processing time, which is that of the test.

use millstream_data::page::RowKind::Insert;
use millstream_dataflow::operator::rows::{RowBuffer, Until};
use proptest::prelude::*;

use super::*;
use crate::operator::expiring::{Bench, Change, call, numbers, said};

/// How far back rows are around another one, in milliseconds.
const BACK: i64 = 30;

/// Sum, count and least of the second column over the rows of an interval.
fn bench() -> Bench {
    let frame = Frame { rows: false, start: Edge::By(-BACK * 1000), end: Edge::By(0) };
    let calls = [
        call(AggregateFunction::Sum, Some(1), false),
        call(AggregateFunction::Count, Some(1), true),
        call(AggregateFunction::Min, Some(1), false),
    ];
    let around = Around { order: &[], said: Said::ByClock, frame, calls: &calls };
    let plan = Overing::new(&numbers(2), &around, &numbers(5)).unwrap();
    Bench::new([2, 5], |states| {
        states.expire_after(None);
        RowBuffer::open(&numbers(2), &[0], Until::Passed, states, |keys, states| {
            Over::open(&plan, keys, states)
        })
    })
}

#[test]
fn rows_of_a_millisecond_are_said_together_when_it_has_passed() {
    let mut bench = bench();
    assert_eq!(bench.at(7, 0, &[(Insert, &[1, 5]), (Insert, &[2, 7])]), []);
    assert_eq!(bench.at(7, 0, &[(Insert, &[1, 6])]), []);
    assert_eq!(bench.pass(7), []);
    let together = [
        said(Insert, &[1, 5, 11, 2, 5]),
        said(Insert, &[1, 6, 11, 2, 5]),
        said(Insert, &[2, 7, 7, 1, 7]),
    ];
    assert_eq!(sorted(bench.pass(8)), together);
    bench.at(7 + BACK, 0, &[(Insert, &[1, 5])]);
    assert_eq!(bench.pass(99), [said(Insert, &[1, 5, 16, 2, 5])]);
    // Those that came at 7 are too far back.
    bench.at(100, 0, &[(Insert, &[1, 9])]);
    // At the end nothing waits for the clock.
    assert_eq!(bench.watermark(i64::MAX), Ok(vec![said(Insert, &[1, 9, 9, 1, 9])]));
}

/// Keys that come once and never again do not stay.
#[test]
fn what_is_too_far_back_is_forgotten_by_the_clock() {
    let mut bench = bench();
    let free = bench.free();
    let mut kept = 0;
    for round in 0..10 * BACK {
        let rows: Vec<_> = (0..100).map(|key| [round * 100 + key, round]).collect();
        let rows: Vec<_> = rows.iter().map(|row| (Insert, &row[..])).collect();
        bench.at(round, 0, &rows);
        assert_eq!(bench.pass(round + 1).len(), 100);
        if round == 2 * BACK {
            kept = free - bench.free();
        }
    }
    let left = free - bench.free();
    assert!(left < 2 * kept, "{left} bytes are kept, and {kept} some time ago");
}

fn sorted(mut rows: Vec<Change>) -> Vec<Change> {
    rows.sort_by(|a, b| a.1.cmp(&b.1));
    rows
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Beside a reference that compares each row with all, wherever state is taken to another one.
    #[test]
    fn rows_are_around_others_by_when_they_came(
        rows in prop::collection::vec((0..3_i64, -4..9_i64, 0..25_i64), 1..60),
        moved in 0..60_usize,
    ) {
        let (mut bench, mut time, mut came) = (bench(), 0, Vec::new());
        let mut said_rows = Vec::new();
        for (number, (key, value, later)) in rows.into_iter().enumerate() {
            if number == moved {
                let mut before = std::mem::replace(&mut bench, self::bench());
                bench.restore(&mut before);
            }
            time += later;
            said_rows.extend(bench.pass(time));
            said_rows.extend(bench.at(time, 0, &[(Insert, &[key, value])]));
            came.push((key, value, time));
        }
        said_rows.extend(bench.pass(time + 1));
        let expected = came.iter().map(|(key, value, time)| {
            let near = |row: &&(i64, i64, i64)| row.0 == *key && (time - BACK..=*time).contains(&row.2);
            let mut around: Vec<i64> = came.iter().filter(near).map(|row| row.1).collect();
            let sum = around.iter().sum();
            around.sort_unstable();
            around.dedup();
            said(Insert, &[*key, *value, sum, around.len() as i64, around[0]])
        });
        prop_assert_eq!(sorted(said_rows), sorted(expected.collect()));
    }
}
