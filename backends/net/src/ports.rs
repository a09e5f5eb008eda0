//! The two ends of channels within a link: what feeds the socket, and what it feeds.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    task::Waker,
};

use millstream_data::page::{Shape, ValidPage};
use millstream_dataflow::{
    TaskError,
    channel::{Element, Receiver, Sender},
};
use millstream_exchange::{
    ChannelId, ReaderId,
    connection::Ports,
    credit::{BufferKind, FloatingBuffers},
    element::{Data, Part},
    event::Event,
    frame::Request,
    partition::{Subpartition, Wake},
};
use millstream_memory::{Buffer, Consumer, JumboBudget, LocalPool, Segment};

/// A channel to another process: which subpartition of which producer.
pub type RemoteChannel = Request;

/// What an inlet needs to receive.
pub struct InletConfig {
    /// Which subpartition it reads.
    pub request: RemoteChannel,
    /// Where pages go.
    pub sender: Sender,
    /// Pages that have been read come back here.
    pub returned: Consumer<Buffer>,
    /// What pages look like.
    pub shape: Arc<Shape>,
    /// The segments that are this channel's alone: as many as the pool's size.
    pub exclusive: LocalPool,
    /// Segments that the channels of a gate share.
    pub floating: LocalPool,
    /// Memory for rows that do not fit a segment.
    pub jumbo: JumboBudget,
}

impl std::fmt::Debug for InletConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InletConfig").field("request", &self.request).finish_non_exhaustive()
    }
}

/// What a local producer has written for a channel to another process.
pub(crate) struct Outlet {
    pub(crate) receiver: Receiver,
    queue: Subpartition<Buffer>,
    segment_bytes: u32,
    /// Pages that wait for credit at most. What is more waits in the ring, where it holds back the
    /// producer.
    queued_max: u32,
}

impl Outlet {
    pub(crate) fn new(receiver: Receiver, segment_bytes: u32, queued_max: u32) -> Self {
        Self { receiver, queue: Subpartition::new(segment_bytes), segment_bytes, queued_max }
    }

    /// Takes what the producer has written, as far as there is room. `true` if the connection has
    /// to look at the queue.
    pub(crate) fn pump(&mut self) -> bool {
        let mut wake = Wake::Nobody;
        while self.queue.backlog() < self.queued_max {
            match self.receiver.pop() {
                Some(Element::Page(page)) => {
                    for data in fragments(page, self.segment_bytes) {
                        // A queue that was released drops what comes.
                        wake = wake.or(self.queue.push_data(data).unwrap_or(Wake::Nobody));
                    }
                }
                Some(Element::Event(event)) => wake = wake.or(self.queue.push_event(event)),
                // Between a source and the chain that reads it, which are in one process.
                Some(Element::SplitBegins | Element::LastSplit) => {}
                None => break,
            }
        }
        wake == Wake::Reader
    }

    /// Whether [`Outlet::pump`] would take something.
    pub(crate) fn wants_pump(&self) -> bool {
        !self.receiver.is_empty() && self.queue.backlog() < self.queued_max
    }

    /// Whether the producer went without saying that its partition ended.
    pub(crate) fn is_orphaned(&self) -> bool {
        self.receiver.is_abandoned() && self.receiver.is_empty() && !self.queue.is_ended()
    }
}

/// A page as it travels: whole, or in pieces if it is a jumbo row.
fn fragments(page: Buffer, segment_bytes: u32) -> impl Iterator<Item = Data<Buffer>> {
    let total = page.len() as u32;
    let pieces = total.div_ceil(segment_bytes).max(1);
    (0..pieces).map(move |piece| {
        let start = piece * segment_bytes;
        let end = total.min(start + segment_bytes);
        let part = match piece {
            _ if pieces == 1 => Part::Whole,
            0 => Part::First { total_bytes: total },
            last if last + 1 == pieces => Part::Last { offset_bytes: start },
            _ => Part::Middle { offset_bytes: start },
        };
        let buffer = page.slice(start as usize..end as usize);
        Data { buffer, bytes: end - start, part }
    })
}

