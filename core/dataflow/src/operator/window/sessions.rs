//! Sessions: windows of a key that end when it was not seen for a while.
//!
//! A row opens a window of its own, as long as the gap, and windows of a key that touch become one. So
//! the windows of each key are its own, and so are their ends: timers, not panes, say when a session has
//! ended.

mod kept;
#[cfg(test)]
mod tests;

use alloc::{format, vec::Vec};
use core::fmt;

use millstream_data::{Value, page::ValidPage, value::Record};
use millstream_state::window::{Lateness, Window};

use super::WindowAggregate;
use crate::{
    chain::{Chain, Context, OpenInfo, Signal, TaskError},
    operator::{Row, Stage, process_page, stateless::Emitter, timers::Timer},
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
    kept: Kept<A>,
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
    fn take(
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
        kept.fold(state, &key, &session, function, row)?;
        match session.window.max_time() <= watermark {
            // It has ended, and stays for rows like this one.
            true => self.emit(session.window, session.state, context),
            false => Ok(()),
        }
    }

    /// Ends the sessions that the watermark has reached; `false` if the context is blocked before all
    /// are.
    fn advance(&mut self, context: &mut Context<'_>) -> Result<bool, TaskError> {
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

impl<A, S, F, N> Chain for SessionChain<A, S, F, N>
where
    A: WindowAggregate,
    S: for<'a> Fn(Row<'a, A::In>) -> <A::Key as Value>::View<'a> + Send + 'static,
    F: for<'a> Fn(Row<'a, A::In>) -> i64 + Send + 'static,
    N: Stage<A::Out>,
{
    fn process(
        &mut self,
        _input: u16,
        page: &ValidPage<'_>,
        start: usize,
        context: &mut Context<'_>,
    ) -> usize {
        if !self.next.resume(context) {
            return start;
        }
        process_page::<A::In>(page, self.fingerprint, start, context, |row, context| {
            if let Err(error) = self.take(row, context) {
                context.fail(error);
            }
        })
    }

    fn signal(&mut self, signal: Signal, context: &mut Context<'_>) -> bool {
        if !self.next.resume(context) {
            return false;
        }
        if let Signal::Watermark(time) = signal {
            self.state.watermark = self.state.watermark.max(time);
            match self.advance(context) {
                Ok(true) => {}
                Ok(false) => return false,
                Err(error) => {
                    context.fail(error);
                    return false;
                }
            }
        }
        if let Some(late) = &mut self.late {
            late.signal(signal, context);
        }
        self.next.signal(signal, context)
    }

    fn finish(&mut self, context: &mut Context<'_>) -> bool {
        self.next.resume(context) && self.next.finish(context)
    }

    fn flush(&mut self, force: bool, context: &mut Context<'_>) {
        self.next.flush(force, context);
        if let Some(late) = &mut self.late {
            late.flush(force, context);
        }
    }

    fn begin_snapshot(&mut self) -> Result<(), TaskError> {
        self.state.begin_snapshot()
    }

    fn next_chunk(&mut self, out: &mut Vec<u8>) -> Result<bool, TaskError> {
        self.state.next_chunk(out)
    }

    fn abort_snapshot(&mut self) {
        self.state.abort_snapshot();
    }

    fn restore(&mut self, chunks: &[u8]) -> Result<(), TaskError> {
        self.state.restore(chunks)?;
        self.kept.restored(&mut self.state)
    }
}

impl<A: WindowAggregate, S, F, N> fmt::Debug for SessionChain<A, S, F, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionChain(gap {} ms)", self.gap)
    }
}
