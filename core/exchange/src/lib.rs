//! To be written.
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
pub mod sizing;

pub use id::{ChannelId, PartitionId, ReaderId, WorkerId};
