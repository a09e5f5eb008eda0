//! The real binary on real files.

mod failures;
mod flights;
mod plugins;
mod program;
