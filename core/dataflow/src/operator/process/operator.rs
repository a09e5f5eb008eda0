//! Functions of rows without keys, whose state belongs to their subtask.

use core::fmt;

use alloc::vec::Vec;

use millstream_data::{Value, page::ValidPage, value::Record};

use super::{BroadcastContext, OperatorRegistry, OperatorStates};
use crate::{
    chain::{Context, OpenInfo, TaskError},
    operator::{Stage, head::KeyedHead, process_page, stateless::Emitter, timers::TimeKind},
    state::KeyedState,
};

/// A function that is given rows one after another, and keeps lists of its own in each subtask. When a job
/// goes on with another parallelism their elements are divided anew, or every subtask gets all of them
/// ([`ListSplit`](super::ListSplit)).
///
/// ```
/// use millstream_dataflow::{
///     Environment, TaskError,
///     operator::process::{
///         BroadcastContext, ListSplit, OperatorList, OperatorRegistry, OperatorStates, ProcessFunction,
///     },
/// };
///
/// /// Emits numbers in pairs; one that waits for another is state.
/// #[derive(Clone)]
/// struct Pairs;
///
/// impl ProcessFunction for Pairs {
///     type In = u64;
///     type Out = (u64, u64);
///     type States = OperatorList<u64>;
///
///     fn open(&mut self, states: &mut OperatorRegistry<'_>) -> Result<OperatorList<u64>, TaskError> {
///         states.list("waiting", ListSplit::Divided)
///     }
///
///     fn process(
///         &mut self,
///         waiting: &mut OperatorList<u64>,
///         number: u64,
///         states: &mut OperatorStates,
///         context: &mut BroadcastContext<'_, (u64, u64)>,
///     ) -> Result<(), TaskError> {
///         let first = waiting.iter(states).next().transpose()?;
///         match first {
///             None => waiting.add(states, number),
///             Some(first) => {
///                 waiting.clear(states);
///                 context.emit((first, number));
///                 Ok(())
///             }
///         }
///     }
/// }
///
/// let env = Environment::new("pairs");
/// env.generate(|_, _| 0..100u64).process_stateful(Pairs).result();
/// ```
pub trait ProcessFunction: Clone + Send + Sync + 'static {
    /// What it reads.
    type In: Value;
    /// What it emits.
    type Out: Value;
    /// Its states, as [`open`](Self::open) added them.
    type States: Send;

    /// Adds its states, always the same.
    ///
    /// # Errors
    /// Why the task cannot begin.
    fn open(&mut self, states: &mut OperatorRegistry<'_>) -> Result<Self::States, TaskError>;

    /// Takes a row. What is emitted has to find room at once.
    ///
    /// # Errors
    /// Why the task fails.
    fn process(
        &mut self,
        handles: &mut Self::States,
        row: <Self::In as Value>::View<'_>,
        states: &mut OperatorStates,
        context: &mut BroadcastContext<'_, Self::Out>,
    ) -> Result<(), TaskError>;
}

/// A chain that hands rows to a process function without keys, see
/// [`Stream::process_stateful`](crate::Stream::process_stateful).
pub struct OperatorProcessChain<F: ProcessFunction, N> {
    function: F,
    handles: F::States,
    lists: OperatorStates,
    fingerprint: u64,
    state: KeyedState,
    next: N,
}

impl<F: ProcessFunction, N> OperatorProcessChain<F, N> {
    /// The chain of `function` and what follows it.
    pub(crate) fn new(mut function: F, info: &OpenInfo, next: N) -> Result<Self, TaskError> {
        let mut state = KeyedState::open(info)?;
        let mut lists = OperatorStates::open(info.state.as_ref())?;
        let handles = function.open(&mut OperatorRegistry { states: &mut lists })?;
        lists.describe(&mut state)?;
        let fingerprint = F::In::schema().fingerprint();
        Ok(Self { function, handles, lists, fingerprint, state, next })
    }
}

impl<F: ProcessFunction, N: Stage<F::Out>> KeyedHead for OperatorProcessChain<F, N> {
    type Out = F::Out;
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
        let Self { function, handles, lists, fingerprint, state, next } = self;
        let (watermark, time) = (state.watermark, state.time);
        Ok(process_page::<F::In>(page, *fingerprint, start, context, |row, context| {
            let out = &mut Emitter { next, context };
            let given = &mut BroadcastContext::new(watermark, time, out);
            if let Err(error) = function.process(handles, row, lists, given) {
                context.fail(error);
            }
        }))
    }

    fn advance(&mut self, _kind: TimeKind, _context: &mut Context<'_>) -> Result<bool, TaskError> {
        Ok(true)
    }

    fn restored(&mut self) -> Result<(), TaskError> {
        Ok(())
    }

    fn freeze_more(&self, out: &mut Vec<u8>) {
        self.lists.freeze(&self.state, out);
    }

    fn restore_state(&mut self, chunks: &[u8]) -> Result<(), TaskError> {
        let Self { state, lists, .. } = self;
        let owned = state.groups();
        state.restore_with(chunks, |id, chunk| lists.thaw(id, chunk, &owned))
    }
}

impl<F: ProcessFunction, N> fmt::Debug for OperatorProcessChain<F, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OperatorProcessChain({:?})", self.lists)
    }
}
