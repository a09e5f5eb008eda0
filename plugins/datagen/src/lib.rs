//! The `datagen` connector: rows of any schema of plain types, sequential or random.
//!
//! The value of a cell follows from the seed, its column and the number of its row: the rows are
//! the same for every number of readers. Options of a column are named after it, as in Flink:
//! `fields.price.min`.
#![forbid(unsafe_code)]

mod column;
mod source;

pub use source::DataSource;

millstream_sdk::plugin! {
    name: "datagen",
    summary: "Makes rows, sequential or random",
    sources: [DataSource],
}
