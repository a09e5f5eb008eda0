//! Sessions of rows whose columns are known only at run time.

use alloc::{format, sync::Arc, vec::Vec};
use core::slice;

use millstream_data::{
    page::ValidPage,
    row::{PageRows, RowLayout},
    types::Schema,
};
use millstream_state::{
    Key,
    description::Part,
    window::{Lateness, Window},
};

use super::{Changes, RowFold, RowFunction, RowKeys, RowStates, RowTime, gathered::Gathered};
use crate::{
    chain::TaskError,
    operator::{
        timers::Timer,
        window::sessions::kept::{Added, Ended, Kept, SessionRows},
    },
    state::{damaged, namespace},
};

/// Rows that are taken at once.
const BATCH: usize = 256;

/// Folds rows into the sessions of their keys, and emits each when the watermark has reached its last time,
/// or the clock its end.
/// A row is dropped where the session that it would be part of has ended.
pub struct RowSessions<F> {
    fold: F,
    time: RowTime,
    /// Milliseconds between a row and the end of a session that it is the last one of.
    gap: i64,
    keys: RowKeys,
    /// The sessions that the rows at hand would be by themselves.
    own: Vec<Window>,
    kept: Kept,
    /// Of a session it is under the time at which that began at first.
    gathered: Option<Gathered>,
    /// The key of the session at hand.
    batch: RowKeys,
    timer: Timer,
}

impl<F: RowFold> RowSessions<F> {
    /// The sessions of rows of `input`, by these columns.
    ///
    /// # Errors
    /// If the gap is below a millisecond, or there is no memory for the state.
    pub fn open(
        input: &Schema,
        keys: &[usize],
        (time, gap): (RowTime, i64),
        fold: F,
        states: &mut RowStates,
    ) -> Result<Self, TaskError> {
        if gap < 1 {
            return Err(TaskError::new(format!(
                "the gap of a session window is {gap} ms: give it at least 1"
            )));
        }
        let keys = states.keys(input, keys, true);
        let folded = Part::Opaque(fold.width().map(|width| width as u32));
        let kept = Kept::open(&mut states.state, keys.width(), folded, Lateness::default())?;
        let gathered = Gathered::open(&fold, &keys, &mut states.state)?;
        let (batch, own, timer) = (keys.clone(), Vec::new(), Timer::default());
        Ok(Self { fold, time, gap, keys, own, kept, gathered, batch, timer })
    }
}

impl<F: RowFold> RowFunction for RowSessions<F> {
    fn parts(&self) -> [Arc<RowLayout>; 2] {
        self.fold.parts()
    }

    fn take(
        &mut self,
        _input: u16,
        page: &ValidPage<'_>,
        start: usize,
        states: &mut RowStates,
        _out: &mut Changes,
    ) -> Result<usize, TaskError> {
        let Self { fold, time: of, gap, keys, own, kept, gathered, batch, .. } = self;
        let RowStates { state, clock, .. } = states;
        let end = keys.take(page, start, BATCH)?;
        let layout = Arc::clone(fold.layout());
        let rows = PageRows::new(&layout, page).map_err(|error| damaged("page", &error))?;
        own.clear();
        for row in keys.rows() {
            let start = of.of_row(&rows, *row as usize, (state.time, clock))?;
            own.push(Window { start, end: start.saturating_add(*gap) });
        }
        let passed = of.passed(state);
        let Some(gathered) = gathered else {
            let mut all = Batch { fold, rows: &rows, numbers: keys.rows(), own };
            kept.add(state, &keys.keys(), passed, &mut all)?;
            return Ok(end);
        };
        for (index, (row, own)) in keys.rows().iter().zip(own.iter()).enumerate() {
            let (numbers, own) = (slice::from_ref(row), slice::from_ref(own));
            let key = keys.keys().at(index);
            let mut one = Batch { fold: &mut *fold, rows: &rows, numbers, own };
            let added = kept.add(state, &key.batch(), passed, &mut one)?;
            let Some(Added { at, others, .. }) = added else { continue };
            let under = namespace(at);
            let others = others.into_iter().map(namespace);
            gathered.join(state, fold, &Key { namespace: &under, ..key }, others)?;
            batch.clear();
            batch.push(keys.at(index), *row);
            gathered.add(state, fold, &rows, (batch, &under))?;
        }
        Ok(end)
    }

