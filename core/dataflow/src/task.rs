//! One chain between its input channels and its result partitions.
//!
//! A [`Task`] is polled by an executor with a budget and says what it waits for. Its life:
//! running, finishing (there is no more data, the chain emits what is left), lingering (with
//! checkpoints: until the last one is complete), draining (what it emitted waits for room), finished.
//! A failure at any point ends it.

mod barriers;
mod checkpoint;
mod debloating;
pub mod in_flight;
mod lookout;
mod metrics;
mod output;
mod recovering;
mod recovery;
mod replay;

use alloc::{boxed::Box, collections::VecDeque, string::String, sync::Arc, vec::Vec};
use core::{fmt, num::NonZero, task::Waker};

use millstream_data::page::ValidPage;
use millstream_exchange::{
    debloat::DebloatConfig,
    event::{Barrier, Event, StreamStatus},
};
use millstream_memory::Buffer;
use millstream_state::time::{Valve, ValveOutput, WATERMARK_MAX};

pub use checkpoint::{Checkpointing, Checkpoints, Order, Step};
use debloating::Debloating;
use in_flight::Origin;
pub use metrics::{TaskCounts, TaskMetrics};
use output::Declined;
pub use output::{Outputs, ResultPartition};
pub use recovery::{Again, Recovered, Recovery};
pub use replay::{recovered, recovery_rounds};

use crate::{
    chain::{Chain, ChainIo, Context, Produced, Signal, TaskError},
    channel::{Element, Receiver},
};

/// When pages that are not full are sent on, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BufferTimeout {
    /// At the latest so long after their first row.
    After(u64),
    /// As soon as the rows at hand are processed.
    EachRecord,
    /// Only when they are full, or the stream ends.
    OnlyFull,
}

/// What a task waits for after a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskPoll {
    /// Nothing: the budget is used up, poll again.
    Again,
    /// Input, or something of its chain's own. Whoever has it wakes it.
    Idle,
    /// Room downstream. The pool or the channel wakes it.
    Backpressured,
    /// Nothing any more.
    Finished,
}

/// Elements that one poll takes at most.
const ELEMENTS_PER_POLL: usize = 8;

const MICROS_PER_SECOND: u64 = 1_000_000;

/// Rows that a chain with a source of its own makes in one step.
const ROWS_PER_STEP: usize = 1024;

/// An input channel of a task.
#[derive(Debug)]
pub struct Input {
    /// Where elements come from.
    pub receiver: Receiver,
    /// Which input of the chain they are for.
    pub port: u16,
    /// Who sends them; `None` if what is in flight could not be sent again to this task alone.
    pub origin: Option<Origin>,
}

/// A subtask, ready to run.
pub struct Task {
    name: String,
    chain: Box<dyn Chain>,
    /// The channels that have not ended.
    inputs: Vec<Channel>,
    /// The watermarks of all channels.
    valve: Valve,
    /// What the chain has still to be told, before it is given another row.
    signals: VecDeque<Signal>,
    /// Whose turn it is.
    turn: usize,
    /// The chain makes rows itself.
    produces: bool,
    /// A page that is not done.
    current: Option<Current>,
    outputs: Outputs,
    timeout: BufferTimeout,
    /// When pages that are open now should be flushed.
    flush_at: Option<u64>,
    /// Pages are due whose consumers still had others to read.
    overdue: bool,
    /// When the chain has rows to make again.
    produce_at: Option<u64>,
    /// When the chain wants to be told the time; at first, so that one whose state was put back can
    /// say what it waits for.
    wake_at: Option<u64>,
    /// The last poll ended for want of room, or of something of the chain's own: until that is there
    /// and wakes the task, no deadline of its work matters.
    held_back: bool,
    debloating: Option<Debloating>,
    /// Microseconds from one row that the chain makes itself to the next, if that is limited.
    period: Option<u64>,
    /// Channels that may still bring data.
    with_data: usize,
    /// There is no more data; what the chain has still to be told comes first.
    ended: bool,
    /// Those who read from no task: the coordinator said that all is done.
    dismissed: bool,
    /// The job stops with the savepoint that was taken: no row follows, and windows stay as they are.
    stopped: bool,
    /// The job stops with a savepoint behind all windows: the end of data comes first.
    drains: bool,
    /// The snapshot at this barrier is taken before anything else.
    barrier: Option<Barrier>,
    /// It is to be tried although there is no room downstream.
    overtakes: bool,
    recovered: VecDeque<Recovered>,
    /// Some of what was in flight is left in `recovered`, or its end was not said.
    recovers: bool,
    /// What was in flight behind it was sent again.
    has_sent_again: bool,
    /// Ends of rounds that are to be said.
    rounds: u32,
    /// As many of them are said when all was received that a source had sent.
    rounds_received: u32,
    checkpoints: Checkpointing,
    phase: Phase,
    metrics: Arc<TaskMetrics>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    Finishing,
    Lingering,
    Draining,
    Finished,
}

