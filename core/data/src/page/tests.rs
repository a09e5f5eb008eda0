//! Round trips, boundaries and damage.

extern crate std;

mod lists;

use alloc::{string::String, sync::Arc, vec, vec::Vec};
use core::ops::{Deref, DerefMut};
use proptest::prelude::*;

use super::*;
use crate::{Record, value::Value};

/// A buffer aligned like a segment, full of rubbish like a recycled one.
pub(crate) struct Buffer(Vec<u128>, usize);

impl Buffer {
    pub(crate) fn new(size: usize) -> Self {
        Self(vec![0xA5A5_A5A5_A5A5_A5A5_A5A5_A5A5_A5A5_A5A5; size.div_ceil(16)], size)
    }
}

impl Deref for Buffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.0)[..self.1]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.0)[..self.1]
    }
}

#[derive(Clone, Debug, PartialEq, Record)]
#[record(key, crate = "crate")]
struct Place {
    city: String,
    zone: Option<i16>,
}

#[derive(Clone, Debug, PartialEq, Record)]
struct Everything {
    id: u64,
    name: String,
    note: Option<String>,
    delay: Option<i32>,
    price: crate::Decimal<10, 2>,
    open: bool,
    maybe: Option<bool>,
    place: Place,
    other: Option<Place>,
}

/// Rows in pages of `size` bytes, and in pages of their own where they fit none.
fn fill<T: Value>(rows: &[T], size: usize) -> (Arc<Shape>, Vec<Sealed<Buffer>>) {
    let shape = Arc::new(Shape::new(&T::schema()));
    let mut sizing = Sizing::new(Arc::clone(&shape), size).unwrap();
    let mut pages = Vec::new();
    let open = |sizing: &Sizing| {
        PageBuilder::<T, _>::new(Buffer::new(size), sizing.shape(), sizing.layout())
    };
    let mut page = open(&sizing);
    for (i, row) in rows.iter().enumerate() {
        if page.append(row.view()).is_ok() {
            continue;
        }
        let compact = i.is_multiple_of(2);
        if page.rows() > 0 {
            let sealed = page.seal(&shape, compact);
            sizing.learn(sealed.rows, &sealed.demand);
            pages.push(sealed);
            page = open(&sizing);
            if page.append(row.view()).is_ok() {
                continue;
            }
        }
        let demand = Demand::of::<T>(row.view());
        if sizing.make_room(&demand) {
            page = open(&sizing);
            page.append(row.view()).expect("room was made");
            continue;
        }
        let layout = Arc::new(Layout::jumbo(&shape, &demand).unwrap());
        let mut jumbo = PageBuilder::<T, _>::new(Buffer::new(layout.size()), &shape, &layout);
        jumbo.append(row.view()).expect("a jumbo is as large as its row");
        pages.push(jumbo.seal(&shape, compact));
        page = open(&sizing);
    }
    pages.push(page.seal(&shape, rows.len().is_multiple_of(2)));
    (shape, pages)
}

fn read<T: Value>(shape: &Shape, pages: &[Sealed<Buffer>]) -> Vec<T> {
    let mut rows = Vec::new();
    for sealed in pages {
        // What a socket delivers: exactly the page's bytes, at the start of a fresh segment.
        let mut received = Buffer::new(sealed.length);
        received.copy_from_slice(&sealed.buffer[..sealed.length]);
        let page = ValidPage::validate(&received, shape).unwrap();
        assert_eq!(page.rows(), sealed.rows);
        let columns = T::bind(&page);
        rows.extend((0..page.rows()).map(|row| T::own(T::at(&columns, row))));
    }
    rows
}

fn everything() -> impl Strategy<Value = Everything> {
    let place =
        || ("\\PC{0,20}", any::<Option<i16>>()).prop_map(|(city, zone)| Place { city, zone });
    let text = || prop_oneof!["[a-z]{0,13}", "\\PC{0,40}"];
    (
        (any::<u64>(), text(), proptest::option::of(text()), any::<Option<i32>>()),
        (
            any::<i64>(),
            any::<bool>(),
            any::<Option<bool>>(),
            place(),
            proptest::option::of(place()),
        ),
    )
        .prop_map(|((id, name, note, delay), (price, open, maybe, place, other))| Everything {
            id,
            name,
            note,
            delay,
            price: crate::Decimal(i128::from(price) * 7),
            open,
            maybe,
            place,
            other,
        })
}

proptest! {
    #[test]
    fn pages_round_trip(
        rows in proptest::collection::vec(everything(), 0..200),
        size in prop_oneof![Just(4096usize), Just(32768)],
    ) {
        let (shape, pages) = fill(&rows, size);
        prop_assert_eq!(read::<Everything>(&shape, &pages), rows);
    }

    #[test]
    fn damaged_pages_are_refused_or_read_without_panic(
        rows in proptest::collection::vec(everything(), 1..20),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let (shape, mut pages) = fill(&rows, 4096);
        let page = &mut pages[0];
        let length = page.length;
        for (at, byte) in damage {
            page.buffer[at.index(length)] = byte;
        }
        read_all(&page.buffer[..length], &shape);
    }

    #[test]
    fn arbitrary_bytes_never_panic(words in proptest::collection::vec(any::<u128>(), 0..40)) {
        read_all(bytemuck::cast_slice(&words), &Shape::new(&Everything::schema()));
    }
}

/// Validates, and reads every cell of what passes.
fn read_all(bytes: &[u8], shape: &Shape) {
    if let Ok(page) = ValidPage::validate(bytes, shape) {
        let columns = Everything::bind(&page);
        for row in 0..page.rows() {
            let read = Everything::own(Everything::at(&columns, row));
            assert!(
                !read.name.contains('\u{FFFD}')
                    || bytes.windows(3).any(|w| w == "\u{FFFD}".as_bytes())
            );
        }
    }
}

