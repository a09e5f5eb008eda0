//! Names: who sends what to whom.

use core::fmt;

/// One consumer's stream over one connection.
///
/// The consumer chooses the number when it sends its request and never uses it again on the same
/// connection. So a frame that was under way when a channel was cancelled can be told from a frame
/// that nobody asked for: the first carries a number that was given out once, the second does not.
///
/// Both ends of a connection are consumers and producers, and each numbers its own requests: the
/// [`FrameKind`](crate::frame::FrameKind) of a frame says in whose numbering its channel is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelId(pub u32);

impl fmt::Display for ChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "channel {}", self.0)
    }
}

/// The same stream seen from its producer: a channel in the numbering of the peer.
///
/// A type of its own, because a producer that confused it with a [`ChannelId`] of its own requests
/// would serve the wrong consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReaderId(pub u32);

impl ReaderId {
    /// The channel as the peer calls it, and as frames to the peer name it.
    pub fn channel(self) -> ChannelId {
        ChannelId(self.0)
    }
}

impl fmt::Display for ReaderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "reader {}", self.0)
    }
}

/// The output of one subtask, as a consumer asks for it.
///
/// The attempt belongs to the name: what a restarted producer writes is another partition, and a
/// consumer of the earlier attempt must not receive it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId {
    /// The intermediate result, that is the edge of the job graph.
    pub result: u64,
    /// The producing subtask, counted from zero.
    pub subtask: u32,
    /// How often the subtask was started before.
    pub attempt: u32,
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "partition {:x}/{}#{}", self.result, self.subtask, self.attempt)
    }
}

/// A worker process of the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub u32);

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "worker {}", self.0)
    }
}
