//! Rows of all sizes, through the runtime within one process.

use millstream::{Runtime, dataflow::Environment, result::Collected};
use millstream_data::Record;

/// A row that no small segment holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Record)]
struct Wide {
    id: u64,
    c00: String,
    c01: String,
    c02: String,
    c03: String,
    c04: String,
    c05: String,
    c06: String,
    c07: String,
    c08: String,
    c09: String,
    c10: String,
    c11: String,
    c12: String,
    c13: String,
    c14: String,
    c15: String,
    c16: String,
    c17: String,
    c18: String,
}

const COLUMN_BYTES: usize = 10 << 10;

fn wide(id: u64) -> Wide {
    // Every seventh row is small, so that pages and rows of their own alternate.
    let length = if id.is_multiple_of(7) { 3 } else { COLUMN_BYTES };
    let c =
        |column: u8| char::from(b'a' + ((id % 26) as u8 + column) % 26).to_string().repeat(length);
    Wide {
        id,
        c00: c(0),
        c01: c(1),
        c02: c(2),
        c03: c(3),
        c04: c(4),
        c05: c(5),
        c06: c(6),
        c07: c(7),
        c08: c(8),
        c09: c(9),
        c10: c(10),
        c11: c(11),
        c12: c(12),
        c13: c(13),
        c14: c(14),
        c15: c(15),
        c16: c(16),
        c17: c(17),
        c18: c(18),
    }
}

#[test]
fn rows_far_beyond_a_segment_pass_an_exchange() {
    let env = Environment::new("wide");
    env.generate(|subtask, parallelism| {
        (0..300u64).map(wide).skip(subtask as usize).step_by(parallelism as usize)
    })
    .key_by::<u64, _>(|row| row.id)
    .reduce(|_, _| ())
    .result();
    let rows = Collected::new();
    // The fewest segments that this job can have.
    let runtime = Runtime::builder().parallelism(2).segment_size(4096).network_memory(10 * 4096);
    runtime.build().unwrap().run(env.build(), rows.sink()).unwrap();
    let mut rows: Vec<Wide> = rows.take();
    rows.sort();
    assert_eq!(rows.len(), 300);
    assert!(rows.iter().enumerate().all(|(i, row)| *row == wide(i as u64)));
}

#[test]
fn a_row_beyond_the_limit_is_an_error_that_says_so() {
    let env = Environment::new("huge");
    env.generate(|_, _| std::iter::once("x".repeat(40 << 20))).result();
    let rows = Collected::<String>::new();
    let runtime = Runtime::builder().parallelism(1).build().unwrap();
    let error = runtime.run(env.build(), rows.sink()).unwrap_err().to_string();
    assert!(error.contains("41943"), "{error}");
    assert!(rows.take().is_empty());
}

#[test]
fn an_iterator_that_never_ends_for_one_row_needs_no_memory() {
    let env = Environment::new("many");
    env.generate(|_, _| std::iter::once(5_000_000u64))
        .flat_map(|count| 0..count)
        .filter(|number| number % 1_000_000 == 0)
        .result();
    let rows = Collected::<u64>::new();
    let runtime = Runtime::builder().parallelism(1).network_memory(16 * 32768).build().unwrap();
    runtime.run(env.build(), rows.sink()).unwrap();
    assert_eq!(rows.take(), [0, 1_000_000, 2_000_000, 3_000_000, 4_000_000]);
}

#[test]
fn a_panic_of_an_operator_fails_its_job_and_nothing_else() {
    let runtime = Runtime::builder().parallelism(2).build().unwrap();
    let env = Environment::new("panic");
    env.generate(|_, _| 0..10u64).map(|n| if n == 7 { panic!("seven") } else { n }).result();
    let rows = Collected::<u64>::new();
    let error = runtime.run(env.build(), rows.sink()).unwrap_err().to_string();
    assert!(error.contains("panicked: seven") && error.contains("map"), "{error}");
    let env = Environment::new("after");
    env.generate(|_, _| 0..10u64).result();
    runtime.run(env.build(), rows.sink()).unwrap();
    rows.take();
}
