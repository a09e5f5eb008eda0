//! What is kept of the rows of a window, and what is made of it when the window is emitted.

use alloc::{vec, vec::Vec};
use core::marker::PhantomData;

use millstream_data::{
    Key, Value,
    row::{RowLayout, RowValue},
    value::Record,
};
use millstream_state::{
    Backend, Column, Key as StateKey, Kind, StateId, StateSpec,
    description::Part,
    keyed::{Descriptor, ValueState},
    list,
    window::Window,
};

use super::{NAMESPACE, namespace};
use crate::{
    chain::TaskError,
    operator::{
        Emit,
        window::{
            Evictor, ProcessWindowFunction, WindowAggregate, WindowContext, WindowRows, WindowTimes,
        },
    },
    state::{self, KeyBatch, KeyedState, damaged},
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

/// Rows are kept as they are, and a function sees them all, but those that the evictor removes.
#[derive(Clone)]
pub struct Listing<F, E> {
    pub(crate) function: F,
    pub(crate) evictor: E,
}

/// [`Listing`], in state: of each row its time and then the row.
pub(crate) struct Listed<F, E> {
    function: F,
    evictor: E,
    layout: RowLayout,
    rows: StateId,
    /// Bytes of an element, if all have the same.
    width: Option<usize>,
    element: Vec<u8>,
}

/// Bytes of the time in front of a row.
const TIME: usize = 8;

impl<F, E> Gathering for Listing<F, E>
where
    F: ProcessWindowFunction,
    E: Evictor<F::In>,
{
    type In = F::In;
    type Key = F::Key;
    type Out = F::Out;
}

impl<F, E> Gather for Listing<F, E>
where
    F: ProcessWindowFunction,
    E: Evictor<F::In>,
{
    type Contents = Listed<F, E>;

    fn open(self, state: &mut KeyedState, key: Option<usize>) -> Result<Self::Contents, TaskError> {
        let Self { function, evictor } = self;
        let layout = RowLayout::new(&F::In::schema());
        let width = layout.is_fixed().then(|| TIME + layout.fixed_bytes());
        let rows = state.register(&StateSpec {
            name: "window-contents".into(),
            kind: Kind::List,
            key,
            namespace: Some(NAMESPACE),
            value: width,
        })?;
        let value = vec![Part::Opaque(Some(TIME as u32)), Part::Row(F::In::schema())];
        let contents = state::Contents { value, ..state::Contents::default() };
        state.describe(rows, contents.within(NAMESPACE));
        Ok(Listed { function, evictor, layout, rows, width, element: Vec::new() })
    }
}

impl<F, E> Listed<F, E> {
    fn put(&self, state: &mut KeyedState, at: &StateKey<'_>, list: &[u8]) -> Result<(), TaskError> {
        state.access(*at, |access| access.backend.put_list(self.rows, &access.key, list))
    }
}

impl<F, E> Contents for Listed<F, E>
where
    F: ProcessWindowFunction,
    E: Evictor<F::In>,
{
    type In = F::In;
    type Key = F::Key;
    type Out = F::Out;

    fn add(
        &mut self,
        state: &mut KeyedState,
        at: &StateKey<'_>,
        time: i64,
        row: <F::In as Value>::View<'_>,
    ) -> Result<(), TaskError> {
        let Self { layout, rows, element, .. } = self;
        element.clear();
        element.extend_from_slice(&time.to_le_bytes());
        layout.encode::<F::In>(row, element);
        state.change(|store, _| store.append(*rows, &at.batch(), Column::Same(element)))
    }

    fn merge(
        &mut self,
        state: &mut KeyedState,
        into: &StateKey<'_>,
        others: &[Window],
    ) -> Result<(), TaskError> {
        let (mut merged, mut one) = (Vec::new(), Vec::new());
        state.read(self.rows, into, &mut merged)?;
        for other in others {
            let namespace = namespace(other);
            let at = StateKey { namespace: &namespace, ..*into };
            if state.read(self.rows, &at, &mut one)? {
                merged.extend_from_slice(&one);
                self.put(state, &at, &[])?;
            }
        }
        if others.is_empty() { Ok(()) } else { self.put(state, into, &merged) }
    }

    fn emit(
        &mut self,
        state: &mut KeyedState,
        at: &StateKey<'_>,
        keys: &KeyBatch<F::Key>,
        window: Window,
        out: &mut dyn Emit<F::Out>,
    ) -> Result<(), TaskError> {
        let mut stored = Vec::new();
        if !state.read(self.rows, at, &mut stored)? {
            return Ok(());
        }
        let times = WindowTimes::of(state);
        let elements = list::elements(&stored, self.width).map(|element| {
            let (time, row) = element.split_first_chunk().ok_or_else(|| {
                damaged("row of a window", &"it is too short to begin with its time")
            })?;
            Ok((i64::from_le_bytes(*time), row))
        });
        let elements = elements.collect::<Result<Vec<_>, TaskError>>()?;
        let before = elements.len();
        let Self { function, evictor, layout, .. } = self;
        let mut rows = WindowRows::checked(layout, elements)?;
        evictor.evict_before(&mut rows, window, times);
        let key = keys.decode(keys.at(0))?;
        function.process(&rows, &mut WindowContext::new(key, window, times, out))?;
        evictor.evict_after(&mut rows, window, times);
        if rows.len() == before {
            return Ok(());
        }
        let mut left = Vec::new();
        for (time, row) in rows.encoded() {
            if self.width.is_none() {
                left.extend_from_slice(&((TIME + row.len()) as u32).to_le_bytes());
            }
            left.extend_from_slice(&time.to_le_bytes());
            left.extend_from_slice(row);
        }
        self.put(state, at, &left)
    }

    fn clear(&mut self, state: &mut KeyedState, at: &StateKey<'_>) -> Result<(), TaskError> {
        self.put(state, at, &[])
    }
}

/// An aggregate of all rows of a window at once: what an evictor leaves is only known then.
#[derive(Clone, Debug)]
pub struct AtOnce<A>(pub(crate) A);

impl<A: WindowAggregate<In: RowValue + Record>> ProcessWindowFunction for AtOnce<A> {
    type Key = A::Key;
    type In = A::In;
    type Out = A::Out;

    fn process(
        &mut self,
        rows: &WindowRows<'_, A::In>,
        context: &mut WindowContext<'_, Self>,
    ) -> Result<(), TaskError> {
        let mut accumulator = self.0.create();
        rows.iter().for_each(|row| self.0.add(&mut accumulator, row));
        let (key, window) = (context.key(), context.window());
        self.0.finish(key, window, accumulator.view(), context);
        Ok(())
    }
}

impl<A: WindowAggregate<In: RowValue + Record>> Emit<A::Out> for WindowContext<'_, AtOnce<A>> {
    fn emit(&mut self, row: <A::Out as Value>::View<'_>) {
        WindowContext::emit(self, row);
    }
}
