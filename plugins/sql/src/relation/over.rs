//! The rows around a row.

use std::fmt;

/// Where the rows around each row begin and end, in the order of their partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Hash)]
pub(crate) struct Frame {
    /// Whether distances are in rows; else they are in microseconds of the time that is the order, and rows that
    /// are equal in this order are there together.
    pub(crate) rows: bool,
    pub(crate) start: Edge,
    pub(crate) end: Edge,
}

/// When the rows of OVER are said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// All when the input has ended.
    AtTheEnd,
    /// When the watermark has reached the event time in this column, which is the order.
    ByWatermark(usize),
    /// Each as it comes: the order is that of processing time.
    AtOnce,
    /// When the millisecond of processing time has passed in which they came: distances are in that time.
    ByClock,
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AtTheEnd => "at the end",
            Self::ByWatermark(_) => "by watermark",
            Self::AtOnce => "at once",
            Self::ByClock => "by clock",
        })
    }
}

/// The first row around a row, or the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Hash)]
pub(crate) enum Edge {
    /// The partition's first.
    Start,
    /// That at this distance, before it if it is below zero.
    By(i64),
    /// The partition's last.
    End,
}

impl Frame {
    /// All rows of the partition.
    pub(crate) const WHOLE: Self = Self { rows: false, start: Edge::Start, end: Edge::End };
    /// All up to the row, and those that are equal to it in this order.
    pub(crate) const SO_FAR: Self = Self { rows: false, start: Edge::Start, end: Edge::By(0) };

    /// Whether it begins or ends an interval away.
    pub(crate) fn is_by_time(self) -> bool {
        let is_away = |edge| matches!(edge, Edge::By(by) if by != 0);
        !self.rows && (is_away(self.start) || is_away(self.end))
    }

    /// How many milliseconds before a row it begins, if an interval before it.
    pub(crate) fn millis_before(self) -> i64 {
        match self.start {
            Edge::By(by) => by.saturating_neg().div_euclid(1000),
            Edge::Start | Edge::End => 0,
        }
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let edge = |edge: Edge| match edge {
            Edge::Start => "UNBOUNDED PRECEDING".to_owned(),
            Edge::End => "UNBOUNDED FOLLOWING".to_owned(),
            Edge::By(0) => "CURRENT ROW".to_owned(),
            Edge::By(distance) => {
                let unit = if self.rows { "" } else { " us" };
                let side = if distance < 0 { "PRECEDING" } else { "FOLLOWING" };
                format!("{}{unit} {side}", distance.unsigned_abs())
            }
        };
        let unit = if self.rows { "ROWS" } else { "RANGE" };
        write!(f, "{unit} {} TO {}", edge(self.start), edge(self.end))
    }
}
