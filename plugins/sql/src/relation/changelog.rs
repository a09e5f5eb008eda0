//! What an operator does to rows that it has said, and what it keeps of those that came.

use std::fmt;

use super::{
    AggregateCall, Edge, JoinKind, Rel, Said, WindowSpec, WindowTime, living, show::Columns,
};

/// The kinds of rows that may come, beside new ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ChangelogMode {
    /// Rows are updated: each is said as it is now.
    updates: bool,
    /// And as it was.
    before: bool,
    /// Rows are deleted.
    deletes: bool,
}

impl ChangelogMode {
    fn or(self, other: Self) -> Self {
        let Self { updates, before, deletes } = self;
        Self {
            updates: updates || other.updates,
            before: before || other.before,
            deletes: deletes || other.deletes,
        }
    }
}

/// As in Flink's plans: `[I,UB,UA,D]`, or `[I,UA,D]`.
impl fmt::Display for ChangelogMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let before = if self.before { ",UB" } else { "" };
        let updates = if self.updates { ",UA" } else { "" };
        write!(f, "[I{before}{updates}{}]", if self.deletes { ",D" } else { "" })
    }
}

impl Rel {
    /// The kinds of rows that may come.
    pub(crate) fn changelog_mode(&self) -> ChangelogMode {
        let inputs = || {
            let modes = self.inputs().into_iter().map(Self::changelog_mode);
            modes.fold(ChangelogMode::default(), ChangelogMode::or)
        };
        match self {
            Self::Scan { table, .. } => {
                let changes = table.is_changelog();
                ChangelogMode { updates: changes, before: changes, deletes: changes }
            }
            Self::Values { .. }
            | Self::Windows { .. }
            | Self::Earliest { .. }
            | Self::Over { .. }
            | Self::Final { .. }
            | Self::Timed(_) => ChangelogMode::default(),
            Self::Steps { .. } | Self::Union(_) | Self::Join { kind: JoinKind::Inner, .. } => {
                inputs()
            }
            Self::Living { rows, .. } => rows.changelog_mode(),
            Self::Single { .. } => ChangelogMode { updates: true, before: false, deletes: true },
            Self::Upserts { rows } => ChangelogMode { before: false, ..rows.changelog_mode() },
            // Rows come and go, one by one.
            Self::SetOperation { .. } => {
                ChangelogMode { deletes: self.updates().is_some(), ..ChangelogMode::default() }
            }
            // A row without a match goes when there is one.
            Self::Join { .. } => {
                ChangelogMode { deletes: self.updates().is_some(), ..ChangelogMode::default() }
            }
            // A group is gone when all of its rows were taken back.
            Self::Aggregate { .. } => {
                let deletes = inputs() != ChangelogMode::default();
                ChangelogMode { updates: true, before: true, deletes }
            }
            // Without ranks one row leaves when another comes; a rank only gets another row.
            Self::TopN { rank, limit, .. } => {
                let updates = (*rank || *limit == 1) && self.updates().is_some();
                let changes = inputs() != ChangelogMode::default();
                let deletes = changes || (!updates && self.updates().is_some());
                ChangelogMode { updates, before: updates, deletes }
            }
        }
    }

