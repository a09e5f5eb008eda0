//! Which windows a row is in.

use alloc::{format, vec::Vec};
use core::fmt;

use millstream_data::Value;
use millstream_state::window::Window;

use crate::{
    chain::TaskError,
    operator::{Row, window::WindowAssigner},
};

/// The window of all of time.
pub const GLOBAL_WINDOW: Window = Window { start: i64::MIN, end: i64::MAX };

/// Whether a window is that of all of time, which never ends.
pub(crate) fn is_global(window: &Window) -> bool {
    *window == GLOBAL_WINDOW
}

/// Says which windows the rows of `T` are in, and what time it is that ends them.
pub trait Windows<T: Value>: Clone + Send + Sync + 'static {
    /// Whether windows end by the watermark, and rows can be late. Else they end by the wall clock.
    const BY_EVENT_TIME: bool;
    /// Whether windows of a key that touch become one.
    const MERGE: bool;

    /// The time of a row, in milliseconds; `now` is the processing time.
    fn time(&self, row: T::View<'_>, now: i64) -> i64;

    /// Adds the windows of a time to `windows`.
    fn assign(&self, time: i64, windows: &mut Vec<Window>);

    /// Whether there can be such windows.
    ///
    /// # Errors
    /// What is wrong. The job fails with it when it starts.
    fn check(&self) -> Result<(), TaskError> {
        Ok(())
    }
}

/// Windows that are the same for all keys, by the time of each row.
#[derive(Clone)]
pub struct EventTimeWindows<W, F> {
    pub(crate) assigner: W,
    pub(crate) time: F,
}

impl<T, W, F> Windows<T> for EventTimeWindows<W, F>
where
    T: Value,
    W: WindowAssigner,
    F: for<'a> Fn(Row<'a, T>) -> i64 + Clone + Send + Sync + 'static,
{
    const BY_EVENT_TIME: bool = true;
    const MERGE: bool = false;

    fn time(&self, row: T::View<'_>, _now: i64) -> i64 {
        (self.time)(Row::new(row))
    }

    fn assign(&self, time: i64, windows: &mut Vec<Window>) {
        self.assigner.windows(self.assigner.slice(time), &mut |window| windows.push(window));
    }
}

/// Windows that are the same for all keys, by when each row comes.
#[derive(Clone, Debug)]
pub struct ProcessingTimeWindows<W> {
    pub(crate) assigner: W,
}

impl<T: Value, W: WindowAssigner> Windows<T> for ProcessingTimeWindows<W> {
    const BY_EVENT_TIME: bool = false;
    const MERGE: bool = false;

    fn time(&self, _row: T::View<'_>, now: i64) -> i64 {
        now
    }

    fn assign(&self, time: i64, windows: &mut Vec<Window>) {
        self.assigner.windows(self.assigner.slice(time), &mut |window| windows.push(window));
    }
}

/// Sessions: each row opens a window as long as the gap, and those of a key that touch become one.
#[derive(Clone)]
pub struct SessionWindows<F> {
    pub(crate) gap: i64,
    pub(crate) time: F,
}

impl<T, F> Windows<T> for SessionWindows<F>
where
    T: Value,
    F: for<'a> Fn(Row<'a, T>) -> i64 + Clone + Send + Sync + 'static,
{
    const BY_EVENT_TIME: bool = true;
    const MERGE: bool = true;

    fn time(&self, row: T::View<'_>, _now: i64) -> i64 {
        (self.time)(Row::new(row))
    }

    fn assign(&self, time: i64, windows: &mut Vec<Window>) {
        windows.push(Window { start: time, end: time.saturating_add(self.gap) });
    }

    fn check(&self) -> Result<(), TaskError> {
        check_gap(self.gap)
    }
}

/// Sessions of the wall clock: each row opens a window as long as the gap when it comes, and those of
/// a key that touch become one.
#[derive(Clone, Copy, Debug)]
pub struct ProcessingTimeSessionWindows {
    pub(crate) gap: i64,
}

impl<T: Value> Windows<T> for ProcessingTimeSessionWindows {
    const BY_EVENT_TIME: bool = false;
    const MERGE: bool = true;

    fn time(&self, _row: T::View<'_>, now: i64) -> i64 {
        now
    }

    fn assign(&self, time: i64, windows: &mut Vec<Window>) {
        windows.push(Window { start: time, end: time.saturating_add(self.gap) });
    }

    fn check(&self) -> Result<(), TaskError> {
        check_gap(self.gap)
    }
}

fn check_gap(gap: i64) -> Result<(), TaskError> {
    if gap > 0 {
        return Ok(());
    }
    Err(TaskError::new(format!("the gap of a session window is {gap} ms: give it at least 1")))
}

/// One window of all of time for each key.
#[derive(Clone)]
pub struct GlobalWindows<F> {
    pub(crate) time: F,
}

impl<T, F> Windows<T> for GlobalWindows<F>
where
    T: Value,
    F: for<'a> Fn(Row<'a, T>) -> i64 + Clone + Send + Sync + 'static,
{
    const BY_EVENT_TIME: bool = false;
    const MERGE: bool = false;

    fn time(&self, row: T::View<'_>, _now: i64) -> i64 {
        (self.time)(Row::new(row))
    }

    fn assign(&self, _time: i64, windows: &mut Vec<Window>) {
        windows.push(GLOBAL_WINDOW);
    }
}

/// One window of all of time for each key, whose rows have no time but that at which they come.
#[derive(Clone, Copy, Debug)]
pub struct CountWindows;

impl<T: Value> Windows<T> for CountWindows {
    const BY_EVENT_TIME: bool = false;
    const MERGE: bool = false;

    fn time(&self, _row: T::View<'_>, now: i64) -> i64 {
        now
    }

    fn assign(&self, _time: i64, windows: &mut Vec<Window>) {
        windows.push(GLOBAL_WINDOW);
    }
}

impl<W, F> fmt::Debug for EventTimeWindows<W, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventTimeWindows")
    }
}

impl<F> fmt::Debug for SessionWindows<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionWindows(gap {} ms)", self.gap)
    }
}

impl<F> fmt::Debug for GlobalWindows<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GlobalWindows")
    }
}
