//! From a plan to processes with tasks, as the host does it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    task::Waker,
};

use millstream_checkpoint::two_phase::State as SinkState;
use millstream_data::page::Shape;
use millstream_dataflow::{
    OpenInfo, StreamGraph, TaskError,
    chain::{FilesUse, Levels, OutputInfo, StateFiles, StateMemory},
    channel::{Sender, channel, returning_channel},
    graph::{
        NodeKind,
        execution::{Channel, ExecutionGraph, Subtask},
    },
    task::{
        Checkpointing, Input, Outputs, Recovered, ResultPartition, Task, in_flight::Origin,
        recovery_rounds,
    },
};
use millstream_memory::{JumboBudget, ManagedMemory, NetworkPool, Segment, managed::Owner};
use millstream_segments::HeapArena;
use millstream_storage::{Faults, MemoryStorage as FileStorage};

use super::{
    EngineBug,
    actor::{Actor, Body},
    cx::{Cx, Flag},
    job::Job,
    keeper::{Keeper, Mailbox},
    link::Link,
    plan::Plan,
    restore::Restore,
    sink::{self, Sink},
    source::Source,
};

const SEGMENT_BYTES: usize = 4096;
/// Segments for pages, in each process.
const PAGES: usize = 1024;
/// Segments for state, in each process.
const STATE: usize = 4096;
/// Segments that the state of a subtask may take if it is in files: the fewest that are accepted.
const STATE_FILED: usize = 60;
/// Bytes for rows that find no room.
const JUMBO_BYTES: u64 = 1 << 20;

/// All that runs in an attempt.
pub(super) struct Deployed {
    pub(super) actors: Vec<Actor>,
    /// By task.
    pub(super) mailboxes: Vec<Mailbox>,
}

/// The memory of a process.
struct Process {
    pages: NetworkPool,
    state: ManagedMemory,
    keeper: Keeper,
    keeper_flag: Arc<Flag>,
}

struct Deployer<'a> {
    plan: &'a Plan,
    job: &'a Job,
    graph: &'a StreamGraph,
    restore: Option<&'a Restore>,
    processes: Vec<Process>,
    flags: BTreeMap<Subtask, Arc<Flag>>,
    /// By producer and output.
    outputs: BTreeMap<Subtask, BTreeMap<u16, Output>>,
    inputs: BTreeMap<Subtask, Vec<Input>>,
    actors: Vec<Actor>,
    mailboxes: Vec<Mailbox>,
}

#[derive(Default)]
struct Output {
    senders: Vec<Sender>,
    consumer: u32,
    leaves_process: bool,
    /// Several read the same pages.
    is_shared: bool,
    passes_splits: bool,
}

/// Makes everybody of an attempt.
pub(super) fn deploy(
    plan: &Plan,
    job: &Job,
    restore: Option<&Restore>,
    cx: &mut Cx,
) -> Result<Deployed, TaskError> {
    let graph = &job.graph;
    let wrong = |error: &dyn std::fmt::Display| TaskError::new(error.to_string());
    graph.check(plan.parallelism).map_err(|error| wrong(&error))?;
    let execution = ExecutionGraph::new(graph, plan.parallelism);
    let mut processes = Vec::new();
    for _ in 0..plan.processes {
        let pages = HeapArena::new(SEGMENT_BYTES, PAGES).map_err(|error| wrong(&error))?;
        let state = HeapArena::new(SEGMENT_BYTES, STATE).map_err(|error| wrong(&error))?;
        processes.push(Process {
            pages: NetworkPool::new(Box::new(pages)),
            state: ManagedMemory::new(Box::new(state)),
            keeper: Keeper::new(plan.inline_max),
            keeper_flag: Arc::default(),
        });
    }
    let flags = execution.subtasks.iter().map(|subtask| (*subtask, Arc::default())).collect();
    let mut deployer = Deployer {
        plan,
        job,
        graph,
        restore,
        processes,
        flags,
        outputs: BTreeMap::new(),
        inputs: BTreeMap::new(),
        actors: Vec::new(),
        mailboxes: Vec::new(),
    };
    deployer.connect(&execution, cx);
    for subtask in &execution.subtasks {
        deployer.place(*subtask, cx)?;
    }
    let Deployer { mut actors, mailboxes, processes, .. } = deployer;
    for (number, Process { keeper, keeper_flag, .. }) in (0..).zip(processes) {
        let name = format!("keeper {number}");
        actors.push(actor(name, [number; 2], Body::Keeper(keeper), keeper_flag, plan, cx));
    }
    Ok(Deployed { actors, mailboxes })
}

/// Somebody who begins by looking what there is to do.
fn actor(
    name: String,
    processes: [u32; 2],
    body: Body,
    flag: Arc<Flag>,
    plan: &Plan,
    cx: &mut Cx,
) -> Actor {
    flag.set(true);
    // Some are slow.
    let slow = if cx.random.percent(20) { 10 } else { 1 };
    let pace = 1 + cx.random.below(plan.pace * slow);
    Actor { name, processes, body: Some(body), flag, pace, busy_until: cx.now, deadline: None }
}