    fn advance(&mut self, states: &mut RowStates, out: &mut Changes) -> Result<bool, TaskError> {
        let Self { fold, time, kept, gathered, batch, timer, .. } = self;
        let state = &mut states.state;
        loop {
            let passed = time.passed(state);
            if !kept.next_due(state, passed, timer)? {
                return Ok(true);
            }
            batch.clear();
            batch.push(timer.key(), 0);
            // It comes from the state, which may have been damaged; what follows trusts it.
            batch.check()?;
            let key = batch.keys().at(0);
            if let Some(Ended { window, at, .. }) = kept.ended(state, &key, timer)? {
                let under = namespace(at);
                let of = Key { namespace: &under, ..key };
                let lists = match gathered {
                    Some(gathered) => gathered.take(state, &of)?,
                    None => &[],
                };
                fold.finish(batch.row(0), window, (kept.folded(window), lists), out)?;
                if let Some(gathered) = gathered {
                    gathered.remove(state, &of.batch())?;
                }
                kept.remove(state, &key, window)?;
            }
            if out.is_large() {
                return Ok(false);
            }
        }
    }

    fn due(&self) -> Option<i64> {
        let first = (self.time == RowTime::Processing).then(|| self.kept.first_end())?;
        first.map(|time| time.saturating_add(1))
    }

    fn restored(&mut self, states: &mut RowStates) -> Result<(), TaskError> {
        self.kept.restored(&mut states.state)
    }
}

/// Rows of a page that enter sessions.
struct Batch<'a, F> {
    fold: &'a mut F,
    rows: &'a PageRows<'a>,
    /// Which rows of the page they are.
    numbers: &'a [u32],
    own: &'a [Window],
}

