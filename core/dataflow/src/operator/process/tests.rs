//! Process functions on a bench: timers, being held back, snapshots and restoring.

mod lists;
mod processing_time;
mod ttl;
mod two_inputs;

use alloc::{collections::BTreeMap, string::String, vec, vec::Vec};

use super::*;
use crate::{
    operator::{
        Row,
        bench::{Bench, Out, routed},
    },
    stream::ProcessPages,
};

type Rows = (u64, i64);

fn head<F, S>(function: F, key: S) -> ProcessPages<F, S>
where
    F: KeyedProcessFunction<In = Rows>,
    S: for<'a> Fn(Row<'a, Rows>) -> <F::Key as Value>::View<'a>,
{
    ProcessPages::new(function, key)
}

/// Registers a timer for the time of each row; one that is odd deletes the timer before it instead.
/// Emits each timer with the watermark, and from a timer of a multiple of ten registers one that is due
/// already.
#[derive(Clone)]
struct Alarms;

impl KeyedProcessFunction for Alarms {
    type Key = u64;
    type In = Rows;
    type Out = (u64, i64, i64);
    type States = ();

    fn open(&mut self, _: &mut StateRegistry<'_>) -> Result<(), TaskError> {
        Ok(())
    }

    fn process(
        &mut self,
        (): &mut (),
        (_, time): (u64, i64),
        context: &mut ProcessContext<'_, Self>,
    ) -> Result<(), TaskError> {
        match time % 2 == 0 {
            true => context.register_timer(time),
            false => context.delete_timer(time - 1),
        }
    }

    fn on_timer(
        &mut self,
        (): &mut (),
        time: i64,
        context: &mut ProcessContext<'_, Self>,
    ) -> Result<(), TaskError> {
        context.emit((context.key(), time, context.watermark()));
        match time % 10 == 0 {
            true => context.register_timer(time - 1),
            false => Ok(()),
        }
    }
}

fn alarms() -> Bench<Rows, (u64, i64, i64)> {
    Bench::open(&head(Alarms, |row| row.0), 0, 1, 256)
}

#[test]
fn timers_fire_once_in_the_order_of_time() {
    let mut bench = alarms();
    bench.push(&[(1, 8), (2, -4), (1, 8), (3, 6), (1, 12), (2, 4), (2, 5), (4, i64::MIN)]);
    bench.watermark(5);
    assert_eq!(bench.take(), [Out::Row((4, i64::MIN, 5)), Out::Row((2, -4, 5)), Out::Watermark(5)]);
    bench.watermark(8);
    assert_eq!(bench.rows(), [(3, 6, 8), (1, 8, 8)]);
    // What is due already fires with the next watermark.
    bench.push(&[(1, 2)]);
    assert_eq!(bench.rows(), []);
    bench.watermark(11);
    assert_eq!(bench.rows(), [(1, 2, 11)]);
    bench.push(&[(7, 20)]);
    bench.watermark(i64::MAX);
    let last = [(1, 12), (7, 20), (7, 19)].map(|(key, time)| (key, time, i64::MAX));
    assert_eq!(bench.rows(), last, "and what a timer registers fires with it");
    assert_eq!(bench.snapshot(|_| {}), [], "no timer is left");
}

#[test]
fn a_timer_that_was_deleted_lets_no_other_fire_early() {
    for keys in 1..40 {
        let mut bench = alarms();
        // The first timer of each key is deleted; those that are left are in the order of keys.
        let left = |key: u64| (key, 102 + 10 * key as i64);
        let rows = (0..keys).rev().flat_map(|key| [(key, 2), left(key), (key, 3)]);
        bench.push(&rows.collect::<Vec<_>>());
        bench.watermark(101);
        assert_eq!(bench.rows(), []);
        bench.watermark(600);
        let times = (0..keys).map(left).map(|(key, time)| (key, time, 600));
        assert_eq!(bench.rows(), times.collect::<Vec<_>>());
    }
}

#[test]
fn a_chain_that_is_held_back_goes_on_with_the_timers_that_are_left() {
    let mut bench = alarms();
    let mut rows: Vec<Rows> = (0..3000).map(|n| (n % 100, (n as i64 * 7919) % 3001 * 2)).collect();
    rows.push((5, i64::MAX - 1));
    bench.push(&rows);
    bench.watermark(6001);
    let found = bench.take();
    assert!(bench.stops > 3, "{} stops", bench.stops);
    assert_eq!(found.last(), Some(&Out::Watermark(6001)));
    let expected = (0..3000).map(|n| (n as i64 * 7919) % 3001 * 2);
    let mut expected: Vec<i64> = expected
        .flat_map(|time| [Some(time), (time % 10 == 0).then(|| time - 1)])
        .flatten()
        .collect();
    expected.sort_unstable();
    let row = |out: &Out<(u64, i64, i64)>| match out {
        Out::Row((_, time, 6001)) => Some(*time),
        _ => None,
    };
    let mut times: Vec<i64> = found.iter().filter_map(row).collect();
    let falls = times.windows(2).filter(|pair| pair[0] > pair[1]).collect::<Vec<_>>();
    assert!(falls.iter().all(|pair| pair[0] % 10 == 0 && pair[1] >= pair[0] - 1), "{falls:?}");
    times.sort_unstable();
    assert_eq!(times, expected);
}