impl Deployer<'_> {
    /// The process that runs a subtask.
    fn of(&self, subtask: Subtask) -> u32 {
        subtask.index % self.plan.processes
    }

    fn waker(&self, subtask: Subtask) -> Waker {
        self.flags
            .get(&subtask)
            .map_or_else(|| Waker::noop().clone(), |flag| Arc::clone(flag).into())
    }

    fn connect(&mut self, execution: &ExecutionGraph, cx: &mut Cx) {
        let leaves = |wire: &&Channel| self.of(wire.producer) != self.of(wire.consumer);
        let leaving: Vec<Channel> = execution.channels.iter().filter(leaves).copied().collect();
        // One channel of all does not wait.
        let leaking = match cx.has_bug(EngineBug::SkipAlignment) && !leaving.is_empty() {
            true => Some(leaving[cx.random.index(leaving.len())]),
            false => None,
        };
        for wire in &execution.channels {
            let (from, to) = (self.of(wire.producer), self.of(wire.consumer));
            let waker = self.waker(wire.consumer);
            let (sender, receiver) = if from == to {
                let (sender, receiver) = channel(waker);
                receiver.set_page_bytes(self.plan.page_bytes);
                (sender, receiver)
            } else {
                let flag: Arc<Flag> = Arc::default();
                let waking: Waker = Arc::clone(&flag).into();
                let (sender, outlet) = channel(waking.clone());
                outlet.set_page_bytes(self.plan.page_bytes);
                let (inlet, receiver, returned) = returning_channel(waker, waking, 64);
                let (credit, delay_max) = (self.plan.credit, self.plan.delay_max);
                let mut link = Link::new(outlet, inlet, returned, credit, delay_max);
                if leaking == Some(*wire) {
                    link.leak();
                }
                let body = Body::Link(link);
                let name = format!("link {from} to {to} of edge {}", wire.edge);
                self.actors.push(actor(name, [from, to], body, flag, self.plan, cx));
                (sender, receiver)
            };
            let Some(edge) = self.graph.edges.get(wire.edge as usize) else { continue };
            let output =
                self.outputs.entry(wire.producer).or_default().entry(edge.output).or_default();
            output.consumer = edge.to;
            output.senders.push(sender);
            output.leaves_process |= from != to;
            output.is_shared |= self.graph.is_shared(edge);
            output.passes_splits |= self.graph.passes_splits(edge);
            let origin = Origin { edge: wire.edge, subtask: wire.producer.index };
            let origin = (!self.graph.is_shared(edge)).then_some(origin);
            let input = Input { receiver, port: edge.input, origin };
            self.inputs.entry(wire.consumer).or_default().push(input);
        }
    }

    /// Places a subtask.
    fn place(&mut self, subtask: Subtask, cx: &mut Cx) -> Result<(), TaskError> {
        let (graph, plan, process) = (self.graph, self.plan, self.of(subtask));
        let Some(node) = graph.nodes.get(subtask.node as usize) else { return Ok(()) };
        let name = format!("{} {}", node.name, subtask.index);
        let number = self.mailboxes.len() as u32;
        let own = &mut self.processes[process as usize];
        let mailbox = Mailbox::new(plan.load_max, Arc::clone(&own.keeper_flag).into());
        own.keeper.add(number, mailbox.clone());
        let end = mailbox.end(plan.overtakes_after);
        self.mailboxes.push(mailbox);
        let body = match &node.kind {
            NodeKind::Source(spec) => {
                let outputs = self.outputs.remove(&subtask).into_iter().flatten();
                let channel = outputs.flat_map(|(_, output)| output.senders).next();
                let channel = channel.ok_or_else(|| TaskError::new("nobody reads the source"))?;
                let pool = self.processes[process as usize].pages.create_local(2, 4);
                let pool = pool.map_err(|error| TaskError::new(error.to_string()))?;
                let table = (subtask.node, self.job.table(subtask.node)?);
                let pool = (pool, SEGMENT_BYTES);
                let reads = (plan.rows_max, self.job.in_order);
                let source = Source::new(table, &spec.schema, channel, pool, end, reads)?;
                Body::Source(Box::new(source))
            }
            NodeKind::Sink(spec) => {
                let inputs = self.inputs.remove(&subtask).unwrap_or_default();
                let mut checkpointing = Checkpointing::new(inputs.len());
                checkpointing.write_to(Box::new(end), inputs.iter().map(|input| input.origin));
                if self.restore.is_some_and(|restore| restore.manifest.has_in_flight()) {
                    checkpointing.recover(0..inputs.len(), recovery_rounds(graph));
                }
                let shape = Shape::new(&spec.schema);
                let channels = inputs.into_iter().map(|input| input.receiver).collect();
                let restored = match self.restore {
                    None => None,
                    Some(restore) => Some((self.transactions(restore, subtask)?, restore.permit)),
                };
                Body::Sink(Box::new(Sink::new(channels, shape, checkpointing, restored, cx)?))
            }
            NodeKind::Chain { stateful, .. } => {
                let task = self.task(subtask, &name, *stateful, cx)?;
                Body::Task(Box::new(task.checkpoint_to(Box::new(end))))
            }
            _ => return Err(TaskError::new("the simulated job has no such node")),
        };
        let flag = self.flags.get(&subtask).map(Arc::clone).unwrap_or_default();
        self.actors.push(actor(name, [process; 2], body, flag, plan, cx));
        Ok(())
    }

    /// The states of the sinks that one replaces.
    fn transactions(
        &self,
        restore: &Restore,
        subtask: Subtask,
    ) -> Result<Vec<SinkState<u64>>, TaskError> {
        let parallelism = self.graph.parallelism(subtask.node, self.plan.parallelism);
        let mut states = Vec::new();
        restore.each(&self.graph.operator_id(subtask.node), |number, bytes| {
            if number % parallelism == subtask.index {
                states.push(sink::decode(bytes)?);
            }
            Ok(())
        })?;
        Ok(states)
    }

    fn task(
        &mut self,
        subtask: Subtask,
        name: &str,
        stateful: bool,
        cx: &mut Cx,
    ) -> Result<Task, TaskError> {
        let (graph, plan) = (self.graph, self.plan);
        let process = self.of(subtask) as usize;
        let outputs = self.outputs.remove(&subtask).unwrap_or_default();
        let infos = outputs.values().map(|output| OutputInfo {
            subpartitions: output.senders.len() as u32,
            max_parallelism: graph.max_parallelism(output.consumer, plan.parallelism),
            compact: output.leaves_process,
        });
        let own = &self.processes[process];
        let state = match stateful {
            true => Some(State::open(&own.state, name, plan, cx)?),
            false => None,
        };
        let info = OpenInfo {
            subtask: subtask.index,
            parallelism: graph.parallelism(subtask.node, plan.parallelism),
            max_parallelism: graph.max_parallelism(subtask.node, plan.parallelism),
            state: state.map(|state| Arc::new(state) as Arc<dyn StateMemory>),
            segment_size: SEGMENT_BYTES as u32,
            outputs: infos.collect(),
        };
        let mut chain = self.job.program.chain(subtask.node, &info)?;
        let mut recovery = None;
        if let Some(restore) = self.restore {
            restore.each(&graph.operator_id(subtask.node), |_, chunks| chain.restore(chunks))?;
            recovery = restore.recovered(self.job, subtask, &info, cx.bug)?;
        }
        let has_elements = |recovered: &Recovered| match recovered {
            Recovered::Sent(.., elements) | Recovered::Received(_, elements) => {
                !elements.is_empty()
            }
        };
        let recovered = recovery.iter().flat_map(|recovery| &recovery.recovered);
        if recovered.into_iter().any(has_elements) {
            cx.count("data in flight come again");
        }
        let mut partitions = Vec::new();
        for Output { senders, is_shared, passes_splits, .. } in outputs.into_values() {
            let segments = senders.len() + 1;
            let pool = own.pages.create_local(segments, segments + 6);
            let pool = pool.map_err(|error| TaskError::new(error.to_string()))?;
            let partition = ResultPartition::new(pool, senders).shared(is_shared);
            partitions.push(partition.of_splits(passes_splits));
        }
        let outputs = Outputs::new(partitions, JumboBudget::new(JUMBO_BYTES, JUMBO_BYTES));
        let inputs = self.inputs.remove(&subtask).unwrap_or_default();
        let task = Task::new(name.to_string(), chain, inputs, outputs, plan.timeout);
        Ok(match recovery {
            Some(recovery) => task.recover(recovery),
            None => task,
        })
    }
}

