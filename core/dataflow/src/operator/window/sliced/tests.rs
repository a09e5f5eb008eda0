//! Sliced windows against a reference that folds each row into each of its windows.

extern crate std;

use alloc::{collections::BTreeMap, vec, vec::Vec};

use proptest::prelude::*;

use millstream_state::window::{Cumulating, Lateness, Sliding, Window};

use crate::operator::window::{
    WindowAssigner,
    tests::{Bench, Measured, Sum, Summed, Text, bench_of},
};

/// Rows and watermarks.
#[derive(Clone, Debug)]
enum Step {
    Rows(Vec<Measured>),
    Watermark(i64),
    /// Another bench goes on with a snapshot of this one.
    Restore,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let row = |time: i64| {
        (0u64..6, -40i64..40, 1u64..100).prop_map(move |(key, at, n)| (key, time + at, n))
    };
    let step = (0i64..400).prop_flat_map(move |time| {
        prop_oneof![
            4 => prop::collection::vec(row(time), 1..30).prop_map(Step::Rows),
            3 => Just(Step::Watermark(time)),
            1 => Just(Step::Restore),
        ]
    });
    prop::collection::vec(step, 1..40).prop_map(|mut steps| {
        // Watermarks go up, so that most rows count.
        let mut times: Vec<i64> = steps
            .iter()
            .filter_map(|step| if let Step::Watermark(time) = step { Some(*time) } else { None })
            .collect();
        times.sort_unstable_by(|a, b| b.cmp(a));
        for step in &mut steps {
            if let Step::Watermark(time) = step {
                *time = times.pop().unwrap_or(0);
            }
        }
        steps
    })
}

/// The sums of windows, kept one by one.
#[derive(Default)]
struct Reference {
    sums: BTreeMap<(i64, i64, u64), u64>,
    watermark: Option<i64>,
    out: Vec<Summed>,
}

impl Reference {
    fn row(
        &mut self,
        assigner: &impl WindowAssigner,
        lateness: Lateness,
        (key, time, n): Measured,
    ) {
        let watermark = self.watermark.unwrap_or(i64::MIN);
        assigner.windows(assigner.slice(time), &mut |window| {
            if lateness.is_late(&window, watermark) {
                return;
            }
            let sum = self.sums.entry((window.end, window.start, key)).or_default();
            *sum += n;
            if window.max_time() <= watermark {
                self.out.push((key, window.start, *sum));
            }
        });
    }

    fn watermark(&mut self, lateness: Lateness, time: i64) {
        let before = self.watermark.unwrap_or(i64::MIN);
        self.watermark = Some(before.max(time));
        for ((end, start, key), sum) in &self.sums {
            if before < end - 1 && end - 1 <= time {
                self.out.push((*key, *start, *sum));
            }
        }
        self.sums.retain(|(end, start, _), _| {
            !lateness.is_late(&Window { start: *start, end: *end }, before.max(time))
        });
    }

    fn take(&mut self) -> Vec<Summed> {
        let mut out = core::mem::take(&mut self.out);
        out.sort_unstable();
        out
    }
}

fn is_as_the_reference(
    assigner: &impl WindowAssigner,
    lateness: i64,
    steps: &[Step],
    make: impl Fn() -> Bench,
) -> Result<(), TestCaseError> {
    let (mut bench, mut reference) = (make(), Reference::default());
    let allowed = Lateness::of(lateness);
    let all = steps.iter().cloned().chain([Step::Watermark(i64::MAX)]);
    for (number, step) in all.enumerate() {
        match step {
            Step::Rows(rows) => {
                bench.push(&rows);
                rows.iter().for_each(|row| reference.row(assigner, allowed, *row));
                prop_assert_eq!(bench.take(), reference.take(), "rows of step {}", number);
            }
            Step::Watermark(time) => {
                let found = bench.watermark(time);
                reference.watermark(allowed, time);
                prop_assert_eq!(found, reference.take(), "watermark {} of step {}", time, number);
            }
            Step::Restore => {
                let snapshot = bench.snapshot();
                bench = make();
                bench.restore(&snapshot);
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn sliding_windows_are_as_if_each_was_kept(
        size in 1i64..90, slide in 1i64..30, offset in -9i64..9, lateness in prop::sample::select(vec![0, 0, 15, 70]),
        steps in steps(),
    ) {
        let windows = Sliding::of(size, slide).unwrap().offset(offset);
        is_as_the_reference(&windows, lateness, &steps, || bench_of((0, 1), windows, lateness, Sum))?;
    }

    #[test]
    fn cumulating_windows_are_as_if_each_was_kept(
        step in 1i64..30, count in 1i64..70, offset in -9i64..9, lateness in prop::sample::select(vec![0, 0, 15, 70]),
        steps in steps(),
    ) {
        let windows = Cumulating::of(step * count, step).unwrap().offset(offset);
        is_as_the_reference(&windows, lateness, &steps, || bench_of((0, 1), windows, lateness, Sum))?;
    }

    #[test]
    fn accumulators_of_any_size_are_kept_alone(
        size in 1i64..90, slide in 1i64..30, lateness in prop::sample::select(vec![0, 15, 70]), steps in steps(),
    ) {
        let windows = Sliding::of(size, slide).unwrap();
        is_as_the_reference(&windows, lateness, &steps, || bench_of((0, 1), windows, lateness, Text))?;
    }
}

#[test]
fn nothing_is_left_when_all_windows_have_ended() {
    let windows = Sliding::of(60, 1).unwrap();
    let mut bench = bench_of((0, 1), windows, 0, Sum);
    let empty = bench.snapshot().len();
    let rows: Vec<Measured> = (0..500).map(|n| (n % 7, n as i64 % 150, 1)).collect();
    bench.push(&rows);
    assert!(bench.watermark(100).len() > 100);
    assert!(bench.snapshot().len() > empty + 7 * 500);
    bench.watermark(1000);
    assert_eq!(bench.snapshot().len(), empty);
}

#[test]
fn key_groups_that_were_further_do_not_emit_again() {
    let windows = Sliding::of(40, 10).unwrap();
    let rows: Vec<Measured> = (0..64).map(|key| (key, 5, key)).collect();
    // Two subtasks, one of which was told of a later time when the barrier overtook.
    let mut expected = Vec::new();
    let mut snapshot = Vec::new();
    for (subtask, watermark) in [(0, 9), (1, 29)] {
        let mut part = bench_of((subtask, 2), windows, 0, Sum);
        let own: Vec<Measured> = rows.iter().copied().filter(|row| part.owns(row.0)).collect();
        part.push(&own);
        expected.extend(part.watermark(watermark));
        snapshot.extend(part.snapshot());
    }
    let mut whole = bench_of((0, 1), windows, 0, Sum);
    whole.restore(&snapshot);
    expected.extend(whole.watermark(i64::MAX));
    expected.sort_unstable();
    let mut all = Vec::new();
    for (key, time, number) in rows {
        windows.assign(time).for_each(|window| all.push((key, window.start, number)));
    }
    all.sort_unstable();
    assert_eq!(expected, all);
}
