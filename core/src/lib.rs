//! The no_std heart of Millstream.
#![no_std]
#![forbid(unsafe_code)]

pub use millstream_checkpoint as checkpoint;
pub use millstream_data as data;
pub use millstream_dataflow as dataflow;
pub use millstream_derive::RecordOfCore as Record;
// The trait of that name; the line above is the derive, which knows its way through this crate.
pub use millstream_data::value::Record;
pub use millstream_exchange as exchange;
pub use millstream_lsm as lsm;
pub use millstream_memory as memory;
pub use millstream_sort as sort;
pub use millstream_state as state;
pub use millstream_storage as storage;
