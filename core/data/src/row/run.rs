//! Many rows into a page, column by column.

use core::ops::DerefMut;

use super::{RowColumn, RowLayout, cells::place};
use crate::page::{ColumnKind, RowBuilder, text};

/// Writes the cells of a run of `rows` rows without lists into the columns of a page that begin with number `first`;
/// the bytes of row `i` are `bytes(i)`. The page has room for them
/// ([`room_for_run`](RowBuilder::room_for_run)), and the caller commits.
///
/// What lies outside of a row's bytes is zero or empty: they were made in this process.
///
/// # Panics
/// If these columns are not those of the layout, or there is no room.
pub fn put_rows_run<'a, B: DerefMut<Target = [u8]>>(
    layout: &RowLayout,
    first: usize,
    rows: usize,
    bytes: impl Fn(usize) -> &'a [u8],
    page: &mut RowBuilder<B>,
) {
    for column in &layout.columns {
        let (target, at) = (first + column.page, column.offset);
        match column.kind {
            ColumnKind::Bit => {
                page.put_bits_run(target, rows, |row| cell::<1>(bytes(row), at) != [0]);
            }
            ColumnKind::Fixed(1) => {
                page.put_fixed_each(target, rows, |row| cell::<1>(bytes(row), at));
            }
            ColumnKind::Fixed(2) => {
                page.put_fixed_each(target, rows, |row| cell::<2>(bytes(row), at));
            }
            ColumnKind::Fixed(4) => {
                page.put_fixed_each(target, rows, |row| cell::<4>(bytes(row), at));
            }
            ColumnKind::Fixed(8) => {
                page.put_fixed_each(target, rows, |row| cell::<8>(bytes(row), at));
            }
            ColumnKind::Fixed(_) => {
                page.put_fixed_each(target, rows, |row| cell::<16>(bytes(row), at));
            }
            ColumnKind::String => {
                page.put_views_run(target, rows, |row| text(variable(bytes(row), column)));
            }
            ColumnKind::Bytes => {
                page.put_views_run(target, rows, |row| variable(bytes(row), column));
            }
            ColumnKind::Group => {}
            ColumnKind::Offsets => panic!("column {target} is one of lists"),
        }
        if let Some(bit) = column.null_bit {
            let at = layout.nulls + bit / 8;
            let is_null = |byte: [u8; 1]| byte[0] >> (bit % 8) & 1 == 1;
            page.put_validity_run(target, rows, |row| !is_null(cell(bytes(row), at)));
        }
    }
}

#[inline]
fn cell<const W: usize>(bytes: &[u8], at: usize) -> [u8; W] {
    bytes.get(at..).and_then(|slot| slot.first_chunk()).copied().unwrap_or([0; W])
}

#[inline]
fn variable<'a>(bytes: &'a [u8], column: &RowColumn) -> &'a [u8] {
    if bytes.len() < column.offset + column.width() {
        return &[];
    }
    let (start, length) = place(bytes, column);
    bytes.get(start..).and_then(|bytes| bytes.get(..length)).unwrap_or(&[])
}

impl RowLayout {
    /// Whether there are lists or maps in a row.
    pub fn has_lists(&self) -> bool {
        !self.lists.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use alloc::{string::String, sync::Arc, vec, vec::Vec};

    use proptest::prelude::*;

    use super::*;
    use crate::{
        Record,
        page::{Layout, Shape, ValidPage, heap_bytes},
        row::{PageRows, put_cells},
        value::Bytes,
    };

    type Narrow = (bool, i8, i16, Option<i32>);
    type Wide = (i64, Option<String>, Bytes, Option<bool>);
    type Cells = ((bool, i8, i16, Option<i32>), (i64, Option<String>, u8, Option<bool>));

    proptest! {
        /// Side by side in one page, a run is what rows that are put one by one are.
        #[test]
        fn a_run_is_its_rows(
            rows in proptest::collection::vec(any::<Cells>(), 1..40),
            from in 0usize..40,
        ) {
            let [narrow, wide] = [Narrow::schema(), Wide::schema()];
            let layouts = [RowLayout::new(&narrow), RowLayout::new(&wide)];
            let made: Vec<[Vec<u8>; 2]> = rows
                .iter()
                .map(|((a, b, c, d), (e, f, g, h))| {
                    let mut bytes = [Vec::new(), Vec::new()];
                    let long = vec![*g; usize::from(*g) / 4];
                    layouts[0].encode::<Narrow>((*a, *b, *c, *d), &mut bytes[0]);
                    layouts[1].encode::<Wide>((*e, f.as_deref(), &long, *h), &mut bytes[1]);
                    bytes
                })
                .collect();
            let mut both = narrow.clone();
            both.fields.extend(wide.fields.iter().cloned());
            let shape = Arc::new(Shape::new(&both));
            let layout = Arc::new(Layout::fitted(&shape, 32 << 10, 200).unwrap());
            let mut pages = [vec![0u128; 2048], vec![0u128; 2048]].map(|words| {
                RowBuilder::new(Words(words), &shape, &layout)
            });
            let width = layouts[0].columns();
            let heap = |row: usize| {
                let row = layouts[1].trusted(&made[row][1]).unwrap();
                heap_bytes(row.variable(1)) + heap_bytes(row.variable(2))
            };
            let fit = pages[0].room_for_run(made.len(), heap);
            let made = &made[..fit];
            // In two runs, so that the second one begins within a byte of the bitmaps.
            let from = from.min(made.len());
            for run in [0..from, from..made.len()] {
                for (part, layout) in layouts.iter().enumerate() {
                    let bytes = |row: usize| &made[run.start + row][part][..];
                    put_rows_run(layout, part * width, run.len(), bytes, &mut pages[0]);
                }
                pages[0].commit_run(run.len());
            }
            for row in made {
                for (part, layout) in layouts.iter().enumerate() {
                    let row = layout.trusted(&row[part]).unwrap();
                    put_cells(&row, part * width, &mut pages[1]).unwrap();
                }
                pages[1].commit();
            }
            let own = RowLayout::new(&both);
            let gathered = pages.map(|page| {
                let sealed = page.seal(true);
                let page = ValidPage::validate(&sealed.buffer[..sealed.length], &shape).unwrap();
                let rows = PageRows::new(&own, &page).unwrap();
                let mut bytes = Vec::new();
                (0..rows.rows()).for_each(|row| _ = rows.gather(row, &mut bytes));
                bytes
            });
            prop_assert_eq!(&gathered[0], &gathered[1]);
        }
    }

    /// Words as the bytes of a page.
    struct Words(Vec<u128>);

    impl core::ops::Deref for Words {
        type Target = [u8];

        fn deref(&self) -> &[u8] {
            bytemuck::cast_slice(&self.0)
        }
    }

    impl DerefMut for Words {
        fn deref_mut(&mut self) -> &mut [u8] {
            bytemuck::cast_slice_mut(&mut self.0)
        }
    }
}
