//! Process functions with two inputs: rows of a key of either stream, with state and timers in
//! common.

use core::fmt;

use millstream_data::{Key, Value, page::ValidPage, row::RowValue, value::Record};

use super::{FunctionContext, StateRegistry, parts::Parts};
use crate::{
    chain::{Context, OpenInfo, TaskError},
    operator::{
        Row, Stage,
        head::{KeyedHead, third_input},
        process_page,
        timers::{TimeKind, TimerService},
    },
    state::KeyedState,
};

/// What is done with the rows of each key of two streams. State and timers of a key are the same
/// for both. Each subtask works with a clone of its own.
///
/// The watermark is the lesser one of both streams. Nothing is promised about which stream's rows
/// come first.
pub trait KeyedCoProcessFunction: Clone + Send + Sync + 'static {
    /// The key of the rows of both. Its row has at most 504 bytes, 496 where timers are registered.
    type Key: Key + RowValue + Record;
    /// The rows of the first stream.
    type First: Value;
    /// The rows of the second stream.
    type Second: Value;
    /// What it emits.
    type Out: Value;
    /// The handles of the states that it keeps for each key; `()` if it keeps none.
    type States: Send + 'static;

    /// Adds its states, before the first row. A job that goes on from a checkpoint must add the
    /// same ones in the same order.
    ///
    /// # Errors
    /// What the registry says, or the function's own. The task fails with it.
    fn open(&mut self, states: &mut StateRegistry<'_>) -> Result<Self::States, TaskError>;

    /// Takes a row of the first stream. What is emitted has to find room at once.
    ///
    /// # Errors
    /// What a state or a timer says, or the function's own. The task fails with it.
    fn first(
        &mut self,
        states: &mut Self::States,
        row: <Self::First as Value>::View<'_>,
        context: &mut CoProcessContext<'_, Self>,
    ) -> Result<(), TaskError>;

    /// Takes a row of the second stream. What is emitted has to find room at once.
    ///
    /// # Errors
    /// As [`first`](Self::first).
    fn second(
        &mut self,
        states: &mut Self::States,
        row: <Self::Second as Value>::View<'_>,
        context: &mut CoProcessContext<'_, Self>,
    ) -> Result<(), TaskError>;

    /// As [`KeyedProcessFunction::on_timer`](super::KeyedProcessFunction::on_timer).
    ///
    /// # Errors
    /// As [`first`](Self::first).
    fn on_timer(
        &mut self,
        states: &mut Self::States,
        time: i64,
        context: &mut CoProcessContext<'_, Self>,
    ) -> Result<(), TaskError> {
        let _ = (states, time, context);
        Ok(())
    }

    /// As
    /// [`KeyedProcessFunction::on_processing_timer`](super::KeyedProcessFunction::on_processing_timer).
    ///
    /// # Errors
    /// As [`first`](Self::first).
    fn on_processing_timer(
        &mut self,
        states: &mut Self::States,
        time: i64,
        context: &mut CoProcessContext<'_, Self>,
    ) -> Result<(), TaskError> {
        let _ = (states, time, context);
        Ok(())
    }
}

/// What a [`KeyedCoProcessFunction`] is given beside a row or a timer.
pub type CoProcessContext<'a, F> =
    FunctionContext<'a, <F as KeyedCoProcessFunction>::Key, <F as KeyedCoProcessFunction>::Out>;

/// A chain that hands the rows of two streams, and timers, to a process function, see
/// [`ConnectedStreams::process_keyed`](crate::stream::ConnectedStreams::process_keyed).
pub struct CoProcessChain<F: KeyedCoProcessFunction, S, R, N> {
    function: F,
    keys: (S, R),
    fingerprints: [u64; 2],
    parts: Parts<F::Key, F::States, N>,
}

impl<F: KeyedCoProcessFunction, S, R, N> CoProcessChain<F, S, R, N> {
    /// The chain of `function` and what follows it.
    pub(crate) fn new(
        mut function: F,
        keys: (S, R),
        info: &OpenInfo,
        next: N,
    ) -> Result<Self, TaskError> {
        let parts = Parts::open(info, next, |states| function.open(states))?;
        let fingerprints = [F::First::schema().fingerprint(), F::Second::schema().fingerprint()];
        Ok(Self { function, keys, fingerprints, parts })
    }
}

impl<F, S, R, N> KeyedHead for CoProcessChain<F, S, R, N>
where
    F: KeyedCoProcessFunction,
    S: for<'a> Fn(Row<'a, F::First>) -> <F::Key as Value>::View<'a> + Send + 'static,
    R: for<'a> Fn(Row<'a, F::Second>) -> <F::Key as Value>::View<'a> + Send + 'static,
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
        let Self { function, keys, fingerprints, parts } = self;
        let [first, second] = *fingerprints;
        Ok(match input {
            0 => process_page::<F::First>(page, first, start, context, |row, context| {
                let key = keys.0(Row::new(row));
                let taken = parts
                    .with_key(key, context, |states, keyed| function.first(states, row, keyed));
                if let Err(error) = taken {
                    context.fail(error);
                }
            }),
            1 => process_page::<F::Second>(page, second, start, context, |row, context| {
                let key = keys.1(Row::new(row));
                let taken = parts
                    .with_key(key, context, |states, keyed| function.second(states, row, keyed));
                if let Err(error) = taken {
                    context.fail(error);
                }
            }),
            _ => return Err(third_input()),
        })
    }

    fn advance(&mut self, kind: TimeKind, context: &mut Context<'_>) -> Result<bool, TaskError> {
        let Self { function, parts, .. } = self;
        parts.fire(kind, context, |states, time, keyed| match kind {
            TimeKind::Event => function.on_timer(states, time, keyed),
            TimeKind::Processing => function.on_processing_timer(states, time, keyed),
        })
    }

    fn restored(&mut self) -> Result<(), TaskError> {
        self.parts.restored()
    }
}

impl<F: KeyedCoProcessFunction, S, R, N> fmt::Debug for CoProcessChain<F, S, R, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CoProcessChain(watermark {})", self.parts.state.watermark)
    }
}
