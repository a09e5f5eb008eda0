//! Window joins on a bench, beside a reference that compares each row with all of its window.

use proptest::prelude::*;

use millstream_data::value::Record;
use millstream_state::time::WATERMARK_MAX;

use super::*;
use crate::operator::bench::{Bench, Out};

/// A key, the end of a window in microseconds, and a number.
type Row = (Option<u64>, Option<i64>, Option<u64>);
type Pair = (Option<u64>, Option<i64>, Option<u64>, Option<u64>, Option<i64>, Option<u64>);

/// That the numbers differ.
struct Differ;

impl RowPairs for Differ {
    fn holds(
        &mut self,
        left: &[&[u8]],
        right: &[&[u8]],
        holds: &mut Vec<bool>,
    ) -> Result<(), TaskError> {
        let layout = RowLayout::new(&Row::schema());
        let number = |bytes: &[u8]| layout.trusted(bytes).unwrap().fixed::<8>(2);
        holds.extend(left.iter().zip(right).map(|(left, right)| number(left) != number(right)));
        Ok(())
    }
}

fn bench<U: millstream_data::Value + Record>(matches: RowMatches, differ: bool) -> Bench<Row, U> {
    Bench::of_rows(0, 1, |states| {
        let (inputs, keys) = ([Row::schema(), Row::schema()], [vec![0], vec![0]]);
        let plan = RowWindowMatch { inputs, keys, ends: [1, 1], matches };
        RowWindowJoin::open(&plan, differ.then_some(Differ), states).unwrap()
    })
}

/// A side, and rows of it: a key, in which of the next windows it is, and a number; then the watermark rises.
type Step = (usize, Vec<(Option<u64>, i64, u64)>, i64);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let row = (prop::option::weighted(0.9, 0..3_u64), 0..3_i64, 0..3_u64);
    prop::collection::vec((0..2_usize, prop::collection::vec(row, 0..9), 0..15_i64), 1..30)
}

/// What of a row there is: its window, and the numbers of both sides.
type Numbers = (Option<i64>, Option<u64>, Option<u64>);

fn expected([left, right]: &[Vec<Row>; 2], of: RowMatches, differ: bool) -> Vec<Numbers> {
    let matches =
        |a: &Row, b: &Row| a.0.is_some() && a.0 == b.0 && a.1 == b.1 && !(differ && a.2 == b.2);
    let mut all = Vec::new();
    for a in left {
        let found: Vec<_> = right.iter().filter(|b| matches(a, b)).collect();
        match of {
            RowMatches::Pairs([keeps, _]) => {
                all.extend(found.iter().map(|b| (a.1, a.2, b.2)));
                all.extend((found.is_empty() && keeps).then_some((a.1, a.2, None)));
            }
            _ if found.is_empty() == (of == RowMatches::Anti) => all.push((a.1, a.2, None)),
            _ => {}
        }
    }
    if let RowMatches::Pairs([_, true]) = of {
        let alone = right.iter().filter(|b| !left.iter().any(|a| matches(a, b)));
        all.extend(alone.map(|b| (b.1, None, b.2)));
    }
    all.sort_unstable();
    all
}

/// Runs the steps, on two joins one after the other; windows are of 10 ms.
fn found<U: millstream_data::Value + Record>(
    steps: &[Step],
    (of, differ, moved): (RowMatches, bool, usize),
    numbers: impl Fn(U) -> Numbers,
) -> ([Vec<Row>; 2], Vec<Numbers>) {
    let mut join = bench::<U>(of, differ);
    let (mut rows, mut found, mut watermark) = ([vec![], vec![]], vec![], 0);
    for (at, (side, new, rise)) in steps.iter().enumerate() {
        // A window has ended when the watermark has reached its last millisecond.
        let next = ((watermark + 1) / 10 + 1) * 10;
        let new: Vec<Row> = new
            .iter()
            .map(|(key, ahead, number)| (*key, Some((next + 10 * ahead) * 1000), Some(*number)))
            .collect();
        join.push_to(*side as u16, &new);
        rows[*side].extend(new);
        watermark += rise;
        join.watermark(watermark);
        found.extend(join.rows().into_iter().map(&numbers));
        if at == moved {
            let state = join.snapshot(|_| ());
            join = bench(of, differ);
            join.restore(&state);
            join.watermark(watermark);
        }
    }
    join.watermark(WATERMARK_MAX);
    found.extend(join.rows().into_iter().map(&numbers));
    found.sort_unstable();
    assert!(join.snapshot(|_| ()).is_empty());
    (rows, found)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever rows come when, and wherever state is taken to another join.
    #[test]
    fn rows_meet_those_of_their_window(
        keeps in prop::array::uniform2(any::<bool>()),
        differ in any::<bool>(),
        steps in steps(),
        moved in 0..30_usize,
    ) {
        let of = RowMatches::Pairs(keeps);
        let (rows, pairs) = found::<Pair>(&steps, (of, differ, moved), |row| (row.1.or(row.4), row.2, row.5));
        prop_assert_eq!(pairs, expected(&rows, of, differ));
        for of in [RowMatches::Semi, RowMatches::Anti] {
            let (rows, left) = found::<Row>(&steps, (of, differ, moved), |row| (row.1, row.2, None));
            prop_assert_eq!(left, expected(&rows, of, differ));
        }
    }
}

/// Pairs come when the window ends, and a row of a window that has ended is dropped.
#[test]
fn windows_are_joined_when_they_end() {
    let row = |number| -> Row { (Some(1), Some(10_000), Some(number)) };
    let mut join = bench::<Pair>(RowMatches::Pairs([true, true]), false);
    join.push_to(0, &[row(1)]);
    join.push_to(1, &[row(2)]);
    join.watermark(8);
    assert_eq!(join.take(), [Out::Watermark(8)]);
    join.watermark(9);
    let pair = (Some(1), Some(10_000), Some(1), Some(1), Some(10_000), Some(2));
    assert_eq!(join.take(), [Out::Row(pair), Out::Watermark(9)]);
    join.push_to(0, &[row(3), (None, Some(10_000), Some(4))]);
    join.watermark(20);
    assert_eq!(join.rows(), []);
    assert!(join.snapshot(|_| ()).is_empty());
}

/// More pairs than are compared, or written, at once.
#[test]
fn many_rows_of_a_key_are_joined_in_parts() {
    let rows = |count: u64| -> Vec<Row> {
        (0..count).map(|number| (Some(1), Some(10_000), Some(number))).collect()
    };
    let mut join = bench::<Pair>(RowMatches::Pairs([true, true]), true);
    join.push_to(0, &rows(300));
    join.push_to(1, &rows(301));
    join.watermark(9);
    let found = join.rows();
    assert_eq!(found.len(), 300 * 300);
    assert!(join.stops > 0);
}
