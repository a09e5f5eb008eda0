//! Joins of two streams by key and window.

use core::{fmt, marker::PhantomData};

use millstream_data::{Key, Value, row::RowValue, value::Record};
use millstream_state::window::Window;

use super::{CoGroupFunction, Group};
use crate::operator::Emit;

/// Makes a row of each pair of rows that have a key and a window in common.
pub struct WindowJoin<J, K, A, B, U> {
    function: J,
    types: PhantomData<fn(K, A, B) -> U>,
}

impl<J, K, A, B, U> WindowJoin<J, K, A, B, U> {
    /// Makes `function` of each pair.
    pub(crate) fn new(function: J) -> Self {
        Self { function, types: PhantomData }
    }
}

impl<J: Clone, K, A, B, U> Clone for WindowJoin<J, K, A, B, U> {
    fn clone(&self) -> Self {
        Self::new(self.function.clone())
    }
}

impl<J, K, A, B, U> fmt::Debug for WindowJoin<J, K, A, B, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WindowJoin")
    }
}

impl<J, K, A, B, U> CoGroupFunction for WindowJoin<J, K, A, B, U>
where
    J: FnMut(A::View<'_>, B::View<'_>) -> U + Clone + Send + Sync + 'static,
    K: Key + RowValue + Record,
    A: RowValue + Record,
    B: RowValue + Record,
    U: Value,
{
    type First = A;
    type Second = B;
    type Key = K;
    type Out = U;

    fn call(
        &mut self,
        _key: K::View<'_>,
        _window: Window,
        first: &Group<'_, A>,
        second: &Group<'_, B>,
        out: &mut dyn Emit<U>,
    ) {
        for left in first.iter() {
            for right in second.iter() {
                out.emit((self.function)(left, right).view());
            }
        }
    }
}
