//! Sessions on a bench, beside a reference that goes through all sessions for every row.

use alloc::{vec, vec::Vec};

use proptest::prelude::*;

use millstream_state::time::WATERMARK_MIN;

use super::*;
use crate::{
    operator::{
        Emit,
        bench::{Bench, Out, routed},
    },
    stream::SessionPages,
};

/// A key, a time and a number.
pub(in crate::operator) type Measured = (u64, i64, u64);

/// Key, begin and end of the session, the numbers in it.
pub(in crate::operator) type Session = (u64, i64, i64, Vec<u64>);

#[derive(Clone)]
struct Numbers;

impl WindowAggregate for Numbers {
    type In = Measured;
    type Key = u64;
    type Accumulator = Vec<u64>;
    type Out = Session;

    fn create(&self) -> Vec<u64> {
        Vec::new()
    }

    fn add(&self, numbers: &mut Vec<u64>, (_, _, number): Measured) {
        numbers.push(number);
    }

    fn merge(&self, numbers: &mut Vec<u64>, other: <Vec<u64> as Value>::View<'_>) {
        numbers.extend(Vec::<u64>::own(other));
    }

    fn finish(
        &self,
        key: u64,
        window: Window,
        numbers: <Vec<u64> as Value>::View<'_>,
        out: &mut dyn Emit<Session>,
    ) {
        let mut numbers = Vec::<u64>::own(numbers);
        numbers.sort_unstable();
        out.emit((key, window.start, window.end, numbers.view()));
    }
}

/// Their sum, which changes in place.
#[derive(Clone)]
struct Sum;

impl WindowAggregate for Sum {
    type In = Measured;
    type Key = u64;
    type Accumulator = u64;
    type Out = Session;

    fn create(&self) -> u64 {
        0
    }

    fn add(&self, sum: &mut u64, (_, _, number): Measured) {
        *sum += number;
    }

    fn merge(&self, sum: &mut u64, other: u64) {
        *sum += other;
    }

    fn finish(&self, key: u64, window: Window, sum: u64, out: &mut dyn Emit<Session>) {
        out.emit((key, window.start, window.end, vec![sum].view()));
    }
}

fn bench(gap: i64, lateness: i64, subtask: u32, parallelism: u32) -> Bench<Measured, Session> {
    bench_of(Numbers, gap, lateness, (subtask, parallelism))
}

fn bench_of<A: WindowAggregate<In = Measured, Key = u64, Out = Session>>(
    function: A,
    gap: i64,
    lateness: i64,
    (subtask, parallelism): (u32, u32),
) -> Bench<Measured, Session> {
    let lateness = Lateness::of(lateness);
    let (key, time) = (|row: Row<'_, Measured>| row.0, |row: Row<'_, Measured>| row.1);
    let windowing = SessionWindowing { key, time, gap, lateness, late: None };
    Bench::open(&SessionPages::new(function, windowing), subtask, parallelism, 400)
}

/// Sessions by brute force.
pub(in crate::operator) struct Reference {
    gap: i64,
    lateness: i64,
    watermark: i64,
    sessions: Vec<Session>,
}

impl Reference {
    pub(in crate::operator) fn new(gap: i64, lateness: i64) -> Self {
        Self { gap, lateness, watermark: WATERMARK_MIN, sessions: Vec::new() }
    }

    pub(in crate::operator) fn row(
        &mut self,
        (key, time, number): Measured,
        out: &mut Vec<Session>,
    ) {
        let mut one: Session = (key, time, time + self.gap, vec![number]);
        let (start, end) = (one.1, one.2);
        let (joined, apart): (Vec<_>, Vec<_>) = (self.sessions.iter().cloned())
            .partition(|other| other.0 == key && other.1 <= end && other.2 >= start);
        for other in joined {
            one = (key, one.1.min(other.1), one.2.max(other.2), [one.3, other.3].concat());
        }
        if one.2 - 1 + self.lateness <= self.watermark {
            return;
        }
        one.3.sort_unstable();
        if one.2 - 1 <= self.watermark {
            out.push(one.clone());
        }
        self.sessions = apart;
        self.sessions.push(one);
    }

    pub(in crate::operator) fn watermark(&mut self, time: i64, out: &mut Vec<Session>) {
        let (before, lateness) = (self.watermark, self.lateness);
        let ends = |session: &&Session| (before + 1..=time).contains(&(session.2 - 1));
        out.extend(self.sessions.iter().filter(ends).cloned());
        self.sessions.retain(|session| session.2 - 1 + lateness > time);
        self.watermark = time;
    }
}

/// Gives both the same rows and a watermark behind each page of them, and compares what comes of each.
fn compare(rows: &[Measured], gap: i64, lateness: i64, bound: i64) {
    let whole = bench(gap, lateness, 0, 1);
    compare_with(whole, |numbers| numbers, rows, (gap, lateness, bound));
    let summed = bench_of(Sum, gap, lateness, (0, 1));
    compare_with(summed, |numbers| vec![numbers.iter().sum()], rows, (gap, lateness, bound));
}

