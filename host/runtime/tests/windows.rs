//! Windows of event time, through the runtime.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use millstream::{
    Record, Runtime,
    dataflow::{
        Environment,
        operator::{
            Emit, WithIdleness,
            window::{CoGroupFunction, Group, WindowAggregate, WindowAssigner},
        },
    },
    result::Collected,
    state::{
        time::Bounded,
        window::{Cumulating, Sliding, Tumbling, Window},
    },
};

/// A key, a time and a number.
type Measured = (u64, i64, u64);

/// Key, begin and end of the window, rows and sum.
type Summed = (u64, i64, i64, u64, u64);

const ROWS: u64 = 20_000;
const KEYS: u64 = 100;
/// No row is behind another by more.
const DISORDER: i64 = 50;

/// Rows whose times go up by one every third row, each out of order by up to [`DISORDER`].
fn measured(number: u64) -> Measured {
    let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let back = (mixed >> 40) as i64 % (DISORDER + 1);
    ((mixed >> 20 & 0xFFFF) % KEYS, (number / 3) as i64 - back, number)
}

#[derive(Clone)]
struct Sum;

impl WindowAggregate for Sum {
    type In = Measured;
    type Key = u64;
    type Accumulator = (u64, u64);
    type Out = Summed;

    fn create(&self) -> (u64, u64) {
        (0, 0)
    }

