//! Windows that gather the values of their rows.

use alloc::{collections::BTreeSet, sync::Arc};

use millstream_data::{
    page::RowKind,
    row::RowLayout,
    types::{DataType, Field, Schema},
    value::Record,
};
use millstream_state::{
    list,
    time::WATERMARK_MAX,
    window::{Sliding, Tumbling, Window},
};

use super::*;
use crate::operator::{
    bench::{Bench, routed},
    rows::{Changes, RowFunction, RowSessions, RowStates, RowTime, RowWindow, RowWindows},
};

/// A key, a time in microseconds, and a value.
type Row = (u64, i64, u64);
/// A key, how many values there were, and the bounds of the window.
type Counted = (u64, u64, i64, i64);

/// Counts the different values of a column, and of the texts that they are.
struct Different {
    layout: Arc<RowLayout>,
    parts: [Arc<RowLayout>; 2],
}

impl Different {
    fn new() -> Self {
        let of = |name, data_type| Field::new(name, data_type);
        let key = Schema::new(vec![of("key", DataType::UInt64)]);
        let counted = Schema::new(vec![
            of("values", DataType::UInt64),
            of("start", DataType::Int64),
            of("end", DataType::Int64),
        ]);
        let parts = [key, counted].map(|schema| Arc::new(RowLayout::new(&schema)));
        Self { layout: Arc::new(RowLayout::new(&Row::schema())), parts }
    }
}

impl RowFold for Different {
    fn layout(&self) -> &Arc<RowLayout> {
        &self.layout
    }

    fn parts(&self) -> [Arc<RowLayout>; 2] {
        self.parts.clone()
    }

    fn width(&self) -> Option<usize> {
        Some(0)
    }

    fn fold(
        &mut self,
        _: &PageRows<'_>,
        _: usize,
        _: Option<&[u8]>,
        _: &mut Vec<u8>,
    ) -> Result<(), TaskError> {
        Ok(())
    }

    fn merge(&mut self, _: &[u8], _: &[u8], _: &mut Vec<u8>) -> Result<(), TaskError> {
        Ok(())
    }

    fn lists(&self) -> Vec<Option<usize>> {
        vec![Some(8), None]
    }

    fn gather(
        &mut self,
        list: usize,
        rows: &PageRows<'_>,
        row: usize,
        element: &mut Vec<u8>,
    ) -> bool {
        let value = u64::from_le_bytes(rows.at(row).fixed(2));
        match (value, list) {
            (0, _) => return false,
            (_, 0) => element.extend(value.to_le_bytes()),
            _ => element.extend(format!("{value}").into_bytes()),
        }
        true
    }

    fn shrink(&mut self, list: usize, elements: &[u8], needed: &mut Vec<u8>) -> usize {
        let width = self.lists()[list];
        let different: BTreeSet<&[u8]> = list::elements(elements, width).collect();
        for element in &different {
            match width {
                Some(_) => needed.extend_from_slice(element),
                None => list::frame(element, needed),
            }
        }
        different.len()
    }

    fn finish(
        &mut self,
        key: &[u8],
        window: Window,
        (_, lists): (&[u8], &[Vec<u8>]),
        out: &mut Changes,
    ) -> Result<(), TaskError> {
        let counts = [0, 1].map(|list| {
            let elements = list::elements(&lists[list], self.lists()[list]);
            elements.collect::<BTreeSet<_>>().len() as u64
        });
        assert_eq!(counts[0], counts[1]);
        // In each of three slices a list has at most twice what is needed of it, or what a small one may have.
        assert!(lists[0].len() as u64 / 8 <= 3 * (2 * counts[0]).max(u64::from(LEAST)));
        let mut counted = Vec::new();
        self.parts[1].write(&mut counted, |row| {
            row.put_fixed(counts[0].to_le_bytes());
            row.put_fixed(window.start.to_le_bytes());
            row.put_fixed(window.end.to_le_bytes());
        });
        let (key, counted) = (out.keep(key), out.keep(&counted));
        out.emit(RowKind::Insert, key, counted);
        Ok(())
    }
}