/// A channel from another process to a local consumer.
pub(crate) struct Inlet {
    config: InletConfig,
    free_exclusive: Vec<Segment>,
    free_floating: Vec<Segment>,
    /// The kinds of the pages that the consumer has, in the order that they come back.
    reading: VecDeque<BufferKind>,
    /// Pages that came back while somebody else still read them.
    late: Vec<(Buffer, BufferKind)>,
    /// What the ring has no room for.
    waiting: VecDeque<Element>,
    /// A jumbo row that is not complete.
    row: Option<(Segment, usize)>,
    /// The size of pages that the consumer asked for last.
    page_bytes: u32,
    /// Fragments that wait for memory.
    stalled: VecDeque<(Part, Segment, u32, BufferKind)>,
}

impl Inlet {
    /// An inlet with its exclusive segments.
    pub(crate) fn new(config: InletConfig) -> Self {
        let free_exclusive = std::iter::from_fn(|| config.exclusive.request()).collect();
        Self {
            config,
            free_exclusive,
            free_floating: Vec::new(),
            reading: VecDeque::new(),
            late: Vec::new(),
            waiting: VecDeque::new(),
            row: None,
            page_bytes: u32::MAX,
            stalled: VecDeque::new(),
        }
    }

    pub(crate) fn request(&self) -> RemoteChannel {
        self.config.request
    }

    /// Exclusive segments that are free.
    pub(crate) fn exclusive(&self) -> u32 {
        self.free_exclusive.len() as u32
    }

    /// The segment that a payload is received into.
    pub(crate) fn segment(&mut self, kind: BufferKind) -> Option<Segment> {
        self.free(kind).pop()
    }

    fn free(&mut self, kind: BufferKind) -> &mut Vec<Segment> {
        match kind {
            BufferKind::Exclusive => &mut self.free_exclusive,
            BufferKind::Floating => &mut self.free_floating,
        }
    }

    /// A segment goes back among the free ones.
    pub(crate) fn keep(&mut self, segment: Segment, kind: BufferKind) {
        self.free(kind).push(segment);
    }

    /// Data have arrived in `segment`. Segments whose bytes were copied out come back in `done`.
    pub(crate) fn on_data(
        &mut self,
        part: Part,
        segment: Segment,
        bytes: u32,
        kind: BufferKind,
        done: &mut Vec<(Segment, BufferKind)>,
    ) -> Result<(), TaskError> {
        if part == Part::Whole {
            let page = segment.freeze(bytes as usize);
            self.check(&page)?;
            self.reading.push_back(kind);
            self.deliver(Element::Page(page));
            return Ok(());
        }
        self.stalled.push_back((part, segment, bytes, kind));
        self.assemble(done)
    }

    /// Adds fragments to the row that they are of, as far as there is memory for it.
    pub(crate) fn assemble(
        &mut self,
        done: &mut Vec<(Segment, BufferKind)>,
    ) -> Result<(), TaskError> {
        while let Some((part, segment, bytes, kind)) = self.stalled.pop_front() {
            if let Part::First { total_bytes } = part {
                let lease = self.config.jumbo.reserve(u64::from(total_bytes));
                let row = match lease {
                    Ok(lease) => Segment::jumbo(lease, total_bytes as usize),
                    Err(millstream_memory::segment::JumboError::BudgetUsed { .. }) => {
                        self.stalled.push_front((part, segment, bytes, kind));
                        return Ok(());
                    }
                    Err(error) => Err(error),
                };
                self.row = Some((row.map_err(|error| TaskError::new(error.to_string()))?, 0));
            }
            let Some((row, filled)) = &mut self.row else {
                return Err(TaskError::new("a fragment of a row arrived without its beginning"));
            };
            let end = *filled + bytes as usize;
            let Some(target) = row.get_mut(*filled..end) else {
                return Err(TaskError::new("the fragments of a row are longer than the row"));
            };
            target.copy_from_slice(&segment[..bytes as usize]);
            *filled = end;
            done.push((segment, kind));
            if matches!(part, Part::Last { .. })
                && let Some((row, length)) = self.row.take()
            {
                let page = row.freeze(length);
                self.check(&page)?;
                self.deliver(Element::Page(page));
            }
        }
        Ok(())
    }

    pub(crate) fn on_event(&mut self, event: Event) {
        self.deliver(Element::Event(event));
    }

