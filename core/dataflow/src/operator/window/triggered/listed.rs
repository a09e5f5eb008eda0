//! Windows that keep their rows as they are.

use alloc::{vec, vec::Vec};

use millstream_data::{
    Value,
    row::{RowLayout, RowValue},
    value::Record,
};
use millstream_state::{
    Backend, Column, Key as StateKey, Kind, StateId, StateSpec, description::Part, list,
    window::Window,
};

use super::{
    NAMESPACE,
    contents::{Contents, Gather, Gathering},
    namespace,
};
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
