//! The coordinating process.

mod aligned;
mod pulse;
mod reported;

use std::{
    collections::BTreeMap,
    io::BufReader,
    os::unix::process::{CommandExt, ExitStatusExt},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
    sync::{Arc, PoisonError, mpsc::Sender},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use millstream_checkpoint::TaskId;
use millstream_dataflow::{StreamGraph, TaskError, graph::execution::ExecutionGraph, task::Order};
use millstream_executor::Outcome;
use millstream_loader::{OpenJob, Registry};
use millstream_net::{Chosen, Preference, choose, connect, listen};

use aligned::of_others;
use pulse::Pulse;
use reported::{Reported, Stage, serve};

use super::{
    JobSpec,
    message::{ToCoordinator, ToWorker, receive, send},
};
use crate::{
    JobProgram, Progress, RunError, Runtime, Summary, builder,
    checkpoint::{Attempts, Checkpointed, Ended, OrderMessage, Report},
    deploy::{self, Commits, Part},
    failover::{Failover, Overseer, Plan, RegionFailed},
    result::{self, ResultSink, SharedResult},
    threads::{Groups, Splits},
};

/// How a job is divided over processes.
#[derive(Debug)]
pub struct Coordinated {
    /// What runs.
    pub spec: JobSpec,
    /// In how many processes, this one included.
    pub processes: u32,
    /// Starts a worker process, which calls [`work`](super::work).
    pub command: Command,
}

/// Loads the library of a job beside the bundled plugins, and opens the job.
pub(super) fn open(spec: &JobSpec) -> Result<(Registry, OpenJob), RunError> {
    let mut registry = Registry::new();
    builder::bundle(&mut registry)?;
    let plugin = registry.load(&spec.library)?.clone();
    for directory in &spec.plugins {
        // The coordinator has told which of them were refused.
        registry.load_directory(directory)?;
    }
    let job = registry.job(&plugin, &spec.job, &spec.options)?;
    Ok((registry, job))
}

/// Runs a job in several processes to its end.
///
/// # Errors
/// Why it did not get there; what `result` was given is then not complete.
pub fn coordinate(
    runtime: &Runtime,
    job: Coordinated,
    program: &dyn JobProgram,
    result: Box<dyn ResultSink>,
    watch: &mut dyn FnMut(&Progress, &Arc<Outcome>),
) -> Result<Summary, RunError> {
    let begin = Instant::now();
    let mut job = job;
    let result = result::shared(result);
    let transport = choose(runtime.transport)?;
    if let Preference::Auto = runtime.transport {
        eprintln!("transport: {} ({})", transport.transport, transport.reason);
    }
    let mut attempts = Attempts::new(runtime.checkpoints.as_ref(), &runtime.savepoints);
    loop {
        let attempt =
            attempt(runtime, &mut job, &transport, program, &result, &attempts, begin, watch);
        match attempt {
            Ok(summary) => return Ok(Summary { elapsed: begin.elapsed(), ..summary }),
            Err(ended) => attempts.again(ended)?,
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "it is one attempt in two parts")]
fn attempt(
    runtime: &Runtime,
    job: &mut Coordinated,
    transport: &Chosen,
    program: &dyn JobProgram,
    result: &SharedResult,
    attempts: &Attempts,
    begin: Instant,
    watch: &mut dyn FnMut(&Progress, &Arc<Outcome>),
) -> Result<Summary, Ended> {
    let graph = program.graph()?;
    let checkpoints = runtime.checkpoints.as_ref();
    let plan = Plan::new(&graph, runtime.parallelism, job.processes, checkpoints)?;
    let checkpointed = Checkpointed::open(checkpoints, &graph, attempts)?;
    let restore = checkpointed.as_ref().and_then(Checkpointed::restored);
    let mut workers = Workers::start(job, transport, restore)?;
    let done = run(
        runtime,
        &mut workers,
        transport.clone(),
        program,
        result,
        &plan,
        attempts,
        checkpointed.as_ref(),
        begin,
        watch,
    );
    let done = done.and_then(|done| match workers.finish(&done.0.progress, watch) {
        Ok(()) => Ok(done),
        Err(error) => Err(Ended::Failed(error)),
    });
    match done {
        Ok((summary, commits)) => {
            workers.commit()?;
            runtime.shown(commits).commit()?;
            if let Some(checkpointed) = checkpointed {
                checkpointed.remove();
            }
            Ok(summary)
        }
        // Of two errors, that a process died says more than that its connection did.
        Err(ended) => Err(match (workers.give_up(), ended) {
            (Some(died), _) => Ended::Failed(died),
            (None, ended) => ended,
        }),
    }
}

#[expect(clippy::too_many_arguments, reason = "it is one attempt in two parts")]
fn run(
    runtime: &Runtime,
    workers: &mut Workers,
    transport: Chosen,
    program: &dyn JobProgram,
    result: &SharedResult,
    plan: &Plan,
    attempts: &Attempts,
    checkpointed: Option<&Checkpointed>,
    begin: Instant,
    watch: &mut dyn FnMut(&Progress, &Arc<Outcome>),
) -> Result<(Summary, Commits), Ended> {
    let listener = listen()?;
    let graph = program.graph()?;
    let mut ports = vec![listener.port()?];
    ports.extend(workers.ports(graph.fingerprint())?);
    workers.tell_all(&|| ToWorker::Connect { ports: ports.clone() })?;
    let groups = Arc::new(Groups::among_others());
    let part = Part {
        own: 0,
        processes: ports.len() as u32,
        streams: connect(&listener, 0, &ports)?,
        transport: Some(transport),
        splits: None,
        enumerated: Arc::default(),
        groups: Arc::clone(&groups),
        checkpoints: checkpointed.map(Checkpointed::participation),
    };
    let splits = Arc::clone(&part.enumerated);
    let result = Arc::clone(result);
    let deployment = deploy::deploy(runtime, program, result, part, plan)?;
    let mut failover = checkpointed.map(|checkpointed| {
        let elsewhere = Box::new(workers.restarts(checkpointed));
        let progress = deployment.progress();
        Failover::new(attempts, checkpointed, &graph.name, plan, progress, elsewhere)
    });
    workers.await_ready()?;
    workers.tell_all(&|| ToWorker::Run)?;
    let reporter = checkpointed.map(Checkpointed::reporter);
    let failed = failover.as_ref().map(Failover::reported);
    workers.listen_on(&splits, deployment.outcome(), deployment.progress(), reporter, failed);
    if let (Some(checkpointed), Some(failover)) = (checkpointed, &failover) {
        let elsewhere = workers.orders(&graph, runtime.parallelism);
        let (outcome, settled) = (deployment.outcome(), failover.settled());
        checkpointed.begin(graph, runtime.parallelism, &splits, outcome, elsewhere, settled);
    }
    let overseer = failover.as_mut().filter(|_| plan.has_parts());
    let overseer = overseer.map(|overseer| overseer as &mut dyn Overseer);
    let mut pulse = Pulse::new(workers, runtime.heartbeat_timeout);
    let watch = &mut |progress: &Progress, outcome: &Arc<Outcome>| {
        workers.align(&groups);
        if let Some(silent) = pulse.feel(workers) {
            outcome.failed(TaskError::new(silent.to_string()));
        }
        watch(progress, outcome);
    };
    runtime.finish(deployment, begin, overseer, watch).map_err(Ended::Failed)
}

/// The other processes of a job.
struct Workers(Vec<Worker>);

/// Another process of a job.
struct Worker {
    number: u32,
    child: Child,
    input: Option<ChildStdin>,
    output: Option<BufReader<ChildStdout>>,
    /// Reads what it says, once the job runs.
    ears: Option<JoinHandle<()>>,
    state: Arc<Reported>,
    /// Why it is taken for dead although it was not seen to die.
    silent: Option<String>,
}

/// How long a worker may say nothing.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long workers may take to clean up when the job has failed.
const GRACE: Duration = Duration::from_secs(2);
/// How often progress is shown while workers are waited for.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

impl Workers {
    fn start(
        job: &mut Coordinated,
        transport: &Chosen,
        restore: Option<PathBuf>,
    ) -> Result<Self, RunError> {
        let Coordinated { spec, processes, command } = job;
        let processes = *processes;
        // A group of its own: Ctrl-C at a terminal is for this process, which tells the others.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut workers = Self(Vec::new());
        for number in 1..processes {
            let failed = |error: std::io::Error| RunError::Worker {
                worker: number,
                what: format!("it could not be started: {error}"),
            };
            let mut child = command.spawn().map_err(failed)?;
            let (input, output) = (child.stdin.take(), child.stdout.take());
            workers.0.push(Worker {
                number,
                child,
                input,
                output: output.map(BufReader::new),
                ears: None,
                state: Arc::new(Reported::new()),
                silent: None,
            });
        }
        for worker in &mut workers.0 {
            worker.tell(&ToWorker::Start {
                spec: spec.clone(),
                worker: worker.number,
                processes,
                transport: transport.transport.to_string(),
                restore: restore.clone(),
            })?;
        }
        Ok(workers)
    }

    /// The ports of the workers, which must all have the same graph.
    fn ports(&mut self, graph: u64) -> Result<Vec<u16>, RunError> {
        let mut ports = Vec::new();
        for worker in &mut self.0 {
            match worker.hear()? {
                ToCoordinator::Listening { port, graph: theirs } if theirs == graph => {
                    ports.push(port);
                }
                ToCoordinator::Listening { .. } => {
                    return Err(worker.failed(
                        "it built another job graph from the same options: a job must not depend \
                         on time, chance or the environment",
                    ));
                }
                other => return Err(worker.unexpected(&other)),
            }
        }
        Ok(ports)
    }

    fn await_ready(&mut self) -> Result<(), RunError> {
        for worker in &mut self.0 {
            match worker.hear()? {
                ToCoordinator::Ready => {}
                other => return Err(worker.unexpected(&other)),
            }
        }
        Ok(())
    }

    /// Tells each process how far sources of the others have come that its own wait for.
    fn align(&self, own: &Groups) {
        let theirs = self.0.iter().map(|worker| worker.state.aligned());
        let said: Vec<_> = std::iter::once(Some(own.report())).chain(theirs).collect();
        let mut heard = of_others(&said).into_iter();
        for (name, least) in heard.next().unwrap_or_default() {
            own.elsewhere(&name, least);
        }
        for (worker, groups) in self.0.iter().zip(heard).filter(|(_, groups)| !groups.is_empty()) {
            // One that has died is noticed by who listens to it.
            let _ = worker.state.tell(&ToWorker::Aligned { groups });
        }
    }

    fn tell_all(&mut self, message: &dyn Fn() -> ToWorker) -> Result<(), RunError> {
        self.0.iter_mut().try_for_each(|worker| worker.tell(&message()))
    }

    /// From now on a thread for each worker answers it, and ends the run if it fails.
    fn listen_on(
        &mut self,
        splits: &Arc<Splits>,
        outcome: &Arc<Outcome>,
        progress: &Progress,
        reporter: Option<impl Fn(Report) + Clone + Send + 'static>,
        failed: Option<Sender<RegionFailed>>,
    ) {
        for worker in &mut self.0 {
            let (Some(input), Some(output)) = (worker.input.take(), worker.output.take()) else {
                continue;
            };
            let (splits, outcome) = (Arc::clone(splits), Arc::clone(outcome));
            let (progress, reporter, failed) = (progress.clone(), reporter.clone(), failed.clone());
            let (number, state) = (worker.number, Arc::clone(&worker.state));
            *state.input.lock().unwrap_or_else(PoisonError::into_inner) = Some(input);
            worker.ears = Some(thread::spawn(move || {
                let report = |report| {
                    if let Some(reporter) = &reporter {
                        reporter(report);
                    }
                };
                let failed = |region, what| {
                    let _ =
                        failed.as_ref().map(|failed| failed.send(RegionFailed { region, what }));
                };
                if let Err(what) = serve(output, &splits, &progress, &state, report, failed) {
                    let error = RunError::Worker { worker: number, what: what.clone() };
                    outcome.failed(TaskError::new(error.to_string()));
                    state.reach(Err(what));
                }
            }));
        }
    }

    /// Has regions of workers begin anew, once they are listened to.
    fn restarts<'a>(
        &self,
        checkpointed: &'a Checkpointed,
    ) -> impl Fn(u32, u32, Option<u64>) + use<'a> {
        let workers = self.0.iter().map(|worker| (worker.number, Arc::clone(&worker.state)));
        let workers: BTreeMap<_, _> = workers.collect();
        move |process, region, checkpoint| {
            let checkpoint = checkpoint.map(|checkpoint| checkpointed.path(checkpoint));
            let worker = workers.get(&process);
            // That a worker died is noticed by those who listen to it.
            let _ = worker.map(|worker| worker.tell(&ToWorker::Restart { region, checkpoint }));
        }
    }

    /// Gives orders of the coordinator of checkpoints to tasks of workers, once they are listened to.
    fn orders(
        &self,
        graph: &StreamGraph,
        default_parallelism: u32,
    ) -> impl Fn(Option<TaskId>, Order) + Send + 'static {
        let execution = ExecutionGraph::new(graph, default_parallelism);
        let workers: Vec<_> = self.0.iter().map(|worker| Arc::clone(&worker.state)).collect();
        move |task, order| {
            let order = OrderMessage::from(order);
            let message = ToWorker::Order { task: task.map(|task| task.0), order };
            let processes = workers.len() + 1;
            let subtask = task.and_then(|task| execution.subtasks.get(task.0 as usize));
            let process = subtask.map(|subtask| subtask.index as usize % processes);
            for (number, worker) in (1..).zip(&workers) {
                if process.is_none_or(|process| process == number) {
                    // That a worker died is noticed by those who listen to it.
                    let _ = worker.tell(&message);
                }
            }
        }
    }

    /// Waits for the workers, whose parts may go on when this one is done.
    fn finish(
        &self,
        progress: &Progress,
        watch: &mut dyn FnMut(&Progress, &Arc<Outcome>),
    ) -> Result<(), RunError> {
        let outcome = Arc::default();
        // Sources of the workers may still wait for one another.
        let none_here = Groups::default();
        for worker in &self.0 {
            let waited = worker.state.wait(Stage::Finished, || {
                self.align(&none_here);
                watch(progress, &outcome);
                !outcome.is_over()
            });
            if outcome.is_over() {
                return Err(RunError::Cancelled);
            }
            waited.map_err(|what| worker.failed(&what))?;
        }
        Ok(())
    }

    /// Has the workers show their results, and waits for their end.
    fn commit(self) -> Result<(), RunError> {
        for worker in &self.0 {
            let told = worker.state.tell(&ToWorker::Commit);
            told.map_err(|what| worker.failed(&what))?;
        }
        for mut worker in self.0 {
            let shown = worker.state.wait(Stage::Committed, || true);
            shown.map_err(|what| worker.failed(&what))?;
            let _ = worker.child.wait();
            if let Some(ears) = worker.ears.take() {
                let _ = ears.join();
            }
        }
        Ok(())
    }

    /// Ends all workers; says which of them died on its own, if one did.
    fn give_up(mut self) -> Option<RunError> {
        let mut died = None;
        for worker in &mut self.0 {
            if let Some(what) = &worker.silent {
                died.get_or_insert(worker.failed(what));
                // It may be stopped, and would not hear that it is to end.
                let _ = worker.child.kill();
            } else if let Some(status) = worker.ended_by_itself() {
                died.get_or_insert(worker.failed(&describe(status)));
            }
        }
        // Their part is void. Sinks take back what they have written once they hear of it.
        self.0.iter_mut().for_each(Worker::hang_up);
        let deadline = Instant::now() + GRACE;
        for worker in &mut self.0 {
            while Instant::now() < deadline && matches!(worker.child.try_wait(), Ok(None)) {
                thread::sleep(Duration::from_millis(1));
            }
        }
        // Those that are left are killed when they are dropped.
        died
    }
}

