//! A subtask of the sink, as the host's threads run it, with two-phase commit.

use std::{collections::VecDeque, task::Waker};

use millstream_checkpoint::{
    Permit, TwoPhase,
    two_phase::{Action, Input, State},
};
use millstream_data::page::{Shape, ValidPage};
use millstream_dataflow::{
    TaskError,
    channel::{Element, Receiver},
    task::{Checkpointing, Order, Step},
};
use millstream_exchange::event::Event;

use super::{EngineBug, actor::Polled, bytes, cx::Cx, external::BROKEN, rows};

/// Writes what arrives into transactions.
pub(super) struct Sink {
    /// Those that have not ended, with their numbers.
    channels: Vec<(usize, Receiver)>,
    shape: Shape,
    checkpointing: Checkpointing,
    two_phase: TwoPhase<u64>,
    commits: VecDeque<(u64, u64, Permit)>,
    turn: usize,
    closed: bool,
}

impl Sink {
    /// A sink that goes on from these states, if there are any.
    pub(super) fn new(
        channels: Vec<Receiver>,
        shape: Shape,
        checkpointing: Checkpointing,
        restored: Option<(Vec<State<u64>>, Permit)>,
        cx: &mut Cx,
    ) -> Result<Self, TaskError> {
        let first = cx.external.begin();
        let mut actions = Vec::new();
        let two_phase = match restored {
            None => TwoPhase::new(first),
            Some((states, permit)) => TwoPhase::restore(states, permit, first, &mut actions),
        };
        let channels = channels.into_iter().enumerate().collect();
        let commits = VecDeque::new();
        let (turn, closed) = (0, false);
        let mut sink = Self { channels, shape, checkpointing, two_phase, commits, turn, closed };
        if cx.has_bug(EngineBug::ForgetPrepared) {
            sink.two_phase = TwoPhase::new(first);
            return Ok(sink);
        }
        sink.act(actions, cx)?;
        Ok(sink)
    }

    /// When it wants to be polled although nothing woke it.
    pub(super) fn deadline(&self) -> Option<u64> {
        self.checkpointing.deadline()
    }

    /// Does one thing.
    pub(super) fn poll(&mut self, cx: &mut Cx, waker: &Waker) -> Result<Polled, TaskError> {
        let now = cx.now;
        if let Some(order) = self.checkpointing.next_order(waker) {
            match order {
                Order::Complete(permit) => {
                    let actions = self.step(Input::Complete(permit));
                    self.act(actions, cx)?;
                }
                order => self.checkpointing.on_order(now, order),
            }
            self.take_steps(cx)?;
            return Ok(Polled::Again);
        }
        if let Some((number, transaction, permit)) = self.commits.pop_front() {
            cx.points += 1;
            cx.count("a transaction is committed");
            cx.say(|| format!("transaction {transaction} is committed by {}", permit.checkpoint()));
            cx.external.commit(transaction, permit)?;
            let actions = self.step(Input::Committed { number });
            self.act(actions, cx)?;
            return Ok(Polled::Again);
        }
        if !self.two_phase.is_ready() {
            return Ok(Polled::Idle);
        }
        if self.channels.is_empty() {
            return self.close(cx);
        }
        if self.checkpointing.overtakes() {
            for (number, channel) in &mut self.channels {
                self.checkpointing.look(now, *number, channel);
            }
            self.checkpointing.on_time(now);
            self.take_steps(cx)?;
        }
        for offset in 0..self.channels.len() {
            let index = (self.turn + offset) % self.channels.len();
            let (number, channel) = &mut self.channels[index];
            let number = *number;
            if self.checkpointing.is_blocked(number) {
                continue;
            }
            let Some(element) = channel.pop() else {
                if channel.is_abandoned() && channel.is_empty() {
                    return Err(TaskError::new("a task upstream ended before its partition did"));
                }
                continue;
            };
            self.turn = index + 1;
            match element {
                _ if self.checkpointing.popped(number, &element) => channel.resume(),
                Element::Page(page) => {
                    let transaction = self.two_phase.current().copied();
                    let transaction =
                        transaction.ok_or_else(|| TaskError::new("rows behind the end"))?;
                    let view = ValidPage::trusted(&page);
                    let view = view.map_err(|error| TaskError::new(error.to_string()))?;
                    for row in rows::read(&view, &self.shape) {
                        cx.external.write(transaction, row)?;
                    }
                    channel.give_back(page);
                }
                Element::Event(event) => {
                    self.checkpointing.on_event(now, number, event);
                    if event == Event::EndOfPartition {
                        self.channels.swap_remove(index);
                    }
                }
                Element::SplitBegins | Element::LastSplit => {}
            }
            self.take_steps(cx)?;
            return Ok(Polled::Again);
        }
        Ok(Polled::Idle)
    }

