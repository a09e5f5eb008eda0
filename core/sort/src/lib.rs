//! Sorting more than fits in memory.
//!
//! A [`Sorter`] takes records, and hands them out in order. Its memory is segments of a budget that
//! never grows. When they are used up, what they hold is sorted and written out as a *run*; at the
//! end all runs are merged. It is a state machine: it does no input and output, it asks for it, and
//! back-pressure is a value.
//!
//! ```text
//!           push                   run                               next
//!  record ───────► index + area ─────────► blocks ──► write  ···  read ──► blocks ───────► record
//!                  (segments)    sort               (Submit)               merge
//! ```
//!
//! * **The index** holds one small entry a record: its key's first eight bytes as a number, and
//!   where the record lies. Sorting moves entries only, and looks at records only where these
//!   numbers are equal. Records of a few words whose key is complete ([`Fixed`]) *are* their entries.
//! * **The index is sorted** by distributing entries over up to 256 lists of segments by the highest
//!   bits that differ, and each list again, until a list is one segment, which is sorted by counting. A
//!   segment that has been read is used for what is written next, so this
//!   takes a few hundred segments more than the index, not twice the memory. (Radix sort from the
//!   most significant digit, with software write-combining as in Satish et al., *Fast Sort on CPUs
//!   and GPUs*, 2010.)
//! * **Runs** are blocks of a segment each. Merging uses a tree of losers (Knuth, *The Art of
//!   Computer Programming*, vol. 3, section 5.4.1) and reads ahead. If memory allows fewer readers
//!   than there are runs, runs are merged to longer ones first.
//!
//! What the sorter needs of its surroundings is two traits: [`Lease`] for memory, and
//! [`Submit`](millstream_storage::Submit) for files.
//!
//! # Driving it
//!
//! ```
//! use millstream_memory::ManagedMemory;
//! use millstream_segments::HeapArena;
//! use millstream_sort::{Fixed, ManagedLease, Next, Progress, Push, SortConfig, Sorter};
//! use millstream_storage::{BlockingStorage, MemoryStorage};
//!
//! let memory = ManagedMemory::new(Box::new(HeapArena::new(4096, 64)?));
//! let owner = memory.open("sort")?;
//! let lease = ManagedLease::new(memory, owner);
//! // Records of two words, ordered by the first.
//! let mut sorter = Sorter::new(Fixed::<2, 1>, lease, SortConfig::new(64))?;
//! let mut storage = MemoryStorage::new();
//!
//! for number in (0..100_000u64).rev() {
//!     while sorter.push(&[number, 7])? == Push::Full {
//!         if sorter.run(&mut storage, 100)? == Progress::Waits {
//!             sorter.complete(storage.wait().expect("it waits for something"));
//!         }
//!     }
//! }
//! sorter.finish();
//! while sorter.run(&mut storage, 100)? != Progress::Sorted {
//!     if let Some(completion) = storage.wait() {
//!         sorter.complete(completion);
//!     }
//! }
//! let mut expected = 0;
//! loop {
//!     match sorter.next(&mut storage)? {
//!         Next::Record(record) => {
//!             assert_eq!(record[0], expected);
//!             expected += 1;
//!         }
//!         Next::Waits => sorter.complete(storage.wait().expect("it waits for something")),
//!         Next::End => break,
//!     }
//! }
//! assert_eq!(expected, 100_000);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod area;
mod budget;
mod error;
mod format;
mod index;
mod merge;
mod run;
mod schema;
mod sorter;
mod transfer;

pub use area::Area;
pub use budget::{Lease, ManagedLease, SEGMENTS_MIN};
pub use error::SortError;
pub use format::{Bytewise, Entry, Fixed, Format, Order, Rows};
pub use schema::ByFields;
pub use sorter::{Next, Progress, Push, SortConfig, SortMetrics, Sorter};
