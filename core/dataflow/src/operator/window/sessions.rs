//! Sessions: windows of a key that end when it was not seen for a while.
//!
//! A row opens a window of its own, as long as the gap, and windows of a key that touch become one. So
//! the windows of each key are its own, and so are their ends: timers, not panes, say when a session has
//! ended.

mod entry;
pub(in crate::operator) mod kept;
#[cfg(test)]
pub(in crate::operator) mod tests;

use alloc::{format, vec::Vec};
use core::fmt;

use millstream_data::{Value, page::ValidPage, row::RowLayout, value::Record};
use millstream_state::{
    description::Part,
    window::{Lateness, Window},
};

use super::WindowAggregate;
use crate::{
    chain::{Context, OpenInfo, Signal, TaskError},
    operator::{
        Row, Stage,
        head::KeyedHead,
        process_page,
        stateless::Emitter,
        timers::{TimeKind, Timer},
    },
    state::{KeyBatch, KeyedState, damaged},
    writer::{PartitionWriter, Single},
};
use kept::{Ended, Kept, SessionRows};

/// What a session operator is made of, beside what its rows are.
#[derive(Clone)]
pub(crate) struct SessionWindowing<S, F> {
    pub(crate) key: S,
    pub(crate) time: F,
    /// Milliseconds between a row and the end of a session that it is the last one of.
    pub(crate) gap: i64,
    pub(crate) lateness: Lateness,
    /// The chain's output for rows that are too late.
    pub(crate) late: Option<u16>,
}

/// A chain that folds the rows of sessions, and emits when a session has ended: when the watermark has
/// reached its last time.
pub struct SessionChain<A: WindowAggregate, S, F, N> {
    function: A,
    key: S,
    time: F,
    gap: i64,
    fingerprint: u64,
    state: KeyedState,
    kept: Kept,
    /// How accumulators lie in the state.
    layout: RowLayout,
    /// The key at hand.
    batch: KeyBatch<A::Key>,
    timer: Timer,
    next: N,
    /// Where rows go that are too late, if they go anywhere.
    late: Option<PartitionWriter<A::In, Single>>,
}

impl<A: WindowAggregate, S, F, N> SessionChain<A, S, F, N> {
    /// The chain of `function` and what follows it.
    pub(crate) fn new(
        function: A,
        windowing: SessionWindowing<S, F>,
        info: &OpenInfo,
        next: N,
    ) -> Result<Self, TaskError> {
        let SessionWindowing { key, time, gap, lateness, late } = windowing;
        if gap < 1 {
            return Err(TaskError::new(format!(
                "the gap of a session window is {gap} ms: give it at least 1"
            )));
        }
        let late = late.map(|output| PartitionWriter::new(&Single, output, info));
        let mut state = KeyedState::open(info)?;
        state.keyed_by::<A::Key>();
        let batch = KeyBatch::new();
        let schema = A::Accumulator::schema();
        let layout = RowLayout::new(&schema);
        let kept = Kept::open(&mut state, batch.width(), Part::Row(schema), lateness)?;
        Ok(Self {
            function,
            key,
            time,
            gap,
            fingerprint: A::In::schema().fingerprint(),
            state,
            kept,
            layout,
            batch,
            timer: Timer::default(),
            next,
            late: late.transpose()?,
        })
    }
}

