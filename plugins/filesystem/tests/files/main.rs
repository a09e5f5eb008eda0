//! The connector on real files, through a host in miniature.

mod read;
mod scratch;
mod splits;
mod write;
