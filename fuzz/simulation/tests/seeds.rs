//! Many worlds, and what must be true of all of them.

use std::collections::BTreeMap;

use millstream_simulation::run;

/// What a world can do, and how often it must at least have happened in the seeds below: a
/// simulation that never gets somewhere proves nothing about it.
const HAPPENS: [(&str, u64); 24] = [
    ("acknowledgement at", 1000),
    ("and it is not needed any more", 100),
    ("backlog at", 1000),
    ("cancel at", 1000),
    ("close at", 1000),
    ("connection of # and # breaks", 100),
    ("credit at", 10_000),
    ("data at", 10_000),
    ("error at", 100),
    ("fragment at", 1000),
    ("page size at", 1000),
    ("payload of a channel that ended", 100),
    ("request before its partition", 100),
    ("request that crossed a close", 1),
    ("request that is refused", 1),
    ("resume at", 1000),
    ("segment of a channel that ended", 1),
    ("task # fails", 100),
    ("task # lets a barrier overtake that it got", 100),
    ("task # lets a barrier overtake that it sends", 100),
    ("task # offers the segment set aside", 10),
    ("task # waits for jumbo memory", 10),
    ("task event at", 1000),
    ("worker # gives up its connection to #", 10),
];

#[test]
fn every_seed_ends_as_it_should() {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let mut failures = Vec::new();
    for seed in 0..5000 {
        let report = run(seed, None, false);
        for (what, count) in &report.counts {
            *counts.entry(what).or_default() += count;
        }
        if report.failure.is_some() {
            failures.push(report.to_string());
        }
    }
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
    for (what, least) in HAPPENS {
        let times: u64 =
            counts.iter().filter(|(text, _)| text.starts_with(what)).map(|(_, n)| n).sum();
        assert!(times >= least, "{what}: {times} times, expected at least {least}");
    }
}

#[test]
fn a_seed_replays_exactly() {
    for seed in 0..200 {
        assert_eq!(run(seed, None, false), run(seed, None, false), "seed {seed}");
    }
}

#[test]
fn different_seeds_are_different_worlds() {
    let hashes: std::collections::BTreeSet<_> =
        (0..200).map(|seed| run(seed, None, false).hash).collect();
    assert_eq!(hashes.len(), 200);
}
