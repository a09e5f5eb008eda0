//! From a program to tasks, threads and channels.

mod demand;
mod ends;
mod links;
mod managed;
mod recovery;

use std::{
    collections::BTreeMap, net::TcpStream, os::fd::AsFd, sync::Arc, task::Waker, thread::JoinHandle,
};

use millstream_checkpoint::TaskId as TaskNumber;
use millstream_dataflow::{
    Chain, OpenInfo, StreamGraph, TaskError,
    chain::OutputInfo,
    channel::{Sender, channel},
    graph::{
        NodeKind, SortSpec,
        execution::{ExecutionGraph, Slots, Subtask},
    },
    sort::SortChain,
    task::{
        Checkpoints, Input, Outputs, Recovered, ResultPartition, Task, TaskMetrics,
        in_flight::Origin,
    },
};
use millstream_exchange::debloat::DebloatConfig;
use millstream_executor::{
    Executor, Outcome, Running, TaskId,
    blocking::{Doorbell, spawn_sink, spawn_source},
};
use millstream_net::Chosen;

use ends::{SinkThread, SourceThread};

use crate::{
    JobProgram, Progress, RunError, Runtime,
    checkpoint::{Participation, Restore, TaskWork, operator_id},
    progress::Kind,
    result::SharedResult,
    threads::{SplitService, Splits},
};

/// A job that is ready to start.
pub(crate) struct Deployment {
    executor: Box<dyn Executor>,
    sources: Vec<SourceThread>,
    sinks: Vec<SinkThread>,
    commits: Commits,
    progress: Progress,
}

/// What is left to do when every part of the job is done: its results are shown.
#[derive(Default)]
pub(crate) struct Commits {
    sinks: Vec<Commit>,
    result: Vec<Commit>,
}

type Commit = Box<dyn FnOnce() -> Result<(), TaskError>>;

impl Commits {
    fn add(&mut self, commit: impl FnOnce() -> Result<(), TaskError> + 'static) {
        self.sinks.push(Box::new(commit));
    }

    fn add_result(&mut self, commit: impl FnOnce() -> Result<(), TaskError> + 'static) {
        self.result.push(Box::new(commit));
    }

    /// The result is kept back: it is part of the savepoint that the job stopped with, and shown when
    /// whoever goes on from there comes to its end.
    pub(crate) fn without_result(self) -> Self {
        Self { result: Vec::new(), ..self }
    }

    /// Shows the results. Those of the sinks before one that fails are shown then.
    pub(crate) fn commit(self) -> Result<(), RunError> {
        let mut all = self.sinks.into_iter().chain(self.result);
        all.try_for_each(|commit| commit()).map_err(RunError::Task)
    }
}

/// What runs beside the workers, and how the job goes.
pub(crate) struct Threads {
    pub(crate) progress: Progress,
    pub(crate) commits: Commits,
    handles: Vec<JoinHandle<()>>,
}

impl Threads {
    /// Waits for the threads; how they fared is in the outcome.
    pub(crate) fn join(&mut self) {
        for handle in self.handles.drain(..) {
            // A panic inside was caught and reported where it happened.
            let _ = handle.join();
        }
    }
}

impl Deployment {
    /// How the job will go.
    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Where failures are reported.
    pub(crate) fn outcome(&self) -> &Arc<Outcome> {
        self.executor.outcome()
    }

    /// Starts everything: consumers first.
    pub(crate) fn start(self) -> (Box<dyn Running>, Threads) {
        let Self { executor, sources, sinks, commits, progress } = self;
        let outcome = Arc::clone(executor.outcome());
        let mut handles = Vec::new();
        for SinkThread { name, sink, channels, doorbell, metrics, checkpoints } in sinks {
            let outcome = Arc::clone(&outcome);
            let handle = spawn_sink(name, sink, channels, &doorbell, metrics, outcome, checkpoints);
            handles.push(handle);
        }
        let running = executor.start();
        for SourceThread { name, source, pool, channel, metrics, checkpoints } in sources {
            let outcome = Arc::clone(&outcome);
            let handle = spawn_source(name, source, pool, channel, metrics, outcome, checkpoints);
            handles.push(handle);
        }
        (running, Threads { progress, commits, handles })
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
            checkpoints: None,
        }
    }

    /// The process that runs a subtask.
    fn of(&self, subtask: Subtask) -> u32 {
        subtask.index % self.processes
    }

    fn is_own(&self, subtask: Subtask) -> bool {
        self.of(subtask) == self.own
    }
}

