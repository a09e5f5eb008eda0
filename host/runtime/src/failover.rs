//! Regions that begin anew by themselves when one of their tasks fails, while others go on.
//!
//! Each process [looks after](Lookout) the regions that it runs. That of a task which failed ends first, as a
//! whole; then the coordinator of checkpoints hears of it, gives up what is pending, and says what the region
//! goes on from; when its time has come the region is made anew. The coordinating process [decides](Failover)
//! when that is, and whether the job may go on at all: a failure of a region is one of the job.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    time::{Duration, Instant},
};

use millstream_dataflow::{
    StreamGraph, TaskError,
    graph::{
        GraphError, NodeKind,
        execution::{ExecutionGraph, Subtask},
        regions::Regions,
    },
};
use millstream_executor::{Failure, Outcome, Running};

use crate::{
    CheckpointOptions, Progress,
    checkpoint::{Attempts, Checkpointed, Participation, Recovery, Settled, is_local},
    deploy::{Crews, process},
    progress::RegionRestart,
};

/// How long a region that failed may take to end, as its sources and sinks may be in calls that block. If it
/// takes longer the whole job begins anew, which does not wait for them.
const GRACE: Duration = Duration::from_secs(10);

/// The regions of a job, and which of them can begin anew alone.
pub(crate) struct Plan {
    /// One with everything in it if none can.
    pub(crate) regions: Regions,
    /// By region, the process in which it can begin anew while others go on; `None` if the whole job begins
    /// anew when the region fails.
    homes: Vec<Option<u32>>,
}

impl Plan {
    /// That of a job in so many processes.
    ///
    /// # Errors
    /// If the graph is none that can run.
    pub(crate) fn new(
        graph: &StreamGraph,
        default_parallelism: u32,
        processes: u32,
        checkpoints: Option<&CheckpointOptions>,
    ) -> Result<Self, GraphError> {
        graph.check(default_parallelism)?;
        let execution = ExecutionGraph::new(graph, default_parallelism);
        let regions = Regions::new(&execution);
        let subtask = |task: &u32| execution.subtasks.get(*task as usize).copied();
        let homes = (0..regions.count() as u32).map(|region| {
            let subtasks: Vec<_> = regions.members(region).iter().filter_map(subtask).collect();
            begins_anew_alone(graph, &subtasks, processes, checkpoints?)
        });
        let homes: Vec<_> = homes.collect();
        if regions.count() < 2 || homes.iter().all(Option::is_none) {
            return Ok(Self { regions: Regions::whole(&execution), homes: vec![None] });
        }
        Ok(Self { regions, homes })
    }

    /// The process in which a region can begin anew while others go on, if there is one.
    pub(crate) fn home(&self, region: u32) -> Option<u32> {
        self.homes.get(region as usize).copied().flatten()
    }

    /// Whether regions fail one by one.
    pub(crate) fn has_parts(&self) -> bool {
        self.homes.iter().any(Option::is_some)
    }
}

/// The process in which a region can begin anew while others go on; `None` if it cannot. All of it has to run in
/// that process, since links keep no channels apart that were made at different times. Checkpoints have to be
/// in a local directory: files in an object store are accounted for by attempt of the whole job. What sorts
/// takes no checkpoints.
fn begins_anew_alone(
    graph: &StreamGraph,
    subtasks: &[Subtask],
    processes: u32,
    checkpoints: &CheckpointOptions,
) -> Option<u32> {
    let home = process(*subtasks.first()?, processes);
    let sorts = |subtask: &Subtask| {
        let node = graph.nodes.get(subtask.node as usize);
        node.is_some_and(|node| matches!(node.kind, NodeKind::Sort(_)))
    };
    let is_home = |subtask: &Subtask| process(*subtask, processes) == home && !sorts(subtask);
    (is_local(&checkpoints.directory) && subtasks.iter().all(is_home)).then_some(home)
}

/// Whoever decides about regions that failed.
pub(crate) trait Overseer {
    /// A region of this process failed, and ends.
    fn failed(&mut self, region: u32, error: TaskError, job: &Outcome);

    /// Regions of this process that are to begin anew now, and their part in checkpoints.
    fn due(&mut self, job: &Outcome) -> Vec<(u32, Participation)>;
}

/// Looks after the regions that a process runs.
pub(crate) struct Lookout<'a> {
    crews: Crews<'a>,
    /// By region.
    states: Vec<State>,
}

/// How far a region is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Runs,
    /// It failed then, and something of it still runs.
    Ends(Instant),
    /// It waits until it may begin anew.
    Waits,
    /// It is done, or does not fail by itself.
    Done,
}