/// The rows of each key by spans of [`SPAN`], with every kind of state: which span of the key it is, the
/// end, how many rows, their times.
#[derive(Clone)]
struct Spans;

const SPAN: i64 = 50;
/// No row is behind another by so much.
const DISORDER: i64 = 80;

type Span = (String, u64, i64, u64, Vec<i64>);

struct Kept {
    spans: ValueState<u64>,
    counts: MapState<i64, u64>,
    times: ListState<i64>,
}

fn end_of(time: i64) -> i64 {
    time.div_euclid(SPAN) * SPAN + SPAN - 1
}

impl KeyedProcessFunction for Spans {
    type Key = String;
    type In = Rows;
    type Out = Span;
    type States = Kept;

    fn open(&mut self, states: &mut StateRegistry<'_>) -> Result<Kept, TaskError> {
        let (spans, counts) = (states.value("spans")?, states.map("counts")?);
        Ok(Kept { spans, counts, times: states.list("times")? })
    }

    fn process(
        &mut self,
        kept: &mut Kept,
        (_, time): (u64, i64),
        context: &mut ProcessContext<'_, Self>,
    ) -> Result<(), TaskError> {
        let end = end_of(time);
        let count = kept.counts.get(context, end)?.unwrap_or(0);
        kept.counts.put(context, end, count + 1)?;
        kept.times.add(context, time)?;
        context.register_timer(end)
    }

    fn on_timer(
        &mut self,
        kept: &mut Kept,
        end: i64,
        context: &mut ProcessContext<'_, Self>,
    ) -> Result<(), TaskError> {
        kept.spans.replace(context, |spans| spans.unwrap_or(0) + 1)?;
        let spans = kept.spans.get(context)?.unwrap_or(0);
        let mut first = None;
        kept.counts.scan(context, None, |end, count| {
            first = Some((end, count));
            false
        })?;
        assert_eq!(first.map(|(end, _)| end), Some(end), "spans end in order");
        kept.counts.remove(context, end)?;
        let (mut times, rest): (Vec<i64>, Vec<i64>) =
            kept.times.get(context)?.into_iter().partition(|time| end_of(*time) == end);
        kept.times.set(context, &rest)?;
        times.sort_unstable();
        let count = first.map_or(0, |(_, count)| count);
        context.emit((context.key(), spans, end, count, times.view()));
        Ok(())
    }
}

fn name(number: u64) -> &'static str {
    ["", "a", "bb", "a key that is longer than the others", "e"][number as usize]
}

fn spans(subtask: u32, parallelism: u32, segments: usize) -> Bench<Rows, Span> {
    Bench::open(&head(Spans, |row| name(row.0)), subtask, parallelism, segments)
}

/// Gives rows and watermarks to a chain.
fn run(bench: &mut Bench<Rows, Span>, rows: &[Rows]) {
    for rows in rows.chunks(10) {
        bench.push(rows);
        let largest = rows.iter().map(|row| row.1).max();
        largest.into_iter().for_each(|largest| bench.watermark(largest - DISORDER));
    }
}

fn disordered(rows: u64) -> Vec<Rows> {
    let mixed = |number: u64| number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let time = |number: u64| number as i64 * 3 - (mixed(number) >> 40) as i64 % DISORDER;
    // Two keys are in the first half alone, and two in the second.
    let key = |number: u64| (mixed(number) >> 20) % 3 + number * 2 / rows * 2;
    (0..rows).map(|number| (key(number), time(number))).collect()
}

fn expected(rows: &[Rows]) -> Vec<Span> {
    let mut times: BTreeMap<(&str, i64), Vec<i64>> = BTreeMap::new();
    rows.iter().for_each(|row| times.entry((name(row.0), end_of(row.1))).or_default().push(row.1));
    let mut spans: BTreeMap<&str, u64> = BTreeMap::new();
    let each = |((key, end), mut times): ((_, _), Vec<i64>)| {
        let number = spans.entry(key).and_modify(|number| *number += 1).or_insert(1);
        times.sort_unstable();
        (String::from(key), *number, end, times.len() as u64, times)
    };
    times.into_iter().map(each).collect()
}

