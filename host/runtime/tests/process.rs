//! Keyed process functions, through the runtime.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

use millstream::{
    Record, Runtime,
    dataflow::{
        Environment, TaskError,
        operator::process::{
            KeyedProcessFunction, MapState, ProcessContext, StateRegistry, ValueState,
        },
    },
    result::Collected,
    state::{time::Bounded, ttl::Ttl},
};

/// A key, a time and a number.
type Measured = (String, i64, u64);

const ROWS: u64 = 20_000;
const KEYS: u64 = 100;
/// No row is behind another by more.
const DISORDER: i64 = 50;

fn measured(number: u64) -> Measured {
    let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let back = (mixed >> 40) as i64 % (DISORDER + 1);
    (format!("key {}", (mixed >> 20 & 0xFFFF) % KEYS), (number / 3) as i64 - back, number)
}

fn rows(subtask: u32, parallelism: u32) -> impl Iterator<Item = Measured> + Send {
    (0..ROWS).skip(subtask as usize).step_by(parallelism as usize).map(measured)
}

/// Runs a program with so many subtasks; its result is sorted.
fn run<T: Record + Ord>(
    parallelism: u32,
    build: impl FnOnce(&Environment),
) -> Result<Vec<T>, String> {
    let env = Environment::new("process");
    build(&env);
    let rows = Collected::new();
    let runtime = Runtime::builder().parallelism(parallelism).workers(2).segment_size(4096).build();
    let run = runtime.expect("a runtime").run(env.build(), rows.sink());
    run.map_err(|error| error.to_string())?;
    let mut rows = rows.take();
    rows.sort();
    Ok(rows)
}

/// Brings the rows of each key into the order of their times, and emits the sum of the numbers up to
/// each time.
#[derive(Clone)]
struct RunningSum;

struct Sums {
    waiting: MapState<i64, u64>,
    total: ValueState<u64>,
}

impl KeyedProcessFunction for RunningSum {
    type Key = String;
    type In = Measured;
    type Out = Measured;
    type States = Sums;

    fn open(&mut self, states: &mut StateRegistry<'_>) -> Result<Sums, TaskError> {
        Ok(Sums { waiting: states.map("waiting")?, total: states.value("total")? })
    }

    fn process(
        &mut self,
        sums: &mut Sums,
        (_, time, number): (&str, i64, u64),
        context: &mut ProcessContext<'_, Self>,
    ) -> Result<(), TaskError> {
        if time <= context.watermark() {
            return Err(TaskError::new("a row is late"));
        }
        let waiting = sums.waiting.get(context, time)?.unwrap_or(0);
        sums.waiting.put(context, time, waiting + number)?;
        context.register_timer(time)
    }

    fn on_timer(
        &mut self,
        sums: &mut Sums,
        time: i64,
        context: &mut ProcessContext<'_, Self>,
    ) -> Result<(), TaskError> {
        let waiting = sums.waiting.get(context, time)?.unwrap_or(0);
        sums.waiting.remove(context, time)?;
        sums.total.replace(context, |total| total.unwrap_or(0) + waiting)?;
        let total = sums.total.get(context)?.unwrap_or(0);
        context.emit((context.key(), time, total));
        Ok(())
    }
}

#[test]
fn rows_of_a_key_come_into_the_order_of_time() {
    let mut times: BTreeMap<(String, i64), u64> = BTreeMap::new();
    for (key, time, number) in (0..ROWS).map(measured) {
        *times.entry((key, time)).or_default() += number;
    }
    let mut totals: BTreeMap<String, u64> = BTreeMap::new();
    let each = |((key, time), sum): ((String, i64), u64)| {
        let total = totals.entry(key.clone()).or_default();
        *total += sum;
        (key, time, *total)
    };
    let expected: Vec<Measured> = times.into_iter().map(each).collect();
    for parallelism in [1, 2, 4] {
        let found: Vec<Measured> = run(parallelism, |env| {
            env.generate(rows)
                .assign_watermarks(Bounded::new(DISORDER), |row| row.1)
                .key_by::<String, _>(|row| row.0)
                .process(RunningSum)
                .result();
        })
        .expect("the job runs");
        assert_eq!(found, expected, "parallelism {parallelism}");
    }
}

/// What comes out of timers is in time for windows behind: the watermark waits for it.
#[test]
fn the_watermark_waits_for_timers() {
    let found: Vec<(String, i64, u64)> = run(2, |env| {
        env.generate(rows)
            .assign_watermarks(Bounded::new(DISORDER), |row| row.1)
            .key_by::<String, _>(|row| row.0)
            .process(RunningSum)
            .key_by::<String, _>(|row| row.0)
            // It fails where a row is late.
            .process(RunningSum)
            .result();
    })
    .expect("no row is late");
    let times: std::collections::BTreeSet<_> =
        (0..ROWS).map(measured).map(|(key, time, _)| (key, time)).collect();
    assert_eq!(found.len(), times.len());
}

