//! The no_std heart of Millstream.
#![no_std]
#![forbid(unsafe_code)]

pub use millstream_data as data;
pub use millstream_dataflow as dataflow;
pub use millstream_exchange as exchange;
pub use millstream_memory as memory;
pub use millstream_sort as sort;
pub use millstream_storage as storage;
