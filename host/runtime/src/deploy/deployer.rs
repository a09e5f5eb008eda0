//! Making what a region consists of.

use std::{collections::BTreeMap, sync::Arc, task::Waker};

use millstream_checkpoint::TaskId as TaskNumber;
use millstream_dataflow::{
    Chain, OpenInfo, StreamGraph, TaskError,
    chain::OutputInfo,
    channel::{Sender, channel},
    graph::{
        Edge, NodeKind, Partitioning, SortSpec,
        execution::{Channel, ExecutionGraph, Slots, Subtask},
        regions::Regions,
    },
    sort::SortChain,
    task::{
        Checkpoints, Input, Outputs, Recovery, ResultPartition, Task, TaskMetrics,
        in_flight::Origin,
    },
};
use millstream_exchange::debloat::DebloatConfig;
use millstream_executor::{Clock, Executor, TaskId, blocking::Doorbell};
use millstream_loader::OpenSource;
use millstream_state::KeyGroups;

use super::{Commits, Crew, Part, links::Links, managed::Managed};
use crate::{
    JobProgram, Progress, RunError, Runtime,
    checkpoint::{Participation, Restore, TaskWork, Work, operator_id},
    progress::Kind,
    result::SharedResult,
};

/// One output of a subtask.
#[derive(Default)]
pub(super) struct Output {
    /// By subpartition.
    pub(super) senders: Vec<Sender>,
    /// The node that reads it, or the last of them.
    consumer: u32,
    /// Some of them lead to another process.
    leaves_process: bool,
    /// Several read the same pages.
    is_shared: bool,
    passes_splits: bool,
}

/// Where a subtask runs, as far as those need to know who write to it.
pub(super) enum End {
    Worker(TaskId, Waker),
    Thread(Doorbell),
}

/// Makes tasks, threads and channels, first of all regions, and later of those that begin anew.
pub(super) struct Deployer<'a> {
    pub(super) runtime: &'a Runtime,
    program: &'a dyn JobProgram,
    pub(super) result: SharedResult,
    pub(super) graph: Arc<StreamGraph>,
    execution: ExecutionGraph,
    regions: Regions,
    clock: Clock,
    pub(super) ends: BTreeMap<Subtask, End>,
    /// By producer and number of the output.
    pub(super) outputs: BTreeMap<Subtask, BTreeMap<u16, Output>>,
    /// By consumer: the input, and the channel.
    pub(super) inputs: BTreeMap<Subtask, Vec<Input>>,
    progress: Progress,
    managed: Managed,
    pub(super) commits: Commits,
    /// What subtasks are called in checkpoints.
    numbers: BTreeMap<Subtask, TaskNumber>,
    pub(super) part: Part,
    /// By node: sources that were opened last.
    pub(super) opened: BTreeMap<u32, OpenSource>,
    /// Whether all has been deployed once: what is deployed now takes the place of something.
    pub(super) is_again: bool,
}

impl<'a> Deployer<'a> {
    #[expect(clippy::too_many_arguments, reason = "it is what a job is made of")]
    pub(super) fn new(
        runtime: &'a Runtime,
        program: &'a dyn JobProgram,
        result: SharedResult,
        graph: StreamGraph,
        execution: ExecutionGraph,
        regions: Regions,
        part: Part,
        clock: Clock,
    ) -> Self {
        Self {
            runtime,
            program,
            result,
            clock,
            ends: BTreeMap::new(),
            outputs: BTreeMap::new(),
            inputs: BTreeMap::new(),
            progress: Progress::of(&graph.name),
            managed: Managed::of(runtime, &graph, &part),
            commits: Commits::default(),
            numbers: execution.subtasks.iter().copied().zip((0..).map(TaskNumber)).collect(),
            part,
            opened: BTreeMap::new(),
            is_again: false,
            graph: Arc::new(graph),
            execution,
            regions,
        }
    }

    /// How the job goes.
    pub(super) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The part of the job that this process runs.
    pub(super) fn part(&self) -> &Part {
        &self.part
    }

    pub(super) fn part_mut(&mut self) -> &mut Part {
        &mut self.part
    }

    /// What the subtasks of a region that run in this process are called in checkpoints.
    pub(super) fn tasks(&self, region: u32) -> Vec<u32> {
        let is_own = |task: &&u32| {
            let subtask = self.execution.subtasks.get(**task as usize);
            subtask.is_some_and(|subtask| self.part.is_own(*subtask))
        };
        self.regions.members(region).iter().filter(is_own).copied().collect()
    }

