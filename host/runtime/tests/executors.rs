//! The same job on every executor.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use millstream::{
    Outcome, RunError, Runtime,
    dataflow::Environment,
    executor::{ExecutorBackend, Inline, ThreadPerCore},
    result::Collected,
};

const ROWS: u64 = 20_000;

fn runtime(executor: impl ExecutorBackend + 'static) -> Runtime {
    Runtime::builder().executor(executor).parallelism(3).build().expect("memory")
}

/// Counts and sums by key, through an exchange and back.
fn sums(executor: impl ExecutorBackend + 'static) -> Vec<(u64, u64)> {
    let env = Environment::new("sums");
    env.generate(|subtask, parallelism| {
        (0..ROWS).skip(subtask as usize).step_by(parallelism as usize)
    })
    .map(|number| (number % 97, number))
    .key_by::<u64, _>(|pair| pair.0)
    .reduce_at_end(|sum, pair| sum.1 += pair.1)
    .rebalance()
    .map(|pair| (pair.0, pair.1))
    .result();
    let rows = Collected::new();
    runtime(executor).run(env.build(), rows.sink()).expect("the job runs");
    let mut rows = rows.take();
    rows.sort_unstable();
    rows
}

#[test]
fn a_job_gives_the_same_on_every_executor() {
    let expected: Vec<(u64, u64)> =
        (0..97).map(|key| (key, (0..ROWS).filter(|n| n % 97 == key).sum())).collect();
    assert_eq!(sums(ThreadPerCore::new(1)), expected);
    assert_eq!(sums(ThreadPerCore::new(3)), expected);
    assert_eq!(sums(Inline::new()), expected);
    for seed in 0..20 {
        assert_eq!(sums(Inline::new().seed(seed)), expected, "seed {seed}");
    }
}

#[test]
fn tasks_run_on_the_thread_that_runs_the_job() {
    let here = thread::current().id();
    let elsewhere = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&elsewhere);
    let env = Environment::new("thread");
    env.generate(|subtask, _| (0..100u64).filter(move |_| subtask == 0))
        .map(move |number| {
            seen.fetch_or(thread::current().id() != here, Ordering::Relaxed);
            number
        })
        .result();
    let rows = Collected::<u64>::new();
    runtime(Inline::new()).run(env.build(), rows.sink()).expect("the job runs");
    assert_eq!(rows.take().len(), 100);
    assert!(!elsewhere.load(Ordering::Relaxed));
}

#[test]
fn a_job_without_an_end_is_cancelled_on_the_thread_that_runs_it() {
    let env = Environment::new("endless");
    env.generate(|_, _| 0u64..).filter(|_| false).result();
    let rows = Collected::<u64>::new();
    let program = env.build();
    let mut stop = |_: &_, outcome: &Arc<Outcome>| outcome.cancel();
    let ran = runtime(Inline::new()).run_with(&program, rows.sink(), &mut stop);
    assert!(matches!(ran, Err(RunError::Cancelled)), "{ran:?}");
}
