//! Triggers that fire while time goes on.

use super::*;
use crate::operator::window::{
    ContinuousEventTimeTrigger, ContinuousProcessingTimeTrigger, ProcessingTimeTrigger,
};

fn sums<W: Windows<Rows>, R: Trigger<Rows>>(windows: W, trigger: R) -> Bench<Rows, Summed> {
    Bench::open(&head(Folding { function: Sum }, windows, trigger, 0), 0, 1, 64)
}

#[test]
fn a_continuous_trigger_fires_at_each_interval_and_at_the_end() {
    let windows = by_time(Tumbling::of(100).unwrap());
    let mut bench = sums(windows, ContinuousEventTimeTrigger::of(30));
    bench.push(&[(1, 35, 1)]);
    bench.watermark(59);
    assert_eq!(bench.rows(), []);
    bench.watermark(60);
    assert_eq!(bench.rows(), [(1, 0, 100, 1, 1)]);
    bench.push(&[(1, 70, 2), (1, 61, 4)]);
    bench.watermark(98);
    assert_eq!(bench.rows(), [(1, 0, 100, 3, 7)]);
    bench.watermark(99);
    assert_eq!(bench.rows(), [(1, 0, 100, 3, 7)]);
    bench.watermark(1000);
    assert_eq!((bench.rows(), bench.snapshot(|_| {})), (vec![], vec![]));
    // A watermark that jumps makes the timers due one after the other: 1020, 1050, 1080, 1099.
    bench.push(&[(2, 1001, 1)]);
    bench.watermark(i64::MAX);
    assert_eq!(bench.rows(), [(2, 1000, 1100, 1, 1); 4]);
    assert_eq!(bench.snapshot(|_| {}), []);
}

#[test]
fn a_continuous_trigger_of_a_global_window_ends_with_the_input() {
    let windows = GlobalWindows { time: time_of as fn(Row<'_, Rows>) -> i64 };
    let mut bench = sums(windows, ContinuousEventTimeTrigger::of(10));
    bench.push(&[(1, 5, 1), (1, 7, 1)]);
    bench.watermark(20);
    assert_eq!(bench.rows(), [(1, i64::MIN, i64::MAX, 2, 2); 2]);
    bench.watermark(i64::MAX);
    assert_eq!(bench.rows(), [(1, i64::MIN, i64::MAX, 2, 2); 2], "at 30, and at the end");
}

#[test]
fn windows_of_processing_time_end_by_the_clock() {
    let windows = ProcessingTimeWindows { assigner: Tumbling::of(100).unwrap() };
    let mut bench = sums(windows.clone(), ProcessingTimeTrigger);
    bench.pass(1_050);
    // The times of rows do not matter, and there are no late ones.
    bench.watermark(5_000);
    bench.push(&[(1, 7, 1), (2, -5, 2)]);
    bench.pass(1_098);
    bench.push(&[(1, 7, 3)]);
    assert_eq!(bench.rows(), []);
    bench.pass(1_100);
    let mut found = bench.rows();
    found.sort_unstable();
    assert_eq!(found, [(1, 1000, 1100, 2, 4), (2, 1000, 1100, 1, 2)]);
    assert_eq!(bench.snapshot(|_| {}), []);
    bench.push(&[(1, 7, 5)]);
    bench.watermark(i64::MAX);
    assert_eq!(bench.rows(), [], "not at the end of the input");
    // It moves on with its timer.
    let chunks = bench.snapshot(|_| {});
    let mut other = sums(windows, ProcessingTimeTrigger);
    other.restore(&chunks);
    other.pass(9_000);
    assert_eq!(other.rows(), [(1, 1100, 1200, 1, 5)]);
}

#[test]
fn a_continuous_trigger_of_the_clock_fires_while_the_window_is_there() {
    let windows = by_time(Tumbling::of(100).unwrap());
    let mut bench = sums(windows, ContinuousProcessingTimeTrigger::of(10));
    bench.pass(1_003);
    bench.push(&[(1, 1, 1)]);
    bench.pass(1_009);
    assert_eq!(bench.rows(), []);
    bench.pass(1_010);
    bench.push(&[(1, 1, 2)]);
    assert_eq!(bench.rows(), [(1, 0, 100, 1, 1)]);
    bench.pass(1_020);
    assert_eq!(bench.rows(), [(1, 0, 100, 2, 3)]);
    // The window ends by the watermark, of which this trigger says nothing; as in Flink.
    bench.watermark(99);
    bench.pass(2_000);
    assert_eq!((bench.rows(), bench.snapshot(|_| {})), (vec![], vec![]));
}

#[test]
fn intervals_that_nobody_saw_are_one() {
    let windows = by_time(Tumbling::of(100).unwrap());
    let head = || sums(windows.clone(), ContinuousProcessingTimeTrigger::of(10));
    let mut bench = head();
    bench.push(&[(1, 1, 1)]);
    let chunks = bench.snapshot(|_| {});
    let mut other = head();
    other.restore(&chunks);
    // It is told the time first long after.
    other.stand_still_until(5_005);
    other.pass(5_009);
    assert_eq!(other.rows(), [(1, 0, 100, 1, 1)]);
    other.pass(5_010);
    assert_eq!(other.rows(), [(1, 0, 100, 1, 1)]);
}

#[test]
fn sessions_of_the_clock_end_when_no_row_came() {
    let mut bench = sums(ProcessingTimeSessionWindows { gap: 10 }, ProcessingTimeTrigger);
    for (time, key) in [(100, 1), (105, 2), (108, 1), (116, 1)] {
        bench.pass(time);
        bench.push(&[(key, 0, 1)]);
    }
    assert_eq!(bench.rows(), [(2, 105, 115, 1, 1)]);
    let chunks = bench.snapshot(|_| {});
    bench.pass(125);
    assert_eq!(bench.rows(), [(1, 100, 126, 3, 3)]);
    assert_eq!(bench.snapshot(|_| {}), []);
    // From the snapshot it goes on as long as rows come.
    let mut other = sums(ProcessingTimeSessionWindows { gap: 10 }, ProcessingTimeTrigger);
    other.restore(&chunks);
    other.stand_still_until(121);
    other.push(&[(1, 0, 7)]);
    other.pass(500);
    assert_eq!(other.rows(), [(1, 100, 131, 4, 10)]);
    assert_eq!(other.snapshot(|_| {}), []);
}

/// Sessions with a trigger that has timers: those of windows that are gone do not fire.
#[test]
fn a_continuous_trigger_goes_on_in_the_session_that_windows_become() {
    let windows = SessionWindows { gap: 20, time: time_of as fn(Row<'_, Rows>) -> i64 };
    let mut bench = sums(windows, ContinuousEventTimeTrigger::of(10));
    bench.push(&[(1, 0, 1), (1, 40, 2), (1, 20, 4)]);
    // [0, 60) now; the earliest of what its parts waited for is 10.
    bench.watermark(10);
    assert_eq!(bench.rows(), [(1, 0, 60, 3, 7)]);
    bench.watermark(31);
    assert_eq!(bench.rows(), [(1, 0, 60, 3, 7); 2], "at 20 and at 30");
    bench.watermark(i64::MAX);
    assert_eq!(bench.rows(), [(1, 0, 60, 3, 7); 3], "at 40, at 50 and at the end");
    assert_eq!(bench.snapshot(|_| {}), []);
}
