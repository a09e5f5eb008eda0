//! A task that reads a gate, aligns barriers and takes its time.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use millstream_exchange::ChannelId;
use millstream_exchange::credit::BufferKind;
use millstream_exchange::element::{Data, Element};
use millstream_exchange::event::{Alignment, Event};
use millstream_exchange::gate::{
    ChannelState, InputGate, JumboBudget, JumboGate, Polled, Reservation, Step,
};
use millstream_exchange::partition::Wake;

use crate::memory::{Memory, Quota};
use crate::producer::{ROW_BYTES, jumbo_byte};
use crate::world::Context;

/// A segment in use, and where it goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) segment: u32,
    pub(crate) kind: BufferKind,
}

#[derive(Debug)]
pub(crate) struct Consumer {
    pub(crate) task: usize,
    pub(crate) starts_at: Duration,
    pub(crate) weight: u64,
    pub(crate) gate: InputGate<Held>,
    pub(crate) jumbo: JumboGate,
    pub(crate) quota: Quota,
    pub(crate) inputs: Vec<Input>,
    /// A segment for the one jumbo row that must be able to proceed, and whether there is one.
    pub(crate) aside: Option<u32>,
    pub(crate) has_aside: bool,
    /// Channels that wait for a floating buffer.
    pub(crate) waiters: VecDeque<(usize, ChannelId)>,
    /// Segments whose pages are being worked on, or that wait to be recycled.
    pub(crate) holding: VecDeque<(u32, Held)>,
    pub(crate) state: ConsumerState,
    pub(crate) checkpoints: u32,
    rows: BTreeMap<u32, Row>,
    parked: BTreeMap<u32, (Held, u32)>,
    awake: bool,
    /// Inputs whose barrier arrived, and whether their producers wait.
    aligned: BTreeMap<u32, bool>,
    acknowledged: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConsumerState {
    Waiting,
    Running,
    Finished,
    Failed,
    Cancelled,
}

#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) edge: usize,
    pub(crate) producer: usize,
    pub(crate) subpartition: u32,
    pub(crate) peer: usize,
    pub(crate) channel: Option<ChannelId>,
    pub(crate) exclusive: Vec<u32>,
    pub(crate) floating: Vec<u32>,
    pub(crate) task_tag: u32,
}

#[derive(Debug)]
struct Row {
    reservation: Reservation,
    bytes: Vec<u8>,
}

/// What a step asks the worker to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Tell the producers of all inputs that every record was processed.
    Acknowledge,
    /// Cancel the channel of one input, which is complete.
    Complete(u32),
    /// Jumbo memory came back: look for rows that wait for it.
    RetryJumbo,
}

impl Consumer {
    pub(crate) fn new(
        task: usize,
        starts_at: Duration,
        weight: u64,
        record_bytes_max: u32,
        quota: Quota,
        inputs: Vec<Input>,
    ) -> Self {
        Self {
            task,
            starts_at,
            weight,
            gate: InputGate::new(inputs.len() as u32),
            jumbo: JumboGate::new(record_bytes_max),
            quota,
            inputs,
            aside: None,
            has_aside: false,
            waiters: VecDeque::new(),
            holding: VecDeque::new(),
            state: ConsumerState::Waiting,
            checkpoints: 0,
            rows: BTreeMap::new(),
            parked: BTreeMap::new(),
            awake: false,
            aligned: BTreeMap::new(),
            acknowledged: false,
        }
    }

    /// Whether nothing is to be expected of it any more.
    pub(crate) fn is_over(&self) -> bool {
        !matches!(self.state, ConsumerState::Waiting | ConsumerState::Running)
    }

    pub(crate) fn can_poll(&self, hold_max: usize) -> bool {
        self.state == ConsumerState::Running && self.awake && self.holding.len() < hold_max
    }

    /// Takes the segment that is set aside.
    pub(crate) fn set_aside(&mut self, memory: &mut Memory) {
        self.aside = Some(memory.take(&mut self.quota).expect("it is guaranteed"));
        self.has_aside = true;
    }

    /// Sets nothing aside any more.
    pub(crate) fn dissolve_aside(&mut self, memory: &mut Memory) {
        self.has_aside = false;
        if let Some(segment) = self.aside.take() {
            memory.put(&mut self.quota, segment);
        }
    }

