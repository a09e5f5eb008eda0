//! A channel between two processes: what is sent arrives later, in order, as far as credit goes.

use std::{collections::VecDeque, task::Waker};

use millstream_dataflow::{
    TaskError,
    channel::{Element, Receiver, Sender},
};
use millstream_exchange::event::Event;
use millstream_memory::{Buffer, Consumer, JumboBudget, Segment};

use super::{actor::Polled, cx::Cx};

/// One channel's share of a connection.
pub(super) struct Link {
    from: Receiver,
    to: Sender,
    returned: Consumer<Buffer>,
    /// Under way, with the time of arrival.
    transit: VecDeque<(u64, Element)>,
    /// Elements that may be under way.
    credit: usize,
    /// Microseconds that one takes at most.
    delay_max: u64,
    /// The consumer has to go on first, behind an event that stops the producer.
    blocked: bool,
    /// The consumer had no room, and wakes the link when it has.
    refused: bool,
    /// What follows a barrier goes on in front of it, which is a mistake.
    leaks: bool,
    /// A barrier that is kept until then.
    kept: Option<(u64, Element)>,
}

impl Link {
    pub(super) fn new(
        from: Receiver,
        to: Sender,
        returned: Consumer<Buffer>,
        credit: usize,
        delay_max: u64,
    ) -> Self {
        Self {
            from,
            to,
            returned,
            transit: VecDeque::new(),
            credit,
            delay_max,
            blocked: false,
            refused: false,
            leaks: false,
            kept: None,
        }
    }

    /// Lets what follows a barrier go on in front of it.
    pub(super) fn leak(&mut self) {
        self.leaks = true;
    }

    /// When the next element arrives.
    pub(super) fn deadline(&self) -> Option<u64> {
        let kept = self.kept.as_ref().map(|(until, _)| *until).filter(|_| !self.blocked);
        let next = self.transit.front().map(|(due, _)| *due).filter(|_| !self.refused);
        next.into_iter().chain(kept).min()
    }

    /// Moves what can be moved.
    pub(super) fn poll(&mut self, cx: &mut Cx, waker: &Waker) -> Result<Polled, TaskError> {
        while self.returned.pop().is_some() {}
        self.refused = false;
        if self.to.is_abandoned() {
            return Ok(Polled::Finished);
        }
        if self.to.take_resumed() {
            self.blocked = false;
        }
        while let Some((due, element)) = self.transit.pop_front_if(|(due, _)| *due <= cx.now) {
            let ends = matches!(element, Element::Event(Event::EndOfPartition));
            if let Err(refused) = self.to.push(element) {
                self.transit.push_front((due, refused));
                self.to.notify_room(waker);
                // There may be room since.
                self.refused = self.to.is_full();
                return Ok(if self.refused { Polled::Idle } else { Polled::Again });
            }
            if ends {
                return Ok(Polled::Finished);
            }
        }
        if let Some((_, barrier)) = self.kept.take_if(|(until, _)| *until <= cx.now) {
            self.send(barrier, cx);
        }
        while !self.blocked && self.transit.len() < self.credit {
            let Some(element) = self.from.pop() else {
                let is_lost = self.from.is_abandoned() && self.from.is_empty();
                let ends = is_lost && self.transit.is_empty();
                return Ok(if ends { Polled::Finished } else { Polled::Idle });
            };
            match element {
                Element::Page(page) => self.send(Element::Page(copy(&page)?), cx),
                Element::Event(Event::Barrier(_)) if self.leaks && self.kept.is_none() => {
                    self.kept = Some((cx.now + cx.random.below(20_000), element));
                }
                element => {
                    // No event overtakes it.
                    if let Some((_, barrier)) = self.kept.take() {
                        self.send(barrier, cx);
                    }
                    self.send(element, cx);
                }
            }
        }
        Ok(Polled::Idle)
    }

    fn send(&mut self, element: Element, cx: &mut Cx) {
        self.blocked |= matches!(&element, Element::Event(event) if event.blocks_upstream());
        let last = self.transit.back().map_or(0, |(due, _)| *due);
        let due = last.max(cx.now + cx.random.below(self.delay_max + 1));
        self.transit.push_back((due, element));
    }
}

/// A page in the memory of the other process.
fn copy(page: &Buffer) -> Result<Buffer, TaskError> {
    let length = page.len() as u64;
    let memory = JumboBudget::new(length, length).reserve(length);
    let memory = memory.and_then(|lease| Segment::jumbo(lease, page.len()));
    let mut segment = memory.map_err(|error| TaskError::new(error.to_string()))?;
    segment.get_mut(..page.len()).into_iter().for_each(|into| into.copy_from_slice(page));
    Ok(segment.freeze(page.len()))
}
