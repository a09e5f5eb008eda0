//! What state in files and its peers are asked to do, each in a process of its own.
//!
//! An engine loads counts of 8 bytes under 16-byte keys, then adds to the counts of keys that are uniform and of
//! keys by Zipf's law (exponent 0.99, by Gray's method, *Quickly Generating Billion-Record Synthetic
//! Databases*, 1994), for some seconds each. Then it loads maps of a hundred entries, as many entries as a tenth of the
//! keys, and reads maps from one end to the other. It prints a line for each phase, which [`Phase::parse`]
//! reads: the name, thousands a second by the clock on the wall, and the CPU-seconds of all threads until
//! nothing is left to be merged. The last line is the bytes that lie on the disk then.
#![forbid(unsafe_code)]

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Keys of a batch.
pub const BATCH: usize = 1000;
/// Bytes of a key, and of an entry of a map: its key, then its value.
pub const KEY: usize = 16;
/// Entries of each map.
pub const ENTRIES: u64 = 100;
const EXPONENT: f64 = 0.99;
const SEED: u64 = 0x2545_F491_4F6C_DD1D;
/// Ticks of a second in `/proc/self/stat`.
const TICKS: f64 = 100.0;

/// A key.
pub type Bytes = [u8; KEY];

/// What is measured.
pub trait Engine {
    /// Whether it has maps in order, and files; else only counts are asked for.
    const HAS_FILES: bool = true;

    /// Adds one to the count of each key.
    fn add(&mut self, keys: &[Bytes]);

    /// Puts an entry of 8 bytes into each of these maps; entries are ordered as big-endian numbers are.
    fn put(&mut self, maps: &[Bytes], entry: u64);

    /// Reads all entries of a map in order; how many there are.
    fn scan(&mut self, map: &Bytes) -> u64;

    /// Writes what is in memory to the disk, and merges what is to be merged.
    fn settle(&mut self);
}

/// How much is asked.
#[derive(Clone, Debug)]
pub struct Task {
    /// Keys that are loaded.
    pub keys: u64,
    /// How long is counted in each way, and how long maps are read.
    pub seconds: u64,
    /// Memory of the engine in MiB: write buffers, cache and all.
    pub mib: u64,
    /// Where the files are.
    pub directory: PathBuf,
}

impl Task {
    /// From arguments, in the order of the fields; what is missing is 10 M keys, 10 s, 512 MiB, and the
    /// system's directory for temporary files.
    ///
    /// # Panics
    /// If an argument is no number.
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Self {
        let mut number =
            |default| arguments.next().map_or(default, |text| text.parse().expect("a number"));
        let (keys, seconds, mib) = (number(10_000_000), number(10), number(512));
        let directory = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
        Self { keys, seconds, mib, directory }
    }

    /// As arguments.
    pub fn arguments(&self) -> [String; 4] {
        let Self { keys, seconds, mib, directory } = self;
        [keys.to_string(), seconds.to_string(), mib.to_string(), directory.display().to_string()]
    }
}

/// What a phase came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// Thousands of keys or entries a second; of `space`, bytes.
    pub rate: f64,
    /// CPU-seconds.
    pub cpu: f64,
}

impl Phase {
    /// Reads a line.
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix("phase ")?.split(' ');
        let (name, rate, cpu) = (words.next()?, words.next()?, words.next()?);
        Some(Self { name: name.into(), rate: rate.parse().ok()?, cpu: cpu.parse().ok()? })
    }

    fn line(&self) -> String {
        format!("phase {} {:.3} {:.2}", self.name, self.rate, self.cpu)
    }
}

/// Asks an engine for all of it, and prints what that came to.
pub fn run<E: Engine>(task: &Task, engine: &mut E) {
    let mut random = SEED;
    let zipf = Zipf::new(task.keys);
    let time = Duration::from_secs(task.seconds);
    measure("load", engine, |engine| {
        for first in (0..task.keys).step_by(BATCH) {
            let numbers = first..(first + BATCH as u64).min(task.keys);
            engine.add(&numbers.map(key).collect::<Vec<_>>());
        }
        task.keys
    });
    for (name, is_uniform) in [("uniform", true), ("zipf", false)] {
        measure(name, engine, |engine| {
            let (begun, mut count) = (Instant::now(), 0);
            while begun.elapsed() < time {
                let mut next = |_| match is_uniform {
                    true => key(xorshift(&mut random) % task.keys),
                    false => key(zipf.draw(xorshift(&mut random))),
                };
                engine.add(&(0..BATCH).map(&mut next).collect::<Vec<_>>());
                count += BATCH as u64;
            }
            count
        });
    }
    if !E::HAS_FILES {
        return;
    }
    let maps = (task.keys / 10 / ENTRIES).max(1);
    measure("maps", engine, |engine| {
        let all: Vec<Bytes> = (0..maps).map(key).collect();
        for entry in 0..ENTRIES {
            all.chunks(BATCH).for_each(|maps| engine.put(maps, entry));
        }
        maps * ENTRIES
    });
    measure("scan", engine, |engine| {
        let (begun, mut count) = (Instant::now(), 0);
        while begun.elapsed() < time {
            for _ in 0..10 {
                let found = engine.scan(&key(xorshift(&mut random) % maps));
                assert_eq!(found, ENTRIES, "entries of a map");
                count += found;
            }
        }
        count
    });
    let bytes = disk_bytes(&task.directory) as f64;
    println!("{}", Phase { name: "space".into(), rate: bytes, cpu: 0.0 }.line());
}

