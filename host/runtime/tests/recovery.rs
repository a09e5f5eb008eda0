//! Windows with triggers and process functions of two inputs, through a failure: the job goes on
//! from a checkpoint as if nothing had happened.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use millstream::{
    CheckpointOptions, Runtime,
    dataflow::{
        Environment, TaskError,
        operator::{
            process::{
                BroadcastContext, BroadcastRegistry, BroadcastState, BroadcastStates,
                CoProcessContext, KeyedBroadcastContext, KeyedBroadcastProcessFunction,
                KeyedCoProcessFunction, ListState, StateRegistry, ValueState,
            },
            window::{ProcessWindowFunction, WindowContext, WindowRows},
        },
    },
    result::Csv,
    savepoint::Savepoint,
    state::{time::Bounded, window::Tumbling},
};

/// A key, a time and a number.
type Measured = (u64, i64, u64);
/// A key, the begin of a window, and a sum.
type Summed = (u64, i64, u64);

const ROWS: u64 = 8_000;
const KEYS: u64 = 40;
const SIZE: i64 = 500;

fn measured(number: u64) -> Measured {
    let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    ((mixed >> 20 & 0xFFFF) % KEYS, number as i64 - (mixed >> 40) as i64 % 50, number)
}

fn rows(subtask: u32, parallelism: u32) -> impl Iterator<Item = Measured> + Send {
    (0..ROWS).skip(subtask as usize).step_by(parallelism as usize).map(measured)
}

/// The sum of all rows of a window.
#[derive(Clone)]
struct SumOfAll;

impl ProcessWindowFunction for SumOfAll {
    type Key = u64;
    type In = Measured;
    type Out = Summed;

    fn process(
        &mut self,
        rows: &WindowRows<'_, Measured>,
        context: &mut WindowContext<'_, Self>,
    ) -> Result<(), TaskError> {
        let (key, start) = (context.key(), context.window().start);
        context.emit((key, start, rows.iter().map(|row| row.2).sum()));
        Ok(())
    }
}

/// Passes on the rows whose key is a rule. Rows that are before the last rule wait for the end.
#[derive(Clone)]
struct Ruled;

struct Rules {
    waiting: ListState<Summed>,
    rules: BroadcastState<u64, bool>,
}

const LAST_RULE: u64 = u64::MAX;

impl KeyedBroadcastProcessFunction for Ruled {
    type Key = u64;
    type In = Summed;
    type Broadcast = u64;
    type Out = Summed;
    type States = Rules;

    fn open(
        &mut self,
        states: &mut StateRegistry<'_>,
        broadcast: &mut BroadcastRegistry<'_>,
    ) -> Result<Rules, TaskError> {
        Ok(Rules { waiting: states.list("waiting")?, rules: broadcast.map("rules")? })
    }

    fn process(
        &mut self,
        states: &mut Rules,
        row: Summed,
        broadcast: &BroadcastStates,
        context: &mut KeyedBroadcastContext<'_, Self>,
    ) -> Result<(), TaskError> {
        if states.rules.get(broadcast, LAST_RULE)?.is_none() {
            context.register_timer(i64::MAX)?;
            return states.waiting.add(context, row);
        }
        if states.rules.get(broadcast, row.0)?.is_some() {
            context.emit(row);
        }
        Ok(())
    }

    fn process_broadcast(
        &mut self,
        states: &mut Rules,
        rule: u64,
        broadcast: &mut BroadcastStates,
        _: &mut BroadcastContext<'_, Summed>,
    ) -> Result<(), TaskError> {
        states.rules.put(broadcast, rule, true)
    }

    fn on_timer(
        &mut self,
        states: &mut Rules,
        _: i64,
        broadcast: &BroadcastStates,
        context: &mut KeyedBroadcastContext<'_, Self>,
    ) -> Result<(), TaskError> {
        let is_ruled = states.rules.get(broadcast, context.key())?.is_some();
        let waiting = states.waiting.get(context)?;
        waiting.into_iter().filter(|_| is_ruled).for_each(|row| context.emit(row));
        Ok(())
    }
}

/// Adds to each sum those of its key before it, and what the second stream says. Emits when all is
/// there; fails once, as soon as there is a checkpoint with all rules.
#[derive(Clone)]
struct Total {
    checkpoints: PathBuf,
    failed: Arc<AtomicBool>,
    restores: Arc<AtomicBool>,
}

impl Total {
    fn fail_once(&self, now: bool) -> Result<(), TaskError> {
        let is_there = complete(&self.checkpoints).any(|checkpoint| rules(&checkpoint) == RULES);
        if (now || is_there) && !self.failed.swap(true, Ordering::Relaxed) {
            self.restores.store(is_there, Ordering::Relaxed);
            return Err(TaskError::new("it was to fail"));
        }
        Ok(())
    }
}

/// All rules, each once, though there are two subtasks.
const RULES: u64 = KEYS.div_ceil(3) + 1;

