//! Millstream: a stream processor, assembled from parts.
//!
//! A [`Runtime`] is put together by its builder: memory, workers, plugins. It runs a program of the
//! typed API, or a compiled job that a plugin offers; both are the same to it.
//!
//! ```
//! use millstream::{Runtime, result::Collected};
//! use millstream_dataflow::Environment;
//!
//! let env = Environment::new("squares");
//! env.generate(|subtask, parallelism| (0..10u64).skip(subtask as usize).step_by(parallelism as usize))
//!     .map(|number| number * number)
//!     .result();
//!
//! let squares = Collected::<u64>::new();
//! let runtime = Runtime::builder().parallelism(2).build().unwrap();
//! runtime.run(env.build(), squares.sink()).unwrap();
//! let mut squares = squares.take();
//! squares.sort();
//! assert_eq!(squares, [0, 1, 4, 9, 16, 25, 36, 49, 64, 81]);
//! ```
#![forbid(unsafe_code)]

pub mod builder;
pub mod cluster;
pub mod config;
mod deploy;
mod error;
pub mod exchange;
pub mod program;
pub mod progress;
pub mod result;
pub mod spill;
mod threads;

pub use builder::{Builder, Runtime};
pub use config::Config;
pub use error::RunError;
pub use exchange::ExchangeOptions;
pub use millstream_data as data;
pub use millstream_dataflow as dataflow;
pub use millstream_derive::RecordOfHost as Record;
// The trait of that name; the line above is the derive, which knows its way through this crate.
pub use millstream_data::value::Record;
pub use millstream_executor::Outcome;
pub use millstream_file_storage as storage;
pub use millstream_loader as loader;
pub use program::JobProgram;
pub use progress::{Progress, Summary};
