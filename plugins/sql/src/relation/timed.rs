//! Operators that go by event time, beside windows of groups: what they keep goes with it, and what they say stays.

use std::{fmt, sync::Arc};

use datafusion_physical_expr::PhysicalExpr;
use millstream_data::types::Field;

use super::{
    JoinKind, Rel, joined,
    show::{Columns, Sql},
};

/// The rows of an operator, which are only ever added.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Timed {
    /// Rows of two inputs that match, as those of [`Rel::Join`], whose times are near each other. One without a
    /// match is there when its time has passed.
    IntervalJoin {
        left: Rel,
        right: Rel,
        /// As those of [`Rel::Join`].
        keys: Vec<(usize, usize)>,
        /// One with pairs.
        kind: JoinKind,
        condition: Option<Arc<dyn PhysicalExpr>>,
        /// The columns with the event time of the left, and of the right.
        times: [usize; 2],
        /// The time of the right, less that of the left, at least and at most, in milliseconds.
        bounds: [i64; 2],
    },
    /// Rows of the left, each with the last row of the right that has the same keys and no later time, when the
    /// watermark has reached it. The right may be a changelog.
    TemporalJoin {
        left: Rel,
        right: Rel,
        /// As those of [`Rel::Join`].
        keys: Vec<(usize, usize)>,
        /// Inner or left.
        kind: JoinKind,
        condition: Option<Arc<dyn PhysicalExpr>>,
        /// The columns with the event time of the left, and of the right.
        times: [usize; 2],
    },
}

impl Timed {
    /// The columns.
    pub(super) fn fields(&self) -> Vec<Field> {
        match self {
            Self::IntervalJoin { left, right, kind, .. }
            | Self::TemporalJoin { left, right, kind, .. } => joined(left, right, *kind),
        }
    }

    pub(super) fn inputs(&self) -> Vec<&Rel> {
        match self {
            Self::IntervalJoin { left, right, .. } | Self::TemporalJoin { left, right, .. } => {
                vec![left, right]
            }
        }
    }

    /// What it keeps.
    pub(super) fn state(&self) -> String {
        match self {
            Self::IntervalJoin { left, right, keys, bounds: [lower, upper], .. } => {
                let (a, b): (Vec<usize>, Vec<usize>) = keys.iter().copied().unzip();
                let (a, b) = (Columns(left.schema()).list(&a), Columns(right.schema()).list(&b));
                let (left, right) = ((*upper).max(0), lower.saturating_neg().max(0));
                format!(
                    "left rows by [{a}] for {left} ms, right rows by [{b}] for {right} ms of the watermark"
                )
            }
            Self::TemporalJoin { left, right, keys, .. } => {
                let (a, b): (Vec<usize>, Vec<usize>) = keys.iter().copied().unzip();
                let (a, b) = (Columns(left.schema()).list(&a), Columns(right.schema()).list(&b));
                format!(
                    "left rows by [{a}] until the watermark passes them, versions by [{b}] until the next one"
                )
            }
        }
    }

    /// What it does, without its inputs.
    pub(super) fn head(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IntervalJoin { left, right, keys, kind, condition, times, bounds } => {
                let (a, b) = (Columns(left.schema()), Columns(right.schema()));
                let keys = keys.iter().map(|(l, r)| format!("{} = {}", a.name(*l), b.name(*r)));
                write!(f, "Interval{kind} [{}]", keys.collect::<Vec<_>>().join(", "))?;
                let [first, second] = times;
                let (first, second) = (a.name(*first), b.name(*second));
                let [lower, upper] = bounds;
                write!(f, " {second} from {first} {lower:+} ms to {upper:+} ms")?;
                condition_shown(f, condition.as_ref())
            }
            Self::TemporalJoin { left, right, keys, kind, condition, times: [first, second] } => {
                let (a, b) = (Columns(left.schema()), Columns(right.schema()));
                let keys = keys.iter().map(|(l, r)| format!("{} = {}", a.name(*l), b.name(*r)));
                write!(f, "Temporal{kind} [{}]", keys.collect::<Vec<_>>().join(", "))?;
                write!(f, " {} as of {}", b.name(*second), a.name(*first))?;
                condition_shown(f, condition.as_ref())
            }
        }
    }
}

fn condition_shown(
    f: &mut fmt::Formatter<'_>,
    condition: Option<&Arc<dyn PhysicalExpr>>,
) -> fmt::Result {
    match condition {
        None => Ok(()),
        Some(condition) => write!(f, " on {}", Sql(&**condition)),
    }
}
