//! Windows that overlap on a bench, beside windows that each row is counted in one by one.

use alloc::{collections::BTreeMap, vec, vec::Vec};

use millstream_data::value::Record;
use millstream_state::{
    time::WATERMARK_MIN,
    window::{Cumulating, Sliding},
};
use proptest::prelude::*;

use super::super::{
    RowTime, RowWindow, RowWindows,
    sessions::tests::{Count, Counted, Row},
};
use crate::operator::bench::{Bench, routed};

fn bench(windows: &RowWindow, subtask: u32, parallelism: u32) -> Bench<Row, Counted> {
    let windows = windows.clone();
    Bench::of_rows(subtask, parallelism, |states| {
        RowWindows::open(&Row::schema(), &[0], windows, Count::new(), states).unwrap()
    })
}

/// Windows by key, end and begin, and how many rows are in each.
struct Reference {
    windows: RowWindow,
    counts: BTreeMap<(u64, i64, i64), u64>,
    watermark: i64,
}

impl Reference {
    fn row(&mut self, (key, time): Row) {
        let Self { windows, counts, watermark } = self;
        windows.each_of(time / 1000, |window| {
            if window.max_time() > *watermark {
                *counts.entry((key, window.end, window.start)).or_default() += 1;
            }
        });
    }

    fn pass(&mut self, watermark: i64, out: &mut Vec<Counted>) {
        self.watermark = watermark;
        self.counts.retain(|(key, end, start), rows| {
            let ended = *end - 1 <= watermark;
            if ended {
                out.push((*key, *rows, *start, *end));
            }
            !ended
        });
    }
}

fn windows() -> impl Strategy<Value = RowWindow> {
    let time = RowTime::Column(1);
    prop_oneof![
        (1i64..12, 1i64..5, 1i64..4).prop_map(move |(slices, slide, more)| {
            // The size may be no multiple of the slide.
            let windows = Sliding::of(slices * slide + more, slide + more).unwrap();
            RowWindow::Sliding(time, windows)
        }),
        (1i64..6, 1i64..7).prop_map(move |(steps, step)| {
            RowWindow::Cumulating(time, Cumulating::of(steps * step, step).unwrap())
        }),
    ]
}

proptest! {
    /// Out of order and late, and on other subtasks in the middle.
    #[test]
    fn windows_are_those_that_rows_are_counted_in_one_by_one(
        windows in windows(),
        rows in proptest::collection::vec((0u64..9, 0i64..40), 1..150),
        bound in 0i64..25,
        moves in 0usize..20,
        parallelism in (1u32..4, 1u32..4),
    ) {
        let row = |(number, (key, back)): (usize, (u64, i64))| {
            (key, (number as i64 * 2 - back) * 1000)
        };
        let rows: Vec<Row> = rows.into_iter().enumerate().map(row).collect();
        let (mut found, mut expected) = (Vec::new(), Vec::new());
        let counts = BTreeMap::new();
        let mut reference =
            Reference { windows: windows.clone(), counts, watermark: WATERMARK_MIN };
        let (mut subtasks, mut largest) = (parallelism.0, i64::MIN);
        let open = |subtasks| -> Vec<_> {
            (0..subtasks).map(|subtask| bench(&windows, subtask, subtasks)).collect()
        };
        let mut benches = open(subtasks);
        for (number, rows) in rows.chunks(7).enumerate() {
            if number == moves {
                let frozen: Vec<_> = benches.iter_mut().map(|bench| bench.frozen(|_| {})).collect();
                subtasks = parallelism.1;
                benches = open(subtasks);
                for bench in &mut benches {
                    frozen.iter().for_each(|frozen| bench.restore(frozen));
                }
            }
            rows.iter().for_each(|row| reference.row(*row));
            largest = rows.iter().map(|row| row.1 / 1000).fold(largest, i64::max);
            reference.pass(largest - bound, &mut expected);
            for (subtask, bench) in benches.iter_mut().enumerate() {
                bench.push(&routed(rows, subtask as u32, subtasks, |row| row.0));
                bench.watermark(largest - bound);
                found.extend(bench.rows());
            }
            found.sort_unstable();
            expected.sort_unstable();
            prop_assert_eq!(&found, &expected, "at the watermark {}", largest - bound);
        }
        reference.pass(i64::MAX - 1, &mut expected);
        for bench in &mut benches {
            bench.watermark(i64::MAX);
            found.extend(bench.rows());
            let left = bench.snapshot(|_| {});
            prop_assert_eq!(left, Vec::<u8>::new(), "nothing is left of windows that have ended");
        }
        found.sort_unstable();
        expected.sort_unstable();
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn windows_of_processing_time_are_emitted_once_also_where_they_are_put_back() {
    let windows = RowWindow::Sliding(RowTime::Processing, Sliding::of(30, 10).unwrap());
    let mut one = bench(&windows, 0, 1);
    one.pass(100);
    one.push(&[(1, 0), (1, 0), (2, 0)]);
    one.pass(110);
    let mut rows = one.rows();
    rows.sort_unstable();
    assert_eq!(rows, [(1, 2, 80, 110), (2, 1, 80, 110)]);
    let frozen = one.frozen(|_| {});
    let mut restored = bench(&windows, 0, 1);
    restored.restore(&frozen);
    for mut bench in [one, restored] {
        bench.stand_still_until(112);
        bench.push(&[(1, 0)]);
        bench.pass(120);
        bench.pass(150);
        let mut rows = bench.rows();
        rows.sort_unstable();
        let both = vec![
            (1, 1, 110, 140),
            (1, 3, 90, 120),
            (1, 3, 100, 130),
            (2, 1, 90, 120),
            (2, 1, 100, 130),
        ];
        assert_eq!(rows, both);
    }
}

#[test]
fn a_chain_that_is_held_back_goes_on_with_the_windows_that_are_left() {
    let windows = RowWindow::Sliding(RowTime::Column(1), Sliding::of(40, 10).unwrap());
    let rows: Vec<Row> =
        (0..6000).map(|number| (number % 600, number as i64 / 100 * 10_000)).collect();
    let mut bench = bench(&windows, 0, 1);
    bench.push(&rows);
    bench.watermark(i64::MAX);
    assert!(bench.stops > 3, "{} stops", bench.stops);
    // Each row is in four windows.
    let counted = bench.rows().iter().map(|row| row.1).sum::<u64>();
    assert_eq!(counted, 4 * 6000);
}
