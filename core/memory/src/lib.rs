//! The memory of a stream processor.
//!
//! A stream processor runs for months on a fixed amount of memory, and data arrives at the speed
//! of others. Two things must never happen: it must not grow until the machine kills it, and it
//! must not spend its time allocating. Both follow from one decision, and this crate is that
//! decision: *all records live in segments, pieces of one size out of a budget that was fixed at
//! the start*. When the budget is used up, somebody waits or spills. Waiting travels upstream to
//! the source, and that is all that backpressure is.
//!
//! # Segments: who may write?
//!
//! A backend brings the memory, as an [`Arena`]. A pool cuts it into segments and leases them out.
//! A lease, [`Segment`], is the only way to write to these bytes. [`Segment::freeze`] gives the
//! right to write up for good: the [`Buffer`] it returns can be cloned, sent, sliced and read on
//! any thread, and the segment goes back to its pool when the last reader is gone, whoever that is.
//! Readers are counted in a table beside the segments, so a clone allocates nothing; that is why a
//! broadcast, a snapshot and a retransmission cost a counter each, not a copy.
//!
//! ```
//! # use std::{alloc::Layout, ptr::NonNull};
//! # struct Leaked(NonNull<u8>);
//! # unsafe impl Send for Leaked {}
//! # unsafe impl Sync for Leaked {}
//! # unsafe impl millstream_memory::Arena for Leaked {
//! #     fn base(&self) -> NonNull<u8> { self.0 }
//! #     fn len(&self) -> usize { 8 * 4096 }
//! #     fn segment_size(&self) -> usize { 4096 }
//! # }
//! # let layout = Layout::from_size_align(8 * 4096, 4096).unwrap();
//! # let arena = Leaked(NonNull::new(unsafe { std::alloc::alloc_zeroed(layout) }).unwrap());
//! use millstream_memory::{NetworkPool, Ring};
//!
//! let network = NetworkPool::new(Box::new(arena)); // millstream-segments has arenas
//! let partition = network.create_local(2, 4)?; // promised 2 segments, at most 4
//! let (mut producer, mut consumer) = Ring::with_capacity(4);
//!
//! let mut segment = partition.request().expect("two are promised");
//! segment[..3].copy_from_slice(b"row");
//! producer.push(segment.freeze(3)).expect("the ring is empty");
//!
//! let reader = std::thread::spawn(move || {
//!     let buffer = consumer.pop().expect("one was pushed");
//!     assert_eq!(&*buffer, b"row");
//! }); // dropped there, back in the pool here
//! reader.join().unwrap();
//! assert_eq!(partition.used(), 0);
//! # Ok::<(), millstream_memory::PoolError>(())
//! ```
//!
//! A row that is larger than a segment is a *jumbo*: contiguous memory of its own, out of a
//! [`JumboBudget`] of its own. A segment that somebody lends across a C border is
//! [`Segment::foreign`] on the one side and an entry in a [`LendTable`](lend::LendTable) on the
//! other. Both are the same two types to everybody else.
//!
//! # Pools: who may have how many?
//!
//! One [`NetworkPool`] holds the segments that flow. Every gate and every partition has a
//! [`LocalPool`] on it: a promise of so many, a limit, and a current size between the two, which
//! changes as others come and go (see [`pool`]). Free segments form a stack: the one that came back
//! last goes out next, with its bytes still in the cache. Taking and returning are lock-free; a
//! task that finds nothing leaves its waker, and hears of the next chance.
//!
//! [`ManagedMemory`] holds the pages that stay: for state, sorting, hashing, booked by owner.
//!
//! # Between threads
//!
//! Four small things, each used wherever the engine needs it and written nowhere else: the
//! [`Ring`] from one thread to another, the [`WakerSlot`] that no wake-up slips past, and in
//! [`sync`] the atomics themselves with a spin lock for the control path. All of them, and the
//! pools, run under the model checker loom:
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test -p millstream-memory --release --lib loom
//! ```
//!
//! # Bytes and values
//!
//! [`view`] writes and reads numbers, strings and lengths over one segment or many. What comes from
//! outside may be cut off or damaged: that is an error with its offset, never a panic.
//!
//! # How much of everything?
//!
//! Pure arithmetic, done before anything runs: [`model`] derives every share from one total and
//! prints the table; [`demand`] says how many segments an exchange needs; [`cost`] what an operator
//! needs, with the growth of state fitted from measurements.
//!
//! # What is unsafe
//!
//! The modules `ring`, `waker`, `sync`, `segment` and `store`, behind faces that are safe; nothing
//! else in this crate. The crate needs `alloc` and 64-bit atomics, no operating system. The feature
//! `contract` adds the contract suite for arenas, which needs `std`.
#![cfg_attr(not(test), no_std)]
#![deny(unsafe_code)]

extern crate alloc;
#[cfg(any(test, feature = "contract", loom))]
extern crate std;

#[cfg(feature = "contract")]
pub mod contract;
pub mod cost;
pub mod demand;
pub mod lend;
pub mod managed;
pub mod model;
pub mod pool;
#[expect(unsafe_code)]
pub mod ring;
#[expect(unsafe_code)]
pub mod segment;
#[expect(unsafe_code)]
pub mod sync;
pub mod view;
#[expect(unsafe_code)]
pub mod waker;

mod ledger;
#[expect(unsafe_code)]
mod store;

#[cfg(all(test, loom))]
#[expect(unsafe_code)]
mod loom;

pub use managed::ManagedMemory;
pub use pool::{LocalPool, NetworkPool, PoolError};
pub use ring::{Consumer, Producer, Ring};
pub use segment::{Arena, Buffer, JumboBudget, JumboLease, Segment};
pub use waker::WakerSlot;
