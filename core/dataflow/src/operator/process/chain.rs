//! The chain that begins with a process function.

use core::fmt;

use millstream_data::{Value, page::ValidPage, value::Record};

use super::{KeyContext, KeyedProcessFunction, ProcessContext, StateRegistry};
use crate::{
    chain::{Context, OpenInfo, TaskError},
    operator::{
        Row, Stage,
        head::KeyedHead,
        process_page,
        stateless::Emitter,
        timers::{TimeKind, Timer, TimerService},
    },
    state::{KeyBatch, KeyedState},
};

/// A chain that hands rows and timers to a process function, see
/// [`KeyedStream::process`](crate::KeyedStream::process).
pub struct ProcessChain<F: KeyedProcessFunction, S, N> {
    function: F,
    states: F::States,
    key: S,
    fingerprint: u64,
    state: KeyedState,
    timers: TimerService,
    /// The key at hand.
    batch: KeyBatch<F::Key>,
    timer: Timer,
    next: N,
}

impl<F: KeyedProcessFunction, S, N> ProcessChain<F, S, N> {
    /// The chain of `function` and what follows it.
    pub(crate) fn new(
        mut function: F,
        key: S,
        info: &OpenInfo,
        next: N,
    ) -> Result<Self, TaskError> {
        let mut state = KeyedState::open(info)?;
        state.keyed_by::<F::Key>();
        let timers = TimerService::open(&mut state, 0)?;
        let batch = KeyBatch::new();
        let states = function.open(&mut StateRegistry::new(&mut state, batch.width(), 0))?;
        Ok(Self {
            function,
            states,
            key,
            fingerprint: F::In::schema().fingerprint(),
            state,
            timers,
            batch,
            timer: Timer::default(),
            next,
        })
    }
}

impl<F, S, N> ProcessChain<F, S, N>
where
    F: KeyedProcessFunction,
    S: for<'a> Fn(Row<'a, F::In>) -> <F::Key as Value>::View<'a> + Send + 'static,
    N: Stage<F::Out>,
{
    fn take_row(
        &mut self,
        row: <F::In as Value>::View<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), TaskError> {
        let Self { function, states, state, timers, batch, next, .. } = self;
        batch.clear();
        batch.push((self.key)(Row::new(row)));
        let key = batch.decode(batch.at(0))?;
        let keyed = KeyContext { state, timers, key: batch.keys().at(0) };
        let out = &mut Emitter { next, context };
        function.process(states, row, &mut ProcessContext { keyed, key, out })
    }
}

impl<F, S, N> KeyedHead for ProcessChain<F, S, N>
where
    F: KeyedProcessFunction,
    S: for<'a> Fn(Row<'a, F::In>) -> <F::Key as Value>::View<'a> + Send + 'static,
    N: Stage<F::Out>,
{
    type Out = F::Out;
    type Next = N;

    fn next(&mut self) -> &mut N {
        &mut self.next
    }

    fn state(&mut self) -> &mut KeyedState {
        &mut self.state
    }

    fn timers(&mut self) -> Option<&mut TimerService> {
        Some(&mut self.timers)
    }

    fn take(
        &mut self,
        _input: u16,
        page: &ValidPage<'_>,
        start: usize,
        context: &mut Context<'_>,
    ) -> Result<usize, TaskError> {
        Ok(process_page::<F::In>(page, self.fingerprint, start, context, |row, context| {
            if let Err(error) = self.take_row(row, context) {
                context.fail(error);
            }
        }))
    }

    /// Fires the timers that are due.
    fn advance(&mut self, kind: TimeKind, context: &mut Context<'_>) -> Result<bool, TaskError> {
        let Self { function, states, state, timers, batch, timer, next, .. } = self;
        while timers.next_due(kind, state, timer)? {
            batch.clear();
            batch.push_bytes(timer.key());
            let key = batch.checked(batch.at(0))?;
            let keyed = KeyContext { state, timers, key: batch.keys().at(0) };
            let out = &mut Emitter { next, context };
            let due = &mut ProcessContext { keyed, key, out };
            match kind {
                TimeKind::Event => function.on_timer(states, timer.time, due)?,
                TimeKind::Processing => function.on_processing_timer(states, timer.time, due)?,
            }
            if context.is_blocked() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn restored(&mut self) -> Result<(), TaskError> {
        self.timers.restored(&mut self.state)
    }
}

impl<F: KeyedProcessFunction, S, N> fmt::Debug for ProcessChain<F, S, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProcessChain(watermark {})", self.state.watermark)
    }
}
