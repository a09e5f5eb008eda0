//! The coordinator of checkpoints, and those who do what it wants.

use std::collections::{BTreeMap, VecDeque};

use millstream_checkpoint::{
    Coordinator, Manifest, TaskId,
    coordinator::{Action, Config, Decline, Input, Snapshot, TaskSnapshot},
    manifest::{Kind, Operator, Place, State, Subtask as SubtaskState},
    storage::CheckpointStorage,
};
use millstream_dataflow::{
    StreamGraph, TaskError,
    graph::{NodeKind, execution::ExecutionGraph},
    task::Order,
};

use super::{
    bytes,
    cx::{Cx, Event, Splits},
    keeper::{Mailbox, place},
    restore::SPLITS,
};

/// The coordinator of an attempt.
pub(super) struct Coordinating {
    machine: Coordinator,
    graph: StreamGraph,
    execution: ExecutionGraph,
    parallelism: u32,
    mailboxes: Vec<Mailbox>,
    /// The newest checkpoint that has a directory.
    begun: u64,
    /// The job has a savepoint that it stops with, and drains or not.
    stopped: Option<bool>,
    /// When the machine is told that time went by.
    deadline: Option<u64>,
    /// When the last order of each task arrives: they come in order.
    arrivals: Vec<u64>,
}

impl Coordinating {
    /// The coordinator of tasks with these mailboxes, all of which run.
    pub(super) fn new(
        config: Config,
        graph: StreamGraph,
        parallelism: u32,
        mailboxes: Vec<Mailbox>,
        restored: Option<u64>,
        cx: &mut Cx,
    ) -> Result<Self, TaskError> {
        let execution = ExecutionGraph::new(&graph, parallelism);
        let numbers: BTreeMap<_, _> = execution.subtasks.iter().zip(0..).collect();
        let inputs: Vec<Vec<TaskId>> = execution
            .subtasks
            .iter()
            .map(|subtask| {
                let channels = execution.channels.iter().filter(|wire| wire.consumer == *subtask);
                channels
                    .filter_map(|wire| numbers.get(&wire.producer).copied().map(TaskId))
                    .collect()
            })
            .collect();
        let wrong = |error: &dyn std::fmt::Display| TaskError::new(error.to_string());
        let mut history = cx.storage.history(restored).map_err(|error| wrong(&error))?;
        history.next = history.next.max(restored.map_or(1, |restored| restored + 1));
        let machine = Coordinator::new(config, inputs, history);
        let arrivals = vec![0; mailboxes.len()];
        let mut coordinating = Self {
            machine,
            graph,
            execution,
            parallelism,
            mailboxes,
            begun: 0,
            stopped: None,
            deadline: None,
            arrivals,
        };
        for task in 0..coordinating.arrivals.len() as u32 {
            coordinating.told(Input::Running { task: TaskId(task) }, cx)?;
        }
        Ok(coordinating)
    }

    /// Whether the job stopped with a savepoint, and drained then.
    pub(super) fn stopped(&self) -> Option<bool> {
        self.stopped
    }

    /// An order arrives at a task.
    pub(super) fn deliver(&self, task: u32, order: Order, cx: &mut Cx) {
        if matches!(order, Order::Complete(_)) {
            cx.points += 1;
        }
        if let Some(mailbox) = self.mailboxes.get(task as usize) {
            mailbox.order(order);
        }
    }

    /// Time went by.
    pub(super) fn time(&mut self, cx: &mut Cx) -> Result<(), TaskError> {
        self.deadline = None;
        self.told(Input::Time, cx)
    }