/// How many rules a checkpoint has, as it is read without the program.
fn rules(checkpoint: &Path) -> u64 {
    let opened = Savepoint::open(checkpoint);
    let dumped = opened.and_then(|opened| opened.dump("ruled", "rules", &mut io::sink()));
    dumped.expect("the checkpoint can be read")
}

/// The checkpoints that are complete.
fn complete(directory: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten();
    let checkpoints = entries(directory).flat_map(move |job| entries(&job.path()));
    let paths = checkpoints.map(|checkpoint| checkpoint.path());
    paths.filter(|path| path.join("_metadata").exists())
}

impl KeyedCoProcessFunction for Total {
    type Key = u64;
    type First = Summed;
    type Second = (u64, u64);
    type Out = (u64, u64);
    type States = ValueState<u64>;

    fn open(&mut self, states: &mut StateRegistry<'_>) -> Result<ValueState<u64>, TaskError> {
        states.value("total")
    }

    fn first(
        &mut self,
        total: &mut ValueState<u64>,
        (_, _, sum): Summed,
        context: &mut CoProcessContext<'_, Self>,
    ) -> Result<(), TaskError> {
        self.fail_once(false)?;
        total.replace(context, |total| total.unwrap_or(0) + sum)?;
        context.register_timer(i64::MAX)
    }

    fn second(
        &mut self,
        total: &mut ValueState<u64>,
        (_, more): (u64, u64),
        context: &mut CoProcessContext<'_, Self>,
    ) -> Result<(), TaskError> {
        total.replace(context, |total| total.unwrap_or(0) + more)?;
        context.register_timer(i64::MAX)
    }

    fn on_timer(
        &mut self,
        total: &mut ValueState<u64>,
        _: i64,
        context: &mut CoProcessContext<'_, Self>,
    ) -> Result<(), TaskError> {
        self.fail_once(true)?;
        let (key, total) = (context.key(), total.get(context)?.unwrap_or(0));
        context.emit((key, total));
        Ok(())
    }
}

/// What the job prints.
#[derive(Clone, Default)]
struct Printed(Arc<Mutex<Vec<u8>>>);

impl Write for Printed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("nobody panicked").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_job_goes_on_from_its_checkpoint() {
    let directory =
        std::env::temp_dir().join(format!("millstream-recovery-{}", std::process::id()));
    let checkpoints = CheckpointOptions {
        interval: Duration::from_millis(20),
        // What is looked at stays where it is.
        retained: 1000,
        ..CheckpointOptions::new(&directory)
    };
    let (failed, restores) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let total = Total {
        checkpoints: directory.clone(),
        failed: Arc::clone(&failed),
        restores: Arc::clone(&restores),
    };
    let env = Environment::new("recovery");
    let rules = env.generate(|_, _| (0..KEYS).step_by(3).chain([LAST_RULE])).subtasks(1);
    let more = env.generate(|_, _| (0..KEYS).map(|key| (key, key * 1000))).subtasks(1);
    env.generate(rows)
        .per_second(16_000)
        .assign_watermarks(Bounded::new(60), |row| row.1)
        .key_by::<u64, _>(|row| row.0)
        .window(Tumbling::of(SIZE).expect("a size"), |row| row.1)
        .process(SumOfAll)
        .key_by::<u64, _>(|row| row.0)
        .connect_broadcast(rules)
        .process(Ruled)
        .uid("ruled")
        .key_by::<u64, _>(|row| row.0)
        .connect(more.key_by::<u64, _>(|row| row.0))
        .process_keyed(total)
        .result();
    let printed = Printed::default();
    let runtime = Runtime::builder().parallelism(2).workers(2).segment_size(4096);
    let runtime = runtime.checkpoints(checkpoints).build().expect("a runtime");
    let run = runtime.run(env.build(), Box::new(Csv::new(printed.clone())));
    let _ = fs::remove_dir_all(&directory);
    run.expect("the job goes on after it has failed");
    let mut totals: BTreeMap<u64, u64> = (0..KEYS).map(|key| (key, key * 1000)).collect();
    for (key, _, number) in (0..ROWS).map(measured).filter(|row| row.0 % 3 == 0) {
        *totals.entry(key).or_default() += number;
    }
    let mut expected: Vec<String> =
        totals.iter().map(|(key, total)| format!("{key},{total}")).collect();
    expected.sort();
    let printed = printed.0.lock().expect("the job is done").clone();
    let printed = String::from_utf8(printed).expect("text");
    let mut found: Vec<&str> = printed.lines().skip(1).collect();
    found.sort_unstable();
    assert_eq!(found, expected);
    assert!(failed.load(Ordering::Relaxed), "it has failed");
    // Half a second is enough for a first checkpoint in twenty milliseconds.
    assert!(restores.load(Ordering::Relaxed), "there was a checkpoint to go on from");
}