/// An input channel, with the number that it had from the beginning.
struct Channel {
    receiver: Receiver,
    port: u16,
    origin: Option<Origin>,
    number: usize,
    /// Whether rows may still come.
    has_data: bool,
}

/// A page that is being processed.
struct Current {
    /// The channel that it came from, by position in `inputs`; none if it was recovered.
    input: Option<usize>,
    port: u16,
    page: Buffer,
    /// The row to go on with.
    row: usize,
}

impl Task {
    /// A task that runs `chain`. With no `inputs` the chain makes its rows itself.
    pub fn new(
        name: String,
        chain: Box<dyn Chain>,
        inputs: Vec<Input>,
        outputs: Outputs,
        timeout: BufferTimeout,
    ) -> Self {
        let channel = |(number, Input { receiver, port, origin })| Channel {
            receiver,
            port,
            origin,
            number,
            has_data: true,
        };
        let checkpoints = Checkpointing::new(inputs.len());
        Self {
            name,
            chain,
            produces: inputs.is_empty(),
            valve: Valve::new(inputs.len()),
            with_data: inputs.len(),
            signals: VecDeque::new(),
            inputs: inputs.into_iter().enumerate().map(channel).collect(),
            turn: 0,
            current: None,
            outputs,
            timeout,
            flush_at: None,
            overdue: false,
            produce_at: None,
            wake_at: Some(0),
            held_back: false,
            debloating: None,
            period: None,
            ended: false,
            dismissed: false,
            stopped: false,
            drains: false,
            barrier: None,
            overtakes: false,
            recovered: VecDeque::new(),
            recovers: false,
            has_sent_again: false,
            rounds: 0,
            rounds_received: 0,
            checkpoints,
            phase: Phase::Running,
            metrics: Arc::default(),
        }
    }

    /// Keeps what is in flight towards the task to what it processes within a time.
    pub fn debloat(mut self, config: DebloatConfig) -> Self {
        self.debloating = Some(Debloating::new(config));
        self
    }

    /// Makes at most so many rows a second, if its chain makes rows itself.
    pub fn limit(mut self, rows_per_second: NonZero<u64>) -> Self {
        self.period = Some(MICROS_PER_SECOND.div_ceil(rows_per_second.get()));
        self
    }

    /// Tells what the wall clock was when the clock that [`Task::poll`] is given began:
    /// microseconds since the epoch. Without it, processing time begins with that clock.
    pub fn epoch(mut self, micros: i64) -> Self {
        self.outputs.set_epoch(micros);
        self
    }

    /// Takes part in checkpoints: its state goes to `writer`.
    pub fn checkpoint_to(mut self, writer: Box<dyn Checkpoints>) -> Self {
        self.checkpoints.write_to(writer, self.inputs.iter().map(|channel| channel.origin));
        self
    }

    /// Begins with what was in flight at a checkpoint.
    pub fn recover(mut self, Recovery { recovered, ports, rounds }: Recovery) -> Self {
        self.recovered = recovered.into();
        self.recovers = true;
        let awaited = self.inputs.iter().filter(|channel| ports.contains(&channel.port));
        self.checkpoints.recover(awaited.map(|channel| channel.number), rounds);
        self.rounds_received = if self.checkpoints.is_recovering() { 0 } else { rounds - 1 };
        self
    }

    /// The task's name, with its subtask.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the task has counted.
    pub fn metrics(&self) -> &Arc<TaskMetrics> {
        &self.metrics
    }

    /// When the task wants to be polled although nothing woke it, in microseconds of the clock that
    /// [`Task::poll`] is given. Changes only in a poll.
    pub fn deadline(&self) -> Option<u64> {
        let own = self.produce_at.into_iter().chain(self.wake_at);
        let own = own.min().filter(|_| self.phase == Phase::Running);
        let work = self.flush_at.into_iter().chain(own).min().filter(|_| !self.held_back);
        // A barrier may overtake what is held back.
        work.into_iter().chain(self.checkpoints.deadline()).min()
    }

    /// Works for a bounded time. `waker` wakes the task when what it waits for may be there; a poll
    /// without a reason does no harm.
    ///
    /// # Errors
    /// Why the task failed. It must not be polled again.
    pub fn poll(&mut self, now: u64, waker: &Waker) -> Result<TaskPoll, TaskError> {
        let polled = self.work(now, waker);
        let queued = self.inputs.iter().map(|input| input.receiver.len()).sum();
        self.metrics.holds(queued, self.outputs.segments());
        if let Some(debloating) = &mut self.debloating
            && let Some(bytes) = debloating.measure(now, &self.metrics.counts())
        {
            self.inputs.iter().for_each(|input| input.receiver.set_page_bytes(bytes));
        }
        polled
    }

