//! A task's part in checkpoints.

use alloc::{boxed::Box, string::String, vec::Vec};
use core::{fmt, task::Waker};

use millstream_checkpoint::{
    Permit,
    align::{Action, Aligner, Input},
};
use millstream_exchange::event::{Alignment, Barrier, Event};

use super::{
    in_flight::{InFlight, Origin},
    lookout::Lookout,
    recovering::Recovering,
};
use crate::{
    chain::TaskError,
    channel::{Element, Receiver},
};

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

    /// Milliseconds after which a barrier that waits overtakes what is in front of it; `None` if barriers
    /// never do.
    fn overtakes_after(&self) -> Option<u32> {
        None
    }

    /// Takes data that are in flight at a checkpoint, before it is [finished](Self::finish).
    fn write_in_flight(&mut self, checkpoint: u64, data: Vec<u8>) {
        let _ = (checkpoint, data);
    }
}

/// Alignment and snapshot of one task, or of whoever else reads channels.
pub struct Checkpointing {
    aligner: Aligner,
    writer: Option<Box<dyn Checkpoints>>,
    /// The checkpoint whose state is being written.
    open: Option<u64>,
    actions: Vec<Action>,
    /// See [`Checkpoints::overtakes_after`].
    timeout_ms: Option<u32>,
    /// Looks for barriers that may overtake; `None` if none can here.
    lookout: Option<Lookout>,
    /// A snapshot has to be taken before anything else that follows from barriers.
    waits: bool,
    /// The checkpoint whose data in flight are not complete, and whether its state is.
    capturing: Option<(u64, bool)>,
    /// Data in flight that were not handed over.
    in_flight: Vec<u8>,
    recovering: Recovering,
    /// Rounds of that which have ended, and others are told of.
    rounds: u32,
}

