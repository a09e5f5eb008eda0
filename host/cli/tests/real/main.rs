//! The real binary on real files.

mod branches;
mod failures;
mod flights;
mod forbidden;
mod hourly;
mod incremental;
mod killed;
mod metrics;
mod objects;
mod plugins;
mod program;
mod savepoints;
mod several;
mod sorted;
mod wide;