    /// The segment set aside, if this input is the one that may have it.
    pub(crate) fn take_aside(&mut self, input: u32, held: u32) -> Option<u32> {
        let may = self.jumbo.favoured() == Some(input) && held == 0;
        if may { self.aside.take() } else { None }
    }

    /// A floating segment comes back: what is set aside is made good first.
    pub(crate) fn give_back(&mut self, segment: u32, memory: &mut Memory) {
        if self.has_aside && self.aside.is_none() {
            self.aside = Some(segment);
        } else {
            memory.put(&mut self.quota, segment);
        }
    }

    /// Something arrived.
    pub(crate) fn wake(&mut self, wake: Wake) {
        self.awake |= wake == Wake::Reader;
    }

    /// Whether the barriers of all inputs have arrived.
    pub(crate) fn can_resume(&self) -> bool {
        let arrived = |input: &u32| {
            self.aligned.contains_key(input) || self.gate.state(*input) == ChannelState::Ended
        };
        self.state == ConsumerState::Running
            && !self.aligned.is_empty()
            && (0..self.gate.channels()).all(|input| arrived(&input))
    }

    /// Ends the alignment and returns the inputs whose producers wait.
    pub(crate) fn resume(&mut self) -> Vec<u32> {
        self.checkpoints += 1;
        let aligned = core::mem::take(&mut self.aligned);
        let blocked: Vec<_> =
            aligned.into_iter().filter_map(|(input, blocked)| blocked.then_some(input)).collect();
        for input in &blocked {
            self.gate.resume(*input);
        }
        blocked
    }

