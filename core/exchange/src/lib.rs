//! To be written.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod bytes;
pub mod credit;
pub mod element;
pub mod event;
pub mod frame;
pub mod id;

pub use id::{ChannelId, PartitionId, WorkerId};