    /// Tells the machine, and does what follows.
    pub(super) fn told(&mut self, input: Input, cx: &mut Cx) -> Result<(), TaskError> {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let mut actions = Vec::new();
            self.machine.step(cx.now / 1000, input, &mut actions);
            for action in actions {
                inputs.extend(self.act(action, cx)?);
            }
        }
        if let Some(at) = self.machine.next_deadline() {
            let at = at.saturating_mul(1000).max(cx.now);
            if self.deadline.is_none_or(|before| at < before) {
                self.deadline = Some(at);
                cx.at(at, Event::Deadline);
            }
        }
        Ok(())
    }

    fn act(&mut self, action: Action, cx: &mut Cx) -> Result<Option<Input>, TaskError> {
        match action {
            Action::Trigger { task, barrier, drain } => {
                let checkpoint = barrier.checkpoint;
                if self.begun < checkpoint {
                    cx.points += 1;
                    self.begun = checkpoint;
                    cx.say(|| format!("checkpoint {checkpoint} begins: {barrier}"));
                    if let Err(error) = cx.storage.begin(checkpoint) {
                        let reason = Decline::Failed(error.to_string());
                        return Ok(Some(Input::Decline { checkpoint, task, reason }));
                    }
                }
                if drain {
                    self.order(task.0, Order::Drain, cx);
                }
                self.order(task.0, Order::Trigger(barrier), cx);
            }
            Action::Abort { checkpoint, reason } => {
                cx.count("a checkpoint is given up");
                cx.say(|| format!("checkpoint {checkpoint} is given up: {reason}"));
                self.order_all(Order::Abort(checkpoint), cx);
                // What cannot be removed is left behind, and found at the next start.
                let _ = cx.storage.discard(checkpoint);
            }
            Action::Store(snapshot) => {
                let delay = cx.random.below(2000);
                cx.after(delay, Event::Store(Box::new(snapshot)));
            }
            Action::Complete(permit) => {
                cx.count("a checkpoint is complete");
                cx.say(|| format!("checkpoint {} is complete", permit.checkpoint()));
                self.order_all(Order::Complete(permit), cx);
            }
            Action::Discard { checkpoint } => drop(cx.storage.discard(checkpoint)),
            Action::End { checkpoint } => {
                cx.say(|| format!("the job ends with checkpoint {checkpoint}"));
                self.order_all(Order::End, cx);
            }
            Action::FailJob { reason, .. } => {
                cx.count("a job fails for its checkpoints");
                cx.after(0, Event::Over(format!("a checkpoint failed: {reason}")));
            }
            Action::Answer { request, result } => {
                cx.say(|| format!("the savepoint: {result:?}"));
                self.stopped = result.ok().map(|_| request == 1);
            }
        }
        Ok(None)
    }

    fn order_all(&mut self, order: Order, cx: &mut Cx) {
        for task in 0..self.arrivals.len() as u32 {
            self.order(task, order, cx);
        }
    }

    /// Sends an order, which takes its time; what does no harm twice sometimes comes again, late.
    fn order(&mut self, task: u32, order: Order, cx: &mut Cx) {
        let delay = match cx.random.percent(5) {
            true => cx.random.below(10_000),
            false => cx.random.below(300),
        };
        let Some(last) = self.arrivals.get_mut(task as usize) else { return };
        *last = (*last).max(cx.now + delay);
        cx.at(*last, Event::Order(task, order));
        if matches!(order, Order::Abort(_) | Order::Complete(_)) && cx.random.percent(5) {
            let late = cx.random.below(30_000);
            cx.after(late, Event::Order(task, order));
        }
    }

    /// Writes a manifest, and says what came of it.
    pub(super) fn store(&self, snapshot: &Snapshot, cx: &mut Cx) -> Input {
        cx.points += 1;
        let checkpoint = snapshot.barrier.checkpoint;
        let manifest = self.manifest(snapshot, &cx.splits).map_err(|error| error.to_string());
        let stored = manifest
            .and_then(|manifest| cx.storage.complete(&manifest).map_err(|error| error.to_string()));
        cx.say(|| format!("the manifest of {checkpoint} is written: {stored:?}"));
        match stored {
            Ok(()) => Input::Stored { checkpoint },
            Err(reason) => Input::StoreFailed { checkpoint, reason },
        }
    }

    /// What a checkpoint consists of.
    fn manifest(
        &self,
        snapshot: &Snapshot,
        splits: &BTreeMap<u32, Splits>,
    ) -> Result<Manifest, TaskError> {
        let graph = &self.graph;
        let mut files = Vec::new();
        let mut operators: BTreeMap<u32, Operator> = BTreeMap::new();
        for (subtask, part) in self.execution.subtasks.iter().zip(&snapshot.tasks) {
            let operator = operators.entry(subtask.node).or_insert_with(|| Operator {
                id: graph.operator_id(subtask.node),
                max_parallelism: graph.max_parallelism(subtask.node, self.parallelism),
                subtasks: Vec::new(),
            });
            let kind = match graph.nodes.get(subtask.node as usize).map(|node| &node.kind) {
                Some(NodeKind::Source(_)) => Kind::Source,
                Some(NodeKind::Sink(_)) => Kind::Sink,
                _ => Kind::Operator,
            };
            operator.subtasks.push(match part {
                TaskSnapshot::Finished => SubtaskState { finished: true, states: Vec::new() },
                TaskSnapshot::State(part) => {
                    let rest = &mut &**part;
                    let state = place(bytes::take_all(rest)?, &mut files)?;
                    let in_flight = place(bytes::take_all(rest)?, &mut files)?;
                    let state = state.map(|place| State { kind, place });
                    let in_flight = in_flight.map(|place| State { kind: Kind::InFlight, place });
                    let states = state.into_iter().chain(in_flight).collect();
                    SubtaskState { finished: false, states }
                }
            });
        }
        let lists = splits.iter().map(|(node, splits)| {
            let mut list = Vec::new();
            splits.all.iter().for_each(|split| bytes::put_all(split, &mut list));
            let states = vec![State { kind: Kind::Source, place: Place::Inline(list.into()) }];
            Operator {
                id: format!("{}{SPLITS}", graph.operator_id(*node)),
                max_parallelism: 1,
                subtasks: vec![SubtaskState { finished: false, states }],
            }
        });
        Ok(Manifest {
            checkpoint: snapshot.barrier.checkpoint,
            timestamp_ms: snapshot.barrier.timestamp_ms,
            purpose: snapshot.barrier.purpose,
            job: graph.name.clone(),
            graph_hash: graph.fingerprint(),
            files,
            operators: operators.into_values().chain(lists).collect(),
        })
    }
}
