//! The coordinator of checkpoints, in the coordinating process.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use millstream_checkpoint::{
    Coordinator, Manifest, SharedFiles, TaskId,
    coordinator::{self, Action, Config, Decline, History, Input, Snapshot, TaskSnapshot},
    manifest::{
        File, Handle, Kind, Operator, Place, Purpose, State, Subtask as SubtaskState, is_shared,
    },
    storage::CheckpointStorage,
};
use millstream_dataflow::{
    StreamGraph, TaskError,
    graph::{NodeKind, execution::ExecutionGraph},
    task::Order,
};
use millstream_executor::Outcome;

use super::{
    CheckpointOptions, Part, Recovery, Report, Restore, Savepoints, Settled, Store,
    restore::{encode_splits, operator_id, split_list},
    savepoints::{self, Request},
    store::Storage,
    work::NamedFile,
};

/// What the coordinator of a job's checkpoints has to know.
pub(crate) struct Setup {
    pub(crate) options: CheckpointOptions,
    pub(crate) store: Store,
    pub(crate) graph: StreamGraph,
    pub(crate) default_parallelism: u32,
    /// The splits of each source, as this run began.
    pub(crate) splits: BTreeMap<u32, Vec<Vec<u8>>>,
    /// The checkpoint that this run began from.
    pub(crate) restored: Option<u64>,
    /// The first one that it takes.
    pub(crate) next: u64,
    /// What it began from, if that is to be removed in its turn.
    pub(crate) claimed: Option<Restore>,
    /// Who asks for savepoints.
    pub(crate) savepoints: Savepoints,
    /// Gives a task an order, wherever it is; `None` for all of them.
    pub(crate) order: Box<dyn Fn(Option<TaskId>, Order) + Send>,
    pub(crate) outcome: Arc<Outcome>,
    /// Who has regions begin anew.
    pub(crate) settled: Sender<Settled>,
}

/// The thread of the coordinator.
pub(crate) struct Coordinating {
    sender: Sender<Message>,
    thread: Option<JoinHandle<()>>,
}

enum Message {
    Begin(Box<Setup>),
    Report(Report),
    /// Somebody asks for a savepoint.
    Asked,
    /// A savepoint was copied to its place, or was not.
    Exported(Input),
    Stop,
}

impl Coordinating {
    /// Starts the thread, which waits for the job.
    pub(crate) fn start() -> Self {
        let (sender, receiver) = channel();
        let own = sender.clone();
        let thread = thread::spawn(move || {
            // What tasks say before the job begins is kept: they may be faster.
            let mut early = VecDeque::new();
            loop {
                match receiver.recv() {
                    Ok(Message::Begin(setup)) => return run(*setup, &own, &receiver, early),
                    Ok(Message::Report(report)) => early.push_back(report),
                    Ok(Message::Asked | Message::Exported(_)) => {}
                    Ok(Message::Stop) | Err(_) => return,
                }
            }
        });
        Self { sender, thread: Some(thread) }
    }

    /// Takes what tasks say.
    pub(crate) fn reporter(&self) -> impl Fn(Report) + Clone + Send + 'static {
        let sender = self.sender.clone();
        // A coordinator that has gone does not listen any more, and need not.
        move |report| drop(sender.send(Message::Report(report)))
    }

    /// All tasks run.
    pub(crate) fn begin(&self, setup: Setup) {
        let _ = self.sender.send(Message::Begin(Box::new(setup)));
    }
}

