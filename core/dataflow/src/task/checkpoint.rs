//! A task's part in checkpoints.

use alloc::{boxed::Box, string::String, vec::Vec};
use core::{fmt, task::Waker};

use millstream_checkpoint::{
    Permit,
    align::{Action, Aligner, Input},
};
use millstream_exchange::event::{Barrier, Event};

use crate::chain::TaskError;

/// What the coordinator of checkpoints has a task do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Begin a checkpoint: only to those that read from no other task. Behind the barrier of one to stop
    /// with nothing follows.
    Trigger(Barrier),
    /// The end of data goes in front of the barrier that is triggered next, so that windows fire: only to
    /// those that read from no other task.
    Drain,
    /// A checkpoint will not be complete.
    Abort(u64),
    /// A checkpoint is complete: sinks show what belongs to it.
    Complete(Permit),
    /// All that was done is part of a complete checkpoint: end. Only to those that read from no other
    /// task.
    End,
}

/// Where a task's part of checkpoints goes, and where its orders come from. Nothing here blocks.
pub trait Checkpoints: Send {
    /// The next order; if there is none, `waker` is woken when one comes.
    fn next_order(&mut self, waker: &Waker) -> Option<Order>;

    /// Whether another part can be taken; if not, `waker` is woken when one can.
    fn has_room(&mut self, waker: &Waker) -> bool;

    /// Takes a part of the task's state at a checkpoint.
    fn write(&mut self, checkpoint: u64, chunk: Vec<u8>);

    /// That was all of it: acknowledges when it is durable.
    fn finish(&mut self, checkpoint: u64);

    /// There will be no state for a checkpoint.
    fn decline(&mut self, checkpoint: u64, reason: String);

    /// The task has made its last row; it runs on, for checkpoints.
    fn end_of_data(&mut self);
}

/// Alignment and snapshot of one task, or of whoever else reads channels.
pub struct Checkpointing {
    aligner: Aligner,
    writer: Option<Box<dyn Checkpoints>>,
    /// The checkpoint whose state is being written.
    open: Option<u64>,
    actions: Vec<Action>,
}

/// What has to be done after something was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Take the snapshot now, and send the barrier on.
    Snapshot(Barrier),
    /// Let the channel with this number go on.
    Resume(usize),
    /// Forget the snapshot, and tell consumers that its barrier does not come, if they do not know.
    Abort {
        /// Of this checkpoint.
        checkpoint: u64,
        /// Whether consumers have to be told.
        tell: bool,
    },
}

impl Checkpointing {
    /// For so many channels, without checkpoints so far.
    pub fn new(channels: usize) -> Self {
        let aligner = Aligner::new(channels as u32);
        Self { aligner, writer: None, open: None, actions: Vec::new() }
    }

    /// From now on there are checkpoints, whose state goes to `writer`.
    pub fn write_to(&mut self, writer: Box<dyn Checkpoints>) {
        self.writer = Some(writer);
    }

    /// Whether there are checkpoints at all.
    pub(super) fn is_on(&self) -> bool {
        self.writer.is_some()
    }

    /// Whether a channel waits for the barriers of others.
    pub fn is_blocked(&self, channel: usize) -> bool {
        self.aligner.is_blocked(channel as u32)
    }

    /// Tells the aligner of an event; what follows is taken with [`next_step`](Self::next_step).
    pub fn on_event(&mut self, now: u64, channel: usize, event: Event) {
        let channel = channel as u32;
        let input = match event {
            Event::Barrier(barrier) => {
                Input::Barrier { channel, sequence: 0, barrier, blocked: event.blocks_upstream() }
            }
            Event::CancelBarrier(checkpoint) => Input::Cancel { channel, checkpoint },
            Event::EndOfPartition => Input::EndOfPartition { channel },
            _ => return,
        };
        self.step(now, input);
    }

    /// Tells the aligner of an order; [`Order::Drain`] and [`Order::End`] are the
    /// task's own affair.
    pub fn on_order(&mut self, now: u64, order: Order) {
        match order {
            Order::Trigger(barrier) => self.step(now, Input::Trigger { barrier }),
            Order::Abort(checkpoint) => self.step(now, Input::Abort { checkpoint }),
            Order::Drain | Order::End | Order::Complete(_) => {}
        }
    }