    fn work(&mut self, now: u64, waker: &Waker) -> Result<TaskPoll, TaskError> {
        self.held_back = false;
        for _ in 0..ELEMENTS_PER_POLL {
            // A barrier in front of the end of a round would stop a channel on which that is awaited.
            if self.checkpoints.overtakes() && !self.recovers && self.rounds == 0 {
                self.look_out(now, waker)?;
            }
            let writes = self.write_snapshot(waker);
            let may_go_on = match self.phase {
                Phase::Draining | Phase::Finished => self.outputs.is_drained_or_notifies(waker),
                _ => self.outputs.is_ready_or_notifies(waker),
            };
            if !may_go_on {
                self.held_back = true;
                return Ok(if writes { TaskPoll::Again } else { TaskPoll::Backpressured });
            }
            if matches!(self.phase, Phase::Running | Phase::Finishing) && self.chain.waits(waker) {
                self.held_back = true;
                return Ok(TaskPoll::Idle);
            }
            match self.phase {
                Phase::Running | Phase::Lingering
                    if self.barrier.is_some() && self.signals.is_empty() =>
                {
                    self.snapshot(now)?;
                }
                Phase::Running
                    if self.rounds > 0 && self.current.is_none() && self.signals.is_empty() =>
                {
                    self.end_round(now)?;
                }
                Phase::Running if self.recovers => self.recover_some(now)?,
                Phase::Running | Phase::Lingering => {
                    if !self.obey(now, waker)? && !self.step(now)? {
                        self.flush_if_due(now, waker)?;
                        return Ok(if writes { TaskPoll::Again } else { TaskPoll::Idle });
                    }
                }
                Phase::Finishing => {
                    if self.call(now, |chain, context| chain.finish(context))? {
                        self.call(now, |chain, context| chain.flush(true, context))?;
                        (self.flush_at, self.overdue) = (None, false);
                        self.linger();
                    }
                }
                Phase::Draining => self.phase = Phase::Finished,
                Phase::Finished => return Ok(TaskPoll::Finished),
            }
            self.flush_if_due(now, waker)?;
        }
        Ok(TaskPoll::Again)
    }

    /// Takes one element, or makes some rows. `false` if there is nothing to do.
    fn step(&mut self, now: u64) -> Result<bool, TaskError> {
        if let Some(current) = self.current.take() {
            self.process(now, current)?;
            return Ok(true);
        }
        if let Some(signal) = self.signals.front().copied() {
            if self.call(now, |chain, context| chain.signal(signal, context))? {
                self.signals.pop_front();
                self.pass_split_on(now, signal)?;
            }
            return Ok(true);
        }
        if self.ended && self.phase == Phase::Running {
            self.phase = Phase::Finishing;
            return Ok(true);
        }
        if self.phase == Phase::Running && self.wake_at.is_some_and(|at| at <= now) {
            self.wake_at = None;
            self.outputs.set_now(now);
            self.signals.push_back(Signal::Time(self.outputs.time()));
            return Ok(true);
        }
        if self.phase == Phase::Lingering && self.inputs.is_empty() {
            return Ok(false);
        }
        if self.produces {
            if self.stopped {
                return Ok(false);
            }
            return self.produce(now);
        }
        for offset in 0..self.inputs.len() {
            let index = (self.turn + offset) % self.inputs.len();
            if self.checkpoints.is_blocked(self.inputs[index].number) {
                continue;
            }
            let Some(element) = self.inputs[index].receiver.pop() else {
                self.check_abandoned(index)?;
                continue;
            };
            self.turn = index + 1;
            match element {
                _ if self.checkpoints.popped(self.inputs[index].number, &element) => {
                    self.inputs[index].receiver.resume();
                }
                Element::Page(page) => {
                    self.metrics.received(page.len());
                    let port = self.inputs[index].port;
                    self.process(now, Current { input: Some(index), port, page, row: 0 })?;
                }
                Element::Event(event) => self.on_event(now, index, event)?,
                Element::SplitBegins => self.signals.push_back(Signal::SplitBegins),
                Element::LastSplit => self.signals.push_back(Signal::LastSplit),
            }
            return Ok(true);
        }
        Ok(false)
    }

