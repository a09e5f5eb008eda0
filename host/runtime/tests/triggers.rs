//! Windows with triggers, evictors and functions that see a whole window, through the runtime.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::SystemTime,
};

use millstream::{
    Record, Runtime,
    dataflow::{
        Environment, TaskError,
        operator::{
            Emit,
            window::{
                ContinuousEventTimeTrigger, CountTrigger, EventTimeTrigger, ProcessWindowFunction,
                PurgingTrigger, TimeEvictor, WindowAggregate, WindowContext, WindowRows,
            },
        },
    },
    result::Collected,
    state::{
        time::Bounded,
        window::{Tumbling, Window},
    },
};

/// A key, a time and a number.
type Measured = (String, i64, u64);

/// Key, begin of the window, rows and sum.
type Summed = (String, i64, u64, u64);

const ROWS: u64 = 20_000;
const KEYS: u64 = 50;
/// No row is behind another by more.
const DISORDER: i64 = 100;
const SIZE: i64 = 250;

fn measured(number: u64) -> Measured {
    let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let back = (mixed >> 40) as i64 % (DISORDER + 1);
    (format!("key {}", (mixed >> 20 & 0xFFFF) % KEYS), (number / 2) as i64 - back, number)
}

fn rows(subtask: u32, parallelism: u32) -> impl Iterator<Item = Measured> + Send {
    (0..ROWS).skip(subtask as usize).step_by(parallelism as usize).map(measured)
}

#[derive(Clone)]
struct Sum;

impl WindowAggregate for Sum {
    type In = Measured;
    type Key = String;
    type Accumulator = (u64, u64);
    type Out = Summed;

    fn create(&self) -> (u64, u64) {
        (0, 0)
    }

    fn add(&self, (rows, sum): &mut (u64, u64), (_, _, number): (&str, i64, u64)) {
        *rows += 1;
        *sum += number;
    }

    fn merge(&self, (rows, sum): &mut (u64, u64), other: (u64, u64)) {
        *rows += other.0;
        *sum += other.1;
    }

    fn finish(&self, key: &str, window: Window, one: (u64, u64), out: &mut dyn Emit<Summed>) {
        out.emit((key, window.start, one.0, one.1));
    }
}

/// The same of all rows at once.
#[derive(Clone)]
struct SumOfAll;

impl ProcessWindowFunction for SumOfAll {
    type Key = String;
    type In = Measured;
    type Out = Summed;

    fn process(
        &mut self,
        rows: &WindowRows<'_, Measured>,
        context: &mut WindowContext<'_, Self>,
    ) -> Result<(), TaskError> {
        let sum = rows.iter().map(|row| row.2).sum();
        let (key, start) = (context.key(), context.window().start);
        assert!(rows.iter().all(|row| row.0 == key), "rows of one key");
        context.emit((key, start, rows.len() as u64, sum));
        Ok(())
    }
}

/// Passes sums on, with an exclamation mark.
#[derive(Clone)]
struct Loud;

impl ProcessWindowFunction for Loud {
    type Key = String;
    type In = Summed;
    type Out = Summed;

    fn process(
        &mut self,
        rows: &WindowRows<'_, Summed>,
        context: &mut WindowContext<'_, Self>,
    ) -> Result<(), TaskError> {
        for (key, start, rows, sum) in rows.iter() {
            let loud = format!("{key}!");
            context.emit((&loud, start, rows, sum));
        }
        Ok(())
    }
}

/// Runs a program with so many subtasks; its result is sorted.
fn run<T: Record + Ord>(
    parallelism: u32,
    build: impl FnOnce(&Environment),
) -> Result<Vec<T>, String> {
    let env = Environment::new("triggers");
    build(&env);
    let rows = Collected::new();
    let runtime = Runtime::builder().parallelism(parallelism).workers(2).segment_size(4096).build();
    let run = runtime.expect("a runtime").run(env.build(), rows.sink());
    run.map_err(|error| error.to_string())?;
    let mut rows = rows.take();
    rows.sort();
    Ok(rows)
}

fn by_window() -> Vec<Summed> {
    let mut windows: BTreeMap<(String, i64), (u64, u64)> = BTreeMap::new();
    for (key, time, number) in (0..ROWS).map(measured) {
        let window = windows.entry((key, time.div_euclid(SIZE) * SIZE)).or_default();
        *window = (window.0 + 1, window.1 + number);
    }
    windows.into_iter().map(|((key, start), (rows, sum))| (key, start, rows, sum)).collect()
}