    fn step(&mut self, now: u64, input: Input) {
        // Actions are taken from the end.
        self.actions.reverse();
        self.aligner.step((now / 1000) as i64, input, &mut self.actions);
        self.actions.reverse();
    }

    /// The next thing to do.
    pub fn next_step(&mut self) -> Option<Step> {
        loop {
            return Some(match self.actions.pop()? {
                Action::Snapshot { barrier, .. } => Step::Snapshot(barrier),
                Action::Resume { channel } => Step::Resume(channel as usize),
                Action::Abort { checkpoint, reason } => {
                    let tell = reason.is_some();
                    if let (Some(reason), Some(writer)) = (reason, &mut self.writer) {
                        writer.decline(checkpoint, alloc::format!("{reason}"));
                    }
                    Step::Abort { checkpoint, tell }
                }
                // No barrier overtakes yet.
                _ => continue,
            });
        }
    }

    /// The next order; if there is none, `waker` is woken when one comes.
    pub fn next_order(&mut self, waker: &Waker) -> Option<Order> {
        self.writer.as_mut()?.next_order(waker)
    }

    /// The state was frozen, or could not be.
    pub(super) fn opened(&mut self, checkpoint: u64, frozen: Result<(), TaskError>) {
        let Some(writer) = &mut self.writer else { return };
        match frozen {
            Ok(()) => self.open = Some(checkpoint),
            Err(error) => writer.decline(checkpoint, alloc::format!("{error}")),
        }
    }

    /// Hands over all state at a checkpoint at once.
    pub fn hand_over(&mut self, checkpoint: u64, state: Result<Vec<u8>, TaskError>) {
        let Some(writer) = &mut self.writer else { return };
        match state {
            Ok(state) => {
                if !state.is_empty() {
                    writer.write(checkpoint, state);
                }
                writer.finish(checkpoint);
            }
            Err(error) => writer.decline(checkpoint, alloc::format!("{error}")),
        }
    }

    /// Whether this checkpoint's state is being written; it is not from now on.
    pub(super) fn abandon(&mut self, checkpoint: u64) -> bool {
        let is_open = self.open == Some(checkpoint);
        if is_open {
            self.open = None;
        }
        is_open
    }

    /// The checkpoint whose state is being written.
    pub(super) fn open(&self) -> Option<u64> {
        self.open
    }

    /// Writes parts of the frozen state, which `next` gives, while there is room. `true` if it could go
    /// on at once.
    pub(super) fn write(
        &mut self,
        waker: &Waker,
        mut next: impl FnMut(&mut Vec<u8>) -> Result<bool, TaskError>,
    ) -> bool {
        let (Some(checkpoint), Some(writer)) = (self.open, &mut self.writer) else { return false };
        for _ in 0..CHUNKS_PER_STEP {
            if !writer.has_room(waker) {
                return false;
            }
            let mut chunk = Vec::new();
            let mut more = true;
            while more && chunk.len() < CHUNK_BYTES {
                match next(&mut chunk) {
                    Ok(there_is_more) => more = there_is_more,
                    Err(error) => {
                        writer.decline(checkpoint, alloc::format!("{error}"));
                        self.open = None;
                        return false;
                    }
                }
            }
            if !chunk.is_empty() {
                writer.write(checkpoint, chunk);
            }
            if !more {
                writer.finish(checkpoint);
                self.open = None;
                return false;
            }
        }
        true
    }

    pub(super) fn end_of_data(&mut self) {
        if let Some(writer) = &mut self.writer {
            writer.end_of_data();
        }
    }
}

impl fmt::Debug for Checkpointing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpointing").field("open", &self.open).finish_non_exhaustive()
    }
}

/// State that is handed over at once, at least.
const CHUNK_BYTES: usize = 64 << 10;
/// Parts that are written between two pages.
const CHUNKS_PER_STEP: usize = 2;
