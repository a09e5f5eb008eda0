//! Changes of groups that are said together: of all that rows at hand do to a group only the difference.

use millstream_data::page::RowKind;
use millstream_dataflow::operator::rows::{Changes, Part};

/// Rows that are taken together at most, so that what is kept until they are said stays small.
pub(super) const BUNDLE: usize = 4096;

/// What the rows at hand do to their groups, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Bundle(Vec<Option<Net>>);

/// A group that has changed: its key, and its results as they were said and as they are now; `None` where it is not
/// there.
#[derive(Clone, Copy, Debug)]
struct Net {
    key: Part,
    before: Option<Part>,
    after: Option<Part>,
}

impl Bundle {
    /// Nothing was done to so many groups.
    pub(super) fn clear(&mut self, groups: usize) {
        self.0.clear();
        self.0.resize(groups, None);
    }

    /// A group changes, once more maybe.
    pub(super) fn change(
        &mut self,
        group: usize,
        key: Part,
        (before, after): (Option<Part>, Option<Part>),
    ) {
        if let Some(net) = self.0.get_mut(group) {
            match net {
                Some(net) => net.after = after,
                None => *net = Some(Net { key, before, after }),
            }
        }
    }

    /// Emits the differences, in the order in which the groups came; with `all` also of groups that are what they
    /// were.
    pub(super) fn emit(&self, all: bool, out: &mut Changes) {
        for Net { key, before, after } in self.0.iter().flatten() {
            if let (Some(before), Some(after), false) = (before, after, all)
                && out.kept(*before) == out.kept(*after)
            {
                continue;
            }
            emit(*key, (*before, *after), out);
        }
    }
}

/// Emits that a group has other results than before.
pub(super) fn emit(key: Part, (before, after): (Option<Part>, Option<Part>), out: &mut Changes) {
    if let Some(before) = before {
        let kind = if after.is_some() { RowKind::UpdateBefore } else { RowKind::Delete };
        out.emit(kind, key, before);
    }
    if let Some(after) = after {
        let kind = if before.is_some() { RowKind::UpdateAfter } else { RowKind::Insert };
        out.emit(kind, key, after);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use millstream_data::page::RowKind::{self, Delete, Insert, UpdateAfter, UpdateBefore};
    use proptest::{collection::vec, prelude::*};

    use crate::{
        operator::{
            Bundling, Changing, aggregate,
            expiring::{Bench, Change, call, numbers, said},
        },
        relation::AggregateFunction::{Count, CountAll, Max, Min, Sum},
    };

    /// Groups of the first column of rows that may go; `life` of their state, in milliseconds.
    fn groups(bundle: Option<usize>, life: Option<i64>) -> Bench {
        let calls = [
            call(CountAll, None, false),
            call(Sum, Some(1), false),
            call(Min, Some(1), false),
            call(Max, Some(1), false),
            call(Count, Some(1), true),
        ];
        let width = 1 + calls.len();
        let plan = aggregate::Aggregation::new(&numbers(2), 1, &calls, &numbers(width)).unwrap();
        let bundling = bundle.map(|rows| Bundling { rows, two_phases: false });
        let how = Changing { bundling, ..Changing::default() };
        Bench::new([2, width], |states| {
            states.expire_after(life);
            aggregate::Aggregate::open(&plan, (aggregate::Emits::Changes, how), states)
        })
    }

    #[test]
    fn of_all_changes_of_a_group_the_difference_is_said() {
        let mut bench = groups(Some(100), None);
        let rows = [(Insert, &[1, 5][..]), (Insert, &[2, 7]), (Insert, &[1, 6]), (Delete, &[2, 7])];
        assert_eq!(bench.at(0, 0, &rows), [said(Insert, &[1, 2, 11, 5, 6, 2])]);
        let rows = [(Insert, &[1, 4][..]), (Insert, &[3, 9]), (Delete, &[1, 6])];
        let expected = [
            said(UpdateBefore, &[1, 2, 11, 5, 6, 2]),
            said(UpdateAfter, &[1, 2, 9, 4, 5, 2]),
            said(Insert, &[3, 1, 9, 9, 9, 1]),
        ];
        assert_eq!(bench.at(0, 0, &rows), expected);
        // Nothing has changed in the end.
        assert_eq!(bench.at(0, 0, &[(Insert, &[1, 8]), (Delete, &[1, 8])]), []);
        let gone = [(Delete, &[1, 4][..]), (Delete, &[1, 5])];
        assert_eq!(bench.at(0, 0, &gone), [said(Delete, &[1, 2, 9, 4, 5, 2])]);
        // It goes, and begins anew.
        let anew = [(Delete, &[3, 9][..]), (Insert, &[3, 1])];
        let expected =
            [said(UpdateBefore, &[3, 1, 9, 9, 9, 1]), said(UpdateAfter, &[3, 1, 1, 1, 1, 1])];
        assert_eq!(bench.at(0, 0, &anew), expected);
    }

    /// Those who read them keep them, too.
    #[test]
    fn groups_that_expire_are_said_if_nothing_changes() {
        let mut bench = groups(Some(100), Some(50));
        bench.at(0, 0, &[(Insert, &[1, 5])]);
        let rows = [(Insert, &[1, 8][..]), (Delete, &[1, 8])];
        let [before, after] =
            [UpdateBefore, UpdateAfter].map(|kind| said(kind, &[1, 1, 5, 5, 5, 1]));
        assert_eq!(bench.at(1, 0, &rows), [before, after]);
    }

    /// Takes changes to the rows that are left, and gives how often each group was said at most.
    fn apply(changes: &[Change], left: &mut BTreeMap<Vec<Option<i64>>, i64>) -> usize {
        let mut times = BTreeMap::<Option<i64>, usize>::new();
        for (kind, cells) in changes {
            let by = if matches!(kind, Insert | UpdateAfter) { 1 } else { -1 };
            let rows = left.entry(cells.clone()).or_default();
            *rows += by;
            assert!((0..2).contains(rows), "{cells:?}");
            if *rows == 0 {
                left.remove(cells);
            }
            *times.entry(cells[0]).or_default() += 1;
        }
        times.into_values().max().unwrap_or(0)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Pages of rows, each a group, a value, and whether one of the rows that are there goes instead.
        #[test]
        fn the_rows_that_are_left_are_the_same(
            pages in vec(vec((0_i64..4, 0_i64..6, any::<bool>()), 1..40), 1..8),
            bundle in 1_usize..50,
        ) {
            let (mut alone, mut together) = (groups(None, None), groups(Some(bundle), None));
            let (mut there, mut left) = (Vec::<[i64; 2]>::new(), [BTreeMap::new(), BTreeMap::new()]);
            for page in pages {
                let mut rows: Vec<(RowKind, [i64; 2])> = Vec::new();
                for (group, value, goes) in page {
                    if goes && !there.is_empty() {
                        let row = there.swap_remove((group * 6 + value) as usize % there.len());
                        rows.push((Delete, row));
                    } else {
                        there.push([group, value]);
                        rows.push((Insert, [group, value]));
                    }
                }
                let rows: Vec<_> = rows.iter().map(|(kind, row)| (*kind, &row[..])).collect();
                apply(&alone.at(0, 0, &rows), &mut left[0]);
                let said = apply(&together.at(0, 0, &rows), &mut left[1]);
                prop_assert!(said <= 2 * rows.len().div_ceil(bundle));
                prop_assert_eq!(&left[0], &left[1]);
            }
        }
    }
}