    fn add(&self, (rows, sum): &mut (u64, u64), (_, _, number): Measured) {
        *rows += 1;
        *sum += number;
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

/// The same, kept in text, whose size changes.
#[derive(Clone)]
struct SumAsText;

impl WindowAggregate for SumAsText {
    type In = (String, i64, u64);
    type Key = String;
    type Accumulator = String;
    type Out = (String, i64, String);

    fn create(&self) -> String {
        String::new()
    }

    fn add(&self, text: &mut String, (_, _, number): (&str, i64, u64)) {
        text.push_str(&format!("{number} "));
    }

    fn merge(&self, text: &mut String, other: &str) {
        text.push_str(other);
    }

    fn finish(
        &self,
        key: &str,
        window: Window,
        text: &str,
        out: &mut dyn Emit<(String, i64, String)>,
    ) {
        out.emit((key, window.start, text));
    }
}

fn rows(subtask: u32, parallelism: u32) -> impl Iterator<Item = Measured> + Send {
    (0..ROWS).skip(subtask as usize).step_by(parallelism as usize).map(measured)
}

/// The result of a program that is run by so many subtasks, sorted.
fn sorted<T: Record + Ord>(parallelism: u32, build: impl FnOnce(&Environment)) -> Vec<T> {
    let env = Environment::new("windows");
    build(&env);
    let rows = Collected::new();
    let runtime = Runtime::builder().parallelism(parallelism).workers(2).segment_size(4096).build();
    runtime.expect("a runtime").run(env.build(), rows.sink()).expect("the job runs");
    let mut rows = rows.take();
    rows.sort();
    rows
}

/// What windows should come to: `windows` says which ones a time falls into.
fn expected(windows: impl Fn(i64) -> Vec<Window>) -> Vec<Summed> {
    let mut sums: BTreeMap<(u64, i64, i64), (u64, u64)> = BTreeMap::new();
    for (key, time, number) in (0..ROWS).map(measured) {
        for Window { start, end } in windows(time) {
            let (rows, sum) = sums.entry((key, start, end)).or_default();
            *rows += 1;
            *sum += number;
        }
    }
    sums.into_iter().map(|((key, start, end), (rows, sum))| (key, start, end, rows, sum)).collect()
}

fn summed(parallelism: u32, assigner: impl WindowAssigner) -> Vec<Summed> {
    sorted(parallelism, |env| {
        env.generate(rows)
            .assign_watermarks(Bounded::new(DISORDER), |row| row.1)
            .key_by::<u64, _>(|row| row.0)
            .window(assigner, |row| row.1)
            .aggregate(Sum)
            .result();
    })
}

#[test]
fn tumbling_windows_sum_what_is_in_them() {
    let windows = Tumbling::of(100).unwrap().offset(7);
    for parallelism in [1, 2, 4] {
        assert_eq!(summed(parallelism, windows), expected(|time| vec![windows.assign(time)]));
    }
}

#[test]
fn sliding_windows_share_slices() {
    for (size, slide) in [(100, 20), (90, 60), (30, 100)] {
        let windows = Sliding::of(size, slide).unwrap();
        let expected = expected(|time| windows.assign(time).collect());
        for parallelism in [1, 3] {
            assert_eq!(summed(parallelism, windows), expected, "{size} {slide}");
        }
    }
}

#[test]
fn cumulating_windows_grow_by_slices() {
    let windows = Cumulating::of(500, 100).unwrap();
    assert_eq!(summed(2, windows), expected(|time| windows.assign(time).collect()));
}

#[test]
fn accumulators_may_grow() {
    let windows = Tumbling::of(1000).unwrap();
    let found: Vec<(String, i64, String)> = sorted(2, |env| {
        env.generate(rows)
            .assign_watermarks(Bounded::new(DISORDER), |row| row.1)
            .map(|(key, time, number)| (format!("key {key}"), time, number))
            .key_by::<String, _>(|row| row.0)
            .window(windows, |row| row.1)
            .aggregate(SumAsText)
            .result();
    });
    let mut texts: BTreeMap<(String, i64), Vec<u64>> = BTreeMap::new();
    for (key, time, number) in (0..ROWS).map(measured) {
        let at = (format!("key {key}"), windows.assign(time).start);
        texts.entry(at).or_default().push(number);
    }
    assert_eq!(found.len(), texts.len());
    for (key, start, text) in found {
        let numbers = text.split_whitespace().map(|number| number.parse().expect("a number"));
        let mut numbers: Vec<u64> = numbers.collect();
        // Those of one subtask are in order, those of two are not.
        numbers.sort_unstable();
        assert_eq!(texts.remove(&(key, start)), Some(numbers));
    }
}

/// Rows behind the watermark go to the side output, each exactly by the rows before it, whatever the
/// pages.
#[test]
fn late_rows_are_late_by_the_row() {
    const BOUND: i64 = 10;
    let windows = Tumbling::of(5).unwrap();
    let (late_seen, add) = counted();
    let on_time: Vec<Summed> = sorted(1, |env| {
        let (sums, late) = env
            .generate(rows)
            .assign_watermarks(Bounded::new(BOUND), |row| row.1)
            .key_by::<u64, _>(|row| row.0)
            .window(windows, |row| row.1)
            .aggregate_with_late(Sum);
        late.for_each(add);
        sums.result();
    });
    let (mut watermark, mut late, mut in_time) = (Bounded::new(BOUND), 0, 0);
    for (_, time, number) in (0..ROWS).map(measured) {
        match windows.assign(time).max_time() <= watermark.watermark() {
            true => late += number,
            false => in_time += number,
        }
        watermark.observe(time);
    }
    assert!(late > 0);
    assert_eq!(late_seen.load(Ordering::Relaxed), late);
    assert_eq!(on_time.iter().map(|row| row.4).sum::<u64>(), in_time);
}

#[test]
fn with_allowed_lateness_a_window_is_emitted_anew() {
    const BOUND: i64 = 10;
    let windows = Tumbling::of(5).unwrap();
    let found: Vec<Summed> = sorted(1, |env| {
        env.generate(rows)
            .assign_watermarks(Bounded::new(BOUND), |row| row.1)
            .key_by::<u64, _>(|row| row.0)
            .window(windows, |row| row.1)
            .allowed_lateness(DISORDER)
            .aggregate(Sum)
            .result();
    });
    let expected = expected(|time| vec![windows.assign(time)]);
    assert!(found.len() > expected.len(), "some windows come more than once");
    let mut last = BTreeMap::new();
    for (key, start, end, rows, sum) in found {
        // Sorted: the largest comes last.
        last.insert((key, start, end), (rows, sum));
    }
    let last: Vec<Summed> = last
        .into_iter()
        .map(|((key, start, end), (rows, sum))| (key, start, end, rows, sum))
        .collect();
    assert_eq!(last, expected);
}

/// Another source has one row, and the next a second later: its windows do not wait for that.
#[test]
fn windows_do_not_wait_for_a_source_that_is_idle() {
    let (emitted, add) = counted();
    let before_the_second = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&before_the_second);
    let idle = WithIdleness::new(Bounded::new(0), 50);
    let found: Vec<Summed> = sorted(1, |env| {
        let slow = move |_, _| {
            let (emitted, seen) = (Arc::clone(&emitted), Arc::clone(&seen));
            (0..2u64).map(move |number| {
                seen.store(emitted.load(Ordering::Relaxed), Ordering::Relaxed);
                (0, number as i64 * 1000, 0)
            })
        };
        let slow = env.generate(slow).per_second(1).assign_watermarks(idle, |row| row.1);
        let fast = (0..1000u64).map(|number| (1, number as i64, number));
        let fast = env.generate(move |_, _| fast.clone()).assign_watermarks(idle, |row| row.1);
        slow.union(fast)
            .key_by::<u64, _>(|row| row.0)
            .window(Tumbling::of(100).unwrap(), |row| row.1)
            .aggregate(Sum)
            .inspect(move |row| add.clone()((row.0, row.1, row.3)))
            .result();
    });
    assert_eq!(found.iter().map(|row| row.3).sum::<u64>(), 1002, "no row was late");
    assert!(before_the_second.load(Ordering::Relaxed) > 900, "most windows came before");
}

#[derive(Clone)]
struct Pairs;

impl CoGroupFunction for Pairs {
    type First = Measured;
    type Second = Measured;
    type Key = u64;
    type Out = Summed;

