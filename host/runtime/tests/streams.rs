//! Streams that meet, part, or are read twice, through the runtime.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use millstream::{
    ExchangeOptions, RunError, Runtime,
    dataflow::{
        Connector, Environment,
        operator::{CoFunction, Emit},
    },
    result::Collected,
};
use millstream_exchange::debloat::DebloatConfig;

const ROWS: u64 = 10_000;

fn numbers(subtask: u32, parallelism: u32) -> impl Iterator<Item = u64> + Send {
    (0..ROWS).skip(subtask as usize).step_by(parallelism as usize)
}

fn run(env: &Environment, rows: &Collected<u64>) -> Result<(), RunError> {
    let runtime = Runtime::builder().parallelism(3).workers(2).segment_size(4096).build()?;
    runtime.run(env.build(), rows.sink()).map(drop)
}

/// Runs a program whose result is numbers, and gives them sorted.
fn sorted(build: impl FnOnce(&Environment)) -> Vec<u64> {
    let env = Environment::new("streams");
    build(&env);
    let rows = Collected::new();
    run(&env, &rows).expect("the job runs");
    let mut rows = rows.take();
    rows.sort_unstable();
    rows
}

/// A sum that a job adds to.
fn sum() -> (Arc<AtomicU64>, impl FnMut(u64) + Clone + Send + Sync + 'static) {
    let sum = Arc::new(AtomicU64::new(0));
    let added = Arc::clone(&sum);
    (sum, move |n| {
        added.fetch_add(n, Ordering::Relaxed);
    })
}

#[test]
fn a_stream_is_read_as_often_as_it_is_forked() {
    let (total, add) = sum();
    let rows = sorted(|env| {
        let [first, second, third] = env.generate(numbers).map(|n| n * 2).fork();
        third.for_each(add);
        first.map(|n| n + 1).union(second.rebalance()).result();
    });
    let expected: Vec<u64> = (0..ROWS).flat_map(|n| [2 * n, 2 * n + 1]).collect();
    assert_eq!(rows, expected);
    assert_eq!(total.load(Ordering::Relaxed), ROWS * (ROWS - 1));
}

#[test]
fn split_parts_a_stream_in_two() {
    let (odd, add) = sum();
    let even = sorted(|env| {
        let (even, odd) = env.generate(numbers).split(|n| n % 2 == 0);
        odd.for_each(add);
        even.map(|n| n / 2).result();
    });
    assert_eq!(even, (0..ROWS / 2).collect::<Vec<_>>());
    assert_eq!(odd.load(Ordering::Relaxed), (ROWS / 2) * (ROWS / 2));
}

#[test]
fn side_outputs_have_rows_of_their_own_type() {
    let rows = sorted(|env| {
        let (halves, names) =
            env.generate(numbers).process_with_side::<u64, String, _>(|n, out| match n % 2 {
                0 => out.emit(n),
                _ => out.emit_side(&n.to_string()),
            });
        // A second side output of the same chain.
        let (halves, zeros) = halves.split(|n| n > 0);
        let named = names.map(|name| name.parse().expect("a number"));
        named.union(halves).union(zeros).result();
    });
    assert_eq!(rows, (0..ROWS).collect::<Vec<_>>());
}

/// Lets a number pass when a rule has named its remainder, and keeps those that came before.
#[derive(Clone, Default)]
struct Rules {
    named: [bool; 10],
    waiting: Vec<u64>,
}

impl CoFunction for Rules {
    type First = u64;
    type Second = String;
    type Out = u64;

    fn first(&mut self, row: u64, out: &mut dyn Emit<u64>) {
        match self.named[(row % 10) as usize] {
            true => out.emit(row),
            false => self.waiting.push(row),
        }
    }

    fn second(&mut self, row: &str, out: &mut dyn Emit<u64>) {
        let named: u64 = row.parse().expect("a digit");
        self.named[named as usize] = true;
        let (pass, wait) = self.waiting.drain(..).partition::<Vec<u64>, _>(|n| n % 10 == named);
        self.waiting = wait;
        pass.into_iter().for_each(|row| out.emit(row));
    }
}

