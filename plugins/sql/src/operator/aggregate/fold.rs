//! What rows do to their groups, and how that is made known.

use millstream_data::row::{PageRow, RowLayout};
use millstream_dataflow::{
    TaskError,
    operator::rows::{Changes, Part},
};

use super::partial;
use crate::operator::{
    accumulator::Accumulator,
    bundle::{Bundle, emit},
    extremes::Replaced,
    never_came,
    users::Users,
};

/// What the rows at hand have made known of a group, its key in front: the next change takes that back, and it
/// need not be made again.
pub(super) type Said = [Part; 2];

pub(super) fn wrong(error: &dyn std::fmt::Display) -> TaskError {
    TaskError::new(format!("a page of an aggregation: {error}"))
}

/// What is wrong with a second row of a subquery that is a value.
const SECOND: &str = "a subquery that is a value has more than one row: aggregate them, with MAX for instance, or add \
                      a condition that only one of them meets";

/// Where changes of a group are made known.
pub(super) struct Emission<'a> {
    pub(super) results: &'a RowLayout,
    pub(super) accumulators: &'a [Accumulator],
    pub(super) before: &'a mut Vec<u8>,
    pub(super) after: &'a mut Vec<u8>,
    /// Where each change goes, if somebody wants it.
    pub(super) out: Option<&'a mut Changes>,
    /// Whether groups expire.
    pub(super) expires: bool,
    /// Where changes are until they are said together, if they are.
    pub(super) bundle: Option<&'a mut Bundle>,
}

/// What is done to a group.
pub(super) struct Taken<'a> {
    pub(super) what: What<'a>,
    pub(super) key: &'a [u8],
    /// The number of its group among those at hand, if anybody asks for it.
    pub(super) group: usize,
}

pub(super) enum What<'a> {
    /// A row comes or goes.
    Row {
        row: PageRow<'a>,
        retract: bool,
        /// For each call, whether the row counts.
        counts: &'a [bool],
        replaced: Replaced<'a>,
        /// Its number among the rows at hand.
        index: usize,
        users: &'a Users,
    },
    /// What the rows of a page have made of an empty group.
    Partial(&'a [u8]),
}

impl What<'_> {
    /// How many rows more there are.
    fn rows(&self) -> i64 {
        match self {
            Self::Row { retract, .. } => {
                if *retract {
                    -1
                } else {
                    1
                }
            }
            Self::Partial(group) => partial::rows_of(group),
        }
    }

    fn fold(
        &self,
        accumulators: &[Accumulator],
        fixed: &mut [u8],
        texts: &mut [Vec<u8>],
    ) -> Result<(), TaskError> {
        match self {
            Self::Row { row, retract, counts, replaced, index, users } => {
                for (number, (call, counts)) in accumulators.iter().zip(*counts).enumerate() {
                    if *counts {
                        call.add(row, *retract, fixed, texts);
                        if let Some(value) = replaced.call(number) {
                            call.set_value(value, fixed, texts);
                        }
                    }
                }
                users.keep(*index, texts);
                Ok(())
            }
            Self::Partial(group) => partial::merge(accumulators, (fixed, texts), group),
        }
    }
}

impl Emission<'_> {
    /// Folds what is done to a group into it, of which this is what was `said`, and emits what that changes; gives
    /// whether the group is gone.
    pub(super) fn fold(
        &mut self,
        taken: &Taken<'_>,
        (fixed, texts): (&mut [u8], &mut [Vec<u8>]),
        said: &mut Option<Said>,
    ) -> Result<bool, TaskError> {
        let Some((rows, _)) = fixed.split_first_chunk_mut::<8>() else {
            return Err(wrong(&"a group is cut off"));
        };
        let before = i64::from_le_bytes(*rows);
        let after = before.saturating_add(taken.what.rows());
        if after < 0 {
            // A row of a group that has expired goes, and says nothing.
            return if self.expires { Ok(true) } else { Err(never_came("aggregation")) };
        }
        if after > 1 && self.accumulators.iter().any(Accumulator::is_single) {
            return Err(TaskError::new(SECOND));
        }
        *rows = after.to_le_bytes();
        let known = said.take();
        if before > 0 && self.out.is_some() && known.is_none() {
            self.before.clear();
            finish(self.results, self.accumulators, (fixed, texts), self.before);
        }
        taken.what.fold(self.accumulators, fixed, texts)?;
        if after == 0 {
            // A row that follows at once begins the group anew: sums of floats may not be quite zero.
            fixed.fill(0);
        }
        let Some(out) = self.out.as_deref_mut() else { return Ok(after == 0) };
        if after > 0 {
            self.after.clear();
            finish(self.results, self.accumulators, (fixed, texts), self.after);
        }
        let was = known.map_or(&**self.before, |[_, results]| out.kept(results));
        if before > 0 && after > 0 && *was == **self.after && !self.expires {
            *said = known;
            return Ok(false);
        }
        let key = known.map_or_else(|| out.keep(taken.key), |[key, _]| key);
        let was = (before > 0)
            .then(|| known.map_or_else(|| out.keep(self.before), |[_, results]| results));
        let is = (after > 0).then(|| out.keep(self.after));
        *said = is.map(|results| [key, results]);
        match &mut self.bundle {
            Some(bundle) => bundle.change(taken.group, key, (was, is)),
            None => emit(key, (was, is), out),
        }
        Ok(after == 0)
    }
}

pub(super) fn finish(
    layout: &RowLayout,
    accumulators: &[Accumulator],
    (fixed, texts): (&[u8], &[Vec<u8>]),
    out: &mut Vec<u8>,
) {
    layout.write(out, |row| {
        accumulators.iter().for_each(|call| call.finish(fixed, texts, row));
    });
}
