//! Sources, tasks in the middle and a sink, as far as checkpoints are concerned.

use std::collections::{BTreeMap, BTreeSet};

use millstream_checkpoint::{
    Permit, TwoPhase,
    align::{self, Aligner},
    coordinator::{Decline, TaskId},
    two_phase::{self, State},
};
use millstream_exchange::event::{Barrier, Purpose};

use crate::channel::{Channel, Read, Row, Sent};

/// Rows of each source.
pub(crate) const TOTALS: [u32; 2] = [30, 90];

/// What tasks read: two sources, two tasks in the middle that read both, a sink that reads those.
pub(crate) const INPUTS: [&[u32]; 5] = [&[], &[], &[0, 1], &[0, 1], &[2, 3]];

/// The state of a task in a checkpoint.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Part {
    /// Rows read of each source; for a source, of its own.
    pub(crate) rows: [u32; 2],
    pub(crate) sink: Option<State<u32>>,
    /// By channel of the task.
    pub(crate) in_flight: Vec<(usize, Row)>,
}

/// What a task wants of the world around it.
#[derive(Debug)]
pub(crate) enum Effect {
    Acknowledge(u64, Part),
    Decline(u64, Decline),
    EndOfData,
    Finished,
    PreCommit(u32, Vec<Row>),
    Commit(u64, u32, Permit),
    Abort(u32),
    Fail,
}

/// Channels by producer and consumer.
pub(crate) type Channels = BTreeMap<(usize, usize), Channel>;

pub(crate) struct Task {
    id: usize,
    pub(crate) aligner: Aligner,
    pub(crate) part: Part,
    sink: Option<TwoPhase<u32>>,
    /// Rows of the current transaction.
    written: Vec<Row>,
    /// The snapshot that waits for its in-flight data.
    waiting: Option<(u64, Part)>,
    /// Inputs whose rows have ended.
    ended: BTreeSet<usize>,
    told_end: bool,
    /// Whether the job stops behind the savepoint that was taken.
    stopped: bool,
    /// The first checkpoint behind the last row.
    last: Option<u64>,
    pub(crate) finished: bool,
}

impl Task {
    /// Begins from its part of a checkpoint, if there is one.
    pub(crate) fn new(
        id: usize,
        from: Option<(Part, Permit)>,
        transaction: u32,
        effects: &mut Vec<Effect>,
    ) -> Self {
        let mut part = Part::default();
        let mut sink = None;
        if id == 4 {
            sink = Some(TwoPhase::new(transaction));
        }
        if let Some((restored, permit)) = from {
            part.rows = restored.rows;
            if let Some(state) = restored.sink {
                let mut actions = Vec::new();
                sink = Some(TwoPhase::restore([state], permit, transaction, &mut actions));
                apply(&mut Vec::new(), actions, effects);
            }
        }
        Self {
            id,
            aligner: Aligner::new(INPUTS[id].len() as u32),
            part,
            sink,
            written: Vec::new(),
            waiting: None,
            ended: BTreeSet::new(),
            told_end: false,
            stopped: false,
            last: None,
            finished: false,
        }
    }

