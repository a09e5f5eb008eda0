//! Triggers, evictors and functions of a program's own, and count windows.

use super::*;
use crate::operator::{
    process::ValueState,
    window::{CountEvictor, Evictor, TimeEvictor, WindowTimes},
};

fn count_windows<E: Evictor<Rows>>(slide: u64, evictor: E) -> Bench<Rows, Numbered> {
    let listing = Listing { function: Numbers, evictor };
    Bench::open(&head(listing, CountWindows, CountTrigger::of(slide), 0), 0, 1, 64)
}

/// The numbers of the rows of each window that was emitted.
fn numbers(bench: &mut Bench<Rows, Numbered>) -> Vec<Vec<u64>> {
    bench.rows().into_iter().map(|row| row.3).collect()
}

fn of_one_key(numbers: core::ops::RangeInclusive<u64>) -> Vec<Rows> {
    numbers.map(|number| (1, 0, number)).collect()
}

#[test]
fn a_sliding_count_has_the_last_rows() {
    let mut bench = count_windows(2, CountEvictor::of(3));
    bench.push(&of_one_key(1..=7));
    assert_eq!(numbers(&mut bench), [vec![1, 2], vec![2, 3, 4], vec![4, 5, 6]]);
    // Keys count by themselves.
    bench.push(&[(2, 0, 100), (1, 0, 8), (2, 0, 101)]);
    assert_eq!(numbers(&mut bench), [vec![6, 7, 8], vec![100, 101]]);
}

#[test]
fn an_evictor_after_the_function_lets_it_see_the_rows() {
    let mut bench = count_windows(2, CountEvictor::of(1).after());
    bench.push(&of_one_key(1..=6));
    assert_eq!(numbers(&mut bench), [vec![1, 2], vec![2, 3, 4], vec![4, 5, 6]]);
}

