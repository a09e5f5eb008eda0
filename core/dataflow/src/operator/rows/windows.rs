//! Windows over rows whose columns are known only at run time.

use alloc::{format, sync::Arc, vec, vec::Vec};

use millstream_data::{
    page::ValidPage,
    row::{PageRows, RowLayout},
    types::Schema,
};
use millstream_state::{
    Column,
    description::Part,
    list,
    time::WATERMARK_MIN,
    window::{Cumulating, Sliding, Tumbling, Window},
};

use super::{
    Changes, RowFunction, RowKeys, RowStates, WindowClock, gathered::Gathered, slices::Slices,
};
use crate::{
    chain::TaskError,
    operator::window::panes::{Panes, Sweep, Visited},
    state::{KeyedState, TIME, damaged, namespace, time_of},
};

/// Rows that are taken at once, so that the misses of their keys overlap.
const BATCH: usize = 256;

/// What is kept of the rows of a key and window, and emitted when it has ended.
pub trait RowFold: Send + 'static {
    /// How rows of the input lie.
    fn layout(&self) -> &Arc<RowLayout>;

    /// See [`RowFunction::parts`].
    fn parts(&self) -> [Arc<RowLayout>; 2];

    /// Bytes of what is kept, if they are always as many.
    fn width(&self) -> Option<usize>;

    /// Appends to `new` what is kept with one row more; `kept` is what was kept before.
    ///
    /// # Errors
    /// If what was kept cannot be read.
    fn fold(
        &mut self,
        rows: &PageRows<'_>,
        row: usize,
        kept: Option<&[u8]>,
        new: &mut Vec<u8>,
    ) -> Result<(), TaskError>;

    /// Appends to `new` what is kept of two sessions that have become one.
    ///
    /// # Errors
    /// As [`fold`](Self::fold).
    fn merge(&mut self, kept: &[u8], other: &[u8], new: &mut Vec<u8>) -> Result<(), TaskError>;

    /// Lists that are gathered beside what is kept, and bytes of an element of each, if all have as many.
    fn lists(&self) -> Vec<Option<usize>> {
        Vec::new()
    }

    /// Appends to `element` what a row adds to a list; `false` if it adds nothing, and then nothing is appended.
    fn gather(
        &mut self,
        list: usize,
        rows: &PageRows<'_>,
        row: usize,
        element: &mut Vec<u8>,
    ) -> bool {
        let _ = (list, rows, row, element);
        false
    }

    /// Appends to `needed` the elements of a list that the others do not make superfluous, as
    /// [lists](millstream_state::list) have them; gives how many there are.
    fn shrink(&mut self, list: usize, elements: &[u8], needed: &mut Vec<u8>) -> usize {
        needed.extend_from_slice(elements);
        list::elements(elements, self.lists().get(list).copied().flatten()).count()
    }

    /// The window has ended: emits what comes of what was kept, and of the elements of its lists.
    ///
    /// # Errors
    /// If what was kept cannot be read.
    fn finish(
        &mut self,
        key: &[u8],
        window: Window,
        kept: (&[u8], &[Vec<u8>]),
        out: &mut Changes,
    ) -> Result<(), TaskError>;
}

/// The time of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowTime {
    /// That in a column, in microseconds: windows end by the watermark. It is an instant, which a
    /// [clock](WindowClock) shows.
    Column(usize),
    /// That at which it comes: windows end by the clock. Those that have not ended when the input does are
    /// not emitted.
    Processing,
}

impl RowTime {
    /// The last time that has passed, behind which no row comes on time.
    pub(super) fn passed(self, state: &KeyedState) -> i64 {
        match self {
            Self::Column(_) => state.watermark,
            Self::Processing => state.time.saturating_sub(1),
        }
    }

    /// That of a row, as the clock shows it; `now` is the processing time.
    pub(super) fn of_row(
        self,
        rows: &PageRows<'_>,
        row: usize,
        (now, clock): (i64, &WindowClock),
    ) -> Result<i64, TaskError> {
        match self {
            Self::Column(column) => Ok(clock.at(event_time(rows, row, column)?)),
            Self::Processing => Ok(now),
        }
    }
}

/// Which windows rows are in. Windows are in milliseconds.
#[derive(Clone, Debug)]
pub enum RowWindow {
    /// Those of a time.
    Tumbling(RowTime, Tumbling),
    /// Those of a time.
    Sliding(RowTime, Sliding),
    /// Those of a time.
    Cumulating(RowTime, Cumulating),
    /// The one that begins and ends at the times in two columns, in microseconds.
    Attached(usize, usize),
}

