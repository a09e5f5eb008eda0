//! Memory while rows flow through an exchange into a sink that is ten times slower than the
//! source: `budget [MB]` prints the peak RSS beside the budget of 64 MiB.

use std::hint::black_box;

use millstream::{Runtime, result::Discard};
use millstream_benches::{measure, peak_bytes};
use millstream_dataflow::Environment;

/// The process's budget, and what of it is for the network.
const BUDGET_MIB: usize = 64;
const NETWORK_MIB: usize = 48;
/// Rounds of mixing that make a row of the sink cost ten rows of the source.
const ROUNDS: u64 = 40;

fn main() {
    let megabytes = std::env::args().nth(1).map_or(1000, |text| text.parse().expect("a number"));
    let rows = megabytes * 1_000_000 / 16u64;
    let env = Environment::new("budget");
    env.generate(move |subtask, parallelism| {
        (u64::from(subtask)..rows).step_by(parallelism as usize).map(|n| (n, n))
    })
    .partition_custom(|row, consumers| (row.0 % u64::from(consumers)) as u32)
    .filter(|row| work(row.0) == 0)
    .result();
    let runtime = Runtime::builder().parallelism(2).network_memory(NETWORK_MIB << 20);
    let runtime = runtime.build().expect("memory");
    let (result, cost) = measure(|| runtime.run(env.build(), Box::new(Discard)));
    result.expect("the job runs");
    println!(
        "{megabytes} MB in {:.1} s: peak RSS {:.1} MiB, budget {BUDGET_MIB} MiB (aim: at most {} MiB)",
        cost.wall,
        peak_bytes() as f64 / f64::from(1 << 20),
        BUDGET_MIB + 16
    );
}

/// A sink that takes its time.
fn work(value: u64) -> u64 {
    (0..ROUNDS).fold(value, |value, round| black_box(value.rotate_left(7) ^ round))
}
