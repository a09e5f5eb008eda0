//! Bugs that are planted, and must be found.

use std::fmt::Display;

/// Checks that each bug is found in so many seeds, from 0 on, and prints how many it needed.
pub(crate) fn all_are_found<B: Display + Copy>(
    limits: &[(B, u64)],
    finds: impl Fn(u64, B) -> bool,
) {
    // Machines that find themselves in an impossible state panic; that is a find.
    std::panic::set_hook(Box::new(|_| {}));
    let mut late = Vec::new();
    for (bug, max) in limits.iter().copied() {
        match (0..max).find(|seed| finds(*seed, bug)) {
            Some(seed) => println!("{bug}: found by seed {seed}, after {} seeds", seed + 1),
            None => late.push(format!("{bug}: not found by {max} seeds")),
        }
    }
    let _ = std::panic::take_hook();
    assert!(late.is_empty(), "{}", late.join("\n"));
}