/// The time in a column of a row, in milliseconds.
pub(super) fn event_time(rows: &PageRows<'_>, row: usize, column: usize) -> Result<i64, TaskError> {
    match rows.at(row).is_null(column) {
        true => Err(TaskError::new(
            "the event time of a row is NULL, so that it is in no window: filter such rows, or give them a \
             time with COALESCE",
        )),
        false => Ok(i64::from_le_bytes(rows.at(row).fixed(column)).div_euclid(1000)),
    }
}

impl RowWindow {
    /// Calls `each` with the windows of a row; `now` is the processing time, and the clock that of its event time.
    pub(super) fn each(
        &self,
        rows: &PageRows<'_>,
        row: usize,
        (now, clock): (i64, &WindowClock),
        mut each: impl FnMut(Window),
    ) -> Result<(), TaskError> {
        let in_column = |column: usize| event_time(rows, row, column);
        match self {
            Self::Attached(start, end) => {
                each(Window { start: in_column(*start)?, end: in_column(*end)? });
            }
            _ => self.each_of(self.time(rows, row, (now, clock))?, each),
        }
        Ok(())
    }

    /// Calls `each` with the windows of a time. None are attached to it.
    pub(super) fn each_of(&self, time: i64, mut each: impl FnMut(Window)) {
        match self {
            Self::Tumbling(_, windows) => each(windows.assign(time)),
            Self::Sliding(_, windows) => windows.assign(time).for_each(each),
            Self::Cumulating(_, windows) => windows.assign(time).for_each(each),
            Self::Attached(..) => {}
        }
    }

    /// The time of a row that has one; else `now`, the processing time.
    fn time(
        &self,
        rows: &PageRows<'_>,
        row: usize,
        (now, clock): (i64, &WindowClock),
    ) -> Result<i64, TaskError> {
        match self.of() {
            Some(of) => of.of_row(rows, row, (now, clock)),
            None => Ok(now),
        }
    }

    /// Which time of rows they are of, if it is one.
    fn of(&self) -> Option<RowTime> {
        match self {
            Self::Tumbling(of, _) | Self::Sliding(of, _) | Self::Cumulating(of, _) => Some(*of),
            Self::Attached(..) => None,
        }
    }

    /// Whether they end by the clock.
    pub(super) fn is_processing(&self) -> bool {
        self.of() == Some(RowTime::Processing)
    }
}

/// Folds rows into the windows of their keys, and emits each when the watermark has reached its last time,
/// or the clock its end. A row is dropped where its window has ended.
pub struct RowWindows<F> {
    fold: F,
    windows: RowWindow,
    keys: RowKeys,
    /// A key for each row at hand and window that it is in, and the ends of these.
    batch: RowKeys,
    ends: Vec<u8>,
    starts: Vec<i64>,
    /// What is kept of windows, or of the slices that they have in common, if they overlap.
    panes: Panes,
    slices: Option<Slices>,
    gathered: Option<Gathered>,
    /// What is left of a window that is being emitted.
    sweep: Option<Sweep>,
}

impl<F: RowFold> RowWindows<F> {
    /// The windows of rows of `input`, by these columns.
    ///
    /// # Errors
    /// If there is no memory for the state.
    pub fn open(
        input: &Schema,
        keys: &[usize],
        windows: RowWindow,
        fold: F,
        states: &mut RowStates,
    ) -> Result<Self, TaskError> {
        let keys = states.keys(input, keys, true);
        // When a window begins is in front of what is kept of it.
        let width = fold.width().map(|width| TIME + width);
        let slices = Slices::open(&windows, &mut states.state)?;
        let name = if slices.is_some() { "slices" } else { "windows" };
        let panes = Panes::register(&mut states.state, name, keys.width(), width)?;
        let kept = Part::Opaque(fold.width().map(|width| width as u32));
        panes.describe(&mut states.state, vec![Part::Time, kept]);
        let gathered = Gathered::open(&fold, &keys, &mut states.state)?;
        let (ends, starts, batch, sweep) = (Vec::new(), Vec::new(), keys.clone(), None);
        Ok(Self { fold, windows, keys, batch, ends, starts, panes, slices, gathered, sweep })
    }
}

