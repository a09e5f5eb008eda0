//! What travels between the pages of a channel: watermarks, barriers, ends.
//!
//! An event has four attributes, which decide how the rest of this crate treats it. They are pure
//! functions of the event, they ride in the flags of its frame, and the receiver checks that both
//! agree.
//!
//! | event | credit | blocks upstream | priority | announced |
//! |---|---|---|---|---|
//! | watermark, status, cancel barrier, end of data, end of partition | - | - | - | - |
//! | barrier without alignment | - | - | - | - |
//! | barrier aligned, or forced aligned | - | yes | - | - |
//! | barrier with timeout | - | yes | - | yes |
//! | barrier unaligned | - | - | yes | - |
//! | announcement | - | - | yes | - |
//! | end of recovery | - | yes | - | - |

use core::fmt;

mod codec;

pub use codec::{EVENT_BYTES_MAX, EventError};

/// Something that is not a record and keeps its place among them, priority events apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// No record at or before this event time, in milliseconds, follows.
    ///
    /// Most watermarks travel inside pages; this event is for those that no page carries.
    Watermark(i64),
    /// The channel stopped, or resumed, to take part in the watermark of its consumer.
    Status(StreamStatus),
    /// Separates the records of one checkpoint from those of the next.
    Barrier(Barrier),
    /// The checkpoint with this id will not come: stop waiting for its barrier.
    CancelBarrier(u64),
    /// No record follows. The consumer may still send its final checkpoint.
    EndOfData {
        /// Whether windows and timers fire now (`true`) or stay in the savepoint (`false`).
        drain: bool,
    },
    /// Nothing follows at all. The consumer answers by cancelling the channel.
    EndOfPartition,
    /// A barrier with timeout waits further back in the queue of the receiver.
    ///
    /// The receiver makes it itself when such a barrier arrives; it never crosses a connection.
    Announcement {
        /// The barrier that waits.
        barrier: Barrier,
        /// The sequence number under which it arrived.
        sequence: u32,
    },
    /// All in-flight data of a restored unaligned checkpoint was sent again.
    EndOfRecovery,
}

impl Event {
    /// Whether sending it takes a credit: never, so a channel without credit still gets its events.
    pub fn consumes_credit(&self) -> bool {
        false
    }

    /// Whether the producer stops behind it until the consumer resumes the channel.
    pub fn blocks_upstream(&self) -> bool {
        match self {
            Self::Barrier(barrier) => match barrier.alignment {
                Alignment::Aligned | Alignment::ForcedAligned | Alignment::Timeout { .. } => true,
                Alignment::None | Alignment::Unaligned => false,
            },
            Self::EndOfRecovery => true,
            _ => false,
        }
    }

    /// Whether it overtakes queued pages (never bytes that were already submitted).
    pub fn has_priority(&self) -> bool {
        match self {
            Self::Barrier(barrier) => barrier.alignment == Alignment::Unaligned,
            Self::Announcement { .. } => true,
            _ => false,
        }
    }

    /// Whether the receiver tells its task of the arrival before the task gets to it.
    pub fn requires_announcement(&self) -> bool {
        matches!(self, Self::Barrier(Barrier { alignment: Alignment::Timeout { .. }, .. }))
    }

    /// The event that stands for `self` directly followed by `next`, if one can.
    ///
    /// Events cost no credit, so a queue whose reader is slow is bounded by this: of neighbouring
    /// watermarks only the newest matters, and of neighbouring statuses only the last.
    #[must_use]
    pub fn merge(&self, next: &Self) -> Option<Self> {
        match (self, next) {
            (Self::Watermark(old), Self::Watermark(new)) => Some(Self::Watermark(*old.max(new))),
            (Self::Status(_), Self::Status(status)) => Some(Self::Status(*status)),
            _ => None,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Watermark(time) => write!(f, "watermark {time}"),
            Self::Status(StreamStatus::Active) => f.write_str("status active"),
            Self::Status(StreamStatus::Idle) => f.write_str("status idle"),
            Self::Barrier(barrier) => write!(f, "{barrier}"),
            Self::CancelBarrier(checkpoint) => write!(f, "cancel barrier {checkpoint}"),
            Self::EndOfData { drain: true } => f.write_str("end of data, drain"),
            Self::EndOfData { drain: false } => f.write_str("end of data, no drain"),
            Self::EndOfPartition => f.write_str("end of partition"),
            Self::Announcement { barrier, .. } => write!(f, "announcement of {barrier}"),
            Self::EndOfRecovery => f.write_str("end of recovery"),
        }
    }
}

