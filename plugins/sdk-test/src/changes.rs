//! Pages of changes, for tests of what takes rows with kinds.

use std::sync::Arc;

use millstream_data::{
    page::{RowBuilder, RowKind, Shape, Sizing},
    row::{RowLayout, RowValue, scatter},
    value::Record,
};

use crate::segment::Segment;

/// Bytes of a segment.
const SEGMENT: usize = 32 << 10;
/// Few, so that there are several pages.
const ROWS_MAX: usize = 100;

/// Changes as pages, a few in each.
///
/// # Panics
/// If a row does not fit a page of 32 KiB.
pub(crate) fn pages<T: Record + RowValue>(changes: &[(RowKind, T)]) -> Vec<Segment> {
    let schema = T::schema().with_row_kinds();
    let (shape, rows) = (Arc::new(Shape::new(&schema)), RowLayout::new(&schema));
    let mut sizing = Sizing::new(Arc::clone(&shape), SEGMENT).expect("a row fits a segment");
    let (mut pages, mut rest, mut bytes) = (Vec::new(), changes, Vec::new());
    while let Some((_, first)) = rest.first() {
        let mut page = RowBuilder::new(Segment::new(SEGMENT), &shape, sizing.layout());
        let written = rest.iter().take(ROWS_MAX).take_while(|(kind, row)| {
            if !page.has_room() {
                return false;
            }
            bytes.clear();
            rows.encode::<T>(row.view(), &mut bytes);
            page.put_kind(*kind);
            scatter(&rows.trusted(&bytes).expect("a row"), &mut page).is_ok()
        });
        let written = written.count();
        if written == 0 {
            bytes.clear();
            rows.encode::<T>(first.view(), &mut bytes);
            let demand = rows.trusted(&bytes).expect("a row").demand(&shape);
            assert!(sizing.make_room(&demand), "the row fits a page of {SEGMENT} bytes");
            continue;
        }
        pages.push(page.seal(false).buffer);
        rest = &rest[written..];
    }
    pages
}