    fn on_event(&mut self, now: u64, index: usize, event: Event) -> Result<(), TaskError> {
        let number = self.inputs[index].number;
        let (valve, signals) = (&mut self.valve, &mut self.signals);
        let mut say = |output| {
            signals.push_back(match output {
                ValveOutput::Watermark(time) => Signal::Watermark(time),
                ValveOutput::Idle => Signal::Idle,
                ValveOutput::Active => Signal::Active,
            });
        };
        match event {
            Event::Watermark(time) => valve.advance(number, time, &mut say),
            Event::Status(StreamStatus::Idle) => valve.idle(number, &mut say),
            Event::Status(StreamStatus::Active) => valve.active(number, &mut say),
            Event::EndOfData { .. } | Event::EndOfPartition
                if !self.stopped && core::mem::take(&mut self.inputs[index].has_data) =>
            {
                valve.end(number, &mut say);
                self.with_data -= 1;
                self.ended = self.with_data == 0;
            }
            _ => {}
        }
        if event == Event::EndOfPartition {
            self.inputs.swap_remove(index);
        }
        self.checkpoints.on_event(now, number, event);
        self.rounds += self.checkpoints.take_rounds();
        self.take_steps(now);
        if self.inputs.is_empty() && (self.stopped || self.phase == Phase::Lingering) {
            self.leave();
        }
        Ok(())
    }

    /// What the chain made is written: the task ends, or waits for the last checkpoint.
    fn linger(&mut self) {
        self.phase = Phase::Lingering;
        let is_last = match self.produces {
            true => !self.checkpoints.is_on() || self.dismissed,
            false => self.inputs.is_empty(),
        };
        if is_last {
            return self.leave();
        }
        self.outputs.event_to_all(Event::EndOfData { drain: true });
        if self.produces {
            self.checkpoints.end_of_data();
        }
    }

    fn leave(&mut self) {
        self.outputs.end();
        self.phase = Phase::Draining;
    }

    fn check_abandoned(&mut self, index: usize) -> Result<(), TaskError> {
        let receiver = &self.inputs[index].receiver;
        // The order matters: the sender may have pushed its last element just before it went.
        if receiver.is_abandoned() && receiver.is_empty() {
            return Err(
                TaskError::new("a task upstream ended before its partition did").at(&self.name)
            );
        }
        Ok(())
    }

    fn process(&mut self, now: u64, current: Current) -> Result<(), TaskError> {
        let Current { input, port, page, row } = current;
        let view = ValidPage::trusted(&page)
            .map_err(|error| TaskError::new(alloc::format!("{error}")).at(&self.name))?;
        let rows = view.rows();
        let next = self.call(now, |chain, context| chain.process(port, &view, row, context))?;
        self.metrics.processed(next - row);
        if next < rows {
            self.current = Some(Current { input, port, page, row: next });
        } else if let Some(input) = input {
            self.inputs[input].receiver.give_back(page);
        }
        Ok(())
    }

    fn produce(&mut self, now: u64) -> Result<bool, TaskError> {
        if self.produce_at.is_some_and(|at| at > now) {
            return Ok(false);
        }
        self.produce_at = None;
        let rows = self.period.map_or(ROWS_PER_STEP, |_| 1);
        match self.call(now, |chain, context| chain.produce(rows, context))? {
            Produced::More => {
                self.produce_at = self.period.map(|period| now + period);
                Ok(self.period.is_none())
            }
            Produced::Until(at) => {
                self.produce_at = Some(at);
                Ok(false)
            }
            Produced::Finished => {
                self.signals.push_back(Signal::Watermark(WATERMARK_MAX));
                self.ended = true;
                Ok(true)
            }
        }
    }

    /// Submits open pages whose time has come. A page whose consumer still has others to read stays
    /// open, so that it can fill up, until the consumer takes one.
    fn flush_if_due(&mut self, now: u64, waker: &Waker) -> Result<(), TaskError> {
        if !self.overdue && self.flush_at.is_none_or(|at| at > now) {
            return Ok(());
        }
        self.flush_at = None;
        self.call(now, |chain, context| chain.flush(false, context))?;
        let declined = self.outputs.take_declined(waker);
        self.overdue = declined != Declined::None;
        if declined == Declined::TryNow {
            self.flush_at = Some(now);
        }
        Ok(())
    }

    fn call<R>(
        &mut self,
        now: u64,
        call: impl FnOnce(&mut dyn Chain, &mut Context<'_>) -> R,
    ) -> Result<R, TaskError> {
        self.outputs.set_now(now);
        let mut context = Context::new(&mut self.outputs);
        let result = call(&mut *self.chain, &mut context);
        if let Some(error) = context.take_error() {
            return Err(error.at(&self.name));
        }
        let open_rows = context.has_open_rows();
        if let Some(at) = self.outputs.take_wake() {
            self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
        }
        if open_rows && self.flush_at.is_none() {
            self.flush_at = match self.timeout {
                BufferTimeout::After(timeout) => Some(now + timeout),
                BufferTimeout::EachRecord => Some(now),
                BufferTimeout::OnlyFull => None,
            };
        }
        self.metrics.sent(self.outputs.take_counts());
        Ok(result)
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task")
            .field("name", &self.name)
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
