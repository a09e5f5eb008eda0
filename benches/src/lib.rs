//! What the benchmarks share: a clock for processor time, medians, and how ratios are printed.

use std::time::Instant;

use millstream::state::window::Window;
use millstream_dataflow::operator::{Emit, window::WindowAggregate};

/// Wall time and processor time of one run, in seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// Wall time.
    pub wall: f64,
    /// Processor time of the whole process, user and system.
    pub cpu: f64,
}

/// Runs `work` and says what it cost.
pub fn measure<R>(work: impl FnOnce() -> R) -> (R, Cost) {
    let (cpu, begin) = (cpu_seconds(), Instant::now());
    let result = work();
    (result, Cost { wall: begin.elapsed().as_secs_f64(), cpu: cpu_seconds() - cpu })
}

/// The median of some numbers.
///
/// # Panics
/// If there are none.
pub fn median(numbers: impl IntoIterator<Item = f64>) -> f64 {
    let mut numbers: Vec<f64> = numbers.into_iter().collect();
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// The most memory that this process has held, in bytes.
pub fn peak_bytes() -> u64 {
    usage(libc::RUSAGE_SELF).ru_maxrss as u64 * 1024
}

/// The most memory that a child of this process has held, in bytes.
pub fn peak_bytes_of_children() -> u64 {
    usage(libc::RUSAGE_CHILDREN).ru_maxrss as u64 * 1024
}

fn usage(whose: i32) -> libc::rusage {
    // SAFETY: getrusage fills the struct that it is given, for which zeros are a value.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(whose, &raw mut usage);
        usage
    }
}

/// Processor time of this process so far, in seconds.
pub fn cpu_seconds() -> f64 {
    seconds(usage(libc::RUSAGE_SELF))
}

/// Processor time of the children of this process that have ended, and of theirs, in seconds.
pub fn cpu_seconds_of_children() -> f64 {
    seconds(usage(libc::RUSAGE_CHILDREN))
}

fn seconds(usage: libc::rusage) -> f64 {
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

/// Processor time of the whole machine so far, in seconds: of all processes, and of the kernel for
/// nobody in particular.
///
/// # Panics
/// If the system does not tell.
pub fn machine_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/stat").expect("the kernel counts");
    let line = text.lines().next().expect("a line for all processors");
    let ticks: Vec<f64> =
        line.split_whitespace().skip(1).map(|ticks| ticks.parse().expect("a number")).collect();
    // user, nice, system, (idle, waiting for input and output,) interrupts, soft interrupts
    let busy: f64 = [0, 1, 2, 5, 6].iter().map(|column| ticks[*column]).sum();
    // SAFETY: no pointers.
    busy / unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as f64
}

/// The xorshift generator of the baselines: fast, and the same in every opponent.
#[inline(always)]
pub fn xorshift(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// The first state of [`xorshift`].
pub const XORSHIFT_SEED: u64 = 88_172_645_463_325_252;

/// Counts the rows of a key, each of which says as how many it counts.
#[derive(Clone, Debug)]
pub struct Count;

impl WindowAggregate for Count {
    type In = (u64, u64);
    type Key = u64;
    type Accumulator = u64;
    type Out = (u64, u64);

    fn create(&self) -> u64 {
        0
    }

    fn add(&self, accumulator: &mut u64, row: (u64, u64)) {
        *accumulator += row.1;
    }

    fn merge(&self, accumulator: &mut u64, other: u64) {
        *accumulator += other;
    }

    fn finish(&self, key: u64, _window: Window, count: u64, out: &mut dyn Emit<(u64, u64)>) {
        out.emit((key, count));
    }
}