    /// Gives every subtask a place, so that channels know whom to wake.
    pub(super) fn reserve(&mut self, executor: &mut dyn Executor) {
        let slots = Slots::new(&self.graph, self.runtime.parallelism);
        let own = self.execution.subtasks.iter().filter(|subtask| self.part.is_own(**subtask));
        for subtask in own {
            let local = (slots.of(*subtask) / self.part.processes) as usize;
            let end = match self.graph.nodes[subtask.node as usize].kind {
                // What shares a slot shares a worker: what is chained meets in its cache.
                NodeKind::Chain { .. } | NodeKind::Sort(_) => {
                    let id = executor.reserve(local);
                    End::Worker(id, executor.waker(id))
                }
                _ => End::Thread(Doorbell::default()),
            };
            self.ends.insert(*subtask, end);
        }
    }

    /// Makes everything of all regions.
    pub(super) fn crews(&mut self, links: &mut Links) -> Result<Vec<Crew>, RunError> {
        let regions = 0..self.regions.count() as u32;
        for region in regions.clone() {
            self.connect(region, Some(links))?;
        }
        let crews = regions.map(|region| self.crew(region)).collect::<Result<_, _>>()?;
        self.part.checkpoints.iter().for_each(|checkpoints| checkpoints.work.restored());
        self.is_again = true;
        Ok(crews)
    }

    /// Makes everything of a region anew, which goes on from what these checkpoints say. Its tasks and
    /// threads have ended, and it has none in other processes.
    pub(super) fn crew_again(
        &mut self,
        region: u32,
        checkpoints: Participation,
    ) -> Result<Crew, RunError> {
        self.part.checkpoints = Some(checkpoints);
        self.commits.forget(region);
        for subtask in self.subtasks_of(region) {
            self.opened.remove(&subtask.node);
            if let Some(End::Thread(doorbell)) = self.ends.get_mut(&subtask) {
                *doorbell = Doorbell::default();
            }
        }
        self.connect(region, None)?;
        let crew = self.crew(region)?;
        self.part.checkpoints.iter().for_each(|checkpoints| checkpoints.work.restored());
        Ok(crew)
    }

    fn crew(&mut self, region: u32) -> Result<Crew, RunError> {
        let graph = Arc::clone(&self.graph);
        let mut crew = Crew::default();
        for (node, number) in graph.nodes.iter().zip(0..) {
            match &node.kind {
                NodeKind::Chain { stateful, .. } => {
                    self.place_chain(number, *stateful, region, &mut crew)?;
                }
                NodeKind::Sort(spec) => self.place_sort(number, spec, region, &mut crew)?,
                NodeKind::Source(spec) => crew.sources.extend(self.sources(number, spec, region)?),
                NodeKind::Sink(spec) => crew.sinks.extend(self.sinks(number, spec, region)?),
                NodeKind::Result(schema) => {
                    let earlier = graph.nodes.iter().take(number as usize);
                    if earlier.filter(|node| matches!(node.kind, NodeKind::Result(_))).count() > 0 {
                        return Err(RunError::Task(TaskError::new(
                            "a job has one result: use sinks for the others",
                        )));
                    }
                    crew.sinks.extend(self.result(number, schema, region)?);
                }
            }
        }
        Ok(crew)
    }

    /// Makes the channels of a region. Those that lead to other processes are put into `links`.
    fn connect(&mut self, region: u32, mut links: Option<&mut Links>) -> Result<(), RunError> {
        let number = |subtask: Subtask| self.numbers.get(&subtask).map(|number| number.0);
        let region_of = |wire: &Channel| number(wire.producer).and_then(|n| self.regions.of(n));
        let wires = self.execution.channels.iter().filter(|wire| region_of(wire) == Some(region));
        let wires: Vec<Channel> = wires.copied().collect();
        for wire in &wires {
            let (from, to) = (self.part.of(wire.producer), self.part.of(wire.consumer));
            let own = self.part.own;
            let (sender, receiver) = match (from == own, to == own) {
                (true, true) => {
                    let (sender, receiver) = channel(self.waker(wire.consumer));
                    (Some(sender), Some(receiver))
                }
                (false, false) => continue,
                (is_sender, _) => {
                    let links = links.as_deref_mut().ok_or_else(|| {
                        RunError::Task(TaskError::new("a region that begins anew has a link"))
                    })?;
                    let schema = &self.graph.edges[wire.edge as usize].schema;
                    if is_sender {
                        (Some(links.outlet(to, wire)), None)
                    } else {
                        let waker = self.waker(wire.consumer);
                        (None, Some(links.inlet(self.runtime, from, wire, schema, waker)?))
                    }
                }
            };
            if let Some(sender) = sender {
                let outputs = self.outputs.entry(wire.producer).or_default();
                let edge = &self.graph.edges[wire.edge as usize];
                let output = outputs.entry(edge.output).or_default();
                output.consumer = edge.to;
                output.senders.push(sender);
                output.leaves_process |= to != own;
                output.is_shared |= self.graph.is_shared(edge);
                output.passes_splits |= self.graph.passes_splits(edge);
            }
            if let Some(receiver) = receiver {
                let edge = &self.graph.edges[wire.edge as usize];
                let origin = Origin { edge: wire.edge, subtask: wire.producer.index };
                let origin = (!self.graph.is_shared(edge)).then_some(origin);
                let input = Input { receiver, port: edge.input, origin };
                self.inputs.entry(wire.consumer).or_default().push(input);
            }
        }
        Ok(())
    }

