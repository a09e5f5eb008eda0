//! A channel between two processes: what is sent arrives later, in order, as far as credit goes.

use std::{collections::VecDeque, task::Waker};

use millstream_dataflow::{
    TaskError,
    channel::{Element, Receiver, Sender},
};
use millstream_exchange::event::{Alignment, Barrier, Event};
use millstream_memory::{Buffer, Consumer, JumboBudget, Segment};

use super::{EngineBug, actor::Polled, cx::Cx};

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
        }
    }

    /// When the next element arrives.
    pub(super) fn deadline(&self) -> Option<u64> {
        self.transit.front().map(|(due, _)| *due).filter(|_| !self.refused)
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
        while !self.blocked && self.transit.len() < self.credit {
            let Some(element) = self.from.pop() else {
                let is_lost = self.from.is_abandoned() && self.from.is_empty();
                let ends = is_lost && self.transit.is_empty();
                return Ok(if ends { Polled::Finished } else { Polled::Idle });
            };
            let element = match element {
                Element::Page(page) => Element::Page(copy(&page)?),
                Element::Event(Event::Barrier(barrier)) => {
                    Element::Event(Event::Barrier(treat(barrier, cx)))
                }
                element => element,
            };
            self.blocked = matches!(&element, Element::Event(event) if event.blocks_upstream());
            let last = self.transit.back().map_or(0, |(due, _)| *due);
            let due = last.max(cx.now + cx.random.below(self.delay_max + 1));
            self.transit.push_back((due, element));
        }
        Ok(Polled::Idle)
    }
}

/// The barrier as it goes on, which is as it came, but for a planted bug.
fn treat(barrier: Barrier, cx: &Cx) -> Barrier {
    match cx.bug {
        Some(EngineBug::SkipAlignment) => Barrier { alignment: Alignment::None, ..barrier },
        _ => barrier,
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
