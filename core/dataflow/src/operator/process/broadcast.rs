//! Process functions with a broadcast input: rows of a key, beside rows that every subtask gets.

mod states;

use alloc::vec::Vec;
use core::fmt;

use millstream_data::{Key, Value, page::ValidPage, row::RowValue, value::Record};

pub use states::{BroadcastRegistry, BroadcastState, BroadcastStates};

use super::{FunctionContext, StateRegistry, parts::Parts};
use crate::{
    chain::{Context, OpenInfo, TaskError},
    operator::{
        Emit, Row, Stage,
        head::{KeyedHead, third_input},
        process_page,
        stateless::Emitter,
        timers::{TimeKind, TimerService},
    },
    state::KeyedState,
};

/// What is done with the rows of each key, by what the rows of another stream say, of which every
/// subtask gets all: rules, for instance. Each subtask works with a clone of its own.
///
/// What the broadcast rows say is [broadcast state](BroadcastStates). Only they can change it, and
/// each subtask has to make the same of them: it must not depend on the subtask or on the clock.
/// Nothing is promised about which stream's rows come first.
pub trait KeyedBroadcastProcessFunction: Clone + Send + Sync + 'static {
    /// The key of the rows. Its row has at most 504 bytes, 496 where timers are registered.
    type Key: Key + RowValue + Record;
    /// The rows with keys.
    type In: Value;
    /// The rows that every subtask gets.
    type Broadcast: Value;
    /// What it emits.
    type Out: Value;
    /// The handles of the states that it keeps, for each key and of the broadcast rows.
    type States: Send + 'static;

    /// Adds its states, before the first row. A job that goes on from a checkpoint must add the
    /// same ones in the same order.
    ///
    /// # Errors
    /// What a registry says, or the function's own. The task fails with it.
    fn open(
        &mut self,
        states: &mut StateRegistry<'_>,
        broadcast: &mut BroadcastRegistry<'_>,
    ) -> Result<Self::States, TaskError>;

    /// Takes a row of a key. What is emitted has to find room at once.
    ///
    /// # Errors
    /// What a state or a timer says, or the function's own. The task fails with it.
    fn process(
        &mut self,
        states: &mut Self::States,
        row: <Self::In as Value>::View<'_>,
        broadcast: &BroadcastStates,
        context: &mut KeyedBroadcastContext<'_, Self>,
    ) -> Result<(), TaskError>;

    /// Takes a broadcast row. There is no key at hand. What is emitted, each subtask emits; it has
    /// to find room at once.
    ///
    /// # Errors
    /// As [`process`](Self::process).
    fn process_broadcast(
        &mut self,
        states: &mut Self::States,
        row: <Self::Broadcast as Value>::View<'_>,
        broadcast: &mut BroadcastStates,
        context: &mut BroadcastContext<'_, Self::Out>,
    ) -> Result<(), TaskError>;

    /// As [`KeyedProcessFunction::on_timer`](super::KeyedProcessFunction::on_timer).
    ///
    /// # Errors
    /// As [`process`](Self::process).
    fn on_timer(
        &mut self,
        states: &mut Self::States,
        time: i64,
        broadcast: &BroadcastStates,
        context: &mut KeyedBroadcastContext<'_, Self>,
    ) -> Result<(), TaskError> {
        let _ = (states, time, broadcast, context);
        Ok(())
    }

    /// As
    /// [`KeyedProcessFunction::on_processing_timer`](super::KeyedProcessFunction::on_processing_timer).
    ///
    /// # Errors
    /// As [`process`](Self::process).
    fn on_processing_timer(
        &mut self,
        states: &mut Self::States,
        time: i64,
        broadcast: &BroadcastStates,
        context: &mut KeyedBroadcastContext<'_, Self>,
    ) -> Result<(), TaskError> {
        let _ = (states, time, broadcast, context);
        Ok(())
    }
}

/// What a [`KeyedBroadcastProcessFunction`] is given beside a row of a key or a timer.
pub type KeyedBroadcastContext<'a, F> = FunctionContext<
    'a,
    <F as KeyedBroadcastProcessFunction>::Key,
    <F as KeyedBroadcastProcessFunction>::Out,
>;

/// What a function is given beside a row without a key: a broadcast row, or one of a
/// [`ProcessFunction`](super::ProcessFunction).
pub struct BroadcastContext<'a, O: Value> {
    watermark: i64,
    time: i64,
    out: &'a mut dyn Emit<O>,
}

impl<'a, O: Value> BroadcastContext<'a, O> {
    pub(super) fn new(watermark: i64, time: i64, out: &'a mut dyn Emit<O>) -> Self {
        Self { watermark, time, out }
    }

