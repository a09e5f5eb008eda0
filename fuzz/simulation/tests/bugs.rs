//! A planted bug must be found, soon.

mod planted;

use millstream_simulation::{Bug, run};
use planted::all_are_found;

/// In how many seeds, from 0 on, each bug must have been found.
const SEEDS_MAX: [(Bug, u64); 9] = [
    (Bug::LoseCredit, 20),
    (Bug::SendWithoutCredit, 20),
    (Bug::ReorderPages, 50),
    (Bug::ForgetWake, 50),
    (Bug::LoseResume, 50),
    (Bug::LeakSegment, 20),
    (Bug::ForgetLoss, 500),
    (Bug::ForgetNotify, 20),
    (Bug::SetNothingAside, 3000),
];

#[test]
fn every_planted_bug_is_found() {
    all_are_found(&SEEDS_MAX, |seed, bug| run(seed, Some(bug), false).failure.is_some());
    assert_eq!(SEEDS_MAX.len(), Bug::ALL.len(), "a bug without a limit");
}

#[test]
fn a_report_says_how_to_replay() {
    let failed = (0..20).map(|seed| run(seed, Some(Bug::LoseCredit), false));
    let report = failed.into_iter().find(|report| report.failure.is_some());
    let text = report.expect("found within 20 seeds").to_string();
    assert!(text.contains("cargo run -p millstream-simulation -- --seed "), "{text}");
    assert!(text.ends_with(" --bug lose-credit"), "{text}");
}
