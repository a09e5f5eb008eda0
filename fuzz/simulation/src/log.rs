//! What happened, as a hash that two runs can be compared by, and as lines for people.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::random::mix;

/// The log of one run.
#[derive(Debug)]
pub(crate) struct Log {
    hash: u64,
    steps: u64,
    trace: bool,
    counts: BTreeMap<&'static str, u64>,
}

impl Log {
    pub(crate) fn new(trace: bool) -> Self {
        Self { hash: 0, steps: 0, trace, counts: BTreeMap::new() }
    }

    /// Counts a step of the scheduler.
    pub(crate) fn step(&mut self) {
        self.steps += 1;
    }

    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// How often each thing happened.
    pub(crate) fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }

    /// Counts something that is worth knowing that it happens at all.
    pub(crate) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// Adds one event. Its text is part of the hash, and is printed when tracing.
    pub(crate) fn note(&mut self, now: Duration, what: &'static str, numbers: &[u64]) {
        self.count(what);
        let mut hash = mix(self.hash ^ now.as_nanos() as u64);
        for byte in what.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        for number in numbers {
            hash = mix(hash ^ number);
        }
        self.hash = hash;
        if self.trace {
            self.print(now, what, numbers);
        }
    }

    fn print(&self, now: Duration, what: &str, numbers: &[u64]) {
        let mut line = format!("{:>6} {:>12.6} ", self.steps, now.as_secs_f64());
        let mut numbers = numbers.iter();
        for part in what.split('#') {
            line.push_str(part);
            if let Some(number) = numbers.next() {
                line.push_str(&number.to_string());
            }
        }
        println!("{line}");
    }
}