fn measure<E: Engine>(name: &str, engine: &mut E, work: impl FnOnce(&mut E) -> u64) {
    let (begun, cpu) = (Instant::now(), cpu_seconds());
    let count = work(engine);
    let rate = count as f64 / begun.elapsed().as_secs_f64() / 1e3;
    engine.settle();
    println!("{}", Phase { name: name.into(), rate, cpu: cpu_seconds() - cpu }.line());
}

/// A key that does not tell its number: keys of neighbouring numbers are far from each other. They are mixed as
/// in Steele, Lea and Flood, *Fast Splittable Pseudorandom Number Generators*, 2014.
pub fn key(number: u64) -> Bytes {
    let mut mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^= mixed >> 31;
    let mut key = [0; KEY];
    key[..8].copy_from_slice(&mixed.to_le_bytes());
    key[8..].copy_from_slice(&number.to_le_bytes());
    key
}

fn xorshift(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// Processor time of this process so far, in seconds.
pub fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name, which may have spaces, ends with the last bracket.
    let numbers = stat.rsplit(')').next().unwrap_or_default().split_ascii_whitespace();
    let ticks: Vec<f64> = numbers.skip(11).take(2).filter_map(|text| text.parse().ok()).collect();
    ticks.iter().sum::<f64>() / TICKS
}

/// Bytes of all files below a directory.
fn disk_bytes(directory: &Path) -> u64 {
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        bytes += match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => disk_bytes(&entry.path()),
            Ok(metadata) => metadata.len(),
            // It is gone meanwhile.
            Err(_) => 0,
        };
    }
    bytes
}

/// Numbers below a limit, the smaller the likelier.
struct Zipf {
    keys: f64,
    zeta: f64,
    eta: f64,
}

impl Zipf {
    fn new(keys: u64) -> Self {
        let zeta = |keys: u64| (1..=keys).map(|rank| (rank as f64).powf(-EXPONENT)).sum::<f64>();
        let (all, two) = (zeta(keys), zeta(2));
        let eta = (1.0 - (2.0 / keys as f64).powf(1.0 - EXPONENT)) / (1.0 - two / all);
        Self { keys: keys as f64, zeta: all, eta }
    }

    fn draw(&self, random: u64) -> u64 {
        let u = (random >> 11) as f64 / (1u64 << 53) as f64;
        let uz = u * self.zeta;
        if uz < 1.0 {
            0
        } else if uz < 1.0 + 0.5f64.powf(EXPONENT) {
            1
        } else {
            let rank = self.keys * (self.eta * u - self.eta + 1.0).powf(1.0 / (1.0 - EXPONENT));
            (rank as u64).min(self.keys as u64 - 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_was_written() {
        let phase = Phase { name: "load".into(), rate: 12.5, cpu: 0.25 };
        assert_eq!(Phase::parse(&phase.line()), Some(phase));
        assert_eq!(Phase::parse("load 1 2"), None);
        assert_eq!(Phase::parse("phase load 1"), None);
    }

    #[test]
    fn arguments_are_read_as_they_were_written() {
        let directory = PathBuf::from("/tmp/x");
        let task = Task { keys: 7, seconds: 8, mib: 9, directory };
        let again = Task::parse(task.arguments().into_iter());
        assert_eq!(again.arguments(), task.arguments());
    }

    #[test]
    fn the_smaller_a_number_the_likelier() {
        let (zipf, mut random) = (Zipf::new(1000), SEED);
        let mut counts = [0; 1000];
        for _ in 0..100_000 {
            counts[zipf.draw(xorshift(&mut random)) as usize] += 1;
        }
        // The first of a thousand has one in seven and a half.
        assert!((11_000..16_000).contains(&counts[0]), "{}", counts[0]);
        assert!(counts[0] > counts[9] && counts[9] > counts[99] && counts[99] > counts[999]);
    }

    #[test]
    fn this_process_takes_time() {
        let begun = cpu_seconds();
        let mut random = SEED;
        while cpu_seconds() - begun < 0.05 {
            (0..100_000).for_each(|_| {
                xorshift(&mut random);
            });
        }
        assert_ne!(random, 0);
    }
}
