//! A planted bug must be found, soon.

use millstream_simulation::{Bug, run};

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
    // Machines that find themselves in an impossible state panic; that is a find.
    std::panic::set_hook(Box::new(|_| {}));
    let mut late = Vec::new();
    for (bug, max) in SEEDS_MAX {
        let found = (0..max).find(|seed| run(*seed, Some(bug), false).failure.is_some());
        match found {
            Some(seed) => println!("{bug}: found by seed {seed}"),
            None => late.push(format!("{bug}: not found by {max} seeds")),
        }
    }
    let _ = std::panic::take_hook();
    assert!(late.is_empty(), "{}", late.join("\n"));
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