#[test]
fn a_function_sees_all_rows_of_a_window_or_what_they_were_folded_into() {
    let expected = by_window();
    let loud = |sum: &Summed| (format!("{}!", sum.0), sum.1, sum.2, sum.3);
    let mut expected_loud: Vec<Summed> = expected.iter().map(loud).collect();
    expected_loud.sort();
    for parallelism in [1, 4] {
        let found: Vec<Summed> = run(parallelism, |env| {
            env.generate(rows)
                .assign_watermarks(Bounded::new(DISORDER), |row| row.1)
                .key_by::<String, _>(|row| row.0)
                .window(Tumbling::of(SIZE).expect("a size"), |row| row.1)
                .process(SumOfAll)
                .result();
        })
        .expect("the job runs");
        assert_eq!(found, expected, "parallelism {parallelism}");
        let found: Vec<Summed> = run(parallelism, |env| {
            env.generate(rows)
                .assign_watermarks(Bounded::new(DISORDER), |row| row.1)
                .key_by::<String, _>(|row| row.0)
                .window(Tumbling::of(SIZE).expect("a size"), |row| row.1)
                .trigger(EventTimeTrigger)
                .aggregate_then(Sum, Loud)
                .result();
        })
        .expect("the job runs");
        assert_eq!(found, expected_loud, "parallelism {parallelism}");
    }
}

/// The bound does not hold, so that rows are late. In one subtask they come in one order.
#[test]
fn rows_that_are_late_are_those_that_are_late_where_windows_are_folded() {
    let with_late = |folded: bool| {
        let late_sum = Arc::new(AtomicU64::new(0));
        let added = Arc::clone(&late_sum);
        let found: Vec<Summed> = run(1, |env| {
            let windows = env
                .generate(rows)
                .assign_watermarks(Bounded::new(10), |row| row.1)
                .key_by::<String, _>(|row| row.0)
                .window(Tumbling::of(SIZE).expect("a size"), |row| row.1)
                .allowed_lateness(30);
            let add = move |row: (&str, i64, u64)| {
                added.fetch_add(row.2, Ordering::Relaxed);
            };
            if folded {
                let (sums, late) = windows.aggregate_with_late(Sum);
                late.for_each(add);
                sums.result();
            } else {
                let windows = windows.trigger(EventTimeTrigger);
                let (sums, late) = windows.process_with_late(SumOfAll);
                late.for_each(add);
                sums.result();
            }
        })
        .expect("the job runs");
        (found, late_sum.load(Ordering::Relaxed))
    };
    let folded = with_late(true);
    assert!(folded.1 > 0 && folded.0.len() > by_window().len());
    assert_eq!(with_late(false), folded);
}

#[test]
fn rows_are_taken_together_by_their_count() {
    let mut numbers: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    (0..ROWS)
        .map(measured)
        .for_each(|(key, _, number)| numbers.entry(key).or_default().push(number));
    for parallelism in [1, 2] {
        let found: Vec<Summed> = run(parallelism, |env| {
            env.generate(rows)
                .key_by::<String, _>(|row| row.0)
                .count_window(7)
                .aggregate(Sum)
                .result();
        })
        .expect("the job runs");
        let mut windows: BTreeMap<&str, usize> = BTreeMap::new();
        for (key, start, rows, _) in &found {
            assert_eq!((*start, *rows), (i64::MIN, 7));
            *windows.entry(key).or_default() += 1;
        }
        let expected = numbers.iter().map(|(key, numbers)| (key.as_str(), numbers.len() / 7));
        assert_eq!(windows, expected.collect(), "parallelism {parallelism}");
    }
    let found: Vec<Summed> = run(1, |env| {
        let keyed = env.generate(rows).key_by::<String, _>(|row| row.0);
        keyed.count_window_sliding(10, 4).aggregate(Sum).result();
    })
    .expect("the job runs");
    let mut expected = Vec::new();
    for (key, numbers) in numbers {
        for end in (4..=numbers.len()).step_by(4) {
            let last = &numbers[end.saturating_sub(10)..end];
            expected.push((key.clone(), i64::MIN, last.len() as u64, last.iter().sum()));
        }
    }
    expected.sort();
    assert_eq!(found, expected);
}