impl<F: RowFold> RowFunction for RowWindows<F> {
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
        let Self { fold, windows, keys, batch, ends, starts, panes, slices, gathered, .. } = self;
        let RowStates { state, clock, .. } = states;
        let end = keys.take(page, start, BATCH)?;
        let layout = Arc::clone(fold.layout());
        let rows = PageRows::new(&layout, page).map_err(|error| damaged("page", &error))?;
        batch.clear();
        ends.clear();
        starts.clear();
        let (now, processing) = ((state.time, &*clock), windows.is_processing());
        for (index, row) in keys.rows().iter().enumerate() {
            let watermark =
                if processing { WATERMARK_MIN } else { state.watermark_of(|| keys.hash(index)) };
            let mut push = |window: Window| {
                batch.push(keys.at(index), *row);
                ends.extend(namespace(window.end));
                starts.push(window.start);
            };
            match slices {
                Some(slices) => {
                    let time = windows.time(&rows, *row as usize, now)?;
                    slices.assign(time, watermark).into_iter().for_each(push);
                }
                None => windows.each(&rows, *row as usize, now, |window| {
                    if window.max_time() > watermark {
                        push(window);
                    }
                })?,
            }
        }
        put(panes, state, (batch, ends, starts), fold, &rows)?;
        if let Some(gathered) = gathered {
            gathered.add(state, fold, &rows, (batch, ends))?;
        }
        Ok(end)
    }

    fn advance(&mut self, states: &mut RowStates, out: &mut Changes) -> Result<bool, TaskError> {
        let Self { fold, windows, batch, panes, slices, gathered, sweep, .. } = self;
        let over = match windows.is_processing() {
            true => states.state.time,
            false => states.state.watermark.saturating_add(1),
        };
        let state = &mut states.state;
        if let Some(slices) = slices {
            return slices.advance(over, (panes, batch, gathered), state, fold, out);
        }
        while let Some(end) = panes.ends.first().copied()
            && end <= over
        {
            let mut at = sweep.take().unwrap_or_else(|| Sweep::begin(state, end));
            let mut finish = |batch: &RowKeys, index: usize, kept: &[u8], lists: &[Vec<u8>]| {
                let split = kept.split_at_checked(TIME);
                let Some((Some(start), kept)) = split.map(|(start, kept)| (time_of(start), kept))
                else {
                    return Err(damaged("window", &format!("it has {} bytes", kept.len())));
                };
                let window = Window { start, end };
                fold.finish(batch.row(index), window, (kept, lists), out)?;
                Ok(!out.is_large())
            };
            let done = match gathered {
                None => at.run(panes, state, batch, true, |batch, index, kept| {
                    finish(batch, index, kept, &[])
                })?,
                Some(gathered) => loop {
                    let within = namespace(end);
                    let visited = at.visit(panes, state, batch, |state, batch, index, kept| {
                        let key = batch.keys().within(Column::Same(&within)).at(index);
                        let go_on = finish(batch, index, kept, gathered.take(state, &key)?)?;
                        gathered.remove(state, &key.batch())?;
                        Ok(go_on)
                    })?;
                    match visited {
                        None => break true,
                        Some(Visited { go_on: false, .. }) => break false,
                        Some(_) => {}
                    }
                },
            };
            if !done {
                *sweep = Some(at);
                return Ok(false);
            }
            panes.ends.remove(&end);
        }
        Ok(true)
    }

    fn due(&self) -> Option<i64> {
        let next = match &self.slices {
            Some(slices) => slices.next(&self.panes),
            None => self.panes.ends.first().copied(),
        };
        next.filter(|_| self.windows.is_processing())
    }

    fn restored(&mut self, states: &mut RowStates) -> Result<(), TaskError> {
        if let Some(slices) = &mut self.slices {
            slices.restored(&mut states.state)?;
        }
        self.panes.restored(&mut states.state)
    }
}

/// Folds rows into panes: each key of `batch` has the number of its row.
fn put<F: RowFold>(
    panes: &mut Panes,
    state: &mut KeyedState,
    (batch, ends, starts): (&RowKeys, &[u8], &[i64]),
    fold: &mut F,
    rows: &PageRows<'_>,
) -> Result<(), TaskError> {
    let ends = Column::Fixed { width: TIME, bytes: ends };
    let mut failed = None;
    panes.fold(state, batch.as_ref(), ends, |index, kept, new| {
        new.extend(namespace(starts[index]));
        let kept = kept.map(|kept| kept.get(TIME..).unwrap_or(&[]));
        if let Err(error) = fold.fold(rows, batch.rows()[index] as usize, kept, new) {
            failed.get_or_insert(error);
        }
    })?;
    failed.map_or(Ok(()), Err)
}
