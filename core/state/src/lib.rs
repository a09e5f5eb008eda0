//! Who owns a key, and what time it is.
//!
//! Keyed state is divided into **key groups**, the unit that moves when a job is rescaled. A key's
//! group follows from its hash and never changes; which subtask owns a group follows from the
//! parallelism. [`time`] has watermarks, [`window`] the windows that times fall into. State backends have
//! their place in this crate, beside the key groups that they all stand on.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod key_group;
pub mod time;
pub mod window;

pub use key_group::{KeyGroups, MAX_PARALLELISM_LIMIT, default_max_parallelism};
