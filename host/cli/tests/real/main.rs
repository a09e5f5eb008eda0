//! The real binary on real files.

mod batch;
mod branches;
mod changelogs;
mod changing;
mod failures;
mod flights;
mod forbidden;
mod functions;
mod hourly;
mod incremental;
mod joins;
mod killed;
mod local;
mod metrics;
mod objects;
mod outputs;
mod plugins;
mod processing_time;
mod program;
mod regions;
mod savepoints;
mod several;
mod sorted;
mod sql;
mod statements;
mod wide;
