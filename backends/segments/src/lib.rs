//! Memory for Millstream's segments, on machines with an operating system.
//!
//! The core cuts an [`Arena`](millstream_memory::Arena) into segments and never asks where it came
//! from. This crate brings two kinds:
//!
//! * [`HeapArena`] comes from the process's allocator and works everywhere.

mod error;
mod heap;

pub use error::ArenaError;
pub use heap::HeapArena;
