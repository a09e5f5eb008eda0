//! Rows that wait until their time has passed.

use alloc::{sync::Arc, vec, vec::Vec};

use millstream_data::{
    page::ValidPage,
    row::{PageRows, RowLayout},
    types::Schema,
};
use millstream_state::{
    Backend, Column, Kind, StateId, StateSpec, description::Part, list::elements,
    time::WATERMARK_MAX,
};

use super::{Changes, RowFunction, RowKeys, RowStates, windows::event_time};
use crate::{
    chain::TaskError,
    operator::window::panes::{Panes, Sweep},
    state::{Contents, TIME, damaged, namespace},
};

/// Rows that are taken at once, so that the misses of their keys overlap.
const BATCH: usize = 256;
/// Bytes of the number of rows that wait, of a key and a time.
const COUNT: usize = 4;
/// Bytes of the kind of a change.
const KIND: usize = 1;

/// When rows that wait are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// When the watermark has reached the time in this column, in microseconds; rows of a millisecond are
    /// due together.
    Time(usize),
    /// When the clock has passed the millisecond in which they came, or the input has ended: their time is that of
    /// the clock.
    Passed,
    /// When the input has ended.
    End,
    /// When the watermark rises the next time. They are changes: in front of each goes the byte of its kind.
    Rise,
}

/// What is done with rows that are due.
pub trait RowReplay: Send + 'static {
    /// How rows of the input lie.
    fn layout(&self) -> &Arc<RowLayout>;

    /// See [`RowFunction::parts`].
    fn parts(&self) -> [Arc<RowLayout>; 2];

    /// Whether a row is taken although the watermark has passed its time, in milliseconds. It is due when
    /// the watermark rises the next time.
    ///
    /// # Errors
    /// What the states say, or the function's own.
    fn takes_late(
        &mut self,
        key: (&RowKeys, usize),
        time: i64,
        states: &mut RowStates,
    ) -> Result<bool, TaskError>;

    /// Takes the rows of a key that are due at one time, in milliseconds, in the order in which they came. The
    /// time is not before that of the call before for this key, but for rows that were taken
    /// [late](Self::takes_late).
    ///
    /// # Errors
    /// As [`takes_late`](Self::takes_late).
    fn replay(
        &mut self,
        key: (&RowKeys, usize),
        time: i64,
        rows: &mut dyn Iterator<Item = &[u8]>,
        states: &mut RowStates,
        out: &mut Changes,
    ) -> Result<(), TaskError>;

    /// A time behind that of the last [replay](Self::replay), at which its key is to be replayed again, with the
    /// rows of that time, if there are any: what is kept of it can then be forgotten. It is asked once for each.
    fn again(&mut self) -> Option<i64> {
        None
    }
}

/// Keeps the rows of each key until they are due, and then gives them to a function, time after time.
pub struct RowBuffer<F> {
    function: F,
    until: Until,
    keys: RowKeys,
    /// The keys of rows at hand that are kept, their times, and the rows.
    batch: RowKeys,
    /// The keys that are replayed again later, at times that are in `times`.
    again: RowKeys,
    times: Vec<u8>,
    ends: Vec<u32>,
    bytes: Vec<u8>,
    /// How many rows wait, and which.
    panes: Panes,
    rows: StateId,
    width: Option<usize>,
    /// What is left of a time whose rows are being replayed.
    sweep: Option<Sweep>,
    list: Vec<u8>,
}

impl<F: RowReplay> RowBuffer<F> {
    /// For rows of `input` by these columns. `open` makes the function, which may add states of its own.
    ///
    /// # Errors
    /// If there is no memory for the state.
    pub fn open(
        input: &Schema,
        keys: &[usize],
        until: Until,
        states: &mut RowStates,
        open: impl FnOnce(&RowKeys, &mut RowStates) -> Result<F, TaskError>,
    ) -> Result<Self, TaskError> {
        let keys = states.keys(input, keys, true);
        let panes = Panes::register(&mut states.state, "waiting", keys.width(), Some(COUNT))?;
        panes.describe(&mut states.state, vec![Part::Opaque(Some(COUNT as u32))]);
        let layout = RowLayout::new(input);
        let kind = if until == Until::Rise { KIND } else { 0 };
        let width = layout.is_fixed().then(|| kind + layout.fixed_bytes());
        let rows = states.state.register(&StateSpec {
            name: "waiting-rows".into(),
            kind: Kind::List,
            key: keys.width(),
            namespace: Some(TIME),
            value: width,
        })?;
        let mut value = vec![Part::Row(input.clone())];
        if until == Until::Rise {
            value.insert(0, Part::Opaque(Some(KIND as u32)));
        }
        let contents = Contents { namespace: vec![Part::Time], value, ..Contents::default() };
        states.state.describe(rows, contents);
        Ok(Self {
            function: open(&keys, states)?,
            until,
            batch: keys.clone(),
            again: keys.clone(),
            keys,
            times: Vec::new(),
            ends: Vec::new(),
            bytes: Vec::new(),
            panes,
            rows,
            width,
            sweep: None,
            list: Vec::new(),
        })
    }
}

