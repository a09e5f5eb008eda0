//! A job on the whole engine: coordinator, several processes, splits, a sink with two-phase commit,
//! in simulated time, over a simulated network and disk. [`run`] takes a program of the typed API,
//! [`simulate`] any [`Job`].
//!
//! What is real: the program and its chains, tasks and their channels, the keyed state in
//! both backends, barriers and data in flight, the coordinator, manifests, the storage's reference
//! implementation, the machine of two-phase commit. What stands in for the host, in miniature and
//! in its manner: the threads of sources and sinks, the keeper that writes state, the deployment,
//! the connections.
//!
//! # What breaks
//!
//! Processes, the coordinating one too, at any step, with a liking for steps that have to do with
//! checkpoints; connections; disks that are full, that fail, that tear a write in two; power.
//! Messages between coordinator and tasks are late, out of order, and come twice. After each
//! failure the job goes on from the latest checkpoint that is whole, with another parallelism,
//! other processes, another backend and other barriers. Some attempts are stopped with a savepoint,
//! which the next one goes on from; or they drain, and what was read so far is what counts.
//!
//! # What is checked
//!
//! What the sinks have shown in the end is right in the eyes of the [`Check`] of the job, each row
//! once: of the typed program what a loop over the input makes. Nothing
//! is committed that was not prepared, or aborted after it was committed, or written behind the
//! last checkpoint. No task fails while nothing broke. Whoever has nothing to do is not polled, so
//! a wake-up that is lost is a deadlock; and the run has an end.

mod actor;
mod attempt;
mod bug;
mod bytes;
mod coordinate;
mod cx;
mod deploy;
mod external;
mod job;
mod keeper;
mod link;
mod plan;
mod restore;
mod rows;
mod sink;
mod source;
mod typed;

use std::{collections::BTreeMap, fmt};

pub use bug::EngineBug;
pub use job::{Check, Job};
pub use rows::{Cell, Row, Rows, Table, shown};

use millstream_dataflow::TaskError;

use attempt::Ended;
use cx::Cx;
use plan::Plan;

use crate::Random;

/// What came of one seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineReport {
    /// The seed.
    pub seed: u64,
    /// The bug that was planted, if any.
    pub bug: Option<EngineBug>,
    /// How often somebody had a turn.
    pub steps: u64,
    /// How often the job was begun.
    pub attempts: u32,
    /// A hash over everything that happened.
    pub hash: u64,
    /// What went wrong, if anything.
    pub failure: Option<String>,
    /// How often each thing happened.
    pub counts: BTreeMap<&'static str, u64>,
}

impl fmt::Display for EngineReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, steps, attempts, hash, .. } = self;
        match &self.failure {
            None => write!(f, "seed {seed}: {steps} steps, {attempts} attempts, hash {hash:016x}"),
            Some(failure) => {
                writeln!(f, "seed {seed} failed in attempt {attempts}, step {steps}: {failure}")?;
                write!(f, "replay: cargo run -p millstream-simulation -- --engine --seed {seed}")?;
                self.bug.map_or(Ok(()), |bug| write!(f, " --bug {bug}"))
            }
        }
    }
}

/// Runs the program of the typed API with one seed. With `trace` what happens is printed.
pub fn run(seed: u64, bug: Option<EngineBug>, trace: bool) -> EngineReport {
    simulate(seed, bug, trace, |random| typed::job(random).map_err(|error| error.to_string()))
}

/// Runs the job that is made with one seed. With `trace` what happens is printed.
pub fn simulate(
    seed: u64,
    bug: Option<EngineBug>,
    trace: bool,
    make: impl FnOnce(&mut Random) -> Result<Job, String>,
) -> EngineReport {
    let mut cx = Cx::new(Random::new(seed), bug, trace);
    let (mut steps, mut attempts) = (0, 0);
    // A machine that finds itself in an impossible state panics: as good as any checker.
    let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let job = make(&mut cx.random)?;
        run_until_done(&job, &mut cx, &mut steps, &mut attempts)
    }));
    let failure = match ran {
        Ok(result) => result.err(),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Some(format!("panic: {}", text.unwrap_or("without a message")))
        }
    };
    let (hash, counts) = (cx.hash(), cx.counts().clone());
    EngineReport { seed, bug, steps, attempts, hash, failure, counts }
}

/// What a job shows if nothing breaks and each of its nodes has one subtask.
///
/// # Errors
/// If it fails all the same.
pub fn undisturbed(job: &Job) -> Result<Rows, String> {
    let mut cx = Cx::new(Random::new(0), None, false);
    match attempt::run(&Plan::undisturbed(), job, &mut 0, &mut cx)? {
        Ended::Done => Ok(cx.external.shown().clone()),
        Ended::Failed | Ended::Stopped { .. } => {
            Err("the job failed although nothing broke".into())
        }
    }
}

/// The rows that a job which stopped has not read: by source the splits, with the rows to go on with.
fn left(job: &Job, cx: &mut Cx) -> Result<BTreeMap<u32, BTreeMap<u64, u64>>, String> {
    let restore = attempt::open(cx)?.ok_or("the savepoint is not there")?;
    let wrong = |error: TaskError| error.to_string();
    let of = |node: u32| {
        let splits = restore.splits(&job.graph.operator_id(node), false)?;
        splits.iter().map(|split| source::split_of(split)).collect::<Result<_, _>>()
    };
    job.tables().map(|(node, _)| Ok((node, of(node).map_err(wrong)?))).collect()
}

/// Runs the job as often as it takes.
fn run_until_done(
    job: &Job,
    cx: &mut Cx,
    steps: &mut u64,
    attempts: &mut u32,
) -> Result<(), String> {
    let broken_max = cx.random.between(0, 5);
    loop {
        let plan = Plan::new(&mut cx.random, job, *attempts < broken_max);
        *attempts += 1;
        match attempt::run(&plan, job, steps, cx)? {
            Ended::Done => break,
            Ended::Failed => {}
            Ended::Stopped { drained: false } => cx.count("a job stops with a savepoint"),
            Ended::Stopped { drained: true } => {
                cx.count("a job is drained");
                let left = left(job, cx)?;
                let expected = undisturbed(&job.so_far(&left))?;
                let same = cx.external.shown().compare(&expected);
                return same.map_err(|what| format!("drained: {what}"));
            }
        }
    }
    (job.check)(cx.external.shown())
}