#[test]
fn an_evictor_by_time_keeps_what_is_not_old() {
    let windows = GlobalWindows { time: time_of as fn(Row<'_, Rows>) -> i64 };
    let listing = Listing { function: Numbers, evictor: TimeEvictor::of(10) };
    let head = head(listing, windows, CountTrigger::of(2), 0);
    let mut bench = Bench::<Rows, Numbered>::open(&head, 0, 1, 64);
    bench.push(&[(1, 0, 1), (1, 9, 2), (1, 10, 3), (1, 19, 4), (1, 18, 5), (1, 40, 6)]);
    assert_eq!(numbers(&mut bench), [vec![1, 2], vec![3, 4], vec![6]]);
}

/// Removes odd numbers before, and those above 10 after.
#[derive(Clone)]
struct EvenUpToTen;

impl Evictor<Rows> for EvenUpToTen {
    fn evict_before(&mut self, rows: &mut WindowRows<'_, Rows>, window: Window, _: WindowTimes) {
        assert_eq!(window, GLOBAL_WINDOW);
        rows.retain(|_, row| row.2 % 2 == 0);
    }

    fn evict_after(&mut self, rows: &mut WindowRows<'_, Rows>, _: Window, times: WindowTimes) {
        assert_eq!(times, WindowTimes { watermark: i64::MIN, processing: 0 });
        rows.retain(|_, row| row.2 <= 10);
    }
}

#[test]
fn a_window_that_an_evictor_has_emptied_is_emitted() {
    let mut bench = count_windows(2, EvenUpToTen);
    bench.push(&[9, 12, 4, 7, 1, 3].map(|number| (1, 0, number)));
    assert_eq!(numbers(&mut bench), [vec![12], vec![4], vec![4]]);
    bench.push(&[(2, 0, 1), (2, 0, 3)]);
    assert_eq!(numbers(&mut bench), [[]; 1]);
}

/// Fires when a number is larger than all before it in the window by more than so much, purges at
/// 0, and fires and purges at the end.
#[derive(Clone)]
struct Jump(u64);

impl Trigger<Rows> for Jump {
    type States = ValueState<u64>;

    fn open(&mut self, states: &mut StateRegistry<'_>) -> Result<ValueState<u64>, TaskError> {
        states.value("largest")
    }

    fn on_element(
        &mut self,
        largest: &mut ValueState<u64>,
        (_, _, number): Rows,
        _: i64,
        context: &mut TriggerContext<'_>,
    ) -> Result<TriggerResult, TaskError> {
        if number == 0 {
            return Ok(TriggerResult::Purge);
        }
        let before = largest.get(context)?.unwrap_or(number);
        largest.set(context, before.max(number))?;
        let last = context.window().max_time();
        context.register_timer(last)?;
        Ok(if number > before + self.0 { TriggerResult::Fire } else { TriggerResult::Continue })
    }

    fn on_event_time(
        &mut self,
        largest: &mut ValueState<u64>,
        time: i64,
        context: &mut TriggerContext<'_>,
    ) -> Result<TriggerResult, TaskError> {
        assert!(largest.get(context)?.is_some(), "it is there until the window is forgotten");
        let ends = time == context.window().max_time();
        Ok(if ends { TriggerResult::FireAndPurge } else { TriggerResult::Continue })
    }

    fn clear(
        &mut self,
        largest: &mut ValueState<u64>,
        context: &mut TriggerContext<'_>,
    ) -> Result<(), TaskError> {
        largest.clear(context)?;
        let last = context.window().max_time();
        context.delete_timer(last)
    }
}

#[test]
fn a_trigger_of_the_programs_own_has_state_for_each_window() {
    let listing = Listing { function: Numbers, evictor: NoEvictor };
    let head = head(listing, by_time(Tumbling::of(10).unwrap()), Jump(5), 3);
    let mut bench = Bench::<Rows, Numbered>::open(&head, 0, 1, 64);
    bench.push(&[(1, 1, 1), (1, 2, 4), (1, 11, 20), (1, 3, 10), (1, 4, 0), (1, 5, 12), (1, 6, 30)]);
    assert_eq!(numbers(&mut bench), [vec![1, 4, 10], vec![12, 30]]);
    bench.watermark(9);
    assert_eq!(numbers(&mut bench), [vec![12, 30]]);
    // It was purged, but is there until rows would be too late.
    bench.push(&[(1, 7, 31), (1, 7, 40)]);
    assert_eq!(numbers(&mut bench), [vec![31, 40]]);
    // The timer that is due already fires with the next watermark.
    bench.watermark(12);
    assert_eq!(numbers(&mut bench), [vec![31, 40]]);
    bench.push(&[(1, 7, 100)]);
    assert_eq!(numbers(&mut bench), [[]; 0], "it is too late");
    bench.watermark(100);
    assert_eq!(numbers(&mut bench), [vec![20]]);
    assert_eq!(bench.snapshot(|_| {}), []);
}

#[test]
fn counts_of_sessions_that_become_one_are_added() {
    let windows = SessionWindows { gap: 10, time: time_of as fn(Row<'_, Rows>) -> i64 };
    let listing = Listing { function: Numbers, evictor: NoEvictor };
    let trigger = PurgingTrigger::of(CountTrigger::of(4));
    let mut bench = Bench::<Rows, Numbered>::open(&head(listing, windows, trigger, 0), 0, 1, 64);
    bench.push(&[(1, 0, 1), (1, 15, 2), (1, 16, 3)]);
    assert_eq!(numbers(&mut bench), [[]; 0]);
    bench.push(&[(1, 8, 4)]);
    assert_eq!(numbers(&mut bench), [vec![1, 2, 3, 4]]);
    bench.watermark(i64::MAX);
    assert_eq!((numbers(&mut bench), bench.snapshot(|_| {})), (vec![], vec![]));
}

#[test]
#[should_panic(expected = "the windows merge, and the trigger cannot")]
fn a_trigger_that_cannot_merge_is_refused_for_sessions() {
    let windows = SessionWindows { gap: 10, time: time_of as fn(Row<'_, Rows>) -> i64 };
    let listing = Listing { function: Numbers, evictor: NoEvictor };
    Bench::<Rows, Numbered>::open(&head(listing, windows, Jump(1), 0), 0, 1, 64);
}

/// Emits what was folded, with the time that is left of the watermark to the window's end.
#[derive(Clone)]
struct Left;

impl ProcessWindowFunction for Left {
    type Key = u64;
    type In = Summed;
    type Out = (u64, i64, u64, i64);

    fn process(
        &mut self,
        rows: &WindowRows<'_, Summed>,
        context: &mut WindowContext<'_, Self>,
    ) -> Result<(), TaskError> {
        assert_eq!(rows.len(), 1, "the one result");
        let left = context.window().max_time() - context.times().watermark;
        for (time, (key, start, _, _, sum)) in rows.timed() {
            assert_eq!((time, key), (context.window().max_time(), context.key()));
            context.emit((key, start, sum, left));
        }
        Ok(())
    }
}

#[test]
fn a_function_behind_an_aggregate_sees_its_result() {
    let gathering = FoldingThen { function: Sum, then: Left };
    let head = head(gathering, by_time(Tumbling::of(10).unwrap()), EventTimeTrigger, 20);
    let mut bench = Bench::<Rows, (u64, i64, u64, i64)>::open(&head, 0, 1, 64);
    bench.push(&[(1, 1, 5), (1, 2, 6), (2, 12, 7)]);
    bench.watermark(15);
    assert_eq!(bench.rows(), [(1, 0, 11, -6)]);
    bench.push(&[(1, 3, 1)]);
    assert_eq!(bench.rows(), [(1, 0, 12, -6)]);
    bench.watermark(19);
    assert_eq!(bench.rows(), [(2, 10, 7, 0)]);
}