/// What comes of rows when the first half is processed by so many subtasks, and the second by others
/// that go on from a snapshot.
fn moved(rows: &[Rows], (before, after): (u32, u32), segments: usize) -> Vec<Span> {
    let key = |row: &Rows| String::from(name(row.0));
    let (first, second) = rows.split_at(rows.len() / 2);
    let (mut found, mut chunks) = (Vec::new(), Vec::new());
    for subtask in 0..before {
        let mut bench = spans(subtask, before, segments);
        run(&mut bench, &routed(first, subtask, before, key));
        found.extend(bench.rows());
        // It goes on while the snapshot is read, which must not show in it.
        let rest = routed(second, subtask, before, key);
        let mut rest = rest.chunks(40);
        let meanwhile = |bench: &mut _| rest.next().into_iter().for_each(|rows| run(bench, rows));
        chunks.push(bench.snapshot(meanwhile));
    }
    for subtask in 0..after {
        let mut bench = spans(subtask, after, segments);
        chunks.iter().for_each(|chunks| bench.restore(chunks));
        run(&mut bench, &routed(second, subtask, after, key));
        bench.watermark(i64::MAX);
        found.extend(bench.rows());
    }
    found.sort();
    found
}

#[test]
fn state_and_timers_move_to_other_subtasks() {
    let rows = disordered(2000);
    let expected = expected(&rows);
    for change in [(1, 1), (1, 4), (4, 1), (3, 2)] {
        assert_eq!(moved(&rows, change, 64), expected, "{change:?}");
    }
}

/// Counts the rows of each key, and puts off a timer that emits the count.
#[derive(Clone)]
struct Counts;

impl KeyedProcessFunction for Counts {
    type Key = u64;
    type In = Rows;
    type Out = (u64, i64, u64);
    type States = ValueState<u64>;

    fn open(&mut self, states: &mut StateRegistry<'_>) -> Result<ValueState<u64>, TaskError> {
        states.value("count")
    }

    fn process(
        &mut self,
        count: &mut ValueState<u64>,
        (_, time): Rows,
        context: &mut ProcessContext<'_, Self>,
    ) -> Result<(), TaskError> {
        count.replace(context, |count| count.unwrap_or(0) + 1)?;
        context.delete_timer(time - 1)?;
        context.register_timer(time)
    }

    fn on_timer(
        &mut self,
        count: &mut ValueState<u64>,
        time: i64,
        context: &mut ProcessContext<'_, Self>,
    ) -> Result<(), TaskError> {
        let found = count.get(context)?.unwrap_or(0);
        context.emit((context.key(), time, found));
        Ok(())
    }
}

/// There is hardly memory to copy pages that are part of an open snapshot, so that changes have to wait
/// for the next chunk.
#[test]
fn a_function_does_not_see_that_a_snapshot_is_open() {
    const KEYS: u64 = 400;
    let open = || Bench::open(&head(Counts, |row| row.0), 0, 1, SEGMENTS);
    let rows = |time| (0..KEYS).map(move |key| (key, time)).collect::<Vec<Rows>>();
    let mut bench = open();
    bench.push(&rows(1));
    bench.push(&rows(2));
    let mut time = 2;
    let snapshot = bench.snapshot(|bench| {
        time += 1;
        bench.push(&rows(time));
    });
    assert!(time > 4, "there is more than one chunk");
    let mut other = open();
    other.restore(&snapshot);
    for (mut bench, time) in [(bench, time), (other, 2)] {
        bench.watermark(i64::MAX);
        let mut found = bench.rows();
        found.sort_unstable();
        let expected = (0..KEYS).map(|key| (key, time, time as u64));
        assert_eq!(found, expected.collect::<Vec<_>>());
    }
}

/// Enough for the state of the test above, and for few copies.
const SEGMENTS: usize = 40;

#[test]
#[should_panic(expected = "the state `it` ")]
fn a_state_has_one_name() {
    #[derive(Clone)]
    struct Twice;

    impl KeyedProcessFunction for Twice {
        type Key = u64;
        type In = Rows;
        type Out = u64;
        type States = [ValueState<u64>; 2];

        fn open(&mut self, states: &mut StateRegistry<'_>) -> Result<Self::States, TaskError> {
            Ok([states.value("it")?, states.value("it")?])
        }

        fn process(
            &mut self,
            _: &mut Self::States,
            _: Rows,
            _: &mut ProcessContext<'_, Self>,
        ) -> Result<(), TaskError> {
            Ok(())
        }
    }

    Bench::<Rows, u64>::open(&head(Twice, |row| row.0), 0, 1, 8);
}
