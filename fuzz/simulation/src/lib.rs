//! Deterministic simulation of Millstream's exchange.
//!
//! A seed makes a world: two or three workers, a few tasks on each, pools down to their minimum,
//! segments of 32 to 128 bytes, connections that deliver any number of bytes at any time and now
//! and then break. All of it runs on one thread, through the same machines that production uses
//! ([`millstream_exchange`]), and every choice (who is next, how much arrives, what fails) comes
//! from one stream of random numbers. So a seed that fails does so again, step by step.
//!
//! # What is simulated
//!
//! - Transports: byte queues, partial reads, bounded buffers, sends that complete later, loss of a
//!   connection with any part of what was under way, a worker that gives up.
//! - Producers: rows, pages, flush timers, watermarks, jumbo rows, barriers of all kinds, timeouts
//!   that let barriers overtake, failures, partitions that appear late or never.
//! - Consumers: pages held for a while, barrier alignment, resumption, announcements, page sizes,
//!   task events, cancellation.
//! - Pools: exclusive and floating segments, quotas with minimum and maximum, listeners, a shared
//!   jumbo budget.
//!
//! # What is checked
//!
//! After every step: credit is conserved on every channel; segments in use are those that the pools
//! gave out, no more than the budget. For every element: it is the next one of its channel, byte
//! for byte, and no element overtakes an event with priority. At the end: every task has finished
//! or was told why not, every channel of a lost connection was told, no segment is missing. A world
//! in which nothing can happen before that is a deadlock, and one that takes too many steps is a
//! livelock.
//!
//! # Bugs on purpose
//!
//! [`Bug`] lists mistakes that the harness can make in place of the machines. Tests keep that each
//! is found, and within how many seeds.

#![forbid(unsafe_code)]

mod bug;
mod build;
mod check;
mod consumer;
pub mod engine;
pub mod fuzz;
mod ledger;
mod log;
mod memory;
mod plan;
mod producer;
mod random;
mod transport;
mod worker;
mod world;

use std::collections::BTreeMap;
use std::fmt;

pub use bug::Bug;
pub use random::Random;

use bug::Saboteur;
use log::Log;
use plan::Plan;
use world::World;

/// What came of one seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// The bug that was planted, if any.
    pub bug: Option<Bug>,
    /// Steps of the scheduler.
    pub steps: u64,
    /// A hash over everything that happened.
    pub hash: u64,
    /// What went wrong, if anything.
    pub failure: Option<String>,
    /// How the tasks ended.
    pub outcome: Outcome,
    /// How often each thing happened, by the text of the trace.
    pub counts: BTreeMap<&'static str, u64>,
}

/// How the tasks of a run ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Tasks that processed everything.
    pub finished: u32,
    /// Tasks that failed or were cancelled, as they had to.
    pub stopped: u32,
    /// Connection ends that broke.
    pub losses: u32,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, steps, hash, outcome, .. } = self;
        let Outcome { finished, stopped, losses } = outcome;
        match &self.failure {
            None => write!(
                f,
                "seed {seed}: {steps} steps, {finished} tasks finished, {stopped} stopped, \
                 {losses} connection ends lost, hash {hash:016x}"
            ),
            Some(failure) => {
                writeln!(f, "seed {seed} failed at step {steps}: {failure}")?;
                write!(f, "replay: cargo run -p millstream-simulation -- --seed {seed}")?;
                self.bug.map_or(Ok(()), |bug| write!(f, " --bug {bug}"))
            }
        }
    }
}

/// Runs one seed. With `trace` every event is printed as it happens.
pub fn run(seed: u64, bug: Option<Bug>, trace: bool) -> Report {
    let mut random = Random::new(seed);
    let plan = Plan::new(&mut random);
    let saboteur = Saboteur::new(bug, random.below(8));
    if trace {
        println!("{plan:#?}");
    }
    let mut world = World::new(plan, random, Log::new(trace), saboteur);
    // A machine that finds itself in an impossible state panics: as good as any checker.
    let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.run()));
    let failure = match ran {
        Ok(result) => result.err(),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Some(format!("panic: {}", text.unwrap_or("without a message")))
        }
    };
    let (steps, hash) = (world.cx.log.steps(), world.cx.log.hash());
    let counts = world.cx.log.counts().clone();
    Report { seed, bug, steps, hash, failure, outcome: outcome(&world), counts }
}

fn outcome(world: &World) -> Outcome {
    let mut outcome = Outcome { losses: world.cx.losses, ..Outcome::default() };
    let mut count = |finished: bool| {
        let counter = if finished { &mut outcome.finished } else { &mut outcome.stopped };
        *counter += 1;
    };
    for worker in &world.workers {
        let producers = worker.shared.producers.iter();
        producers.for_each(|task| count(task.state == producer::ProducerState::Finished));
        let consumers = worker.shared.consumers.iter();
        consumers.for_each(|task| count(task.state == consumer::ConsumerState::Finished));
    }
    outcome
}