/// Managed memory in the name of one subtask.
struct State {
    memory: ManagedMemory,
    owner: Owner,
    files: Mutex<Option<StateFiles>>,
}

impl State {
    fn open(
        memory: &ManagedMemory,
        task: &str,
        plan: &Plan,
        cx: &mut Cx,
    ) -> Result<Self, TaskError> {
        let owner = memory.open(task).map_err(|error| TaskError::new(error.to_string()))?;
        let files = plan.filed.then(|| {
            let faults = Faults { writes: plan.state_writes, ..Faults::default() };
            let storage = FileStorage::new().shuffled(cx.random.number()).faults(faults);
            let (storage, budget) = (Box::new(storage), (STATE_FILED * SEGMENT_BYTES) as u64);
            StateFiles {
                storage,
                budget,
                purpose: FilesUse::Scratch,
                compression: Levels::default(),
            }
        });
        Ok(Self { memory: memory.clone(), owner, files: Mutex::new(files) })
    }
}

impl StateMemory for State {
    fn segment_size(&self) -> usize {
        self.memory.page_size()
    }

    fn lease(&self) -> Option<Segment> {
        self.memory.allocate_pages(self.owner, 1).ok()?.pop()
    }

    fn reserve(&self, bytes: u64) -> bool {
        self.memory.reserve(self.owner, bytes).is_ok()
    }

    fn release(&self, bytes: u64) {
        // An owner that was closed meanwhile has nothing reserved any more.
        let _ = self.memory.release_reservation(self.owner, bytes);
    }

    fn files(&self) -> Option<StateFiles> {
        self.files.lock().ok()?.take()
    }
}
