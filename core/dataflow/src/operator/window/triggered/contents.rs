//! What is kept of the rows of a window, and what is made of it when the window is emitted.

use alloc::vec::Vec;
use core::marker::PhantomData;

use millstream_data::{
    Key, Value,
    row::{RowLayout, RowValue},
    value::Record,
};
use millstream_state::{
    Key as StateKey,
    keyed::{Descriptor, ValueState},
    window::Window,
};

use super::{NAMESPACE, namespace};
use crate::{
    chain::TaskError,
    operator::{
        Emit,
        window::{ProcessWindowFunction, WindowAggregate, WindowContext, WindowRows, WindowTimes},
    },
    state::{self, KeyBatch, KeyedState},
};

/// How the rows of windows are kept: folded, or as they are.
pub trait Gathering: Clone + Send + Sync + 'static {
    /// The rows.
    type In: Value;
    /// The key of the rows that are taken together.
    type Key: Key + RowValue + Record;
    /// What comes of a window.
    type Out: Value;
}

/// A [`Gathering`] of which a chain is made.
pub(crate) trait Gather: Gathering {
    type Contents: Contents<In = Self::In, Key = Self::Key, Out = Self::Out>;

    /// Adds its state, for keys of `key` bytes, if all have the same.
    fn open(self, state: &mut KeyedState, key: Option<usize>) -> Result<Self::Contents, TaskError>;
}

/// What is kept for each key and window. `at` is a key within the namespace of a window.
pub(crate) trait Contents: Send + 'static {
    type In: Value;
    type Key: Key + RowValue + Record;
    type Out: Value;

    /// Adds a row.
    fn add(
        &mut self,
        state: &mut KeyedState,
        at: &StateKey<'_>,
        time: i64,
        row: <Self::In as Value>::View<'_>,
    ) -> Result<(), TaskError>;

    /// Adds what other windows of the key have, and removes it there.
    fn merge(
        &mut self,
        state: &mut KeyedState,
        into: &StateKey<'_>,
        others: &[Window],
    ) -> Result<(), TaskError>;

    /// Emits what comes of it, if there is anything. The key is the first of `keys`.
    fn emit(
        &mut self,
        state: &mut KeyedState,
        at: &StateKey<'_>,
        keys: &KeyBatch<Self::Key>,
        window: Window,
        out: &mut dyn Emit<Self::Out>,
    ) -> Result<(), TaskError>;

    /// Removes it.
    fn clear(&mut self, state: &mut KeyedState, at: &StateKey<'_>) -> Result<(), TaskError>;
}

/// Rows are folded as they come, and the accumulator makes the result.
#[derive(Clone)]
pub struct Folding<A> {
    pub(crate) function: A,
}

/// [`Folding`], in state.
pub(crate) struct Folded<A: WindowAggregate> {
    function: A,
    accumulators: ValueState<A::Accumulator>,
}

impl<A: WindowAggregate> Gathering for Folding<A> {
    type In = A::In;
    type Key = A::Key;
    type Out = A::Out;
}

impl<A: WindowAggregate> Gather for Folding<A> {
    type Contents = Folded<A>;

    fn open(self, state: &mut KeyedState, key: Option<usize>) -> Result<Folded<A>, TaskError> {
        let values =
            Descriptor { key, namespace: Some(NAMESPACE), ..Descriptor::new("window-contents") };
        let register = |store: &mut _| ValueState::register(store, &values);
        let accumulators = state.handle(register, ValueState::id)?;
        let contents = state::Contents::rows::<A::Accumulator>();
        state.describe(accumulators.id(), contents.within(NAMESPACE));
        Ok(Folded { function: self.function, accumulators })
    }
}

impl<A: WindowAggregate> Contents for Folded<A> {
    type In = A::In;
    type Key = A::Key;
    type Out = A::Out;

    fn add(
        &mut self,
        state: &mut KeyedState,
        at: &StateKey<'_>,
        _time: i64,
        row: <A::In as Value>::View<'_>,
    ) -> Result<(), TaskError> {
        let Self { function, accumulators } = self;
        let found = state.access(*at, |access| accumulators.get(access))?;
        let mut accumulator = found.unwrap_or_else(|| function.create());
        function.add(&mut accumulator, row);
        state.access(*at, |access| accumulators.set(access, accumulator.view()))
    }

    fn merge(
        &mut self,
        state: &mut KeyedState,
        into: &StateKey<'_>,
        others: &[Window],
    ) -> Result<(), TaskError> {
        let Self { function, accumulators } = self;
        let mut merged = state.access(*into, |access| accumulators.get(access))?;
        for other in others {
            let namespace = namespace(other);
            let at = StateKey { namespace: &namespace, ..*into };
            let Some(found) = state.access(at, |access| accumulators.get(access))? else {
                continue;
            };
            state.access(at, |access| accumulators.clear(access))?;
            match &mut merged {
                Some(merged) => function.merge(merged, found.view()),
                None => merged = Some(found),
            }
        }
        let Some(merged) = merged else { return Ok(()) };
        state.access(*into, |access| accumulators.set(access, merged.view()))
    }

