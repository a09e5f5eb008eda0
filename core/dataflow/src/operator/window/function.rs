//! Functions that see a window as a whole.

use alloc::vec::Vec;
use core::{fmt, marker::PhantomData};

use millstream_data::{
    Key, Value,
    row::{RowLayout, RowValue},
    value::Record,
};
use millstream_state::window::Window;

use crate::{
    chain::TaskError,
    operator::Emit,
    state::{KeyedState, damaged},
};

/// What is done with a window as a whole: the function sees its key, its window and all of its
/// rows, or what they were [folded](super::WindowAggregate) into. Each subtask works with a clone
/// of its own.
pub trait ProcessWindowFunction: Clone + Send + Sync + 'static {
    /// The key of the rows.
    type Key: Key + RowValue + Record;
    /// The rows.
    type In: RowValue + Record;
    /// What it emits.
    type Out: Value;

    /// The window is emitted. What the function emits has to find room at once.
    ///
    /// # Errors
    /// The function's own. The task fails with it.
    fn process(
        &mut self,
        rows: &WindowRows<'_, Self::In>,
        context: &mut WindowContext<'_, Self>,
    ) -> Result<(), TaskError>;
}

/// What a [`ProcessWindowFunction`] is given beside the rows.
pub struct WindowContext<'a, F: ProcessWindowFunction> {
    key: <F::Key as Value>::View<'a>,
    window: Window,
    times: WindowTimes,
    out: &'a mut dyn Emit<F::Out>,
}

impl<'a, F: ProcessWindowFunction> WindowContext<'a, F> {
    pub(super) fn new(
        key: <F::Key as Value>::View<'a>,
        window: Window,
        times: WindowTimes,
        out: &'a mut dyn Emit<F::Out>,
    ) -> Self {
        Self { key, window, times, out }
    }

    /// The key of the window.
    pub fn key(&self) -> <F::Key as Value>::View<'a> {
        self.key
    }

    /// The window. That of a global window is all of time.
    pub fn window(&self) -> Window {
        self.window
    }

    /// What time it is.
    pub fn times(&self) -> WindowTimes {
        self.times
    }

    /// Emits a row.
    pub fn emit(&mut self, row: <F::Out as Value>::View<'_>) {
        self.out.emit(row);
    }
}

impl<F: ProcessWindowFunction> fmt::Debug for WindowContext<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WindowContext({:?})", self.window)
    }
}

/// What time it is when a window is emitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowTimes {
    /// The watermark, in milliseconds.
    pub watermark: i64,
    /// The wall clock, in milliseconds since the epoch.
    pub processing: i64,
}

impl WindowTimes {
    pub(super) fn of(state: &KeyedState) -> Self {
        Self { watermark: state.watermark, processing: state.time }
    }
}

/// The rows of a window, in the order in which they came.
pub struct WindowRows<'a, T> {
    layout: &'a RowLayout,
    /// The time of each row, and its bytes, which were checked.
    rows: Vec<(i64, &'a [u8])>,
    of: PhantomData<fn() -> T>,
}

impl<'a, T: RowValue> WindowRows<'a, T> {
    /// Rows that come from the state, and may have been damaged.
    pub(super) fn checked(
        layout: &'a RowLayout,
        rows: Vec<(i64, &'a [u8])>,
    ) -> Result<Self, TaskError> {
        for (_, row) in &rows {
            layout.validate(row).map_err(|wrong| damaged("row of a window", &wrong))?;
        }
        Ok(Self { layout, rows, of: PhantomData })
    }

    pub(super) fn encoded(&self) -> &[(i64, &'a [u8])] {
        &self.rows
    }

    /// The rows.
    pub fn iter(&self) -> impl Iterator<Item = T::View<'a>> {
        self.timed().map(|(_, row)| row)
    }

    /// The rows, each with its time in milliseconds: when it came, if the windows are those of
    /// processing time or of a count.
    pub fn timed(&self) -> impl Iterator<Item = (i64, T::View<'a>)> {
        let layout = self.layout;
        let rows = self.rows.iter();
        rows.filter_map(|(time, row)| Some((*time, view::<T>(layout, row)?)))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Keeps the rows for which `keep` holds; it is given the time of each, too.
    pub fn retain(&mut self, mut keep: impl FnMut(i64, T::View<'a>) -> bool) {
        let layout = self.layout;
        self.rows.retain(|(time, row)| view::<T>(layout, row).is_some_and(|row| keep(*time, row)));
    }

    /// Removes the first rows.
    pub fn remove_first(&mut self, rows: usize) {
        self.rows.drain(..rows.min(self.rows.len()));
    }
}

/// A row that was checked.
fn view<'a, T: RowValue>(layout: &'a RowLayout, row: &'a [u8]) -> Option<T::View<'a>> {
    layout.trusted(row).ok().map(|row| layout.decode::<T>(row))
}

impl<T> fmt::Debug for WindowRows<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WindowRows({})", self.rows.len())
    }
}
