//! A channel: from one subpartition of a producer to one input channel of a consumer.
//!
//! Within a process it is a bounded ring. Between processes each end is such a ring, too, and a
//! connection moves elements from one to the other as far as credit allows; tasks do not know.
//!
//! The receiver is woken at every push: its waker sets a bit, which costs less than asking whether
//! it sleeps. The sender is woken only when it found the ring full and said so, and then when half of its
//! pages have been read: not to put one more there, and to sleep again.

use alloc::sync::Arc;
use core::{
    fmt,
    sync::atomic::{
        AtomicBool, AtomicU32,
        Ordering::{Acquire, Relaxed, Release},
    },
    task::Waker,
};

use millstream_exchange::event::Event;
use millstream_memory::{Buffer, Consumer, Producer, Ring, WakerSlot};

/// What a channel carries.
#[derive(Debug)]
pub enum Element {
    /// A page of rows.
    Page(Buffer),
    /// Something about the stream, in order with the pages.
    Event(Event),
    /// From a source: the pages that follow are of another split.
    SplitBegins,
    /// From a source: no subtask of it will begin another split.
    LastSplit,
}

/// Elements that a channel holds at most. Ten of them is where a producer stops on its own; the rest is
/// for the overdraft of the row at hand and for events.
pub const CHANNEL_CAPACITY: usize = 16;

/// Full pages that wait in a subpartition before its producer is held back, as in Flink.
pub const PAGES_PER_SUBPARTITION_MAX: usize = 10;

/// A sender that waits for room is woken when no more elements than these are left.
const LEFT_WHEN_WOKEN: usize = PAGES_PER_SUBPARTITION_MAX / 2;

/// A channel whose receiver is woken through `receiver`.
pub fn channel(receiver: Waker) -> (Sender, Receiver) {
    let (producer, consumer) = Ring::with_capacity(CHANNEL_CAPACITY);
    let shared = Arc::new(Shared {
        room: WakerSlot::new(),
        page_bytes: AtomicU32::new(u32::MAX),
        resumed: AtomicBool::new(false),
    });
    let sender = Sender { ring: producer, shared: Arc::clone(&shared), receiver };
    (sender, Receiver { ring: consumer, shared, returns: None })
}

/// What the receiver tells the sender.
struct Shared {
    /// Who waits for room.
    room: WakerSlot,
    /// How full pages should be at most. A wish: whoever reads it late does no harm.
    page_bytes: AtomicU32,
    /// The receiver goes on behind an event that stopped the producer.
    resumed: AtomicBool,
}

/// A channel whose buffers go back to the sender when they have been read, for a sender that keeps
/// count of them: a connection, which grants credit for each that comes back. `sender` wakes it.
pub fn returning_channel(
    receiver: Waker,
    sender: Waker,
    buffers: usize,
) -> (Sender, Receiver, Consumer<Buffer>) {
    let (back, returned) = Ring::with_capacity(buffers);
    let (producer, mut consumer) = channel(receiver);
    consumer.returns = Some(Returns { ring: back, sender });
    (producer, consumer, returned)
}

/// The producer's end.
pub struct Sender {
    ring: Producer<Element>,
    shared: Arc<Shared>,
    receiver: Waker,
}

impl Sender {
    /// Appends an element and wakes the receiver.
    ///
    /// # Errors
    /// The element, if the channel is full.
    pub fn push(&mut self, element: Element) -> Result<(), Element> {
        self.ring.push(element)?;
        self.receiver.wake_by_ref();
        Ok(())
    }

    /// Elements that the receiver has not taken yet.
    pub fn len(&self) -> usize {
        self.ring.len()
    }

    /// Whether the receiver has taken everything.
    pub fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// Whether nothing more can be pushed for now.
    pub fn is_full(&self) -> bool {
        self.ring.is_full()
    }

    /// Whether the receiver has gone: nobody will read what is pushed.
    pub fn is_abandoned(&self) -> bool {
        self.ring.is_abandoned()
    }

    /// Asks to be woken when the receiver has taken elements, so that at most half as many pages are left as there
    /// may be. Look once more for room afterwards: the receiver may have been faster.
    pub fn notify_room(&self, waker: &Waker) {
        self.shared.room.register(waker);
    }

    /// Whether the receiver has [resumed](Receiver::resume), since last asked.
    pub fn take_resumed(&self) -> bool {
        self.shared.resumed.load(Relaxed) && self.shared.resumed.swap(false, Acquire)
    }

    /// How many bytes of rows the receiver wants in a page at most; `u32::MAX` for no limit.
    pub fn page_bytes(&self) -> u32 {
        self.shared.page_bytes.load(Relaxed)
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sender({} waiting)", self.len())
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.receiver.wake_by_ref();
    }
}

/// The consumer's end.
pub struct Receiver {
    ring: Consumer<Element>,
    shared: Arc<Shared>,
    returns: Option<Returns>,
}

/// The way back for buffers.
struct Returns {
    ring: Producer<Buffer>,
    sender: Waker,
}

impl Receiver {
    /// Takes the next element.
    pub fn pop(&mut self) -> Option<Element> {
        let element = self.ring.pop()?;
        if self.ring.len() <= LEFT_WHEN_WOKEN {
            self.shared.room.wake();
        }
        Some(element)
    }

    /// An element that waits, by its distance from the next one; it stays where it is.
    pub fn peek_at(&mut self, distance: usize) -> Option<&Element> {
        self.ring.peek_at(distance)
    }

    /// Goes on behind an event that [stops the producer](Event::blocks_upstream), when the other channels
    /// have brought it, too. Within a process nobody was stopped; a connection was.
    pub fn resume(&self) {
        if let Some(Returns { sender, .. }) = &self.returns {
            self.shared.resumed.store(true, Release);
            sender.wake_by_ref();
        }
    }

    /// Asks for pages of at most so many bytes of rows, from the next one that is opened.
    pub fn set_page_bytes(&self, bytes: u32) {
        self.shared.page_bytes.store(bytes, Relaxed);
    }

    /// A page that was taken has been read, and its segment is free again.
    pub fn give_back(&mut self, page: Buffer) {
        if let Some(Returns { ring, sender }) = &mut self.returns {
            // There are never more buffers than the ring holds; a page of another kind, a jumbo
            // row, is simply freed.
            if page.index().is_some() && ring.push(page).is_ok() {
                sender.wake_by_ref();
            }
        }
    }

    /// Elements that wait.
    pub fn len(&self) -> usize {
        self.ring.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// Whether the sender has gone, without saying that the partition ended if nothing waits.
    pub fn is_abandoned(&self) -> bool {
        self.ring.is_abandoned()
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Receiver({} waiting)", self.len())
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.room.wake();
    }
}