    fn call(
        &mut self,
        key: u64,
        window: Window,
        first: &Group<'_, Measured>,
        second: &Group<'_, Measured>,
        out: &mut dyn Emit<Summed>,
    ) {
        let sum = |group: &Group<'_, Measured>| group.iter().map(|row| row.2).sum::<u64>();
        let rows = (first.iter().count() * 1000 + second.iter().count()) as u64;
        out.emit((key, window.start, window.end, rows, sum(first) + sum(second)));
    }
}

#[test]
fn rows_of_two_streams_meet_in_their_window() {
    let windows = Tumbling::of(100).unwrap();
    let found: Vec<Summed> = sorted(2, |env| {
        let stream = |env: &Environment| {
            env.generate(rows).assign_watermarks(Bounded::new(DISORDER), |row| row.1)
        };
        let even = stream(env).filter(|row| row.0 % 2 == 0).key_by::<u64, _>(|row| row.0);
        let all = stream(env).key_by::<u64, _>(|row| row.0);
        even.window(windows, |row| row.1)
            .co_group(all.window(windows, |row| row.1), Pairs)
            .result();
    });
    let expected: Vec<Summed> = expected(|time| vec![windows.assign(time)])
        .into_iter()
        .map(|(key, start, end, rows, sum)| match key % 2 {
            0 => (key, start, end, rows * 1001, sum * 2),
            _ => (key, start, end, rows, sum),
        })
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn rows_of_two_streams_are_joined_in_their_window() {
    // Few rows, and every seventh of them: in some windows one stream is alone.
    const PART: u64 = 3000;
    fn few(subtask: u32, parallelism: u32) -> impl Iterator<Item = Measured> + Send {
        rows(subtask, parallelism).filter(|row| row.2 < PART)
    }
    let windows = Tumbling::of(100).unwrap();
    let found: Vec<(u64, u64, u64)> = sorted(2, |env| {
        let stream = |divisor: u64| {
            env.generate(few)
                .assign_watermarks(Bounded::new(DISORDER), |row| row.1)
                .filter(move |row| row.2.is_multiple_of(divisor))
                .key_by::<u64, _>(|row| row.0)
                .window(windows, |row| row.1)
        };
        stream(1).join(stream(7), |one, other| (one.0, one.2, other.2)).result();
    });
    let rows: Vec<Measured> = few(0, 1).collect();
    let mut expected = Vec::new();
    for one in &rows {
        let is_near = |other: &&Measured| {
            other.0 == one.0 && windows.assign(other.1) == windows.assign(one.1)
        };
        let others = rows.iter().filter(|other| other.2.is_multiple_of(7)).filter(is_near);
        expected.extend(others.map(|other| (one.0, one.2, other.2)));
    }
    expected.sort_unstable();
    assert!(expected.len() > 300, "{} pairs", expected.len());
    assert_eq!(found, expected);
}

/// A sum that a job adds the numbers of rows to.
fn counted() -> (Arc<AtomicU64>, impl FnMut(Measured) + Clone + Send + Sync + 'static) {
    let sum = Arc::new(AtomicU64::new(0));
    let added = Arc::clone(&sum);
    (sum, move |row: Measured| {
        added.fetch_add(row.2, Ordering::Relaxed);
    })
}