    fn outputs(&self) -> &'static [usize] {
        [&[2, 3][..], &[2, 3], &[4], &[4], &[]][self.id]
    }

    fn send(&self, sent: Sent, channels: &mut Channels) {
        for output in self.outputs() {
            channels.get_mut(&(self.id, *output)).expect("a channel").send(sent);
        }
    }

    /// Does a little: reads one thing, or writes a row.
    pub(crate) fn act(
        &mut self,
        now: i64,
        choice: usize,
        transaction: u32,
        channels: &mut Channels,
        effects: &mut Vec<Effect>,
    ) {
        if self.id < 2 && self.stopped {
            return;
        }
        if self.finished || self.sink.as_ref().is_some_and(|sink| !sink.is_ready()) {
            return;
        }
        if self.id < 2 {
            self.read_source(channels, effects);
            return;
        }
        let urgent = INPUTS[self.id].iter().enumerate().find_map(|(channel, from)| {
            let read = channels.get_mut(&(*from as usize, self.id))?.read_urgent()?;
            Some((channel, read))
        });
        let (channel, read) = match urgent {
            Some(urgent) => urgent,
            None => {
                let channel = choice % INPUTS[self.id].len();
                let from = INPUTS[self.id][channel] as usize;
                let is_full = self.outputs().iter().any(|to| channels[&(self.id, *to)].is_full());
                let input = channels.get_mut(&(from, self.id)).expect("a channel");
                let is_row = matches!(input.next(), Some(Sent::Row(_)));
                if input.blocked || is_full && is_row {
                    return;
                }
                let Some(read) = input.read() else { return };
                (channel, read)
            }
        };
        self.read(now, channel, read, transaction, channels, effects);
    }

    fn read_source(&mut self, channels: &mut Channels, effects: &mut Vec<Effect>) {
        let next = self.part.rows[self.id];
        let to = 2 + (next % 2) as usize;
        let output = channels.get_mut(&(self.id, to)).expect("a channel");
        if next == TOTALS[self.id] {
            if !self.told_end {
                self.told_end = true;
                self.send(Sent::EndOfData, channels);
                effects.push(Effect::EndOfData);
            }
        } else if !output.is_full() {
            output.send(Sent::Row((self.id, next)));
            self.part.rows[self.id] += 1;
        }
    }

    fn read(
        &mut self,
        now: i64,
        channel: usize,
        read: Read,
        transaction: u32,
        channels: &mut Channels,
        effects: &mut Vec<Effect>,
    ) {
        let input = channel as u32;
        let event = match read {
            Read::Sent(_, Sent::Row(row)) => {
                self.part.rows[row.0] += 1;
                if self.sink.is_some() {
                    self.written.push(row);
                }
                self.send(Sent::Row(row), channels);
                return;
            }
            Read::Sent(_, Sent::EndOfData) => {
                self.ended.insert(channel);
                self.pass_end_on(channels);
                return;
            }
            Read::Sent(sequence, Sent::Barrier(barrier)) => {
                let from = INPUTS[self.id][channel] as usize;
                let blocked = channels[&(from, self.id)].blocked;
                align::Input::Barrier { channel: input, sequence, barrier, blocked }
            }
            Read::Overtook(sequence, barrier, blocked) => {
                align::Input::Barrier { channel: input, sequence, barrier, blocked }
            }
            Read::Announced(barrier) => align::Input::Announcement { channel: input, barrier },
            Read::Sent(_, Sent::Cancel(checkpoint)) => {
                align::Input::Cancel { channel: input, checkpoint }
            }
            Read::Sent(_, Sent::End) => {
                self.ended.insert(channel);
                self.pass_end_on(channels);
                align::Input::EndOfPartition { channel: input }
            }
        };
        self.align(now, event, transaction, channels, effects);
    }

    fn pass_end_on(&mut self, channels: &mut Channels) {
        if self.is_at_end() && !self.told_end {
            self.told_end = true;
            self.send(Sent::EndOfData, channels);
        }
    }

    fn is_at_end(&self) -> bool {
        if self.id < 2 { self.told_end } else { self.ended.len() == INPUTS[self.id].len() }
    }

    /// Feeds the aligner and does what it says.
    pub(crate) fn align(
        &mut self,
        now: i64,
        input: align::Input,
        transaction: u32,
        channels: &mut Channels,
        effects: &mut Vec<Effect>,
    ) {
        if self.finished {
            return;
        }
        let mut actions = Vec::new();
        self.aligner.step(now, input, &mut actions);
        for (transaction, action) in (transaction..).zip(actions) {
            match action {
                align::Action::Snapshot { barrier, in_flight } => {
                    self.snapshot(barrier, in_flight, transaction, effects);
                    self.send(Sent::Barrier(barrier), channels);
                }
                align::Action::Resume { channel } => {
                    let gate = gate(channels, self.id, channel);
                    assert!(gate.blocked, "resumed for nothing");
                    gate.blocked = false;
                }
                align::Action::Abort { checkpoint, reason } => {
                    if self.waiting.take_if(|(id, _)| *id == checkpoint).is_some() {
                        for channel in 0..INPUTS[self.id].len() as u32 {
                            gate(channels, self.id, channel).drop_captured();
                        }
                    }
                    if let Some(reason) = reason {
                        effects.push(Effect::Decline(checkpoint, reason));
                        self.send(Sent::Cancel(checkpoint), channels);
                    }
                }
                align::Action::Overtake { channel, checkpoint } => {
                    gate(channels, self.id, channel).overtake(checkpoint);
                }
                align::Action::Capture { channel } => gate(channels, self.id, channel).capture(),
                align::Action::CaptureEnd { channel, sequence } => {
                    let rows = gate(channels, self.id, channel).capture_end(sequence);
                    let (_, part) = self.waiting.as_mut().expect("a snapshot with data in flight");
                    part.in_flight.extend(rows.into_iter().map(|row| (channel as usize, row)));
                }
                align::Action::Captured { checkpoint } => {
                    let (id, part) = self.waiting.take().expect("a snapshot with data in flight");
                    assert_eq!(id, checkpoint);
                    effects.push(Effect::Acknowledge(id, part));
                }
            }
        }
    }

    fn snapshot(
        &mut self,
        barrier: Barrier,
        in_flight: bool,
        next: u32,
        effects: &mut Vec<Effect>,
    ) {
        let checkpoint = barrier.checkpoint;
        let stops = barrier.purpose == Purpose::StopWithSavepoint;
        if self.is_at_end() || stops {
            self.last.get_or_insert(checkpoint);
        }
        self.stopped |= stops;
        let mut part = self.part.clone();
        if let Some(sink) = &mut self.sink {
            let mut actions = Vec::new();
            sink.step(two_phase::Input::Snapshot { checkpoint, next }, &mut actions);
            part.sink = apply(&mut self.written, actions, effects);
        }
        if in_flight {
            self.waiting = Some((checkpoint, part));
        } else {
            effects.push(Effect::Acknowledge(checkpoint, part));
        }
    }

    pub(crate) fn complete(
        &mut self,
        permit: Permit,
        channels: &mut Channels,
        effects: &mut Vec<Effect>,
    ) {
        if self.finished {
            return;
        }
        if let Some(sink) = &mut self.sink {
            let mut actions = Vec::new();
            sink.step(two_phase::Input::Complete(permit), &mut actions);
            apply(&mut self.written, actions, effects);
        }
        if self.last.is_some_and(|last| last <= permit.checkpoint()) {
            self.last = Some(0);
            self.finish_if_committed(channels, effects);
        }
    }

    pub(crate) fn committed(
        &mut self,
        input: two_phase::Input<u32>,
        channels: &mut Channels,
        effects: &mut Vec<Effect>,
    ) {
        let Some(sink) = &mut self.sink else { return };
        let mut actions = Vec::new();
        sink.step(input, &mut actions);
        apply(&mut self.written, actions, effects);
        self.finish_if_committed(channels, effects);
    }

    fn finish_if_committed(&mut self, channels: &mut Channels, effects: &mut Vec<Effect>) {
        let committed = self.sink.as_ref().is_none_or(|sink| sink.uncommitted() == 0);
        if self.last == Some(0) && committed && !self.finished {
            self.finished = true;
            self.send(Sent::End, channels);
            effects.push(Effect::Finished);
        }
    }

    /// The name under which the coordinator knows it.
    pub(crate) fn name(&self) -> TaskId {
        TaskId(self.id as u32)
    }
}

fn apply(
    written: &mut Vec<Row>,
    actions: Vec<two_phase::Action<u32>>,
    effects: &mut Vec<Effect>,
) -> Option<State<u32>> {
    let mut saved = None;
    for action in actions {
        match action {
            two_phase::Action::PreCommit(transaction) => {
                effects.push(Effect::PreCommit(transaction, std::mem::take(written)));
            }
            two_phase::Action::Save(state) => saved = Some(state),
            two_phase::Action::Commit { number, transaction, permit, .. } => {
                effects.push(Effect::Commit(number, transaction, permit));
            }
            two_phase::Action::Abort(transaction) => effects.push(Effect::Abort(transaction)),
            two_phase::Action::Fail(_) => effects.push(Effect::Fail),
        }
    }
    saved
}

fn gate(channels: &mut Channels, id: usize, channel: u32) -> &mut Channel {
    let from = INPUTS[id][channel as usize] as usize;
    channels.get_mut(&(from, id)).expect("a channel")
}