impl<F: RowFold> SessionRows for Batch<'_, F> {
    fn window(&self, row: usize) -> Window {
        self.own[row]
    }

    fn fold(
        &mut self,
        row: usize,
        kept: Option<&[u8]>,
        new: &mut Vec<u8>,
    ) -> Result<(), TaskError> {
        self.fold.fold(self.rows, self.numbers[row] as usize, kept, new)
    }

    fn merge(&mut self, kept: &[u8], other: &[u8], new: &mut Vec<u8>) -> Result<(), TaskError> {
        self.fold.merge(kept, other, new)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use alloc::vec;

    use millstream_data::{
        page::RowKind,
        row::RowLayout,
        types::{DataType, Field},
        value::Record,
    };
    use proptest::prelude::*;

    use super::*;
    use crate::operator::{
        bench::Bench,
        rows::{
            WindowClock,
            local::tests::{Autumn, HOUR},
        },
        window::sessions::tests::{Reference, Session},
    };

    /// A key, and a time in microseconds.
    pub(in crate::operator::rows) type Row = (u64, i64);
    /// A key, how many rows there were, and the bounds of their session or window.
    pub(in crate::operator::rows) type Counted = (u64, u64, i64, i64);

    /// Counts rows.
    pub(in crate::operator::rows) struct Count {
        layout: Arc<RowLayout>,
        parts: [Arc<RowLayout>; 2],
    }

    impl Count {
        pub(in crate::operator::rows) fn new() -> Self {
            let key = Schema::new(vec![Field::new("key", DataType::UInt64)]);
            let of = |name, data_type| Field::new(name, data_type);
            let counted = Schema::new(vec![
                of("rows", DataType::UInt64),
                of("start", DataType::Int64),
                of("end", DataType::Int64),
            ]);
            let parts = [key, counted].map(|schema| Arc::new(RowLayout::new(&schema)));
            Self { layout: Arc::new(RowLayout::new(&Row::schema())), parts }
        }
    }

    fn count(kept: &[u8]) -> u64 {
        kept.try_into().map_or(0, u64::from_le_bytes)
    }

    impl RowFold for Count {
        fn layout(&self) -> &Arc<RowLayout> {
            &self.layout
        }

        fn parts(&self) -> [Arc<RowLayout>; 2] {
            self.parts.clone()
        }

        fn width(&self) -> Option<usize> {
            Some(8)
        }

        fn fold(
            &mut self,
            _rows: &PageRows<'_>,
            _row: usize,
            kept: Option<&[u8]>,
            new: &mut Vec<u8>,
        ) -> Result<(), TaskError> {
            new.extend((count(kept.unwrap_or(&[])) + 1).to_le_bytes());
            Ok(())
        }

        fn merge(&mut self, kept: &[u8], other: &[u8], new: &mut Vec<u8>) -> Result<(), TaskError> {
            new.extend((count(kept) + count(other)).to_le_bytes());
            Ok(())
        }

        fn finish(
            &mut self,
            key: &[u8],
            window: Window,
            (kept, _): (&[u8], &[Vec<u8>]),
            out: &mut Changes,
        ) -> Result<(), TaskError> {
            let mut counted = Vec::new();
            self.parts[1].write(&mut counted, |row| {
                row.put_fixed(count(kept).to_le_bytes());
                row.put_fixed(window.start.to_le_bytes());
                row.put_fixed(window.end.to_le_bytes());
            });
            let (key, counted) = (out.keep(key), out.keep(&counted));
            out.emit(RowKind::Insert, key, counted);
            Ok(())
        }
    }

    fn bench(time: RowTime, clock: WindowClock) -> Bench<Row, Counted> {
        Bench::of_rows(0, 1, |states| {
            states.go_by(clock);
            RowSessions::open(&Row::schema(), &[0], (time, 10), Count::new(), states).unwrap()
        })
    }

    #[test]
    fn sessions_of_processing_time_end_by_the_clock() {
        let mut bench = bench(RowTime::Processing, WindowClock::default());
        bench.pass(100);
        bench.push(&[(1, 0), (2, 0), (1, 0)]);
        bench.pass(105);
        bench.push(&[(1, 0)]);
        bench.pass(109);
        assert_eq!(bench.rows(), []);
        bench.pass(110);
        assert_eq!(bench.rows(), [(2, 1, 100, 110)]);
        // Sessions go on where they were put back.
        let frozen = bench.snapshot(|_| {});
        let mut restored = self::bench(RowTime::Processing, WindowClock::default());
        restored.restore(&frozen);
        for mut bench in [bench, restored] {
            bench.stand_still_until(114);
            bench.push(&[(1, 0)]);
            bench.pass(123);
            assert_eq!(bench.rows(), []);
            bench.pass(200);
            assert_eq!(bench.rows(), [(1, 4, 100, 124)]);
        }
    }

    #[test]
    fn a_row_that_comes_when_its_session_has_ended_begins_another_one() {
        let mut bench = bench(RowTime::Processing, WindowClock::default());
        bench.pass(100);
        bench.push(&[(1, 0)]);
        bench.stand_still_until(111);
        bench.push(&[(1, 0)]);
        bench.pass(121);
        assert_eq!(bench.rows(), [(1, 1, 100, 110), (1, 1, 111, 121)]);
    }

    proptest! {
        /// Several rows of a key in a page, of several of its sessions, late or not.
        #[test]
        fn sessions_of_pages_are_those_of_the_reference(
            rows in proptest::collection::vec((0u64..4, 0i64..90), 1..150),
            bound in 0i64..50,
            page in 1usize..40,
        ) {
            let mut bench = bench(RowTime::Column(1), WindowClock::default());
            let mut reference = Reference::new(10, 0);
            let time = |(number, (key, back)): (usize, (u64, i64))| (key, number as i64 * 2 - back);
            let rows: Vec<(u64, i64)> = rows.into_iter().enumerate().map(time).collect();
            let mut largest = i64::MIN;
            for rows in rows.chunks(page) {
                let mut expected: Vec<Session> = Vec::new();
                rows.iter().for_each(|row| reference.row((row.0, row.1, 1), &mut expected));
                largest = rows.iter().map(|row| row.1).fold(largest, i64::max);
                reference.watermark(largest - bound, &mut expected);
                let rows: Vec<Row> = rows.iter().map(|row| (row.0, row.1 * 1000)).collect();
                bench.push(&rows);
                bench.watermark(largest - bound);
                let mut found = bench.rows();
                found.sort();
                let counted = |(key, start, end, rows): Session| (key, rows.len() as u64, start, end);
                let mut expected: Vec<Counted> = expected.into_iter().map(counted).collect();
                expected.sort();
                prop_assert_eq!(found, expected);
            }
            bench.watermark(i64::MAX);
            prop_assert_eq!(bench.snapshot(|_| {}), []);
        }
    }

    /// The hour from 9 on comes twice: what clocks show there has passed when it has come twice.
    #[test]
    fn sessions_of_instants_are_those_that_clocks_show() {
        let clock = WindowClock::of(Arc::new(Autumn));
        let mut bench = bench(RowTime::Column(1), clock);
        bench.push(&[(1, 8 * HOUR * 1000), (2, (8 * HOUR - 100) * 1000)]);
        bench.watermark(9 * HOUR - 1);
        assert_eq!(bench.rows(), [(2, 1, 9 * HOUR - 100, 9 * HOUR - 90)]);
        bench.push(&[(1, (9 * HOUR + 5) * 1000)]);
        bench.watermark(9 * HOUR + 14);
        assert_eq!(bench.rows(), [(1, 2, 9 * HOUR, 9 * HOUR + 15)]);
    }
}
