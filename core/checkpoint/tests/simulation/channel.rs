//! A channel between two tasks, with both its queues in one.

use std::collections::VecDeque;

use millstream_exchange::event::{Alignment, Barrier, Event};

/// A row: which source, and which of its rows.
pub(crate) type Row = (usize, u32);

#[derive(Clone, Copy, Debug)]
pub(crate) enum Sent {
    Row(Row),
    Barrier(Barrier),
    Cancel(u64),
    EndOfData,
    End,
}

/// What a task reads.
#[derive(Debug)]
pub(crate) enum Read {
    Sent(u32, Sent),
    /// A barrier that overtook, and whether its producer waits.
    Overtook(u32, Barrier, bool),
    Announced(Barrier),
}

#[derive(Debug, Default)]
pub(crate) struct Channel {
    queue: VecDeque<(u32, Sent)>,
    urgent: VecDeque<Read>,
    sent: u32,
    pub(crate) blocked: bool,
    /// Rows in flight of an unaligned checkpoint, so far.
    captured: Option<Vec<(u32, Row)>>,
}

impl Channel {
    pub(crate) fn send(&mut self, sent: Sent) {
        self.sent += 1;
        match sent {
            Sent::Barrier(barrier) if barrier.alignment == Alignment::Unaligned => {
                self.urgent.push_back(Read::Overtook(self.sent, barrier, false));
                return;
            }
            Sent::Barrier(barrier) if Event::Barrier(barrier).requires_announcement() => {
                self.urgent.push_back(Read::Announced(barrier));
            }
            Sent::Row(row) => {
                if let Some(captured) = &mut self.captured {
                    captured.push((self.sent, row));
                }
            }
            _ => {}
        }
        self.queue.push_back((self.sent, sent));
    }

    pub(crate) fn is_full(&self) -> bool {
        self.queue.len() >= 6
    }

    pub(crate) fn next(&self) -> Option<&Sent> {
        self.queue.front().map(|(_, sent)| sent)
    }

    /// What overtakes comes first, also on a channel that is blocked.
    pub(crate) fn read_urgent(&mut self) -> Option<Read> {
        let read = self.urgent.pop_front()?;
        if let Read::Overtook(.., true) = read {
            self.blocked = true;
        }
        Some(read)
    }

    pub(crate) fn read(&mut self) -> Option<Read> {
        let (number, sent) = self.queue.pop_front()?;
        if let Sent::Barrier(barrier) = sent {
            self.blocked = Event::Barrier(barrier).blocks_upstream();
            self.urgent.retain(|urgent| {
                !matches!(urgent, Read::Announced(announced)
                if announced.checkpoint == barrier.checkpoint)
            });
        }
        Some(Read::Sent(number, sent))
    }

    pub(crate) fn overtake(&mut self, checkpoint: u64) {
        let is_it = |(_, sent): &(u32, Sent)| matches!(sent, Sent::Barrier(barrier) if barrier.checkpoint == checkpoint);
        let at = self.queue.iter().position(is_it).expect("an announced barrier waits");
        let Some((number, Sent::Barrier(barrier))) = self.queue.remove(at) else { unreachable!() };
        self.urgent.push_back(Read::Overtook(number, barrier.unaligned(), true));
    }

    pub(crate) fn capture(&mut self) {
        let rows = self.queue.iter().filter_map(|(number, sent)| match sent {
            Sent::Row(row) => Some((*number, *row)),
            _ => None,
        });
        self.captured = Some(rows.collect());
    }

    /// The rows in front of the barrier with this number.
    pub(crate) fn capture_end(&mut self, number: Option<u32>) -> Vec<Row> {
        let captured = self.captured.take().expect("a capture was begun");
        let before = |row: &(u32, Row)| number.is_none_or(|number| row.0 < number);
        captured.into_iter().filter(before).map(|(_, row)| row).collect()
    }

    pub(crate) fn drop_captured(&mut self) {
        self.captured = None;
    }
}
