//! Memory of a job that keeps more state than it has memory.
//!
//! `state_budget [memory|lsm] [KEYS] [MIB]` counts random keys in one long window, twice as many rows as keys, with a
//! checkpoint each second and so much managed memory, and prints the peak RSS beside the budget of the
//! process: managed memory and network memory. The aim is at most 32 MiB more.

use std::time::Duration;

use millstream::{
    CheckpointOptions, Runtime, StateBackend, result::Discard, state::window::Tumbling,
};
use millstream_benches::{Count, XORSHIFT_SEED, measure, peak_bytes, xorshift};
use millstream_dataflow::Environment;

const NETWORK_MIB: usize = 16;
const OVER_MIB: usize = 32;
/// Bytes of a key with its hash and window, and its count.
const BYTES: u64 = 33;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let backend = match arguments.next().as_deref() {
        Some("memory") => StateBackend::Memory,
        None | Some("lsm") => StateBackend::Lsm,
        Some(other) => panic!("there is no backend `{other}`: memory or lsm"),
    };
    let mut number =
        |default: u64| arguments.next().map_or(default, |text| text.parse().expect("a number"));
    let (keys, managed) = (number(20_000_000), number(64) as usize);
    let env = Environment::new("state_budget");
    env.generate(move |subtask, parallelism| {
        let mut state = XORSHIFT_SEED + u64::from(subtask);
        (0..2 * keys / u64::from(parallelism)).map(move |_| (xorshift(&mut state) % keys, 1u64))
    })
    .key_by::<u64, _>(|row| row.0)
    .window(Tumbling::of(1 << 40).expect("a size"), |_| 0)
    .aggregate(Count)
    .result();
    let directory = std::env::temp_dir().join(format!("state-budget-{}", std::process::id()));
    let checkpoints = CheckpointOptions {
        interval: Duration::from_secs(1),
        ..CheckpointOptions::new(directory.clone())
    };
    let runtime = Runtime::builder()
        .parallelism(2)
        .network_memory(NETWORK_MIB << 20)
        .managed_memory(managed << 20)
        .state(backend)
        .checkpoints(checkpoints)
        .build()
        .expect("memory");
    let (result, cost) = measure(|| runtime.run(env.build(), Box::new(Discard)));
    let _ = std::fs::remove_dir_all(&directory);
    result.expect("the job runs");
    let budget = managed + NETWORK_MIB;
    println!(
        "{backend:?}, {keys} keys, about {} MiB of state, in {:.1} s: peak RSS {:.1} MiB, budget {budget} MiB (aim: at \
         most {} MiB)",
        (keys * BYTES) >> 20,
        cost.wall,
        peak_bytes() as f64 / f64::from(1 << 20),
        budget + OVER_MIB
    );
}
