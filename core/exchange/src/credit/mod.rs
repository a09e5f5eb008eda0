//! Credit: a consumer announces what it can hold, a producer sends no more.
//!
//! One [`ProducerCredit`] and one [`ConsumerCredit`] stand at the two ends of each channel. They
//! count; the segments that they count belong to the backend. Per channel it holds at all times,
//! for a channel that starts with at least one exclusive buffer:
//!
//! > credit at the producer + credit announced and under way + credit not yet announced
//! > \+ data under way + data held by the consumer = exclusive + floating buffers of the channel
//!
//! A channel that starts with none (`initial_credit` 0) gives its floating buffers back when a
//! blocking event arrives; what the producer still believes to have is void until the consumer
//! resumes, and both start again from zero then.

use crate::id::ChannelId;

mod consumer;
mod producer;
#[cfg(test)]
mod tests;

pub use consumer::{Announce, BufferKind, ConsumerCredit, FloatingBuffers, Recycled};
pub use producer::{CreditError, Head, ProducerCredit};

/// The permission to send one data frame of one channel.
///
/// Only [`ProducerCredit::permit`] makes one, at the price of a credit, and it can be neither
/// copied nor made by hand. Taking a page from a [`Subpartition`](crate::partition::Subpartition)
/// needs one, and so does making the header of a data frame.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a permit that is dropped is a credit lost for ever"]
pub struct SendPermit {
    channel: ChannelId,
}

impl SendPermit {
    /// The channel that the permit is for.
    pub fn channel(&self) -> ChannelId {
        self.channel
    }

    /// Uses the permit up. What is sent goes to the channel returned.
    pub(crate) fn redeem(self) -> ChannelId {
        self.channel
    }
}
