//! One queue between a producing task and one reader.

use alloc::collections::VecDeque;

use crate::credit::{Head, SendPermit};
use crate::element::{Data, Element, Part};
use crate::event::{Alignment, Barrier, Event};

/// A queue of sealed pages, fragments and events for one consumer.
///
/// The task pushes, the reader takes. Priority events stand in a section of their own before all
/// others. After a blocking event was taken nothing leaves the queue until it is resumed.
#[derive(Debug)]
pub struct Subpartition<B> {
    priority: VecDeque<Event>,
    queue: VecDeque<Element<B>>,
    data_queued: u32,
    page_open: bool,
    flush_requested: bool,
    blocked: bool,
    ended: bool,
    released: bool,
    row: Option<Row>,
    page_bytes: u32,
}

/// A jumbo row of which the last fragment is still to come.
#[derive(Debug)]
struct Row {
    total_bytes: u32,
    pushed_bytes: u32,
}

/// Whether a change made something available to a reader that had nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a reader that is not woken waits for ever"]
pub enum Wake {
    /// Tell the reader. Telling it without need does no harm.
    Reader,
    /// It knows already, or may not go on.
    Nobody,
}

impl Wake {
    /// Wakes the reader if either does.
    pub fn or(self, other: Self) -> Self {
        if self == Self::Reader { self } else { other }
    }
}

/// A page that may be sent, with the permit that allows it.
#[derive(Debug)]
pub struct Cleared<B> {
    /// The page or fragment.
    pub data: Data<B>,
    /// Good for one data frame of the reader's channel.
    pub permit: SendPermit,
    /// What waits behind it, for the frame's header.
    pub backlog: u32,
}

/// An event that leaves the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queued {
    /// The event.
    pub event: Event,
    /// What waits behind it: 0 if the event blocks.
    pub backlog: u32,
}

impl<B> Subpartition<B> {
    /// An empty queue whose consumer takes pages of up to `page_bytes` bytes.
    pub fn new(page_bytes: u32) -> Self {
        Self {
            priority: VecDeque::new(),
            queue: VecDeque::new(),
            data_queued: 0,
            page_open: false,
            flush_requested: false,
            blocked: false,
            ended: false,
            released: false,
            row: None,
            page_bytes,
        }
    }

    /// The task wrote the first row of a page.
    pub fn page_opened(&mut self) {
        assert!(!self.page_open && !self.ended, "a second open page, or one behind the end");
        self.page_open = true;
    }

    /// The rows in the open page should not wait longer. No effect without an open page.
    pub fn request_flush(&mut self) {
        self.flush_requested = self.page_open;
    }

    /// Whether the task should seal and push its open page now.
    ///
    /// Only when the reader would get to it at once: behind other pages, or before a blocked
    /// queue, the rows gain nothing by leaving early and the page gains by being filled. So ask
    /// again whenever a page was taken, and after [`resume`](Self::resume).
    ///
    /// A task must do so at once, even if it waits for a segment in the middle of a row for another
    /// reader. The page has counted as backlog, so its consumer may hold a buffer ready for it that
    /// others wait for, this task's own row among them.
    pub fn wants_seal(&self) -> bool {
        self.page_open && self.flush_requested && !self.blocked && self.data_queued == 0
    }

    /// Queues a sealed page, which closes the open one, or a fragment of a jumbo row. The
    /// fragments of a row follow each other without other data between them.
    ///
    /// # Errors
    /// Gives the data back when the queue was released: recycle it.
    pub fn push_data(&mut self, data: Data<B>) -> Result<Wake, Data<B>> {
        assert!(data.bytes > 0 && !self.ended, "empty data, or data behind the end");
        self.page_open = false;
        self.flush_requested = false;
        self.continue_row(&data);
        if self.released {
            return Err(data);
        }
        let before = self.head();
        self.queue.push_back(Element::Data(data));
        self.data_queued += 1;
        Ok(self.wake(before))
    }

    /// Queues an event. The open page must be sealed and pushed before, also for a priority event:
    /// what a checkpoint's barrier overtakes must be in the queue to become part of it.
    pub fn push_event(&mut self, event: Event) -> Wake {
        assert!(!self.page_open, "{event}: the open page was not sealed");
        assert!(!self.ended, "{event} behind the end of the partition");
        assert!(!matches!(event, Event::Announcement { .. }), "only receivers announce");
        assert!(self.row.is_none() || event.has_priority(), "{event} within a jumbo row");
        self.ended = event == Event::EndOfPartition;
        if self.released {
            return Wake::Nobody;
        }
        let before = self.head();
        if event.has_priority() {
            self.priority.push_back(event);
            return self.wake(before);
        }
        match self.queue.back_mut() {
            Some(Element::Event(last)) if last.merge(&event).is_some() => {
                *last = last.merge(&event).unwrap_or(event);
            }
            _ => self.queue.push_back(Element::Event(event)),
        }
        self.wake(before)
    }