impl Drop for Coordinating {
    fn drop(&mut self) {
        let _ = self.sender.send(Message::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(setup: Setup, own: &Sender<Message>, messages: &Receiver<Message>, early: VecDeque<Report>) {
    let outcome = Arc::clone(&setup.outcome);
    let begun = Running::new(setup, own.clone());
    let mut running = match begun {
        Ok(running) => running,
        Err(error) => return outcome.failed(error),
    };
    for task in 0..running.execution.subtasks.len() as u32 {
        running.step(Input::Running { task: TaskId(task) });
    }
    early.into_iter().for_each(|report| running.report(report));
    let call = own.clone();
    // Who asks when the run is over is heard by the next one.
    running.setup.savepoints.listen(move || drop(call.send(Message::Asked)));
    loop {
        let wait = running.machine.next_deadline().map_or(Duration::from_secs(1), |at| {
            Duration::from_millis(at.saturating_sub(running.now()))
        });
        match messages.recv_timeout(wait) {
            Ok(Message::Report(report)) => running.report(report),
            Ok(Message::Begin(_)) => {}
            Ok(Message::Asked) => running.ask(),
            Ok(Message::Exported(input)) => running.step(input),
            Err(RecvTimeoutError::Timeout) => running.step(Input::Time),
            Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    running.finish(messages);
}

/// The coordinator of a job that runs.
struct Running {
    /// Where its own threads tell it something.
    own: Sender<Message>,
    setup: Setup,
    execution: ExecutionGraph,
    machine: Coordinator,
    /// The clock, and what it says beyond: it does not go back.
    begin: Instant,
    offset_ms: u64,
    /// The newest checkpoint that has a directory.
    begun: u64,
    /// Checkpoints that were completed.
    completed: usize,
    /// Savepoints that were asked for, by number.
    requests: Vec<Request>,
    /// Where savepoints are copied to, by checkpoint.
    savepoints: BTreeMap<u64, PathBuf>,
    exports: Vec<JoinHandle<()>>,
    /// The request whose savepoint is complete, the last one.
    answered: Option<Request>,
    /// The run is over, and what it says is heard by nobody.
    over: bool,
    /// Which checkpoints refer to which shared files.
    shared: SharedFiles,
    /// What checkpoints had in files, and those of them that have something.
    in_files: InFiles,
    checkpoints_in_files: u32,
}

impl Running {
    fn new(setup: Setup, own: Sender<Message>) -> Result<Self, TaskError> {
        let execution = ExecutionGraph::new(&setup.graph, setup.default_parallelism);
        let numbers: BTreeMap<_, _> = execution.subtasks.iter().zip(0..).collect();
        let inputs = execution.subtasks.iter().map(|subtask| {
            let channels = execution.channels.iter().filter(|wire| wire.consumer == *subtask);
            channels.filter_map(|wire| numbers.get(&wire.producer).copied().map(TaskId)).collect()
        });
        let options = &setup.options;
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let config = Config {
            interval_ms: Some(millis(options.interval).max(1)),
            timeout_ms: millis(options.timeout).max(1),
            min_pause_ms: millis(options.min_pause),
            tolerable_failures: options.tolerable_failures,
            retained: options.retained.max(1),
            alignment: options.barriers.alignment(),
            ..Config::default()
        };
        let wrong =
            |error: millstream_checkpoint::storage::StorageError| TaskError::new(error.to_string());
        let history = History {
            next: setup.next,
            retained: setup.store.list().map_err(wrong)?,
            newest: setup.restored,
        };
        let shared = setup.store.references().map_err(wrong)?;
        let machine = Coordinator::new(config, inputs.collect::<Vec<_>>(), history);
        let offset_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis);
        Ok(Self {
            own,
            setup,
            execution,
            machine,
            begin: Instant::now(),
            offset_ms,
            begun: 0,
            completed: 0,
            requests: Vec::new(),
            savepoints: BTreeMap::new(),
            exports: Vec::new(),
            answered: None,
            over: false,
            shared,
            in_files: InFiles::default(),
            checkpoints_in_files: 0,
        })
    }

    /// Takes what is asked for.
    fn ask(&mut self) {
        for request in self.setup.savepoints.waiting() {
            if self.setup.options.savepoints.is_none() {
                eprintln!(
                    "no savepoint is taken: nobody has said where savepoints go, see --savepoint-dir"
                );
                continue;
            }
            let number = self.requests.len() as u64;
            self.requests.push(request);
            self.step(match request {
                Request::Take => Input::Savepoint { request: number },
                Request::Stop { drain } => Input::StopWithSavepoint { request: number, drain },
            });
        }
    }

    /// The run is over: savepoints that are being copied are waited for.
    fn finish(mut self, messages: &Receiver<Message>) {
        self.over = true;
        if self.checkpoints_in_files > 0 {
            let (count, InFiles { all, new }) = (self.checkpoints_in_files, self.in_files);
            eprintln!(
                "{count} checkpoints refer to {all} bytes in files, {new} of them written anew"
            );
        }
        for export in self.exports.drain(..) {
            // A panic inside was said where it happened.
            let _ = export.join();
        }
        while let Ok(message) = messages.try_recv() {
            if let Message::Exported(input) = message {
                self.step(input);
            }
        }
    }

    fn now(&self) -> u64 {
        self.offset_ms + u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(0)
    }

    fn report(&mut self, report: Report) {
        let input = match report {
            Report::Acknowledge { checkpoint, task, part, in_flight, files, gone } => {
                self.account(checkpoint, TaskId(task), &files, gone);
                Input::Acknowledge {
                    checkpoint,
                    task: TaskId(task),
                    state: serde_json::to_vec(&(part, in_flight, files)).unwrap_or_default().into(),
                }
            }
            Report::Decline { checkpoint, task, reason } => {
                Input::Decline { checkpoint, task: TaskId(task), reason: Decline::Failed(reason) }
            }
            Report::EndOfData { task } => Input::EndOfData { task: TaskId(task) },
            Report::Fell { region, tasks } => return self.fell(region, tasks),
            Report::Runs { tasks } => {
                let run = |task| self.step(Input::Running { task: TaskId(task) });
                return tasks.into_iter().for_each(run);
            }
        };
        self.step(input);
    }

    /// Tasks of a region failed: what is pending is given up, and the region hears what it begins anew from.
    /// Manifests are stored by this thread, so that none of a checkpoint is on its way now.
    fn fell(&mut self, region: u32, tasks: Vec<u32>) {
        let is_alone = self.machine.lets_others_go_on();
        tasks.into_iter().for_each(|task| self.step(Input::Failed { task: TaskId(task) }));
        let from = match self.machine.newest() {
            _ if !is_alone => Recovery::Together,
            Some(newest) if self.setup.restored != Some(newest) => Recovery::Checkpoint(newest),
            _ => Recovery::Beginning,
        };
        // Whoever does not listen any more has ended the run.
        let _ = self.setup.settled.send(Settled { region, from });
    }

    /// Keeps account of shared files that a task has said to be its state. A savepoint names none, whatever
    /// there is.
    fn account(&mut self, checkpoint: u64, task: TaskId, files: &[NamedFile], gone: Vec<String>) {
        if files.is_empty() && gone.is_empty() {
            return;
        }
        let names = files.iter().map(|file| &file.name).filter(|name| is_shared(name));
        let unused = self.shared.acknowledged(checkpoint, task, names.cloned(), gone);
        self.unshare(&unused);
    }

    /// Removes shared files that nobody refers to any more.
    fn unshare(&self, names: &[String]) {
        if let Err(error) = self.setup.store.unshare(names) {
            eprintln!("warning: a file that no checkpoint refers to stays for now: {error}");
        }
    }

    /// Tells the machine, and does what follows.
    fn step(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let mut actions = Vec::new();
            self.machine.step(self.now(), input, &mut actions);
            for action in actions {
                inputs.extend(self.act(action));
            }
        }
    }

    /// Does something; gives what came of it.
    fn act(&mut self, action: Action) -> Option<Input> {
        let store = &self.setup.store;
        match action {
            Action::Trigger { task, barrier, drain } => {
                let checkpoint = barrier.checkpoint;
                if self.begun < checkpoint {
                    self.begun = checkpoint;
                    self.shared.begun(checkpoint);
                    if let Err(error) = store.begin(checkpoint) {
                        let reason = Decline::Failed(error.to_string());
                        return Some(Input::Decline { checkpoint, task, reason });
                    }
                }
                if drain {
                    (self.setup.order)(Some(task), Order::Drain);
                }
                (self.setup.order)(Some(task), Order::Trigger(barrier));
            }
            Action::Abort { checkpoint, reason } => {
                eprintln!("checkpoint {checkpoint} is given up: {}", self.explain(&reason));
                (self.setup.order)(None, Order::Abort(checkpoint));
                self.discard(checkpoint);
            }
            Action::Store(snapshot) if snapshot.barrier.purpose != Purpose::Checkpoint => {
                let checkpoint = snapshot.barrier.checkpoint;
                if let Err(reason) = self.export(&snapshot) {
                    return Some(Input::StoreFailed { checkpoint, reason });
                }
            }
            Action::Store(snapshot) => {
                let checkpoint = snapshot.barrier.checkpoint;
                let stored = self.manifest(&snapshot).and_then(|manifest| {
                    self.setup.store.complete(&manifest).map_err(|error| error.to_string())
                });
                return Some(match stored {
                    Ok(()) => Input::Stored { checkpoint },
                    Err(reason) => Input::StoreFailed { checkpoint, reason },
                });
            }
            Action::Complete(permit) => {
                (self.setup.order)(None, Order::Complete(permit));
                self.completed += 1;
                if self.completed >= self.setup.options.retained.max(1) {
                    self.setup.claimed.take().iter().for_each(Restore::discard);
                }
            }
            Action::Answer { request, result } => self.answer(request, result),
            Action::Discard { checkpoint } => {
                self.discard(checkpoint);
                if let Some(path) = self.savepoints.remove(&checkpoint)
                    && let Err(error) =
                        Storage::savepoint(&path).and_then(|store| store.discard(checkpoint))
                {
                    eprintln!("warning: {error}");
                }
            }
            Action::End { .. } if self.over => {}
            Action::End { .. } => {
                if let Some(Request::Stop { drain }) = self.answered {
                    self.setup.savepoints.stops(drain);
                }
                (self.setup.order)(None, Order::End);
            }
            Action::FailJob { reason, .. } => {
                let what = self.explain(&reason);
                self.setup.outcome.failed(TaskError::new(format!("a checkpoint failed: {what}")));
            }
        }
        None
    }

    /// Copies a savepoint to its place, on a thread of its own: that takes as long as it takes.
    fn export(&mut self, snapshot: &Snapshot) -> Result<(), String> {
        let Some(directory) = self.setup.options.savepoints.clone() else {
            return Err("nobody has said where savepoints go".into());
        };
        let manifest = self.manifest(snapshot)?;
        let path = savepoints::directory(&directory, &manifest);
        self.savepoints.insert(manifest.checkpoint, path.clone());
        let (store, own) = (Arc::clone(&self.setup.store), self.own.clone());
        self.exports.push(thread::spawn(move || {
            let checkpoint = manifest.checkpoint;
            let exported = savepoints::export(&store, &manifest, &path);
            // The coordinator waits for this thread.
            let _ = own.send(Message::Exported(match exported {
                Ok(()) => Input::Stored { checkpoint },
                Err(reason) => Input::StoreFailed { checkpoint, reason },
            }));
        }));
        Ok(())
    }

    /// Says what became of a savepoint.
    fn answer(&mut self, request: u64, result: Result<u64, coordinator::Failure>) {
        let request = usize::try_from(request).ok().and_then(|at| self.requests.get(at)).copied();
        match result.as_ref().map(|checkpoint| self.savepoints.get(checkpoint)) {
            Ok(Some(path)) => {
                self.setup.savepoints.add(path.clone());
                let what = match request {
                    Some(Request::Stop { .. }) => "the job stops with savepoint",
                    _ => "savepoint",
                };
                eprintln!("{what}: {}", path.display());
                self.answered = request;
            }
            Ok(None) => {}
            Err(reason) => eprintln!("no savepoint was taken: {}", self.explain(reason)),
        }
    }

    fn discard(&mut self, checkpoint: u64) {
        match self.setup.store.discard(checkpoint) {
            Ok(()) => {
                let unused = self.shared.discarded(checkpoint);
                self.unshare(&unused);
            }
            // What it refers to has to stay, too.
            Err(error) => {
                eprintln!("warning: checkpoint {checkpoint} cannot be removed: {error}");
            }
        }
    }

    /// A failure with the names of tasks instead of their numbers.
    fn explain(&self, reason: &coordinator::Failure) -> String {
        let mut text = reason.to_string();
        // The longest numbers first: `task 1` is the beginning of `task 12`.
        for (number, subtask) in self.execution.subtasks.iter().enumerate().rev() {
            let node = self.setup.graph.nodes.get(subtask.node as usize);
            let name = node.map_or("", |node| &node.name);
            text = text
                .replace(&format!("task {number} "), &format!("{name} ({}) ", subtask.index + 1));
        }
        text
    }

    /// What a checkpoint consists of.
    fn manifest(&mut self, snapshot: &Snapshot) -> Result<Manifest, String> {
        let Setup { graph, default_parallelism, splits, .. } = &self.setup;
        let (mut files, mut named) = (Vec::new(), BTreeSet::new());
        let mut in_files = InFiles::default();
        let mut operators: BTreeMap<u32, Operator> = BTreeMap::new();
        for (subtask, part) in self.execution.subtasks.iter().zip(&snapshot.tasks) {
            let operator = operators.entry(subtask.node).or_insert_with(|| Operator {
                id: operator_id(graph, subtask.node),
                max_parallelism: graph.max_parallelism(subtask.node, *default_parallelism),
                subtasks: Vec::new(),
            });
            let kind = match graph.nodes.get(subtask.node as usize).map(|node| &node.kind) {
                Some(NodeKind::Source(_)) => Kind::Source,
                Some(NodeKind::Sink(_) | NodeKind::Result(_)) => Kind::Sink,
                _ => Kind::Operator,
            };
            operator.subtasks.push(match part {
                TaskSnapshot::Finished => SubtaskState { finished: true, states: Vec::new() },
                TaskSnapshot::State(part) => {
                    let parts: (Part, Part, Vec<NamedFile>) =
                        serde_json::from_slice(part).map_err(|error| error.to_string())?;
                    let state = place(parts.0, &mut files).map(|place| State { kind, place });
                    let in_flight = place(parts.1, &mut files);
                    for NamedFile { name, length, checksum, is_new } in parts.2 {
                        // Subtasks may have key groups of the same file.
                        if named.insert(name.clone()) {
                            files.push(File { name, length, checksum });
                            in_files.add(length, is_new);
                        }
                    }
                    let in_flight = in_flight.map(|place| State { kind: Kind::InFlight, place });
                    let states = state.into_iter().chain(in_flight).collect();
                    SubtaskState { finished: false, states }
                }
            });
        }
        let lists = splits.iter().map(|(node, splits)| Operator {
            id: split_list(&operator_id(graph, *node)),
            max_parallelism: 1,
            subtasks: vec![SubtaskState {
                finished: false,
                states: vec![State {
                    kind: Kind::Source,
                    place: Place::Inline(encode_splits(splits).into()),
                }],
            }],
        });
        let operators = operators.into_values().chain(lists).collect();
        if in_files.all > 0 {
            self.checkpoints_in_files += 1;
            self.in_files.all += in_files.all;
            self.in_files.new += in_files.new;
        }
        Ok(Manifest {
            checkpoint: snapshot.barrier.checkpoint,
            timestamp_ms: snapshot.barrier.timestamp_ms,
            purpose: snapshot.barrier.purpose,
            job: graph.name.clone(),
            graph_hash: graph.fingerprint(),
            files,
            operators,
        })
    }
}

/// State in files, of a checkpoint or of many: bytes, and those of files that the checkpoint before did not
/// have.
#[derive(Clone, Copy, Debug, Default)]
struct InFiles {
    all: u64,
    new: u64,
}

impl InFiles {
    fn add(&mut self, length: u64, is_new: bool) {
        self.all += length;
        self.new += if is_new { length } else { 0 };
    }
}

/// Where the state of a task is, in words of the manifest; nowhere if it has none.
fn place(part: Part, files: &mut Vec<File>) -> Option<Place> {
    match part {
        Part::Inline(bytes) if bytes.is_empty() => None,
        Part::Inline(bytes) => Some(Place::Inline(bytes.into())),
        Part::File { name, length, checksum } => {
            files.push(File { name: name.clone(), length, checksum });
            Some(Place::File(Handle { file: name, offset: 0, length }))
        }
    }
}
