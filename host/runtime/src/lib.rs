//! Millstream: a stream processor, assembled from parts.
//!
//! A [`Runtime`] is put together by its builder: memory, workers, plugins. It runs a program of the
//! typed API, or a compiled job that a plugin offers; both are the same to it.
//!
//! ```
//! use millstream::{Runtime, dataflow::Environment, result::Collected};
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
//!
//! # The slots of a runtime
//!
//! Each part has a default, and a method of the [`Builder`] to put another in its place:
//!
//! | slot | method | default | what else there is |
//! |---|---|---|---|
//! | segments | [`segments`](Builder::segments) | an anonymous mapping | any [`Arena`](millstream_memory::Arena): the heap, huge pages, your own |
//! | memory | [`network_memory`](Builder::network_memory), [`managed_memory`](Builder::managed_memory), [`segment_size`](Builder::segment_size) | 64 MiB, 128 MiB, 64 KiB | [`Config::memory`] derives them from the size of the process |
//! | executor | [`executor`](Builder::executor); of the default one [`workers`](Builder::workers), [`spin`](Builder::spin) | a thread a core | [`Inline`](executor::Inline): the thread that runs the job; any [`ExecutorBackend`](executor::ExecutorBackend) |
//! | exchange | [`exchange`](Builder::exchange), [`buffer_timeout`](Builder::buffer_timeout) | Flink's numbers, 100 ms | |
//! | transport | [`transport`](Builder::transport) | io_uring where the system allows it | epoll TCP |
//! | storage | [`storage`](Builder::storage) | [local files](spill::LocalFiles) | any [`SpillStorage`](spill::SpillStorage) |
//! | state | [`state`](Builder::state) | [in memory](StateBackend::Memory) | [files](StateBackend::Lsm) and as much memory as there is |
//! | plugins | [`plugins`](Builder::plugins) | none; [`builder::bundle`] adds those that are linked in | a [`Registry`](loader::Registry) that loaded others, or was given [yours](loader::Registry::bundle) |
//! | metrics | [`run_with`](Runtime::run_with) | | the crate `millstream-metrics` shows [`Progress`] to Prometheus |
//! | configuration | [`Config::builder`] | | files, `key=value`, whatever you parse |
//!
//! `examples/custom_runtime` is a runtime from chosen parts in less than fifty lines.
//!
//! # What happens to a job
//!
//! [`Runtime::run`] asks the program for its graph, checks it, and computes the least memory that its
//! exchange needs. It makes a task for each subtask of a chain and a thread for each subtask of a
//! source or a sink, connects them by channels, and waits. Sources and sinks may block; tasks never
//! do. [`Runtime::run_with`] shows [`Progress`] meanwhile. When every part is done the results are
//! shown: the [`ResultSink`](result::ResultSink) is finished and sinks commit. If any part fails, the
//! first failure is the [`RunError`], and nothing is shown.
//!
//! A job that takes [checkpoints](CheckpointOptions) begins anew instead, from the last one. If it consists
//! of regions that no channel connects, such as pipelines side by side, only the region that failed does,
//! and the others go on: [`Progress::region_restarts`]. That is so if all of the region runs in one process
//! and checkpoints are in a local directory; else the whole job begins anew.
//!
//! A job of several processes does the same in each, see [`cluster`]: the coordinator starts the
//! others, all load the same library, and each runs the subtasks whose number is its own modulo the
//! number of processes.
#![forbid(unsafe_code)]

pub mod builder;
mod checkpoint;
pub mod cluster;
pub mod config;
mod deploy;
mod error;
pub mod exchange;
mod failover;
pub mod program;
pub mod progress;
pub mod result;
pub mod savepoint;
pub mod spill;
mod threads;

pub use builder::{Builder, Runtime, StateBackend};
pub use checkpoint::{Barriers, CheckpointOptions, ClaimMode, RestoreFrom, Savepoints};
pub use config::Config;
pub use error::RunError;
pub use exchange::ExchangeOptions;
pub use millstream_data as data;
pub use millstream_dataflow as dataflow;
pub use millstream_derive::RecordOfHost as Record;
// The trait of that name; the line above is the derive, which knows its way through this crate.
pub use millstream_data::value::Record;
pub use millstream_executor as executor;
pub use millstream_executor::Outcome;
pub use millstream_file_storage as storage;
pub use millstream_loader as loader;
pub use millstream_segments as segments;
pub use millstream_state as state;
pub use program::JobProgram;
pub use progress::{Progress, RegionRestart, Summary};