impl<'a> Lookout<'a> {
    pub(crate) fn new(crews: Crews<'a>) -> Self {
        let state = |region| crews.outcome(region).map_or(State::Done, |_| State::Runs);
        let states = (0..crews.count()).map(state).collect();
        Self { crews, states }
    }

    /// How the job goes.
    pub(crate) fn progress(&self) -> &Progress {
        self.crews.progress()
    }

    /// What is left when the run is over.
    pub(crate) fn into_crews(self) -> Crews<'a> {
        self.crews
    }

    /// Does what has to be done now.
    pub(crate) fn look(&mut self, running: &mut dyn Running, overseer: &mut dyn Overseer) {
        let job = Arc::clone(running.outcome());
        for (number, state) in (0..).zip(&mut self.states) {
            let Some(outcome) = self.crews.outcome(number).map(Arc::clone) else { continue };
            // In this order: whoever fails says so before it ends.
            let (has_ended, result) = (outcome.has_ended(), outcome.result());
            // If the whole run is over, so are its parts.
            if job.is_over() {
                return;
            }
            match (*state, result) {
                (State::Runs, Err(Failure::Task(error))) => {
                    *state = State::Ends(Instant::now());
                    overseer.failed(number, error, &job);
                }
                (State::Runs, Ok(())) if has_ended => *state = State::Done,
                (State::Ends(_), _) if has_ended => {
                    *state = State::Waits;
                    self.crews.fell(number);
                }
                (State::Ends(since), Err(Failure::Task(error))) if since.elapsed() > GRACE => {
                    job.failed(error);
                }
                _ => {}
            }
        }
        for (region, checkpoints) in overseer.due(&job) {
            match self.crews.begin_anew(region, checkpoints, running) {
                Ok(()) => self.states[region as usize] = State::Runs,
                Err(error) => job.failed(TaskError::new(error.to_string())),
            }
        }
        if self.states.iter().all(|state| *state == State::Done) {
            job.release();
        }
    }
}

/// Has regions of another process begin anew: which process, which region, from which checkpoint.
pub(crate) type Elsewhere<'a> = Box<dyn Fn(u32, u32, Option<u64>) + 'a>;

/// Decides, in the coordinating process, 0, about the regions of all.
pub(crate) struct Failover<'a> {
    attempts: &'a Attempts,
    checkpointed: &'a Checkpointed,
    job: String,
    homes: Vec<Option<u32>>,
    progress: Progress,
    elsewhere: Elsewhere<'a>,
    /// Regions that failed, until they begin anew.
    failed: BTreeMap<u32, Failed>,
    /// What they begin anew from.
    recoveries: BTreeMap<u32, Recovery>,
    settled: (Sender<Settled>, Receiver<Settled>),
    /// Regions of other processes that failed.
    reported: (Sender<RegionFailed>, Receiver<RegionFailed>),
}

/// A region of another process failed.
pub(crate) struct RegionFailed {
    pub(crate) region: u32,
    pub(crate) what: String,
}

#[derive(Clone, Debug)]
struct Failed {
    error: TaskError,
    /// When it may begin anew.
    at: Instant,
}

impl<'a> Failover<'a> {
    /// Of a run of the job `job`.
    pub(crate) fn new(
        attempts: &'a Attempts,
        checkpointed: &'a Checkpointed,
        job: &str,
        plan: &Plan,
        progress: &Progress,
        elsewhere: Elsewhere<'a>,
    ) -> Self {
        Self {
            attempts,
            checkpointed,
            job: job.to_owned(),
            homes: plan.homes.clone(),
            progress: progress.clone(),
            elsewhere,
            failed: BTreeMap::new(),
            recoveries: BTreeMap::new(),
            settled: channel(),
            reported: channel(),
        }
    }

    /// Where the coordinator of checkpoints says what regions begin anew from.
    pub(crate) fn settled(&self) -> Sender<Settled> {
        self.settled.0.clone()
    }

    /// Where other processes say which of their regions failed, and why.
    pub(crate) fn reported(&self) -> Sender<RegionFailed> {
        self.reported.0.clone()
    }

    /// How a region is called.
    fn name(&self, region: u32) -> String {
        format!("region {} of {}", region + 1, self.homes.len())
    }

    /// What a region of this process needs to go on; has one of another process do so.
    fn begin(
        &self,
        region: u32,
        checkpoint: Option<u64>,
    ) -> Result<Option<Participation>, TaskError> {
        match checkpoint {
            Some(number) => eprintln!("{} goes on from checkpoint {number}", self.name(region)),
            None => eprintln!("{} begins from what the job began from", self.name(region)),
        }
        match self.homes.get(region as usize).copied().flatten() {
            Some(0) => self.checkpointed.participation_again(&self.job, checkpoint).map(Some),
            Some(process) => {
                (self.elsewhere)(process, region, checkpoint);
                Ok(None)
            }
            None => Ok(None),
        }
    }
}

