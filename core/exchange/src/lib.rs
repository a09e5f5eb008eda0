//! The exchange of a stream processor: credit, frames, partitions and gates as machines without
//! I/O.
//!
//! Tasks write pages of rows for other tasks, which may sit on other workers and be slower. This
//! crate decides everything about that except how bytes move: who may send, what goes next, which
//! segment a page is received into, when a producer has to wait, and what everybody is told when a
//! connection breaks. It has no clock, thread, socket or random number. Time is an argument, the
//! world outside is a trait, payload is a handle of type `B` that is moved and never looked into.
//! So the same machines run under epoll, under io_uring, on a device without an operating system,
//! and in `millstream-simulation`, where a seed decides what the network does.
//!
//! # The life of a buffer
//!
//! *A row is written.* The task has leased a segment from its pool and counted it
//! ([`lease`](partition::ResultPartition::lease)). It writes rows straight into the page of the
//! subpartition that they belong to. The partition knows that a page is open
//! ([`page_opened`](partition::ResultPartition::page_opened)) and not what is in it.
//!
//! *The page is sealed*, because it is full, because an event must follow it, or because its oldest
//! row has waited as long as the [`FlushPolicy`] allows and the reader would get to it at once. It
//! is pushed to a [`Subpartition`], a queue, where it counts as backlog. If the queue's head
//! changed, its reader is woken.
//!
//! *The page waits for credit.* The reader is one side of a [`Connection`]. Its [`ProducerCredit`]
//! mints a [`SendPermit`] if the consumer has announced a free buffer. Taking a page from the queue
//! takes a permit, and so does making the header of its frame: sending without credit does not
//! compile. Readers with credit take turns; one without holds up nobody; control frames go before
//! all of them.
//!
//! *The page travels* as a [`FrameHeader`] of 32 bytes and the used bytes of the segment, with its
//! sequence number and the backlog behind it. The segment stays leased until the kernel is done
//! with it, then goes home ([`recycle`](partition::ResultPartition::recycle)), which may make the
//! partition available again.
//!
//! *The page arrives.* The header says which channel it is for. The channel's [`ConsumerCredit`]
//! reserves one of the buffers that it had announced, so the payload is received straight into its
//! place and a full gate never stops a connection. The backlog in the header asks for floating
//! buffers, and what is gained becomes new credit.
//!
//! *The page is read.* It waits in an [`InputGate`], which hands the task one element of each
//! channel in turn, and whatever has priority first. When the task is done the segment is recycled:
//! an exclusive one is announced as credit again, a floating one goes to whichever channel of the
//! gate waits for it.
//!
//! *Nothing follows.* The end of the partition has come through the same queue. The consumer
//! cancels the channel, its buffers go home, and the producer forgets the reader.
//!
//! # Who decides what
//!
//! | machine | decides | asks | does not know |
//! |---|---|---|---|
//! | [`ResultPartition`] | may the task write, must pages be flushed | | readers |
//! | [`Subpartition`] | what is next, what is blocked, what overtakes | | credit |
//! | [`ProducerCredit`] | may a data frame be sent | | queues |
//! | [`Connection`] | which frame is next, where a payload goes, who failed | [`Ports`] | sockets |
//! | [`Intake`] | what a partial receive has completed | | frames |
//! | [`ConsumerCredit`] | how many buffers to hold and announce | [`FloatingBuffers`] | segments |
//! | [`InputGate`] | which channel is read next, when an input has ended | | alignment |
//! | [`JumboGate`] | where a fragment goes, who waits for memory | [`JumboBudget`] | bytes |
//! | [`Debloater`] | how full pages should be | | clocks |
//!
//! # What is said
//!
//! Consumer to producer: [`Request`](frame::FrameKind::Request) with the initial credit,
//! [`Credit`](frame::FrameKind::Credit), [`Resume`](frame::FrameKind::Resume),
//! [`NewBufferSize`](frame::FrameKind::NewBufferSize),
//! [`AckAllRecords`](frame::FrameKind::AckAllRecords), [`TaskEvent`](frame::FrameKind::TaskEvent),
//! and [`Cancel`](frame::FrameKind::Cancel) as the last. Producer to consumer:
//! [`Data`](frame::FrameKind::Data), [`JumboFragment`](frame::FrameKind::JumboFragment),
//! [`Event`](frame::FrameKind::Event), and where a consumer has no buffer to learn it by,
//! [`BacklogAnnouncement`](frame::FrameKind::BacklogAnnouncement). Both:
//! [`Hello`](frame::FrameKind::Hello), [`Error`](frame::FrameKind::Error),
//! [`Close`](frame::FrameKind::Close). The [`frame`] module has the bytes, the [`connection`]
//! module the order.
//!
//! Only data takes credit. [Events](event) go without, in their place among the pages; those with
//! priority overtake what is queued, never bytes that were submitted. A blocking event stops its
//! channel, and no other, until the consumer resumes it.
//!
//! # Within one process
//!
//! A channel between two tasks of one worker needs no connection. Its reader takes from the same
//! [`Subpartition`] with permits of a [`ProducerCredit`] whose credit is the room in the ring
//! between them, renewed as the gate reads. So local and remote channels hold as much, and stop
//! their producers in the same way.
//!
//! # Using it
//!
//! Each piece works alone. A device that sends readings to a worker needs credit and a header:
//!
//! ```
//! use millstream_exchange::ChannelId;
//! use millstream_exchange::credit::ProducerCredit;
//! use millstream_exchange::element::Part;
//! use millstream_exchange::frame::{FrameHeader, HEADER_BYTES};
//!
//! // The consumer's request granted one page.
//! let mut credit = ProducerCredit::new(ChannelId(7), 1);
//! let permit = credit.permit().expect("one page may be sent");
//! let mut header = [0; HEADER_BYTES];
//! FrameHeader::data(permit, 0, 0, 512, Part::Whole).encode(&mut header);
//! // Send the header and 512 bytes. The next page waits for a credit frame.
//! assert!(credit.permit().is_none());
//! credit.add(1)?;
//! assert!(credit.permit().is_some());
//! # Ok::<(), millstream_exchange::credit::CreditError>(())
//! ```
//!
//! All machines of a channel's end belong to one thread. None blocks; each tells in its
//! documentation when to call again. Errors are for what peers send and name channel, sequence
//! number, expected and found; a panic is a bug of the caller or of this crate.
//!
//! [`Connection`]: connection::Connection
//! [`ConsumerCredit`]: credit::ConsumerCredit
//! [`Debloater`]: debloat::Debloater
//! [`FloatingBuffers`]: credit::FloatingBuffers
//! [`FlushPolicy`]: partition::FlushPolicy
//! [`FrameHeader`]: frame::FrameHeader
//! [`InputGate`]: gate::InputGate
//! [`Intake`]: connection::Intake
//! [`JumboBudget`]: gate::JumboBudget
//! [`JumboGate`]: gate::JumboGate
//! [`Ports`]: connection::Ports
//! [`ProducerCredit`]: credit::ProducerCredit
//! [`ResultPartition`]: partition::ResultPartition
//! [`SendPermit`]: credit::SendPermit
//! [`Subpartition`]: partition::Subpartition

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod bytes;
pub mod connection;
pub mod credit;
pub mod debloat;
pub mod element;
pub mod event;
pub mod frame;
pub mod gate;
pub mod id;
pub mod partition;

pub use id::{ChannelId, PartitionId, ReaderId, WorkerId};
