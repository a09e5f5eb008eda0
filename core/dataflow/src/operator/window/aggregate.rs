//! Windows that are one slice each, whose rows are folded as they come.

use alloc::{collections::BTreeSet, vec, vec::Vec};
use core::fmt;

use millstream_data::{
    Key, Value,
    hash::SEED,
    page::ValidPage,
    row::{RowLayout, RowValue},
    value::Record,
};
use millstream_state::{
    Column, Kind, StateId, StateSpec,
    description::Part,
    window::{Lateness, Window},
};

use super::{
    WindowAssigner,
    panes::{Panes, Sweep},
};
use crate::{
    chain::{Context, OpenInfo, Signal, TaskError},
    operator::{
        Emit, Row, Stage, check_schema, head::KeyedHead, stateless::Emitter, timers::TimeKind,
    },
    state::{Contents, KeyBatch, KeyedState, damaged, namespace},
    writer::{PartitionWriter, Single},
};

/// How the rows of a window are folded, and what comes of it.
pub trait WindowAggregate: Clone + Send + Sync + 'static {
    /// What is folded.
    type In: Value;
    /// The key of the rows that are folded together.
    type Key: Key + RowValue + Record;
    /// What they are folded into. It is state: a row.
    type Accumulator: RowValue + Record;
    /// What comes of a window.
    type Out: Value;

    /// The accumulator before the first row.
    fn create(&self) -> Self::Accumulator;

    /// Folds a row into the accumulator.
    fn add(&self, accumulator: &mut Self::Accumulator, row: <Self::In as Value>::View<'_>);

    /// Folds an accumulator into another, of rows that are mostly later: a window is made of slices, and
    /// sessions may become one.
    fn merge(
        &self,
        accumulator: &mut Self::Accumulator,
        other: <Self::Accumulator as Value>::View<'_>,
    );

    /// The window has ended: emits what comes of it. What is emitted has to find room at once.
    fn finish(
        &self,
        key: <Self::Key as Value>::View<'_>,
        window: Window,
        accumulator: <Self::Accumulator as Value>::View<'_>,
        out: &mut dyn Emit<Self::Out>,
    );
}

/// Rows of a page that are folded together: their cache misses overlap.
const BLOCK: usize = 256;

/// A chain that folds the rows of windows, and emits when a window has ended: when the watermark has
/// reached its last time.
pub struct WindowChain<A: WindowAggregate, S, F, W, N> {
    function: A,
    key: S,
    time: F,
    assigner: W,
    lateness: Lateness,
    fingerprint: u64,
    layout: RowLayout,
    state: KeyedState,
    /// Accumulators of windows.
    windows: Panes,
    /// Windows that have ended and stay for rows that are late, and where that is kept.
    fired: BTreeSet<i64>,
    fired_state: Option<StateId>,
    sweep: Option<Sweep>,
    /// Keys at hand.
    batch: KeyBatch<A::Key>,
    scratch: Scratch,
    next: N,
    /// Where rows go that are too late for all of their windows, if they go anywhere.
    late: Option<PartitionWriter<A::In, Single>>,
}

/// Space that is used again in each call.
#[derive(Debug, Default)]
struct Scratch {
    /// The rows of the keys at hand, and the ends of their windows.
    rows: Vec<u32>,
    ends: Vec<u8>,
}

/// What a window operator is made of, beside what its rows are.
#[derive(Clone)]
pub(crate) struct Windowing<S, F, W> {
    pub(crate) key: S,
    pub(crate) time: F,
    pub(crate) assigner: W,
    pub(crate) lateness: Lateness,
    /// The chain's output for rows that are too late.
    pub(crate) late: Option<u16>,
}

