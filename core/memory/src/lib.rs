//! The memory of a stream processor.
#![cfg_attr(not(test), no_std)]

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
pub mod ring;
pub mod segment;
pub mod sync;
pub mod view;
pub mod waker;

mod ledger;
mod store;

#[cfg(all(test, loom))]
mod loom;

pub use managed::ManagedMemory;
pub use pool::{LocalPool, NetworkPool, PoolError};
pub use ring::{Consumer, Producer, Ring};
pub use segment::{Arena, Buffer, JumboBudget, JumboLease, Segment};
pub use waker::WakerSlot;
