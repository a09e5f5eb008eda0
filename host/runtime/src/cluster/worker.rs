//! A worker process.

use std::{
    io::{self, BufReader, Stdin, Stdout},
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Instant,
};

use millstream_checkpoint::TaskId;
use millstream_dataflow::{TaskError, graph::execution::Subtask};
use millstream_executor::Outcome;
use millstream_net::{Preference, Transport, choose, connect, listen};

use super::message::{SubtaskReport, ToCoordinator, ToWorker, receive, send};
use crate::{
    Config, Progress, RunError,
    checkpoint::{Directory, Participation, TakingPart},
    config::Origin,
    deploy::{self, Part},
    failover::{Overseer, Plan},
    result::{Discard, SharedResult},
    threads::{Groups, Split, SplitService},
};

/// Runs one part of a job, as the coordinator at the other end of standard input and output says.
/// Standard output is for messages alone.
pub fn work() -> ExitCode {
    let mut pipe = Pipe { input: BufReader::new(io::stdin()), output: Arc::default() };
    match pipe.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If the coordinator has gone, nobody has to be told.
            let _ = pipe.output.send(&ToCoordinator::Failed { message: error.to_string() });
            ExitCode::FAILURE
        }
    }
}

/// The pipe to the coordinator.
struct Pipe {
    input: BufReader<Stdin>,
    output: Arc<Output>,
}

/// Standard output, for whichever thread has something to say.
struct Output(Mutex<Stdout>);

impl Default for Output {
    fn default() -> Self {
        Self(Mutex::new(io::stdout()))
    }
}

impl Output {
    fn send(&self, message: &ToCoordinator) -> Result<(), TaskError> {
        let mut output = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        send(&mut *output, message).map_err(|error| gone(&error))
    }
}

fn gone(error: &dyn std::fmt::Display) -> TaskError {
    TaskError::new(format!("the coordinator is gone: {error}"))
}

impl Pipe {
    fn next(&mut self) -> Result<ToWorker, TaskError> {
        match receive(&mut self.input) {
            Ok(Some(message)) => Ok(message),
            Ok(None) => Err(gone(&"its pipe was closed")),
            Err(error) => Err(gone(&error)),
        }
    }

    fn run(&mut self) -> Result<(), RunError> {
        let begin = Instant::now();
        let ToWorker::Start { spec, worker, processes, transport, restore } =
            self.task(Self::next)?
        else {
            return Err(RunError::Task(gone(&"it did not begin with a job")));
        };
        let mut config = Config::new();
        for (key, value) in &spec.settings {
            config
                .insert(key, value.clone(), Origin::CommandLine)
                .map_err(|error| RunError::Task(TaskError::new(error.to_string())))?;
        }
        let (registry, program) = super::coordinator::open(&spec)?;
        let runtime = config.builder()?.plugins(registry).build()?;
        let preference = match transport.as_str() {
            "uring" => Preference::Only(Transport::Uring),
            _ => Preference::Only(Transport::Tcp),
        };
        let transport = choose(preference)?;
        let listener = listen()?;
        let stream_graph = program.graph()?;
        let graph = stream_graph.fingerprint();
        self.say(&ToCoordinator::Listening { port: listener.port()?, graph })?;
        let ToWorker::Connect { ports } = self.task(Self::next)? else {
            return Err(RunError::Task(gone(&"it did not name the other workers")));
        };
        let streams = connect(&listener, worker, &ports)?;
        let (splits, answers) = RemoteSplits::new(Arc::clone(&self.output));
        let output = Arc::clone(&self.output);
        // A coordinator that has gone is noticed elsewhere.
        let reported = move |report| drop(output.send(&ToCoordinator::Checkpoint(report)));
        let options = runtime.checkpoints.as_ref();
        let taking_part = TakingPart::open(options, &stream_graph, restore, reported)?;
        let directory = taking_part.as_ref().map(TakingPart::directory);
        let groups = Arc::new(Groups::among_others());
        let part = Part {
            own: worker,
            processes,
            streams,
            transport: Some(transport),
            splits: Some(Arc::new(splits)),
            enumerated: Arc::default(),
            groups: Arc::clone(&groups),
            checkpoints: taking_part.as_ref().map(TakingPart::participation),
        };
        let plan = Plan::new(&stream_graph, runtime.parallelism, processes, options)?;
        let discard: SharedResult = Arc::new(Mutex::new(Box::new(Discard)));
        let deployment = deploy::deploy(&runtime, &program, discard, part, &plan)?;
        self.say(&ToCoordinator::Ready)?;
        let ToWorker::Run = self.task(Self::next)? else {
            return Err(RunError::Task(gone(&"it did not start the job")));
        };
        let outcome = Arc::clone(deployment.outcome());
        let (restart, restarts) = channel();
        let heard = Arc::clone(&groups);
        let committed = self.listen_on(outcome, answers, directory, restart, heard);
        let output = Arc::clone(&self.output);
        let mut regions = taking_part.as_ref().filter(|_| plan.has_parts()).map(|taking_part| {
            let (job, output) = (stream_graph.name.clone(), Arc::clone(&self.output));
            Regions { job, taking_part, restarts, output }
        });
        let overseer = regions.as_mut().map(|regions| regions as &mut dyn Overseer);
        let watch = &mut |progress: &Progress, outcome: &Arc<Outcome>| {
            let aligned = groups.report();
            let said = aligned.is_empty().then_some(Ok(()));
            let said =
                said.unwrap_or_else(|| output.send(&ToCoordinator::Aligned { groups: aligned }));
            if said.and_then(|()| output.send(&report(progress))).is_err() {
                outcome.cancel();
            }
        };
        let (summary, commits) = runtime.finish(deployment, begin, overseer, watch)?;
        self.say(&report(&summary.progress))?;
        self.say(&ToCoordinator::Aligned { groups: Vec::new() })?;
        self.say(&ToCoordinator::Finished)?;
        committed.recv().map_err(|_| RunError::Task(gone(&"it never said that all is done")))?;
        commits.commit()?;
        self.say(&ToCoordinator::Committed)
    }

