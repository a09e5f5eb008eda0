//! INTERSECT and EXCEPT.

use std::fmt;

/// How often a row is there, by how often the left and the right have it. NULLs are equal to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Hash)]
pub(crate) enum SetOperation {
    /// Once, if both have it.
    Intersect,
    /// As often as both have it.
    IntersectAll,
    /// Once, if only the left has it.
    Except,
    /// As often as the left has it more than the right.
    ExceptAll,
}

impl SetOperation {
    /// How often a row is there that is so often in the left, and in the right.
    pub(crate) fn times(self, left: u64, right: u64) -> u64 {
        match self {
            Self::Intersect => left.min(right).min(1),
            Self::IntersectAll => left.min(right),
            Self::Except => u64::from(left > 0 && right == 0),
            Self::ExceptAll => left.saturating_sub(right),
        }
    }

    /// Whether a row that comes on one side may take one away.
    pub(crate) fn takes_back(self) -> bool {
        matches!(self, Self::Except | Self::ExceptAll)
    }

    /// Whether each row is there once at most.
    pub(crate) fn is_set(self) -> bool {
        matches!(self, Self::Intersect | Self::Except)
    }

    /// What a query calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Intersect => "INTERSECT",
            Self::IntersectAll => "INTERSECT ALL",
            Self::Except => "EXCEPT",
            Self::ExceptAll => "EXCEPT ALL",
        }
    }
}

/// As the other operators are shown.
impl fmt::Display for SetOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Intersect => "Intersect",
            Self::IntersectAll => "IntersectAll",
            Self::Except => "Except",
            Self::ExceptAll => "ExceptAll",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::SetOperation::{self, Except, ExceptAll, Intersect, IntersectAll};

    #[test]
    fn rows_are_there_as_often_as_sql_says() {
        let times = |operation: SetOperation| {
            [(0, 0), (2, 0), (0, 2), (1, 1), (3, 2), (2, 3)].map(|(l, r)| operation.times(l, r))
        };
        assert_eq!(times(Intersect), [0, 0, 0, 1, 1, 1]);
        assert_eq!(times(IntersectAll), [0, 0, 0, 1, 2, 2]);
        assert_eq!(times(Except), [0, 1, 0, 0, 0, 0]);
        assert_eq!(times(ExceptAll), [0, 2, 0, 0, 1, 0]);
    }
}
