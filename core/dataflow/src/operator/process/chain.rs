//! The chain that begins with a process function.

use core::fmt;

use millstream_data::{Value, page::ValidPage, value::Record};

use super::{KeyedProcessFunction, parts::Parts};
use crate::{
    chain::{Context, OpenInfo, TaskError},
    operator::{
        Row, Stage,
        head::KeyedHead,
        process_page,
        timers::{TimeKind, TimerService},
    },
    state::KeyedState,
};

/// A chain that hands rows and timers to a process function, see
/// [`KeyedStream::process`](crate::KeyedStream::process).
pub struct ProcessChain<F: KeyedProcessFunction, S, N> {
    function: F,
    key: S,
    fingerprint: u64,
    parts: Parts<F::Key, F::States, N>,
}

impl<F: KeyedProcessFunction, S, N> ProcessChain<F, S, N> {
    /// The chain of `function` and what follows it.
    pub(crate) fn new(
        mut function: F,
        key: S,
        info: &OpenInfo,
        next: N,
    ) -> Result<Self, TaskError> {
        let parts = Parts::open(info, next, |states| function.open(states))?;
        let fingerprint = F::In::schema().fingerprint();
        Ok(Self { function, key, fingerprint, parts })
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
        _input: u16,
        page: &ValidPage<'_>,
        start: usize,
        context: &mut Context<'_>,
    ) -> Result<usize, TaskError> {
        let Self { function, key, fingerprint, parts } = self;
        Ok(process_page::<F::In>(page, *fingerprint, start, context, |row, context| {
            let taken = parts.with_key(key(Row::new(row)), context, |states, keyed| {
                function.process(states, row, keyed)
            });
            if let Err(error) = taken {
                context.fail(error);
            }
        }))
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

impl<F: KeyedProcessFunction, S, N> fmt::Debug for ProcessChain<F, S, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProcessChain(watermark {})", self.parts.state.watermark)
    }
}
