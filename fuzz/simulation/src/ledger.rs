//! What a producer put into a channel, against what its consumer got out of it.

use std::collections::VecDeque;

use millstream_exchange::event::{Alignment, Event};

/// The truth about one channel, which neither end can see.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    expected: VecDeque<(u64, Item)>,
    urgent: VecDeque<(u64, Event)>,
    pushed: u64,
    rows: u64,
    /// Urgent events in the producer's queue, and in the gate: whoever takes another element first
    /// is at fault.
    urgent_unsent: u32,
    urgent_unread: u32,
    /// Data frames between the two ends.
    pub(crate) data_under_way: u32,
    /// Credits between the two ends.
    pub(crate) credit_under_way: u32,
    /// The producer's credit means nothing until it was resumed.
    pub(crate) void: bool,
    /// The consumer has asked and the producer has not heard it.
    pub(crate) request_under_way: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Item {
    Row(u64),
    Jumbo(u64, u32),
    Event(Event),
}

impl Ledger {
    /// The number of the next row.
    pub(crate) fn next_row(&self) -> u64 {
        self.rows
    }

    /// A row was written to a page.
    pub(crate) fn wrote_row(&mut self) {
        self.push(Item::Row(self.rows));
        self.rows += 1;
    }

    /// The first fragment of a jumbo row was written.
    pub(crate) fn wrote_jumbo(&mut self, bytes: u32) {
        self.push(Item::Jumbo(self.rows, bytes));
        self.rows += 1;
    }

    pub(crate) fn pushed_event(&mut self, event: Event) {
        if event.has_priority() {
            self.pushed += 1;
            self.urgent.push_back((self.pushed, event));
            self.urgent_unsent += 1;
        } else {
            self.push(Item::Event(event));
        }
    }

    /// A frame leaves the producer's queue.
    pub(crate) fn sent(&mut self, priority: bool) -> Result<(), String> {
        self.urgent_unsent = overtaken(self.urgent_unsent, priority)?;
        Ok(())
    }

    /// An event arrives in the gate.
    pub(crate) fn arrived(&mut self, event: &Event) {
        self.urgent_unread += u32::from(event.has_priority());
    }

    /// An element leaves the gate.
    pub(crate) fn read(&mut self, priority: bool) -> Result<(), String> {
        self.urgent_unread = overtaken(self.urgent_unread, priority)?;
        Ok(())
    }

    /// A barrier with timeout became urgent in the producer's queue.
    pub(crate) fn overtook_there(&mut self, checkpoint: u64) -> Result<(), String> {
        self.urgent_unsent += 1;
        self.overtook(checkpoint)
    }

    /// A barrier with timeout became urgent in the gate.
    pub(crate) fn overtook_here(&mut self, checkpoint: u64) -> Result<(), String> {
        self.urgent_unread += 1;
        self.overtook(checkpoint)
    }

    pub(crate) fn got_row(&mut self, number: u64) -> Result<(), String> {
        self.got(Item::Row(number))
    }

    pub(crate) fn got_jumbo(&mut self, number: u64, bytes: u32) -> Result<(), String> {
        self.got(Item::Jumbo(number, bytes))
    }

    pub(crate) fn got_event(&mut self, event: Event) -> Result<(), String> {
        if event.has_priority() {
            return match self.urgent.pop_front() {
                Some((_, expected)) if expected == event => Ok(()),
                other => Err(format!("got {event}, but {other:?} was urgent")),
            };
        }
        // Neighbours that merge may arrive as the last of them.
        while let [(_, Item::Event(first)), (_, Item::Event(second)), ..] =
            self.expected.make_contiguous()
            && *first != event
            && first.merge(second).is_some()
        {
            self.expected.pop_front();
        }
        self.got(Item::Event(event))
    }

    /// Nothing is missing.
    pub(crate) fn check_complete(&self) -> Result<(), String> {
        match (self.expected.front(), self.urgent.front()) {
            (None, None) => Ok(()),
            (lost, late) => Err(format!("never arrived: {lost:?}, {late:?}")),
        }
    }

    /// A barrier leaves its place for the urgent ones.
    fn overtook(&mut self, checkpoint: u64) -> Result<(), String> {
        let is_it = |item: &(u64, Item)| {
            matches!(item.1, Item::Event(Event::Barrier(barrier))
                if barrier.checkpoint == checkpoint
                && matches!(barrier.alignment, Alignment::Timeout { .. }))
        };
        let at = self.expected.iter().position(is_it);
        let at = at.ok_or_else(|| format!("barrier {checkpoint} overtook, but was not queued"))?;
        let Some((ordinal, Item::Event(Event::Barrier(barrier)))) = self.expected.remove(at) else {
            unreachable!("the position of a barrier")
        };
        self.urgent.push_back((ordinal, Event::Barrier(barrier.unaligned())));
        Ok(())
    }

    fn push(&mut self, item: Item) {
        self.pushed += 1;
        self.expected.push_back((self.pushed, item));
    }

    fn got(&mut self, item: Item) -> Result<(), String> {
        let (ordinal, expected) =
            self.expected.pop_front().ok_or_else(|| format!("got {item:?} out of nothing"))?;
        if expected != item {
            return Err(format!("got {item:?}, expected {expected:?}"));
        }
        match self.urgent.front() {
            Some((before, event)) if *before < ordinal => {
                Err(format!("got {item:?} before {event}, which has priority"))
            }
            _ => Ok(()),
        }
    }
}

/// Counts down the urgent ones; anything else must wait for them.
fn overtaken(urgent: u32, priority: bool) -> Result<u32, String> {
    match (urgent, priority) {
        (0, false) => Ok(0),
        (0, true) => Err("an urgent event out of nothing".to_string()),
        (_, true) => Ok(urgent - 1),
        (_, false) => Err("an element goes before an urgent event".to_string()),
    }
}
