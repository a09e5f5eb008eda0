//! What a record is: its types, its columns in a page, its key and its hash.
//!
//! A **page** is the unit that moves through Millstream. It is one memory segment that describes
//! itself: a header, a directory of columns, the columns in Arrow's layout, and a heap for long
//! strings that grows from the other end. A record is written into a page once, by the operator
//! that makes it, and read there in place by the next operator and by the socket.
//!
//! ```text
//!  0        48          48+16n                         heap_start        length
//!  +--------+-----------+----------+-----+----------+ - - - +-----------------+
//!  | header | directory | column 0 | ... | column n |  free |  heap           |
//!  +--------+-----------+----------+-----+----------+ - - - +-----------------+
//! ```
//!
//! Read the crate in this order:
//!
//! - [`types`]: [`DataType`](types::DataType), [`Field`](types::Field) and
//!   [`Schema`](types::Schema), what SQL and Rust agree on.
//! - [`page`]: [`Layout`](page::Layout) decides where columns go,
//!   [`PageBuilder`](page::PageBuilder) fills a page, [`ValidPage`](page::ValidPage) is the proof
//!   that a page may be read.
//! - [`calendar`]: the dates that days stand for.
//! - [`row`]: a row as bytes, for state and sorting.
//! - [`value`]: the trait that ties a Rust type to columns; `#[derive(Record)]` implements it for a
//!   struct and generates its zero-copy row view.
//! - [`order`]: how values are ordered, and keys whose bytes have that order.
//! - [`evolution`]: rows of one schema as rows of a later one.
//! - [`hash`]: the hash that decides which key group a record belongs to, the same on every machine.
#![no_std]
#![deny(unsafe_code)]

extern crate alloc;
// The derive names this crate by its own name; this line lets it be used inside the crate, too.
extern crate self as millstream_data;

pub mod calendar;
pub mod decimal;
pub mod evolution;
pub mod hash;
pub mod order;
pub mod page;
pub mod row;
pub mod types;
pub mod value;

pub use decimal::Decimal;
pub use millstream_derive::Record;
pub use value::{Key, Record, Value};