#[test]
fn a_state_that_fails_fails_the_job() {
    let failed = run::<Measured>(2, |env| {
        env.generate(rows)
            .map(|(key, time, number)| (key.repeat(100), time, number))
            .key_by::<String, _>(|row| row.0)
            .process(RunningSum)
            .result();
    });
    let error = failed.expect_err("keys are too long");
    assert!(error.contains("`waiting` was given") && error.contains("at most 512"), "{error}");
}

/// Emits, 30 ms after each row, when a timer was to fire and when it did.
#[derive(Clone)]
struct Echo;

impl KeyedProcessFunction for Echo {
    type Key = u64;
    type In = u64;
    type Out = (u64, i64, i64);
    type States = ValueState<u64>;

    fn open(&mut self, states: &mut StateRegistry<'_>) -> Result<ValueState<u64>, TaskError> {
        states.value("row")
    }

    fn process(
        &mut self,
        kept: &mut ValueState<u64>,
        row: u64,
        context: &mut ProcessContext<'_, Self>,
    ) -> Result<(), TaskError> {
        kept.set(context, row)?;
        let now = context.processing_time();
        context.register_processing_timer(now + 30)
    }

    fn on_processing_timer(
        &mut self,
        kept: &mut ValueState<u64>,
        time: i64,
        context: &mut ProcessContext<'_, Self>,
    ) -> Result<(), TaskError> {
        let row = kept.get(context)?.unwrap_or(u64::MAX);
        let now = context.processing_time();
        context.emit((row, time, now));
        Ok(())
    }
}

/// The source ends when it hears of a timer. Until then nothing comes behind the first row: the
/// clock alone wakes the task.
#[test]
fn a_timer_of_processing_time_fires_while_no_row_comes() {
    const TICKS: u64 = 1000;
    let wall = || {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        since.as_millis() as i64
    };
    let (begin, heard) = (wall(), Arc::new(AtomicBool::new(false)));
    let (hears, ends) = (Arc::clone(&heard), Arc::clone(&heard));
    let last = Arc::new(AtomicBool::new(false));
    let saw_last = Arc::clone(&last);
    let fired: Vec<(u64, i64, i64)> = run(2, move |env| {
        env.generate(move |_, _| {
            let ends = Arc::clone(&ends);
            (0..TICKS).take_while(move |_| !ends.load(Ordering::Relaxed))
        })
        .subtasks(1)
        .per_second(200)
        .inspect(move |tick| {
            saw_last.fetch_or(tick == TICKS - 1, Ordering::Relaxed);
        })
        .filter(|tick| tick == 0)
        .key_by::<u64, _>(|_| 7)
        .process(Echo)
        .inspect(move |_| hears.store(true, Ordering::Relaxed))
        .result();
    })
    .expect("the job runs");
    assert!(!last.load(Ordering::Relaxed), "the timer fired when the source had ended");
    let [(row, time, now)] = fired[..] else { panic!("{fired:?}") };
    assert_eq!(row, 0);
    // The wall clock of the job is that of its begin, and goes on by itself.
    assert!(time <= now && begin + 30 <= time && now <= wall() + 1000, "{begin}: {time} {now}");
}

/// Counts rows that follow each other within 20 ms, and emits each count with the time.
#[derive(Clone)]
struct Burst;

const BURST: i64 = 20;

impl KeyedProcessFunction for Burst {
    type Key = u64;
    type In = u64;
    type Out = (u64, i64, u64);
    type States = ValueState<u64>;

    fn open(&mut self, states: &mut StateRegistry<'_>) -> Result<ValueState<u64>, TaskError> {
        states.living(Ttl::new(BURST)).value("rows")
    }

    fn process(
        &mut self,
        rows: &mut ValueState<u64>,
        row: u64,
        context: &mut ProcessContext<'_, Self>,
    ) -> Result<(), TaskError> {
        rows.replace(context, |rows| rows.unwrap_or(0) + 1)?;
        let (count, now) = (rows.get(context)?.unwrap_or(0), context.processing_time());
        context.emit((row, now, count));
        Ok(())
    }
}

#[test]
fn state_is_forgotten_after_its_time_to_live() {
    let found: Vec<(u64, i64, u64)> = run(2, |env| {
        env.generate(|_, _| 0..20u64)
            .subtasks(1)
            .per_second(40)
            .key_by::<u64, _>(|_| 7)
            .process(Burst)
            .result();
    })
    .expect("the job runs");
    // However far from each other they came.
    let mut last: Option<(i64, u64)> = None;
    for (row, now, count) in found {
        let before = last.filter(|(time, _)| time + BURST > now).map_or(0, |(_, count)| count);
        assert_eq!(count, before + 1, "row {row}");
        last = Some((now, count));
    }
}
