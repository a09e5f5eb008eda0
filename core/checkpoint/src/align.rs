//! When a task takes its part of a checkpoint: the alignment of barriers.
//!
//! A task with several input channels gets the barrier of a checkpoint on each of them, sooner on the
//! one and later on the other. Its state belongs to the checkpoint when it has worked off what is in
//! front of the barrier on every channel, and nothing of what is behind it. How it comes to that is
//! said in the [`Barrier`]:
//!
//! * [`Alignment::Aligned`], [`ForcedAligned`](Alignment::ForcedAligned): a channel that delivered its
//!   barrier waits until the others have, too. The gate stops it by itself; the aligner says when it
//!   goes on.
//! * [`Alignment::None`]: nobody waits. The snapshot is taken when the last barrier is there, and has
//!   rows in it that will come again after a restore: at least once.
//! * [`Alignment::Unaligned`]: the first barrier is enough. What is in front of the other barriers and
//!   was not worked off is *in-flight data*. It is captured, and becomes part of the checkpoint.
//! * [`Alignment::Timeout`]: aligned, until the checkpoint is as old as the timeout; then unaligned.
//!
//! The gate of the exchange has what the aligner asks for: whether a channel
//! [waits](millstream_exchange::gate::InputGate::state), how to
//! [resume](millstream_exchange::gate::InputGate::resume) it, how to let a barrier
//! [overtake](millstream_exchange::gate::InputGate::overtake), and the
//! [data](millstream_exchange::gate::InputGate::queued_data) that are in flight.
//!
//! A channel that has ended counts as one whose barrier has arrived. A newer barrier means that an
//! older checkpoint was given up elsewhere, so it is given up here, too. Without alignment a few
//! checkpoints may be open at a time, as producers are not held back.
//!
//! Barriers that come from a connection that cannot be unaligned and barriers that can may meet in one
//! task. Then the in-flight data of all channels are captured, which is right for any restore but one
//! with another parallelism.

use alloc::{
    collections::{BTreeSet, VecDeque},
    vec::Vec,
};

use millstream_exchange::event::{Alignment, Barrier};

use crate::coordinator::Decline;

mod round;
#[cfg(test)]
mod tests;

use round::{Phase, Round};

/// Most checkpoints that are open at a time without alignment, as in Flink.
const ROUNDS_MAX: usize = 50;

/// Most checkpoints that are remembered as given up. A barrier of one that was forgotten is taken for
/// that of a new checkpoint, which the next one ends.
const GIVEN_UP_MAX: usize = 64;

/// What happened at a task. Channels are counted from 0 over all its inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Nothing but that time went by.
    Time,
    /// The task read a barrier.
    Barrier {
        /// From this channel.
        channel: u32,
        /// The number under which it was sent.
        sequence: u32,
        /// The barrier.
        barrier: Barrier,
        /// Whether the channel waits behind it, as the gate says. A barrier that overtook on this side
        /// does not look as if.
        blocked: bool,
    },
    /// The task read the announcement of a barrier that waits in the channel's queue.
    Announcement {
        /// From this channel.
        channel: u32,
        /// The barrier that waits.
        barrier: Barrier,
    },
    /// The task read that a barrier will not come.
    Cancel {
        /// From this channel.
        channel: u32,
        /// Of which checkpoint.
        checkpoint: u64,
    },
    /// Nothing follows on a channel.
    EndOfPartition {
        /// Which.
        channel: u32,
    },
    /// The coordinator triggers the task: it is a source, or its producers have ended.
    Trigger {
        /// The barrier to send on.
        barrier: Barrier,
    },
    /// The coordinator has given a checkpoint up.
    Abort {
        /// Which.
        checkpoint: u64,
    },
}

/// What the task is to do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Take the snapshot, here and now, and send this barrier on.
    Snapshot {
        /// The barrier, as it is for the consumers; their connections may force it to be aligned.
        barrier: Barrier,
        /// Whether in-flight data belong to the checkpoint: acknowledge when the snapshot is durable and
        /// they are, which are all there at [`Captured`](Self::Captured). Else acknowledge when the
        /// snapshot is.
        in_flight: bool,
    },
    /// Let a channel go on whose producer waits.
    Resume {
        /// Which.
        channel: u32,
    },
    /// A checkpoint is given up here: drop what was captured for it.
    Abort {
        /// Which.
        checkpoint: u64,
        /// Why, to be told to the coordinator and, as a cancelled barrier, to the consumers. `None` if
        /// the coordinator said so itself.
        reason: Option<Decline>,
    },
    /// Let the announced barrier overtake what is queued in front of it on a channel.
    Overtake {
        /// Which.
        channel: u32,
        /// The checkpoint of the barrier.
        checkpoint: u64,
    },
    /// From now on all data that a channel has queued, and that arrive there, belong to the checkpoint
    /// that was snapshotted last. The task works them off all the same.
    Capture {
        /// Which.
        channel: u32,
    },
    /// The channel's barrier is there.
    CaptureEnd {
        /// Which channel.
        channel: u32,
        /// The number of the barrier: data with a later one do not belong to the checkpoint. Numbers
        /// wrap. `None` if the channel ended, and all belong to it.
        sequence: Option<u32>,
    },
    /// All in-flight data of a checkpoint are captured.
    Captured {
        /// Which.
        checkpoint: u64,
    },
}

