//! What a process function is given: the key at hand, and where to emit.

use core::fmt;

use millstream_data::Value;
use millstream_state::Key as StateKey;

use crate::{
    chain::TaskError,
    operator::{Emit, timers::TimerService},
    state::KeyedState,
};

/// The key at hand: where [states](super::ValueState) are read and changed, and timers registered.
pub struct KeyContext<'a> {
    pub(in crate::operator) state: &'a mut KeyedState,
    pub(in crate::operator) timers: &'a mut TimerService,
    /// With the namespace in which its states and timers are.
    pub(in crate::operator) key: StateKey<'a>,
}

impl KeyContext<'_> {
    /// The watermark: rows at or before it, in milliseconds, that still come are late.
    /// [`WATERMARK_MIN`](millstream_state::time::WATERMARK_MIN) before the first one.
    pub fn watermark(&self) -> i64 {
        self.state.watermark
    }

    /// The processing time, in milliseconds since the epoch: that of the wall clock when the page
    /// at hand was begun. It never goes back as long as the process lives.
    pub fn processing_time(&self) -> i64 {
        self.state.time
    }

    /// Has the key called when the watermark reaches `time`, in milliseconds; at the next watermark
    /// if it has already. A key has one timer of a time, however often it is registered.
    ///
    /// # Errors
    /// If the managed memory is used up, or the key's row has more than 496 bytes.
    pub fn register_timer(&mut self, time: i64) -> Result<(), TaskError> {
        self.timers.event.register(self.state, &self.key, time)
    }

    /// Deletes the key's timer of a time, if there is one.
    ///
    /// # Errors
    /// If the managed memory is used up: an open snapshot may need some.
    pub fn delete_timer(&mut self, time: i64) -> Result<(), TaskError> {
        self.timers.event.delete(self.state, &self.key, time)
    }

    /// Has the key called when the wall clock reaches `time`, in milliseconds since the epoch; as
    /// soon as may be if it has already. A key has one timer of a time, however often it is
    /// registered.
    ///
    /// # Errors
    /// As [`register_timer`](Self::register_timer).
    pub fn register_processing_timer(&mut self, time: i64) -> Result<(), TaskError> {
        self.timers.processing.register(self.state, &self.key, time)
    }

    /// Deletes the key's timer of a processing time, if there is one.
    ///
    /// # Errors
    /// As [`delete_timer`](Self::delete_timer).
    pub fn delete_processing_timer(&mut self, time: i64) -> Result<(), TaskError> {
        self.timers.processing.delete(self.state, &self.key, time)
    }
}

impl fmt::Debug for KeyContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyContext(watermark {})", self.watermark())
    }
}

/// What a function with keys is given beside a row or a timer. It is a [`KeyContext`], by which
/// states are reached: `states.count.get(context)?`.
pub struct FunctionContext<'a, K: Value, O: Value> {
    pub(super) keyed: KeyContext<'a>,
    pub(super) key: K::View<'a>,
    pub(super) out: &'a mut dyn Emit<O>,
}

impl<'a, K: Value, O: Value> FunctionContext<'a, K, O> {
    /// The key at hand.
    pub fn key(&self) -> K::View<'a> {
        self.key
    }

    /// Emits a row.
    pub fn emit(&mut self, row: O::View<'_>) {
        self.out.emit(row);
    }
}

impl<'a, K: Value, O: Value> core::ops::Deref for FunctionContext<'a, K, O> {
    type Target = KeyContext<'a>;

    fn deref(&self) -> &KeyContext<'a> {
        &self.keyed
    }
}

impl<'a, K: Value, O: Value> core::ops::DerefMut for FunctionContext<'a, K, O> {
    fn deref_mut(&mut self) -> &mut KeyContext<'a> {
        &mut self.keyed
    }
}

impl<K: Value, O: Value> fmt::Debug for FunctionContext<'_, K, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FunctionContext(watermark {})", self.keyed.watermark())
    }
}