    /// Lets the barrier with timeout of this checkpoint overtake, if it is still queued. Returns
    /// how many of [`queued_data`](Self::queued_data), from the first on, it overtook: they belong
    /// to the checkpoint. Then wake the reader.
    pub fn overtake(&mut self, checkpoint: u64) -> Option<usize> {
        let is_it = |element: &Element<B>| {
            matches!(element, Element::Event(Event::Barrier(Barrier {
                checkpoint: id,
                alignment: Alignment::Timeout { .. },
                ..
            })) if *id == checkpoint)
        };
        let at = self.queue.iter().position(is_it)?;
        let Some(Element::Event(Event::Barrier(barrier))) = self.queue.remove(at) else {
            unreachable!("the position of a barrier")
        };
        self.priority.push_back(Event::Barrier(barrier.unaligned()));
        Some(self.queue.iter().take(at).filter(|e| matches!(e, Element::Data(_))).count())
    }

    /// What the reader would take next.
    pub fn head(&self) -> Head {
        match self.queue.front() {
            _ if self.blocked => Head::Nothing,
            _ if !self.priority.is_empty() => Head::Event,
            Some(Element::Event(_)) => Head::Event,
            Some(Element::Data(_)) => Head::Data,
            None => Head::Nothing,
        }
    }

    /// Takes the event at the head; `None` if there is no event at the head.
    pub fn take_event(&mut self) -> Option<Queued> {
        if self.head() != Head::Event {
            return None;
        }
        let event = match self.priority.pop_front() {
            Some(event) => event,
            None => match self.queue.pop_front() {
                Some(Element::Event(event)) => event,
                _ => unreachable!("the head is an event"),
            },
        };
        self.blocked = event.blocks_upstream();
        Some(Queued { event, backlog: self.backlog() })
    }

    /// Takes the page at the head, which takes the permission to send it.
    ///
    /// # Panics
    /// If the head is not data: look with [`head`](Self::head) before minting a permit.
    pub fn take_data(&mut self, permit: SendPermit) -> Cleared<B> {
        assert_eq!(self.head(), Head::Data, "{}: a permit without data", permit.channel());
        let Some(Element::Data(data)) = self.queue.pop_front() else {
            unreachable!("the head is data")
        };
        self.data_queued -= 1;
        Cleared { data, permit, backlog: self.backlog() }
    }

    /// Data buffers that wait, events not counted. The open page counts once it is to be flushed;
    /// a blocked queue has none to offer.
    pub fn backlog(&self) -> u32 {
        if self.blocked {
            return 0;
        }
        self.data_queued + u32::from(self.page_open && self.flush_requested)
    }

    /// The consumer goes on behind a blocking event. Returns `false`, the peer's error, if the
    /// queue is not blocked. Look at [`head`](Self::head) and [`wants_seal`](Self::wants_seal)
    /// again then.
    pub fn resume(&mut self) -> bool {
        core::mem::take(&mut self.blocked)
    }

    /// The reader is gone: gives up everything queued. What is pushed from now on comes back.
    pub fn release(&mut self) -> impl Iterator<Item = Data<B>> + '_ {
        self.released = true;
        self.priority.clear();
        self.data_queued = 0;
        self.queue.drain(..).filter_map(|element| match element {
            Element::Data(data) => Some(data),
            Element::Event(_) => None,
        })
    }

    /// The data in the queue, first to last: for a checkpoint whose barrier overtakes it.
    pub fn queued_data(&self) -> impl Iterator<Item = &Data<B>> {
        self.queue.iter().filter_map(|element| match element {
            Element::Data(data) => Some(data),
            Element::Event(_) => None,
        })
    }

    /// Whether the end of the partition was pushed.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// Whether the reader is gone.
    pub fn is_released(&self) -> bool {
        self.released
    }

    /// Whether a blocking event was taken and the consumer has not gone on since.
    pub fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// How far the consumer wants pages filled, in bytes.
    pub fn page_bytes(&self) -> u32 {
        self.page_bytes
    }

    /// The consumer wants other pages from now on, in bytes.
    pub fn set_page_bytes(&mut self, bytes: u32) {
        self.page_bytes = bytes;
    }

    fn wake(&self, before: Head) -> Wake {
        if self.head() == before { Wake::Nobody } else { Wake::Reader }
    }

    fn continue_row(&mut self, data: &Data<B>) {
        let bytes = data.bytes;
        let row = match (data.part, self.row.take()) {
            (Part::Whole, None) => return,
            (Part::First { total_bytes }, None) if total_bytes > bytes => {
                Row { total_bytes, pushed_bytes: bytes }
            }
            (Part::Middle { offset_bytes } | Part::Last { offset_bytes }, Some(row))
                if offset_bytes == row.pushed_bytes =>
            {
                Row { pushed_bytes: offset_bytes + bytes, ..row }
            }
            (part, row) => panic!("{part:?} of {bytes} bytes does not follow {row:?}"),
        };
        let left = row.total_bytes.checked_sub(row.pushed_bytes);
        let last = matches!(data.part, Part::Last { .. });
        assert!(left.is_some_and(|left| (left == 0) == last), "{:?} ends {row:?}", data.part);
        self.row = (!last).then_some(row);
    }
}
