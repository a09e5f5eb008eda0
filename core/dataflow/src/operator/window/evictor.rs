//! Evictors: which rows of a window are left out when it is emitted, and forgotten then.

use millstream_data::row::RowValue;
use millstream_state::window::Window;

use super::{WindowRows, WindowTimes};

/// Removes rows of a window when it is emitted, before the function sees them or after. What was
/// removed is gone. Each subtask works with a clone of its own.
pub trait Evictor<T: RowValue>: Clone + Send + Sync + 'static {
    /// The window is about to be emitted.
    fn evict_before(&mut self, rows: &mut WindowRows<'_, T>, window: Window, times: WindowTimes) {
        let _ = (rows, window, times);
    }

    /// The window was emitted.
    fn evict_after(&mut self, rows: &mut WindowRows<'_, T>, window: Window, times: WindowTimes) {
        let _ = (rows, window, times);
    }
}

/// Removes nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoEvictor;

impl<T: RowValue> Evictor<T> for NoEvictor {}

/// Whether an evictor works before the function or after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Before,
    After,
}

macro_rules! evict_when {
    ($evict:ident) => {
        fn evict_before(
            &mut self,
            rows: &mut WindowRows<'_, T>,
            _window: Window,
            _times: WindowTimes,
        ) {
            if self.when == When::Before {
                self.$evict(rows);
            }
        }

        fn evict_after(
            &mut self,
            rows: &mut WindowRows<'_, T>,
            _window: Window,
            _times: WindowTimes,
        ) {
            if self.when == When::After {
                self.$evict(rows);
            }
        }
    };
}

/// Keeps the rows that came last.
#[derive(Clone, Copy, Debug)]
pub struct CountEvictor {
    rows: usize,
    when: When,
}

impl CountEvictor {
    /// Keeps the last `rows` rows.
    pub fn of(rows: usize) -> Self {
        Self { rows, when: When::Before }
    }

    /// Removes rows after the function has seen them.
    #[must_use]
    pub fn after(self) -> Self {
        Self { when: When::After, ..self }
    }

    fn evict<T: RowValue>(&self, rows: &mut WindowRows<'_, T>) {
        rows.remove_first(rows.len().saturating_sub(self.rows));
    }
}

impl<T: RowValue> Evictor<T> for CountEvictor {
    evict_when!(evict);
}

/// Keeps the rows that are not much older than the newest.
#[derive(Clone, Copy, Debug)]
pub struct TimeEvictor {
    millis: i64,
    when: When,
}

impl TimeEvictor {
    /// Keeps the rows whose times are less than `millis` before the latest of all.
    pub fn of(millis: i64) -> Self {
        Self { millis, when: When::Before }
    }

    /// Removes rows after the function has seen them.
    #[must_use]
    pub fn after(self) -> Self {
        Self { when: When::After, ..self }
    }

    fn evict<T: RowValue>(&self, rows: &mut WindowRows<'_, T>) {
        let Some(latest) = rows.timed().map(|(time, _)| time).max() else { return };
        let cutoff = latest.saturating_sub(self.millis);
        rows.retain(|time, _| time > cutoff);
    }
}

impl<T: RowValue> Evictor<T> for TimeEvictor {
    evict_when!(evict);
}
