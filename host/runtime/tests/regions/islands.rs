//! Jobs of which one region fails.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use millstream::{
    Barriers, RunError, StateBackend,
    dataflow::{
        Connector, Environment, TaskError,
        operator::process::{
            BroadcastContext, KeyedProcessFunction, ListSplit, OperatorList, OperatorRegistry,
            OperatorStates, ProcessContext, ProcessFunction, StateRegistry, ValueState,
        },
    },
    executor::{ExecutorBackend, Inline, ThreadPerCore},
};

use super::{Failing, Scratch, Setting, kept, newest, paced, restarts};

/// Numbers the rows of its subtask, from 1.
#[derive(Clone)]
struct Numbered(Failing);

impl ProcessFunction for Numbered {
    type In = u64;
    type Out = (u64, u64);
    type States = OperatorList<u64>;

    fn open(&mut self, states: &mut OperatorRegistry<'_>) -> Result<Self::States, TaskError> {
        states.list("seen", ListSplit::Divided)
    }

    fn process(
        &mut self,
        seen: &mut Self::States,
        row: u64,
        states: &mut OperatorStates,
        context: &mut BroadcastContext<'_, (u64, u64)>,
    ) -> Result<(), TaskError> {
        self.0.row()?;
        let number = seen.iter(states).next().transpose()?.unwrap_or(0) + 1;
        seen.clear(states);
        seen.add(states, number)?;
        context.emit((row, number));
        Ok(())
    }
}

/// Numbers the rows of each key, from 1.
#[derive(Clone)]
struct Counted(Failing);

impl KeyedProcessFunction for Counted {
    type Key = u64;
    type In = u64;
    type Out = (u64, u64);
    type States = ValueState<u64>;

    fn open(&mut self, states: &mut StateRegistry<'_>) -> Result<ValueState<u64>, TaskError> {
        states.value("count")
    }

    fn process(
        &mut self,
        count: &mut ValueState<u64>,
        row: u64,
        context: &mut ProcessContext<'_, Self>,
    ) -> Result<(), TaskError> {
        self.0.row()?;
        count.replace(context, |count| count.unwrap_or(0) + 1)?;
        let number = count.get(context)?.unwrap_or(0);
        context.emit((row, number));
        Ok(())
    }
}

fn paced(name: &str, rows: u64, split: u64) -> Connector {
    let connector = Connector::new("paced").option("name", name);
    connector.option("rows", rows.to_string()).option("split", split.to_string())
}

/// Checks that there are all numbers, each once.
fn check_numbers(lines: &[Vec<u64>], rows: u64) {
    let numbers: Vec<u64> = lines.iter().map(|line| line[0]).collect();
    assert_eq!(numbers, (0..rows).collect::<Vec<_>>());
}

/// Two islands, a subtask each, of which the first fails twice.
fn two_islands(name: &str, executor: impl ExecutorBackend + 'static) {
    let scratch = Scratch::new(name);
    let failing = Failing::new(&scratch, 2);
    let (one, other) = (format!("{name} one"), format!("{name} other"));
    let (rows, others) = (6_000, 20_000);
    let env = Environment::new(name);
    env.source::<u64>("one", paced(&one, rows, 1_000))
        .process_stateful(Numbered(failing.clone()))
        .sink("to one", scratch.sink("one"));
    env.source::<u64>("other", paced(&other, others, others))
        .process_stateful(Numbered(Failing::new(&scratch, 0)))
        .sink("to other", scratch.sink("other"));
    let setting = Setting { parallelism: 1, ..Setting::new(&scratch) };
    let summary = setting.run_on(&env, executor).expect("the job goes on");
    assert!(failing.has_failed());
    assert_eq!(restarts(&summary, 2), [(0, 2)].into());
    assert_eq!((paced::opened(&one), paced::opened(&other)), (3, 1));
    for (name, rows) in [("one", rows), ("other", others)] {
        let lines = scratch.lines(name);
        check_numbers(&lines, rows);
        // State and input have gone back together.
        assert!(lines.iter().all(|line| line[1] == line[0] + 1), "in {name}");
    }
}

#[test]
fn one_island_fails_twice_and_the_other_never_stops() {
    two_islands("islands", ThreadPerCore::new(2));
}

#[test]
fn so_it_is_on_the_thread_that_runs_the_job() {
    two_islands("islands-inline", Inline::new().seed(7));
}

/// Rows of four pipelines side by side, of which those fail that come to it first.
fn pipelines(name: &str, state: StateBackend, barriers: Barriers) {
    let scratch = Scratch::new(name);
    let failing = Failing::new(&scratch, 2);
    let rows = 40_000;
    let env = Environment::new(name);
    env.source::<u64>("numbers", paced(name, rows, 100))
        .process_stateful(Numbered(failing.clone()))
        .sink("files", scratch.sink("out"));
    let setting = Setting { state, barriers, ..Setting::new(&scratch) };
    let summary = setting.run(&env).expect("the job goes on");
    assert!(failing.has_failed());
    assert_eq!(restarts(&summary, 4).values().sum::<u32>(), 2);
    // Once for all, and once for each that began anew.
    assert_eq!(paced::opened(name), 3);
    let lines = scratch.lines("out");
    check_numbers(&lines, rows);
    // Each pipeline has numbered its own rows without a gap.
    let mut counts = vec![0; rows as usize + 2];
    lines.iter().for_each(|line| counts[line[1] as usize] += 1);
    assert_eq!(counts[1], 4);
    assert!(counts[1..].is_sorted_by(|a, b| a >= b));
}