/// Makes the tasks, threads and channels of a part of a program.
pub(crate) fn deploy(
    runtime: &Runtime,
    program: &dyn JobProgram,
    result: SharedResult,
    part: Part,
) -> Result<Deployment, RunError> {
    let graph = program.graph()?;
    graph.check(runtime.parallelism)?;
    let execution = ExecutionGraph::new(&graph, runtime.parallelism);
    let mut deployer = Deployer {
        runtime,
        graph: &graph,
        executor: runtime.executor.executor(),
        ends: BTreeMap::new(),
        outputs: BTreeMap::new(),
        inputs: BTreeMap::new(),
        progress: Progress::of(&graph.name),
        links: links::Links::default(),
        managed: managed::Managed::of(runtime, &graph, &part),
        commits: Commits::default(),
        numbers: execution.subtasks.iter().copied().zip((0..).map(TaskNumber)).collect(),
        part: &part,
    };
    demand::check(runtime, &graph, &execution, &part)?;
    deployer.reserve(&execution);
    deployer.connect(&execution)?;
    let mut result = Some(result);
    let (mut sources, mut sinks) = (Vec::new(), Vec::new());
    for (number, node) in graph.nodes.iter().enumerate() {
        let number = number as u32;
        match &node.kind {
            NodeKind::Chain { stateful, .. } => {
                deployer.place_chain(number, *stateful, program)?;
            }
            NodeKind::Sort(spec) => deployer.place_sort(number, spec)?,
            NodeKind::Source(spec) => sources.extend(deployer.sources(number, spec)?),
            NodeKind::Sink(spec) => sinks.extend(deployer.sinks(number, spec)?),
            NodeKind::Result(schema) => {
                let result = result.take().ok_or_else(|| {
                    RunError::Task(TaskError::new("a job has one result: use sinks for the others"))
                })?;
                sinks.extend(deployer.result(number, schema, result)?);
            }
        }
    }
    let Deployer { mut executor, progress, links, commits, .. } = deployer;
    links.place(&mut *executor, runtime, graph.fingerprint(), part)?;
    Ok(Deployment { executor, sources, sinks, commits, progress })
}

/// One output of a subtask.
#[derive(Default)]
struct Output {
    /// By subpartition.
    senders: Vec<Sender>,
    /// The node that reads it, or the last of them.
    consumer: u32,
    /// Some of them lead to another process.
    leaves_process: bool,
    /// Several read the same pages.
    is_shared: bool,
}

/// Where a subtask runs, as far as those need to know who write to it.
enum End {
    Worker(TaskId),
    Thread(Doorbell),
}

struct Deployer<'a> {
    runtime: &'a Runtime,
    graph: &'a StreamGraph,
    executor: Box<dyn Executor>,
    ends: BTreeMap<Subtask, End>,
    /// By producer and number of the output.
    outputs: BTreeMap<Subtask, BTreeMap<u16, Output>>,
    /// By consumer: the input, and the channel.
    inputs: BTreeMap<Subtask, Vec<Input>>,
    progress: Progress,
    links: links::Links,
    managed: managed::Managed,
    commits: Commits,
    /// What subtasks are called in checkpoints.
    numbers: BTreeMap<Subtask, TaskNumber>,
    part: &'a Part,
}

