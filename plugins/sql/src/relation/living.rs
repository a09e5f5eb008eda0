//! State that expires.

use super::{Edge, Rel, Said};

/// How long an operator keeps what it keeps of each of its inputs after it was last written, in milliseconds of
/// processing time. `None`: for ever.
pub(crate) type Life = [Option<i64>; 2];

impl Rel {
    /// The same rows, whose operator keeps its state so long: that of the last operator with state that nothing
    /// but steps and unions are above. A life that was given before stays.
    pub(crate) fn living(self, life: Life) -> Self {
        if life == [None, None] {
            return self;
        }
        match self {
            Self::Steps { input, steps, schema } => {
                Self::Steps { input: Box::new(input.living(life)), steps, schema }
            }
            Self::Union(inputs) => {
                Self::Union(inputs.into_iter().map(|input| input.living(life)).collect())
            }
            // Windows, joins by time and OVER with an interval keep rows as long as event time asks for.
            rows @ Self::Over { frame, said, .. }
                if said != Said::AtTheEnd && (frame.rows || frame.start == Edge::Start) =>
            {
                Self::Living { rows: Box::new(rows), life }
            }
            rows @ (Self::Aggregate { .. }
            | Self::Join { .. }
            | Self::SetOperation { .. }
            | Self::TopN { .. }
            | Self::Earliest { .. }) => Self::Living { rows: Box::new(rows), life },
            rows => rows,
        }
    }

    /// The same rows, whose operator keeps its state as long as a hint says: where that says nothing, as long as
    /// it did.
    pub(crate) fn hinted(self, hint: Life) -> Self {
        match self {
            Self::Steps { input, steps, schema } => {
                Self::Steps { input: Box::new(input.hinted(hint)), steps, schema }
            }
            Self::Union(inputs) => {
                Self::Union(inputs.into_iter().map(|input| input.hinted(hint)).collect())
            }
            Self::Living { rows, life } => {
                let [left, right] = hint;
                Self::Living { rows, life: [left.or(life[0]), right.or(life[1])] }
            }
            rows => rows.living(hint),
        }
    }
}

/// How long state is kept, as EXPLAIN says it.
pub(super) fn shown(rows: &Rel, life: Life) -> String {
    let time = |life: Option<i64>| life.map_or("for ever".to_owned(), |ms| format!("for {ms} ms"));
    match (rows.inputs().len(), life) {
        (2, [left, right]) if left != right => {
            format!(", left {}, right {}", time(left), time(right))
        }
        (_, [life, _]) => format!(", {}", time(life)),
    }
}