#[test]
fn pipelines_side_by_side_begin_anew_one_by_one() {
    pipelines("pipelines", StateBackend::Memory, Barriers::Aligned);
}

#[test]
fn so_it_is_with_state_in_files() {
    pipelines("pipelines-filed", StateBackend::Lsm, Barriers::Aligned);
}

#[test]
fn so_it_is_with_barriers_that_overtake() {
    let barriers = Barriers::Unaligned { after: Duration::ZERO };
    pipelines("pipelines-unaligned", StateBackend::Memory, barriers);
}

#[test]
fn what_meets_by_key_begins_anew_as_one_region() {
    let scratch = Scratch::new("keyed");
    let failing = Failing::new(&scratch, 1);
    let (rows, keys) = (20_000, 50);
    let readers = Arc::new(AtomicU32::new(0));
    let env = Environment::new("keyed");
    let begun = Arc::clone(&readers);
    env.generate(move |subtask, parallelism| {
        begun.fetch_add(1, Ordering::SeqCst);
        (0..rows).skip(subtask as usize).step_by(parallelism as usize)
    })
    .per_second(10_000)
    .subtasks(2)
    .key_by::<u64, _>(move |row| *row % keys)
    .process(Counted(failing.clone()))
    .sink("to keyed", scratch.sink("keyed"));
    env.source::<u64>("other", paced("beside keyed", rows, rows).subtasks(1))
        .sink("to other", scratch.sink("other").subtasks(1));
    let summary = Setting::new(&scratch).run(&env).expect("the job goes on");
    assert!(failing.has_failed());
    assert_eq!(restarts(&summary, 2), [(0, 1)].into());
    assert_eq!(readers.load(Ordering::SeqCst), 4, "both that write to the one that failed");
    assert_eq!(paced::opened("beside keyed"), 1);
    check_numbers(&scratch.lines("other"), rows);
    let lines = scratch.lines("keyed");
    check_numbers(&lines, rows);
    let mut counts = vec![vec![]; keys as usize];
    lines.iter().for_each(|line| counts[(line[0] % keys) as usize].push(line[1]));
    for mut counts in counts {
        counts.sort_unstable();
        assert_eq!(counts, (1..=rows / keys).collect::<Vec<_>>());
    }
}

#[test]
fn a_region_that_fails_too_often_fails_the_job() {
    let scratch = Scratch::new("too-often");
    let failing = Failing::new(&scratch, u32::MAX);
    let env = Environment::new("too-often");
    env.source::<u64>("one", paced("too often", 1_000_000, 1_000_000))
        .process_stateful(Numbered(failing))
        .sink("to one", scratch.sink("one"));
    env.source::<u64>("other", paced("beside it", 1_000_000, 1_000_000))
        .sink("to other", scratch.sink("other"));
    let setting = Setting { restarts: 1, parallelism: 1, ..Setting::new(&scratch) };
    match setting.run(&env) {
        Err(RunError::Task(error)) => {
            let error = error.to_string();
            assert!(error.contains("it was to fail"), "{error}");
        }
        other => panic!("the job has failed: {other:?}"),
    }
    assert_eq!((paced::opened("too often"), paced::opened("beside it")), (2, 1));
    assert!(newest(&scratch.checkpoints()) > 0, "whoever mends it goes on from there");
}

/// One island with a source and a sink of these options, and another; gives what began anew from which
/// checkpoint.
fn ends_fail(name: &str, source: (&str, &str), sink: &str, interval: Duration) -> Option<u64> {
    let scratch = Scratch::new(name);
    let (rows, beside) = (5_000, format!("beside {name}"));
    let kept = |name: &str, fails: &str| {
        Connector::new("kept").option("name", name).option("fails-in", fails)
    };
    let env = Environment::new(name);
    let one = paced(name, rows, 500).option(source.0, source.1);
    env.source::<u64>("one", one).sink("to one", kept(name, sink));
    env.source::<u64>("other", paced(&beside, rows, rows)).sink("to other", kept(&beside, "none"));
    let setting = Setting { parallelism: 1, interval, ..Setting::new(&scratch) };
    let summary = setting.run(&env).expect("the job goes on");
    let [restart] = &summary.progress.region_restarts()[..] else { panic!("it was to fail once") };
    assert!(restart.region == 0 && restart.cause.contains("it was to fail"), "{restart:?}");
    assert_eq!((paced::opened(name), paced::opened(&beside)), (2, 1));
    for name in [name, &beside] {
        assert_eq!(kept::shown(name), (0..rows).collect::<Vec<_>>(), "{name}");
    }
    restart.checkpoint
}

const SOON: Duration = Duration::from_millis(20);

#[test]
fn a_source_that_fails_reads_again_from_its_checkpoint() {
    assert!(ends_fail("source-fails", ("fails-at", "2750"), "none", SOON).is_some());
}

#[test]
fn a_source_that_fails_before_there_is_a_checkpoint_reads_all_again() {
    let never = Duration::from_secs(1000);
    assert_eq!(ends_fail("source-fails-early", ("fails-at", "2750"), "none", never), None);
}

#[test]
fn a_sink_that_fails_writes_again_from_its_checkpoint() {
    ends_fail("sink-fails", ("fails-at", "-1"), "write", SOON);
}

#[test]
fn a_sink_that_cannot_show_a_checkpoint_begins_anew_from_there_and_shows_it() {
    let from = ends_fail("show-fails", ("fails-at", "-1"), "show", SOON);
    assert!(from.is_some(), "it was complete");
}
