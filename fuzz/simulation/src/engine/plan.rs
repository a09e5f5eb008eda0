//! What is chosen for an attempt to run the job: how it runs, and what breaks.

use millstream_checkpoint::coordinator::Config;
use millstream_dataflow::task::BufferTimeout;
use millstream_exchange::event::Alignment;

use super::job::Job;
use crate::Random;

/// Milliseconds in which every checkpoint is complete.
const PATIENCE_MS: u64 = 1_000_000;

/// What breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A process ends. The first one coordinates.
    Crash(u32),
    /// A connection between two processes is lost.
    LoseConnection,
    /// So many bytes of checkpoints fit the disk, for a while.
    DiskFull(u64),
    /// After so many changes the storage fails, for a while, and tears the write at hand in two.
    DiskFails(u64),
}

/// When it breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// After so many steps.
    Step(u64),
    /// After so many things that have to do with checkpoints, of the attempt.
    Point(u64),
}

impl When {
    /// Whether it is after so many steps and things that have to do with checkpoints.
    pub(super) fn is_due(self, steps: u64, points: u64) -> bool {
        match self {
            Self::Step(step) => steps >= step,
            Self::Point(point) => points >= point,
        }
    }
}

/// How an attempt runs.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) parallelism: u32,
    pub(super) processes: u32,
    /// State is in files.
    pub(super) filed: bool,
    /// So many writes to each of these files succeed; all, if it does not say.
    pub(super) state_writes: Option<u64>,
    /// Milliseconds after which barriers overtake, if they do.
    pub(super) overtakes_after: Option<u32>,
    pub(super) config: Config,
    pub(super) timeout: BufferTimeout,
    /// Bytes of state that wait for the keeper.
    pub(super) load_max: usize,
    /// State of more bytes goes into files.
    pub(super) inline_max: usize,
    /// Rows that the source reads at once.
    pub(super) rows_max: u32,
    /// Bytes of rows that consumers want in a page: small ones fill queues soon.
    pub(super) page_bytes: u32,
    /// Elements under way on a channel between processes.
    pub(super) credit: usize,
    /// Microseconds that they take.
    pub(super) delay_max: u64,
    /// Microseconds that a poll takes.
    pub(super) pace: u64,
    pub(super) faults: Vec<(When, Fault)>,
    /// When the job is stopped with a savepoint, if it is, and whether it drains.
    pub(super) stop: Option<(When, bool)>,
}

impl Plan {
    /// A plan; nothing breaks unless it `may_break`.
    pub(super) fn new(random: &mut Random, job: &Job, may_break: bool) -> Self {
        let processes = random.between(1, 3);
        let parallelism = random.between(1, 4);
        let overtakes_after = match random.below(3) {
            _ if job.in_order => None,
            0 => None,
            1 => Some(1),
            _ => Some(random.between(2, 20)),
        };
        let alignment = overtakes_after
            .map_or(Alignment::Aligned, |timeout_ms| Alignment::Timeout { timeout_ms });
        let config = Config {
            interval_ms: Some(u64::from(random.between(1, 30))),
            timeout_ms: match may_break && random.percent(30) {
                true => u64::from(random.between(5, 100)),
                false => PATIENCE_MS,
            },
            min_pause_ms: u64::from(random.between(0, 5)),
            max_concurrent: random.between(1, 3) as usize,
            tolerable_failures: match may_break && random.percent(20) {
                true => random.between(0, 3),
                false => u32::MAX,
            },
            retained: random.between(1, 3) as usize,
            alignment,
        };
        let timeout = match random.below(3) {
            0 => BufferTimeout::EachRecord,
            1 => BufferTimeout::OnlyFull,
            _ => BufferTimeout::After(random.below(10_000)),
        };
        let mut plan = Self {
            parallelism,
            processes: processes.min(parallelism),
            filed: random.percent(40),
            state_writes: (may_break && random.percent(10)).then(|| random.below(20)),
            overtakes_after,
            config,
            timeout,
            load_max: 1 + random.below(4000) as usize,
            inline_max: random.below(1000) as usize,
            rows_max: random.between(1, 30),
            page_bytes: if random.percent(40) { u32::MAX } else { random.between(1, 400) },
            credit: random.between(1, 8) as usize,
            delay_max: [0, 100, 1000, 5000][random.index(4)],
            pace: [50, 300, 1000][random.index(3)],
            faults: Vec::new(),
            stop: None,
        };
        if may_break && random.percent(35) {
            plan.stop = Some((plan.when(random, job), random.percent(30)));
        }
        let is_calm = |(_, drains)| drains || random.percent(50);
        if plan.stop.is_some_and(is_calm) {
            // Some stop before anything breaks; who is to drain would go on behind the end of event time.
            plan.state_writes = None;
            plan.config.timeout_ms = PATIENCE_MS;
            plan.config.tolerable_failures = u32::MAX;
            return plan;
        }
        if may_break {
            let faults = random.between(1, 3);
            plan.faults = (0..faults).map(|_| plan.fault(random, job)).collect();
            if plan.breaks_state() {
                // A task whose state has failed declines every checkpoint, and if its input has ended it
                // does nothing else: the job has to fail for that at some time.
                plan.config.tolerable_failures = plan.config.tolerable_failures.min(3);
            }
            if plan.config.timeout_ms < PATIENCE_MS {
                // It may be that no checkpoint is ever in time, not even the last one, and without
                // that there is no end.
                plan.faults.push((When::Step(random.below(4000)), Fault::Crash(0)));
            }
        }
        plan
    }

    /// One process and one subtask of each, and nothing breaks.
    pub(super) fn undisturbed() -> Self {
        Self {
            parallelism: 1,
            processes: 1,
            filed: false,
            state_writes: None,
            overtakes_after: None,
            config: Config {
                interval_ms: None,
                timeout_ms: PATIENCE_MS,
                min_pause_ms: 0,
                max_concurrent: 1,
                tolerable_failures: u32::MAX,
                retained: 1,
                alignment: Alignment::Aligned,
            },
            timeout: BufferTimeout::OnlyFull,
            load_max: usize::MAX,
            inline_max: usize::MAX,
            rows_max: 100,
            page_bytes: u32::MAX,
            credit: 8,
            delay_max: 0,
            pace: 10,
            faults: Vec::new(),
            stop: None,
        }
    }

    /// Whether the files of the state's backend fail.
    pub(super) fn breaks_state(&self) -> bool {
        self.filed && self.state_writes.is_some()
    }

    /// Larger jobs take longer.
    fn when(&self, random: &mut Random, job: &Job) -> When {
        let nodes = job.graph.nodes.len() as u64;
        match random.percent(50) {
            true => When::Step(random.below(375 * nodes)),
            false => When::Point(random.below(10 * nodes)),
        }
    }

    fn fault(&self, random: &mut Random, job: &Job) -> (When, Fault) {
        let when = self.when(random, job);
        let fault = match random.below(6) {
            0 => Fault::DiskFull(random.below(2000)),
            1 => Fault::DiskFails(random.below(5)),
            2 if self.processes > 1 => Fault::LoseConnection,
            _ => Fault::Crash(random.below(u64::from(self.processes)) as u32),
        };
        (when, fault)
    }
}
