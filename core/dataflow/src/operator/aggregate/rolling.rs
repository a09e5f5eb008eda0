//! The value of a key after each of its rows.

use core::fmt;

use millstream_data::{Value, page::ValidPage, value::Record};

use super::{
    AggregateFunction,
    accumulators::{Accumulators, BLOCK},
    front::Front,
};
use crate::{
    chain::{Context, OpenInfo, TaskError},
    operator::{Row, Stage, check_schema, head::KeyedHead, timers::TimeKind},
    state::KeyedState,
};

/// A chain that folds the rows of each key and emits the new value after each of them, as Flink's rolling
/// aggregations; see [`KeyedStream::aggregate`](crate::KeyedStream::aggregate).
pub struct AggregateChain<A: AggregateFunction, S, N> {
    function: A,
    key: S,
    fingerprint: u64,
    state: KeyedState,
    accumulators: Accumulators<A>,
    front: Front<A>,
    next: N,
}

impl<A: AggregateFunction, S, N> AggregateChain<A, S, N> {
    /// The chain of `function` and what follows it.
    pub(crate) fn new(function: A, key: S, info: &OpenInfo, next: N) -> Result<Self, TaskError> {
        let mut state = KeyedState::open(info)?;
        let accumulators = Accumulators::register(&function, &mut state)?;
        let fingerprint = A::In::schema().fingerprint();
        Ok(Self { function, key, fingerprint, state, accumulators, front: Front::new(), next })
    }
}

impl<A, S, N> KeyedHead for AggregateChain<A, S, N>
where
    A: AggregateFunction,
    S: for<'a> Fn(Row<'a, A::In>) -> <A::Key as Value>::View<'a> + Send + 'static,
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
        let Self { function, key, state, accumulators, front, next, .. } = self;
        let columns = A::In::bind(page);
        let mut row = start;
        while row < page.rows() && !context.is_blocked() {
            let end = page.rows().min(row + BLOCK);
            if front.is_used(end - row, accumulators, state)? {
                while row < end && !context.is_blocked() {
                    let view = A::In::at(&columns, row);
                    let key = key(Row::new(view));
                    let accumulator = match front.find(key) {
                        Some(accumulator) => accumulator,
                        None => front.bring(function, key, accumulators, state)?,
                    };
                    function.add(accumulator, view);
                    let made = function.finish(key, accumulator);
                    next.push(made.view(), context);
                    row += 1;
                }
                continue;
            }
            accumulators.batch.clear();
            for row in row..end {
                accumulators.batch.push(key(Row::new(A::In::at(&columns, row))));
            }
            row += accumulators.fold(function, state, |index, accumulator| {
                let view = A::In::at(&columns, row + index);
                function.add(accumulator, view);
                let made = function.finish(key(Row::new(view)), accumulator);
                next.push(made.view(), context);
                !context.is_blocked()
            })?;
        }
        Ok(row)
    }

    fn advance(&mut self, _kind: TimeKind, _context: &mut Context<'_>) -> Result<bool, TaskError> {
        Ok(true)
    }

    fn before_snapshot(&mut self) -> Result<(), TaskError> {
        self.front.write(&mut self.accumulators, &mut self.state).map(|_| ())
    }

    fn restored(&mut self) -> Result<(), TaskError> {
        Ok(())
    }
}

impl<A: AggregateFunction, S, N> fmt::Debug for AggregateChain<A, S, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AggregateChain({:?})", self.front)
    }
}
