//! Windows of time, and what they are closed by.

use std::{fmt, sync::Arc};

use datafusion_physical_expr::PhysicalExpr;

/// How rows come into windows by their event time. All times are milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Hash)]
pub(crate) enum WindowSpec {
    /// One behind the other: they begin at multiples of `size`, moved by `offset`.
    Tumble { size: i64, offset: i64 },
    /// One begins every `slide`, moved by `offset`; if that is more than `size`, rows between them
    /// are in none.
    Hop { size: i64, slide: i64, offset: i64 },
    /// Those of [`Tumble`](Self::Tumble), and of each the first `step`, the first two, and so on.
    Cumulate { size: i64, step: i64, offset: i64 },
    /// Rows of the same keys without a pause between them that is longer than `gap`.
    Session { gap: i64 },
    /// Rows are in windows already: these columns have the first moment of theirs, and the first
    /// behind it.
    Attached { start: usize, end: usize },
}

impl WindowSpec {
    /// What a query calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tumble { .. } => "TUMBLE",
            Self::Hop { .. } => "HOP",
            Self::Cumulate { .. } => "CUMULATE",
            Self::Session { .. } => "SESSION",
            Self::Attached { .. } => "window",
        }
    }
}

/// Its name and the times in it, in milliseconds; the offset if there is one.
impl fmt::Display for WindowSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (times, offset) = match *self {
            Self::Tumble { size, offset } => (format!("{size} ms"), offset),
            Self::Hop { size, slide, offset } => (format!("{size} ms every {slide} ms"), offset),
            Self::Cumulate { size, step, offset } => (format!("{size} ms by {step} ms"), offset),
            Self::Session { gap } => (format!("{gap} ms"), 0),
            Self::Attached { .. } => return f.write_str("as attached"),
        };
        write!(f, "{} {times}", self.name())?;
        match offset {
            0 => Ok(()),
            offset => write!(f, " from {offset} ms"),
        }
    }
}

/// The time that puts rows into windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WindowTime {
    /// Event time: a column with a timestamp; of windows that are [attached](WindowSpec::Attached)
    /// that with their end.
    Event(usize),
    /// When a row comes.
    Processing,
}

/// How event time goes on with the rows of a source: expressions over the cells that are read.
#[derive(Clone, Debug)]
pub(crate) struct Watermark {
    /// The event time of a row, a timestamp.
    pub(crate) time: Arc<dyn PhysicalExpr>,
    /// What WATERMARK FOR says of a row, a timestamp of the same type: no row up to it is expected
    /// any more. NULL says nothing.
    pub(crate) mark: Arc<dyn PhysicalExpr>,
    /// After how many milliseconds without a row a subtask no longer holds others back.
    pub(crate) idle: Option<u64>,
}

impl PartialEq for Watermark {
    fn eq(&self, other: &Self) -> bool {
        *self.time == *other.time && *self.mark == *other.mark && self.idle == other.idle
    }
}
