//! Memory for Millstream's segments, on machines with an operating system.
//!
//! The core cuts an [`Arena`](millstream_memory::Arena) into segments and never asks where it came
//! from. This crate brings two kinds:
//!
//! * [`HeapArena`] comes from the process's allocator and works everywhere;
//! * [`MmapArena`] (Linux) is an anonymous mapping of its own, with huge pages and locking on wish.
//!
//! Both take the address range at once and occupy memory when it is first touched. Both pass the
//! contract suite of the core (`tests/contract.rs`).
//!
//! ```
//! use millstream_memory::NetworkPool;
//! use millstream_segments::HeapArena;
//!
//! // The classic network memory: 2048 segments of 32 KiB.
//! let network = NetworkPool::new(Box::new(HeapArena::new(32 << 10, 2048)?));
//! assert_eq!(network.available(), 2048);
//! # Ok::<(), millstream_segments::ArenaError>(())
//! ```

mod error;
mod heap;
#[cfg(target_os = "linux")]
mod mmap;

pub use error::ArenaError;
pub use heap::HeapArena;
#[cfg(target_os = "linux")]
pub use mmap::{MmapArena, MmapOptions};