impl<A, S, F, W, N> WindowChain<A, S, F, W, N>
where
    A: WindowAggregate,
    W: WindowAssigner,
{
    /// The chain of `function` and what follows it.
    pub(crate) fn new(
        function: A,
        windowing: Windowing<S, F, W>,
        info: &OpenInfo,
        next: N,
    ) -> Result<Self, TaskError> {
        let Windowing { key, time, assigner, lateness, late } = windowing;
        let late = late.map(|output| PartitionWriter::new(&Single, output, info));
        let mut state = KeyedState::open(info)?;
        state.keyed_by::<A::Key>();
        let layout = RowLayout::new(&A::Accumulator::schema());
        let batch = KeyBatch::new();
        let (width, value) = (batch.width(), layout.is_fixed().then(|| layout.fixed_bytes()));
        let windows = Panes::register(&mut state, "windows", width, value)?;
        windows.describe(&mut state, vec![Part::Row(A::Accumulator::schema())]);
        let fired_state = (lateness != Lateness::default()).then(|| {
            state.register(&StateSpec {
                name: "fired".into(),
                kind: Kind::Value,
                key: Some(8),
                namespace: Some(8),
                value: Some(1),
            })
        });
        let fired_state = fired_state.transpose()?;
        if let Some(fired) = fired_state {
            let (namespace, value) = (vec![Part::Time], vec![Part::Flag]);
            let contents = Contents { of_group: true, namespace, value, ..Contents::default() };
            state.describe(fired, contents);
        }
        Ok(Self {
            function,
            key,
            time,
            assigner,
            lateness,
            fingerprint: A::In::schema().fingerprint(),
            layout,
            windows,
            fired: BTreeSet::new(),
            fired_state,
            state,
            sweep: None,
            batch,
            scratch: Scratch::default(),
            next,
            late: late.transpose()?,
        })
    }

    /// Folds rows of a page into the windows whose ends were written down.
    fn fold<'a>(
        &mut self,
        row: impl Fn(u32) -> <A::In as Value>::View<'a>,
    ) -> Result<(), TaskError> {
        let Self { function, layout, state, windows, batch, scratch, .. } = self;
        let Scratch { rows, ends, .. } = scratch;
        let mut error = None;
        let ends = Column::Fixed { width: 8, bytes: ends };
        windows.fold(state, batch, ends, |index, old, new| {
            let mut accumulator = match old.map(|old| layout.trusted(old)) {
                None => function.create(),
                Some(Ok(old)) => A::Accumulator::own(layout.decode::<A::Accumulator>(old)),
                Some(Err(wrong)) => {
                    error.get_or_insert_with(|| damaged("window", &wrong));
                    return;
                }
            };
            function.add(&mut accumulator, row(rows[index]));
            layout.encode::<A::Accumulator>(accumulator.view(), new);
        })?;
        error.map_or(Ok(()), Err)
    }

    /// The next window that has ended, or is not kept any longer.
    fn next_ended(&self) -> Option<(Ended, i64)> {
        let watermark = self.state.watermark;
        let window = self.windows.ends.first().copied();
        let window = window.filter(|end| end.saturating_sub(1) <= watermark);
        let kept = self.fired.first().copied();
        let cleaned =
            kept.filter(|end| self.lateness.is_late(&self.assigner.ending(*end), watermark));
        let window = window.map(|end| (Ended::Window, end));
        window.or_else(|| cleaned.map(|end| (Ended::Cleaned, end)))
    }
}

/// What has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// A window, of which the result is emitted.
    Window,
    /// The time for rows that are late.
    Cleaned,
}

