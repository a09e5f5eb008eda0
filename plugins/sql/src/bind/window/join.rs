//! Joins of rows that are in the same windows.

use datafusion_common::Column as PlanColumn;
use datafusion_expr::{BinaryExpr, Expr, Join, Operator, utils::split_conjunction};

use super::{Bounds, Origin, window_of};
use crate::{bind::RowNumber, relation::WindowSpec, time::Zone};

/// The windows that the rows of both sides of a join are in: begin and end are among the equalities.
#[derive(Debug)]
pub(crate) struct JoinedWindows<'a> {
    /// The columns with the end, of the left and the right.
    pub(crate) ends: [&'a PlanColumn; 2],
    /// The columns with the begin.
    pub(crate) starts: [&'a PlanColumn; 2],
    /// The time zone of the bounds, if they are not of UTC.
    pub(crate) zone: Option<Zone>,
}

impl<'a> JoinedWindows<'a> {
    /// Those of a join of windows of one kind, of event time.
    pub(crate) fn of(join: &'a Join) -> Option<Self> {
        let on = join.on.iter().map(|(left, right)| (left, right));
        let conditions = join.filter.as_ref().map(split_conjunction).unwrap_or_default();
        let equalities = conditions.into_iter().filter_map(|condition| match condition {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
                Some((&**left, &**right))
            }
            _ => None,
        });
        let (mut starts, mut ends) = (Vec::new(), Vec::new());
        for (a, b) in on.chain(equalities) {
            let (Expr::Column(a), Expr::Column(b)) = (a, b) else { continue };
            let is_left = join.left.schema().has_column(a);
            let [a, b] = if is_left { [a, b] } else { [b, a] };
            let Some((left, of)) = window_of(&join.left, a) else { continue };
            let Some((right, other)) = window_of(&join.right, b) else { continue };
            match (left, right) {
                (Bounds::Start, Bounds::Start) => starts.push(([a, b], of, other)),
                (Bounds::End, Bounds::End) => ends.push(([a, b], of, other)),
                _ => {}
            }
        }
        starts.into_iter().find_map(|(starts, left, right)| {
            let same =
                |(_, of, other): &&([_; 2], Origin<'_>, Origin<'_>)| of.is(left) && other.is(right);
            let (ends, ..) = ends.iter().find(same)?;
            let (left, right) = (left.windowed()?, right.windowed()?);
            let aligned = !matches!(left.spec, WindowSpec::Session { .. });
            let of_event_time = !left.processing && !right.processing;
            let alike = left.spec == right.spec && left.is_local() == right.is_local();
            let zone = left.zone();
            (alike && aligned && of_event_time).then_some(Self { ends: *ends, starts, zone })
        })
    }
}

/// What ranks rows of a window, if their partition is one of it: the columns with its begin and its end, and the
/// time zone of these, if that is not UTC.
pub(crate) fn ranked_window(rows: &RowNumber) -> Option<([&PlanColumn; 2], Option<Zone>)> {
    let mut bounds = Vec::new();
    for key in &rows.partition {
        if let Expr::Column(column) = key
            && let Some((bound, origin)) = window_of(&rows.input, column)
        {
            bounds.push((bound, origin, column));
        }
    }
    let of = |wanted: Bounds, origin: Origin<'_>| {
        bounds.iter().find(|(bound, of, _)| *bound == wanted && of.is(origin)).map(|found| found.2)
    };
    bounds.iter().find_map(|(_, origin, _)| {
        let windowed = origin.windowed().filter(|windowed| !windowed.processing)?;
        let aligned = !matches!(windowed.spec, WindowSpec::Session { .. });
        let bounds = [of(Bounds::Start, *origin)?, of(Bounds::End, *origin)?];
        aligned.then_some((bounds, windowed.zone()))
    })
}
