//! Sessions: windows of a key that end when it was not seen for a while.
//!
//! A row opens a window of its own, as long as the gap, and windows of a key that touch become one. So
//! the windows of each key are its own, and so are their ends: timers, not panes, say when a session has
//! ended.

pub(in crate::operator) mod kept;
#[cfg(test)]
mod tests;

use alloc::format;
use core::fmt;

use millstream_data::{Value, page::ValidPage, value::Record};
use millstream_state::window::{Lateness, Window};

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
    state::{KeyBatch, KeyedState},
    writer::{PartitionWriter, Single},
};
use kept::{Ended, Kept};

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
    kept: Kept<A::Accumulator>,
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
        let kept = Kept::open(&mut state, batch.width(), lateness)?;
        Ok(Self {
            function,
            key,
            time,
            gap,
            fingerprint: A::In::schema().fingerprint(),
            state,
            kept,
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
        let Self { function, state, kept, batch, late, .. } = self;
        let watermark = state.watermark;
        batch.clear();
        batch.push((self.key)(Row::new(row)));
        let time = (self.time)(Row::new(row));
        let own = Window { start: time, end: time.saturating_add(self.gap) };
        let key = batch.keys().at(0);
        // A row that is late by itself is not if a session that is still there takes it.
        let Some(session) = kept.enter(state, &key, own, watermark)? else {
            if let Some(late) = late {
                late.push(row, context);
            }
            return Ok(());
        };
        kept.fold(state, &key, &session, |own, others| {
            let mut accumulator = own.unwrap_or_else(|| function.create());
            others.iter().for_each(|other| function.merge(&mut accumulator, other.view()));
            function.add(&mut accumulator, row);
            Ok(accumulator)
        })?;
        match session.window.max_time() <= watermark {
            // It has ended, and stays for rows like this one.
            true => self.emit(session.window, session.state, context),
            false => Ok(()),
        }
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
            if let Some(Ended { window, state: at, keep }) = ended {
                self.emit(window, at, context)?;
                if !keep {
                    self.kept.remove(&mut self.state, &self.batch.keys().at(0), window)?;
                }
            }
            if context.is_blocked() {
                return Ok(false);
            }
        }
    }

    /// Emits the result of a session of the key at hand, whose accumulator is kept under `at`.
    fn emit(
        &mut self,
        window: Window,
        at: Window,
        context: &mut Context<'_>,
    ) -> Result<(), TaskError> {
        let Self { function, state, kept, batch, next, .. } = self;
        let key = batch.decode(batch.at(0))?;
        kept.read(state, &batch.keys().at(0), at, |accumulator| {
            function.finish(key, window, accumulator, &mut Emitter { next, context });
        })
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
