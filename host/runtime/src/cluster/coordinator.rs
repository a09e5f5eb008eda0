//! The coordinating process.

use std::{
    io::BufReader,
    os::unix::process::{CommandExt, ExitStatusExt},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use millstream_checkpoint::{Heartbeats, TaskId};
use millstream_dataflow::{StreamGraph, TaskError, graph::execution::ExecutionGraph, task::Order};
use millstream_executor::Outcome;
use millstream_loader::{OpenJob, Registry};
use millstream_net::{Chosen, Preference, choose, connect, listen};

use super::{
    JobSpec,
    message::{ToCoordinator, ToWorker, receive, send},
};
use crate::{
    JobProgram, Progress, RunError, Runtime, Summary, builder,
    checkpoint::{Attempts, Checkpointed, Ended, OrderMessage, Report},
    deploy::{self, Commits, Part},
    progress::SubtaskCounts,
    result::{ResultSink, SharedResult},
    threads::Splits,
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
    let result = Arc::new(Mutex::new(result));
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
    let checkpointed = Checkpointed::open(runtime.checkpoints.as_ref(), &graph, attempts)?;
    let restore = checkpointed.as_ref().and_then(Checkpointed::restored);
    let mut workers = Workers::start(job, transport, restore)?;
    let done = run(
        runtime,
        &mut workers,
        transport.clone(),
        program,
        result,
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
    checkpointed: Option<&Checkpointed>,
    begin: Instant,
    watch: &mut dyn FnMut(&Progress, &Arc<Outcome>),
) -> Result<(Summary, Commits), Ended> {
    let listener = listen()?;
    let graph = program.graph()?;
    let mut ports = vec![listener.port()?];
    ports.extend(workers.ports(graph.fingerprint())?);
    workers.tell_all(&|| ToWorker::Connect { ports: ports.clone() })?;
    let part = Part {
        own: 0,
        processes: ports.len() as u32,
        streams: connect(&listener, 0, &ports)?,
        transport: Some(transport),
        splits: None,
        enumerated: Arc::default(),
        checkpoints: checkpointed.map(Checkpointed::participation),
    };
    let splits = Arc::clone(&part.enumerated);
    let deployment = deploy::deploy(runtime, program, Arc::clone(result), part)?;
    workers.await_ready()?;
    workers.tell_all(&|| ToWorker::Run)?;
    let reporter = checkpointed.map(Checkpointed::reporter);
    workers.listen_on(&splits, deployment.outcome(), deployment.progress(), reporter);
    if let Some(checkpointed) = checkpointed {
        let elsewhere = workers.orders(&graph, runtime.parallelism);
        let outcome = deployment.outcome();
        checkpointed.begin(graph, runtime.parallelism, &splits, outcome, elsewhere);
    }
    let mut pulse = Pulse::new(workers, runtime.heartbeat_timeout);
    let watch = &mut |progress: &Progress, outcome: &Arc<Outcome>| {
        if let Some(silent) = pulse.feel(workers) {
            outcome.failed(TaskError::new(silent.to_string()));
        }
        watch(progress, outcome);
    };
    runtime.finish(deployment, begin, watch).map_err(Ended::Failed)
}

/// Whether the workers give signs of life.
struct Pulse {
    begin: Instant,
    beats: Heartbeats,
    /// By worker: messages that it had sent.
    counted: Vec<u64>,
}

impl Pulse {
    fn new(workers: &Workers, timeout: Duration) -> Self {
        let timeout = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        let counted = vec![0; workers.0.len()];
        Self { begin: Instant::now(), beats: Heartbeats::new(counted.len(), timeout, 0), counted }
    }

    /// A worker that has given none for too long, which is then to be killed.
    fn feel(&mut self, workers: &mut Workers) -> Option<RunError> {
        let now = u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        let numbered = workers.0.iter().zip(&mut self.counted).enumerate();
        for (peer, (worker, counted)) in numbered {
            let count = worker.state.messages.load(Ordering::Relaxed);
            if std::mem::replace(counted, count) != count {
                self.beats.heard(peer, now);
            }
        }
        let silence = self.beats.step(now)?;
        let worker = workers.0.get_mut(silence.peer)?;
        // What it has done is done: it says nothing any more because it has nothing to say.
        if matches!(&*worker.state.stage(), Ok(stage) if *stage >= Stage::Finished) {
            return None;
        }
        let seconds = silence.for_ms as f64 / 1000.0;
        worker.silent = Some(format!("it was not heard of for {seconds:.1} s"));
        worker.silent.as_deref().map(|what| worker.failed(what))
    }
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

/// How far a worker is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// It works.
    #[default]
    Working,
    /// Its part is done.
    Finished,
    /// Its results are shown.
    Committed,
}

/// What a worker has said of itself.
#[derive(Debug)]
struct Reported {
    /// How far it came, or why it came no further.
    stage: Mutex<Result<Stage, String>>,
    changed: Condvar,
    /// Its standard input, once the job runs.
    input: Mutex<Option<ChildStdin>>,
    /// Messages that it has sent, counts every now and then if nothing else.
    messages: AtomicU64,
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
    ) {
        for worker in &mut self.0 {
            let (Some(input), Some(output)) = (worker.input.take(), worker.output.take()) else {
                continue;
            };
            let (splits, outcome) = (Arc::clone(splits), Arc::clone(outcome));
            let (progress, reporter) = (progress.clone(), reporter.clone());
            let (number, state) = (worker.number, Arc::clone(&worker.state));
            *state.input.lock().unwrap_or_else(PoisonError::into_inner) = Some(input);
            worker.ears = Some(thread::spawn(move || {
                let report = |report| {
                    if let Some(reporter) = &reporter {
                        reporter(report);
                    }
                };
                if let Err(what) = serve(output, &splits, &progress, &state, report) {
                    let error = RunError::Worker { worker: number, what: what.clone() };
                    outcome.failed(TaskError::new(error.to_string()));
                    state.reach(Err(what));
                }
            }));
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
        for worker in &self.0 {
            let waited = worker.state.wait(Stage::Finished, || {
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

impl Reported {
    fn new() -> Self {
        Self {
            stage: Mutex::new(Ok(Stage::default())),
            changed: Condvar::new(),
            input: Mutex::new(None),
            messages: AtomicU64::new(0),
        }
    }

    /// The worker is so far, or came no further.
    fn reach(&self, stage: Result<Stage, String>) {
        *self.stage() = stage;
        self.changed.notify_all();
    }

    fn stage(&self) -> MutexGuard<'_, Result<Stage, String>> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says something to the worker.
    fn tell(&self, message: &ToWorker) -> Result<(), String> {
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        let told = input.as_mut().map(|input| send(input, message));
        match told {
            Some(Ok(())) => Ok(()),
            _ => Err("it died".into()),
        }
    }

    /// Waits until the worker is so far, as long as it gives signs of life and `go_on` holds.
    fn wait(&self, wanted: Stage, mut go_on: impl FnMut() -> bool) -> Result<(), String> {
        let (mut heard, mut counted) = (Instant::now(), 0);
        let missing = |stage: &mut Result<Stage, String>| matches!(stage, Ok(s) if *s < wanted);
        loop {
            let waited = self.changed.wait_timeout_while(self.stage(), PROGRESS_EVERY, missing);
            match &*waited.unwrap_or_else(PoisonError::into_inner).0 {
                Ok(stage) if *stage >= wanted => return Ok(()),
                Ok(_) => {}
                Err(what) => return Err(what.clone()),
            }
            let count = self.messages.load(Ordering::Relaxed);
            if std::mem::replace(&mut counted, count) != count {
                heard = Instant::now();
            }
            if !go_on() || heard.elapsed() > PATIENCE {
                return Err("it did not end when the others did, and says nothing".into());
            }
        }
    }
}

/// Answers a worker until it is done; says why if it is not.
fn serve(
    mut output: BufReader<ChildStdout>,
    splits: &Splits,
    progress: &Progress,
    state: &Reported,
    report: impl Fn(Report),
) -> Result<(), String> {
    loop {
        let message = receive(&mut output);
        state.messages.fetch_add(1, Ordering::Relaxed);
        match message {
            Ok(Some(ToCoordinator::NextSplit { node })) => {
                let answer = ToWorker::Split { node, split: splits.take(node) };
                state.tell(&answer)?;
            }
            Ok(Some(ToCoordinator::SplitsLeft { node })) => {
                state.tell(&ToWorker::SplitsLeft { node, left: !splits.is_empty(node) })?;
            }
            Ok(Some(ToCoordinator::Checkpoint(said))) => report(said),
            Ok(Some(ToCoordinator::Counts { subtasks })) => {
                progress.report(subtasks.into_iter().map(SubtaskCounts::from));
            }
            Ok(Some(ToCoordinator::Finished)) => state.reach(Ok(Stage::Finished)),
            Ok(Some(ToCoordinator::Committed)) => {
                state.reach(Ok(Stage::Committed));
                return Ok(());
            }
            Ok(Some(ToCoordinator::Failed { message })) => return Err(message),
            Ok(Some(_)) => {}
            Ok(None) => return Err("it died".into()),
            Err(error) => return Err(format!("it made no sense: {error}")),
        }
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
