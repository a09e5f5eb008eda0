//! Functions of where a row is in its partition.

/// What is said of a row by its place in the order of its partition; only with OVER.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Hash)]
pub(crate) enum Place {
    /// How many rows are before the first that is equal to it, and one.
    Rank,
    /// How many other values are before it, and one.
    DenseRank,
    /// The share of the other rows that are before the first that is equal to it.
    PercentRank,
    /// The share of all rows that are not behind the last that is equal to it.
    CumeDist,
    /// In which of so many parts of the partition it is, from 1.
    Tile(i64),
    /// The value of the row so many places before it; behind it if it is below zero.
    Before(i64),
}

impl Place {
    /// Its name in a query.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rank => "RANK",
            Self::DenseRank => "DENSE_RANK",
            Self::PercentRank => "PERCENT_RANK",
            Self::CumeDist => "CUME_DIST",
            Self::Tile(_) => "NTILE",
            Self::Before(rows) if rows < 0 => "LEAD",
            Self::Before(_) => "LAG",
        }
    }
}