/// The alignment of barriers in one task.
///
/// Times are milliseconds of the coordinator's clock. Call [`step`](Self::step) with what the task reads,
/// before it reads on, and with [`Input::Time`] at the [deadline](Self::next_deadline).
#[derive(Debug)]
pub struct Aligner {
    channels: Vec<Channel>,
    /// Open checkpoints, ascending; at most one if channels wait for each other.
    rounds: VecDeque<Round>,
    /// The newest checkpoint that is over, with all before it.
    last: u64,
    /// Newer ones that will not be.
    given_up: BTreeSet<u64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Channel {
    ended: bool,
    /// The checkpoint whose barrier stopped it.
    blocked_by: Option<u64>,
}

impl Aligner {
    /// For a task with so many channels; a source has none.
    pub fn new(channels: u32) -> Self {
        Self {
            channels: (0..channels).map(|_| Channel::default()).collect(),
            rounds: VecDeque::new(),
            last: 0,
            given_up: BTreeSet::new(),
        }
    }

    /// Takes in what happened until `now_ms`, and appends what is to be done.
    ///
    /// # Panics
    /// If there is no such channel.
    pub fn step(&mut self, now_ms: i64, input: Input, actions: &mut Vec<Action>) {
        match input {
            Input::Time => {}
            Input::Barrier { channel, sequence, barrier, blocked } => {
                if blocked {
                    self.channels[channel as usize].blocked_by = Some(barrier.checkpoint);
                }
                self.barrier(now_ms, channel, sequence, barrier, actions);
            }
            Input::Announcement { channel, barrier } => {
                if let Some(at) = self.open(now_ms, Some(channel), barrier, actions) {
                    self.rounds[at].announce(channel, actions);
                }
            }
            Input::Cancel { channel, checkpoint } => self.cancel(channel, checkpoint, actions),
            Input::EndOfPartition { channel } => self.end(channel, actions),
            Input::Trigger { barrier } => {
                if self.open(now_ms, None, barrier, actions).is_some() {
                    self.finish_complete(actions);
                }
            }
            Input::Abort { checkpoint } => {
                let at = self.rounds.iter().position(|round| round.id() == checkpoint);
                match at.and_then(|at| self.rounds.remove(at)) {
                    Some(round) => self.give_up(&round, None, actions),
                    None => self.remember(checkpoint),
                }
            }
        }
        self.time_out(now_ms, actions);
    }

    /// When to call [`step`](Self::step) at the latest, if nothing happens before.
    pub fn next_deadline(&self) -> Option<i64> {
        self.rounds.iter().filter_map(Round::deadline).min()
    }

    /// Whether a channel waits for others: it delivers nothing until it is resumed.
    ///
    /// # Panics
    /// If there is no such channel.
    pub fn is_blocked(&self, channel: u32) -> bool {
        self.channels[channel as usize].blocked_by.is_some()
    }

    /// Checkpoints whose barriers have not all arrived, ascending.
    pub fn open_checkpoints(&self) -> impl Iterator<Item = u64> {
        self.rounds.iter().map(Round::id)
    }

    fn barrier(
        &mut self,
        now: i64,
        channel: u32,
        sequence: u32,
        barrier: Barrier,
        actions: &mut Vec<Action>,
    ) {
        let id = barrier.checkpoint;
        let at = self.open(now, Some(channel), barrier, actions);
        let at = at.filter(|at| !self.rounds[*at].has_arrived(channel));
        match at {
            Some(at) => {
                let ended = |channel: u32| self.channels[channel as usize].ended;
                self.rounds[at].arrive(now, channel, sequence, barrier, ended, actions);
                self.finish_complete(actions);
            }
            None if self.rounds.iter().all(|round| round.id() != id) => self.resume(id, actions),
            None => {}
        }
    }