    /// The watermark: rows at or before it, in milliseconds, that still come are late.
    pub fn watermark(&self) -> i64 {
        self.watermark
    }

    /// The processing time, in milliseconds since the epoch. Broadcast state must not depend on it.
    pub fn processing_time(&self) -> i64 {
        self.time
    }

    /// Emits a row.
    pub fn emit(&mut self, row: O::View<'_>) {
        self.out.emit(row);
    }
}

impl<O: Value> fmt::Debug for BroadcastContext<'_, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BroadcastContext(watermark {})", self.watermark)
    }
}

/// A chain that hands rows with keys, broadcast rows and timers to a process function, see
/// [`BroadcastConnectedStream::process`](crate::stream::BroadcastConnectedStream::process).
pub struct BroadcastProcessChain<F: KeyedBroadcastProcessFunction, S, N> {
    function: F,
    key: S,
    fingerprints: [u64; 2],
    broadcast: BroadcastStates,
    /// It writes broadcast state into snapshots, for all.
    is_first: bool,
    parts: Parts<F::Key, F::States, N>,
}

impl<F: KeyedBroadcastProcessFunction, S, N> BroadcastProcessChain<F, S, N> {
    /// The chain of `function` and what follows it.
    pub(crate) fn new(
        mut function: F,
        key: S,
        info: &OpenInfo,
        next: N,
    ) -> Result<Self, TaskError> {
        let mut broadcast = BroadcastStates::open(info.state.as_ref())?;
        let mut parts = Parts::open(info, next, |states| {
            function.open(states, &mut BroadcastRegistry { states: &mut broadcast })
        })?;
        broadcast.describe(&mut parts.state)?;
        let fingerprints = [F::In::schema().fingerprint(), F::Broadcast::schema().fingerprint()];
        Ok(Self { function, key, fingerprints, broadcast, is_first: info.subtask == 0, parts })
    }
}

impl<F, S, N> KeyedHead for BroadcastProcessChain<F, S, N>
where
    F: KeyedBroadcastProcessFunction,
    S: for<'a> Fn(Row<'a, F::In>) -> <F::Key as Value>::View<'a> + Send + 'static,
    N: Stage<F::Out>,
{
    type Out = F::Out;
    type Next = N;

    fn next(&mut self) -> &mut N {
        &mut self.parts.next
    }

    fn state(&mut self) -> &mut KeyedState {
        &mut self.parts.state
    }

    fn timers(&mut self) -> Option<&mut TimerService> {
        Some(&mut self.parts.timers)
    }

    fn take(
        &mut self,
        input: u16,
        page: &ValidPage<'_>,
        start: usize,
        context: &mut Context<'_>,
    ) -> Result<usize, TaskError> {
        let Self { function, key, fingerprints, broadcast, parts, .. } = self;
        let [keyed, of_all] = *fingerprints;
        Ok(match input {
            0 => process_page::<F::In>(page, keyed, start, context, |row, context| {
                let taken = parts.with_key(key(Row::new(row)), context, |states, keyed| {
                    function.process(states, row, broadcast, keyed)
                });
                if let Err(error) = taken {
                    context.fail(error);
                }
            }),
            1 => process_page::<F::Broadcast>(page, of_all, start, context, |row, context| {
                let Parts { states, state, next, .. } = parts;
                let (watermark, time) = (state.watermark, state.time);
                let out = &mut Emitter { next, context };
                let given = &mut BroadcastContext::new(watermark, time, out);
                if let Err(error) = function.process_broadcast(states, row, broadcast, given) {
                    context.fail(error);
                }
            }),
            _ => return Err(third_input()),
        })
    }

    fn advance(&mut self, kind: TimeKind, context: &mut Context<'_>) -> Result<bool, TaskError> {
        let Self { function, broadcast, parts, .. } = self;
        parts.fire(kind, context, |states, time, keyed| match kind {
            TimeKind::Event => function.on_timer(states, time, broadcast, keyed),
            TimeKind::Processing => function.on_processing_timer(states, time, broadcast, keyed),
        })
    }

    fn restored(&mut self) -> Result<(), TaskError> {
        self.parts.restored()
    }

    fn freeze_more(&self, out: &mut Vec<u8>) {
        if self.is_first {
            self.broadcast.freeze(out);
        }
    }

    fn restore_state(&mut self, chunks: &[u8]) -> Result<(), TaskError> {
        let Self { parts, broadcast, .. } = self;
        parts.state.restore_with(chunks, |id, chunk| broadcast.thaw(id, chunk))
    }
}

impl<F: KeyedBroadcastProcessFunction, S, N> fmt::Debug for BroadcastProcessChain<F, S, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BroadcastProcessChain(watermark {})", self.parts.state.watermark)
    }
}
