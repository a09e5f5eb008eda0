//! Windows with triggers on a bench, beside the operators that fold windows, and by themselves.

mod functions;
mod times;

use alloc::{collections::BTreeMap, vec, vec::Vec};

use millstream_state::window::{Cumulating, Sliding, Tumbling};
use proptest::prelude::*;

use super::*;
use crate::{
    operator::{
        Emit,
        bench::{Bench, Out, routed},
        window::{
            CountTrigger, EventTimeTrigger, NoEvictor, ProcessWindowFunction, PurgingTrigger,
            SessionWindowing, WindowAggregate, WindowAssigner, WindowContext, WindowRows,
            Windowing,
        },
    },
    stream::{SessionPages, TriggeredPages, WindowPages},
};

/// A key, a time and a number.
type Rows = (u64, i64, u64);
/// A key, begin and end of the window, rows and the sum of their numbers.
type Summed = (u64, i64, i64, u64, u64);

#[derive(Clone)]
struct Sum;

impl WindowAggregate for Sum {
    type In = Rows;
    type Key = u64;
    type Accumulator = (u64, u64);
    type Out = Summed;

    fn create(&self) -> (u64, u64) {
        (0, 0)
    }

    fn add(&self, (rows, sum): &mut (u64, u64), row: Rows) {
        *rows += 1;
        *sum += row.2;
    }

    fn merge(&self, (rows, sum): &mut (u64, u64), other: (u64, u64)) {
        *rows += other.0;
        *sum += other.1;
    }

    fn finish(
        &self,
        key: u64,
        window: Window,
        (rows, sum): (u64, u64),
        out: &mut dyn Emit<Summed>,
    ) {
        out.emit((key, window.start, window.end, rows, sum));
    }
}

/// Emits key, begin and end of the window, and the numbers of all rows.
#[derive(Clone)]
struct Numbers;

type Numbered = (u64, i64, i64, Vec<u64>);

impl ProcessWindowFunction for Numbers {
    type Key = u64;
    type In = Rows;
    type Out = Numbered;

    fn process(
        &mut self,
        rows: &WindowRows<'_, Rows>,
        context: &mut WindowContext<'_, Self>,
    ) -> Result<(), TaskError> {
        let numbers: Vec<u64> = rows.iter().map(|row| row.2).collect();
        let (key, window) = (context.key(), context.window());
        context.emit((key, window.start, window.end, numbers.view()));
        Ok(())
    }
}