impl<F: RowReplay> RowFunction for RowBuffer<F> {
    fn parts(&self) -> [Arc<RowLayout>; 2] {
        self.function.parts()
    }

    fn take(
        &mut self,
        _input: u16,
        page: &ValidPage<'_>,
        start: usize,
        states: &mut RowStates,
        _out: &mut Changes,
    ) -> Result<usize, TaskError> {
        let Self { function, until, keys, batch, times, ends, bytes, panes, rows, width, .. } =
            self;
        let end = keys.take(page, start, BATCH)?;
        let layout = Arc::clone(function.layout());
        let kinds = page;
        let page = PageRows::new(&layout, page).map_err(|error| damaged("page", &error))?;
        batch.clear();
        times.clear();
        ends.clear();
        bytes.clear();
        for (index, row) in keys.rows().iter().enumerate() {
            let time = match until {
                Until::End => WATERMARK_MAX,
                Until::Passed => states.state.time,
                Until::Rise => states.state.watermark_of(|| keys.hash(index)).saturating_add(1),
                Until::Time(column) => {
                    let time = event_time(&page, *row as usize, *column)?;
                    let passed = time <= states.state.watermark_of(|| keys.hash(index));
                    if passed && !function.takes_late((keys, index), time, states)? {
                        continue;
                    }
                    time
                }
            };
            batch.push(keys.at(index), *row);
            times.extend(namespace(time));
            if *until == Until::Rise {
                bytes.push(kinds.row_kind(*row as usize) as u8);
            }
            page.gather(*row as usize, bytes);
            ends.push(bytes.len() as u32);
        }
        let times = Column::Fixed { width: TIME, bytes: times };
        panes.fold(&mut states.state, (*batch).as_ref(), times, |_, kept, new| {
            let kept = kept.and_then(|kept| kept.first_chunk());
            let count = kept.map_or(0, |kept| u32::from_le_bytes(*kept));
            new.extend(count.saturating_add(1).to_le_bytes());
        })?;
        let elements = match *width {
            Some(width) => Column::Fixed { width, bytes },
            None => Column::Variable { begin: 0, ends, bytes },
        };
        let keys = batch.keys().within(times);
        states
            .state
            .change(|store, done| store.append(*rows, &keys.skip(done), elements.skip(done)))?;
        Ok(end)
    }

    fn advance(&mut self, states: &mut RowStates, out: &mut Changes) -> Result<bool, TaskError> {
        let Self { function, until, batch, again, times, panes, rows, width, sweep, list, .. } =
            self;
        let passed = match until {
            Until::Passed if states.state.watermark < WATERMARK_MAX => {
                states.state.time.saturating_sub(1)
            }
            _ => states.state.watermark,
        };
        while let Some(time) = panes.ends.first().copied()
            && time <= passed
        {
            let mut at = sweep.take().unwrap_or_else(|| Sweep::begin(&states.state, time));
            let within = namespace(time);
            while at.fill(panes, &mut states.state, batch.as_mut())? {
                let mut done = 0;
                again.clear();
                times.clear();
                while done < batch.len() && !out.is_large() {
                    let key = batch.keys().within(Column::Same(&within)).at(done);
                    states.state.read(*rows, &key, list)?;
                    let mut due = elements(list, *width);
                    function.replay((batch, done), time, &mut due, states, out)?;
                    if let Some(later) = function.again() {
                        again.push(batch.at(done), 0);
                        times.extend(namespace(later));
                    }
                    done += 1;
                }
                // Of these no row waits yet, unless one has come for them.
                let later = Column::Fixed { width: TIME, bytes: times };
                panes.fold(&mut states.state, (*again).as_ref(), later, |_, kept, new| {
                    new.extend_from_slice(kept.unwrap_or(&[0; COUNT]));
                })?;
                batch.truncate(done);
                let gone = batch.keys().within(Column::Same(&within));
                states.state.change(|store, done| store.remove(*rows, &gone.skip(done)))?;
                at.pass(panes, &mut states.state, batch.as_mut(), done, true)?;
                if out.is_large() {
                    *sweep = Some(at);
                    return Ok(false);
                }
            }
            panes.ends.remove(&time);
        }
        Ok(true)
    }

    fn due(&self) -> Option<i64> {
        let first = self.panes.ends.first().filter(|_| self.until == Until::Passed);
        first.map(|time| time.saturating_add(1))
    }

    fn restored(&mut self, states: &mut RowStates) -> Result<(), TaskError> {
        self.panes.restored(&mut states.state)
    }
}
