//! The `filesystem` connector: files as tables.
//!
//! Reads CSV files with a header line, plain or compressed with gzip or zstd, one file, a directory
//! or a glob. Files that are not compressed are split by byte range, so that several readers share
//! one file. Columns are matched by name: a record type with three fields reads three columns and
//! skips the others.
#![deny(unsafe_code)]

pub mod cell;
pub mod csv;
mod files;
mod input;
mod source;
mod split;

pub use source::FileSource;

millstream_sdk::plugin! {
    name: "filesystem",
    summary: "Files as tables: CSV, plain or compressed",
    sources: [FileSource],
}