/// What has to be done after something was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Take the snapshot now, and send the barrier on.
    Snapshot {
        /// The barrier, as consumers are to see it.
        barrier: Barrier,
        /// Whether it does not wait until there is room downstream.
        overtakes: bool,
    },
    /// Hand what waits on this channel to [`Checkpointing::capture`].
    Capture(usize),
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
        Self {
            aligner: Aligner::new(channels as u32),
            writer: None,
            open: None,
            actions: Vec::new(),
            timeout_ms: None,
            lookout: None,
            waits: false,
            capturing: None,
            in_flight: Vec::new(),
            recovering: Recovering::default(),
            rounds: 0,
        }
    }

    /// From now on there are checkpoints, whose state goes to `writer`. `origins` are those of the
    /// channels, in order; if there is none of a channel no barrier overtakes here, since what is in flight
    /// could not be sent again as it was.
    pub fn write_to(
        &mut self,
        writer: Box<dyn Checkpoints>,
        origins: impl IntoIterator<Item = Option<Origin>>,
    ) {
        self.timeout_ms = writer.overtakes_after();
        let origins: Option<Vec<Origin>> = origins.into_iter().collect();
        self.lookout = origins.filter(|_| self.timeout_ms.is_some()).map(Lookout::new);
        self.writer = Some(writer);
    }

    /// Something was in flight at the checkpoint that all begin from, and comes first, on these channels in so
    /// many rounds. No barrier overtakes before they are over.
    pub fn recover(&mut self, channels: impl IntoIterator<Item = usize>, rounds: u32) {
        self.recovering = Recovering::new(channels, rounds);
    }

    /// Whether that is not over.
    pub(super) fn is_recovering(&self) -> bool {
        !self.recovering.is_over()
    }

    /// How many rounds have ended since last asked behind which others follow.
    pub(super) fn take_rounds(&mut self) -> u32 {
        core::mem::take(&mut self.rounds)
    }

    /// Whether barriers may overtake here.
    pub fn overtakes(&self) -> bool {
        self.lookout.is_some()
    }

    /// Looks at what has come on a channel since it was last looked at.
    pub fn look(&mut self, now: u64, channel: usize, receiver: &mut Receiver) {
        while self.recovering.is_over()
            && let Some(input) = self.find(now, channel, receiver)
        {
            self.step(now, input);
        }
    }

    /// The next barrier that matters, among what was not looked at.
    fn find(&mut self, now: u64, channel: usize, receiver: &mut Receiver) -> Option<Input> {
        let lookout = self.lookout.as_mut()?;
        let number = channel as u32;
        while let Some(element) = lookout.next(channel, receiver) {
            let barrier = match element {
                Element::Event(Event::Barrier(barrier)) => Some(*barrier),
                _ => None,
            };
            if !lookout.is_capturing(channel) {
                let is_early =
                    |barrier: &Barrier| matches!(barrier.alignment, Alignment::Timeout { .. });
                if let Some(barrier) = barrier.filter(is_early) {
                    let barrier = lookout.announce(now, barrier);
                    return Some(Input::Announcement { channel: number, barrier });
                }
                continue;
            }
            let ends = |barrier: &Barrier| {
                self.capturing.is_some_and(|(checkpoint, _)| barrier.checkpoint == checkpoint)
            };
            if let Some(barrier) = barrier.filter(ends) {
                let is_known = lookout.has_overtaken(channel, barrier.checkpoint);
                lookout.capture(channel, false);
                if is_known {
                    continue;
                }
                lookout.overtook(channel, barrier.checkpoint);
                let (barrier, blocked) = (barrier.unaligned(), false);
                return Some(Input::Barrier { channel: number, sequence: 0, barrier, blocked });
            }
            keep(lookout.origin(channel), element, 0, &mut self.in_flight);
        }
        None
    }

    /// Time went by.
    pub fn on_time(&mut self, now: u64) {
        let deadline = self.aligner.next_deadline().filter(|_| self.recovering.is_over());
        if deadline.is_some_and(|at| at <= millis(now)) {
            self.step(now, Input::Time);
        }
    }

    /// When to say that [time went by](Self::on_time), on the clock of that.
    pub fn deadline(&self) -> Option<u64> {
        self.lookout.as_ref().filter(|_| self.recovering.is_over())?;
        u64::try_from(self.aligner.next_deadline()?).ok()?.checked_mul(1000)
    }

    /// An element was taken from a channel. `true` if it is a barrier that has overtaken what was in front
    /// of it: it is over, and the channel goes on.
    pub fn popped(&mut self, channel: usize, element: &Element) -> bool {
        let Some(lookout) = &mut self.lookout else { return false };
        let was_seen = lookout.popped(channel);
        let Element::Event(Event::Barrier(barrier)) = element else {
            if !was_seen && lookout.is_capturing(channel) {
                keep(lookout.origin(channel), element, 0, &mut self.in_flight);
            }
            return false;
        };
        if self.capturing.is_some_and(|(checkpoint, _)| checkpoint == barrier.checkpoint) {
            lookout.capture(channel, false);
        }
        lookout.passed(channel, barrier.checkpoint)
    }

    /// A page of a channel is being processed, and was not from `row` on: it is in flight.
    pub fn capture_page(&mut self, channel: usize, page: &[u8], row: usize) {
        let Some(lookout) = &self.lookout else { return };
        let page = InFlight::Page { row: row as u32, bytes: page };
        page.write(lookout.origin(channel), &mut self.in_flight);
    }

    /// Captures what waits on a channel, and what will come, in front of the barrier.
    pub fn capture(&mut self, now: u64, channel: usize, receiver: &mut Receiver) {
        let Some(lookout) = self.lookout.as_mut().filter(|_| self.capturing.is_some()) else {
            return;
        };
        lookout.begin(channel);
        lookout.capture(channel, true);
        self.look(now, channel, receiver);
    }

    /// Whether there are checkpoints at all.
    pub(super) fn is_on(&self) -> bool {
        self.writer.is_some()
    }

    /// Whether a channel waits for the barriers of others, or for what was in flight there.
    pub fn is_blocked(&self, channel: usize) -> bool {
        self.aligner.is_blocked(channel as u32) || self.recovering.waits(channel)
    }

    /// Tells the aligner of an event; what follows is taken with [`next_step`](Self::next_step).
    pub fn on_event(&mut self, now: u64, channel: usize, event: Event) {
        let goes_on = match event {
            Event::EndOfRecovery => self.recovering.end(channel),
            Event::EndOfPartition => self.recovering.close(channel),
            _ => None,
        };
        if let Some(channels) = goes_on {
            self.rounds += u32::from(!self.recovering.is_over());
            // Actions are taken from the end.
            let channels = channels.into_iter().map(|channel| channel as u32);
            self.actions.splice(0..0, channels.map(|channel| Action::Resume { channel }));
        }
        let channel = channel as u32;
        let input = match event {
            Event::Barrier(barrier) => {
                let barrier = match (&mut self.lookout, barrier.alignment) {
                    (Some(lookout), Alignment::Timeout { .. }) => lookout.announce(now, barrier),
                    (None, Alignment::Timeout { .. }) => {
                        Barrier { alignment: Alignment::ForcedAligned, ..barrier }
                    }
                    _ => barrier,
                };
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
        self.aligner.step(millis(now), input, &mut self.actions);
        self.actions.reverse();
    }

    /// The next thing to do. Behind a snapshot nothing is to be done before it was
    /// taken.
    pub fn next_step(&mut self, now: u64) -> Option<Step> {
        while !self.waits {
            return Some(match self.actions.pop()? {
                Action::Snapshot { barrier, in_flight } => {
                    let overtakes =
                        in_flight || matches!(barrier.alignment, Alignment::Timeout { .. });
                    if in_flight {
                        self.capturing = Some((barrier.checkpoint, false));
                        self.in_flight.clear();
                    }
                    self.waits = true;
                    let alignment = match (barrier.alignment, self.timeout_ms) {
                        (Alignment::Unaligned, Some(_)) => Alignment::Timeout { timeout_ms: 1 },
                        (Alignment::ForcedAligned, Some(timeout_ms)) => {
                            Alignment::Timeout { timeout_ms }
                        }
                        (alignment, _) => alignment,
                    };
                    Step::Snapshot { barrier: Barrier { alignment, ..barrier }, overtakes }
                }
                Action::Resume { channel } => Step::Resume(channel as usize),
                Action::Abort { checkpoint, reason } => {
                    let tell = reason.is_some();
                    if let (Some(reason), Some(writer)) = (reason, &mut self.writer) {
                        writer.decline(checkpoint, alloc::format!("{reason}"));
                    }
                    Step::Abort { checkpoint, tell }
                }
                Action::Overtake { channel, .. } => {
                    let announced = self.lookout.as_mut().and_then(|lookout| {
                        let barrier = lookout.announced()?;
                        lookout.overtook(channel as usize, barrier.checkpoint);
                        Some(barrier.unaligned())
                    });
                    if let Some(barrier) = announced {
                        let blocked = false;
                        self.step(now, Input::Barrier { channel, sequence: 0, barrier, blocked });
                    }
                    continue;
                }
                Action::Capture { channel } => Step::Capture(channel as usize),
                // What is captured ends where the barrier is found.
                Action::CaptureEnd { .. } => continue,
                Action::Captured { checkpoint } => {
                    self.captured(checkpoint);
                    continue;
                }
            });
        }
        None
    }

    /// All data in flight are there.
    fn captured(&mut self, checkpoint: u64) {
        let Some((capturing, state_is_done)) = self.capturing.take() else { return };
        let Some(writer) = self.writer.as_mut().filter(|_| capturing == checkpoint) else { return };
        if !self.in_flight.is_empty() {
            writer.write_in_flight(checkpoint, core::mem::take(&mut self.in_flight));
        }
        if state_is_done {
            writer.finish(checkpoint);
        }
    }

    /// The next order; if there is none, `waker` is woken when one comes.
    pub fn next_order(&mut self, waker: &Waker) -> Option<Order> {
        self.writer.as_mut()?.next_order(waker)
    }

    /// The state was frozen, or could not be.
    pub(super) fn opened(&mut self, checkpoint: u64, frozen: Result<(), TaskError>) {
        self.waits = false;
        let Some(writer) = &mut self.writer else { return };
        match frozen {
            Ok(()) => self.open = Some(checkpoint),
            Err(error) => writer.decline(checkpoint, alloc::format!("{error}")),
        }
    }

    /// Hands over all state at a checkpoint at once.
    pub fn hand_over(&mut self, checkpoint: u64, state: Result<Vec<u8>, TaskError>) {
        self.waits = false;
        let Some(writer) = &mut self.writer else { return };
        match state {
            Ok(state) => {
                if !state.is_empty() {
                    writer.write(checkpoint, state);
                }
                finish(&mut self.capturing, &mut **writer, checkpoint);
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
        self.forget(checkpoint);
        is_open
    }

    /// No data in flight are captured for this checkpoint any more.
    pub fn forget(&mut self, checkpoint: u64) {
        if self.capturing.is_some_and(|(capturing, _)| capturing == checkpoint) {
            self.capturing = None;
            self.in_flight.clear();
            if let Some(lookout) = &mut self.lookout {
                lookout.stop();
            }
        }
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
                finish(&mut self.capturing, &mut **writer, checkpoint);
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

/// Acknowledges, unless data in flight are missing.
fn finish(capturing: &mut Option<(u64, bool)>, writer: &mut dyn Checkpoints, checkpoint: u64) {
    match capturing {
        Some((waits, state_is_done)) if *waits == checkpoint => *state_is_done = true,
        _ => writer.finish(checkpoint),
    }
}

/// Keeps an element that is in flight, if a checkpoint has to.
fn keep(origin: Origin, element: &Element, row: u32, out: &mut Vec<u8>) {
    let element = match element {
        Element::Page(page) => InFlight::Page { row, bytes: page },
        Element::SplitBegins => InFlight::SplitBegins,
        // The producer says it again.
        Element::Event(_) | Element::LastSplit => return,
    };
    element.write(origin, out);
}

/// The aligner counts milliseconds.
fn millis(now: u64) -> i64 {
    (now / 1000) as i64
}

/// State that is handed over at once, at least.
const CHUNK_BYTES: usize = 64 << 10;
/// Parts that are written between two pages.
const CHUNKS_PER_STEP: usize = 2;
