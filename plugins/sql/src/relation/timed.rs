//! Operators that go by event time, beside windows of groups: what they keep goes with it, and what they say stays.

use std::{fmt, sync::Arc};

use datafusion_physical_expr::PhysicalExpr;
use millstream_data::types::{DataType, Field};

use super::{
    JoinKind, OrderKey, RANK, Rel, WindowSpec, WindowTime, joined,
    show::{Columns, Sql},
};
use crate::time::Zone;

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
    /// Rows with the windows that they are in: when theirs begins and ends, and the last moment, in columns of
    /// these names. Those of several windows are there several times.
    Assign {
        input: Rel,
        time: WindowTime,
        window: WindowSpec,
        /// Of the bounds, if they are not of UTC.
        zone: Option<Zone>,
        names: [String; 3],
    },
    /// Rows of two inputs that match and are in the same window, as those of [`Rel::Join`], when it has ended.
    WindowJoin {
        left: Rel,
        right: Rel,
        /// As those of [`Rel::Join`], without the window's bounds.
        keys: Vec<(usize, usize)>,
        kind: JoinKind,
        condition: Option<Arc<dyn PhysicalExpr>>,
        /// The columns with the end of the window of the left, and of the right.
        ends: [usize; 2],
        /// Of the bounds, if they are not of UTC.
        zone: Option<Zone>,
    },
    /// As [`Rel::TopN`], of each partition and window, when it has ended.
    WindowTopN {
        input: Rel,
        partition: Vec<usize>,
        /// The columns with the begin and the end of the window.
        bounds: [usize; 2],
        /// Of the bounds, if they are not of UTC.
        zone: Option<Zone>,
        order: Vec<OrderKey>,
        limit: u64,
        rank: bool,
        latest: bool,
    },
}

impl Timed {
    /// The columns.
    pub(super) fn fields(&self) -> Vec<Field> {
        match self {
            Self::IntervalJoin { left, right, kind, .. }
            | Self::TemporalJoin { left, right, kind, .. } => joined(left, right, *kind),
            Self::WindowJoin { left, kind, .. } if !kind.has_pairs() => left.schema().fields,
            Self::WindowJoin { left, right, kind, .. } => joined(left, right, *kind),
            Self::Assign { input, time, names, .. } => {
                let mut fields = input.schema().fields;
                let bound = DataType::Timestamp { precision: 3 };
                let instant = DataType::TimestampLtz { precision: 3 };
                let moment = match time {
                    WindowTime::Processing => instant,
                    WindowTime::Event(at) => match fields.get(*at).map(|field| &field.data_type) {
                        Some(DataType::TimestampLtz { .. }) => instant,
                        _ => bound.clone(),
                    },
                };
                let types = [bound.clone(), bound, moment];
                fields.extend(names.iter().zip(types).map(|(name, of)| Field::new(name, of)));
                fields
            }
            Self::WindowTopN { input, rank, .. } => {
                let mut fields = input.schema().fields;
                fields.extend(rank.then(|| Field::new(RANK, DataType::Int64)));
                fields
            }
        }
    }

    pub(super) fn inputs(&self) -> Vec<&Rel> {
        match self {
            Self::IntervalJoin { left, right, .. }
            | Self::TemporalJoin { left, right, .. }
            | Self::WindowJoin { left, right, .. } => vec![left, right],
            Self::Assign { input, .. } | Self::WindowTopN { input, .. } => vec![input],
        }
    }

    /// What it keeps; `None` if it keeps no rows.
    pub(super) fn state(&self) -> Option<String> {
        Some(match self {
            Self::Assign { .. } => return None,
            Self::WindowJoin { left, right, keys, .. } => {
                let (a, b): (Vec<usize>, Vec<usize>) = keys.iter().copied().unzip();
                let (a, b) = (Columns(left.schema()).list(&a), Columns(right.schema()).list(&b));
                format!(
                    "left rows by [{a}] and window, right rows by [{b}] and window, until the watermark passes its end"
                )
            }
            Self::WindowTopN { input, partition, limit, .. } => {
                let rows = if *limit == 1 { "row" } else { "rows" };
                let by = Columns(input.schema()).list(partition);
                format!(
                    "the first {limit} {rows} by [{by}] and window, until the watermark passes its end"
                )
            }
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
        })
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
            Self::Assign { input, time, window, zone, .. } => {
                let columns = Columns(input.schema());
                write!(f, "Assign {window} of {}", columns.time(*time))?;
                in_zone(f, *zone)
            }
            Self::WindowJoin {
                left,
                right,
                keys,
                kind,
                condition,
                ends: [first, second],
                zone,
            } => {
                let (a, b) = (Columns(left.schema()), Columns(right.schema()));
                let keys = keys.iter().map(|(l, r)| format!("{} = {}", a.name(*l), b.name(*r)));
                write!(f, "Window{kind} [{}]", keys.collect::<Vec<_>>().join(", "))?;
                write!(f, " at {} = {}", a.name(*first), b.name(*second))?;
                in_zone(f, *zone)?;
                condition_shown(f, condition.as_ref())
            }
            Self::WindowTopN {
                input,
                partition,
                bounds: [_, end],
                zone,
                order,
                limit,
                rank,
                latest,
            } => {
                let columns = Columns(input.schema());
                let order: Vec<String> = order.iter().map(|key| columns.order(key)).collect();
                write!(f, "WindowTopN {limit} by [{}]", columns.list(partition))?;
                write!(f, " at {}", columns.name(*end))?;
                in_zone(f, *zone)?;
                write!(f, " order [{}]", order.join(", "))?;
                write!(f, "{}", if *rank { " with rank" } else { "" })?;
                write!(f, "{}", if *latest { ", the latest of equals" } else { "" })
            }
        }
    }
}

/// Says whose clocks windows are of.
pub(super) fn in_zone(f: &mut impl fmt::Write, zone: Option<Zone>) -> fmt::Result {
    match zone {
        None => Ok(()),
        Some(zone) => write!(f, " in {zone}"),
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