    /// The place of a checkpoint's round, which begins if it is new; `None` if it is over.
    fn open(
        &mut self,
        now: i64,
        channel: Option<u32>,
        barrier: Barrier,
        actions: &mut Vec<Action>,
    ) -> Option<usize> {
        let id = barrier.checkpoint;
        if id <= self.last || self.given_up.contains(&id) {
            return None;
        }
        self.subsume(id, channel, barrier.alignment != Alignment::None, actions);
        if let Some(at) = self.rounds.iter().position(|round| round.id() == id) {
            return Some(at);
        }
        if self.rounds.back().is_some_and(|newest| newest.id() > id) {
            return None;
        }
        self.rounds.push_back(Round::new(now, barrier, self.channels.len()));
        if self.rounds.len() > ROUNDS_MAX
            && let Some(oldest) = self.rounds.pop_front()
        {
            self.give_up(&oldest, Some(Decline::Subsumed), actions);
        }
        Some(self.rounds.len() - 1)
    }

    /// Gives up what is older than `id` and cannot be completed: all of it if channels wait for each
    /// other, else what the channel did not deliver, since it delivers in order.
    fn subsume(&mut self, id: u64, channel: Option<u32>, all: bool, actions: &mut Vec<Action>) {
        let is_hopeless = |round: &Round| {
            let passed = channel.is_some_and(|channel| !round.has_arrived(channel));
            round.id() < id && (all || passed)
        };
        while let Some(at) = self.rounds.iter().position(is_hopeless) {
            if let Some(round) = self.rounds.remove(at) {
                self.give_up(&round, Some(Decline::Subsumed), actions);
            }
        }
    }

    fn cancel(&mut self, channel: u32, checkpoint: u64, actions: &mut Vec<Action>) {
        if checkpoint <= self.last || self.given_up.contains(&checkpoint) {
            return;
        }
        self.subsume(checkpoint, Some(channel), false, actions);
        let reason = Some(Decline::Cancelled);
        let at = self.rounds.iter().position(|round| round.id() == checkpoint);
        if let Some(round) = at.and_then(|at| self.rounds.remove(at)) {
            self.give_up(&round, reason, actions);
        } else {
            self.remember(checkpoint);
            actions.push(Action::Abort { checkpoint, reason });
        }
    }

    fn end(&mut self, channel: u32, actions: &mut Vec<Action>) {
        self.channels[channel as usize] = Channel { ended: true, blocked_by: None };
        for round in &mut self.rounds {
            round.end(channel, actions);
        }
        self.finish_complete(actions);
    }

    /// Ends the rounds that nothing is missing from, and what is older than they.
    fn finish_complete(&mut self, actions: &mut Vec<Action>) {
        let channels = &self.channels;
        let is_complete = |round: &Round| round.is_complete(|at| channels[at as usize].ended);
        let Some(at) = self.rounds.iter().position(is_complete) else { return };
        let mut older: VecDeque<Round> = self.rounds.drain(..=at).collect();
        let Some(done) = older.pop_back() else { return };
        for round in older {
            self.give_up(&round, Some(Decline::Subsumed), actions);
        }
        let checkpoint = done.id();
        self.over(checkpoint);
        actions.push(match done.phase() {
            Phase::Capturing => Action::Captured { checkpoint },
            Phase::Aligning | Phase::Overtaking => {
                Action::Snapshot { barrier: done.barrier(), in_flight: false }
            }
        });
        self.resume(checkpoint, actions);
        self.finish_complete(actions);
    }

    fn give_up(&mut self, round: &Round, reason: Option<Decline>, actions: &mut Vec<Action>) {
        let checkpoint = round.id();
        if round.barrier().alignment == Alignment::None {
            self.remember(checkpoint);
        } else {
            self.over(checkpoint);
        }
        actions.push(Action::Abort { checkpoint, reason });
        self.resume(checkpoint, actions);
    }

    /// Neither this checkpoint nor an older one is taken any more.
    fn over(&mut self, checkpoint: u64) {
        self.last = self.last.max(checkpoint);
        self.given_up = self.given_up.split_off(&self.last);
    }

    /// So that barriers of this checkpoint that still come are told from those of a new one.
    fn remember(&mut self, checkpoint: u64) {
        if checkpoint > self.last {
            self.given_up.insert(checkpoint);
        }
        if self.given_up.len() > GIVEN_UP_MAX {
            self.given_up.pop_first();
        }
    }

    fn resume(&mut self, checkpoint: u64, actions: &mut Vec<Action>) {
        for (number, channel) in self.channels.iter_mut().enumerate() {
            if channel.blocked_by == Some(checkpoint) {
                channel.blocked_by = None;
                actions.push(Action::Resume { channel: number as u32 });
            }
        }
    }

    fn time_out(&mut self, now: i64, actions: &mut Vec<Action>) {
        for round in &mut self.rounds {
            if round.deadline().is_some_and(|at| at <= now) {
                let ended = |channel: u32| self.channels[channel as usize].ended;
                round.go_unaligned(ended, actions);
            }
        }
    }
}
