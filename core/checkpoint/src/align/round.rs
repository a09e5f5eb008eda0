//! One checkpoint in one task, from its first barrier to its last.

use alloc::vec::Vec;

use millstream_exchange::event::{Alignment, Barrier};

use super::Action;

/// A checkpoint whose barriers have not all arrived.
#[derive(Debug)]
pub(super) struct Round {
    barrier: Barrier,
    channels: Vec<Place>,
    phase: Phase,
    /// When it goes on unaligned.
    deadline: Option<i64>,
}

/// How a round goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The snapshot is taken when all barriers have arrived.
    Aligning,
    /// The time is over, and no barrier has arrived: the snapshot is taken with the first.
    Overtaking,
    /// The snapshot was taken, and data are captured until all barriers have arrived.
    Capturing,
}

/// Where the barrier of a channel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Away,
    /// In the channel's queue.
    Announced,
    Arrived,
}

impl Round {
    pub(super) fn new(now: i64, barrier: Barrier, channels: usize) -> Self {
        let deadline = match barrier.alignment {
            Alignment::Timeout { timeout_ms } => {
                Some(barrier.timestamp_ms.saturating_add(timeout_ms.into()).max(now))
            }
            _ => None,
        };
        let channels = (0..channels).map(|_| Place::Away).collect();
        Self { barrier, channels, phase: Phase::Aligning, deadline }
    }

    pub(super) fn id(&self) -> u64 {
        self.barrier.checkpoint
    }

    pub(super) fn barrier(&self) -> Barrier {
        self.barrier
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase
    }

    pub(super) fn deadline(&self) -> Option<i64> {
        self.deadline
    }

    pub(super) fn has_arrived(&self, channel: u32) -> bool {
        self.channels[channel as usize] == Place::Arrived
    }

    pub(super) fn is_complete(&self, ended: impl Fn(u32) -> bool) -> bool {
        let mut channels = self.channels.iter().enumerate();
        channels.all(|(number, place)| *place == Place::Arrived || ended(number as u32))
    }

    pub(super) fn announce(&mut self, channel: u32, actions: &mut Vec<Action>) {
        let place = &mut self.channels[channel as usize];
        if *place != Place::Away {
            return;
        }
        *place = Place::Announced;
        if self.phase != Phase::Aligning {
            actions.push(Action::Overtake { channel, checkpoint: self.id() });
        }
    }

    pub(super) fn arrive(
        &mut self,
        now: i64,
        channel: u32,
        sequence: u32,
        barrier: Barrier,
        ended: impl Fn(u32) -> bool,
        actions: &mut Vec<Action>,
    ) {
        self.channels[channel as usize] = Place::Arrived;
        let overtook = barrier.alignment == Alignment::Unaligned;
        let was_capturing = self.phase == Phase::Capturing;
        let is_late = is_late(now, barrier) && !self.is_complete(&ended);
        if !was_capturing && (overtook || is_late) {
            self.go_unaligned(ended, actions);
        } else if self.phase == Phase::Overtaking {
            self.capture(ended, actions);
        }
        // It overtook what was queued in front of it, or came behind it: that was not worked off when
        // the snapshot was taken.
        if overtook && !was_capturing {
            actions.push(Action::Capture { channel });
        }
        if overtook || was_capturing {
            actions.push(Action::CaptureEnd { channel, sequence: Some(sequence) });
        }
    }

    pub(super) fn end(&mut self, channel: u32, actions: &mut Vec<Action>) {
        if self.phase == Phase::Capturing && !self.has_arrived(channel) {
            actions.push(Action::CaptureEnd { channel, sequence: None });
        }
    }

    /// Lets barriers overtake that are here, and takes the snapshot if one has been read.
    pub(super) fn go_unaligned(&mut self, ended: impl Fn(u32) -> bool, actions: &mut Vec<Action>) {
        self.deadline = None;
        let checkpoint = self.id();
        if self.phase == Phase::Aligning {
            for (number, _) in self.with(Place::Announced) {
                actions.push(Action::Overtake { channel: number as u32, checkpoint });
            }
        }
        if self.with(Place::Arrived).next().is_some() {
            self.capture(ended, actions);
        } else {
            self.phase = Phase::Overtaking;
        }
    }

    /// Takes the snapshot. What waits on channels without a barrier is in flight.
    fn capture(&mut self, ended: impl Fn(u32) -> bool, actions: &mut Vec<Action>) {
        self.phase = Phase::Capturing;
        let barrier = self.barrier.unaligned();
        actions.push(Action::Snapshot { barrier, in_flight: true });
        for (number, place) in self.channels.iter().enumerate() {
            let channel = number as u32;
            if *place != Place::Arrived && !ended(channel) {
                actions.push(Action::Capture { channel });
            }
        }
    }

    fn with(&self, place: Place) -> impl Iterator<Item = (usize, &Place)> {
        self.channels.iter().enumerate().filter(move |(_, found)| **found == place)
    }
}

/// Whether a barrier took longer than its timeout.
fn is_late(now: i64, barrier: Barrier) -> bool {
    match barrier.alignment {
        Alignment::Timeout { timeout_ms } => {
            now.saturating_sub(barrier.timestamp_ms) > timeout_ms.into()
        }
        _ => false,
    }
}