impl<A, S, F, N> SessionChain<A, S, F, N>
where
    A: WindowAggregate,
    S: for<'a> Fn(Row<'a, A::In>) -> <A::Key as Value>::View<'a> + Send + 'static,
    F: for<'a> Fn(Row<'a, A::In>) -> i64 + Send + 'static,
    N: Stage<A::Out>,
{
    fn take_row(
        &mut self,
        row: <A::In as Value>::View<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), TaskError> {
        let Self { function, state, kept, layout, batch, late, .. } = self;
        let watermark = state.watermark;
        batch.clear();
        batch.push((self.key)(Row::new(row)));
        let time = (self.time)(Row::new(row));
        let own = Window { start: time, end: time.saturating_add(self.gap) };
        let mut rows = OneRow { function, layout, own, row };
        let Some(session) = kept.add(state, &batch.keys(), watermark, &mut rows)? else {
            if let Some(late) = late {
                late.push(row, context);
            }
            return Ok(());
        };
        if session.window.max_time() > watermark {
            return Ok(());
        }
        // It has ended, and stays for rows like this one.
        kept.load(state, &batch.keys().at(0))?;
        self.emit(session.window, context)
    }

    /// Ends the sessions that the watermark has reached; `false` if the context is blocked before all
    /// are.
    fn end_sessions(&mut self, context: &mut Context<'_>) -> Result<bool, TaskError> {
        loop {
            let Self { state, kept, batch, timer, .. } = self;
            let watermark = state.watermark;
            if !kept.next_due(state, watermark, timer)? {
                return Ok(true);
            }
            batch.clear();
            batch.push_bytes(timer.key());
            // It comes from the state, which may have been damaged; what follows trusts it.
            batch.checked(batch.at(0))?;
            let ended = kept.ended(state, &batch.keys().at(0), timer)?;
            if let Some(Ended { window, keep, .. }) = ended {
                self.emit(window, context)?;
                if !keep {
                    self.kept.remove(&mut self.state, &self.batch.keys().at(0), window)?;
                }
            }
            if context.is_blocked() {
                return Ok(false);
            }
        }
    }

    /// Emits the result of a session of the key at hand.
    fn emit(&mut self, window: Window, context: &mut Context<'_>) -> Result<(), TaskError> {
        let Self { function, kept, layout, batch, next, .. } = self;
        let key = batch.decode(batch.at(0))?;
        let accumulator = layout.validate(kept.folded(window));
        let accumulator = accumulator.map_err(|error| damaged("session", &error))?;
        let accumulator = layout.decode::<A::Accumulator>(accumulator);
        function.finish(key, window, accumulator, &mut Emitter { next, context });
        Ok(())
    }
}

/// The row at hand of a typed chain.
struct OneRow<'a, 'r, A: WindowAggregate> {
    function: &'a A,
    layout: &'a RowLayout,
    own: Window,
    row: <A::In as Value>::View<'r>,
}

impl<A: WindowAggregate> OneRow<'_, '_, A> {
    fn accumulator<'a>(
        &'a self,
        kept: &'a [u8],
    ) -> Result<<A::Accumulator as Value>::View<'a>, TaskError> {
        let kept = self.layout.validate(kept).map_err(|error| damaged("session", &error))?;
        Ok(self.layout.decode::<A::Accumulator>(kept))
    }
}

impl<A: WindowAggregate> SessionRows for OneRow<'_, '_, A> {
    fn window(&self, _row: usize) -> Window {
        self.own
    }

    fn fold(
        &mut self,
        _row: usize,
        kept: Option<&[u8]>,
        new: &mut Vec<u8>,
    ) -> Result<(), TaskError> {
        let mut accumulator = match kept {
            Some(kept) => A::Accumulator::own(self.accumulator(kept)?),
            None => self.function.create(),
        };
        self.function.add(&mut accumulator, self.row);
        self.layout.encode::<A::Accumulator>(accumulator.view(), new);
        Ok(())
    }

    fn merge(&mut self, kept: &[u8], other: &[u8], new: &mut Vec<u8>) -> Result<(), TaskError> {
        let mut accumulator = A::Accumulator::own(self.accumulator(kept)?);
        self.function.merge(&mut accumulator, self.accumulator(other)?);
        self.layout.encode::<A::Accumulator>(accumulator.view(), new);
        Ok(())
    }
}

impl<A, S, F, N> KeyedHead for SessionChain<A, S, F, N>
where
    A: WindowAggregate,
    S: for<'a> Fn(Row<'a, A::In>) -> <A::Key as Value>::View<'a> + Send + 'static,
    F: for<'a> Fn(Row<'a, A::In>) -> i64 + Send + 'static,
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
        Ok(process_page::<A::In>(page, self.fingerprint, start, context, |row, context| {
            if let Err(error) = self.take_row(row, context) {
                context.fail(error);
            }
        }))
    }

    fn advance(&mut self, kind: TimeKind, context: &mut Context<'_>) -> Result<bool, TaskError> {
        match kind {
            TimeKind::Event => self.end_sessions(context),
            TimeKind::Processing => Ok(true),
        }
    }

    fn restored(&mut self) -> Result<(), TaskError> {
        self.kept.restored(&mut self.state)
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

impl<A: WindowAggregate, S, F, N> fmt::Debug for SessionChain<A, S, F, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionChain(gap {} ms)", self.gap)
    }
}
