//! The chain that begins with a process function.

use alloc::vec::Vec;
use core::fmt;

use millstream_data::{Value, page::ValidPage, value::Record};

use super::{KeyContext, KeyedProcessFunction, ProcessContext, StateRegistry};
use crate::{
    chain::{Chain, Context, OpenInfo, Signal, TaskError},
    operator::{
        Row, Stage, process_page,
        stateless::Emitter,
        timers::{Timer, Timers},
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
    timers: Timers,
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
        let timers = Timers::open(&mut state, 0)?;
        let batch = KeyBatch::new();
        let states = function.open(&mut StateRegistry::new(&mut state, batch.width()))?;
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
    fn take(
        &mut self,
        row: <F::In as Value>::View<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), TaskError> {
        let Self { function, states, state, timers, batch, next, .. } = self;
        let watermark = state.watermark;
        batch.clear();
        batch.push((self.key)(Row::new(row)));
        let key = batch.decode(batch.at(0))?;
        let keyed = KeyContext { state, timers, key: batch.keys().at(0), watermark };
        let out = &mut Emitter { next, context };
        function.process(states, row, &mut ProcessContext { keyed, key, out })
    }

    /// Fires the timers that the watermark has made due; `false` if the context is blocked before all
    /// have.
    fn advance(&mut self, context: &mut Context<'_>) -> Result<bool, TaskError> {
        let Self { function, states, state, timers, batch, timer, next, .. } = self;
        let watermark = state.watermark;
        while timers.next_due(state, watermark, timer)? {
            batch.clear();
            batch.push_bytes(timer.key());
            let key = batch.checked(batch.at(0))?;
            let at = batch.keys().at(0);
            let keyed = KeyContext { state, timers, key: at, watermark };
            let out = &mut Emitter { next, context };
            function.on_timer(states, timer.time, &mut ProcessContext { keyed, key, out })?;
            if context.is_blocked() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl<F, S, N> Chain for ProcessChain<F, S, N>
where
    F: KeyedProcessFunction,
    S: for<'a> Fn(Row<'a, F::In>) -> <F::Key as Value>::View<'a> + Send + 'static,
    N: Stage<F::Out>,
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
        process_page::<F::In>(page, self.fingerprint, start, context, |row, context| {
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
        self.next.signal(signal, context)
    }

    fn finish(&mut self, context: &mut Context<'_>) -> bool {
        self.next.resume(context) && self.next.finish(context)
    }

    fn flush(&mut self, force: bool, context: &mut Context<'_>) {
        self.next.flush(force, context);
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
        self.timers.restored(&self.state)
    }
}

impl<F: KeyedProcessFunction, S, N> fmt::Debug for ProcessChain<F, S, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProcessChain(watermark {})", self.state.watermark)
    }
}
