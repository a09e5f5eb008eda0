//! From a program to tasks that run.
//!
//! - [`stream`] is the typed API: a program is streams and operators on them. Operators that follow
//!   each other are fused at compile time into one **chain**, a single loop over the rows of a page.
//! - [`graph`] is what the program amounts to: a stream graph of sources, chains and sinks, its
//!   chained form, the job graph, and its parallel form, the execution graph.
//! - [`operator`] holds the operators, [`chain`] the border between a chain and whoever runs it,
//!   [`writer`] the end of a chain: rows go straight into the page of their subpartition.
//! - [`operator::window`] takes rows together by key and time, in state of managed memory;
//!   [`operator::process`] hands rows to functions with state and timers of their own.
//! - [`sort`] is a chain of the engine's own, which sorts more than fits in memory.
//! - [`task`] runs one chain between its input channels and its result partitions.
//!
//! Nothing here knows a thread, a clock or a socket.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod chain;
pub mod channel;
pub mod graph;
pub mod operator;
pub mod sort;
mod state;
pub mod stream;
pub mod task;
pub mod writer;

pub use chain::{Chain, ChainIo, Context, Lease, OpenInfo, TaskError};
pub use graph::StreamGraph;
pub use sort::SortKey;
pub use state::WATERMARK as WATERMARKS;
pub use stream::{Connector, Environment, KeyedStream, Stream};