impl Deployer<'_> {
    /// Gives every subtask a place, so that channels know whom to wake.
    fn reserve(&mut self, execution: &ExecutionGraph) {
        let slots = Slots::new(self.graph, self.runtime.parallelism);
        for subtask in execution.subtasks.iter().filter(|subtask| self.part.is_own(**subtask)) {
            let local = (slots.of(*subtask) / self.part.processes) as usize;
            let end = match self.graph.nodes[subtask.node as usize].kind {
                // What shares a slot shares a worker: what is chained meets in its cache.
                NodeKind::Chain { .. } | NodeKind::Sort(_) => {
                    End::Worker(self.executor.reserve(local))
                }
                _ => End::Thread(Doorbell::default()),
            };
            self.ends.insert(*subtask, end);
        }
    }

    fn connect(&mut self, execution: &ExecutionGraph) -> Result<(), RunError> {
        self.links.reserve(&mut *self.executor, self.part);
        for wire in &execution.channels {
            let (from, to) = (self.part.of(wire.producer), self.part.of(wire.consumer));
            let own = self.part.own;
            let (sender, receiver) = match (from == own, to == own) {
                (true, true) => {
                    let (sender, receiver) = channel(self.waker(wire.consumer));
                    (Some(sender), Some(receiver))
                }
                (true, false) => (Some(self.links.outlet(&*self.executor, to, wire)), None),
                (false, true) => {
                    let schema = &self.graph.edges[wire.edge as usize].schema;
                    let waker = self.waker(wire.consumer);
                    let inlet = self.links.inlet(
                        &*self.executor,
                        self.runtime,
                        from,
                        wire,
                        schema,
                        waker,
                    )?;
                    (None, Some(inlet))
                }
                (false, false) => continue,
            };
            if let Some(sender) = sender {
                let outputs = self.outputs.entry(wire.producer).or_default();
                let edge = &self.graph.edges[wire.edge as usize];
                let output = outputs.entry(edge.output).or_default();
                output.consumer = edge.to;
                output.senders.push(sender);
                output.leaves_process |= to != own;
                output.is_shared |= recovery::is_shared(self.graph, edge);
            }
            if let Some(receiver) = receiver {
                let edge = &self.graph.edges[wire.edge as usize];
                let origin = Origin { edge: wire.edge, subtask: wire.producer.index };
                let origin = (!recovery::is_shared(self.graph, edge)).then_some(origin);
                let input = Input { receiver, port: edge.input, origin };
                self.inputs.entry(wire.consumer).or_default().push(input);
            }
        }
        Ok(())
    }

    fn waker(&self, subtask: Subtask) -> Waker {
        match &self.ends[&subtask] {
            End::Worker(id) => self.executor.waker(*id),
            End::Thread(doorbell) => doorbell.waker(),
        }
    }

    fn subtasks(&self, node: u32) -> impl Iterator<Item = Subtask> + use<> {
        let parallelism = self.graph.parallelism(node, self.runtime.parallelism);
        let (own, processes) = (self.part.own, self.part.processes);
        let own = move |index: &u32| index % processes == own;
        (0..parallelism).filter(own).map(move |index| Subtask { node, index })
    }

    fn name(&self, subtask: Subtask) -> String {
        let parallelism = self.graph.parallelism(subtask.node, self.runtime.parallelism);
        let name = &self.graph.nodes[subtask.node as usize].name;
        format!("{name} ({}/{parallelism})", subtask.index + 1)
    }

    /// What the job begins from, if not from its beginning.
    fn restore(&self) -> Option<&Restore> {
        self.part.checkpoints.as_ref()?.restore.as_ref()
    }

    /// The end of a subtask for checkpoints.
    fn checkpoints(&self, subtask: Subtask) -> Option<Box<dyn Checkpoints>> {
        let number = self.numbers.get(&subtask)?;
        self.part.checkpoints.as_ref().map(|checkpoints| checkpoints.task(*number))
    }

    /// Where the state of a subtask is, if it is in files that checkpoints refer to.
    fn work(&self, subtask: Subtask) -> Option<TaskWork> {
        let number = self.numbers.get(&subtask)?;
        Some(self.part.checkpoints.as_ref()?.work.task(*number))
    }

    fn count(&mut self, subtask: Subtask, name: &str, kind: Kind, metrics: &Arc<TaskMetrics>) {
        self.progress.add(subtask, name, kind, metrics);
    }

    /// Places the subtasks of a chain, which gets managed memory if it is `stateful`.
    fn place_chain(
        &mut self,
        node: u32,
        stateful: bool,
        program: &dyn JobProgram,
    ) -> Result<(), RunError> {
        for subtask in self.subtasks(node) {
            let mut info = self.open_info(subtask);
            if stateful {
                let work = self.work(subtask);
                let state = self.managed.state(self.runtime, &self.name(subtask), work.as_ref());
                info.state = Some(state?);
            }
            let chain = program.chain(node, &info);
            let mut chain = chain.map_err(|error| RunError::Task(error.at(self.name(subtask))))?;
            if let Some(restore) = self.restore() {
                let operator = operator_id(self.graph, node);
                let groups = self.graph.max_parallelism(node, self.runtime.parallelism);
                let restored = restore.check_key_groups(&operator, groups);
                let restored =
                    restored.and_then(|()| restore.each(&operator, |chunks| chain.restore(chunks)));
                restored.map_err(|error| RunError::Task(error.at(self.name(subtask))))?;
            }
            let recovered = self.recovered(subtask, &info, program);
            let recovered =
                recovered.map_err(|error| RunError::Task(error.at(self.name(subtask))))?;
            self.place(subtask, chain, recovered)?;
        }
        Ok(())
    }

    /// Places the subtasks of a node that sorts, each with its share of managed memory and files of
    /// its own.
    fn place_sort(&mut self, node: u32, spec: &SortSpec) -> Result<(), RunError> {
        for subtask in self.subtasks(node) {
            let name = self.name(subtask);
            let info = self.open_info(subtask);
            let (resources, file) = self.managed.open(self.runtime, &name)?;
            let chain = SortChain::new(&spec.schema, &spec.keys, resources, &info)
                .map_err(|error| RunError::Task(error.at(&name)))?;
            if let (Some(file), End::Worker(id)) = (file, &self.ends[&subtask]) {
                let watched = self.executor.watch(*id, file.as_fd());
                watched.map_err(|error| RunError::Task(TaskError::new(error.to_string())))?;
            }
            self.place(subtask, Box::new(chain), Vec::new())?;
        }
        Ok(())
    }

    /// Puts a chain between its channels and onto its worker.
    fn place(
        &mut self,
        subtask: Subtask,
        chain: Box<dyn Chain>,
        recovered: Vec<Recovered>,
    ) -> Result<(), RunError> {
        let name = self.name(subtask);
        let inputs = self.inputs.remove(&subtask).unwrap_or_default();
        let outputs = self.partitions(subtask)?;
        let outputs = Outputs::new(outputs, self.runtime.jumbo.clone());
        let mut task = Task::new(name.clone(), chain, inputs, outputs, self.runtime.timeout);
        task = task.epoch(self.executor.clock().epoch()).recover(recovered);
        if let Some(debloat) = self.runtime.exchange.debloat {
            let page_bytes_max = self.runtime.network.segment_size() as u32;
            task = task.debloat(DebloatConfig { page_bytes_max, ..debloat });
        }
        if let Some(checkpoints) = self.checkpoints(subtask) {
            task = task.checkpoint_to(checkpoints);
        }
        self.count(subtask, &name, Kind::Chain, &Arc::clone(task.metrics()));
        if let End::Worker(id) = self.ends[&subtask] {
            self.executor.place(id, Box::new(task));
        }
        Ok(())
    }

    fn open_info(&self, subtask: Subtask) -> OpenInfo {
        let default = self.runtime.parallelism;
        let outputs = self.outputs.get(&subtask).into_iter().flat_map(BTreeMap::values);
        let outputs = outputs.map(|output| OutputInfo {
            subpartitions: output.senders.len() as u32,
            max_parallelism: self.graph.max_parallelism(output.consumer, default),
            compact: output.leaves_process,
        });
        OpenInfo {
            subtask: subtask.index,
            parallelism: self.graph.parallelism(subtask.node, default),
            max_parallelism: self.graph.max_parallelism(subtask.node, default),
            state: None,
            segment_size: self.runtime.network.segment_size() as u32,
            outputs: outputs.collect(),
        }
    }

    fn partitions(&mut self, subtask: Subtask) -> Result<Vec<ResultPartition>, RunError> {
        let outputs = self.outputs.remove(&subtask).unwrap_or_default();
        let partition = |Output { senders, is_shared, .. }: Output| {
            let segments = self.runtime.exchange.partition(senders.len())?;
            let pool = self.runtime.network.create_local(segments.required, segments.max)?;
            Ok(ResultPartition::new(pool, senders).shared(is_shared))
        };
        outputs.into_values().map(partition).collect()
    }
}