    fn waker(&self, subtask: Subtask) -> Waker {
        match &self.ends[&subtask] {
            End::Worker(_, waker) => waker.clone(),
            End::Thread(doorbell) => doorbell.waker(),
        }
    }

    /// The subtasks of a region that run in this process.
    fn subtasks_of(&self, region: u32) -> Vec<Subtask> {
        let tasks = self.regions.members(region).iter();
        let subtasks = tasks.filter_map(|task| self.execution.subtasks.get(*task as usize));
        subtasks.filter(|subtask| self.part.is_own(**subtask)).copied().collect()
    }

    /// Those of a node.
    pub(super) fn subtasks(&self, node: u32, region: u32) -> Vec<Subtask> {
        let mut subtasks = self.subtasks_of(region);
        subtasks.retain(|subtask| subtask.node == node);
        subtasks
    }

    pub(super) fn name(&self, subtask: Subtask) -> String {
        let parallelism = self.graph.parallelism(subtask.node, self.runtime.parallelism);
        let name = &self.graph.nodes[subtask.node as usize].name;
        format!("{name} ({}/{parallelism})", subtask.index + 1)
    }

    /// What the job begins from, or a region, if not from its beginning.
    pub(super) fn restore(&self) -> Option<&Restore> {
        self.part.checkpoints.as_ref()?.restore.as_ref()
    }

    /// The checkpoint that a region begins anew from, if this run has taken it: then subtasks and splits
    /// have the same numbers in it.
    pub(super) fn left_off(&self) -> Option<&Restore> {
        self.restore().filter(|restore| restore.is_of_this_run())
    }

    /// The end of a subtask for checkpoints.
    pub(super) fn checkpoints(&self, subtask: Subtask) -> Option<Box<dyn Checkpoints>> {
        let number = self.numbers.get(&subtask)?;
        self.part.checkpoints.as_ref().map(|checkpoints| checkpoints.task(*number))
    }

    /// Where the state of a subtask is, if it is in files that checkpoints refer to.
    fn work(&self, subtask: Subtask) -> Option<TaskWork> {
        let number = self.numbers.get(&subtask)?;
        Some(self.part.checkpoints.as_ref()?.work.task(*number))
    }

    /// Where tasks that were made last keep state in files.
    pub(super) fn work_of_tasks(&self) -> Option<Arc<Work>> {
        self.part.checkpoints.as_ref().map(|checkpoints| Arc::clone(&checkpoints.work))
    }

    /// Fetches the files that a subtask needs of what an operator has, if it has any.
    fn fetch(&self, restore: &Restore, operator: &str, subtask: Subtask) -> Result<(), TaskError> {
        let Some(checkpoints) = &self.part.checkpoints else { return Ok(()) };
        let parallelism = self.graph.parallelism(subtask.node, self.runtime.parallelism);
        let groups = self.graph.max_parallelism(subtask.node, self.runtime.parallelism);
        let groups = KeyGroups::new(parallelism, groups).range(subtask.index);
        checkpoints.work.fetch(restore, operator, groups)
    }

    pub(super) fn count(
        &mut self,
        subtask: Subtask,
        name: &str,
        kind: Kind,
        metrics: &Arc<TaskMetrics>,
    ) {
        self.progress.add(subtask, name, kind, metrics);
    }

