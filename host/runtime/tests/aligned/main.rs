//! Sources that wait until others have come up, through the runtime.

mod sources;

use std::{fs, time::Duration};

use millstream::{
    CheckpointOptions, Runtime, builder,
    dataflow::{
        Connector, Environment,
        operator::{WithAlignment, WithIdleness},
    },
    loader::Registry,
    result::Discard,
    state::time::Bounded,
};
use sources::{DRIFT, ROWS, lead};

/// What channels and pages hold of the fast one, in rows, at most.
const IN_FLIGHT: u64 = 5000;

/// Barriers go through while a source waits, or the slow one would never begin.
#[test]
fn a_source_is_ahead_by_no_more_than_the_drift() {
    let directory = std::env::temp_dir().join(format!("millstream-aligned-{}", std::process::id()));
    let _ = fs::remove_dir_all(&directory);
    let env = Environment::new("aligned");
    for (name, slow) in [("slow", "true"), ("fast", "false")] {
        let strategy = WithIdleness::new(Bounded::new(0), 3_600_000);
        let strategy = WithAlignment::new(strategy, "group", DRIFT, 1);
        env.source::<u64>(name, Connector::new("lagging").option("slow", slow).subtasks(1))
            .assign_watermarks(strategy, |row| *row as i64)
            .for_each(|_| {});
    }
    let checkpoints = CheckpointOptions {
        interval: Duration::from_millis(10),
        restarts: 0,
        ..CheckpointOptions::new(directory.clone())
    };
    let mut registry = Registry::new();
    builder::bundle(&mut registry).expect("the bundled plugins");
    registry.bundle(sources::plugin).expect("a plugin");
    let runtime = Runtime::builder().parallelism(1).segment_size(4096).plugins(registry);
    let runtime = runtime.checkpoints(checkpoints).build().expect("a runtime");
    runtime.run(env.build(), Box::new(Discard)).expect("it ends");
    let _ = fs::remove_dir_all(&directory);
    let most = DRIFT + IN_FLIGHT;
    assert!(lead() >= DRIFT / 2 && lead() <= most, "{} of {ROWS}, {most} at most", lead());
}

#[test]
#[should_panic(expected = "right behind `source(..)`")]
fn rows_that_are_made_do_not_wait() {
    let strategy = WithAlignment::new(Bounded::new(0), "group", 1000, 1000);
    let rows = Environment::new("made").generate(|_, _| 0..10u64);
    rows.assign_watermarks(strategy, |row| *row as i64).result();
}