impl<A, S, F, W, N> WindowChain<A, S, F, W, N>
where
    A: WindowAggregate,
    W: WindowAssigner,
    N: Stage<A::Out>,
{
    /// Goes on with what the watermark has ended; `false` if the context is blocked before all is done.
    fn end_windows(&mut self, context: &mut Context<'_>) -> Result<bool, TaskError> {
        while let Some((ended, end)) = self.next_ended() {
            let mut sweep = match self.sweep.take() {
                Some(sweep) => sweep,
                None => Sweep::begin(&self.state, end),
            };
            let done = match ended {
                Ended::Window => self.end_window(&mut sweep, context)?,
                Ended::Cleaned => {
                    let Self { state, windows, batch, .. } = self;
                    sweep.run(windows, state, batch, true, |_, _, _| Ok(true))?
                }
            };
            if !done {
                self.sweep = Some(sweep);
                return Ok(false);
            }
            self.leave(ended, end)?;
        }
        Ok(true)
    }

    /// Emits the results of a window; `false` if the context is blocked.
    fn end_window(
        &mut self,
        sweep: &mut Sweep,
        context: &mut Context<'_>,
    ) -> Result<bool, TaskError> {
        let window = self.assigner.ending(sweep.end);
        let Self { function, layout, state, windows, batch, next, lateness, .. } = self;
        let remove = *lateness == Lateness::default();
        let done = sweep.run(windows, state, batch, remove, |batch, index, value| {
            let key = batch.decode(batch.at(index))?;
            let value = layout.trusted(value).map_err(|wrong| damaged("window", &wrong))?;
            let value = layout.decode::<A::Accumulator>(value);
            function.finish(key, window, value, &mut Emitter { next, context });
            Ok(!context.is_blocked())
        })?;
        Ok(done)
    }

    /// A pane is done with.
    fn leave(&mut self, ended: Ended, end: i64) -> Result<(), TaskError> {
        match ended {
            Ended::Window => {
                self.windows.ends.remove(&end);
                if let Some(fired) = self.fired_state {
                    self.fired.insert(end);
                    self.mark_fired(fired, end, true)?;
                }
            }
            Ended::Cleaned => {
                self.fired.remove(&end);
                if let Some(fired) = self.fired_state {
                    self.mark_fired(fired, end, false)?;
                }
            }
        }
        Ok(())
    }

    /// Writes down, in every key group, whether a window has fired and is kept.
    fn mark_fired(&mut self, fired: StateId, end: i64, is: bool) -> Result<(), TaskError> {
        self.state.mark(fired, &namespace(end), is.then_some(&[1]))
    }

    /// A row whose window has ended, for its key group: if the window is kept it is emitted anew. `false` if
    /// it is not. The key is the only one at hand.
    fn take_late(
        &mut self,
        (window, watermark): (Window, i64),
        row: <A::In as Value>::View<'_>,
        context: &mut Context<'_>,
    ) -> Result<bool, TaskError> {
        if self.lateness.is_late(&window, watermark) {
            return Ok(false);
        }
        self.scratch.rows.push(0);
        self.scratch.ends.extend(namespace(window.end));
        self.fold(|_| row)?;
        // It was emitted; what was entered just now is of that window.
        self.windows.ends.remove(&window.end);
        if self.fired.insert(window.end)
            && let Some(fired) = self.fired_state
        {
            self.mark_fired(fired, window.end, true)?;
        }
        self.emit_again(window, context)?;
        Ok(true)
    }

    /// Emits the result of the only key at hand.
    fn emit_again(&mut self, window: Window, context: &mut Context<'_>) -> Result<(), TaskError> {
        let Self { function, layout, state, windows, batch, next, .. } = self;
        let end = namespace(window.end);
        let keys = batch.keys().within(Column::Same(&end));
        let mut value = Vec::new();
        windows.read(state, &keys.at(0), &mut value)?;
        let key = batch.decode(batch.at(0))?;
        let value = layout.trusted(&value).map_err(|wrong| damaged("window", &wrong))?;
        let value = layout.decode::<A::Accumulator>(value);
        function.finish(key, window, value, &mut Emitter { next, context });
        Ok(())
    }
}