    /// A page from outside is checked once, completely, before anybody reads it.
    fn check(&self, page: &Buffer) -> Result<(), TaskError> {
        let checked = ValidPage::validate(page, &self.config.shape);
        checked.map(drop).map_err(|error| {
            TaskError::new(format!("{} received a bad page: {error}", self.config.request))
        })
    }

    fn deliver(&mut self, element: Element) {
        self.waiting.push_back(element);
        self.push_waiting();
    }

    /// Pushes what waits as far as the ring has room.
    pub(crate) fn push_waiting(&mut self) {
        while let Some(element) = self.waiting.pop_front() {
            if let Err(element) = self.config.sender.push(element) {
                self.waiting.push_front(element);
                return;
            }
        }
    }

    /// The size of pages that the consumer asks for, if that has changed.
    pub(crate) fn new_page_bytes(&mut self) -> Option<u32> {
        let bytes = self.config.sender.page_bytes();
        let changed = bytes != self.page_bytes;
        self.page_bytes = bytes;
        changed.then_some(bytes)
    }

    /// Whether the consumer goes on behind an event that stopped the producer, since last asked.
    pub(crate) fn take_resumed(&mut self) -> bool {
        self.config.sender.take_resumed()
    }

    /// Whether the consumer has taken everything.
    pub(crate) fn is_delivered(&self) -> bool {
        self.waiting.is_empty() && self.stalled.is_empty()
    }

    /// Asks to be woken for what [`Inlet::push_waiting`] and [`Inlet::assemble`] left.
    pub(crate) fn notify(&self, waker: &Waker) {
        if !self.waiting.is_empty() {
            self.config.sender.notify_room(waker);
        }
        if !self.stalled.is_empty() {
            self.config.jumbo.register(waker);
        }
    }

    /// The next segment whose page the consumer has read.
    pub(crate) fn next_returned(&mut self) -> Option<(Segment, BufferKind)> {
        for index in 0..self.late.len() {
            let (page, kind) = self.late.swap_remove(index);
            match page.try_unfreeze() {
                Ok(segment) => return Some((segment, kind)),
                Err(page) => self.late.push((page, kind)),
            }
        }
        loop {
            let page = self.config.returned.pop()?;
            let kind = self.reading.pop_front()?;
            match page.try_unfreeze() {
                Ok(segment) => return Some((segment, kind)),
                Err(page) => self.late.push((page, kind)),
            }
        }
    }
}

/// All channels of a link.
#[derive(Default)]
pub(crate) struct LinkPorts {
    pub(crate) outlets: HashMap<ReaderId, Outlet>,
    pub(crate) inlets: HashMap<ChannelId, Inlet>,
    /// Channels that wait for a floating segment.
    pub(crate) listening: VecDeque<ChannelId>,
    pub(crate) waker: Option<Waker>,
}

impl LinkPorts {
    /// Takes a floating segment for a channel, or notes that it waits for one.
    pub(crate) fn take_floating(&mut self, channel: ChannelId) -> bool {
        let Some(inlet) = self.inlets.get_mut(&channel) else { return false };
        if let Some(segment) = inlet.config.floating.request() {
            inlet.free_floating.push(segment);
            return true;
        }
        // Wakes at once if one has come back meanwhile.
        if let Some(waker) = &self.waker {
            inlet.config.floating.register(waker);
        }
        self.listening.push_back(channel);
        false
    }
}

impl FloatingBuffers for LinkPorts {
    fn take_or_listen(&mut self, channel: ChannelId, _held: u32) -> bool {
        self.take_floating(channel)
    }

    fn give_back(&mut self, channel: ChannelId) {
        if let Some(inlet) = self.inlets.get_mut(&channel) {
            inlet.free_floating.pop();
        }
    }

    fn release(&mut self, channel: ChannelId) {
        self.listening.retain(|waits| *waits != channel);
        if let Some(inlet) = self.inlets.get_mut(&channel) {
            inlet.free_exclusive.clear();
            inlet.free_floating.clear();
        }
    }
}

impl Ports for LinkPorts {
    type Buffer = Buffer;

    fn outlet(&mut self, reader: ReaderId) -> &mut Subpartition<Buffer> {
        let outlet = self.outlets.get_mut(&reader);
        &mut outlet.expect("the connection asks for readers that it has accepted").queue
    }
}