impl Overseer for Failover<'_> {
    fn failed(&mut self, region: u32, error: TaskError, job: &Outcome) {
        let Some(wait) = self.attempts.task_failed() else {
            // Nor may the whole job.
            return job.failed(error);
        };
        eprintln!("{} failed and begins anew in {wait:?}: {error}", self.name(region));
        self.failed.insert(region, Failed { error, at: Instant::now() + wait });
    }

    fn due(&mut self, job: &Outcome) -> Vec<(u32, Participation)> {
        while let Ok(RegionFailed { region, what }) = self.reported.1.try_recv() {
            self.failed(region, TaskError::new(what), job);
        }
        while let Ok(Settled { region, from }) = self.settled.1.try_recv() {
            self.recoveries.insert(region, from);
        }
        let mut due = Vec::new();
        let now = Instant::now();
        for region in self.failed.keys().copied().collect::<Vec<_>>() {
            let (Some(Failed { error, at }), Some(recovery)) =
                (self.failed.get(&region).cloned(), self.recoveries.get(&region).copied())
            else {
                continue;
            };
            let checkpoint = match recovery {
                Recovery::Together => {
                    job.failed(error);
                    continue;
                }
                _ if at > now => continue,
                Recovery::Beginning => None,
                Recovery::Checkpoint(number) => Some(number),
            };
            self.failed.remove(&region);
            self.recoveries.remove(&region);
            self.progress.restarted(RegionRestart {
                region,
                regions: self.homes.len() as u32,
                checkpoint,
                cause: error.to_string(),
            });
            match self.begin(region, checkpoint) {
                Ok(checkpoints) => due.extend(checkpoints.map(|checkpoints| (region, checkpoints))),
                Err(error) => job.failed(error),
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use millstream_dataflow::Environment;

    use super::*;

    /// By region the process in which it begins anew alone, of two pipelines of which one has `by_key`.
    fn homes(by_key: bool, parallelism: u32, processes: u32, directory: &str) -> Vec<Option<u32>> {
        let env = Environment::new("job");
        let numbers = || env.generate(|_, _| 0..10u64);
        match by_key {
            true => numbers().key_by::<u64, _>(|row| *row).reduce(|_, _| ()).for_each(|_| ()),
            false => numbers().for_each(|_| ()),
        }
        numbers().for_each(|_| ());
        let options = CheckpointOptions::new(directory);
        let plan = Plan::new(env.build().graph(), parallelism, processes, Some(&options));
        let plan = plan.expect("a graph");
        assert_eq!(plan.regions.count(), plan.homes.len());
        assert_eq!(plan.has_parts(), plan.homes.iter().any(Option::is_some));
        plan.homes
    }

    #[test]
    fn a_region_begins_anew_alone_if_all_of_it_is_in_one_process() {
        assert_eq!(homes(false, 2, 1, "/tmp"), [Some(0); 4]);
        assert_eq!(homes(false, 2, 2, "/tmp"), [Some(0), Some(1), Some(0), Some(1)]);
        assert_eq!(homes(true, 2, 1, "/tmp"), [Some(0); 3]);
        assert_eq!(homes(true, 2, 2, "/tmp"), [None, Some(0), Some(1)]);
        // All that can fail is one region, which may as well be the job.
        assert_eq!(homes(false, 1, 1, "s3://bucket"), [None]);
        assert_eq!(homes(true, 2, 2, "s3://bucket/jobs"), [None]);
    }

    #[test]
    fn without_checkpoints_or_with_one_region_the_job_fails_as_a_whole() {
        let env = Environment::new("job");
        env.generate(|_, _| 0..10u64).for_each(|_| ());
        let program = env.build();
        let options = CheckpointOptions::new("/tmp");
        let plan = |parallelism, options| {
            Plan::new(program.graph(), parallelism, 1, options).expect("a graph").homes
        };
        assert_eq!(plan(1, Some(&options)), [None]);
        assert_eq!(plan(4, None), [None]);
        assert_eq!(plan(2, Some(&options)), [Some(0), Some(0)]);
    }

    #[test]
    fn what_sorts_does_not_begin_anew_alone() {
        let env = Environment::new("job");
        let sorted = env.generate(|_, _| 0..10u64).map(|number| (number, number));
        sorted.sort_partition([millstream_dataflow::SortKey::ascending("f0")]).for_each(|_| ());
        env.generate(|_, _| 0..10u64).for_each(|_| ());
        let options = CheckpointOptions::new("/tmp");
        let plan = Plan::new(env.build().graph(), 1, 1, Some(&options)).expect("a graph");
        assert_eq!(plan.homes, [None, Some(0)]);
    }
}
