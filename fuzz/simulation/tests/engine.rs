//! A job on the whole simulated engine: what is promised holds for many seeds, and a planted bug is
//! found.

mod planted;

use std::collections::BTreeMap;

use millstream_simulation::engine::{EngineBug, run};
use planted::all_are_found;

/// What a run can do, and how often it must at least have happened in the seeds below: a
/// simulation that never gets somewhere proves nothing about it.
const HAPPENS: [(&str, u64); 16] = [
    ("a checkpoint is complete", 1000),
    ("a checkpoint is damaged", 20),
    ("a checkpoint is given up", 200),
    ("a checkpoint is refused", 20),
    ("a checkpoint is restored", 200),
    ("a connection is lost", 50),
    ("a disk fails", 50),
    ("a disk is full", 50),
    ("a job is drained", 30),
    ("a job stops with a savepoint", 30),
    ("a message comes twice", 1000),
    ("a process crashes", 300),
    ("a transaction is committed", 1000),
    ("data in flight are written", 500),
    ("data in flight come again", 50),
    ("power is lost", 200),
];

#[test]
fn what_is_shown_is_what_a_loop_over_the_input_makes() {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let mut failures = Vec::new();
    for seed in 0..1000 {
        let report = run(seed, None, false);
        for (what, count) in &report.counts {
            *counts.entry(what).or_default() += count;
        }
        if report.failure.is_some() {
            failures.push(report.to_string());
        }
    }
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
    println!("{counts:#?}");
    for (what, least) in HAPPENS {
        let times = counts.get(what).copied().unwrap_or(0);
        assert!(times >= least, "{what}: {times} times, expected at least {least}");
    }
}

#[test]
fn a_seed_replays_exactly() {
    for seed in 0..100 {
        assert_eq!(run(seed, None, false), run(seed, None, false), "seed {seed}");
    }
}

/// In how many seeds, from 0 on, each bug must have been found.
const SEEDS_MAX: [(EngineBug, u64); 8] = [
    (EngineBug::AcknowledgeBeforeUpload, 1000),
    (EngineBug::ForgetInFlight, 1000),
    (EngineBug::CommitBeforeCompletion, 1000),
    (EngineBug::SkipAlignment, 1000),
    (EngineBug::RestoreDamaged, 1000),
    (EngineBug::SplitTwice, 1000),
    (EngineBug::ForgetPrepared, 1000),
    (EngineBug::RecoverWithoutSplit, 1000),
];

#[test]
fn every_planted_bug_is_found() {
    all_are_found(&SEEDS_MAX, |seed, bug| run(seed, Some(bug), false).failure.is_some());
    assert_eq!(SEEDS_MAX.len(), EngineBug::ALL.len(), "a bug without a limit");
}

#[test]
fn a_report_says_how_to_replay() {
    let bug = EngineBug::CommitBeforeCompletion;
    let failed = (0..50).map(|seed| run(seed, Some(bug), false));
    let report = failed.into_iter().find(|report| report.failure.is_some());
    let text = report.expect("found within 50 seeds").to_string();
    assert!(text.contains("millstream-simulation -- --engine --seed "), "{text}");
    assert!(text.ends_with(" --bug commit-before-completion"), "{text}");
}