/// Rows whose times are within each second as they come, some values of which are there often.
fn rows() -> Vec<Row> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state >> 33
    };
    let row = |at: u64| {
        let key = next() % 3;
        let value = if key == 0 { next() % 7 } else { next() % 3000 };
        (key, ((at / 2000 * 1000 + next() % 900) * 1000) as i64, value)
    };
    (0..8000).map(row).collect()
}

/// The different values of the rows that are in a window of a key.
fn different(rows: &[Row], (key, start, end): (u64, i64, i64)) -> Option<Counted> {
    let of = rows.iter().filter(|row| row.0 == key && (start * 1000..end * 1000).contains(&row.1));
    let values: Vec<u64> = of.map(|row| row.2).collect();
    let different: BTreeSet<u64> = values.iter().copied().filter(|value| *value != 0).collect();
    (!values.is_empty()).then_some((key, different.len() as u64, start, end))
}

/// What comes out if the state goes on in two subtasks when half of the rows were there.
fn moved<F: RowFunction>(rows: &[Row], open: impl Fn(&mut RowStates) -> F) -> Vec<Counted> {
    let (first, second) = rows.split_at(rows.len() / 2 + 100);
    let mut before: Bench<Row, Counted> = Bench::of_rows(0, 1, &open);
    before.push(first);
    before.watermark(1500);
    let mut said = before.rows();
    let frozen = before.frozen(|_| {});
    for subtask in 0..2 {
        let mut bench: Bench<Row, Counted> = Bench::of_rows(subtask, 2, &open);
        bench.restore(&frozen);
        bench.push(&routed(second, subtask, 2, |row| row.0));
        bench.watermark(WATERMARK_MAX);
        said.extend(bench.rows());
    }
    said.sort_unstable();
    said
}

fn windows(windows: RowWindow) -> impl Fn(&mut RowStates) -> RowWindows<Different> {
    move |states| {
        RowWindows::open(&Row::schema(), &[0], windows.clone(), Different::new(), states).unwrap()
    }
}

#[test]
fn values_are_gathered_by_window_and_slice() {
    let rows = rows();
    let time = RowTime::Column(1);
    let expected = |size: i64, slide: i64| {
        let starts = (-3..4).map(|start| start * slide);
        let of = |key: u64| starts.clone().map(move |start| (key, start, start + size));
        let all = (0..3).flat_map(of).filter_map(|window| different(&rows, window));
        all.collect::<Vec<_>>()
    };
    let tumbling = RowWindow::Tumbling(time, Tumbling::of(1000).unwrap());
    assert_eq!(moved(&rows, windows(tumbling)), sorted(expected(1000, 1000)));
    let sliding = RowWindow::Sliding(time, Sliding::of(3000, 1000).unwrap());
    assert_eq!(moved(&rows, windows(sliding)), sorted(expected(3000, 1000)));
}

/// Rows are out of order, so that there are several sessions at first, of each key.
#[test]
fn values_of_sessions_that_become_one_are_together() {
    let mut rows = rows();
    // Those in the middle of each second come last.
    let is_middle = |row: &Row| (row.1 / 1000 % 1000 / 100 - 4).abs() < 3;
    rows.sort_by_key(|row| (row.1 / 1_000_000, is_middle(row)));
    let open = |states: &mut RowStates| {
        let time = (RowTime::Column(1), 60);
        RowSessions::open(&Row::schema(), &[0], time, Different::new(), states).unwrap()
    };
    let bounds = |key: u64, second: i64| {
        let of = rows.iter().filter(|row| row.0 == key && row.1 / 1_000_000 == second);
        let times: BTreeSet<i64> = of.map(|row| row.1 / 1000).collect();
        (key, *times.first().unwrap(), *times.last().unwrap() + 60)
    };
    let sessions = (0..3).flat_map(|key| (0..4).map(move |second| (key, second)));
    let expected = sessions.filter_map(|(key, second)| different(&rows, bounds(key, second)));
    assert_eq!(moved(&rows, open), sorted(expected.collect()));
}

fn sorted(mut windows: Vec<Counted>) -> Vec<Counted> {
    windows.sort_unstable();
    windows
}
