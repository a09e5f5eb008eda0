//! From a program to tasks, threads and channels.

mod crews;
mod demand;
mod deployer;
mod ends;
mod links;
mod managed;
mod recovery;

use std::{collections::BTreeMap, net::TcpStream, os::fd::AsFd, sync::Arc};

use millstream_dataflow::{
    TaskError,
    graph::execution::{ExecutionGraph, Subtask},
};
use millstream_executor::{Executor, Outcome};
use millstream_net::Chosen;

pub(crate) use crews::{Crew, Crews};
use deployer::Deployer;

use crate::{
    JobProgram, Progress, RunError, Runtime,
    checkpoint::Participation,
    failover::Plan,
    result::SharedResult,
    threads::{Groups, SplitService, Splits},
};

/// A job that is ready to start.
pub(crate) struct Deployment<'a> {
    executor: Box<dyn Executor>,
    /// By region.
    crews: Vec<Crew>,
    /// By region, whether it fails by itself.
    alone: Vec<bool>,
    deployer: Deployer<'a>,
}

/// What is left to do when every part of the job is done: its results are shown.
#[derive(Default)]
pub(crate) struct Commits {
    /// By region, and in the order of the graph.
    sinks: BTreeMap<u32, Vec<Commit>>,
    result: BTreeMap<u32, Commit>,
}

type Commit = Box<dyn FnOnce() -> Result<(), TaskError>>;

impl Commits {
    fn add(&mut self, region: u32, commit: impl FnOnce() -> Result<(), TaskError> + 'static) {
        self.sinks.entry(region).or_default().push(Box::new(commit));
    }

    fn add_result(
        &mut self,
        region: u32,
        commit: impl FnOnce() -> Result<(), TaskError> + 'static,
    ) {
        self.result.insert(region, Box::new(commit));
    }

    /// What a region was about to show is void: it begins anew.
    fn forget(&mut self, region: u32) {
        self.sinks.remove(&region);
        self.result.remove(&region);
    }

    /// The result is kept back: it is part of the savepoint that the job stopped with, and shown when
    /// whoever goes on from there comes to its end.
    pub(crate) fn without_result(self) -> Self {
        Self { result: BTreeMap::new(), ..self }
    }

    /// Shows the results. Those of the sinks before one that fails are shown then.
    pub(crate) fn commit(self) -> Result<(), RunError> {
        let sinks = self.sinks.into_values().flatten();
        let mut all = sinks.chain(self.result.into_values());
        all.try_for_each(|commit| commit()).map_err(RunError::Task)
    }
}

impl<'a> Deployment<'a> {
    /// How the job will go.
    pub(crate) fn progress(&self) -> &Progress {
        self.deployer.progress()
    }

    /// Where failures are reported.
    pub(crate) fn outcome(&self) -> &Arc<Outcome> {
        self.executor.outcome()
    }
}

/// Which part of a job this process runs, and how it reaches the others.
pub(crate) struct Part {
    /// This process.
    pub(crate) own: u32,
    /// How many there are.
    pub(crate) processes: u32,
    /// Connections to the others, by process.
    pub(crate) streams: Vec<(u32, TcpStream)>,
    /// How bytes are moved.
    pub(crate) transport: Option<Chosen>,
    /// Whoever hands out splits, if that is another process.
    pub(crate) splits: Option<Arc<dyn SplitService>>,
    /// The splits that this process hands out.
    pub(crate) enumerated: Arc<Splits>,
    /// Sources that wait for one another.
    pub(crate) groups: Arc<Groups>,
    /// Its part in checkpoints, if there are any.
    pub(crate) checkpoints: Option<Participation>,
}

impl Part {
    /// The whole of a job.
    pub(crate) fn whole() -> Self {
        Self {
            own: 0,
            processes: 1,
            streams: Vec::new(),
            transport: None,
            splits: None,
            enumerated: Arc::default(),
            groups: Arc::default(),
            checkpoints: None,
        }
    }

    /// The process that runs a subtask.
    fn of(&self, subtask: Subtask) -> u32 {
        process(subtask, self.processes)
    }

    fn is_own(&self, subtask: Subtask) -> bool {
        self.of(subtask) == self.own
    }
}

/// The process that runs a subtask, of so many.
pub(crate) fn process(subtask: Subtask, processes: u32) -> u32 {
    subtask.index % processes
}

/// Makes the tasks, threads and channels of a part of a program, which is started region by region.
pub(crate) fn deploy<'a>(
    runtime: &'a Runtime,
    program: &'a dyn JobProgram,
    result: SharedResult,
    part: Part,
    plan: &Plan,
) -> Result<Deployment<'a>, RunError> {
    let graph = program.graph()?;
    graph.check(runtime.parallelism)?;
    let execution = ExecutionGraph::new(&graph, runtime.parallelism);
    demand::check(runtime, &graph, &execution, &part)?;
    let mut executor = runtime.executor.executor();
    let job = graph.fingerprint();
    let clock = executor.clock();
    let regions = plan.regions.clone();
    let mut deployer =
        Deployer::new(runtime, program, result, graph, execution, regions, part, clock);
    deployer.reserve(&mut *executor);
    let mut links = links::Links::default();
    links.reserve(&mut *executor, deployer.part());
    let crews = deployer.crews(&mut links)?;
    for (id, file) in crews.iter().flat_map(|crew| &crew.watches) {
        let watched = executor.watch(*id, file.as_fd());
        watched.map_err(|error| RunError::Task(TaskError::new(error.to_string())))?;
    }
    links.place(&mut *executor, runtime, job, deployer.part_mut())?;
    let alone = (0..crews.len() as u32).map(|region| plan.home(region).is_some()).collect();
    Ok(Deployment { executor, crews, alone, deployer })
}