    fn emit(
        &mut self,
        state: &mut KeyedState,
        at: &StateKey<'_>,
        keys: &KeyBatch<A::Key>,
        window: Window,
        out: &mut dyn Emit<A::Out>,
    ) -> Result<(), TaskError> {
        let Self { function, accumulators } = self;
        let key = keys.decode(keys.at(0))?;
        state.access(*at, |access| {
            accumulators
                .read(access, |accumulator| function.finish(key, window, accumulator, &mut *out))
        })?;
        Ok(())
    }

    fn clear(&mut self, state: &mut KeyedState, at: &StateKey<'_>) -> Result<(), TaskError> {
        state.access(*at, |access| self.accumulators.clear(access))
    }
}

/// Rows are folded as they come, and a function is given what comes of that.
#[derive(Clone)]
pub struct FoldingThen<A, F> {
    pub(crate) function: A,
    pub(crate) then: F,
}

/// [`FoldingThen`], in state.
pub(crate) struct FoldedThen<A: WindowAggregate, F> {
    folded: Folded<A>,
    then: F,
    layout: RowLayout,
}

impl<A, F> Gathering for FoldingThen<A, F>
where
    A: WindowAggregate<Out: RowValue + Record>,
    F: ProcessWindowFunction<Key = A::Key, In = A::Out>,
{
    type In = A::In;
    type Key = A::Key;
    type Out = F::Out;
}

impl<A, F> Gather for FoldingThen<A, F>
where
    A: WindowAggregate<Out: RowValue + Record>,
    F: ProcessWindowFunction<Key = A::Key, In = A::Out>,
{
    type Contents = FoldedThen<A, F>;

    fn open(self, state: &mut KeyedState, key: Option<usize>) -> Result<Self::Contents, TaskError> {
        let Self { function, then } = self;
        let folded = Folding { function }.open(state, key)?;
        Ok(FoldedThen { folded, then, layout: RowLayout::new(&F::In::schema()) })
    }
}

/// Takes what an aggregate makes, for the function behind it.
struct Made<'a, T> {
    layout: &'a RowLayout,
    bytes: Vec<u8>,
    ends: Vec<usize>,
    of: PhantomData<fn(T)>,
}

impl<T: RowValue> Emit<T> for Made<'_, T> {
    fn emit(&mut self, row: T::View<'_>) {
        self.layout.encode::<T>(row, &mut self.bytes);
        self.ends.push(self.bytes.len());
    }
}

impl<A, F> Contents for FoldedThen<A, F>
where
    A: WindowAggregate<Out: RowValue + Record>,
    F: ProcessWindowFunction<Key = A::Key, In = A::Out>,
{
    type In = A::In;
    type Key = A::Key;
    type Out = F::Out;

    fn add(
        &mut self,
        state: &mut KeyedState,
        at: &StateKey<'_>,
        time: i64,
        row: <A::In as Value>::View<'_>,
    ) -> Result<(), TaskError> {
        self.folded.add(state, at, time, row)
    }

    fn merge(
        &mut self,
        state: &mut KeyedState,
        into: &StateKey<'_>,
        others: &[Window],
    ) -> Result<(), TaskError> {
        self.folded.merge(state, into, others)
    }

    fn emit(
        &mut self,
        state: &mut KeyedState,
        at: &StateKey<'_>,
        keys: &KeyBatch<A::Key>,
        window: Window,
        out: &mut dyn Emit<F::Out>,
    ) -> Result<(), TaskError> {
        let Self { folded, then, layout } = self;
        let (bytes, ends) = (Vec::new(), Vec::new());
        let mut made = Made { layout, bytes, ends, of: PhantomData };
        folded.emit(state, at, keys, window, &mut made)?;
        let Made { bytes, ends, .. } = made;
        if ends.is_empty() {
            return Ok(());
        }
        let mut begin = 0;
        let rows = ends.iter().map(|end| {
            let row = bytes.get(begin..*end).unwrap_or(&[]);
            begin = *end;
            (window.max_time(), row)
        });
        let rows = WindowRows::checked(layout, rows.collect())?;
        let key = keys.decode(keys.at(0))?;
        then.process(&rows, &mut WindowContext::new(key, window, WindowTimes::of(state), out))
    }

    fn clear(&mut self, state: &mut KeyedState, at: &StateKey<'_>) -> Result<(), TaskError> {
        self.folded.clear(state, at)
    }
}