impl<A, S, F, W, N> WindowChain<A, S, F, W, N>
where
    A: WindowAggregate,
    S: for<'a> Fn(Row<'a, A::In>) -> <A::Key as Value>::View<'a> + Send + 'static,
    F: for<'a> Fn(Row<'a, A::In>) -> i64 + Send + 'static,
    W: WindowAssigner,
    N: Stage<A::Out>,
{
    fn take_rows(
        &mut self,
        page: &ValidPage<'_>,
        start: usize,
        context: &mut Context<'_>,
    ) -> Result<usize, TaskError> {
        let columns = A::In::bind(page);
        let mut row = start;
        while row < page.rows() && !context.is_blocked() {
            self.batch.clear();
            self.scratch.rows.clear();
            self.scratch.ends.clear();
            let block = page.rows().min(row + BLOCK);
            let mut late = None;
            while row < block && late.is_none() {
                let view = A::In::at(&columns, row);
                let time = (self.time)(Row::new(view));
                let window = self.assigner.slice(time);
                let key = (self.key)(Row::new(view));
                let watermark = self.state.watermark_of(|| A::Key::hash(key, SEED));
                if window.max_time() > watermark {
                    self.batch.push(key);
                    self.scratch.rows.push(row as u32);
                    self.scratch.ends.extend(namespace(window.end));
                } else {
                    late = Some((window, watermark, row));
                }
                row += 1;
            }
            self.fold(|row| A::In::at(&columns, row as usize))?;
            if let Some((window, watermark, row)) = late {
                let view = A::In::at(&columns, row);
                self.batch.clear();
                self.scratch.rows.clear();
                self.scratch.ends.clear();
                self.batch.push((self.key)(Row::new(view)));
                if !self.take_late((window, watermark), view, context)?
                    && let Some(side) = &mut self.late
                {
                    side.push(view, context);
                }
            }
        }
        Ok(row)
    }
}

impl<A, S, F, W, N> KeyedHead for WindowChain<A, S, F, W, N>
where
    A: WindowAggregate,
    S: for<'a> Fn(Row<'a, A::In>) -> <A::Key as Value>::View<'a> + Send + 'static,
    F: for<'a> Fn(Row<'a, A::In>) -> i64 + Send + 'static,
    W: WindowAssigner,
    N: Stage<A::Out>,
{
    type Out = A::Out;
    type Next = N;

    fn next(&mut self) -> &mut N {
        &mut self.next
    }

    fn state(&mut self) -> &mut KeyedState {
        &mut self.state
    }

    fn take(
        &mut self,
        _input: u16,
        page: &ValidPage<'_>,
        start: usize,
        context: &mut Context<'_>,
    ) -> Result<usize, TaskError> {
        check_schema::<A::In>(page, self.fingerprint)?;
        self.take_rows(page, start, context)
    }

    fn advance(&mut self, kind: TimeKind, context: &mut Context<'_>) -> Result<bool, TaskError> {
        match kind {
            TimeKind::Event => self.end_windows(context),
            TimeKind::Processing => Ok(true),
        }
    }

    fn restored(&mut self) -> Result<(), TaskError> {
        self.windows.restored(&mut self.state)?;
        let Some(fired) = self.fired_state else { return Ok(()) };
        let windows: Vec<i64> = self.windows.ends.iter().copied().collect();
        let mut is_fired = Vec::new();
        for end in windows {
            let namespace = namespace(end);
            for group in self.state.groups() {
                let key = self.state.group_key(group);
                if self.state.read(fired, &key.within(&namespace), &mut is_fired)? {
                    self.windows.ends.remove(&end);
                    self.fired.insert(end);
                }
            }
        }
        Ok(())
    }

    fn signal_side(&mut self, signal: Signal, context: &mut Context<'_>) {
        if let Some(late) = &mut self.late {
            late.signal(signal, context);
        }
    }

    fn flush_side(&mut self, force: bool, context: &mut Context<'_>) {
        if let Some(late) = &mut self.late {
            late.flush(force, context);
        }
    }
}

impl<A: WindowAggregate, S, F, W, N> fmt::Debug for WindowChain<A, S, F, W, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WindowChain({} windows)", self.windows.ends.len())
    }
}
