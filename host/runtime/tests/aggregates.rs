//! Aggregates by key whose values do not fit the managed memory, through the runtime within one process.

use std::collections::BTreeMap;

use millstream::{Runtime, StateBackend, dataflow::Environment, result::Collected};

const KEYS: u64 = 24_000;

/// The sum of two rows of each key, with so many bytes of managed memory; or what the job says.
fn sums(backend: StateBackend, memory: usize) -> Result<BTreeMap<u64, u64>, String> {
    let env = Environment::new("sums");
    let rows = env.generate(|subtask, parallelism| {
        (0..2 * KEYS).map(|n| (n % KEYS, n)).skip(subtask as usize).step_by(parallelism as usize)
    });
    rows.key_by::<u64, _>(|row| row.0).reduce_at_end(|sum, row| sum.1 += row.1).result();
    let rows = Collected::new();
    let runtime = Runtime::builder().parallelism(2).segment_size(4096).network_memory(64 * 4096);
    let runtime = runtime.managed_memory(memory).state(backend).build().unwrap();
    let run = runtime.run(env.build(), rows.sink());
    run.map_err(|error| error.to_string())?;
    let rows: Vec<(u64, u64)> = rows.take();
    assert_eq!(rows.len() as u64, KEYS, "each key once");
    Ok(rows.into_iter().collect())
}

#[test]
fn what_does_not_fit_is_refused_in_memory_and_goes_to_files() {
    let expected: BTreeMap<u64, u64> = (0..KEYS).map(|key| (key, 2 * key + KEYS)).collect();
    assert_eq!(sums(StateBackend::Memory, 16 << 20).as_ref(), Ok(&expected));
    let refused = sums(StateBackend::Memory, 768 << 10).expect_err("it does not fit");
    assert!(refused.contains("the state `values` cannot grow"), "{refused}");
    assert!(refused.contains("use the backend `lsm`"), "{refused}");
    assert_eq!(sums(StateBackend::Lsm, 2 << 20).as_ref(), Ok(&expected));
}