    /// Reads one element.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context,
        memory: &Memory,
        budget: &mut impl JumboBudget,
    ) -> Result<Vec<Effect>, String> {
        let Some(Polled { channel, sequence, element }) = self.gate.poll() else {
            self.awake = false;
            return Ok(Vec::new());
        };
        let numbers = [self.task as u64, sequence.into(), channel.into()];
        let ledger = &mut cx.ledgers[self.inputs[channel as usize].edge];
        match &element {
            Element::Event(Event::Announcement { .. }) => {}
            Element::Event(event) => ledger.read(event.has_priority())?,
            Element::Data(_) => ledger.read(false)?,
        }
        match element {
            Element::Data(data) => {
                cx.note("task # reads data # of input #", &numbers);
                self.on_data(channel, data, cx, memory, budget)
            }
            Element::Event(event) => {
                cx.note("task # reads event # of input #", &numbers);
                self.on_event(channel, event, cx)
            }
        }
    }

    /// Gives jumbo memory that came back to the rows that wait for it. Returns whether any did.
    pub(crate) fn retry_jumbo(&mut self, memory: &Memory, budget: &mut impl JumboBudget) -> bool {
        let Some((channel, reservation)) = self.jumbo.retry(budget) else { return false };
        let (held, bytes) = self.parked.remove(&channel).expect("its first fragment is parked");
        self.begin_row(channel, reservation, &memory.segment(held.segment)[..bytes as usize]);
        self.holding.push_back((channel, held));
        let wake = self.gate.unpause(channel);
        self.wake(wake);
        true
    }

    /// The task stops: what it holds is to be recycled.
    pub(crate) fn stop(&mut self, state: ConsumerState, budget: &mut impl JumboBudget) {
        self.state = state;
        self.aligned.clear();
        for input in 0..self.gate.channels() {
            self.holding.extend(self.gate.release(input).map(|data| (input, data.buffer)));
            self.jumbo.abandon(input);
        }
        for (input, (held, _)) in core::mem::take(&mut self.parked) {
            self.holding.push_back((input, held));
        }
        for row in core::mem::take(&mut self.rows).into_values() {
            self.jumbo.give_back(row.reservation, budget);
        }
    }

    fn on_data(
        &mut self,
        channel: u32,
        data: Data<Held>,
        cx: &mut Context,
        memory: &Memory,
        budget: &mut impl JumboBudget,
    ) -> Result<Vec<Effect>, String> {
        let edge = self.inputs[channel as usize].edge;
        let bytes = &memory.segment(data.buffer.segment)[..data.bytes as usize];
        let step = self.jumbo.on_data(channel, data.part, data.bytes, budget);
        match step.map_err(|error| error.to_string())? {
            None => {
                for row in bytes.chunks(ROW_BYTES as usize) {
                    cx.ledgers[edge].got_row(number(row)?)?;
                }
            }
            Some(Step::Wait) => {
                cx.note("task # waits for jumbo memory", &[self.task as u64]);
                self.gate.pause(channel);
                self.parked.insert(channel, (data.buffer, data.bytes));
                return Ok(Vec::new());
            }
            Some(Step::Begin(reservation)) => self.begin_row(channel, reservation, bytes),
            Some(Step::Copy { offset_bytes, complete }) => {
                let row = self.rows.get_mut(&channel).ok_or("a fragment without its row")?;
                if row.bytes.len() != offset_bytes as usize {
                    return Err(format!("fragment at {offset_bytes} of {}", row.bytes.len()));
                }
                row.bytes.extend_from_slice(bytes);
                if complete {
                    let row = self.rows.remove(&channel).expect("it was there");
                    cx.ledgers[edge]
                        .got_jumbo(jumbo_number(&row.bytes)?, row.bytes.len() as u32)?;
                    self.jumbo.give_back(row.reservation, budget);
                    self.holding.push_back((channel, data.buffer));
                    return Ok(vec![Effect::RetryJumbo]);
                }
            }
        }
        self.holding.push_back((channel, data.buffer));
        Ok(Vec::new())
    }

    fn on_event(
        &mut self,
        channel: u32,
        event: Event,
        cx: &mut Context,
    ) -> Result<Vec<Effect>, String> {
        let ledger = &mut cx.ledgers[self.inputs[channel as usize].edge];
        if let Event::Announcement { barrier, .. } = event {
            // The timeout, now and then before the barrier was read.
            if cx.random.percent(30)
                && let Some((_, wake)) = self.gate.overtake(channel, barrier.checkpoint)
            {
                ledger.overtook_here(barrier.checkpoint)?;
                self.wake(wake);
                cx.note("task # lets a barrier overtake that it got", &[self.task as u64]);
            }
            return Ok(Vec::new());
        }
        ledger.got_event(event)?;
        match event {
            Event::Barrier(barrier) => {
                let aligned =
                    matches!(cx.plan.alignment, Alignment::Aligned | Alignment::Timeout { .. });
                if aligned {
                    if barrier.checkpoint != u64::from(self.checkpoints) + 1 {
                        return Err(format!("{barrier} after {} checkpoints", self.checkpoints));
                    }
                    let blocked = self.gate.state(channel) == ChannelState::Blocked;
                    self.aligned.insert(channel, blocked);
                }
                Ok(Vec::new())
            }
            Event::EndOfData { .. } if self.gate.end_of_data().is_some() && !self.acknowledged => {
                self.acknowledged = true;
                Ok(vec![Effect::Acknowledge])
            }
            Event::EndOfPartition => {
                if self.gate.is_ended() {
                    self.state = ConsumerState::Finished;
                }
                Ok(vec![Effect::Complete(channel)])
            }
            _ => Ok(Vec::new()),
        }
    }

    fn begin_row(&mut self, channel: u32, reservation: Reservation, first: &[u8]) {
        let mut bytes = Vec::with_capacity(reservation.bytes() as usize);
        bytes.extend_from_slice(first);
        self.rows.insert(channel, Row { reservation, bytes });
    }
}

fn number(bytes: &[u8]) -> Result<u64, String> {
    let bytes = bytes.first_chunk().ok_or("a row is cut off")?;
    Ok(u64::from_le_bytes(*bytes))
}

/// The number of a jumbo row whose every byte is in its place.
fn jumbo_number(bytes: &[u8]) -> Result<u64, String> {
    let number = number(bytes)?;
    let wrong = (0..).zip(bytes).find(|(at, byte)| jumbo_byte(number, *at) != **byte);
    match wrong {
        Some((at, _)) => Err(format!("jumbo row {number} is wrong at byte {at}")),
        None => Ok(number),
    }
}