    /// All input has ended: what was prepared has to be committed still.
    fn close(&mut self, cx: &mut Cx) -> Result<Polled, TaskError> {
        if !self.closed {
            self.closed = true;
            if let Some(current) = self.two_phase.current()
                && cx.external.rows(*current) > 0
            {
                return Err(TaskError::new(format!(
                    "{BROKEN}: {} rows came behind the last checkpoint",
                    cx.external.rows(*current)
                )));
            }
            let actions = self.step(Input::Close);
            self.act(actions, cx)?;
        }
        Ok(if self.two_phase.uncommitted() == 0 { Polled::Finished } else { Polled::Idle })
    }

    fn step(&mut self, input: Input<u64>) -> Vec<Action<u64>> {
        let mut actions = Vec::new();
        self.two_phase.step(input, &mut actions);
        actions
    }

    /// Does what follows from barriers.
    fn take_steps(&mut self, cx: &mut Cx) -> Result<(), TaskError> {
        while let Some(step) = self.checkpointing.next_step(cx.now) {
            match step {
                Step::Snapshot { barrier, .. } => {
                    cx.points += 1;
                    let (checkpoint, next) = (barrier.checkpoint, cx.external.begin());
                    let actions = self.step(Input::Snapshot { checkpoint, next });
                    let state = self.act(actions, cx)?;
                    let state = state.map(|state| encode(&state));
                    let state = state.ok_or_else(|| TaskError::new("the sink saved nothing"));
                    self.checkpointing.hand_over(checkpoint, state);
                }
                Step::Capture(number) => {
                    let mut channels = self.channels.iter_mut();
                    if let Some((_, channel)) = channels.find(|(other, _)| *other == number) {
                        self.checkpointing.capture(cx.now, number, channel);
                    }
                }
                Step::Resume(number) => {
                    let mut channels = self.channels.iter();
                    if let Some((_, channel)) = channels.find(|(other, _)| *other == number) {
                        channel.resume();
                    }
                }
                Step::Abort { checkpoint, .. } => self.checkpointing.forget(checkpoint),
            }
        }
        Ok(())
    }

    /// Does what the machine wants; gives the state that is to be saved, if one is.
    fn act(
        &mut self,
        actions: Vec<Action<u64>>,
        cx: &mut Cx,
    ) -> Result<Option<State<u64>>, TaskError> {
        let mut saved = None;
        for action in actions {
            match action {
                Action::PreCommit(transaction) => {
                    cx.external.prepare(transaction)?;
                    if cx.has_bug(EngineBug::CommitBeforeCompletion) {
                        cx.external.show(transaction)?;
                    }
                }
                Action::Save(state) => saved = Some(state),
                Action::Commit { number, transaction, permit, .. } => {
                    self.commits.push_back((number, transaction, permit));
                }
                Action::Abort(transaction) => cx.external.abort(transaction)?,
                Action::Fail(error) => return Err(TaskError::new(error.to_string())),
            }
        }
        Ok(saved)
    }
}

fn encode(state: &State<u64>) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes::put(state.current, &mut bytes);
    for (checkpoint, transaction) in &state.pending {
        bytes::put(*checkpoint, &mut bytes);
        bytes::put(*transaction, &mut bytes);
    }
    bytes
}

/// Reads what a sink saved.
pub(super) fn decode(bytes: &[u8]) -> Result<State<u64>, TaskError> {
    let rest = &mut &*bytes;
    let current = bytes::take(rest)?;
    let mut pending = Vec::new();
    while !rest.is_empty() {
        pending.push((bytes::take(rest)?, bytes::take(rest)?));
    }
    Ok(State { pending, current })
}