impl Worker {
    fn tell(&mut self, message: &ToWorker) -> Result<(), RunError> {
        let told = match &mut self.input {
            Some(input) => send(input, message).is_ok(),
            None => false,
        };
        if told { Ok(()) } else { Err(self.failed("it died")) }
    }

    fn hear(&mut self) -> Result<ToCoordinator, RunError> {
        let heard = self.output.as_mut().map(receive);
        match heard {
            Some(Ok(Some(ToCoordinator::Failed { message }))) => Err(self.failed(&message)),
            Some(Ok(Some(message))) => Ok(message),
            _ => Err(self.failed("it died")),
        }
    }

    /// Closes its standard input: it stops, and ends.
    fn hang_up(&mut self) {
        self.input = None;
        *self.state.input.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The status of a process that ended before it was told to: killed, or crashed. A failure that
    /// it reported itself does not count.
    fn ended_by_itself(&mut self) -> Option<ExitStatus> {
        let deadline = Instant::now() + Duration::from_millis(200);
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return status.signal().is_some().then_some(status),
                Ok(None) if Instant::now() < deadline && self.has_hung_up() => thread::yield_now(),
                _ => return None,
            }
        }
    }

    /// Whether its pipe is closed: it is dying.
    fn has_hung_up(&self) -> bool {
        matches!(&*self.state.stage(), Err(what) if what == "it died")
    }

    fn failed(&self, what: &str) -> RunError {
        RunError::Worker { worker: self.number, what: what.into() }
    }

    fn unexpected(&self, message: &ToCoordinator) -> RunError {
        self.failed(&format!("it said {message:?} out of turn"))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Whatever happened, no process is left behind.
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn describe(status: ExitStatus) -> String {
    match status.signal() {
        Some(signal) => format!("it was killed by signal {signal}"),
        None => format!("it ended with {status}"),
    }
}