    /// Places the subtasks of a chain, which gets managed memory if it is `stateful`.
    fn place_chain(
        &mut self,
        node: u32,
        stateful: bool,
        region: u32,
        crew: &mut Crew,
    ) -> Result<(), RunError> {
        let program = self.program;
        for subtask in self.subtasks(node, region) {
            let mut info = self.open_info(subtask);
            if stateful {
                let work = self.work(subtask);
                let name = self.name(subtask);
                let state = self.managed.state(self.runtime, subtask, &name, work.as_ref());
                info.state = Some(state?);
            }
            let chain = program.chain(node, &info);
            let mut chain = chain.map_err(|error| RunError::Task(error.at(self.name(subtask))))?;
            if let Some(restore) = self.restore() {
                let operator = operator_id(&self.graph, node);
                let groups = self.graph.max_parallelism(node, self.runtime.parallelism);
                let restored = restore.check_key_groups(&operator, groups);
                let restored = restored.and_then(|()| self.fetch(restore, &operator, subtask));
                let restored =
                    restored.and_then(|()| restore.each(&operator, |chunks| chain.restore(chunks)));
                restored.map_err(|error| RunError::Task(error.at(self.name(subtask))))?;
            }
            let recovery = self.recovered(subtask, &info, program);
            let recovery =
                recovery.map_err(|error| RunError::Task(error.at(self.name(subtask))))?;
            self.place(subtask, chain, recovery, crew)?;
        }
        Ok(())
    }

    /// Places the subtasks of a node that sorts, each with its share of managed memory and files of
    /// its own.
    fn place_sort(
        &mut self,
        node: u32,
        spec: &SortSpec,
        region: u32,
        crew: &mut Crew,
    ) -> Result<(), RunError> {
        for subtask in self.subtasks(node, region) {
            let name = self.name(subtask);
            let info = self.open_info(subtask);
            let (resources, file) = self.managed.open(self.runtime, subtask, &name)?;
            let chain = SortChain::new(&spec.schema, &spec.keys, resources, &info)
                .map_err(|error| RunError::Task(error.at(&name)))?;
            if let (Some(file), End::Worker(id, _)) = (file, &self.ends[&subtask]) {
                crew.watches.push((*id, file));
            }
            // What sorts takes no checkpoints, so that nothing was in flight at one.
            self.place(subtask, Box::new(chain), None, crew)?;
        }
        Ok(())
    }

    /// Puts a chain between its channels, for its place on a worker.
    fn place(
        &mut self,
        subtask: Subtask,
        chain: Box<dyn Chain>,
        recovery: Option<Recovery>,
        crew: &mut Crew,
    ) -> Result<(), RunError> {
        let name = self.name(subtask);
        let inputs = self.inputs.remove(&subtask).unwrap_or_default();
        let outputs = self.partitions(subtask)?;
        let outputs = Outputs::new(outputs, self.runtime.jumbo.clone());
        let mut task = Task::new(name.clone(), chain, inputs, outputs, self.runtime.timeout);
        task = task.epoch(self.clock.epoch());
        if let Some(recovery) = recovery {
            task = task.recover(recovery);
        }
        if let Some(rate) = self.runtime.exchange.source_rate {
            task = task.limit(rate);
        }
        if let Some(debloat) = self.runtime.exchange.debloat {
            let page_bytes_max = self.runtime.network.segment_size() as u32;
            task = task.debloat(DebloatConfig { page_bytes_max, ..debloat });
        }
        if let Some(checkpoints) = self.checkpoints(subtask) {
            task = task.checkpoint_to(checkpoints);
        }
        let metrics = Arc::clone(task.metrics());
        self.count(subtask, &name, Kind::Chain, &metrics);
        let forward = |edge: &&Edge| edge.partitioning == Partitioning::Forward;
        for (_, edge) in self.graph.inputs(subtask.node).filter(|(_, edge)| forward(edge)) {
            self.part.groups.reads(Subtask { node: edge.from, index: subtask.index }, &metrics);
        }
        if let End::Worker(id, _) = self.ends[&subtask] {
            crew.tasks.push((id, Box::new(task)));
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
        let partition = |Output { senders, is_shared, passes_splits, .. }: Output| {
            let segments = self.runtime.exchange.partition(senders.len())?;
            let pool = self.runtime.network.create_local(segments.required, segments.max)?;
            let partition = ResultPartition::new(pool, senders).shared(is_shared);
            Ok(partition.of_splits(passes_splits))
        };
        outputs.into_values().map(partition).collect()
    }
}