    /// What the operator keeps, and by which columns of its inputs; `None` if it keeps no rows.
    pub(super) fn state(&self) -> Option<String> {
        Some(match self {
            Self::Scan { .. } | Self::Values { .. } | Self::Steps { .. } | Self::Union(_) => {
                return None;
            }
            Self::Aggregate { input, keys, calls } => {
                let columns = Columns(input.schema());
                let by: Vec<usize> = (0..*keys).collect();
                let mut kept = vec![format!("accumulators by [{}]", columns.list(&by))];
                let mut distinct: Vec<usize> = Vec::new();
                let arguments = calls.iter().filter_map(AggregateCall::distinct_argument);
                for argument in arguments {
                    if !distinct.contains(&argument) {
                        distinct.push(argument);
                        let name = columns.name(argument);
                        kept.push(format!("values of {name} by [{}]", columns.list(&by)));
                    }
                }
                if input.updates().is_some() {
                    let ordered = calls.iter().filter_map(AggregateCall::ordered_argument);
                    kept.extend(ordered.map(|argument| {
                        let name = columns.name(argument);
                        format!("values of {name} in order by [{}]", columns.list(&by))
                    }));
                }
                kept.join(", ")
            }
            Self::Windows { input, keys, time, window, .. } => {
                let by: Vec<usize> = (0..*keys).collect();
                let which = match window {
                    WindowSpec::Session { .. } => "session",
                    _ => "window",
                };
                let by = Columns(input.schema()).list(&by);
                let clock = match time {
                    WindowTime::Event(_) => "watermark",
                    WindowTime::Processing => "clock",
                };
                format!("accumulators by [{by}] and {which}, until the {clock} passes its end")
            }
            Self::Join { left, right, keys, kind, condition } => {
                let (a, b): (Vec<usize>, Vec<usize>) = keys.iter().copied().unzip();
                let (a, b) = (Columns(left.schema()).list(&a), Columns(right.schema()).list(&b));
                let right = match kind.has_pairs() || condition.is_some() {
                    true => "right rows",
                    false => "counts of right rows",
                };
                format!("left rows by [{a}], {right} by [{b}]")
            }
            Self::Timed(timed) => return timed.state(),
            Self::Upserts { rows } => return rows.state(),
            Self::Living { rows, life } => {
                return rows.state().map(|state| state + &living::shown(rows, *life));
            }
            Self::SetOperation { .. } => {
                format!("counts of both sides by [{}]", Columns(self.schema()).all())
            }
            Self::TopN { input, partition, limit, order, .. } => {
                let rows = if *limit == 1 { "row" } else { "rows" };
                let by = Columns(input.schema()).list(partition);
                if input.updates().is_some() {
                    return Some(format!("all rows by [{by}]"));
                }
                if order.is_empty() {
                    return Some(format!("how many rows came by [{by}]"));
                }
                format!("the first {limit} {rows} by [{by}]")
            }
            Self::Single { input, key, .. } => {
                let by = Columns(input.schema()).list(key);
                format!("changes by [{by}], until the watermark rises, and the row that was said")
            }
            Self::Earliest { input, partition, .. } => {
                let by = Columns(input.schema()).list(partition);
                format!("rows by [{by}], until the watermark passes them, and which have been said")
            }
            Self::Over { input, partition, said, frame, .. } => {
                let by = Columns(input.schema()).list(partition);
                match (said, frame.start) {
                    (Said::AtOnce, Edge::Start) => format!("accumulators by [{by}]"),
                    (Said::AtOnce, _) => format!("rows by [{by}], those around the last"),
                    (Said::ByClock, _) => {
                        format!(
                            "rows by [{by}], until the clock passes them, and those of the interval"
                        )
                    }
                    (Said::AtTheEnd, _) => format!("rows by [{by}], until the input has ended"),
                    (Said::ByWatermark(_), Edge::Start) => {
                        format!("rows by [{by}], until the watermark passes them, and accumulators")
                    }
                    (Said::ByWatermark(_), _) => {
                        format!(
                            "rows by [{by}], until the watermark passes them, and those around the last"
                        )
                    }
                }
            }
            // These emit what they keep.
            Self::Final { input }
                if matches!(**input, Self::Aggregate { .. } | Self::TopN { .. }) =>
            {
                return None;
            }
            Self::Final { .. } => "rows, until the input has ended".to_owned(),
        })
    }
}

impl AggregateCall {
    /// The column whose values count once.
    fn distinct_argument(&self) -> Option<usize> {
        self.argument.filter(|_| self.distinct)
    }

    /// The column of which the least or the greatest is asked for.
    fn ordered_argument(&self) -> Option<usize> {
        let is_one = self.function.is_extreme();
        self.argument.filter(|_| is_one)
    }
}
