//! What was in flight at a checkpoint comes before anything else, and in its order.
//!
//! Who sends it again may be another subtask than the one that has a key from now on, if the parallelism is
//! another one, and so may be those in between. So it comes in rounds: what was nearer is older. A task says
//! the [end](millstream_exchange::event::Event::EndOfRecovery) of a round when it has sent again what was in
//! flight behind it, and from then on whenever a round has ended on all of its channels; until then each of
//! these waits for the others. After as many rounds as the longest path has parts no row is left that was in
//! flight. A row that is taken back then never comes before itself. Until then no barrier overtakes: what is
//! kept of a channel does not say which of its rows were old.

use alloc::{collections::BTreeSet, vec::Vec};

/// The rounds of one who reads channels.
#[derive(Debug, Default)]
pub(super) struct Recovering {
    /// That have not ended.
    rounds: u32,
    /// Channels that say the end of each.
    channels: BTreeSet<usize>,
    /// Those that have not said that of this one.
    missing: BTreeSet<usize>,
    waiting: Vec<usize>,
}

impl Recovering {
    /// So many rounds on these channels. Nothing is read of others before all have ended.
    pub(super) fn new(channels: impl IntoIterator<Item = usize>, rounds: u32) -> Self {
        let channels: BTreeSet<usize> = channels.into_iter().collect();
        let rounds = if channels.is_empty() { 0 } else { rounds };
        Self { rounds, missing: channels.clone(), channels, waiting: Vec::new() }
    }

    pub(super) fn is_over(&self) -> bool {
        self.rounds == 0
    }

    /// Whether a channel waits for others.
    pub(super) fn waits(&self, channel: usize) -> bool {
        !self.is_over() && (self.waiting.contains(&channel) || !self.channels.contains(&channel))
    }

    /// A round has ended on a channel. Gives the channels that go on, if that was the last one.
    pub(super) fn end(&mut self, channel: usize) -> Option<Vec<usize>> {
        self.missing.remove(&channel);
        self.waiting.push(channel);
        self.next()
    }

    /// Nothing follows on a channel.
    pub(super) fn close(&mut self, channel: usize) -> Option<Vec<usize>> {
        self.channels.remove(&channel);
        let was_missing = self.missing.remove(&channel);
        if was_missing { self.next() } else { None }
    }

    fn next(&mut self) -> Option<Vec<usize>> {
        if !self.missing.is_empty() {
            return None;
        }
        self.rounds = if self.channels.is_empty() { 0 } else { self.rounds.saturating_sub(1) };
        self.missing = self.channels.clone();
        Some(core::mem::take(&mut self.waiting))
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn a_round_ends_on_all_channels_before_the_next_begins() {
        let mut recovering = Recovering::new([0, 2], 2);
        assert!(recovering.waits(1), "who says nothing of rounds waits for all of them");
        assert_eq!(recovering.end(2), None);
        assert!(recovering.waits(2) && !recovering.waits(0));
        assert_eq!(recovering.end(0), Some(vec![2, 0]));
        assert!(!recovering.waits(2) && !recovering.waits(0) && recovering.waits(1));
        assert_eq!(recovering.end(0), None);
        assert!(!recovering.is_over());
        assert_eq!(recovering.end(2), Some(vec![0, 2]));
        assert!(recovering.is_over() && !recovering.waits(1));
    }

    #[test]
    fn nobody_waits_for_a_channel_that_is_closed() {
        let mut recovering = Recovering::new([0, 1], 3);
        assert_eq!(recovering.end(0), None);
        assert_eq!(recovering.close(1), Some(vec![0]));
        assert!(!recovering.is_over());
        assert_eq!((recovering.end(0), recovering.end(0)), (Some(vec![0]), Some(vec![0])));
        assert!(recovering.is_over());
        assert!(Recovering::new([], 3).is_over());
    }
}
