//! What is left of changes.

use std::sync::Arc;

use millstream_data::{
    Record, Value,
    page::{Layout, RowBuilder, Shape},
    row::scatter,
};
use proptest::{collection, option, prelude::*};

use super::{pages::Segment, *};
use crate::result::Collected;

type Row = (u8, Option<String>, Vec<i32>);

/// A page of changes.
fn page(changes: &[(RowKind, Row)]) -> Segment {
    let schema = Row::schema().with_row_kinds();
    let (shape, layout) = (Arc::new(Shape::new(&schema)), RowLayout::new(&schema));
    // So many rows, and so many elements of their lists.
    let fitted = Arc::new(Layout::new(&shape, 1 << 20, &[1000, 60_000]).unwrap());
    let mut page = RowBuilder::new(Segment::new(1 << 20), &shape, &fitted);
    for (kind, row) in changes {
        let mut bytes = Vec::new();
        layout.encode::<Row>(row.view(), &mut bytes);
        page.put_kind(*kind);
        scatter(&layout.trusted(&bytes).unwrap(), &mut page).unwrap();
    }
    page.seal(false).buffer
}

fn opened() -> (Collected<Row>, LastRows) {
    let collected = Collected::new();
    let mut rows = LastRows::new(collected.sink());
    rows.open(&Row::schema().with_row_kinds()).unwrap();
    (collected, rows)
}

fn change(rows: &mut LastRows, changes: &[(RowKind, Row)]) -> Result<(), TaskError> {
    rows.write(&ValidPage::trusted(&page(changes)).unwrap())
}

fn row(id: u8) -> Row {
    (id, Some("a long name, so that it is on the heap".into()), vec![i32::from(id); 3])
}

/// Of few rows, so that equal ones come and go.
fn any_row() -> impl Strategy<Value = Row> {
    (0..3u8, option::of("[ab]{0,1}"), collection::vec(0..2i32, 0..2))
}

/// Rows that come, and which of those that are there goes instead, if one does.
fn steps() -> impl Strategy<Value = Vec<(Row, Option<usize>, bool)>> {
    collection::vec((any_row(), option::of(any::<usize>()), any::<bool>()), 0..80)
}

proptest! {
    #[test]
    fn what_is_left_is_what_came_and_did_not_go(steps in steps(), stop in 0..80usize) {
        let (mut model, mut changes) = (Vec::new(), Vec::new());
        for (row, gone, update) in steps {
            match gone.filter(|_| !model.is_empty()) {
                Some(gone) => {
                    let row = model.remove(gone % model.len());
                    let kind = if update { RowKind::UpdateBefore } else { RowKind::Delete };
                    changes.push((kind, row));
                }
                None => {
                    model.push(row.clone());
                    let kind = if update { RowKind::UpdateAfter } else { RowKind::Insert };
                    changes.push((kind, row));
                }
            }
        }
        // A run goes on from a checkpoint of another.
        let (before, after) = changes.split_at(stop.min(changes.len()));
        let (_, mut first) = opened();
        change(&mut first, before).unwrap();
        let (collected, mut second) = opened();
        second.restore(&first.snapshot().unwrap()).unwrap();
        change(&mut second, after).unwrap();
        prop_assert_eq!(collected.take(), []);
        second.finish().unwrap();
        let mut found = collected.take();
        found.sort();
        model.sort();
        prop_assert_eq!(found, model);
    }

    #[test]
    fn no_snapshot_panics(bytes in collection::vec(any::<u8>(), 0..60), cut in 0..200usize) {
        let (_, mut rows) = opened();
        let mut state = kept_as(KEPT_AS, &bytes);
        let _ = rows.restore(&state);
        change(&mut rows, &[(RowKind::Insert, row(1)), (RowKind::Insert, row(2))]).unwrap();
        state = rows.snapshot().unwrap();
        state.truncate(cut);
        let _ = rows.restore(&state);
    }
}

#[test]
fn what_is_not_there_cannot_go() {
    for kind in [RowKind::UpdateBefore, RowKind::Delete] {
        let (_, mut rows) = opened();
        change(&mut rows, &[(RowKind::Insert, row(1))]).unwrap();
        let error = change(&mut rows, &[(kind, row(2))]).unwrap_err().to_string();
        assert!(
            error.contains("[2, a long name, so that it is on the heap, [2, 2, 2]]"),
            "{error}"
        );
    }
}

#[test]
fn rows_that_are_gone_take_no_memory() {
    let (_, mut rows) = opened();
    let all: Vec<_> = (0..20_000).map(|number| (0, None, vec![number])).collect();
    for some in all.chunks(1000) {
        let come: Vec<_> = some.iter().map(|row| (RowKind::Insert, row.clone())).collect();
        change(&mut rows, &come).unwrap();
    }
    for some in all.chunks(1000) {
        let go: Vec<_> = some.iter().map(|row| (RowKind::Delete, row.clone())).collect();
        change(&mut rows, &go).unwrap();
    }
    let rows = rows.rows.unwrap();
    assert!(rows.copies.is_empty() && rows.copies.capacity() <= 2 * SPARE_ROWS);
}

#[test]
fn large_rows_get_pages_of_their_own() {
    let (collected, mut rows) = opened();
    let large: Row = (1, Some("x".repeat(300_000)), (0..50_000).collect());
    let all = [row(1), large, row(2)];
    let come: Vec<_> = all.iter().map(|row| (RowKind::Insert, row.clone())).collect();
    for one in &come {
        change(&mut rows, std::slice::from_ref(one)).unwrap();
    }
    rows.finish().unwrap();
    assert_eq!(collected.take(), all);
}

#[test]
fn a_result_that_began_anew_has_nothing_of_the_run_before() {
    let (collected, mut rows) = opened();
    change(&mut rows, &[(RowKind::Insert, row(1))]).unwrap();
    rows.open(&Row::schema().with_row_kinds()).unwrap();
    change(&mut rows, &[(RowKind::Insert, row(2))]).unwrap();
    rows.finish().unwrap();
    assert_eq!(collected.take(), [row(2)]);
}

#[test]
fn a_checkpoint_of_another_output_is_refused() {
    let (_, mut rows) = opened();
    let error = rows.restore(b"").unwrap_err().to_string();
    let expected = "the checkpoint does not have the result as rows: go on with the output that \
                    the job began with";
    assert_eq!(error, expected);
    let mut state = kept_as(KEPT_AS, &[]);
    rows.restore(&state).unwrap();
    state.extend([1; 8]);
    let error = rows.restore(&state).unwrap_err().to_string();
    assert!(error.contains("are damaged: it ends within a row"), "{error}");
}
