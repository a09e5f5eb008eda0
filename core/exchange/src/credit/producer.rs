//! The producer's end of a channel's credit.

use core::fmt;

use super::SendPermit;
use crate::id::ChannelId;

/// What is next in the queue that a channel reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// Nothing that may be sent: the queue is empty or blocked.
    Nothing,
    /// A page or a fragment: needs credit.
    Data,
    /// An event: goes without.
    Event,
}

/// How many data frames a producer may still send on one channel.
///
/// It does no I/O and knows no time; call [`is_runnable`](Self::is_runnable) again after
/// [`add`](Self::add), after [`on_resume`](Self::on_resume) and when the head of the queue changed.
#[derive(Debug)]
pub struct ProducerCredit {
    channel: ChannelId,
    initial: u32,
    available: u32,
}

impl ProducerCredit {
    /// Starts with what the consumer's request granted.
    pub fn new(channel: ChannelId, initial: u32) -> Self {
        Self { channel, initial, available: initial }
    }

    /// Credits that are left.
    pub fn available(&self) -> u32 {
        self.available
    }

    /// Takes what the consumer announced.
    ///
    /// # Errors
    /// [`CreditError`] when the sum is more than any receiver can hold; nothing was added.
    pub fn add(&mut self, delta: u32) -> Result<(), CreditError> {
        let (channel, available) = (self.channel, self.available);
        self.available =
            available.checked_add(delta).ok_or(CreditError { channel, available, delta })?;
        Ok(())
    }

    /// Mints the permission for one data frame, or nothing without credit.
    ///
    /// Call it only with data at hand: the credit is gone with the permit.
    pub fn permit(&mut self) -> Option<SendPermit> {
        self.available = self.available.checked_sub(1)?;
        Some(SendPermit { channel: self.channel })
    }

    /// Whether the channel can send what is next in its queue.
    pub fn is_runnable(&self, head: Head) -> bool {
        match head {
            Head::Nothing => false,
            Head::Data => self.available > 0,
            Head::Event => true,
        }
    }

    /// Whether the consumer has to be told of `backlog`, because it can learn it no other way: no
    /// data frame will carry it before the consumer finds a buffer.
    pub fn must_announce(&self, backlog: u32) -> bool {
        self.initial == 0 && self.available == 0 && backlog > 0
    }

    /// The consumer resumed the channel. Without exclusive buffers it holds none now, so whatever
    /// credit it granted before is void.
    pub fn on_resume(&mut self) {
        if self.initial == 0 {
            self.available = 0;
        }
    }
}

/// A consumer announced more credit than a counter holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreditError {
    /// The channel.
    pub channel: ChannelId,
    /// Credit before the announcement.
    pub available: u32,
    /// The announcement.
    pub delta: u32,
}

impl fmt::Display for CreditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { channel, available, delta } = self;
        write!(f, "{channel}: credit {available} + {delta} exceeds {}", u32::MAX)
    }
}

impl core::error::Error for CreditError {}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANNEL: ChannelId = ChannelId(4);

    #[test]
    fn permits_run_out_with_credit() {
        let mut credit = ProducerCredit::new(CHANNEL, 2);
        let first = credit.permit().expect("two left");
        assert_eq!(first.channel(), CHANNEL);
        assert!(credit.permit().is_some());
        assert_eq!(credit.permit(), None);
        assert_eq!(credit.available(), 0);
        credit.add(1).expect("0 + 1 fits");
        assert!(credit.permit().is_some());
        assert_eq!(credit.permit(), None);
    }

    #[test]
    fn events_run_without_credit() {
        let mut credit = ProducerCredit::new(CHANNEL, 0);
        // head, runnable without credit, runnable with credit
        let table =
            [(Head::Nothing, false, false), (Head::Data, false, true), (Head::Event, true, true)];
        for (head, without, _) in table {
            assert_eq!(credit.is_runnable(head), without, "{head:?}");
        }
        credit.add(1).expect("0 + 1 fits");
        for (head, _, with) in table {
            assert_eq!(credit.is_runnable(head), with, "{head:?}");
        }
    }

    #[test]
    fn only_a_channel_without_buffers_announces_its_backlog() {
        let mut none = ProducerCredit::new(CHANNEL, 0);
        assert!(none.must_announce(1));
        assert!(!none.must_announce(0));
        none.add(1).expect("0 + 1 fits");
        assert!(!none.must_announce(1));
        let mut some = ProducerCredit::new(CHANNEL, 1);
        assert!(some.permit().is_some());
        assert!(!some.must_announce(1));
    }

    #[test]
    fn resume_voids_borrowed_credit_only() {
        let mut none = ProducerCredit::new(CHANNEL, 0);
        none.add(3).expect("0 + 3 fits");
        none.on_resume();
        assert_eq!(none.available(), 0);
        let mut some = ProducerCredit::new(CHANNEL, 2);
        some.add(3).expect("2 + 3 fits");
        some.on_resume();
        assert_eq!(some.available(), 5);
    }

    #[test]
    fn absurd_credit_is_the_peers_error() {
        let mut credit = ProducerCredit::new(CHANNEL, 1);
        let error = CreditError { channel: CHANNEL, available: 1, delta: u32::MAX };
        assert_eq!(credit.add(u32::MAX), Err(error));
        assert_eq!(credit.available(), 1);
    }
}
