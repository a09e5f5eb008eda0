//! The value of each key, once, when the input has ended.

use core::{fmt, ops::Range};

use millstream_data::{Value, page::ValidPage, value::Record};
use millstream_state::Cursor;

use super::{
    AggregateFunction,
    accumulators::{Accumulators, BLOCK},
    front::Front,
    long_keys::pairs,
};
use crate::{
    chain::{Context, OpenInfo, Signal, TaskError},
    operator::{Row, Stage, check_schema, head::KeyedHead, timers::TimeKind},
    state::KeyedState,
};

/// A chain that folds the rows of each key and emits each key's value when the input has ended, see
/// [`KeyedStream::aggregate_at_end`](crate::KeyedStream::aggregate_at_end).
pub struct AggregateAtEndChain<A: AggregateFunction, S, N> {
    function: A,
    key: S,
    fingerprint: u64,
    state: KeyedState,
    accumulators: Accumulators<A>,
    front: Front<A>,
    /// How far the emission is, once the input has ended.
    emission: Option<Emission>,
    next: N,
}

/// How far the values of all keys were emitted.
#[derive(Clone, Debug)]
struct Emission {
    /// The key groups that are left, the one at hand in front, and where in that.
    groups: Range<u32>,
    cursor: Cursor,
    /// Whether these are those of long keys, the last ones.
    is_long: bool,
}

impl<A: AggregateFunction, S, N> AggregateAtEndChain<A, S, N> {
    /// The chain of `function` and what follows it.
    pub(crate) fn new(function: A, key: S, info: &OpenInfo, next: N) -> Result<Self, TaskError> {
        let mut state = KeyedState::open(info)?;
        let accumulators = Accumulators::register(&function, &mut state)?;
        let fingerprint = A::In::schema().fingerprint();
        let front = Front::new();
        Ok(Self { function, key, fingerprint, state, accumulators, front, emission: None, next })
    }
}

impl<A, S, N> KeyedHead for AggregateAtEndChain<A, S, N>
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
        _context: &mut Context<'_>,
    ) -> Result<usize, TaskError> {
        check_schema::<A::In>(page, self.fingerprint)?;
        let Self { function, key, state, accumulators, front, .. } = self;
        let columns = A::In::bind(page);
        let mut row = start;
        while row < page.rows() {
            let end = page.rows().min(row + BLOCK);
            if front.is_used(end - row, accumulators, state)? {
                for row in row..end {
                    let view = A::In::at(&columns, row);
                    let key = key(Row::new(view));
                    let accumulator = match front.find(key) {
                        Some(accumulator) => accumulator,
                        None => front.bring(function, key, accumulators, state)?,
                    };
                    function.add(accumulator, view);
                }
                row = end;
                continue;
            }
            accumulators.batch.clear();
            for row in row..end {
                accumulators.batch.push(key(Row::new(A::In::at(&columns, row))));
            }
            row += accumulators.fold(function, state, |index, accumulator| {
                function.add(accumulator, A::In::at(&columns, row + index));
                true
            })?;
        }
        Ok(row)
    }

    fn advance(&mut self, _kind: TimeKind, _context: &mut Context<'_>) -> Result<bool, TaskError> {
        Ok(true)
    }

    /// Rows come when the input has ended: no time passes before.
    fn passes(&self, signal: Signal) -> bool {
        !matches!(signal, Signal::Watermark(_))
    }

    fn end(&mut self, context: &mut Context<'_>) -> Result<bool, TaskError> {
        let Self { function, state, accumulators, front, emission, next, .. } = self;
        if emission.is_none() {
            front.write(accumulators, state)?;
        }
        let all = state.groups();
        let of = |is_long| Emission { groups: all.clone(), cursor: Cursor::default(), is_long };
        let emission = emission.get_or_insert_with(|| of(false));
        loop {
            let Some(group) = emission.groups.clone().next() else {
                match emission.is_long || accumulators.long.is_none() {
                    true => return Ok(true),
                    false => *emission = of(true),
                }
                continue;
            };
            let Emission { groups, cursor, is_long } = emission;
            let long = accumulators.long.as_ref().filter(|_| *is_long);
            let values = long.map_or(accumulators.values, |long| long.values);
            let mut wrong = None;
            state.scan_from(values, group, cursor, |key, value| {
                let mut emit = |key, value| {
                    let accumulator = accumulators.decode(value)?;
                    let made = function.finish(accumulators.batch.decode(key)?, &accumulator);
                    next.push(made.view(), context);
                    Ok(())
                };
                let made = match *is_long {
                    true => pairs(value).try_for_each(|(key, value)| emit(key, value)),
                    false => emit(key, value),
                };
                wrong = made.err();
                wrong.is_none() && !context.is_blocked()
            })?;
            wrong.map_or(Ok(()), Err)?;
            if context.is_blocked() && !cursor.is_done {
                return Ok(false);
            }
            groups.next();
            *cursor = Cursor::default();
            if context.is_blocked() {
                return Ok(false);
            }
        }
    }

    /// What was emitted is not emitted again by who goes on from this snapshot.
    fn before_snapshot(&mut self) -> Result<(), TaskError> {
        self.front.write(&mut self.accumulators, &mut self.state)?;
        let Accumulators { values, long, .. } = &self.accumulators;
        let is_over = |emission: &Emission| {
            emission.groups.is_empty() && (emission.is_long || long.is_none())
        };
        if self.emission.as_ref().is_some_and(is_over) {
            self.state.clear(*values)?;
            long.iter().try_for_each(|long| self.state.clear(long.values))?;
        }
        Ok(())
    }

    fn restored(&mut self) -> Result<(), TaskError> {
        Ok(())
    }
}

impl<A: AggregateFunction, S, N> fmt::Debug for AggregateAtEndChain<A, S, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AggregateAtEndChain({:?})", self.front)
    }
}
