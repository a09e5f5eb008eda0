//! Timers of processing time.

use super::*;

/// Registers a timer so much later than now as each row says, 0 deletes all of its key up to 100,
/// and emits each with the time at which it fired. A timer of a multiple of ten registers one that
/// is due.
#[derive(Clone)]
struct Later;

impl KeyedProcessFunction for Later {
    type Key = u64;
    type In = Rows;
    type Out = (u64, i64, i64);
    type States = ();

    fn open(&mut self, _: &mut StateRegistry<'_>) -> Result<(), TaskError> {
        Ok(())
    }

    fn process(
        &mut self,
        (): &mut (),
        (_, delay): Rows,
        context: &mut ProcessContext<'_, Self>,
    ) -> Result<(), TaskError> {
        if delay == 0 {
            return (0..100).try_for_each(|time| context.delete_processing_timer(time));
        }
        let now = context.processing_time();
        context.register_processing_timer(now + delay)
    }

    fn on_processing_timer(
        &mut self,
        (): &mut (),
        time: i64,
        context: &mut ProcessContext<'_, Self>,
    ) -> Result<(), TaskError> {
        context.emit((context.key(), time, context.processing_time()));
        match time % 10 == 0 {
            true => context.register_processing_timer(time - 1),
            false => Ok(()),
        }
    }
}

fn later(subtask: u32, parallelism: u32) -> Bench<Rows, (u64, i64, i64)> {
    Bench::open(&head(Later, |row| row.0), subtask, parallelism, 64)
}

#[test]
fn timers_fire_when_the_clock_has_reached_them() {
    let mut bench = later(0, 1);
    bench.pass(1000);
    bench.push(&[(1, 5), (2, 7), (1, 7), (1, 5), (1, 30)]);
    bench.watermark(i64::MAX);
    assert_eq!(bench.rows(), [], "a watermark is not the clock");
    bench.pass(1004);
    assert_eq!(bench.rows(), []);
    bench.pass(1005);
    assert_eq!(bench.rows(), [(1, 1005, 1005)]);
    // One that is registered later and is due earlier.
    bench.push(&[(3, 1)]);
    bench.pass(1029);
    let mut at_once = bench.rows();
    at_once[1..].sort_unstable();
    assert_eq!(at_once, [(3, 1006, 1006), (1, 1007, 1007), (2, 1007, 1007)]);
    bench.pass(2000);
    assert_eq!(bench.rows(), [(1, 1030, 1030), (1, 1029, 1030)].map(clocked(1030)));
}

/// Those of a time that is due in the same call fire with the time of the call.
fn clocked(now: i64) -> impl Fn((u64, i64, i64)) -> (u64, i64, i64) {
    move |(key, time, _)| (key, time, now)
}

#[test]
fn a_timer_that_was_deleted_does_not_fire() {
    let mut bench = later(0, 1);
    bench.push(&[(1, 5), (2, 5), (1, 0)]);
    bench.pass(200);
    assert_eq!(bench.rows(), [(2, 5, 5)]);
}

#[test]
fn being_held_back_loses_no_timer() {
    let mut bench = later(0, 1);
    let rows: Vec<Rows> = (0..1000).map(|number| (number % 50, 3 + number as i64 * 7)).collect();
    bench.push(&rows);
    bench.pass(10_000);
    let found: Vec<(u64, i64)> = bench.rows().iter().map(|row| (row.0, row.1)).collect();
    assert!(bench.stops > 3, "it was held back {} times", bench.stops);
    let mut expected: Vec<(u64, i64)> = rows.clone();
    let tens = rows.iter().filter(|row| row.1 % 10 == 0).map(|row| (row.0, row.1 - 1));
    expected.extend(tens);
    let (mut found, count) = (found, expected.len());
    found.sort_unstable();
    expected.sort_unstable();
    expected.dedup();
    assert_eq!((found, expected.len()), (expected, count));
}

/// What came due while nothing ran fires as soon as the chain is told the time.
#[test]
fn they_move_with_their_keys_and_fire_after_a_restore() {
    let rows: Vec<Rows> = (0..40).map(|number| (number, 11 + number as i64 % 3)).collect();
    let mut chunks = Vec::new();
    for subtask in 0..2 {
        let mut bench = later(subtask, 2);
        bench.push(&routed(&rows, subtask, 2, |row| row.0));
        chunks.push(bench.snapshot(|_| {}));
    }
    let mut found = Vec::new();
    for subtask in 0..3 {
        let mut bench = later(subtask, 3);
        chunks.iter().for_each(|chunks| bench.restore(chunks));
        bench.pass(12);
        found.extend(bench.rows());
    }
    found.sort_unstable();
    let due = rows.iter().filter(|row| row.1 <= 12);
    assert_eq!(found, due.map(|(key, time)| (*key, *time, *time)).collect::<Vec<_>>());
}