#[test]
fn two_streams_of_different_types_meet_in_one_operator() {
    let rows = sorted(|env| {
        let rules = |subtask: u32, _| [3u64, 7].into_iter().skip(2 * subtask as usize);
        let rules = env.generate(rules).map(|digit| digit.to_string());
        env.generate(numbers).connect_broadcast(rules).process(Rules::default()).result();
    });
    let expected: Vec<u64> = (0..ROWS).filter(|n| [3, 7].contains(&(n % 10))).collect();
    assert_eq!(rows, expected);

    let rows = sorted(|env| {
        let (left, right) = (env.generate(numbers), env.generate(numbers));
        left.connect(right).flat_map(|n| [2 * n], |n| Some(2 * n + 1)).result();
    });
    assert_eq!(rows, (0..2 * ROWS).collect::<Vec<_>>());
}

/// The number of the second stream that belongs to each key, once both are there.
#[derive(Clone, Default)]
struct Meet(std::collections::HashMap<u64, u64>);

impl CoFunction for Meet {
    type First = u64;
    type Second = (u64, u64);
    type Out = u64;

    fn first(&mut self, row: u64, out: &mut dyn Emit<u64>) {
        match self.0.remove(&row) {
            Some(other) => out.emit(other),
            None => _ = self.0.insert(row, u64::MAX),
        }
    }

    fn second(&mut self, row: (u64, u64), out: &mut dyn Emit<u64>) {
        match self.0.remove(&row.0) {
            Some(_) => out.emit(row.1),
            None => _ = self.0.insert(row.0, row.1),
        }
    }
}

#[test]
fn rows_of_one_key_meet_in_one_subtask() {
    let rows = sorted(|env| {
        let left = env.generate(numbers).shuffle().key_by::<u64, _>(|n| *n);
        let right = env.generate(numbers).map(|n| (n, n * n)).key_by::<u64, _>(|pair| pair.0);
        left.connect(right).process(Meet::default()).result();
    });
    assert_eq!(rows, (0..ROWS).map(|n| n * n).collect::<Vec<_>>());
}

#[test]
fn a_stream_whose_main_output_is_dropped_is_refused() {
    let env = Environment::new("dropped");
    let (main, side) = env.generate(numbers).split(|n| n > 5);
    drop(main);
    side.result();
    let error = run(&env, &Collected::new()).expect_err("nothing makes the rows").to_string();
    assert!(
        error
            .contains("a stream that a side output was taken from has an output that nobody reads"),
        "{error}"
    );
}

#[test]
fn a_paced_source_makes_its_rows_when_they_are_due() {
    let begin = Instant::now();
    let rows = sorted(|env| {
        env.generate(|subtask, parallelism| numbers(subtask, parallelism).take(100))
            .per_second(2_000)
            .result();
    });
    assert_eq!(rows.len(), 300);
    // The last of 300 rows is due after 299 / 2000 seconds, give or take the subtasks' starts.
    assert!(begin.elapsed().as_millis() >= 140, "{:?}", begin.elapsed());
}

/// Pages that the source writes for a consumer that takes five microseconds for each row.
fn pages_for_a_slow_consumer(debloat: Option<DebloatConfig>) -> u64 {
    let env = Environment::new("slow");
    let slow = |_| {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_micros(5) {}
    };
    env.generate(|subtask, _| 0..if subtask == 0 { 40_000u64 } else { 0 }).global().for_each(slow);
    let exchange = ExchangeOptions { debloat, ..ExchangeOptions::default() };
    let runtime = Runtime::builder().parallelism(1).workers(2).exchange(exchange);
    // What is few pages depends on their size.
    let runtime = runtime.segment_size(32 << 10).build();
    let summary = runtime.expect("memory").run(env.build(), Collected::<u64>::new().sink());
    let subtasks = summary.expect("the job runs").progress.subtasks();
    subtasks.iter().map(|subtask| subtask.counts.pages_out).sum()
}

#[test]
fn pages_get_smaller_for_a_slow_consumer_if_that_is_wanted() {
    let debloat = DebloatConfig {
        target: Duration::from_millis(2),
        period: Duration::from_millis(5),
        samples: 1,
        ..DebloatConfig::default()
    };
    let full = pages_for_a_slow_consumer(None);
    let small = pages_for_a_slow_consumer(Some(debloat));
    assert!(full <= 15, "{full} pages");
    assert!(small >= 4 * full, "{small} pages instead of {full}");
}

#[test]
fn values_of_options_are_not_shown() {
    let connector = Connector::new("socket").option("token", "hunter2");
    assert_eq!(format!("{connector:?}"), r#"Connector socket {"token"}"#);
    let env = Environment::new("secret");
    env.source::<(String,)>("lines", connector).result();
    let shown = format!("{:?}", env.build().graph());
    assert!(shown.contains("token") && !shown.contains("hunter2"), "{shown}");
}