fn compare_with(
    mut bench: Bench<Measured, Session>,
    of: impl Fn(Vec<u64>) -> Vec<u64>,
    rows: &[Measured],
    (gap, lateness, bound): (i64, i64, i64),
) {
    let mut reference = Reference::new(gap, lateness);
    let mut largest = -1000;
    for rows in rows.chunks(7) {
        let mut expected = Vec::new();
        rows.iter().for_each(|row| reference.row(*row, &mut expected));
        largest = rows.iter().map(|row| row.1).fold(largest, i64::max);
        bench.push(rows);
        let mut found = bench.rows();
        reference.watermark(largest - bound, &mut expected);
        bench.watermark(largest - bound);
        let ended = bench.rows();
        assert!(ended.is_sorted_by_key(|session| session.2), "they end in order: {ended:?}");
        found.extend(ended);
        found.sort();
        expected.iter_mut().for_each(|session| session.3 = of(core::mem::take(&mut session.3)));
        expected.sort();
        assert_eq!(found, expected, "at the watermark {}", largest - bound);
    }
    bench.watermark(i64::MAX);
    assert_eq!(bench.snapshot(|_| {}), [], "nothing is left of sessions that have ended");
}

proptest! {
    /// In order or not, late or not, with rows that make two sessions one.
    #[test]
    fn sessions_are_those_of_the_reference(
        rows in proptest::collection::vec((0u64..3, 0i64..60, any::<u32>()), 1..120),
        gap in 1i64..8,
        lateness in prop_oneof![Just(0), 1i64..30],
        bound in 0i64..20,
    ) {
        let row = |(number, (key, back, value)): (usize, (u64, i64, u32))| {
            (key, number as i64 * 2 - back, u64::from(value))
        };
        let rows: Vec<Measured> = rows.into_iter().enumerate().map(row).collect();
        compare(&rows, gap, lateness, bound);
    }
}

const GAP: i64 = 20;
/// No row is behind another by so much.
const DISORDER: i64 = 60;

fn disordered(rows: u64) -> Vec<Measured> {
    let mixed = |number: u64| number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let time = |number: u64| number as i64 - (mixed(number) >> 40) as i64 % DISORDER;
    (0..rows).map(|number| (mixed(number) >> 20 & 0xF, time(number), number)).collect()
}

fn sorted_by_reference(rows: &[Measured]) -> Vec<Session> {
    let (mut reference, mut expected) = (Reference::new(GAP, 0), Vec::new());
    rows.iter().for_each(|row| reference.row(*row, &mut expected));
    reference.watermark(i64::MAX - 1, &mut expected);
    expected.sort();
    expected
}

fn run(bench: &mut Bench<Measured, Session>, rows: &[Measured]) {
    for rows in rows.chunks(10) {
        bench.push(rows);
        let largest = rows.iter().map(|row| row.1).max();
        largest.into_iter().for_each(|largest| bench.watermark(largest - DISORDER));
    }
}

#[test]
fn a_chain_that_is_held_back_goes_on_with_the_sessions_that_are_left() {
    let rows = disordered(2000);
    let mut bench = bench(GAP, 0, 0, 1);
    bench.push(&rows);
    bench.watermark(i64::MAX);
    assert!(bench.stops > 3, "{} stops", bench.stops);
    let found = bench.take();
    assert_eq!(found.last(), Some(&Out::Watermark(i64::MAX)));
    let row = |out| match out {
        Out::Row(row) => Some(row),
        _ => None,
    };
    let mut found: Vec<Session> = found.into_iter().filter_map(row).collect();
    found.sort();
    assert_eq!(found, sorted_by_reference(&rows));
}

#[test]
fn sessions_move_to_other_subtasks() {
    let rows = disordered(2000);
    // Some keys are in the first half alone: their sessions end all the same.
    let rows: Vec<Measured> =
        rows.into_iter().filter(|row| row.2 < 1000 || row.0 % 4 != 0).collect();
    let expected = sorted_by_reference(&rows);
    let (first, second) = rows.split_at(1000);
    for (before, after) in [(1, 1), (1, 4), (4, 1), (3, 2)] {
        let (mut found, mut chunks) = (Vec::new(), Vec::new());
        for subtask in 0..before {
            let mut bench = bench(GAP, 0, subtask, before);
            run(&mut bench, &routed(first, subtask, before, |row| row.0));
            found.extend(bench.rows());
            // It goes on while the snapshot is read, which must not show in it.
            let rest = routed(second, subtask, before, |row| row.0);
            let mut rest = rest.chunks(40);
            let meanwhile =
                |bench: &mut _| rest.next().into_iter().for_each(|rows| run(bench, rows));
            chunks.push(bench.snapshot(meanwhile));
        }
        assert!(found.len() > 100, "some have ended before: {}", found.len());
        for subtask in 0..after {
            let mut bench = bench(GAP, 0, subtask, after);
            chunks.iter().for_each(|chunks| bench.restore(chunks));
            run(&mut bench, &routed(second, subtask, after, |row| row.0));
            bench.watermark(i64::MAX);
            found.extend(bench.rows());
        }
        found.sort();
        assert_eq!(found, expected, "{before} to {after}");
    }
}

#[test]
#[should_panic(expected = "give it at least 1")]
fn a_gap_of_nothing_is_refused() {
    bench(0, 0, 0, 1);
}