    fn task<T>(
        &mut self,
        call: impl FnOnce(&mut Self) -> Result<T, TaskError>,
    ) -> Result<T, RunError> {
        call(self).map_err(RunError::Task)
    }

    fn say(&self, message: &ToCoordinator) -> Result<(), RunError> {
        self.output.send(message).map_err(RunError::Task)
    }

    /// From now on a thread hands answers to those who asked, says when the results may be shown,
    /// and ends the run when the coordinator goes. It holds standard input until the process ends.
    fn listen_on(
        &mut self,
        outcome: Arc<Outcome>,
        answers: Sender<Answer>,
        directory: Option<Arc<Directory>>,
        restart: Sender<(u32, Option<PathBuf>)>,
        groups: Arc<Groups>,
    ) -> Receiver<()> {
        let (commit, committed) = channel();
        let mut input = std::mem::replace(&mut self.input, BufReader::new(io::stdin()));
        thread::spawn(move || {
            while let Ok(Some(message)) = receive::<ToWorker>(&mut input) {
                // Nobody waits any more if the run is over.
                let _ = match message {
                    ToWorker::Split { split, .. } => answers.send(Answer::Split(split)).is_ok(),
                    ToWorker::SplitsLeft { left, .. } => answers.send(Answer::Left(left)).is_ok(),
                    ToWorker::Order { task, order } => {
                        if let (Some(directory), Some(order)) = (&directory, order.order()) {
                            match task {
                                Some(task) => drop(directory.order(TaskId(task), order)),
                                None => directory.order_all(order),
                            }
                        }
                        true
                    }
                    ToWorker::Aligned { groups: others } => {
                        others.iter().for_each(|(name, least)| groups.elsewhere(name, *least));
                        true
                    }
                    ToWorker::Restart { region, checkpoint } => {
                        restart.send((region, checkpoint)).is_ok()
                    }
                    ToWorker::Commit => commit.send(()).is_ok(),
                    _ => false,
                };
            }
            outcome.failed(gone(&"its pipe was closed"));
        });
        committed
    }
}

fn report(progress: &Progress) -> ToCoordinator {
    let subtasks = progress.own_subtasks().into_iter().map(SubtaskReport::from).collect();
    ToCoordinator::Counts { subtasks }
}

/// The regions of this process, about which the coordinator decides.
struct Regions<'a> {
    job: String,
    taking_part: &'a TakingPart,
    /// Those that are to begin anew, and the directories of checkpoints.
    restarts: Receiver<(u32, Option<PathBuf>)>,
    output: Arc<Output>,
}

impl Overseer for Regions<'_> {
    fn failed(&mut self, region: u32, error: TaskError, job: &Outcome) {
        let message = error.to_string();
        if let Err(gone) = self.output.send(&ToCoordinator::RegionFailed { region, message }) {
            job.failed(gone);
        }
    }

    fn due(&mut self, job: &Outcome) -> Vec<(u32, Participation)> {
        let mut due = Vec::new();
        while let Ok((region, checkpoint)) = self.restarts.try_recv() {
            match self.taking_part.participation_again(&self.job, checkpoint) {
                Ok(checkpoints) => due.push((region, checkpoints)),
                Err(error) => job.failed(error),
            }
        }
        due
    }
}

/// Splits that the coordinator hands out. One source asks at a time.
struct RemoteSplits {
    output: Arc<Output>,
    answers: Mutex<Receiver<Answer>>,
}

impl RemoteSplits {
    fn new(output: Arc<Output>) -> (Self, Sender<Answer>) {
        let (sender, receiver) = channel();
        (Self { output, answers: Mutex::new(receiver) }, sender)
    }
}

/// What the coordinator says of splits.
enum Answer {
    Split(Option<Split>),
    Left(bool),
}

impl RemoteSplits {
    /// Asks, and waits for the answer: the next one is to this question, since one asks at a time.
    fn ask(&self, question: &ToCoordinator) -> Result<Answer, TaskError> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        self.output.send(question)?;
        answers.recv().map_err(|error| gone(&error))
    }
}

impl SplitService for RemoteSplits {
    fn next(&self, Subtask { node, index }: Subtask) -> Result<Option<Split>, TaskError> {
        match self.ask(&ToCoordinator::NextSplit { node, index })? {
            Answer::Split(split) => Ok(split),
            Answer::Left(_) => Err(gone(&"it answered another question")),
        }
    }

    fn is_exhausted(&self, Subtask { node, index }: Subtask) -> Result<bool, TaskError> {
        match self.ask(&ToCoordinator::SplitsLeft { node, index })? {
            Answer::Left(left) => Ok(!left),
            Answer::Split(_) => Err(gone(&"it answered another question")),
        }
    }

    fn begin_anew(&self, subtask: Subtask, taken: &[u32]) -> Result<(), TaskError> {
        let Subtask { node, index } = subtask;
        self.output.send(&ToCoordinator::SplitsAgain { node, index, taken: taken.to_vec() })
    }
}