/// Takes the key from a row.
type KeyOf = fn(Row<'_, Rows>) -> u64;

fn time_of(row: Row<'_, Rows>) -> i64 {
    row.1
}

fn key_of(row: Row<'_, Rows>) -> u64 {
    row.0
}

fn head<G: Gather<In = Rows, Key = u64>, W: Windows<Rows>, R: Trigger<Rows>>(
    gathering: G,
    windows: W,
    trigger: R,
    lateness: i64,
) -> TriggeredPages<G, W, R, KeyOf> {
    let (key, lateness): (KeyOf, _) = (key_of, Lateness::of(lateness));
    TriggeredPages::new(Triggering { gathering, windows, trigger, key, lateness, late: None })
}

fn by_time<W>(assigner: W) -> EventTimeWindows<W, fn(Row<'_, Rows>) -> i64> {
    EventTimeWindows { assigner, time: time_of }
}

/// Rows and watermarks, one after the other.
#[derive(Clone, Debug)]
enum Step {
    Row(Rows),
    Watermark(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let row = (0..4u64, 0..60i64, 0..100u64).prop_map(Step::Row);
    let watermark = (0..60i64).prop_map(Step::Watermark);
    proptest::collection::vec(prop_oneof![4 => row, 1 => watermark], 1..60)
}

/// What comes out between one watermark and the next, in any order.
fn run<U: Value + millstream_data::value::Record + Ord>(
    mut bench: Bench<Rows, U>,
    steps: &[Step],
) -> Vec<Vec<U>> {
    let (mut found, mut highest) = (Vec::new(), i64::MIN);
    for step in steps {
        match step {
            Step::Row(row) => bench.push(&[*row]),
            Step::Watermark(time) => {
                highest = highest.max(*time);
                bench.watermark(highest);
            }
        }
        let mut rows = bench.rows();
        rows.sort();
        found.push(rows);
    }
    bench.watermark(i64::MAX);
    let mut rows = bench.rows();
    rows.sort();
    found.push(rows);
    assert_eq!(bench.snapshot(|_| {}), [], "everything is forgotten at the end");
    found
}

/// The operator that folds slices, and this one with the trigger of event time, say the same.
fn is_as_folded<W: WindowAssigner>(
    assigner: W,
    lateness: i64,
    steps: &[Step],
) -> Result<(), TestCaseError> {
    let windowing = Windowing {
        key: key_of as KeyOf,
        time: time_of as fn(Row<'_, Rows>) -> i64,
        assigner: assigner.clone(),
        lateness: Lateness::of(lateness),
        late: None,
    };
    let folded = run(Bench::open(&WindowPages::new(Sum, windowing), 0, 1, 64), steps);
    let by_time = by_time(assigner);
    let gathered = head(Folding { function: Sum }, by_time.clone(), EventTimeTrigger, lateness);
    prop_assert_eq!(&run(Bench::open(&gathered, 0, 1, 64), steps), &folded);
    // An aggregate of all rows at once, too.
    let listing = Listing { function: AtOnce(Sum), evictor: NoEvictor };
    let listed = head(listing, by_time, EventTimeTrigger, lateness);
    prop_assert_eq!(&run(Bench::open(&listed, 0, 1, 64), steps), &folded);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn windows_are_those_that_are_folded(
        steps in steps(), size in 1..20i64, slide in 1..20i64, lateness in prop_oneof![Just(0), 0..30i64],
    ) {
        is_as_folded(Tumbling::of(size).unwrap(), lateness, &steps)?;
        is_as_folded(Sliding::of(size, slide).unwrap(), lateness, &steps)?;
        is_as_folded(Cumulating::of(size * slide, slide).unwrap(), lateness, &steps)?;
    }

    #[test]
    fn sessions_are_those_that_are_folded(
        steps in steps(), gap in 1..10i64, lateness in prop_oneof![Just(0), 0..20i64],
    ) {
        let windowing = SessionWindowing {
            key: key_of as KeyOf,
            time: time_of as fn(Row<'_, Rows>) -> i64,
            gap,
            lateness: Lateness::of(lateness),
            late: None,
        };
        let folded = run(Bench::open(&SessionPages::new(Sum, windowing), 0, 1, 64), &steps);
        let windows = SessionWindows { gap, time: time_of as fn(Row<'_, Rows>) -> i64 };
        let gathered =
            head(Folding { function: Sum }, windows.clone(), EventTimeTrigger, lateness);
        prop_assert_eq!(&run(Bench::open(&gathered, 0, 1, 64), &steps), &folded);
        let listing = Listing { function: AtOnce(Sum), evictor: NoEvictor };
        let listed = head(listing, windows, EventTimeTrigger, lateness);
        prop_assert_eq!(&run(Bench::open(&listed, 0, 1, 64), &steps), &folded);
    }
}

fn disordered(rows: u64) -> Vec<Rows> {
    let mixed = |number: u64| number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let time = |number: u64| number as i64 - (mixed(number) >> 40) as i64 % 30;
    (0..rows).map(|number| ((mixed(number) >> 20) % 7, time(number), number)).collect()
}

/// Gives rows to a chain, and after every ten the watermark behind which none comes.
fn feed<U: Value + Record>(bench: &mut Bench<Rows, U>, rows: &[Rows]) {
    for rows in rows.chunks(10) {
        bench.push(rows);
        let largest = rows.iter().map(|row| row.1).max();
        largest.into_iter().for_each(|largest| bench.watermark(largest - 60));
    }
}

/// What comes of rows when so many subtasks process the first half, and others, which go on from a
/// snapshot, the second.
fn moved<P>(head: &P, rows: &[Rows], (before, after): (u32, u32)) -> Vec<P::Out>
where
    P: crate::stream::Pipeline<Out: Value + Record + Ord>,
{
    let (first, second) = rows.split_at(rows.len() / 2);
    let (mut found, mut chunks) = (Vec::new(), Vec::new());
    for subtask in 0..before {
        let mut bench = Bench::<Rows, P::Out>::open(head, subtask, before, 200);
        feed(&mut bench, &routed(first, subtask, before, |row| row.0));
        found.extend(bench.rows());
        // It goes on while the snapshot is read, which must not show in it.
        let rest = routed(second, subtask, before, |row| row.0);
        let mut rest = rest.chunks(20);
        chunks.push(
            bench.snapshot(|bench| rest.next().into_iter().for_each(|rows| feed(bench, rows))),
        );
    }
    for subtask in 0..after {
        let mut bench = Bench::<Rows, P::Out>::open(head, subtask, after, 200);
        chunks.iter().for_each(|chunks| bench.restore(chunks));
        feed(&mut bench, &routed(second, subtask, after, |row| row.0));
        bench.watermark(i64::MAX);
        found.extend(bench.rows());
    }
    found.sort();
    found
}

#[test]
fn rows_timers_and_counts_move_to_other_subtasks() {
    let rows = disordered(3000);
    let numbers = || Listing { function: Numbers, evictor: NoEvictor };
    let tumbling = head(numbers(), by_time(Tumbling::of(100).unwrap()), EventTimeTrigger, 0);
    let counted = head(numbers(), CountWindows, PurgingTrigger::of(CountTrigger::of(8)), 0);
    let mut windows: BTreeMap<(u64, i64), Vec<u64>> = BTreeMap::new();
    let mut counts: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for (key, time, number) in rows.iter().copied() {
        windows.entry((key, time.div_euclid(100) * 100)).or_default().push(number);
        counts.entry(key).or_default().push(number);
    }
    let windows = windows.into_iter();
    let windows: Vec<Numbered> =
        windows.map(|((key, start), numbers)| (key, start, start + 100, numbers)).collect();
    let mut eights: Vec<Numbered> = Vec::new();
    for (key, numbers) in counts {
        let whole = numbers.chunks_exact(8);
        eights.extend(whole.map(|eight| (key, i64::MIN, i64::MAX, eight.to_vec())));
    }
    for change in [(1, 1), (1, 3), (4, 1)] {
        assert_eq!(moved(&tumbling, &rows, change), windows, "{change:?}");
        assert_eq!(moved(&counted, &rows, change), eights, "{change:?}");
    }
}

/// Sessions whose rows are lists, so that lists merge.
#[test]
fn sessions_that_become_one_bring_their_rows() {
    let windows = SessionWindows { gap: 10, time: time_of as fn(Row<'_, Rows>) -> i64 };
    let listing = Listing { function: Numbers, evictor: NoEvictor };
    let head = head(listing, windows, EventTimeTrigger, 0);
    let mut bench = Bench::<Rows, Numbered>::open(&head, 0, 1, 64);
    bench.push(&[(1, 0, 10), (1, 20, 11), (2, 5, 12), (1, 22, 13), (1, 50, 14), (1, 11, 15)]);
    // Those of 0 and of 20 are one since 11 touches both... but only once 9 is there, too.
    bench.push(&[(1, 9, 16)]);
    bench.watermark(60);
    let mut found = bench.rows();
    found.sort();
    let expected =
        vec![(1, 0, 32, vec![10, 11, 13, 15, 16]), (1, 50, 60, vec![14]), (2, 5, 15, vec![12])];
    let numbers = |mut row: Numbered| {
        row.3.sort_unstable();
        row
    };
    assert_eq!(found.into_iter().map(numbers).collect::<Vec<_>>(), expected);
}

#[test]
fn being_held_back_loses_nothing() {
    let rows = disordered(5000);
    let listing = Listing { function: Numbers, evictor: NoEvictor };
    let head = head(listing, by_time(Tumbling::of(10).unwrap()), EventTimeTrigger, 0);
    let mut bench = Bench::<Rows, Numbered>::open(&head, 0, 1, 1000);
    bench.push(&rows);
    bench.watermark(5_000);
    let out = bench.take();
    assert!(bench.stops > 30, "it was held back {} times", bench.stops);
    assert_eq!(out.last(), Some(&Out::Watermark(5_000)), "the watermark comes last");
    let numbers = out.iter().filter_map(|out| match out {
        Out::Row(row) => Some(row.3.len()),
        _ => None,
    });
    assert_eq!(numbers.sum::<usize>(), rows.len());
}
