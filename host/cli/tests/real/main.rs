//! The real binary on real files.

mod branches;
mod failures;
mod flights;
mod forbidden;
mod metrics;
mod plugins;
mod program;
mod sorted;
mod wide;