/// A window of all of time, with a trigger and an evictor of time.
#[test]
fn a_global_window_has_what_its_evictor_leaves() {
    let found: Vec<Summed> = run(1, |env| {
        env.generate(|_, _| (0..30u64).map(|number| ("a".to_owned(), number as i64 * 10, number)))
            .key_by::<String, _>(|row| row.0)
            .global_window(|row| row.1)
            .trigger(CountTrigger::of(10))
            .evictor(TimeEvictor::of(25))
            .process(SumOfAll)
            .result();
    })
    .expect("the job runs");
    let of = |last: u64| ("a".to_owned(), i64::MIN, 3, 3 * last - 3);
    assert_eq!(found, [of(9), of(19), of(29)]);
}

#[test]
fn what_is_purged_is_emitted_once() {
    let found: Vec<Summed> = run(2, |env| {
        env.generate(rows)
            .assign_watermarks(Bounded::new(DISORDER), |row| row.1)
            .key_by::<String, _>(|row| row.0)
            .window(Tumbling::of(SIZE).expect("a size"), |row| row.1)
            .trigger(PurgingTrigger::of(ContinuousEventTimeTrigger::of(60)))
            .aggregate(Sum)
            .result();
    })
    .expect("the job runs");
    assert!(found.len() > by_window().len());
    let mut windows: BTreeMap<(String, i64), (u64, u64)> = BTreeMap::new();
    for (key, start, rows, sum) in found {
        let window = windows.entry((key, start)).or_default();
        *window = (window.0 + rows, window.1 + sum);
    }
    let sums = windows.into_iter().map(|((key, start), (rows, sum))| (key, start, rows, sum));
    assert_eq!(sums.collect::<Vec<_>>(), by_window());
}

/// The source ends when it hears of a window that has ended.
#[test]
fn windows_of_processing_time_end_while_rows_come() {
    const MILLIS: i64 = 50;
    let wall = || {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        since.as_millis() as i64
    };
    let (begin, heard) = (wall(), Arc::new(AtomicBool::new(false)));
    let (hears, ends) = (Arc::clone(&heard), Arc::clone(&heard));
    let found: Vec<Summed> = run(1, move |env| {
        env.generate(move |_, _| {
            let ends = Arc::clone(&ends);
            (0..10_000).map(measured).take_while(move |_| !ends.load(Ordering::Relaxed))
        })
        .per_second(1000)
        .map(|(_, time, number)| ("all".to_owned(), time, number))
        .key_by::<String, _>(|row| row.0)
        .processing_time_window(Tumbling::of(MILLIS).expect("a size"))
        .process(SumOfAll)
        .inspect(move |_| hears.store(true, Ordering::Relaxed))
        .result();
    })
    .expect("the job runs");
    assert!(heard.load(Ordering::Relaxed) && !found.is_empty());
    for (_, start, rows, _) in found {
        assert!(
            start % MILLIS == 0 && start + MILLIS > begin && start <= wall(),
            "{begin} {start}"
        );
        assert!(rows > 0);
    }
}

#[test]
fn what_cannot_work_fails_the_job_when_it_starts() {
    let failed = run::<Summed>(1, |env| {
        env.generate(rows)
            .key_by::<String, _>(|row| row.0)
            .session_window(5, |row| row.1)
            .trigger(ContinuousEventTimeTrigger::of(0))
            .aggregate(Sum)
            .result();
    });
    let error = failed.expect_err("there is no interval of 0");
    assert!(error.contains("the interval of a continuous trigger is 0 ms"), "{error}");
    // A text has eight bytes more in a row.
    for (bytes, fits) in [(472, true), (473, false)] {
        let ran = run::<Summed>(1, move |env| {
            env.generate(rows)
                .map(move |(_, time, number)| ("k".repeat(bytes), time, number))
                .key_by::<String, _>(|row| row.0)
                .window(Tumbling::of(SIZE).expect("a size"), |row| row.1)
                .trigger(EventTimeTrigger)
                .aggregate(Sum)
                .result();
        });
        assert_eq!(ran.is_ok(), fits, "{bytes} bytes");
    }
}