#[test]
fn fixed_rows_fill_a_segment_to_the_last_row_that_fits() {
    let shape = Shape::new(&<(u64, u64)>::schema());
    let layout = Layout::fitted(&shape, 32768, 0).unwrap();
    assert_eq!(layout.capacity(), (32768 - HEADER_BYTES - 2 * ENTRY_BYTES) / 16);
}

#[test]
fn a_compact_page_of_one_row_is_small() {
    let row = (7u64, String::from("longer than twelve bytes"));
    let shape = Shape::new(&<(u64, String)>::schema());
    let layout = Arc::new(Layout::fitted(&shape, 32768, 16).unwrap());
    let mut page = PageBuilder::<(u64, String), _>::new(Buffer::new(32768), &shape, &layout);
    page.append(row.view()).unwrap();
    let sealed = page.seal(&shape, true);
    // Eight bytes of padding align the views.
    assert_eq!(sealed.length, HEADER_BYTES + 2 * ENTRY_BYTES + 8 + 8 + 16 + 24);
    assert_eq!(read::<(u64, String)>(&shape, &[sealed]), vec![row]);
}

#[test]
fn a_row_that_does_not_fit_leaves_the_page_as_it_was() {
    let shape = Shape::new(&<(String, String)>::schema());
    let layout = Arc::new(Layout::fitted(&shape, 4096, 0).unwrap());
    let mut page = PageBuilder::<(String, String), _>::new(Buffer::new(4096), &shape, &layout);
    page.append(("first", "row")).unwrap();
    let long = "x".repeat(5000);
    // The first string of the refused row fits, the second does not: its heap is given back.
    assert_eq!(page.append((&long[..13], &long)), Err(Full));
    let sealed = page.seal(&shape, false);
    assert_eq!((sealed.rows, sealed.demand.heap_bytes), (1, 0));
}

#[test]
fn a_schema_too_wide_for_the_segment_has_no_layout() {
    let fields = (0..400)
        .map(|i| crate::types::Field::new(alloc::format!("c{i}"), crate::types::DataType::Int64));
    let shape = Shape::new(&crate::types::Schema::new(fields.collect()));
    assert!(Layout::fitted(&shape, 4096, 0).is_none());
    assert!(Layout::fitted(&shape, 16384, 0).is_some());
}

#[test]
fn foreign_schema_version_and_truncation_are_named() {
    let (shape, mut pages) = fill(&[(1u64, 2u64)], 4096);
    let sealed = pages.remove(0);
    let other = Shape::new(&<(u64, i64)>::schema());
    let page = &sealed.buffer[..sealed.length];
    assert!(matches!(ValidPage::validate(page, &other), Err(PageError::Schema { .. })));
    for cut in 0..sealed.length {
        assert!(matches!(ValidPage::validate(&page[..cut], &shape), Err(PageError::Short { .. })));
    }
    let mut bytes = Buffer::new(sealed.length);
    bytes.copy_from_slice(page);
    bytes[4] = 2;
    let error = ValidPage::validate(&bytes, &shape).unwrap_err();
    assert_eq!(error, PageError::Header { field: "version", found: 2 });
}

#[test]
fn rows_built_at_run_time_read_like_typed_ones_and_carry_kinds() {
    type Row = (i64, Option<String>, Option<bool>);
    let shape = Arc::new(Shape::new(&Row::schema()).with_row_kinds());
    let layout = Arc::new(Layout::fitted(&shape, 4096, 8).unwrap());
    let mut builder = RowBuilder::new(Buffer::new(4096), &shape, &layout);
    builder.put_fixed(0, 5i64.to_le_bytes());
    builder.put_str(1, "a string of the heap").unwrap();
    builder.put_null(2);
    builder.put_kind(RowKind::UpdateAfter);
    builder.commit();
    // A row that is given up does not show.
    builder.put_str(1, "another string of the heap").unwrap();
    builder.roll_back();
    builder.put_fixed(0, 6i64.to_le_bytes());
    builder.put_null(1);
    builder.put_bool(2, true);
    builder.put_kind(RowKind::Delete);
    builder.commit();
    let sealed = builder.seal(true);
    let page = ValidPage::validate(&sealed.buffer[..sealed.length], &shape).unwrap();
    let columns = Row::bind(&page);
    assert_eq!(Row::at(&columns, 0), (5, Some("a string of the heap"), None));
    assert_eq!(Row::at(&columns, 1), (6, None, Some(true)));
    assert_eq!((page.row_kind(0), page.row_kind(1)), (RowKind::UpdateAfter, RowKind::Delete));
    assert_eq!(sealed.demand.heap_bytes, 20);
}

#[test]
fn a_column_without_nulls_has_no_bitmap_on_the_wire() {
    let some = fill(&[(Some(1i64),), (Some(2),)], 4096).1.remove(0);
    let none = fill(&[(Some(1i64),), (None,)], 4096).1.remove(0);
    assert_eq!(some.buffer[HEADER_BYTES + 1], 0);
    assert_eq!(none.buffer[HEADER_BYTES + 1], FLAG_VALIDITY);
}

#[test]
fn keys_hash_by_value_and_tell_null_from_zero() {
    use crate::{Key, hash::SEED};
    let key = |city, zone| Place::hash(PlaceView { city, zone }, SEED);
    assert_eq!(key("Rome", Some(1)), key("Rome", Some(1)));
    assert_ne!(key("Rome", Some(0)), key("Rome", None));
    assert!(!Place::same(PlaceView { city: "a", zone: None }, PlaceView { city: "b", zone: None }));
}
