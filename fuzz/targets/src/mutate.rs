//! Mutation without a coverage-guided fuzzer: blind, but on every machine and in every CI run.

use std::{
    fs, io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use millstream_simulation::Random;

use crate::Target;

/// The longest input, in bytes.
const INPUT_BYTES_MAX: usize = 8 << 10;

/// How a target fared.
#[derive(Clone, Debug)]
pub struct Report {
    /// Inputs that were tried.
    pub tried: u64,
    /// An input that failed.
    pub failed: Option<Vec<u8>>,
}

/// Where inputs of a target are kept.
pub fn corpus(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name)
}

/// The inputs of a target: the well-formed ones, and those that failed once.
///
/// # Errors
/// If the corpus cannot be read.
pub fn inputs(target: &Target) -> io::Result<Vec<Vec<u8>>> {
    let mut inputs = (target.inputs)();
    let directory = corpus(target);
    if directory.is_dir() {
        for entry in fs::read_dir(directory)? {
            inputs.push(fs::read(entry?.path())?);
        }
    }
    Ok(inputs)
}

/// Tries the inputs of a target, then mutations of them for so long, from a seed.
pub fn run(target: &Target, inputs: &[Vec<u8>], seed: u64, time: Duration) -> Report {
    let mut random = Random::new(seed);
    let mut report = Report { tried: 0, failed: None };
    let attempt = |input: &[u8], report: &mut Report| {
        report.tried += 1;
        if catch_unwind(AssertUnwindSafe(|| (target.run)(input))).is_err() {
            report.failed = Some(input.to_vec());
        }
        report.failed.is_none()
    };
    if !inputs.iter().all(|input| attempt(input, &mut report)) {
        return report;
    }
    let begin = Instant::now();
    while begin.elapsed() < time {
        let input = &inputs[random.below(inputs.len() as u64) as usize];
        if !attempt(&mutated(input, inputs, &mut random), &mut report) {
            break;
        }
    }
    report
}

/// An input with a few changes.
fn mutated(input: &[u8], others: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() as u64 + 1) as usize;
        match random.below(6) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, random.below(256) as u8),
            2 => {
                let other = &others[random.below(others.len() as u64) as usize];
                let from = random.below(other.len() as u64 + 1) as usize;
                bytes.splice(at.., other[from..].iter().copied());
            }
            3 => {
                // Interesting numbers: lengths and offsets are made of them.
                let number = [0u32, 1, 0x7F, 0xFF, 0x7FFF_FFFF, u32::MAX][random.below(6) as usize];
                for (place, byte) in bytes[at..].iter_mut().zip(number.to_le_bytes()) {
                    *place = byte;
                }
            }
            4 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = random.below(256) as u8;
                }
            }
        }
    }
    bytes.truncate(INPUT_BYTES_MAX);
    bytes
}