/// Whether a channel takes part in the watermark of its consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StreamStatus {
    /// It does.
    Active,
    /// It has nothing to say for a while and must not hold others back.
    Idle,
}

/// The mark of a checkpoint in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Barrier {
    /// Which checkpoint.
    pub checkpoint: u64,
    /// When the coordinator triggered it, in milliseconds of its clock.
    pub timestamp_ms: i64,
    /// How consumers treat it.
    pub alignment: Alignment,
    /// What the snapshot is for.
    pub purpose: Purpose,
}

impl Barrier {
    /// The same barrier as it overtakes data.
    #[must_use]
    pub fn unaligned(self) -> Self {
        Self { alignment: Alignment::Unaligned, ..self }
    }
}

impl fmt::Display for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let alignment = match self.alignment {
            Alignment::None => "without alignment",
            Alignment::Aligned => "aligned",
            Alignment::ForcedAligned => "forced aligned",
            Alignment::Timeout { .. } => "aligned with timeout",
            Alignment::Unaligned => "unaligned",
        };
        write!(f, "barrier {} {alignment}", self.checkpoint)
    }
}

/// How consumers treat a barrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Alignment {
    /// At least once: nobody waits for anybody.
    None,
    /// The channel stops until the barrier arrived on all channels.
    Aligned,
    /// As aligned, because this connection cannot persist its in-flight data; behind the next
    /// exchange the checkpoint goes on unaligned.
    ForcedAligned,
    /// Aligned, and unaligned from `timeout_ms` after its timestamp on.
    Timeout {
        /// Milliseconds, at least 1.
        timeout_ms: u32,
    },
    /// The barrier overtakes what is queued, which becomes part of the checkpoint.
    Unaligned,
}

/// What a snapshot is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Recovery of this job.
    Checkpoint,
    /// Kept by the user; the job goes on.
    Savepoint,
    /// Kept by the user; the job stops behind it.
    StopWithSavepoint,
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    fn barrier(alignment: Alignment) -> Event {
        let purpose = Purpose::Checkpoint;
        Event::Barrier(Barrier { checkpoint: 1, timestamp_ms: 2, alignment, purpose })
    }

    #[test]
    fn attributes_follow_the_table() {
        let announced = Barrier {
            checkpoint: 1,
            timestamp_ms: 2,
            alignment: Alignment::Timeout { timeout_ms: 5 },
            purpose: Purpose::Checkpoint,
        };
        // event, blocks upstream, priority, announced
        let table = [
            (Event::Watermark(1), false, false, false),
            (Event::Status(StreamStatus::Idle), false, false, false),
            (barrier(Alignment::None), false, false, false),
            (barrier(Alignment::Aligned), true, false, false),
            (barrier(Alignment::ForcedAligned), true, false, false),
            (barrier(Alignment::Timeout { timeout_ms: 5 }), true, false, true),
            (barrier(Alignment::Unaligned), false, true, false),
            (Event::CancelBarrier(1), false, false, false),
            (Event::EndOfData { drain: true }, false, false, false),
            (Event::EndOfPartition, false, false, false),
            (Event::Announcement { barrier: announced, sequence: 3 }, false, true, false),
            (Event::EndOfRecovery, true, false, false),
        ];
        for (event, blocks, priority, announced) in table {
            assert!(!event.consumes_credit(), "{event}");
            assert_eq!(event.blocks_upstream(), blocks, "{event}");
            assert_eq!(event.has_priority(), priority, "{event}");
            assert_eq!(event.requires_announcement(), announced, "{event}");
            assert!(!(event.has_priority() && event.requires_announcement()), "{event}");
        }
    }

    #[test]
    fn events_have_names() {
        assert_eq!(barrier(Alignment::Aligned).to_string(), "barrier 1 aligned");
        let timeout = Alignment::Timeout { timeout_ms: 5 };
        assert_eq!(barrier(timeout).to_string(), "barrier 1 aligned with timeout");
        assert_eq!(Event::EndOfData { drain: false }.to_string(), "end of data, no drain");
    }

    #[test]
    fn only_neighbours_of_one_kind_merge() {
        let idle = Event::Status(StreamStatus::Idle);
        let active = Event::Status(StreamStatus::Active);
        assert_eq!(Event::Watermark(7).merge(&Event::Watermark(3)), Some(Event::Watermark(7)));
        assert_eq!(Event::Watermark(3).merge(&Event::Watermark(7)), Some(Event::Watermark(7)));
        assert_eq!(idle.merge(&active), Some(active));
        assert_eq!(idle.merge(&Event::Watermark(3)), None);
        assert_eq!(barrier(Alignment::None).merge(&barrier(Alignment::None)), None);
    }
}
