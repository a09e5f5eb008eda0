//! What the chains of all functions with keys are made of.

use millstream_data::{Key, Value, row::RowValue, value::Record};

use super::{FunctionContext, KeyContext, StateRegistry};
use crate::{
    chain::{Context, OpenInfo, TaskError},
    operator::{
        Stage,
        stateless::Emitter,
        timers::{TimeKind, Timer, TimerService},
    },
    state::{KeyBatch, KeyedState},
};

/// The state and timers of the keys, the states of the function, and what follows.
pub(super) struct Parts<K, T, N> {
    pub(super) states: T,
    pub(super) state: KeyedState,
    pub(super) timers: TimerService,
    /// The key at hand.
    batch: KeyBatch<K>,
    timer: Timer,
    pub(super) next: N,
}

impl<K: Key + RowValue + Record, T, N> Parts<K, T, N> {
    /// Without content; `open` adds the states of the function.
    pub(super) fn open(
        info: &OpenInfo,
        next: N,
        open: impl FnOnce(&mut StateRegistry<'_>) -> Result<T, TaskError>,
    ) -> Result<Self, TaskError> {
        let mut state = KeyedState::open(info)?;
        state.keyed_by::<K>();
        let timers = TimerService::open(&mut state, 0)?;
        let batch = KeyBatch::new();
        let states = open(&mut StateRegistry::new(&mut state, batch.width(), 0))?;
        Ok(Self { states, state, timers, batch, timer: Timer::default(), next })
    }

    /// Calls a function for a row of a key.
    pub(super) fn with_key<O: Value>(
        &mut self,
        key: K::View<'_>,
        context: &mut Context<'_>,
        call: impl FnOnce(&mut T, &mut FunctionContext<'_, K, O>) -> Result<(), TaskError>,
    ) -> Result<(), TaskError>
    where
        N: Stage<O>,
    {
        let Self { states, state, timers, batch, next, .. } = self;
        batch.clear();
        batch.push(key);
        let key = batch.decode(batch.at(0))?;
        let keyed = KeyContext { state, timers, key: batch.keys().at(0) };
        call(states, &mut FunctionContext { keyed, key, out: &mut Emitter { next, context } })
    }

    /// Calls a function with the time of each timer of a kind that is due; `false` if the context
    /// is blocked before all were.
    pub(super) fn fire<O: Value>(
        &mut self,
        kind: TimeKind,
        context: &mut Context<'_>,
        mut call: impl FnMut(&mut T, i64, &mut FunctionContext<'_, K, O>) -> Result<(), TaskError>,
    ) -> Result<bool, TaskError>
    where
        N: Stage<O>,
    {
        let Self { states, state, timers, batch, timer, next } = self;
        while timers.next_due(kind, state, timer)? {
            batch.clear();
            batch.push_bytes(timer.key());
            let key = batch.checked(batch.at(0))?;
            let keyed = KeyContext { state, timers, key: batch.keys().at(0) };
            let out = &mut Emitter { next, context };
            call(states, timer.time, &mut FunctionContext { keyed, key, out })?;
            if context.is_blocked() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The state was put back.
    pub(super) fn restored(&mut self) -> Result<(), TaskError> {
        self.timers.restored(&mut self.state)
    }
}
