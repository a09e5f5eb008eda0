//! The `filesystem` connector: files as tables.
//!
//! The source reads files in any format that a plugin offers, plain or compressed with gzip or zstd:
//! one file, a directory or a glob. Files that are not compressed are split by byte range if their
//! format allows that, so that several readers share one file.
//!
//! A byte range begins in the middle of a record, and only a line end says where the next one
//! begins. So a quoted CSV field that contains a line end is an error in a file that is divided,
//! unless `csv.multiline` is set, which reads each file as a whole.
//!
//! The sink writes part files into a directory. They have hidden names until the whole job is done,
//! and are removed if it is not: what is there is complete.
#![forbid(unsafe_code)]

mod beside;
mod files;
mod input;
mod output;
mod part;
mod partition;
mod sink;
mod source;
mod split;

pub use sink::FileSink;
pub use source::FileSource;

millstream_sdk::plugin! {
    name: "filesystem",
    summary: "Files as tables, in any format, plain or compressed",
    sources: [FileSource],
    sinks: [FileSink],
}
